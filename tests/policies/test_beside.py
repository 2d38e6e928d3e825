"""People on one store who do not believe each other: each keeps what is theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cascade_nb import cached, catalog, provenance
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.redis import RedisCacheBackend
from cascade_nb.backends.tiered import TieredCacheBackend
from cascade_nb.errors import ConfigurationError
from cascade_nb.execution import Engine
from cascade_nb.policies.belief import beside
from cascade_nb.policies.content import ContentCachePolicy
from cascade_nb.policies.shelf import Shelf
from cascade_nb.protocols import Flushes
from cascade_nb.provenance import distrust, fingerprint_of, trust
from cascade_nb.records import Record
from cascade_nb.tasks import Report
from tests.identities import Person, make_person
from tests.servers.kubo import kubo_node
from tests.servers.redis import RedisServer, redis_server


def make_number(x: int) -> int:
    return x * 2


def count_words(path: str) -> int:
    with open(path) as file:
        return len(file.read().split())


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(params=["disk", "memory", "redis", "tiers"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """What gives a store of one's own session; all sessions share what is in it."""
    kind = request.param
    if kind == "memory":
        common = InMemoryCacheBackend()
        return lambda: common
    if kind == "disk":
        return lambda: DiskCacheBackend(tmp_path / "common")
    server = request.getfixturevalue("server")
    server.client().flushall()
    if kind == "redis":
        return lambda: RedisCacheBackend(server.client())
    return lambda: TieredCacheBackend(InMemoryCacheBackend(), RedisCacheBackend(server.client()))


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    return make_person(tmp_path, "ann")


@pytest.fixture
def bob(tmp_path: Path) -> Person:
    return make_person(tmp_path, "bob")


@pytest.fixture
def eve(tmp_path: Path) -> Person:
    return make_person(tmp_path, "eve")


class Session:
    """A new session of somebody's on their own view of the store."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.engine = Engine(policy=ContentCachePolicy(store))
        self._reports: list[Report] = []
        self.engine.bus.subscribe(Report, self._reports.append)

    async def call(self, function: Callable[..., Any], *args: Any) -> str:
        """How it was answered: a status, and from whom where that was another."""
        await cached(engine=self.engine)(function).aio(*args)
        await self.engine.flush()
        report = self._reports[-1]
        return f"{report.status.value} {report.signer.partition(' ')[0]}".rstrip()

    def key(self, function: Callable[..., Any], *args: Any) -> str:
        return str(cached(engine=self.engine)(function).key(*args))


async def each_computes(opened: Callable[[], Any], *people: Person) -> None:
    """Each of them calls the same function, in a session of their own."""
    for person in people:
        with person.acting():
            assert await Session(opened()).call(make_number, 21) == "miss"


async def test_each_of_them_computes_once(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    seen = []
    for person in (ann, bob, ann, bob, ann, bob):
        with person.acting():
            seen.append(await Session(opened()).call(make_number, 21))
    assert seen == ["miss", "miss", "hit", "hit", "hit", "hit"]


async def test_so_they_do_in_sessions_that_go_on(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    sessions = {person: Session(opened()) for person in (ann, bob)}
    seen = []
    for person in (ann, bob, ann, bob, ann, bob):
        with person.acting():
            seen.append(await sessions[person].call(make_number, 21))
    assert seen == ["miss", "miss", "hit", "hit", "hit", "hit"]


async def test_a_third_is_served_by_whom_they_trust(
    opened: Callable[[], Any], ann: Person, bob: Person, eve: Person
) -> None:
    await each_computes(opened, eve, ann)
    with bob.acting():
        trust(ann.key)
        digest = fingerprint_of(ann.key)
        session = Session(opened())
        assert await session.call(make_number, 21) == f"hit {digest}"
        assert await session.call(make_number, 21) == f"hit {digest}"
        rows = await catalog.served_rows(session.store)
        assert [row.origin.signer for row in rows] == [digest]
        distrust(ann.key)
        assert await session.call(make_number, 21) == "miss"
        assert await session.call(make_number, 21) == "hit"


async def test_what_one_forgets_the_other_keeps(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    await each_computes(opened, ann, bob)
    with bob.acting():
        session = Session(opened())
        (entry,) = await catalog.list_entries(session.store)
        assert entry.producer == bob.key
        forget = cached(engine=session.engine)(make_number).forget
        assert await forget(21)
        assert not await forget(21)
        assert await catalog.list_entries(session.store) == []
        assert await session.call(make_number, 21) == "miss"
        assert len(await catalog.forget(session.store, "make_number")) == 1
        assert await session.call(make_number, 21) == "miss"
    with ann.acting():
        session = Session(opened())
        assert await session.call(make_number, 21) == "hit"
        await catalog.forget(session.store, "make_number")
    with bob.acting():
        session = Session(opened())
        assert await session.call(make_number, 21) == "hit"  # Though the first row is free now.


async def test_to_forget_takes_others_only_where_they_are_meant(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    await each_computes(opened, ann, bob)
    with bob.acting():
        store = opened()
        trust(ann.key)
        (mine,) = await catalog.forget(store, "make_number")
        assert mine.producer == bob.key
        assert await Session(opened()).call(make_number, 21) == f"hit {fingerprint_of(ann.key)}"
        distrust(ann.key)
        (row,) = await catalog.list_rows(store)
        with pytest.raises(ConfigurationError, match="nothing is stored"):
            await catalog.forget(store, "make_number")
        assert await catalog.forget(store, row.entry.record_cid) == [row.entry]
        assert await catalog.list_rows(store) == []


async def test_to_forget_a_call_takes_what_would_be_served(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    await each_computes(opened, ann, bob)
    with bob.acting():
        trust(ann.key)
        session = Session(opened())
        forget = cached(engine=session.engine)(make_number).forget
        assert await forget(21)
        assert await session.call(make_number, 21) == f"hit {fingerprint_of(ann.key)}"
        assert await forget(21)
        assert not await forget(21)
        assert await session.call(make_number, 21) == "miss"


async def test_a_refresh_leaves_no_older_row_behind(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    await each_computes(opened, ann, bob)
    with ann.acting():
        await catalog.forget(opened(), "make_number")
    with bob.acting():
        session = Session(opened())
        await cached(engine=session.engine)(make_number).refresh(21)
        await session.engine.flush()
        (row,) = await catalog.list_rows(opened())
        assert row.place == session.key(make_number, 21)


async def test_ones_own_is_preferred_to_a_colleagues(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    await each_computes(opened, ann, bob)
    with bob.acting():
        trust(ann.key)
        session = Session(opened())
        assert await session.call(make_number, 21) == "hit"
        assert len(await catalog.list_entries(session.store)) == 2
        # With what ann has only as long as there is nothing of bob's own.
        assert await session.call(make_number, 4) == "miss"
    with ann.acting():
        assert await Session(opened()).call(make_number, 5) == "miss"
    with bob.acting():
        assert await session.call(make_number, 5) == f"hit {fingerprint_of(ann.key)}"


async def test_a_colleagues_serves_where_ones_own_does_not_hold(
    opened: Callable[[], Any],
    ann: Person,
    bob: Person,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for person in (ann, bob):
        (person.home / "text").write_text(person.home.name)

    async def count(person: Person) -> str:
        monkeypatch.chdir(person.home)
        with person.acting():
            return await Session(opened()).call(count_words, "text")

    for person, other in ((ann, bob), (bob, ann)):
        with person.acting():
            trust(other.key)
    assert [await count(person) for person in (ann, bob, ann, bob)] == [
        "miss",
        "miss",
        "hit",
        "hit",
    ]
    (bob.home / "text").write_text("ann")
    assert await count(bob) == f"hit {fingerprint_of(ann.key)}"
    (bob.home / "text").write_text("bob once more")
    assert [await count(person) for person in (bob, bob, ann)] == ["miss", "hit", "hit"]


class Counting(InMemoryCacheBackend):
    """Counts the rows that are read, as over a network: it cannot tell that nothing changed."""

    version = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    async def read_record(self, key: str) -> bytes | None:
        self.reads.append(key.partition(":")[2])
        return await super().read_record(key)

    def read(self) -> int:
        count = len(self.reads)
        self.reads.clear()
        return count


async def test_an_ordinary_hit_reads_one_row(ann: Person, bob: Person, eve: Person) -> None:
    store = Counting()
    with ann.acting():
        mine = Session(store)
        await mine.call(make_number, 21)
        store.read()
        await mine.call(make_number, 21)
        assert store.read() == 1
    with eve.acting():
        theirs = Session(store)
        await theirs.call(make_number, 21)
        store.read()
        await theirs.call(make_number, 21)
        assert store.read() == 2
    with bob.acting():
        trust(ann.key)
        trust(eve.key)
        others = Session(store)
        await others.call(make_number, 21)
        store.read()
        await others.call(make_number, 21)  # That there is none of bob's own is known by now.
        assert store.read() == 1


async def test_what_nobody_could_be_served_is_replaced(
    opened: Callable[[], Any], ann: Person, bob: Person
) -> None:
    with ann.acting():
        session = Session(opened())
        for x in (4, 21):
            await session.call(make_number, x)
        key = session.key(make_number, 21)
        envelope = await session.store.read_record(key) or b""
        old = replace(Record.from_bytes(envelope[32:]), ttl=60.0, created=1000.0)
        moved = await session.store.read_record(session.key(make_number, 4)) or b""
    for junk in (
        b"",
        b"junk",
        envelope[:-1],
        moved,
        ann.do(lambda: provenance.seal(provenance.sign_record(old).to_bytes())),
    ):
        store = opened()
        await store.write_record(key, junk, None)
        if isinstance(store, Flushes):
            await store.flush()
        with bob.acting():
            session = Session(opened())
            assert await session.call(make_number, 21) == "miss"
            (row,) = [row for row in await catalog.list_rows(session.store) if row.place == key]
            assert row.entry.producer == bob.key


async def test_records_of_others_are_adopted_beside_each_other(
    opened: Callable[[], Any], ann: Person, bob: Person, eve: Person
) -> None:
    carried = []
    for person in (eve, ann):
        with person.acting():
            far = InMemoryCacheBackend()
            session = Session(far)
            await session.call(make_number, 21)
            key = session.key(make_number, 21)
            envelope = await far.read_record(key) or b""
            record = Record.from_bytes(envelope[32:])
            content = bytes(await far.read_content(record.result) or b"")
            carried.append((envelope[32:], record.result, content))
    with bob.acting():
        store = opened()
        for data, cid, content in carried:
            await store.write_content(cid, [content])
            await Shelf(store).adopt(data)
        assert await store.read_record(beside(key, ann.key)) is not None
        trust(ann.key)
        assert await Session(store).call(make_number, 21) == f"hit {fingerprint_of(ann.key)}"
        trust(eve.key)
        distrust(ann.key)
        assert await Session(store).call(make_number, 21) == f"hit {fingerprint_of(eve.key)}"


def greet(x: int, who: str) -> str:
    return f"{x} {who}"


async def test_on_a_node_each_has_pins_of_their_own(
    ann: Person, bob: Person, tmp_path: Path
) -> None:
    with kubo_node() as node:

        def greeting() -> Any:
            store = IpfsCacheBackend(DiskCacheBackend(tmp_path / "common"), node.url)
            engine = Engine(policy=ContentCachePolicy(store))
            return cached(engine=engine, ignore=["who"])(greet)

        entries = {}
        for person in (ann, bob):
            with person.acting():
                await greeting().aio(1, person.home.name)
                entries[person] = await greeting().peek(1, "nobody")
        pinned = {person: entry.cid for person, entry in entries.items()}
        assert len(set(pinned.values())) == 2
        assert set(pinned.values()) <= set(node.pins())
        with bob.acting():
            assert await greeting().aio(1, "nobody") == "1 bob"
            assert await greeting().forget(1, "nobody")
        assert pinned[ann] in node.pins()
        assert pinned[bob] not in node.pins()
        with ann.acting():
            assert await greeting().aio(1, "nobody") == "1 ann"
