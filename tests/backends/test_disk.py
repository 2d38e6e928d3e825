"""What a folder can do to a store, and what the store does to a folder."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pickle
import shutil
import sqlite3
import stat
import time
import warnings
from pathlib import Path

import pytest

from cascade_nb.backends import eviction, objects, open_store, outages, rows
from cascade_nb.backends import folder as folder_module
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.errors import BackendError, CacheWarning, ConfigurationError
from tests.backends.contents import LARGE, MIDDLE, SMALL, content, recorded
from tests.backends.test_contract import keep

KEY = "a" * 64


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def files(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "cache.db" not in path.name
    )


class TestFolder:
    async def test_nothing_is_written_before_the_first_use(self, folder):
        backend = DiskCacheBackend(folder)
        assert not folder.exists()
        await backend.read_record(KEY)
        assert folder.exists()

    async def test_it_is_the_users_alone_and_marked_as_a_cache(self, disk, folder):
        await keep(disk, KEY, MIDDLE)
        assert {mode(path) for path in [folder, *folder.rglob("*")] if path.is_dir()} == {0o700}
        assert {mode(path) for path in folder.glob("cache.db*")} == {0o600}
        assert {mode(path) for path in (folder / "objects").rglob("*") if path.is_file()} == {0o600}
        assert (folder / ".gitignore").read_text() == "*\n"
        assert (folder / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f")
        assert (folder / "FORMAT").read_text() == "1\n"

    async def test_a_folder_with_other_things_in_it_keeps_them(self, folder):
        folder.mkdir(mode=0o755)
        (folder / ".gitignore").write_text("mine\n")
        (folder / "thesis.txt").write_text("mine")
        backend = DiskCacheBackend(folder)
        await keep(backend, KEY, MIDDLE)
        await backend.clear()
        assert (folder / ".gitignore").read_text() == "mine\n"
        assert (folder / "thesis.txt").read_text() == "mine"
        assert mode(folder) == 0o755
        assert mode(folder / "cache.db") == 0o600

    async def test_a_relative_path_means_the_folder_of_the_time(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        backend = DiskCacheBackend("store")
        monkeypatch.chdir("/")
        await backend.write_record(KEY, b"1", None)
        assert (tmp_path / "store" / "cache.db").exists()

    @pytest.mark.parametrize("size", [0, -1, "many", None, True, float("nan")])
    def test_a_bad_size_is_refused(self, folder, size):
        with pytest.raises(ConfigurationError, match="size must be positive"):
            DiskCacheBackend(folder, size=size)

    @pytest.mark.parametrize("path", [None, 5, b"bytes", "", "a\0b"])
    def test_a_bad_path_is_refused(self, path):
        with pytest.raises(ConfigurationError, match="disk store"):
            DiskCacheBackend(path)

    async def test_results_are_there_in_the_next_session(self, folder):
        first = DiskCacheBackend(folder)
        cid = await keep(first, KEY, LARGE)
        first.close()
        second = DiskCacheBackend(folder)
        assert await second.read_record(KEY) == b"r" * 100
        assert await second.read_note(KEY) == b"n" * 10
        assert await second.has_content(cid)
        assert await second.size() == LARGE + 110


class TestBrokenFolder:
    async def test_a_file_in_its_place_is_one_line_with_a_way_out(self, folder):
        folder.write_text("not a folder")
        with pytest.raises(BackendError) as caught:
            await DiskCacheBackend(folder).read_record(KEY)
        message = str(caught.value)
        assert message == f"the store {folder} is a file, not a folder; {WAY_OUT}"
        assert caught.value.server == str(folder)
        assert folder.read_text() == "not a folder"

    async def test_a_folder_that_cannot_be_made(self, folder):
        folder.write_text("a file")
        with pytest.raises(BackendError) as caught:
            await DiskCacheBackend(folder / "below").write_record(KEY, b"1", None)
        assert str(caught.value) == f"the store {folder}/below fails: Not a directory; {WAY_OUT}"

    async def test_a_folder_without_rights(self, folder, monkeypatch):
        # Tests may run as root, whom no rights stop.
        def refused(*_, **__):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))

        monkeypatch.setattr(os, "makedirs", refused)
        with pytest.raises(BackendError, match=f"{folder} fails: Permission denied; choose"):
            await DiskCacheBackend(folder).read_record(KEY)

    async def test_it_costs_nothing_after_the_first_time(self, folder, monkeypatch):
        folder.write_text("not a folder")
        backend = DiskCacheBackend(folder)
        opened = []
        monkeypatch.setattr(
            open_store, "prepare", lambda path: opened.append(path) or folder_module.prepare(path)
        )
        for _ in range(5):
            with pytest.raises(BackendError, match="is a file"):
                await backend.read_record(KEY)
        assert len(opened) == 1

    async def test_it_comes_back_by_itself(self, folder, monkeypatch):
        folder.write_text("not a folder")
        backend = DiskCacheBackend(folder)
        with pytest.raises(BackendError):
            await backend.read_record(KEY)
        folder.unlink()
        later = time.monotonic() + outages.FIRST_RETRY_SECONDS + 1
        monkeypatch.setattr(outages.time, "monotonic", lambda: later)
        with pytest.raises(BackendError):
            await backend.read_record(KEY)
        await asyncio.to_thread(backend._breaker._retry.join, 10)
        await backend.write_record(KEY, b"back", None)
        assert await backend.read_record(KEY) == b"back"

    async def test_the_public_face_warns_once(self, folder):
        folder.write_text("not a folder")
        backend = DiskCacheBackend(folder)
        with recorded() as texts:
            await backend.set("key", 1)
            assert await backend.get("key") is None
        assert texts == [
            f"values are not cached: the store {folder} is a file, not a folder; {WAY_OUT}"
        ]

    @pytest.mark.parametrize("text", ["2\n", "17", "nonsense", ""])
    async def test_a_store_of_a_newer_format_is_left_alone(self, folder, text):
        first = DiskCacheBackend(folder)
        await keep(first, KEY, MIDDLE)
        first.close()
        (folder / "FORMAT").write_text(text)
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        backend = DiskCacheBackend(folder)
        with pytest.raises(BackendError, match=r"format.* is left alone: upgrade cascade-nb, or"):
            await backend.read_record(KEY)
        with pytest.warns(CacheWarning, match="left alone"):
            await backend.set("key", 1)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    async def test_a_folder_deleted_in_mid_session_is_made_again(self, disk, folder):
        cid = await keep(disk, KEY, MIDDLE)
        shutil.rmtree(folder)
        assert await disk.read_content(cid) is None
        again = await keep(disk, "other", LARGE)
        assert await disk.read_record(KEY) is None
        assert await disk.read_record("other") is not None
        other = DiskCacheBackend(folder)
        assert memoryview(await other.read_content(again)).nbytes == LARGE

    async def test_a_folder_of_objects_deleted_in_mid_session(self, disk, folder):
        cid = await keep(disk, KEY, MIDDLE)
        shutil.rmtree(folder / "objects")
        assert await disk.read_content(cid) is None
        assert not await disk.has_content(cid)
        cid = await keep(disk, KEY, MIDDLE)
        assert await disk.read_content(cid) is not None


async def all_in_turn(coroutines) -> None:
    for coroutine in coroutines:
        await coroutine


WAY_OUT = 'choose another with configure(store="...") or CASCADE_STORE'


def plant_settings(path: Path, *settings: tuple[str, object]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT OR REPLACE INTO Settings VALUES (?, ?)", settings)


def foreign_database(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE Cache (other TEXT)")


def wrong_count(path: Path) -> None:
    plant_settings(path, ("size", "a lot"))


DAMAGE = {
    "garbage": lambda path: path.write_bytes(os.urandom(20_000)),
    "garbage after the header": lambda path: path.write_bytes(
        path.read_bytes()[:100] + os.urandom(20_000)
    ),
    "short": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "foreign": foreign_database,
    "wrong count": wrong_count,
    "hidden method": lambda path: plant_settings(path, ("close", 1)),
    "bad pragma": lambda path: plant_settings(path, ("sqlite_nonsense)", "(")),
}


class TestDamagedTable:
    @pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
    async def test_it_is_moved_aside_and_begun_anew_with_one_warning(self, folder, damage):
        first = DiskCacheBackend(folder)
        cid = await keep(first, KEY, MIDDLE)
        first.close()
        damage(folder / "cache.db")
        backend = DiskCacheBackend(folder)
        with pytest.warns(CacheWarning, match=r"was damaged; it was moved to cache\.db\.broken-"):
            assert await backend.read_record(KEY) is None
        assert len(list(folder.glob("cache.db.broken-*"))) == 1
        assert await backend.size() == 0
        cid = await keep(backend, KEY, MIDDLE)
        assert await backend.read_record(KEY) is not None
        assert await backend.has_content(cid)
        await wait_until(lambda: files(folder / "objects") == [f"{cid[-2:]}/{cid}"])
        await backend.clear()
        assert not list(folder.glob("cache.db.broken-*"))

    @pytest.mark.parametrize(
        "settings", [("read", 1), ("transact", "x"), ("set", None), ("_sql", 1)]
    )
    async def test_planted_settings_hide_no_method(self, folder, settings):
        first = DiskCacheBackend(folder)
        await first.write_record(KEY, b"1", None)
        first.close()
        plant_settings(folder / "cache.db", settings)
        backend = DiskCacheBackend(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)
            await backend.read_record(KEY)
        await backend.write_record(KEY, b"2", None)
        assert await backend.read_record(KEY) == b"2"

    async def test_an_empty_table_is_a_new_one(self, folder):
        first = DiskCacheBackend(folder)
        await keep(first, KEY, MIDDLE)
        first.close()
        (folder / "cache.db").write_bytes(b"")
        backend = DiskCacheBackend(folder)
        assert await backend.read_record(KEY) is None
        await wait_until(lambda: files(folder / "objects") == [])

    async def test_damage_that_is_found_in_mid_session(self, disk, folder):
        for number in range(300):
            await disk.write_record(f"{number}", os.urandom(2000), None)
        disk.close()
        database = folder / "cache.db"
        pages = bytearray(database.read_bytes())
        assert len(pages) > 500_000
        for start in range(40 * 4096, len(pages), 4096):
            pages[start : start + 4096] = os.urandom(4096)
        database.write_bytes(pages)
        failed = 0
        with recorded() as texts:
            for number in range(300):
                try:
                    await disk.read_record(f"{number}")
                except BackendError:
                    failed += 1
        assert failed == 1
        assert ["was damaged" in text for text in texts] == [True]
        await disk.write_record(KEY, b"works", None)
        assert await disk.read_record(KEY) == b"works"


async def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


class TestHostileBytes:
    @pytest.fixture
    def mark(self, tmp_path: Path) -> Path:
        return tmp_path / "executed"

    @pytest.fixture
    def bomb(self, mark: Path) -> bytes:
        return pickle.dumps(Bomb(mark))

    async def fill(self, folder: Path) -> None:
        backend = DiskCacheBackend(folder)
        await backend.set("small", [1, 2, 3])
        await backend.set("large", "x" * LARGE)
        await backend.write_note("note", b"note")
        backend.close()

    async def assert_unharmed(self, folder: Path, mark: Path) -> None:
        backend = DiskCacheBackend(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)
            assert await backend.get("small") is None
            assert await backend.get("large") is None
            with contextlib.suppress(BackendError):
                [item async for item in backend.records()]
                await backend.read_note("note")
                await keep(backend, "new", MIDDLE)
                await backend.clear()
        assert not mark.exists()
        backend.close()

    async def test_every_file_replaced_by_a_pickle(self, folder, bomb, mark):
        await self.fill(folder)
        for path in folder.rglob("*"):
            if path.is_file():
                path.write_bytes(bomb)
        await self.assert_unharmed(folder, mark)

    async def test_every_file_but_the_marks_replaced(self, folder, bomb, mark):
        await self.fill(folder)
        for path in folder.rglob("*"):
            if path.is_file() and path.name not in ("FORMAT",):
                path.write_bytes(bomb)
        await self.assert_unharmed(folder, mark)

    @pytest.mark.parametrize("row_mode", [0, 1, 2, 3, 4])
    @pytest.mark.parametrize("in_file", [False, True])
    async def test_every_row_turned_into_a_pickle(self, folder, bomb, mark, row_mode, in_file):
        await self.fill(folder)
        (folder / "planted.val").write_bytes(bomb)
        columns = ("planted.val", None) if in_file else (None, bomb)
        with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
            connection.execute(
                "UPDATE Cache SET mode = ?, filename = ?, value = ?", (row_mode, *columns)
            )
        await self.assert_unharmed(folder, mark)
        assert (folder / "planted.val").exists(), "a row had a file removed that is not ours"

    async def test_keys_that_are_pickles(self, folder, bomb, mark):
        await self.fill(folder)
        with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
            connection.execute("UPDATE Cache SET key = key || ?, raw = 0", (bomb,))
        await self.assert_unharmed(folder, mark)

    @pytest.mark.parametrize("planted", ["text", 7, 1.5, None, b""])
    async def test_rows_of_other_types(self, folder, planted):
        await self.fill(folder)
        with contextlib.closing(sqlite3.connect(folder / "cache.db")) as connection, connection:
            connection.execute(
                "INSERT INTO Cache (key, raw, store_time, expire_time, access_time, tag, size,"
                " mode, value) VALUES (?, 1, ?, ?, ?, 'root', 1, 1, ?)",
                (b"rplanted", planted, planted, planted, planted),
            )
            connection.execute(
                "INSERT INTO Cache (key, raw, tag, size, mode) VALUES (?, 1, 'root', 1, 2)",
                (planted,),
            )
            for content_name in (planted, b"c../x", b"\xff", b"c\xff"):
                if content_name is not None:
                    connection.execute(
                        "INSERT INTO Needs VALUES (?, ?)", (b"rplanted", content_name)
                    )
        backend = DiskCacheBackend(folder, size=LARGE + 1_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CacheWarning)
            await backend.read_record("planted")
            [item async for item in backend.records()]
            for attempt in (keep(backend, "new", MIDDLE), backend.delete_record("planted")):
                with contextlib.suppress(BackendError):
                    await attempt
            await keep(backend, "newer", MIDDLE)
        assert await backend.read_record("newer") is not None
        assert await backend.size() <= LARGE + 1_000

    @pytest.mark.parametrize("cid", ["../../../etc/passwd", "a/b", "", ".", "bafk\0", "B" * 59])
    async def test_what_is_no_cid_reaches_no_file(self, disk, cid):
        for action in (disk.write_content(cid, [b"x" * MIDDLE]), disk.write_content(cid, [b"x"])):
            with pytest.raises(BackendError, match="not a CID"):
                await action
        assert await disk.read_content(cid) is None

    async def test_damaged_files_are_nothing(self, disk, folder):
        cid = await keep(disk, KEY, MIDDLE)
        path = folder / "objects" / cid[-2:] / cid
        data = path.read_bytes()
        for damaged in (b"", data[:-1], data + b"x"):
            path.write_bytes(damaged)
            assert await disk.read_content(cid) is None
            assert not await disk.has_content(cid)
        path.unlink()
        path.mkdir()
        with pytest.raises(BackendError, match="Is a directory"):
            await disk.read_content(cid)
        path.rmdir()
        assert await disk.read_content(cid) is None
        await disk.write_content(cid, [data])
        assert memoryview(await disk.read_content(cid)) == data


class TestFullDisk:
    async def test_the_last_tenth_is_left_free(self, disk, monkeypatch):
        cids = [await keep(disk, key, 100_000) for key in "abc"]
        usage = type(shutil.disk_usage("/"))
        free = 150_000
        monkeypatch.setattr(
            eviction, "disk_usage", lambda _: usage(1_000_000, 1_000_000 - free, free)
        )
        await keep(disk, "d", 120_000)
        assert await disk.read_record("a") is None
        assert await disk.read_record("d") is not None
        held = await disk.size()
        assert await disk.capacity() == held + 50_000
        free = 50_000
        cid, _ = content(MIDDLE)
        for size in (held, 2 * held):
            with pytest.raises(BackendError, match="leaves the last tenth of the disk free"):
                await disk.write_content(cid, [b"x" * size])
        assert await disk.size() == held, "something was evicted for what cannot fit"
        assert await disk.has_content(cids[2])
        free = 0
        with pytest.raises(BackendError, match="last tenth"):
            await disk.write_record("tiny", b"1" * 300_000, None)

    @pytest.mark.parametrize("size", [MIDDLE, LARGE])
    async def test_no_space_while_content_is_written(self, disk, folder, monkeypatch, size):
        kept = await keep(disk, KEY, MIDDLE)
        cid, data = content(size)

        def half(draft, pieces):
            Path(draft._path).write_bytes(data[: size // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(objects.Draft, "write", half)
        with pytest.raises(BackendError, match="No space left on device"):
            await disk.write_content(cid, [data])
        monkeypatch.undo()
        assert files(folder / "partial") == [f for f in files(folder / "partial") if ".lock" in f]
        assert not await disk.has_content(cid)
        assert await disk.has_content(kept)
        await disk.write_content(cid, [data])
        assert memoryview(await disk.read_content(cid)) == data

    async def test_no_space_in_the_table(self, disk):
        await disk.write_record(KEY, b"kept", None)
        cache = disk._store.rows._cache
        ((pages,),) = cache._con.execute("PRAGMA page_count")
        cache._con.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        writes = (disk.write_record(f"{number}", b"x" * 5000, None) for number in range(100))
        with pytest.raises(BackendError, match="database or disk is full"):
            await all_in_turn(writes)
        assert await disk.read_record(KEY) == b"kept"
        await disk.write_record("after", b"works again", None)
        assert await disk.read_record("after") == b"works again"

    async def test_a_file_in_place_without_its_row_is_removed(self, disk, folder, monkeypatch):
        cid, data = content(MIDDLE)
        publish = objects.Draft.publish

        def publish_and_fail(draft):
            publish(draft)
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(objects.Draft, "publish", publish_and_fail)
        with pytest.raises(BackendError, match="Input/output error"):
            await disk.write_content(cid, [data])
        assert files(folder / "objects") == []
        assert await disk.size() == 0


class TestClock:
    async def test_set_back_makes_results_with_a_ttl_doubtful(self, disk, monkeypatch):
        await disk.write_record("for a while", b"1", 1000.0)
        await disk.write_record("for good", b"2", None)
        hour_ago = time.time() - 3600
        monkeypatch.setattr(rows.time, "time", lambda: hour_ago)
        assert await disk.read_record("for a while") is None
        assert await disk.read_record("for good") == b"2"

    async def test_values_know_their_age_themselves(self, disk, monkeypatch):
        await disk.set("key", [1], ttl=1000)
        envelope = await disk.read_record("value:key")
        await disk.write_record("value:key", envelope, None)
        assert await disk.get("key") == [1]
        for shift in (-3600, 1001):
            with monkeypatch.context() as patch:
                then = time.time() + shift
                patch.setattr(time, "time", lambda then=then: then)
                assert await disk.get("key") is None


async def test_uses_reach_other_processes(disk, folder):
    """What was only read in one session is not the first to go in another."""
    for key in "ab":
        await keep(disk, key, 100_000)
    await disk.read_record("a")
    disk.close()
    other = DiskCacheBackend(folder, size=250_000)
    await keep(other, "c", 100_000)
    assert await other.read_record("a") is not None
    assert await other.read_record("b") is None


async def test_two_backends_on_one_folder_see_and_exclude_each_other(disk, folder):
    other = DiskCacheBackend(folder)
    await keep(disk, KEY, SMALL)
    assert await other.read_record(KEY) is not None
    lock = await disk.try_lock(KEY)
    assert await other.try_lock(KEY) is None
    lock.release()
    assert await other.try_lock(KEY) is not None
    assert await other.delete_record(KEY)
    assert await disk.read_record(KEY) is None


async def test_lock_files_do_not_pile_up(disk, folder):
    for number in range(20):
        (await disk.try_lock(f"{number}")).release()
    held = await disk.try_lock("held")
    (folder / "locks" / "of a dead holder").touch()
    DiskCacheBackend(folder)._open()
    assert len([name for name in os.listdir(folder / "locks") if name != "guard"]) == 1
    held.release()


async def test_it_starts_no_thread_to_read_a_record(disk, monkeypatch):
    await disk.write_record(KEY, b"1", None)

    async def refused(*_, **__):
        raise AssertionError("a small read went through a thread")

    monkeypatch.setattr("cascade_nb.backends.disk.in_thread", refused)
    assert await disk.read_record(KEY) == b"1"
    assert await disk.read_record("none") is None
    assert await disk.read_note(KEY) is None


async def test_a_read_waits_for_no_writer(disk):
    await disk.write_record(KEY, b"1", None)
    with disk._store.rows.transaction():
        disk._store.rows.write(b"r" + KEY.encode(), b"2", None, root=True)
        assert await disk.read_record(KEY) == b"1"
    assert await disk.read_record(KEY) == b"2"


async def test_a_writer_that_stands_still_is_waited_for_once(disk, folder, monkeypatch):
    monkeypatch.setattr(rows, "_PATIENCE_SECONDS", 0.05)
    await disk.write_record(KEY, b"1", None)
    other = DiskCacheBackend(folder)
    assert await other.read_record(KEY) == b"1"
    with disk._store.rows.transaction():
        with pytest.raises(BackendError, match="database is locked"):
            await other.write_record(KEY, b"2", None)
        monkeypatch.setattr(asyncio, "to_thread", None)
        with pytest.raises(BackendError, match="database is locked"):
            await other.write_record(KEY, b"2", None)
        assert await other.read_record(KEY) == b"1"
        monkeypatch.undo()
    other._breaker._try()
    await other.write_record(KEY, b"2", None)
    assert await disk.read_record(KEY) == b"2"


async def test_expired_results_are_removed_when_a_store_is_opened(folder, monkeypatch):
    first = DiskCacheBackend(folder)
    cid = await keep(first, "short", MIDDLE, ttl=0.01)
    await keep(first, "long", MIDDLE, ttl=1000)
    first.close()
    await asyncio.sleep(0.02)
    assert await DiskCacheBackend(folder).size() == MIDDLE + 110
    assert len(files(folder / "objects")) == 1
    assert cid not in str(files(folder / "objects"))
