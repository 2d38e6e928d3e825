"""Stores one behind the other: near answers first, far ones are shared, and none is waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade_nb import (
    CacheWarning,
    ContentCachePolicy,
    DiskCacheBackend,
    Engine,
    InMemoryCacheBackend,
    Report,
    Status,
    TieredCacheBackend,
    cached,
)
from cascade_nb.backends import outages, uploads
from cascade_nb.backends.tiered import flat
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import BackendError
from cascade_nb.loop import run_sync
from cascade_nb.stores import open_store
from tests.backends.conftest import DictBackend
from tests.backends.contents import recorded
from tests.servers.kubo import KuboNode
from tests.servers.redis import RedisServer

KEY = "a" * 64


class Remote(InMemoryCacheBackend):
    """A store that stands for one over a network: it can be down, and counts what it is asked."""

    remote = True

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked: list[str] = []
        self.open = threading.Event()
        self.open.set()

    def _reached(self, what: str) -> None:
        self.asked.append(what)
        if what.startswith("write"):
            self.open.wait(30)
        if self.down:
            raise BackendError("the far store is down", server="far")

    async def read_record(self, key: str) -> bytes | None:
        self._reached("read_record")
        return await super().read_record(key)

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        self._reached("write_record")
        await super().write_record(key, envelope, ttl, contents=contents)

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        self._reached("read_content")
        return await super().read_content(cid)

    async def write_content(self, cid: str, pieces: Sequence[Any]) -> None:
        self._reached("write_content")
        await super().write_content(cid, pieces)

    async def delete_record(self, key: str) -> bool:
        self._reached("delete_record")
        return await super().delete_record(key)


@pytest.fixture
def far() -> Remote:
    return Remote()


@pytest.fixture
def near(tmp_path: Path) -> DiskCacheBackend:
    return DiskCacheBackend(tmp_path / "near")


LARGE = np.arange(100_000.0)


@pytest.mark.parametrize("value", [{"small": [1, 2]}, LARGE, None], ids=["small", "large", "None"])
async def test_what_is_found_far_comes_near(
    far: Remote, near: DiskCacheBackend, value: object
) -> None:
    memory = InMemoryCacheBackend()
    await far.set("k", value)
    tiers = TieredCacheBackend(memory, near, far)
    np.testing.assert_equal(await tiers.get("k"), value)
    far.down = True
    for tier in (memory, near):
        np.testing.assert_equal(await tier.get("k"), value)
    assert await tiers.get("another") is None


async def test_what_comes_near_does_not_outlive_its_ttl(far: Remote) -> None:
    memory = InMemoryCacheBackend()
    tiers = TieredCacheBackend(memory, far)
    await far.set("k", 1, ttl=0.5)
    await far.set("long", 1, ttl=1000)
    assert await tiers.get("k") == await tiers.get("long") == 1
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        pass
    assert await memory.get("k") is None
    assert await memory.get("long") == 1


async def test_a_value_that_is_set_is_in_every_tier(far: Remote, near: DiskCacheBackend) -> None:
    memory = InMemoryCacheBackend()
    tiers = TieredCacheBackend(memory, near, far)
    await tiers.set("k", LARGE)
    for tier in (memory, near, far):
        np.testing.assert_equal(await tier.get("k"), LARGE)
    assert flat(TieredCacheBackend(tiers, memory)) == (memory, near, far, memory)
    assert flat(memory) == (memory,)


async def test_a_computation_does_not_wait_for_a_far_store(
    far: Remote, near: DiskCacheBackend
) -> None:
    engine = Engine(policy=ContentCachePolicy(TieredCacheBackend(near, far)))

    @cached(engine=engine)
    def double(x: int) -> int:
        return 2 * x

    assert double(1) == 2  # the far store is asked, and has none
    far.open.clear()
    try:
        far.asked.clear()
        refreshed = await double.refresh(2)
        assert refreshed == 4
        assert await near.read_record(double.key(2))
    finally:
        far.open.set()
    await engine.flush()
    assert await far.read_record(double.key(1))
    assert await far.read_record(double.key(2))


async def test_a_hit_from_afar_is_near_the_next_time(far: Remote, tmp_path: Path) -> None:
    bodies, reports = [], []

    def engine_over(folder: str) -> Engine:
        store = TieredCacheBackend(DiskCacheBackend(tmp_path / folder), far)
        made = Engine(policy=ContentCachePolicy(store))
        made.bus.subscribe(Report, lambda report: reports.append(report.status))
        return made

    first = engine_over("first")

    @cached(engine=first, ignore=["bodies"])
    def large(x: int) -> Any:
        bodies.append(x)
        return np.full(50_000, x)

    large(3)
    await first.flush()
    second = engine_over("second")
    again = cached(engine=second, ignore=["bodies"])(large.__wrapped__)
    np.testing.assert_array_equal(again(3), np.full(50_000, 3))
    far.down = True
    np.testing.assert_array_equal(again(3), np.full(50_000, 3))
    assert bodies == [3]
    assert reports == [Status.MISS, Status.HIT, Status.HIT]


async def test_a_far_store_that_is_down_is_passed_over(
    far: Remote, near: DiskCacheBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FIRST_RETRY_SECONDS", 0.05)
    far.down = True
    tiers = TieredCacheBackend(near, far)
    engine = Engine(policy=ContentCachePolicy(tiers))
    statuses: list[Status] = []
    engine.bus.subscribe(Report, lambda report: statuses.append(report.status))

    @cached(engine=engine)
    def double(x: int) -> int:
        return 2 * x

    with recorded() as said:
        assert [double(1), double(1)] == [2, 2]
        await engine.flush()
    assert said == ["a store is passed over: the far store is down"]
    assert statuses == [Status.MISS, Status.HIT]
    far.down = False
    deadline = time.monotonic() + 30
    while not await far.read_record(double.key(1)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_size_is_the_sum_of_the_tiers(far: Remote, near: DiskCacheBackend) -> None:
    tiers = TieredCacheBackend(near, far)
    await tiers.set("k", LARGE)
    assert await tiers.size() == await near.size() + await far.size() > 2 * LARGE.nbytes


async def test_what_is_cleared_does_not_come_back(far: Remote, near: DiskCacheBackend) -> None:
    tiers = TieredCacheBackend(near, far)
    far.open.clear()
    for key in ("one", "two"):
        await tiers.write_record(key, b"envelope", None)
    threading.Timer(0.1, far.open.set).start()
    assert await tiers.clear() == 2
    await tiers.flush()
    assert await tiers.read_record("one") is await tiers.read_record("two") is None
    once_more = TieredCacheBackend(near, far)
    assert await once_more.read_record("one") is None
    await once_more.flush()
    assert [key async for key, _ in once_more.records()] == []


async def test_where_every_tier_fails_it_is_a_bypass() -> None:
    one, two = Remote(), Remote()
    one.down = two.down = True
    engine = Engine(policy=ContentCachePolicy(TieredCacheBackend(one, two)))
    statuses: list[Status] = []
    engine.bus.subscribe(Report, lambda report: statuses.append(report.status))

    @cached(engine=engine)
    def double(x: int) -> int:
        return 2 * x

    with pytest.warns(CacheWarning, match="is down"):
        assert double(1) == 2
    assert statuses == [Status.BYPASS]


class BrokenDisk(InMemoryCacheBackend):
    """A lasting store of this machine that fails whatever it is asked."""

    lasting = True

    async def read_record(self, key: str) -> bytes | None:
        raise BackendError("the disk is broken", server="disk")

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        raise BackendError("the disk is broken", server="disk")

    async def delete_record(self, key: str) -> bool:
        raise BackendError("the disk is broken", server="disk")


async def test_a_broken_disk_between_two_stores_keeps_nothing_from_the_far_one(far: Remote) -> None:
    memory = InMemoryCacheBackend()
    tiers = TieredCacheBackend(memory, BrokenDisk(), far)
    with recorded() as said:
        await tiers.write_record(KEY, b"envelope", None)
        await tiers.flush()
        assert await tiers.read_record(KEY) == b"envelope"
    assert said == ["a store is passed over: the disk is broken"]
    assert await far.read_record(KEY) == b"envelope"
    with pytest.raises(BackendError, match="the disk is broken"):
        await tiers.delete_record(KEY)
    assert await memory.read_record(KEY) is await far.read_record(KEY) is None


async def test_damage_far_away_is_not_brought_near(far: Remote, near: DiskCacheBackend) -> None:
    data = b"x" * 1000
    cid = file_cid([data])
    await far.write_content(cid, [b"y" * 1000])
    behind = InMemoryCacheBackend()
    await behind.write_content(cid, [data])
    tiers = TieredCacheBackend(near, far, behind)
    assert bytes(await tiers.read_content(cid) or b"") == data
    assert bytes(await near.read_content(cid) or b"") == data


async def test_what_is_forgotten_is_gone_everywhere(far: Remote, near: DiskCacheBackend) -> None:
    tiers = TieredCacheBackend(near, far)
    await tiers.write_record(KEY, b"envelope", None)
    await tiers.flush()
    version = tiers.version()
    assert [key async for key, _ in tiers.records()] == [KEY]
    assert await tiers.delete_record(KEY)
    assert tiers.version() != version
    assert await near.read_record(KEY) is await far.read_record(KEY) is None
    assert not await tiers.delete_record(KEY)


async def test_what_is_too_large_for_the_near_store_goes_far_at_once(far: Remote) -> None:
    memory = InMemoryCacheBackend(size=1000)
    tiers = TieredCacheBackend(memory, far)
    small, large = b"s" * 10, b"l" * 5000
    cids = [file_cid([small]), file_cid([large])]
    await tiers.write_content(cids[0], [small])
    await tiers.write_content(cids[1], [large])
    await tiers.write_record(KEY, b"envelope", None, contents=cids)
    assert await far.read_record(KEY) == b"envelope"
    assert [bytes(await far.read_content(cid) or b"") for cid in cids] == [small, large]


async def test_what_a_near_store_refuses_leaves_nothing_older_in_it(far: Remote) -> None:
    memory = InMemoryCacheBackend(size=2000)
    for behind in (InMemoryCacheBackend(), far):
        tiers = TieredCacheBackend(memory, behind)
        await tiers.set("key", "old")
        await tiers.set("key", "x" * 100_000)
        assert await tiers.get("key") == "x" * 100_000


async def test_a_refused_value_leaves_nothing_in_a_far_store_that_is_down(
    far: Remote, near: DiskCacheBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "FIRST_RETRY_SECONDS", 0.01)
    tiers = TieredCacheBackend(near, far)
    await tiers.set("key", "old")
    far.down = True
    with recorded():
        await tiers.set("key", threading.Lock())
        assert await tiers.get("key") is None
    far.down = False
    deadline = time.monotonic() + 30
    while await far.get("key") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert await tiers.get("key") is None


async def test_a_tier_that_cannot_remove_is_overwritten() -> None:
    plain = DictBackend()
    tiers = TieredCacheBackend(InMemoryCacheBackend(), plain)
    await tiers.write_record(KEY, b"envelope", None)
    assert await tiers.delete_record(KEY)
    assert not await tiers.read_record(KEY)
    assert not await tiers.delete_record(KEY)
    await tiers.set("key", "old")
    with recorded():
        await tiers.set("key", threading.Lock())
    assert await tiers.get("key") is None


async def test_locks_are_those_of_all_tiers(far: Remote, near: DiskCacheBackend) -> None:
    tiers = TieredCacheBackend(near, far)
    lock = await tiers.try_lock(KEY)
    assert lock is not None
    assert await near.try_lock(KEY) is None
    assert await far.try_lock(KEY) is None
    lock.release()
    theirs = await far.try_lock(KEY)
    assert theirs is not None
    assert await tiers.try_lock(KEY) is None
    free = await near.try_lock(KEY)
    assert free is not None, "a lock that is had in part is given back"
    free.release()
    theirs.release()


async def test_far_locks_are_held_until_what_was_computed_has_arrived(
    far: Remote, near: DiskCacheBackend
) -> None:
    tiers = TieredCacheBackend(near, far)
    far.open.clear()
    lock = await tiers.try_lock(KEY)
    assert lock is not None
    await tiers.write_record(KEY, b"envelope", None)
    lock.release()
    free = await near.try_lock(KEY)
    assert free is not None
    free.release()
    assert await far.try_lock(KEY) is None
    far.open.set()
    await tiers.flush()
    deadline = time.monotonic() + 10
    while (free := await far.try_lock(KEY)) is None:
        assert time.monotonic() < deadline
    free.release()
    assert await far.read_record(KEY) == b"envelope"


DIES = """
import os, sys
from cascade_nb import *
from tests.backends.test_tiered import Remote
far = Remote()
far.down = True
tiers = TieredCacheBackend(DiskCacheBackend(sys.argv[1]), far)
engine = Engine(policy=ContentCachePolicy(tiers))

@cached(engine=engine)
def large(x):
    return bytes(100_000) + bytes([x])

large(1)
print(large.key(1), flush=True)
os.kill(os.getpid(), 9)
"""


async def test_what_a_killed_process_did_not_send_is_sent_by_the_next(
    far: Remote, tmp_path: Path
) -> None:
    folder = tmp_path / "near"
    died = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DIES, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert died.returncode == -9, died.stderr
    key = died.stdout.strip()
    tiers = TieredCacheBackend(DiskCacheBackend(folder), far)
    assert await tiers.read_record("another") is None
    await tiers.flush()
    envelope = await far.read_record(key)
    assert envelope is not None
    assert envelope == await tiers.read_record(key)
    names = {name async for name, _ in far.records()}
    assert names == {key}
    far.asked.clear()
    once_more = TieredCacheBackend(DiskCacheBackend(folder), far)
    await once_more.read_record("another")
    await once_more.flush()
    assert "write_record" not in far.asked, "what has arrived is not sent again"


EXITS = """
import sys, threading, time
from cascade_nb import *
from tests.backends.test_tiered import Remote
far = Remote()
far.open.clear()
tiers = TieredCacheBackend(DiskCacheBackend(sys.argv[1]), far)
far.open.set()
engine = Engine(policy=ContentCachePolicy(tiers))

@cached(engine=engine)
def double(x):
    return 2 * x

write = far.write_record
async def slowly(*args, **kwargs):
    time.sleep(0.5)
    await write(*args, **kwargs)
    print("arrived", flush=True)
far.write_record = slowly
double(1)
print("done", flush=True)
"""


def test_exit_waits_for_what_is_being_sent(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", EXITS, str(tmp_path / "near")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert ended.stdout.split() == ["done", "arrived"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_has_uploads_of_its_own(far: Remote, near: DiskCacheBackend) -> None:
    tiers = TieredCacheBackend(near, far)
    far.open.clear()
    run_sync(tiers.write_record(KEY, b"parent", None))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        far.open = threading.Event()
        far.open.set()
        try:
            run_sync(tiers.write_record("b" * 64, b"child", None))
            run_sync(tiers.flush())
            arrived = run_sync(far.read_record("b" * 64)) == b"child"
            os._exit(0 if arrived else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    far.open.set()
    run_sync(tiers.flush())
    assert run_sync(far.read_record(KEY)) == b"parent"


def test_the_pause_between_tries_grows() -> None:
    assert uploads.FIRST_RETRY_SECONDS == outages.FIRST_RETRY_SECONDS


COMPUTES = """
import sys, time
import numpy as np
from cascade_nb import cached, configure
configure(store=sys.argv[1:3])

@cached
def large(n):
    print("ran", flush=True)
    time.sleep(1)
    return np.arange(n)

print(large(1_000_000).sum())
"""


@pytest.mark.parametrize("kind", ["redis", "ipfs"])
def test_two_machines_compute_once(
    kind: str, redis_here: RedisServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    store = redis_here.url
    if kind == "ipfs":
        node: KuboNode = request.getfixturevalue("kubo")
        store = f"ipfs://127.0.0.1:{node.api_port}?metadata={redis_here.url}"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", COMPUTES, str(tmp_path / disk), store],
            stdout=subprocess.PIPE,
            text=True,
        )
        for disk in ("one", "other")
    ]
    said = sorted(word for process in both for word in process.communicate()[0].split())
    assert said == ["499999500000", "499999500000", "ran"]


COMPUTES_TWICE = """
import sys
from cascade_nb import cached, configure
configure(store=sys.argv[1:3])

@cached
def large(n):
    return bytes([n]) * 200_000

for n in map(int, sys.argv[3:]):
    large(n)
"""


@pytest.mark.parametrize("kind", ["redis", "ipfs"])
async def test_what_a_dead_server_did_not_take_is_sent_in_the_next_session(
    kind: str, redis_here: RedisServer, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    node: RedisServer | KuboNode = redis_here
    store = redis_here.url
    if kind == "ipfs":
        node = request.getfixturevalue("kubo")
        store = f"ipfs://127.0.0.1:{node.api_port}?metadata={redis_here.url}"

    def session(*numbers: int) -> str:
        arguments = [str(tmp_path / "disk"), store, *map(str, numbers)]
        ended = subprocess.run(
            [sys.executable, "-c", COMPUTES_TWICE, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return ended.stderr

    async def arrived() -> int:
        return len([key async for key, _ in open_store(store).records()])

    node.stop()
    assert "a store is passed over" in session(1, 2)
    node.start()
    assert await arrived() == 0
    assert session(3) == ""
    assert await arrived() == 3
