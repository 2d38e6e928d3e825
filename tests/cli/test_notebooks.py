import json
import os

import nbformat
import pytest

from cascade_nb.cli import notebooks
from cascade_nb.errors import ConfigurationError
from cascade_nb.notebook import badge
from tests.shelf import make_report


def save(path, *sources, **metadata):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources], metadata=metadata
    )
    nbformat.write(notebook, path)
    return path


def test_reads_a_notebook(tmp_path):
    assert notebooks.read(save(tmp_path / "n.ipynb", "x = 1")).cells[0].source == "x = 1"


def test_cells_without_ids_are_read_without_noise(tmp_path):
    tree = json.loads(save(tmp_path / "n.ipynb", "x = 1").read_text())
    del tree["cells"][0]["id"]
    (tmp_path / "n.ipynb").write_text(json.dumps(tree))
    assert len(notebooks.read(tmp_path / "n.ipynb").cells) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file: "),
        ("print(1)", "is not a notebook: it is not JSON"),
        (b"\xff\xfe\x00", "is not a notebook: it is not JSON"),
        ("[1]", "is not a notebook: it names no nbformat"),
        ('{"a": 1}', "is not a notebook: it names no nbformat"),
        ('{"nbformat": 99, "cells": []}', "is not a notebook: "),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": 3, "metadata": {}}', "is not a notebook: "),
        ('{"nbformat": 4, "nbformat_minor": 5}', "is not a notebook: "),
    ],
)
def test_what_is_no_notebook_is_told_in_one_line(tmp_path, content, message):
    path = tmp_path / "n.ipynb"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as caught:
        notebooks.read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_notebook(tmp_path):
    with pytest.raises(ConfigurationError, match="is a folder, not a notebook"):
        notebooks.read(tmp_path)


def test_other_languages_are_refused(tmp_path):
    spec = {"name": "ir", "display_name": "R", "language": "R"}
    path = save(tmp_path / "n.ipynb", "1", kernelspec=spec)
    with pytest.raises(ConfigurationError, match="is written in R; only Python notebooks run here"):
        notebooks.read(path)


def test_badges_and_nothing_else_are_stripped():
    report = make_report()
    shown = nbformat.v4.new_output(
        "display_data",
        badge.mimebundle(report),
        metadata={badge.METADATA_KEY: badge.as_data(report)},
    )
    other = nbformat.v4.new_output("display_data", {"text/plain": "hit"}, metadata={"x": 1})
    stream = nbformat.v4.new_output("stream", name="stdout", text="hit")
    cell = nbformat.v4.new_code_cell("x", outputs=[stream, shown, other])
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("t"), cell])
    notebooks.strip_badges(notebook)
    assert cell.outputs == [stream, other]


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path):
    path = save(tmp_path / "n.ipynb", "x = 1")
    path.chmod(0o640)
    link = tmp_path / "link.ipynb"
    link.symlink_to(path)
    notebook = notebooks.read(path)
    notebook.cells[0].source = "x = 2"
    notebooks.write(notebook, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert notebooks.read(path).cells[0].source == "x = 2"
    assert sorted(os.listdir(tmp_path)) == ["link.ipynb", "n.ipynb"]


def test_a_new_file_gets_the_usual_mode(tmp_path):
    notebooks.write(nbformat.v4.new_notebook(), tmp_path / "n.ipynb")
    usual = tmp_path / "usual"
    usual.touch()
    assert (tmp_path / "n.ipynb").stat().st_mode == usual.stat().st_mode


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = save(tmp_path / "n.ipynb", "x = 1")
    before = path.read_text()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        notebooks.write(nbformat.v4.new_notebook(), path)
    assert path.read_text() == before
    assert os.listdir(tmp_path) == ["n.ipynb"]


@pytest.mark.parametrize(
    ("target", "message"),
    [(".", "is a folder"), ("no/such/x.ipynb", "there is no folder")],
)
def test_a_bad_target_is_told_before_anything_runs(tmp_path, target, message):
    with pytest.raises(ConfigurationError, match=message):
        notebooks.check_writable(tmp_path / target)
    notebooks.check_writable(tmp_path / "new.ipynb")
