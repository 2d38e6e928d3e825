from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from cascade_nb.errors import CacheWarning
from cascade_nb.provenance import strongbox
from cascade_nb.provenance.secret import seal, unseal

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
RECORD = b"a record" * 20


def secret_path() -> Path:
    return Path(os.environ["JUPYTER_DATA_DIR"]) / "cascade-nb" / "secret"


def test_what_is_sealed_is_unsealed() -> None:
    for record in (b"", b"x", RECORD, bytes(100_000)):
        envelope = seal(record)
        assert len(envelope) == len(record) + 32
        assert unseal(envelope) == record
        assert unseal(bytearray(envelope)) == record
        assert unseal(memoryview(envelope)) == record


def test_what_is_not_sealed_is_nothing() -> None:
    envelope = seal(RECORD)
    for place in (0, 31, 32, len(envelope) - 1):
        flipped = bytearray(envelope)
        flipped[place] ^= 1
        assert unseal(flipped) is None
    for foreign in (b"", envelope[:31], envelope[:32], envelope[:-1], envelope + b"\0", RECORD):
        assert unseal(foreign) is None


def test_a_seal_holds_in_its_context_alone() -> None:
    envelope = seal(RECORD, context=b"note")
    assert unseal(envelope) is None
    assert unseal(envelope, context=b"notes") is None
    assert unseal(envelope, context=b"note") == RECORD
    assert seal(RECORD, context=b"") != seal(RECORD)


@posix
def test_the_secret_is_the_users_alone() -> None:
    old = os.umask(0)
    try:
        seal(RECORD)
    finally:
        os.umask(old)
    path = secret_path()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert len(path.read_bytes()) == 32
    assert os.listdir(path.parent) == ["secret"]


def test_the_secret_is_kept_and_another_home_has_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = os.environ["JUPYTER_DATA_DIR"]
    envelope = seal(RECORD)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    assert unseal(envelope) is None
    other = seal(RECORD)
    monkeypatch.setenv("JUPYTER_DATA_DIR", home)
    assert unseal(envelope) == RECORD
    assert unseal(other) is None


def test_the_default_folder_is_jupyters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JUPYTER_DATA_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert strongbox.folder() == tmp_path / "xdg" / "jupyter" / "cascade-nb"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert strongbox.folder() == tmp_path / ".local" / "share" / "jupyter" / "cascade-nb"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert strongbox.folder() == tmp_path / "Library" / "Jupyter" / "cascade-nb"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "roaming"))
    assert strongbox.folder() == tmp_path / "roaming" / "jupyter" / "cascade-nb"


SEAL_IN_A_STEP = """
import sys
from cascade_nb.provenance.secret import seal
print("ready", flush=True)
sys.stdin.readline()
print(seal(b"x").hex())
"""


def test_processes_that_make_the_secret_at_once_get_the_same() -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SEAL_IN_A_STEP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = {process.communicate(timeout=30)[0] for process in started}
    assert answers == {seal(b"x").hex() + "\n"}
    assert os.listdir(secret_path().parent) == ["secret"]


def test_the_loser_of_a_race_takes_the_winners_secret() -> None:
    def make() -> bytes:
        # Another process is quicker, between our look and our link.
        strongbox.keep("secret", lambda: b"w" * 32)
        return b"l" * 32

    assert strongbox.keep("secret", make) == b"w" * 32
    assert secret_path().read_bytes() == b"w" * 32


def warnings_of(action: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert callable(action)
        action()
    assert all(issubclass(w.category, CacheWarning) for w in caught)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("where", ["file", "dev", "no home"])
def test_without_a_writable_home_a_session_secret_serves(
    where: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if where == "file":
        (tmp_path / "file").write_bytes(b"")
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file"))
    elif where == "dev":
        monkeypatch.setenv("JUPYTER_DATA_DIR", "/proc/no/such/place")
    else:
        monkeypatch.delenv("JUPYTER_DATA_DIR")
        monkeypatch.delenv("XDG_DATA_HOME")

        def no_home() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", no_home)
    envelopes: list[bytes] = []
    messages = warnings_of(lambda: envelopes.extend(seal(RECORD) for _ in range(3)))
    assert len(messages) == 1
    assert "\n" not in messages[0]
    assert unseal(envelopes[0]) == RECORD


@posix
@pytest.mark.parametrize("fault", ["short", "long", "readable", "group", "folder"])
def test_an_unfit_secret_is_neither_used_nor_overwritten(fault: str) -> None:
    path = secret_path()
    path.parent.mkdir(parents=True, mode=0o700)
    if fault == "folder":
        path.mkdir(mode=0o700)
    else:
        path.write_bytes(b"s" * {"short": 31, "long": 33}.get(fault, 32))
        path.chmod({"readable": 0o604, "group": 0o640}.get(fault, 0o600))
    before = path.stat()
    envelopes: list[bytes] = []
    messages = warnings_of(lambda: envelopes.extend((seal(RECORD), seal(RECORD))))
    assert len(messages) == 1
    assert str(path) in messages[0]
    assert "sss" not in messages[0]
    assert unseal(envelopes[0]) == RECORD
    after = path.stat()
    assert (after.st_mtime_ns, after.st_mode, after.st_ino) == (
        before.st_mtime_ns,
        before.st_mode,
        before.st_ino,
    )


def test_a_disk_that_fills_up_leaves_no_half_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (message,) = warnings_of(lambda: seal(RECORD))
    assert "No space left on device" in message
    assert os.listdir(secret_path().parent) == []
    monkeypatch.undo()


def test_the_secret_shows_in_no_repr() -> None:
    from cascade_nb.provenance import secret

    seal(RECORD)
    assert secret._held is not None
    text = repr(secret._held)
    assert repr(secret._held.secret) not in text
    assert secret_path().read_bytes().hex() not in text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_child_forked_while_the_secret_is_being_found_goes_on() -> None:
    program = """
import os, threading
from cascade_nb.provenance import keys, secret
finding, go_on = threading.Event(), threading.Event()
def slowly(find=secret._find):
    finding.set()
    go_on.wait()
    return find()
secret._find, plainly = slowly, secret._find
thread = threading.Thread(target=secret.seal, args=(b"x",))
thread.start()
finding.wait()
child = os.fork()
if child == 0:
    secret._find = plainly
    os._exit(0 if secret.unseal(secret.seal(b"x")) == b"x" else 1)
go_on.set()
thread.join()
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    finished = subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=30)
    assert finished.returncode == 0
