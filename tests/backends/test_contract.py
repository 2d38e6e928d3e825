"""What every store promises, whatever it is made of."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
import redis

from cascade_nb.backends import outages
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.tiered import TieredCacheBackend
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import BackendError, ContentTooLargeError
from cascade_nb.loop import run_sync
from cascade_nb.protocols import (
    CacheBackend,
    Flushes,
    Forgets,
    KeepsBytes,
    KeepsNotes,
    Lists,
    Locks,
)
from tests.backends.contents import LARGE, MIDDLE, SMALL, content

KEY = "a" * 64


async def test_it_keeps_bytes(store):
    assert isinstance(store, KeepsBytes)


async def test_ours_have_every_optional_protocol(backend):
    for protocol in (CacheBackend, Forgets, Lists, Locks):
        assert isinstance(backend, protocol)


async def note(backend, key: str, text: bytes) -> None:
    """Write a note, where the store keeps any: they never leave the machine."""
    if isinstance(backend, KeepsNotes):
        await backend.write_note(key, text)


async def noted(backend, key: str) -> bytes | None:
    return await backend.read_note(key) if isinstance(backend, KeepsNotes) else None


async def test_a_record_comes_back_until_it_is_replaced(store):
    assert await store.read_record(KEY) is None
    await store.write_record(KEY, b"first", None)
    assert await store.read_record(KEY) == b"first"
    await store.write_record(KEY, b"second", 1000.0)
    assert await store.read_record(KEY) == b"second"


async def test_any_text_is_a_key_and_no_two_are_one(store):
    keys = ["", "1", "a\0", "a\0b", "\ud800", "\ud801", "é", "e\u0301", "x" * 5000, "r", "../../x"]
    for number, key in enumerate(keys):
        await store.write_record(key, b"%d" % number, None)
    for number, key in enumerate(keys):
        assert await store.read_record(key) == b"%d" % number


@pytest.mark.parametrize("size", [0, SMALL, 32 * 1024, 32 * 1024 + 1, MIDDLE, LARGE])
async def test_content_comes_back_in_a_buffer_of_the_callers_own(store, size):
    cid, data = content(size)
    assert not await store.has_content(cid)
    assert await store.read_content(cid) is None
    await store.write_content(cid, [data[: size // 3], memoryview(data)[size // 3 :]])
    assert await store.has_content(cid)
    first = memoryview(await store.read_content(cid))
    assert first == data
    assert not first.readonly
    if size:
        first[0] ^= 1
        assert memoryview(await store.read_content(cid)) == data


async def test_what_a_store_was_given_may_change_afterwards(store):
    for size in (SMALL, MIDDLE, LARGE):
        cid, data = content(size)
        live = bytearray(data)
        await store.write_content(cid, [live])
        live[:10] = b"overwritten"[:10]
        assert memoryview(await store.read_content(cid)) == data


async def test_pieces_may_be_views_of_any_type(store):
    numbers = memoryview(bytearray(8 * 20_000)).cast("d")
    numbers[7] = 1.5
    data = bytes(numbers) * 2
    cid = file_cid([data])
    await store.write_content(cid, [numbers, b"", numbers])
    assert memoryview(await store.read_content(cid)) == data


async def test_writing_content_again_replaces_it(store):
    if isinstance(store, IpfsCacheBackend):
        pytest.skip("a node takes nothing under a CID that is not its own")
    cid, data = content(MIDDLE)
    await store.write_content(cid, [b"damaged" * 20_000])
    await store.write_content(cid, [data])
    assert memoryview(await store.read_content(cid)) == data


def test_stores_work_from_plain_code_without_a_loop(store):
    cid, data = content(LARGE)
    run_sync(store.write_content(cid, [data]))
    run_sync(store.write_record(KEY, b"envelope", None, contents=(cid,)))
    assert run_sync(store.read_record(KEY)) == b"envelope"
    assert memoryview(run_sync(store.read_content(cid))) == data


async def test_plain_code_may_use_a_store_inside_a_running_loop(store):
    cid, data = content(LARGE)
    run_sync(store.write_content(cid, [data]))
    assert memoryview(run_sync(store.read_content(cid))) == data


async def test_writes_and_large_reads_do_not_run_on_the_loop(backend, monkeypatch):
    loop_thread = threading.get_ident()
    seen: list[int] = []

    def spy(owner, name):
        original = getattr(owner, name)

        def spied(*args, **kwargs):
            seen.append(threading.get_ident())
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, spied)

    from cascade_nb.backends import kubo_download, kubo_upload, memory, objects

    spy(memory, "joined")
    spy(objects.Draft, "write")
    spy(objects.Objects, "read")
    spy(redis.connection.Connection, "send_packed_command")
    spy(kubo_upload, "_taken")
    spy(kubo_download._Filled, "add")
    cid, data = content(LARGE)
    await backend.write_content(cid, [data])
    await backend.read_content(cid)
    assert len(seen) >= 2
    assert loop_thread not in seen


async def test_a_ttl_ends(backend):
    await backend.write_record(KEY, b"short", 0.05)
    await backend.write_record("other", b"long", 100.0)
    assert await backend.read_record(KEY) == b"short"
    deadline = time.monotonic() + 5
    while await backend.read_record(KEY) is not None and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert await backend.read_record(KEY) is None
    assert await backend.read_record("other") == b"long"
    assert [key async for key, _ in backend.records()] == ["other"]


async def test_an_expired_record_does_not_take_content_that_is_written_anew(backend):
    cid, data = content(100)
    await backend.write_content(cid, [data])
    await backend.write_record(KEY, b"old", 0.01, contents=(cid,))
    await asyncio.sleep(0.02)
    await backend.write_content(cid, [data])
    await note(backend, "another", b"what expired may go at any write")
    await backend.write_record(KEY, b"new", None, contents=(cid,))
    assert await backend.read_record(KEY) == b"new"
    assert await backend.read_content(cid) == data
    if isinstance(backend, Flushes):
        await backend.flush()
    await backend.delete_record(KEY)
    assert not await backend.has_content(cid)


async def test_records_are_listed_newest_first(backend):
    keys = [f"key {number}" for number in range(150)]
    for key in keys:
        await backend.write_record(key, key.encode(), None)
    await backend.write_record(keys[0], b"again", None)
    await note(backend, keys[3], b"a note is no record")
    listed = [item async for item in backend.records()]
    assert [key for key, _ in listed] == [keys[0], *reversed(keys[1:])]
    assert listed[0][1] == b"again"


async def test_size_counts_all_that_is_kept(backend):
    if isinstance(backend, TieredCacheBackend):
        pytest.skip("it is the sum of what the tiers have")
    assert await backend.size() == 0
    small, large = content(SMALL), content(MIDDLE)
    await backend.write_content(small[0], [small[1]])
    await backend.write_content(large[0], [large[1]])
    await backend.write_content(large[0], [large[1]])
    await backend.write_record(KEY, b"x" * 100, None, contents=(small[0], large[0]))
    await backend.write_record(KEY, b"x" * 50, None, contents=(small[0], large[0]))
    await note(backend, KEY, b"12345")
    await note(backend, KEY, b"123")
    assert await backend.size() == SMALL + MIDDLE + 50 + len(await noted(backend, KEY) or b"")
    await backend.delete_record(KEY)
    assert await backend.size() == 0


async def test_deleting_a_record_takes_what_only_it_needs(backend):
    alone, shared, free = content(MIDDLE), content(LARGE), content(SMALL)
    for cid, data in (alone, shared, free):
        await backend.write_content(cid, [data])
    await backend.write_record("one", b"1", None, contents=(alone[0], shared[0]))
    await backend.write_record("two", b"2", None, contents=(shared[0],))
    await note(backend, "one", b"note")
    assert await backend.delete_record("one")
    assert not await backend.delete_record("one")
    assert not await backend.has_content(alone[0])
    assert await noted(backend, "one") is None
    assert await backend.read_record("two") == b"2"
    assert memoryview(await backend.read_content(shared[0])) == shared[1]
    await backend.delete_record("two")
    assert not await backend.has_content(shared[0])
    assert await backend.has_content(free[0])


async def test_replacing_a_record_takes_what_only_the_old_one_needed(backend):
    old, both, new = content(MIDDLE), content(SMALL), content(MIDDLE)
    for cid, data in (old, both, new):
        await backend.write_content(cid, [data])
    await backend.write_record(KEY, b"old", None, contents=(old[0], both[0]))
    await backend.write_record(KEY, b"new", None, contents=(both[0], new[0], new[0]))
    if isinstance(backend, Flushes):
        await backend.flush()  # What is far is written in the background.
    assert not await backend.has_content(old[0])
    assert await backend.has_content(both[0])
    assert await backend.has_content(new[0])


async def test_a_record_is_refused_when_its_contents_are_not_there(backend):
    cid, _ = content(SMALL)
    with pytest.raises(BackendError, match="parts of a result were gone"):
        await backend.write_record(KEY, b"claim", None, contents=(cid,))
    assert await backend.read_record(KEY) is None


async def test_clear_removes_everything_and_leaves_a_usable_store(backend):
    cid, data = content(LARGE)
    await backend.write_content(cid, [data])
    await backend.write_record("one", b"1", None, contents=(cid,))
    await backend.write_record("two", b"2", 100.0)
    await note(backend, "one", b"note")
    await note(backend, "alone", b"note")
    assert await backend.clear() == 2
    assert await backend.size() == 0
    assert [item async for item in backend.records()] == []
    assert await noted(backend, "alone") is None
    assert not await backend.has_content(cid)
    await backend.write_content(cid, [data])
    await backend.write_record("one", b"1", None, contents=(cid,))
    assert memoryview(await backend.read_content(cid)) == data


async def test_notes_stay_beside_records(backend):
    if not isinstance(backend, KeepsNotes):
        return
    assert await backend.read_note(KEY) is None
    await backend.write_note(KEY, b"before the record")
    await backend.write_record(KEY, b"envelope", None)
    assert await backend.read_note(KEY) == b"before the record"
    await backend.write_note(KEY, b"after it")
    assert await backend.read_note(KEY) == b"after it"
    assert await backend.read_record(KEY) == b"envelope"


async def test_a_lock_has_one_holder(backend):
    held = await backend.try_lock(KEY)
    assert held is not None
    assert await backend.try_lock(KEY) is None
    other = await backend.try_lock("other")
    assert other is not None
    held.release()
    held.release()
    again = await backend.try_lock(KEY)
    assert again is not None
    held.release()
    assert await backend.try_lock(KEY) is None, "a stale release freed another's lock"
    again.release()
    other.release()


async def test_many_threads_exclude_each_other(backend):
    inside, most, turns = 0, 0, 0

    def work():
        nonlocal inside, most, turns
        while turns < 40:
            lock = run_sync(backend.try_lock(KEY))
            if lock is None:
                continue
            inside += 1
            most = max(most, inside)
            turns += 1
            time.sleep(0)
            inside -= 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert most == 1


async def test_threads_and_coroutines_share_a_store(store):
    async def work(number: int) -> None:
        cid, data = content(MIDDLE if number % 2 else SMALL)
        await store.write_content(cid, [data])
        await store.write_record(f"key {number}", b"%d" % number, None, contents=(cid,))
        assert await store.read_record(f"key {number}") == b"%d" % number
        assert memoryview(await store.read_content(cid)) == data

    await asyncio.gather(*(work(number) for number in range(40)))
    await asyncio.gather(
        *(asyncio.to_thread(run_sync, work(number)) for number in range(40)),
    )


def limited(kind: str, folder, limit: int):
    from cascade_nb.backends.disk import DiskCacheBackend
    from cascade_nb.backends.memory import InMemoryCacheBackend

    return (
        InMemoryCacheBackend(size=limit)
        if kind == "memory"
        else DiskCacheBackend(folder, size=limit)
    )


async def keep(backend, key: str, size: int, *, ttl: float | None = None) -> str:
    cid, data = content(size)
    await backend.write_content(cid, [data])
    await backend.write_record(key, b"r" * 100, ttl, contents=(cid,))
    await backend.write_note(key, b"n" * 10)
    return cid


@pytest.mark.parametrize("kind", ["memory", "disk"])
class TestEviction:
    async def test_the_least_recently_used_goes_first_and_whole(self, kind, folder):
        backend = limited(kind, folder, 400_000)
        cids = {key: await keep(backend, key, 100_000) for key in "abc"}
        assert await backend.read_record("a") is not None
        cids["d"] = await keep(backend, "d", 100_000)
        assert await backend.read_record("b") is None
        assert await backend.read_note("b") is None
        assert not await backend.has_content(cids["b"])
        for key in "acd":
            assert await backend.read_record(key) is not None
            assert await backend.has_content(cids[key])
            assert await backend.read_note(key) is not None
        assert await backend.size() <= 400_000

    async def test_small_results_count_too(self, kind, folder):
        backend = limited(kind, folder, 50_000)
        for number in range(40):
            await keep(backend, f"{number}", 5_000)
            assert await backend.size() <= 50_000
        keys = [key async for key, _ in backend.records()]
        assert keys[0] == "39"

    async def test_shared_content_outlives_one_of_its_records(self, kind, folder):
        backend = limited(kind, folder, 300_000)
        shared = await keep(backend, "first", 100_000)
        await backend.write_record("second", b"2", None, contents=(shared,))
        await keep(backend, "third", 100_000)
        await backend.read_record("second")
        await keep(backend, "fourth", 199_000 - 110)
        assert await backend.read_record("first") is None
        assert await backend.read_record("third") is None
        assert await backend.read_record("second") == b"2"
        assert await backend.has_content(shared)

    async def test_what_is_larger_than_the_store_evicts_nothing(self, kind, folder):
        backend = limited(kind, folder, 250_000)
        cids = [await keep(backend, key, 100_000) for key in "ab"]
        cid, data = content(250_001)
        with pytest.raises(ContentTooLargeError):
            await backend.write_content(cid, [data])
        assert not await backend.has_content(cid)
        for key, kept in zip("ab", cids, strict=True):
            assert await backend.read_record(key) is not None
            assert await backend.has_content(kept)

    async def test_a_result_whose_parts_do_not_fit_together_is_refused(self, kind, folder):
        backend = limited(kind, folder, 250_000)
        parts = [content(100_000) for _ in range(3)]
        for cid, data in parts:
            await backend.write_content(cid, [data])
        with pytest.raises(ContentTooLargeError):
            await backend.write_record(KEY, b"r", None, contents=[cid for cid, _ in parts])
        assert await backend.read_record(KEY) is None
        assert await backend.size() <= 250_000

    async def test_expired_results_go_before_good_ones(self, kind, folder):
        backend = limited(kind, folder, 250_000)
        await keep(backend, "old", 100_000)
        expired = await keep(backend, "expired", 100_000, ttl=0.01)
        await asyncio.sleep(0.02)
        await keep(backend, "new", 100_000)
        assert await backend.read_record("old") is not None
        assert await backend.read_record("new") is not None
        assert not await backend.has_content(expired)

    async def test_its_capacity_is_known(self, kind, folder):
        assert await limited(kind, folder, 12_345).capacity() == 12_345


class TestBreaker:
    def test_a_dead_medium_is_tried_again_beside_the_work(self, monkeypatch):
        now = 100.0
        monkeypatch.setattr(outages.time, "monotonic", lambda: now)
        down = BackendError("down", server="disk")
        is_down, tried = True, threading.Event()

        def attempt() -> None:
            tried.set()
            if is_down:
                breaker.tripped(down)
                raise down

        breaker = outages.Breaker(attempt)
        breaker.check()
        breaker.tripped(down)
        for pause in (30, 60, 120):
            now += pause - 1
            with pytest.raises(BackendError, match="down"):
                breaker.check()
            assert not tried.is_set()
            now += 1
            with pytest.raises(BackendError, match="down"):
                breaker.check()
            breaker._retry.join(5)
            assert tried.is_set()
            tried.clear()
        now += 240
        is_down = False
        with pytest.raises(BackendError, match="down"):
            breaker.check()
        breaker._retry.join(5)
        breaker.check()
