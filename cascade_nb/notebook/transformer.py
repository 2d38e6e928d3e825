"""Top-level `%%cascade` cells are awaited: the kernel then runs them as tasks of their own.

IPython turns ``%%cascade`` into a plain call. Where that call is the whole of a cell that a kernel
runs on its loop, it is rewritten to an awaited one, so that no nested loop is needed. Everywhere
else (below ``%%time``, in another cell's body, in a terminal) the plain call stays.
"""

from __future__ import annotations

import ast
import asyncio
import threading
from collections.abc import Callable
from typing import Any

from cascade_nb.notebook.effects import may_seed

_CALL = "get_ipython().run_cell_magic"
_PLAIN = f"{_CALL}('cascade', "
AWAITED = "await get_ipython().magics_manager.registry['CascadeMagics'].awaited({!r}, {!r})\n"


class _Running(threading.local):
    """What one thread runs just now: the cells, outermost first."""

    def __init__(self) -> None:
        self.cells: list[Any] = []
        self.at_end: list[Callable[[], None]] = []


class TopLevel:
    """Knows at which depth code runs, and awaits `%%cascade` at depth 0.

    `has_seeded` tells whether a cell that has run may have seeded a global random generator.

    ``%%time`` and its like transform their bodies too, but cannot await; they run inside a cell,
    which is how they are told apart. The cells of each thread count apart, as subshells have some.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._running = _Running()
        self.has_seeded = False

    def install(self) -> None:
        """Begin to listen; may be called from within a cell, as `%load_ext` is."""
        history = self._shell.history_manager
        cells = history.input_hist_raw if history is not None else ()
        self.has_seeded = any(map(may_seed, cells))
        if self._shell.displayhook.exec_result is not None:
            self._running.cells.append(None)
        self._shell.events.register("pre_run_cell", self._begin)
        self._shell.events.register("post_run_cell", self._end)
        self._shell.input_transformers_post.append(self.transform)

    def remove(self) -> None:
        """Leave the shell as found."""
        self._shell.events.unregister("pre_run_cell", self._begin)
        self._shell.events.unregister("post_run_cell", self._end)
        self._shell.input_transformers_post.remove(self.transform)

    @property
    def raw_cell(self) -> str:
        """The whole cell that runs just now, as typed; empty where none is known."""
        info = self._running.cells[-1] if self._running.cells else None
        return info.raw_cell if info is not None else ""

    def at_end(self, action: Callable[[], None]) -> None:
        """Call `action` when the outermost cell has ended, in the context of the kernel."""
        self._running.at_end.append(action)

    def transform(self, lines: list[str]) -> list[str]:
        """Await a cell that is one plain call of our magic, where that can be awaited."""
        if len(lines) != 1 or not lines[0].startswith(_PLAIN) or not self._can_await():
            return lines
        arguments = lines[0].strip().removeprefix(_CALL)
        _, line, body = ast.literal_eval(arguments)
        # IPython says best itself that a body is missing.
        return [AWAITED.format(line, body)] if body else lines

    def _can_await(self) -> bool:
        if self._running.cells or not self._shell.autoawait:
            return False
        from IPython.core.async_helpers import _asyncio_runner

        if self._shell.loop_runner is not _asyncio_runner or self._shell.trio_runner:
            return False
        # Without a running loop, as in a terminal, the body finds none in a plain cell either.
        return _loop_runs()

    def _begin(self, info: Any) -> None:
        self._running.cells.append(info)

    def _end(self, result: Any) -> None:
        # IPython announces the end of an empty cell, but not its beginning.
        if result is not None and not (result.info.raw_cell or "").strip():
            return
        info = self._running.cells.pop() if self._running.cells else None
        self.has_seeded = self.has_seeded or (info is not None and may_seed(info.raw_cell))
        if not self._running.cells:
            actions, self._running.at_end = self._running.at_end, []
            for action in actions:
                action()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
