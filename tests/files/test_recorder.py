from __future__ import annotations

import asyncio
import glob
import importlib
import inspect
import io
import linecache
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from blake3 import blake3

from cascade_nb.files import (
    Recorder,
    content_digest,
    inherit,
    is_too_wide,
    names_digest,
    trees,
    verify,
)
from cascade_nb.records import Reads


def digest(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return blake3(data).hexdigest()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file `data.csv`, an older `old.csv` and a folder `images`."""
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("1,2")
    Path("images").mkdir()
    Path("images/a.png").write_bytes(b"a")
    Path("images/b.png").write_bytes(b"b")
    Path("old.csv").write_text("old")
    os.utime("old.csv", (1e9, 1e9))
    return tmp_path


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def write(name: str, text: str, mode: str = "w") -> None:
    with open(name, mode) as file:
        file.write(text)


def reads_of(run: Callable[[], object], candidates: tuple[str, ...] = ()) -> Reads:
    with Recorder(candidates) as recorder:
        run()
    assert recorder.changed is None
    return recorder.reads


WAYS_TO_READ: dict[str, Callable[[], object]] = {
    "open": lambda: open("data.csv").close(),
    "bytes": lambda: open(b"data.csv").close(),
    "binary": lambda: open("data.csv", "rb", buffering=0).close(),
    "absolute": lambda: open(os.path.abspath("data.csv")).close(),
    "parents": lambda: open("images/../data.csv").close(),
    "pathlib": lambda: Path("data.csv").read_text(),
    "os.open": lambda: os.close(os.open(Path("data.csv"), os.O_RDONLY)),
    "io.open_code": lambda: io.open_code(os.path.abspath("data.csv")).close(),
    "shutil": lambda: shutil.copy("data.csv", "copy.csv"),
    "update": lambda: open("data.csv", "r+").close(),
    "twice": lambda: (open("data.csv").close(), open("data.csv").close()),
}


@pytest.mark.parametrize("way", WAYS_TO_READ)
def test_what_is_read_counts_by_its_content(way: str) -> None:
    assert reads_of(WAYS_TO_READ[way]) == Reads(files={"data.csv": digest("1,2")})


def test_libraries_that_open_in_python_are_seen() -> None:
    numpy = pytest.importorskip("numpy")
    pandas = pytest.importorskip("pandas")
    numpy.save("array.npy", numpy.arange(3))
    reads = reads_of(lambda: (numpy.load("array.npy"), pandas.read_csv("data.csv")))
    assert set(reads.files) == {"array.npy", "data.csv"}


def test_nothing_is_noted_outside() -> None:
    recorder = Recorder()
    open("data.csv").close()
    with recorder:
        pass
    open("data.csv").close()
    assert recorder.reads == Reads()
    assert Recorder().reads == Reads()
    assert Recorder().changed is None


def test_a_file_that_was_not_there_is_noted_as_absent() -> None:
    def run() -> None:
        for name in ("absent.csv", "absent/too.csv", "data.csv/below"):
            with pytest.raises(OSError):
                read(name)

    assert reads_of(run) == Reads(
        files={"absent.csv": None, "absent/too.csv": None, "data.csv/below": None}
    )


def test_to_ask_whether_it_exists_is_not_to_read() -> None:
    assert not reads_of(lambda: (os.path.exists("data.csv"), os.stat("data.csv")))


@pytest.mark.parametrize(
    "listing",
    [
        lambda: os.listdir("images"),
        lambda: list(os.scandir("images")),
        lambda: glob.glob("images/*.png"),
        lambda: list(Path("images").iterdir()),
        lambda: list(Path("images").glob("*")),
        lambda: list(os.walk("images")),
    ],
)
def test_listed_folders_count_by_their_names(listing: Callable[[], object]) -> None:
    reads = reads_of(listing)
    assert reads == Reads(folders={"images": names_digest("images")})
    assert verify(reads) is None
    Path("images/a.png").write_bytes(b"changed")
    assert verify(reads) is None
    Path("images/c.png").write_bytes(b"c")
    assert verify(reads) == "folder `images` has other names"


def test_the_working_folder_and_absent_folders_are_folders_too() -> None:
    def run() -> None:
        os.listdir()
        with pytest.raises(FileNotFoundError):
            os.listdir("absent")

    assert reads_of(run) == Reads(folders={".": names_digest("."), "absent": None})


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd")
def test_a_file_opened_in_the_folder_of_a_descriptor() -> None:
    descriptor = os.open("images", os.O_RDONLY)

    def read() -> None:
        os.close(os.open("x.txt", os.O_RDONLY, dir_fd=descriptor))

    try:
        Path("images/x.txt").write_text("1")
        assert reads_of(read).files["images/x.txt"]
        write("images/y.txt", "1")
        opener = partial(os.open, dir_fd=descriptor)
        assert reads_of(lambda: open("y.txt", opener=opener).close()).files["images/y.txt"]
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd")
def test_a_file_written_in_the_folder_of_a_descriptor_is_no_other_file() -> None:
    descriptor = os.open("images", os.O_RDONLY)

    def run() -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        os.close(os.open("data.csv", flags, dir_fd=descriptor))
        read("data.csv")

    try:
        assert reads_of(run).files == {"data.csv": digest("1,2")}
    finally:
        os.close(descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/fd")
def test_a_folder_listed_by_its_descriptor() -> None:
    descriptor = os.open("images", os.O_RDONLY)
    try:
        assert set(reads_of(lambda: os.listdir(descriptor)).folders) == {"images"}
    finally:
        os.close(descriptor)


def write_then_read() -> None:
    write("new.csv", "new")
    read("new.csv")
    write("data.csv", "mine")
    read("data.csv")


def use_a_temporary_folder() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(os.path.join(folder, "x"), "x")
        os.listdir(folder)
        read(os.path.join(folder, "x"))
        # as native code would write it
        subprocess.run(["cp", "data.csv", os.path.join(folder, "y")], check=True)
        read(os.path.join(folder, "y"))


def use_temporary_files() -> None:
    with tempfile.NamedTemporaryFile("w+") as file:
        file.write("x")
        file.flush()
        read(file.name)
    with tempfile.TemporaryFile() as unnamed:
        unnamed.write(b"x")


def write_and_rename() -> None:
    write("draft", "x")
    os.replace("draft", "data.csv")
    read("data.csv")


def make_exclusively() -> None:
    write("new.csv", "new", "x")
    read("new.csv")


def append_to_a_new_file() -> None:
    write("new.log", "new", "a")
    read("new.log")


def make_and_rename_a_folder() -> None:
    os.makedirs("draft/deep")
    write("draft/deep/x", "x")
    os.rename("draft", "made")
    os.listdir("made")
    read("made/deep/x")


def only_append() -> None:
    write("data.csv", "\n3,4", "a")


@pytest.mark.parametrize(
    "run",
    [
        write_then_read,
        use_a_temporary_folder,
        use_temporary_files,
        write_and_rename,
        make_exclusively,
        append_to_a_new_file,
        make_and_rename_a_folder,
        only_append,
    ],
)
def test_what_the_run_wrote_first_is_no_input(run: Callable[[], object]) -> None:
    assert reads_of(run) == Reads()


def test_what_was_there_before_an_addition_is_an_input() -> None:
    def run() -> None:
        write("data.csv", "\n3,4", "a")
        read("data.csv")

    assert reads_of(run) == Reads(files={"data.csv": digest("1,2")})


def test_a_file_that_could_not_be_made_is_read() -> None:
    def run() -> None:
        with pytest.raises(FileExistsError):
            write("data.csv", "", "x")
        read("data.csv")

    assert reads_of(run) == Reads(files={"data.csv": digest("1,2")})


def test_the_content_counts_as_first_read() -> None:
    def run() -> None:
        count = int(Path("count").read_text())
        Path("count").write_text(str(count + 1))
        Path("count").read_text()

    Path("count").write_text("1")
    reads = reads_of(run)
    assert reads == Reads(files={"count": digest("1")})
    assert verify(reads) == "file `count` changed"


def test_a_file_that_is_read_and_removed() -> None:
    def run() -> None:
        read("data.csv")
        os.remove("data.csv")

    assert reads_of(run) == Reads(files={"data.csv": digest("1,2")})


def test_a_file_that_somebody_changes_meanwhile_is_told() -> None:
    with Recorder() as recorder:
        read("data.csv")
        subprocess.run(["sh", "-c", "echo changed > data.csv"], check=True)
    assert recorder.changed == "file `data.csv` changed"


def test_a_file_that_is_only_touched_is_not() -> None:
    with Recorder() as recorder:
        read("data.csv")
        os.utime("data.csv", (1e9, 1e9))
    assert recorder.changed is None


def test_folders_pipes_and_devices_are_no_files() -> None:
    def run() -> None:
        os.close(os.open("images", os.O_RDONLY))
        os.close(os.open("pipe", os.O_RDONLY | os.O_NONBLOCK))
        open(os.devnull).close()
        if sys.platform == "linux":
            open("/proc/self/status").close()
            os.listdir("/proc")

    os.mkfifo("pipe")
    assert reads_of(run) == Reads()


def test_caches_and_libraries_are_no_inputs(own_home: Path) -> None:
    cached = own_home / ".cache" / "models" / "weights"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"w")
    elsewhere = own_home / "weights"
    elsewhere.write_bytes(b"w")

    def run() -> None:
        cached.read_bytes()
        os.listdir(cached.parent)
        elsewhere.read_bytes()
        Path(os.__file__).read_bytes()
        Path(pytest.__file__).read_bytes()
        Path(inspect.getfile(Recorder)).read_bytes()

    assert reads_of(run) == Reads(files={"~/weights": digest(b"w")})


def test_what_python_reads_for_itself_is_no_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(os.getcwd())
    Path("a_module.py").write_text("def f():\n    raise ValueError\n")
    Path("a_package").mkdir()
    Path("a_package/__init__.py").write_text("")

    def run() -> None:
        module = importlib.import_module("a_module")
        importlib.import_module("a_package")
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("no_such_module_anywhere")
        inspect.getsource(module.f)
        try:
            module.f()
        except ValueError:
            traceback.format_exc()
        linecache.checkcache()
        linecache.getlines(os.path.abspath("a_module.py"))
        list(importlib.metadata.distributions())

    import importlib.metadata

    assert reads_of(run) == Reads()


def test_a_module_that_reads_while_it_is_imported_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(os.getcwd())
    Path("settings_module.py").write_text(
        "with open('data.csv') as file:\n    text = file.read()\n"
    )
    reads = reads_of(lambda: importlib.import_module("settings_module"))
    assert reads == Reads(files={"data.csv": digest("1,2")})


def test_data_beside_a_module_is_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    import pkgutil
    from importlib import resources

    monkeypatch.syspath_prepend(os.getcwd())
    Path("with_data").mkdir()
    Path("with_data/__init__.py").write_text("")
    Path("with_data/table.csv").write_text("t")
    importlib.import_module("with_data")
    expected = Reads(files={"with_data/table.csv": digest("t")})
    assert reads_of(lambda: resources.files("with_data").joinpath("table.csv").read_text()) == (
        expected
    )
    # The import system's own reader, asked for data
    assert reads_of(lambda: pkgutil.get_data("with_data", "table.csv")) == expected


def test_names_are_those_of_people(own_home: Path, tmp_path: Path) -> None:
    (own_home / "mine.csv").write_text("m")
    Path("~odd").write_text("o")
    Path("sub").mkdir()
    Path("sub/x").write_text("x")
    outside = Path(tempfile.mkdtemp()) / "y"
    outside.write_text("y")

    def run() -> None:
        for path in (own_home / "mine.csv", "~odd", outside):
            open(path).close()
        os.chdir("sub")
        open("x").close()
        os.chdir("..")

    try:
        reads = reads_of(run)
        assert reads == Reads(
            files={
                "~/mine.csv": digest("m"),
                "./~odd": digest("o"),
                outside.as_posix(): digest("y"),
                "sub/x": digest("x"),
            }
        )
        assert verify(reads) is None
    finally:
        shutil.rmtree(outside.parent)


@pytest.mark.skipif(sys.platform != "linux", reason="file names of any bytes")
def test_names_that_are_no_unicode_are_never_found_again() -> None:
    name = b"caf\xe9.csv"
    with open(name, "w"):
        pass
    reads = reads_of(lambda: open(name).close())
    (shown,) = reads.files
    shown.encode()
    assert verify(reads) is not None


def test_symbolic_links_count_by_what_they_lead_to() -> None:
    os.symlink("data.csv", "link.csv")
    reads = reads_of(lambda: read("link.csv"))
    assert reads == Reads(files={"link.csv": digest("1,2")})
    os.remove("link.csv")
    os.symlink("old.csv", "link.csv")
    assert verify(reads) == "file `link.csv` changed"


def test_candidates_that_the_run_leaves_alone_count() -> None:
    candidates = (
        "data.csv",
        "old.csv",
        "absent.csv",
        "a\0b",
        "\udcff../\ud800",
        "",
        ".",
    )
    reads = reads_of(lambda: None, candidates)
    was = {"data.csv": digest("1,2"), "old.csv": digest("old")}
    assert reads == Reads(files={**was, "absent.csv": None})


def natively(command: str) -> Callable[[], object]:
    return lambda: subprocess.run(["sh", "-c", command], check=True)


def test_an_absent_candidate_that_the_run_makes_does_not_count() -> None:
    assert not reads_of(natively("echo out > out.csv"), ("out.csv",))
    assert not reads_of(natively("mkdir out; echo out > out/a.csv"), ("out",))
    assert not reads_of(lambda: write("made.csv", "made"), ("made.csv",))


def test_an_absent_candidate_that_appears_is_told() -> None:
    reads = reads_of(lambda: None, ("absent.csv", "absent"))
    Path("absent").mkdir()
    assert verify(reads) == "file `absent` has appeared"
    Path("absent").rmdir()
    assert verify(reads) is None
    write("absent.csv", "")
    assert verify(reads) == "file `absent.csv` has appeared"


def test_a_folder_stands_for_all_the_files_in_it() -> None:
    Path("images/deep").mkdir()
    write("images/deep/.hidden", "h")
    reads = reads_of(lambda: None, ("images",))
    assert reads.files == {
        "images/a.png": digest("a"),
        "images/b.png": digest("b"),
        "images/deep/.hidden": digest("h"),
    }
    assert list(reads.folders) == ["images/**"]
    Path("images/empty").mkdir()
    assert verify(reads) is None
    write("images/empty/c.png", "c")
    assert verify(reads) == "folder `images/**` has other names"
    os.remove("images/empty/c.png")
    assert verify(reads) is None
    shutil.rmtree("images")
    assert verify(reads) is not None
    assert verify(Reads(folders=reads.folders)) == "folder `images/**` is gone"


@pytest.mark.parametrize(
    ("pattern", "names"),
    {
        "*.csv": {"data.csv", "old.csv"},
        "./d*.csv": {"data.csv"},
        "images/[a]*": {"images/a.png"},
        "im?ges/b.png": {"images/b.png"},
        "i*": {"images/a.png", "images/b.png"},
        "images/**/*.png": {"images/a.png", "images/b.png"},
        "images/*.csv": set(),
    }.items(),
)
def test_a_pattern_stands_for_what_it_matches(pattern: str, names: set[str]) -> None:
    reads = reads_of(lambda: None, (pattern, os.path.abspath(pattern)))
    assert {name for name, was in reads.files.items() if was is not None} == names
    (kept,) = reads.folders
    assert kept == pattern.removeprefix("./")
    assert verify(reads) is None
    for name in names:
        os.rename(name, name + ".away")
        assert verify(Reads(folders=reads.folders)) == (f"folder `{kept}` has other names")
        os.rename(name + ".away", name)


def test_a_pattern_whose_folder_appears_or_is_listed_too() -> None:
    reads = reads_of(lambda: os.listdir("images"), ("absent/*.csv", "images"))
    assert reads.folders["absent/*.csv"] is None
    assert {"images", "images/**"} < set(reads.folders)
    assert verify(reads) is None
    Path("absent").mkdir()
    assert verify(reads) == "folder `absent/*.csv` has appeared"


def test_names_that_look_like_patterns() -> None:
    Path("d[1]").mkdir()
    write("d[1]/a", "a")
    write("d[1]/f[2]", "f")
    reads = reads_of(lambda: None, ("d[1]", "d[1]/f[2]"))
    assert reads.files["d[1]/a"] == digest("a")
    assert reads.files["d[1]/f[2]"] == digest("f")
    assert verify(reads) is None
    write("d[1]/b", "b")
    assert verify(reads) == "folder `d[[]1]/**` has other names"


def test_names_that_the_run_adds_to_others_are_news_at_the_next_one() -> None:
    reads = reads_of(natively("echo c > images/c.png"), ("images/*.png",))
    assert verify(reads) == "folder `images/*.png` has other names"
    reads = reads_of(natively("echo d > images/c.png"), ("images/*.png",))
    assert verify(reads) is None
    assert "images/c.png" not in reads.files
    assert not reads_of(natively("echo c > images/c.csv"), ("images/*.csv",)).folders


def test_folders_around_everything_are_too_wide(
    monkeypatch: pytest.MonkeyPatch, folder: Path, own_home: Path
) -> None:
    wide = (".", "./", "/", "~", "..", str(folder), str(folder.parent), "**/*.csv", "*/../*.csv")
    assert all(map(is_too_wide, wide))
    assert not reads_of(lambda: None, wide).folders
    assert not any(map(is_too_wide, ("images", "*.csv", "data.csv", "absent", "a\0b", "\ud800*")))
    monkeypatch.setattr(trees, "_MOST_ENTRIES", 1)
    assert is_too_wide("images")
    assert verify(Reads(folders={"images/**": "0"})) == "folder `images/**` has other names"


def test_links_in_circles_end() -> None:
    os.symlink(".", "images/again")
    os.symlink("self", "images/self")
    assert not is_too_wide("images")
    assert "images/a.png" in reads_of(lambda: None, ("images",)).files


def test_an_outer_recorder_counts_patterns_too() -> None:
    with Recorder() as outer, Recorder(("images/*.png",)) as inner:
        pass
    assert outer.reads == inner.reads
    again = Recorder()
    with again:
        inherit(inner.reads)
    assert again.reads == inner.reads


@pytest.mark.parametrize("name", ["data.csv", "old.csv"])
def test_candidates_that_the_run_changes_do_not(name: str) -> None:
    natively = ["sh", "-c", f"echo out > {name}"]
    assert not reads_of(lambda: subprocess.run(natively, check=True), (name,))
    assert not reads_of(lambda: write(name, "out"), (name,))
    assert not reads_of(lambda: os.remove(name), (name,))
    assert not reads_of(lambda: write(name, "made"), (name,))


def test_a_candidate_that_is_read_counts_once_as_first_read(own_home: Path) -> None:
    (own_home / "mine.csv").write_text("m")
    reads = reads_of(lambda: read("data.csv"), ("data.csv", "~/mine.csv"))
    assert reads == Reads(files={"data.csv": digest("1,2"), "~/mine.csv": digest("m")})


def test_an_outer_recorder_sees_what_inner_ones_see() -> None:
    with Recorder() as outer:
        write("made.csv", "made")
        with Recorder(("old.csv",)) as inner:
            read("data.csv")
            read("made.csv")
            os.listdir("images")
        open("images/a.png").close()
    folders = {"images": names_digest("images")}
    assert inner.reads == Reads(
        files={"data.csv": digest("1,2"), "made.csv": digest("made"), "old.csv": digest("old")},
        folders=folders,
    )
    assert outer.reads == Reads(
        files={"data.csv": digest("1,2"), "old.csv": digest("old"), "images/a.png": digest("a")},
        folders=folders,
    )


def test_a_hit_inside_hands_its_files_on() -> None:
    known = Reads(files={"data.csv": digest("1,2"), "x": None}, folders={"images": "1" * 64})
    with Recorder() as outer, Recorder() as inner:
        inherit(known)
    assert inner.reads == outer.reads == known
    with Recorder() as outer:
        pass
    outer.inherit(known)
    assert outer.reads == known
    inherit(known)  # nobody records


def test_an_inherited_file_that_changes_meanwhile_is_told() -> None:
    with Recorder() as recorder:
        inherit(Reads(files={"data.csv": digest("1,2")}))
        subprocess.run(["sh", "-c", "echo changed > data.csv"], check=True)
    assert recorder.changed == "file `data.csv` changed"


async def test_tasks_are_told_apart() -> None:
    begun = asyncio.Event()
    may_end = asyncio.Event()

    async def one() -> Reads:
        with Recorder() as recorder:
            begun.set()
            await may_end.wait()
            await asyncio.to_thread(lambda: open("data.csv").close())
        return recorder.reads

    async def two() -> Reads:
        await begun.wait()
        with Recorder() as recorder:
            open("old.csv").close()
            may_end.set()
            await asyncio.sleep(0)
        return recorder.reads

    first, second = await asyncio.gather(one(), two())
    assert first == Reads(files={"data.csv": digest("1,2")})
    assert second == Reads(files={"old.csv": digest("old")})


def test_threads_that_carry_no_recorder_count_for_all() -> None:
    def read() -> None:
        open("data.csv").close()

    with ThreadPoolExecutor(1) as pool, Recorder() as one:
        pool.submit(read).result()
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert one.reads == Reads(files={"data.csv": digest("1,2")})


def test_a_thread_with_a_recorder_of_its_own_counts_for_that() -> None:
    inside: list[Reads] = []

    def run() -> None:
        with Recorder() as recorder:
            open("data.csv").close()
        inside.append(recorder.reads)

    with Recorder() as other:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert inside == [Reads(files={"data.csv": digest("1,2")})]
    assert other.reads == Reads()


def test_a_generators_recorder_is_active_while_it_is_stepped() -> None:
    def lines() -> Iterator[str]:
        yield Path("data.csv").read_text()
        yield Path("old.csv").read_text()

    recorder = Recorder()
    steps = lines()
    for _ in range(2):
        recorder.start()
        next(steps)
        recorder.stop()
        Path("images/a.png").read_bytes()
    assert set(recorder.reads.files) == {"data.csv", "old.csv"}


def test_what_cannot_be_looked_at_makes_the_run_no_proof(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from cascade_nb.files import recorder as module

    def broken(path: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module, "look", broken)
    with Recorder() as recorder:
        assert read("data.csv") == "1,2"
    assert recorder.changed is not None
    assert "a file cannot be recorded" in caplog.text


def test_databases_count() -> None:
    with sqlite3.connect("data.db") as database:
        database.execute("create table t (x)")
    database.close()
    content = digest(Path("data.db").read_bytes())
    reads = reads_of(lambda: sqlite3.connect(Path("data.db")).close())
    assert reads == Reads(files={"data.db": content})
    assert not reads_of(lambda: sqlite3.connect(":memory:").close())
    assert not reads_of(lambda: sqlite3.connect("new.db").close())


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("file:a b.db?mode=ro", "a b.db"),
        ("file:a%20b.db?mode=rw&cache=private", "a b.db"),
        ("file:a%20b.db?mode=memory", None),
        ("file::memory:", None),
    ],
)
def test_a_uri_of_a_database_names_its_file(uri: str, name: str | None) -> None:
    sqlite3.connect("a b.db").executescript("create table t (x)").connection.close()
    reads = reads_of(lambda: sqlite3.connect(uri, uri=True).close())
    assert list(reads.files) == ([] if name is None else [name])


def test_content_digests() -> None:
    assert content_digest("data.csv") == digest("1,2")
    assert content_digest("absent") is None
    assert content_digest("images") is None
    assert content_digest("a\0b") is None
    large = os.urandom(3_000_001)
    Path("large").write_bytes(large)
    assert content_digest("large") == digest(large)


def test_the_hook_is_silent_in_a_process_that_never_records() -> None:
    code = "import cascade_nb.files.audit as a; assert not a._installed"
    subprocess.run([sys.executable, "-c", code], check=True)
