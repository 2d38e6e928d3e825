"""Ten cells run, the session started anew, and run again: no body runs and all looks the same."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.lab import ten_cells
from tests.lab.browser import Shown, chromium, open_notebook
from tests.lab.notebooks import write_notebook
from tests.lab.server import lab_server

pytestmark = pytest.mark.slow

ALL = list(range(1, 11))
FIRST_BADGES = ["miss"] * 9 + ["failed"]
SECOND_BADGES = ["hit"] * 9 + ["failed"]
FIGURE = 4


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the notebook in it, and a store beside it."""
    root = tmp_path / "work"
    root.mkdir()
    write_notebook(root / "ten.ipynb", ten_cells.sources())
    monkeypatch.setenv("CASCADE_STORE", str(tmp_path / "store"))
    # One font cache for all: building it prints to stderr, once per home.
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    subprocess.run([sys.executable, "-c", "import matplotlib.pyplot"], check=True)
    return root


def _split(cells: list[list[Shown]]) -> tuple[list[str], list[list[Shown]]]:
    """The badges' statuses, and everything else that the cells show."""
    statuses = [ten_cells.badge_status(shown.text) for cell in cells for shown in cell]
    rest = [
        [
            replace(shown, text=ten_cells.without_process(shown.text))
            for shown in cell
            if ten_cells.badge_status(shown.text) is None
        ]
        for cell in cells
    ]
    return [status for status in statuses if status is not None], rest


def test_in_jupyterlab(folder: Path, tmp_path: Path) -> None:
    chromium()
    pictures = Path(os.environ.get("CASCADE_PICTURES", tmp_path))
    state = tmp_path / "state"
    state.mkdir()
    with (
        lab_server(folder, state) as server,
        open_notebook(server, "ten.ipynb", tmp_path / "profile") as page,
    ):
        page.run_all()
        first_badges, first = _split(page.outputs())
        page.picture(pictures / "ten-cells-first.png")
        first_bodies = ten_cells.bodies_run(folder)
        page.restart_and_run_all()
        second_badges, second = _split(page.outputs())
        page.picture(pictures / "ten-cells-second.png")
        second_bodies = ten_cells.bodies_run(folder)
    assert first_bodies == ALL
    assert second_bodies == [ten_cells.FAILING]
    assert first_badges == FIRST_BADGES
    assert second_badges == SECOND_BADGES
    assert first == second
    assert "from the shell" in [shown.text for cell in second for shown in cell]


def _run_with_nbclient(folder: Path) -> list[list[Any]]:
    """The outputs of one run in a fresh kernel, without the badges."""
    notebook = nbformat.read(folder / "ten.ipynb", as_version=4)
    client = NotebookClient(
        notebook, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    outputs = [
        [output for output in cell.outputs if "cascade" not in output.get("metadata", {})]
        for cell in notebook.cells
    ]
    shown: list[list[Any]] = json.loads(ten_cells.without_process(json.dumps(outputs)))
    return shown


def test_through_nbclient(folder: Path) -> None:
    first = _run_with_nbclient(folder)
    assert ten_cells.bodies_run(folder) == ALL
    second = _run_with_nbclient(folder)
    assert ten_cells.bodies_run(folder) == [ten_cells.FAILING]
    assert first == second


async def _run_queued(folder: Path) -> list[str]:
    """Ask for all cells at once, as Run All does; the replies' statuses, in order."""
    from jupyter_client.manager import AsyncKernelManager

    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        asked = [
            client.execute(source, stop_on_error=False, allow_stdin=False)
            for source in ten_cells.sources()
        ]
        replies: dict[str, str] = {}
        # Late answers to the question whether it is ready come too.
        while not replies.keys() >= set(asked):
            reply = await client.get_shell_msg(timeout=60)
            replies[reply["parent_header"]["msg_id"]] = reply["content"]["status"]
        return [replies[message] for message in asked]
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


def test_with_all_cells_queued(folder: Path) -> None:
    expected = ["ok"] * 11 + ["error"]
    assert asyncio.run(_run_queued(folder)) == expected
    assert ten_cells.bodies_run(folder) == ALL
    assert asyncio.run(_run_queued(folder)) == expected
    assert ten_cells.bodies_run(folder) == [ten_cells.FAILING]


_TERMINAL = """
import json, sys
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from traitlets.config import Config

config = Config()
config.HistoryManager.hist_file = ":memory:"
config.TerminalInteractiveShell.simple_prompt = True
config.TerminalInteractiveShell.colors = "nocolor"
shell = TerminalInteractiveShell.instance(config=config)
for source in json.loads(sys.argv[1]):
    shell.run_cell(source, store_history=True)
"""


def _run_in_a_terminal(folder: Path) -> tuple[list[str], list[str]]:
    """The badges' statuses and the other lines of one run in terminal IPython."""
    finished = subprocess.run(
        [sys.executable, "-c", _TERMINAL, json.dumps(ten_cells.sources())],
        cwd=folder,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = finished.stdout.splitlines()
    badges = [status for line in lines if (status := ten_cells.badge_status(line))]
    return badges, [line for line in lines if not ten_cells.badge_status(line)]


def test_in_a_terminal(folder: Path) -> None:
    first_badges, first = _run_in_a_terminal(folder)
    assert ten_cells.bodies_run(folder) == ALL
    second_badges, second = _run_in_a_terminal(folder)
    assert ten_cells.bodies_run(folder) == [FIGURE, ten_cells.FAILING]
    # A terminal shows no figure: it stays open for the next cell, which no hit could bring about.
    for badges, expected in ((first_badges, FIRST_BADGES), (second_badges, SECOND_BADGES)):
        assert badges == [*expected[: FIGURE - 1], "bypass", *expected[FIGURE:]]
    assert first == second
