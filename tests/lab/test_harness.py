"""The harness itself, on a notebook without any magic of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.browser import chromium, open_notebook
from tests.lab.notebooks import write_notebook
from tests.lab.server import lab_server

pytestmark = pytest.mark.slow


def test_run_all_restart_and_run_all_again(tmp_path: Path) -> None:
    chromium()
    root, state = tmp_path / "root", tmp_path / "state"
    root.mkdir()
    state.mkdir()
    write_notebook(root / "plain.ipynb", ["import os\nos.getpid()", "print('two')", "6 * 7"])
    with (
        lab_server(root, state) as server,
        open_notebook(server, "plain.ipynb", tmp_path / "profile") as page,
    ):
        page.run_all()
        first = page.outputs()
        page.restart_and_run_all()
        second = page.outputs()
        prompts = page.prompts()
        page.picture(tmp_path / "page.png")
    assert [[shown.text for shown in cell] for cell in second[1:]] == [["two"], ["42"]]
    assert first[1:] == second[1:]
    assert first[0] != second[0], "a restarted kernel is another process"
    assert prompts == ["[1]:", "[2]:", "[3]:"]
    assert (tmp_path / "page.png").stat().st_size > 0
