"""Who of this user's processes on this machine has died."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cascade_nb.backends import presence

SAYS = """
import sys
from cascade_nb.backends import presence
print(presence.own_name(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of the test's own, on which this process is not known yet."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(presence, "_presence", presence._Presence())
    return tmp_path


def start() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SAYS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_process_lives_until_it_is_killed():
    process, name = start()
    assert len(name) == 32
    assert not presence.has_died(name)
    process.kill()
    process.communicate()
    assert presence.has_died(name)
    assert not presence.has_died(name), "it is said once, and the file is gone"


def test_this_process_has_one_name_and_lives():
    assert presence.own_name() == presence.own_name() != ""
    assert not presence.has_died(presence.own_name())


@pytest.mark.parametrize("name", ["", "x", "0" * 32, "../" * 10 + "0" * 2, "f" * 31, "A" * 32])
def test_of_names_that_nobody_here_has_nothing_is_known(name: str):
    presence.own_name()
    assert not presence.has_died(name)


def test_a_name_of_another_machine_says_nothing_here(tmp_path: Path, monkeypatch):
    process, name = start()
    process.kill()
    process.communicate()
    (tmp_path / "other").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "other"))
    assert not presence.has_died(name)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders here have no owners")
def test_a_folder_that_others_may_write_to_is_not_used(machine: Path):
    folder = machine / f"cascade-nb-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert presence.own_name() == ""
    (folder / ("a" * 32)).touch()
    assert not presence.has_died("a" * 32)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_another_process():
    name = presence.own_name()
    child = os.fork()
    if child == 0:
        own = presence.own_name()
        os._exit(0 if own not in ("", name) and not presence.has_died(name) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not presence.has_died(name)
