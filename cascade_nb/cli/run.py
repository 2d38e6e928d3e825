"""`cascade run`: a notebook in fresh kernels, with a line for each cell while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click

from cascade_nb.cli import notebooks, witness
from cascade_nb.cli.progress import Tally, cell_line, compared, first_words
from cascade_nb.errors import CascadeError, ConfigurationError
from cascade_nb.stores import STORE_VARIABLE
from cascade_nb.wording import one_line


class CellFailedError(CascadeError):
    """A cell raised; `traceback` is what the page would show of it."""

    def __init__(self, message: str, *, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


def run_notebook(path: Path, *, target: Path | None, repeat: int, store: str | None) -> int:
    """Run the notebook `path`, `repeat` times, each in a fresh kernel; gives the exit code.

    Args:
        path: The notebook. Its folder is the working folder of the kernel.
        target: Where the last run's notebook is written, if anywhere, once all has gone well.
        repeat: How many times to run it.
        store: The store's URL for the kernels; None leaves it to their environment.

    Raises:
        ConfigurationError: the notebook, `target` or the installation will not do.
    """
    _require_nbclient()
    original = notebooks.read(path)
    if target is not None:
        notebooks.check_writable(target)
    tallies = []
    executed = original
    for number in range(1, repeat + 1):
        if repeat > 1:
            click.echo(f"run {number} of {repeat}")
        executed = copy.deepcopy(original)
        run = NotebookRun(executed, path.absolute().parent, store)
        try:
            asyncio.run(run.execute())
        except CellFailedError as error:
            if error.traceback:
                click.echo(error.traceback.rstrip("\n"), err=True)
            click.echo(f"cascade: {path.name}, {error}", err=True)
            return 1
        tallies.append(run.tally)
        click.echo(f"run {number}: {run.tally}")
    if repeat > 1:
        click.echo(compared([tally.seconds for tally in tallies]))
    if target is not None:
        notebooks.strip_badges(executed)
        notebooks.write(executed, target)
        click.echo(f"wrote {target}")
    return 0


class NotebookRun:
    """One run of a notebook in a kernel of its own, told line by line as it goes."""

    def __init__(self, notebook: Any, folder: Path, store: str | None) -> None:
        from nbclient import NotebookClient

        self.tally = Tally()
        self._environment = _environment(store)
        self._client = NotebookClient(
            notebook,
            kernel_manager_class=_kernel_of_this_python(),
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            # The kernel logs to our stderr, of TCP and of being interrupted: nothing of the cells'.
            extra_arguments=["--log-level=50"],
            timeout=None,
            record_timing=False,
            on_notebook_start=self._before_all,
            on_cell_execute=self._before_cell,
            on_cell_executed=self._after_cell,
        )
        skipped = self._client.skip_cells_with_tag
        runs = [
            index
            for index, cell in enumerate(notebook.cells)
            if cell.cell_type == "code"
            and cell.source.strip()
            and skipped not in cell.metadata.get("tags", [])
        ]
        self._positions = {index: position for position, index in enumerate(runs, start=1)}
        self._cell: Any = None
        self._place = ""
        self._began = 0.0
        self._interrupted = False

    async def execute(self) -> None:
        """Run every cell, in order, up to the first that fails.

        Raises:
            CellFailedError: a cell raised, or the kernel died.
            KeyboardInterrupt: the run was interrupted; its kernel has ended.
        """
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        began = time.perf_counter()
        try:
            await self._client.async_execute(env=self._environment)
        except CellExecutionError as error:
            what = one_line(f"{error.ename}: {error.evalue}")
            raise CellFailedError(
                f"cell {self._place}: {what}", traceback=self._shown_traceback()
            ) from None
        except (DeadKernelError, RuntimeError) as error:
            if self._interrupted:
                raise KeyboardInterrupt from None
            where = f"cell {self._place}: the kernel died" if self._place else "no kernel started"
            raise CellFailedError(f"{where} ({one_line(str(error))})") from None
        self.tally.seconds = time.perf_counter() - began

    async def _before_all(self, **_: Any) -> None:
        # nbclient's own handler would shut the kernel down and report it as dead.
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            self._interrupted = True
            if task is not None:
                task.cancel()

        # On Windows, or not in the main thread, Ctrl-C stays Python's own.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, interrupt)
        await self._ask()

    def _before_cell(self, cell: Any, cell_index: int, **_: Any) -> None:
        total = len(self._positions)
        self._place = f"{self._positions[cell_index]:>{len(str(total))}}/{total}"
        self._began = time.perf_counter()
        self._cell = cell
        if sys.stdout.isatty():
            click.echo(f"[{self._place}] running  {first_words(cell.source)}", nl=False)

    async def _after_cell(
        self, cell: Any, cell_index: int, execute_reply: dict[str, Any] | None, **_: Any
    ) -> None:
        took = time.perf_counter() - self._began
        failed = execute_reply is not None and execute_reply["content"]["status"] == "error"
        deeds = await self._ask()
        self.tally.note(deeds, failed=failed)
        if sys.stdout.isatty():
            click.echo("\r\x1b[K", nl=False)
        line = cell_line(deeds, source=cell.source, seconds=took, failed=failed)
        click.echo(f"[{self._place}] {line}")

    async def _ask(self) -> list[dict[str, Any]]:
        """What cells and functions the kernel has reported since last asked."""
        client: Any = self._client
        message = client.kc.execute(
            "", silent=True, store_history=False, user_expressions={"told": witness.QUESTION}
        )
        reply = await client.async_wait_for_reply(message)
        answer = ((reply or {}).get("content", {}).get("user_expressions") or {}).get("told", {})
        deeds: list[dict[str, Any]] = answer.get("data", {}).get(witness.MIMETYPE, [])
        return deeds

    def _shown_traceback(self) -> str:
        errors = [o for o in self._cell.outputs if o["output_type"] == "error"]
        return "\n".join(errors[-1]["traceback"]) if errors else ""


def _environment(store: str | None) -> dict[str, str]:
    """The kernels' environment. They run in the notebook's folder; a path is meant from here."""
    environment = dict(os.environ)
    named = store or environment.get(STORE_VARIABLE)
    if named:
        is_path = "://" not in named
        environment[STORE_VARIABLE] = (
            os.path.abspath(os.path.expanduser(named)) if is_path else named
        )
    return environment


def _kernel_of_this_python() -> type:
    """A kernel manager that starts this very Python, whatever kernels are installed."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=launch, display_name="Python 3", language="python")

    return ThisPython


def _require_nbclient() -> None:
    for package in ("nbclient", "nbformat", "ipykernel"):
        if importlib.util.find_spec(package) is None:
            raise ConfigurationError(
                f"`cascade run` needs {package}: pip install 'cascade-nb[run]'"
            )
