import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from cascade_nb import __version__
from cascade_nb.cli import commands, main
from cascade_nb.errors import BackendError
from tests.shelf import Shelf, make_record


@pytest.fixture
def shelf(monkeypatch):
    shelf = Shelf(make_record("fit", "a"), make_record("fit", "b"), make_record("load"))
    shelf.asked = []

    def open_store(url):
        shelf.asked.append(url)
        return shelf

    monkeypatch.setattr(commands, "open_store", open_store)
    return shelf


@pytest.fixture
def cascade(capsys):
    """Run the command in this process; gives exit code, stdout and stderr."""

    def cascade(*arguments):
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out.rstrip("\n"), said.err.rstrip("\n")

    return cascade


def test_alone_it_helps(cascade):
    code, out, err = cascade()
    assert (code, err) == (0, "")
    for verb in ("ls", "show", "stats", "forget", "clear", "run"):
        assert f"\n  {verb} " in out


def test_version(cascade):
    assert cascade("--version") == (0, f"cascade-nb {__version__}", "")


def test_ls(cascade, shelf):
    code, out, err = cascade("ls", "--store", "disk:///x")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 4
    assert shelf.asked == ["disk:///x"]


def test_listings_as_json(cascade, shelf):
    listed = json.loads(cascade("ls", "--json")[1])
    assert [entry["name"] for entry in listed] == ["fit", "fit", "load"]
    assert json.loads(cascade("show", "load", "--json")[1]) == listed[2:]
    assert listed[2]["outputs"][0]["cid"] == listed[2]["cid"]
    assert json.loads(cascade("stats", "--json")[1])["entries"] == 3


def test_show_stats_forget_clear(cascade, shelf):
    assert make_record("load").key in cascade("show", "load")[1]
    assert cascade("stats")[1].startswith("3 results, 5.0 MB")
    assert cascade("forget", "fit") == (0, "forgot 2 results of fit", "")
    assert cascade("clear") == (0, "removed 1 result", "")
    assert cascade("ls")[1] == "nothing is stored"
    assert cascade("ls", "--json")[1] == "[]"


@pytest.mark.parametrize(
    ("typed", "arguments", "code", "left"),
    [("y\n", [], 0, 0), ("n\n", [], 130, 3), ("", ["--yes"], 0, 0)],
)
def test_clear_asks_on_a_terminal(cascade, shelf, monkeypatch, typed, arguments, code, left):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: typed.strip())
    assert cascade("clear", *arguments)[0] == code
    assert len(shelf.envelopes) == left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["lss"],
            "no command 'lss'; there are: clear, distrust, export, forget, gc, import, load, ls, "
            "run, share, show, stats, trust, whoami",
        ),
        (["ls", "--bogus"], "No such option '--bogus'."),
        (["show"], "Missing argument 'X'."),
        (["show", "ft"], "nothing stored goes by 'ft'; close: fit"),
        (["forget", "zzzz"], "nothing stored goes by 'zzzz'; `ls` lists what there is"),
    ],
)
def test_nonsense_is_told_in_one_line(cascade, shelf, arguments, message):
    assert cascade(*arguments) == (2, "", f"cascade: {message}")


def test_an_unknown_store_is_told(cascade):
    code, out, err = cascade("ls", "--store", "ftp://x")
    assert (code, out) == (2, "")
    assert err.startswith("cascade: store scheme 'ftp' is not known")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BackendError("disk /x: full"), "disk /x: full"),
        (OSError(28, "No space left on device", "/x"), "/x: No space left on device"),
    ],
)
def test_a_failing_store_is_told(cascade, shelf, monkeypatch, error, message):
    def fail():
        raise error

    monkeypatch.setattr(shelf, "records", fail)
    assert cascade("ls") == (1, "", f"cascade: {message}")


def test_as_a_module():
    command = [sys.executable, "-m", "cascade_nb", "--version"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stdout == f"cascade-nb {__version__}\n"


def test_a_reader_who_stops_reading_hears_nothing_more():
    command = f"{sys.executable} -m cascade_nb --help | true"
    finished = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert finished.stderr == ""
