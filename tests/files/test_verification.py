from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from blake3 import blake3

from cascade_nb.files import Recorder, content_digest, names_digest, sight, verify
from cascade_nb.records import Reads


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sight, "_remembered", {})
    return tmp_path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths whose content is hashed."""
    paths: list[str] = []
    hash_file = sight._hash

    def noted(path: str) -> sight.Sight | None:
        paths.append(os.path.basename(path))
        return hash_file(path)

    monkeypatch.setattr(sight, "_hash", noted)
    return paths


def test_no_files_hold() -> None:
    assert verify(Reads()) is None


def test_reasons_name_the_path() -> None:
    Path("data.csv").write_text("1")
    Path("images").mkdir()
    was = content_digest("data.csv")
    names = names_digest("images")
    assert verify(Reads(files={"data.csv": was, "x": None}, folders={"images": names})) is None
    Path("data.csv").write_text("2")
    assert verify(Reads(files={"data.csv": was})) == "file `data.csv` changed"
    os.remove("data.csv")
    assert verify(Reads(files={"data.csv": was})) == "file `data.csv` is gone"
    Path("x").write_text("")
    assert verify(Reads(files={"x": None})) == "file `x` has appeared"
    Path("images/new").write_text("")
    assert verify(Reads(folders={"images": names})) == "folder `images` has other names"
    assert verify(Reads(folders={"images": None})) == "folder `images` has appeared"
    assert verify(Reads(folders={"absent": names})) == "folder `absent` is gone"


def test_a_file_of_the_same_size_and_times_is_still_read() -> None:
    path = Path("data.csv")
    path.write_text("1")
    os.utime(path, (1e9, 1e9))
    reads = Reads(files={"data.csv": content_digest("data.csv")})
    path.write_text("2")
    os.utime(path, (1e9, 1e9))
    assert verify(reads) == "file `data.csv` changed"


def test_names_are_told_apart() -> None:
    Path("a").mkdir()
    Path("b").mkdir()
    for name in ("x", "yz"):
        Path("a", name).write_text("")
    for name in ("xy", "z"):
        Path("b", name).write_text("")
    assert names_digest("a") != names_digest("b")


def test_only_old_files_are_taken_from_memory(
    hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "_keeps_times", lambda device: True)
    Path("data.csv").write_text("1")
    reads = Reads(files={"data.csv": content_digest("data.csv")})
    assert verify(reads) is None
    assert hashed == ["data.csv"] * 2  # it has just been written
    later = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert verify(reads) is None
    assert verify(reads) is None
    assert hashed == ["data.csv"] * 3
    # Set back by hand, but the inode's own time tells.
    Path("data.csv").write_text("2")
    os.utime("data.csv", (1e9, 1e9))
    assert verify(reads) == "file `data.csv` changed"


def test_file_systems_that_keep_no_times_are_always_read(
    hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "_keeps_times", lambda device: False)
    Path("data.csv").write_text("1")
    later = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    reads = Reads(files={"data.csv": content_digest("data.csv")})
    verify(reads)
    assert hashed == ["data.csv"] * 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sight, "_keeps_times", lambda device: True)
    monkeypatch.setattr(sight, "_MOST_REMEMBERED", 3)
    later = time.time_ns() + 3600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    for number in range(10):
        Path(f"{number}").write_text(f"{number}")
        assert content_digest(f"{number}") == blake3(f"{number}".encode()).hexdigest()
        assert len(sight._remembered) <= 3


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="Linux")
def test_file_systems_are_known_by_their_device() -> None:
    assert sight._file_system_of(os.stat("/proc").st_dev) == "proc"
    assert not sight._keeps_times(os.stat("/proc").st_dev)
    assert sight._file_system_of(0xFFFFFF) == ""


def test_checking_counts_as_reading_for_nobody() -> None:
    Path("data.csv").write_text("1")
    reads = Reads(files={"data.csv": content_digest("data.csv")}, folders={".": names_digest(".")})
    with Recorder() as recorder:
        assert verify(reads) is None
    assert recorder.reads == Reads()


def test_a_pipe_in_a_files_place_does_not_block() -> None:
    os.mkfifo("data.csv")
    assert verify(Reads(files={"data.csv": "0" * 64})) == "file `data.csv` is gone"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads all")
def test_a_file_that_may_not_be_read_is_absent() -> None:
    Path("data.csv").write_text("1")
    Path("data.csv").chmod(0)
    assert content_digest("data.csv") is None
