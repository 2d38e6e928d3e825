"""Every notebook in examples/: how it is saved, and that its second run computes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.ipynb"))


def test_there_are_examples() -> None:
    assert [path.name for path in EXAMPLES] == [
        "quickstart.ipynb",
        "sharing.ipynb",
        "team.ipynb",
    ]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_saved_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
            assert "\t" not in cell.source


def test_quickstart_shows_every_kind() -> None:
    (path,) = (path for path in EXAMPLES if path.stem == "quickstart")
    sources = [cell.source for cell in nbformat.read(path, as_version=4).cells]
    assert sum(source.startswith("%%cascade") for source in sources) >= 4
    assert any(source.startswith("@cached\nasync def") for source in sources)
    assert any(source.startswith("@cached\ndef") for source in sources)


def _run(path: Path, output: Path, store: Path) -> tuple[str, list[Any]]:
    """What `cascade run` says, and the outputs that it writes."""
    # What an example gives to others lies in the folder where it runs.
    copy = shutil.copy(path, output.parent)
    finished = subprocess.run(
        [sys.executable, "-m", "cascade_nb", "run", str(copy), "-o", str(output)],
        env={**os.environ, "CASCADE_STORE": str(store)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    cells = nbformat.read(output, as_version=4).cells
    # The session's panel tells what this very run took and saved, and a list how old things are.
    shown = [c.get("outputs") for c in cells if not c.source.endswith(("%cascade", "%cascade ls"))]
    return finished.stdout, [outputs and _joined(outputs) for outputs in shown]


def _joined(outputs: list[Any]) -> list[Any]:
    """The outputs, with what a stream gave in several parts, as time would have it, in one."""
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.get("name") and output["name"] == last.get("name"):
            last["text"] += output["text"]
        else:
            joined.append(dict(output))
    return joined


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_its_second_run_computes_nothing(path: Path, tmp_path: Path) -> None:
    first, shown_first = _run(path, tmp_path / "first.ipynb", tmp_path / "store")
    second, shown_second = _run(path, tmp_path / "second.ipynb", tmp_path / "store")
    assert re.search(r"\bmiss\b", first)
    # There, the second side is served what the first has just computed.
    assert bool(re.search(r"\bhit\b", first)) is (path.stem == "team")
    assert re.search(r"\bhit\b", second)
    assert not re.search(r"\] (miss|bypass|failed)\b|\b[1-9]\d* (miss|bypass)", second), second
    assert shown_first == shown_second
    assert not any("Warning" in str(outputs) for outputs in shown_first)
