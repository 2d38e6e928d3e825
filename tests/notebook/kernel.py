"""A real kernel for tests: queue cells, collect what each put out, interrupt, restart."""

from __future__ import annotations

import os
import queue
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

TIMEOUT = 60.0
_BADGE = re.compile(r"(hit|miss|bypass|failed|interrupted|off) · ")


@dataclass(slots=True)
class Ran:
    """What one cell put out, in order, and the kernel's reply to it."""

    code: str
    outputs: list[dict[str, Any]] = field(default_factory=list)
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """Of the reply: ok, error, aborted."""
        return str(self.reply.get("status"))

    @property
    def stdout(self) -> str:
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        return self._stream("stderr")

    @property
    def badge(self) -> str:
        """The status on the cell's badge; empty where it shows none."""
        return next((found[1] for found in map(_badge_of, self.outputs) if found), "")

    @property
    def badge_text(self) -> str:
        """The whole line of the badge."""
        badges = [o for o in self.outputs if _badge_of(o)]
        return str(badges[-1]["data"]["text/plain"]) if badges else ""

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The outputs but for badges."""
        return [output for output in self.outputs if not _badge_of(output)]

    @property
    def result(self) -> str | None:
        """The text beside Out[n]."""
        results = [o for o in self.outputs if o["type"] == "execute_result"]
        return str(results[-1]["data"]["text/plain"]) if results else None

    @property
    def traceback(self) -> str:
        """What was shown of an error, without colours."""
        errors = [o for o in self.outputs if o["type"] == "error"]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(errors[-1]["traceback"])) if errors else ""

    def _stream(self, name: str) -> str:
        return "".join(o["text"] for o in self.outputs if o.get("name") == name)


class Kernel:
    """A kernel of this Python, in `folder`."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(
            cwd=str(folder),
            env={**os.environ, "PYDEVD_DISABLE_FILE_VALIDATION": "1", **environment},
        )
        self._connect()

    def run(self, *codes: str) -> Ran:
        """Run cells one after the other; what the last one did."""
        for code in codes:
            ran = self.run_all([code])[0]
        return ran

    def run_all(self, codes: list[str]) -> list[Ran]:
        """Queue all cells at once, as Run All does; what each of them did."""
        return self.collect([self.queue(code) for code in codes])

    def queue(self, code: str, *, silent: bool = False) -> tuple[str, str]:
        """Send a cell and wait for nothing."""
        return self._client.execute(code, silent=silent, allow_stdin=False), code

    def collect(self, queued: list[tuple[str, str]]) -> list[Ran]:
        """Wait until all queued cells have ended."""
        runs = {message: Ran(code) for message, code in queued}
        busy = set(runs)
        while busy:
            message = self._client.get_iopub_msg(timeout=TIMEOUT)
            parent = message["parent_header"].get("msg_id")
            if parent not in runs:
                continue
            content, kind = message["content"], message["msg_type"]
            if kind == "status" and content["execution_state"] == "idle":
                busy.discard(parent)
            elif kind not in ("status", "execute_input"):
                _add(runs[parent].outputs, {"type": kind, **content})
        waiting = set(runs)
        while waiting:
            reply = self._client.get_shell_msg(timeout=TIMEOUT)
            parent = reply["parent_header"].get("msg_id")
            if parent in waiting:
                runs[parent].reply = reply["content"]
                waiting.discard(parent)
        return list(runs.values())

    def interrupt_when(self, ready: Callable[[], bool], *codes: str) -> tuple[list[Ran], float]:
        """Queue `codes`, interrupt once `ready`; what they did, and the seconds it took then."""
        queued = [self.queue(code) for code in codes]
        until = time.monotonic() + TIMEOUT
        while not ready():
            assert time.monotonic() < until, "the cell did not begin"
            time.sleep(0.01)
        # The cell has said that it is there, and now does what it is to be interrupted in.
        time.sleep(0.2)
        begun = time.monotonic()
        self._manager.interrupt_kernel()
        first = self.collect(queued[:1])
        seconds = time.monotonic() - begun
        return first + self.collect(queued[1:]), seconds

    def value(self, expression: str) -> str:
        """The repr of an expression, evaluated without a trace in the session."""
        message = self._client.execute(
            "", silent=True, user_expressions={"value": f"repr(({expression}))"}
        )
        while True:
            reply = self._client.get_shell_msg(timeout=TIMEOUT)
            if reply["parent_header"].get("msg_id") == message:
                break
        answer = reply["content"]["user_expressions"]["value"]
        assert answer["status"] == "ok", answer
        text = answer["data"]["text/plain"]
        return str(eval(text))

    def restart(self) -> None:
        """A new session: names, modules and all else are gone."""
        self._client.stop_channels()
        self._manager.restart_kernel(now=True)
        self._connect()

    def close(self) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def _connect(self) -> None:
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=TIMEOUT)
        while True:  # What start-up has left in the channel is nobody's output.
            try:
                self._client.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                return


def _add(outputs: list[dict[str, Any]], output: dict[str, Any]) -> None:
    """Add an output as a notebook would: texts of one stream that follow each other are one."""
    last = outputs[-1] if outputs else {}
    if output["type"] == "stream" and last.get("name") == output["name"]:
        last["text"] += output["text"]
    else:
        outputs.append(output)


def _badge_of(output: dict[str, Any]) -> re.Match[str] | None:
    if output["type"] != "display_data":
        return None
    return _BADGE.match(output["data"].get("text/plain", ""))
