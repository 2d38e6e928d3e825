"""A store that two people share: whose results are hits, and whose are not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cascade_nb import cached, codecs, provenance
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.tiered import TieredCacheBackend
from cascade_nb.content.cid import raw_cid
from cascade_nb.errors import CacheWarning, IntegrityError
from cascade_nb.execution import Engine
from cascade_nb.policies.belief import NotBelievedError, beside
from cascade_nb.policies.content import ContentCachePolicy
from cascade_nb.policies.shelf import Shelf
from cascade_nb.protocols import KeepsBytes
from cascade_nb.provenance import distrust, fingerprint_of, trust
from cascade_nb.records import Record
from cascade_nb.tasks import Report, Status
from tests.identities import Person, make_person


class Handler:
    """An instance of it is stored as code."""

    def __init__(self, number: int) -> None:
        self.number = number


def make_number(x: int) -> int:
    return x * 2


def make_handler(x: int) -> Handler:
    return Handler(x)


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    return make_person(tmp_path, "ann")


@pytest.fixture
def bob(tmp_path: Path) -> Iterator[Person]:
    bob = make_person(tmp_path, "bob")
    with bob.acting():
        yield bob


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "disk":
        store = DiskCacheBackend(tmp_path / "common")
        yield store
    else:
        yield InMemoryCacheBackend()


class Session:
    """Somebody's session on a store."""

    def __init__(self, store: Any) -> None:
        self.policy = ContentCachePolicy(store)
        self.engine = Engine(policy=self.policy)
        self.reports: list[Report] = []
        self.engine.bus.subscribe(Report, self.reports.append)

    def call(self, function: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, Report]:
        value = cached(engine=self.engine, **options)(function)(*args)
        return value, self.reports[-1]


def test_a_strangers_result_is_a_miss_until_its_signer_is_trusted(
    store: Any, ann: Person, bob: Person
) -> None:
    with ann.acting():
        Session(store).call(make_number, 21)
    digest = fingerprint_of(ann.key)
    mine = Session(store)
    keep_nothing = Session(ReadOnly(store))
    value, report = keep_nothing.call(make_number, 21)
    assert (value, report.status) == (42, Status.MISS)
    assert report.reason == (
        f"stored by {digest}, who is not trusted; to be served it, run: trust('{ann.key}')"
    )
    trust(f"{ann.key} ann")
    for _ in range(2):  # The second time from what is kept near.
        value, report = mine.call(make_number, 21)
        assert (value, report.status) == (42, Status.HIT)
        assert report.signer == f"ann ({digest})"
        assert report.entry is not None
        assert report.entry.producer == ann.key
    distrust(ann.key)
    value, report = mine.call(make_number, 21)
    assert (value, report.status, report.signer) == (42, Status.MISS, "")
    value, report = mine.call(make_number, 21)  # By now it is bob's own.
    assert (report.status, report.signer) == (Status.HIT, "")


class ReadOnly:
    """A store that takes nothing, so that what lies in it stays."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, key: str) -> Any:
        return await self._store.get(key)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        pass

    async def read_record(self, key: str) -> bytes | None:
        return await self._store.read_record(key)  # type: ignore[no-any-return]

    async def write_record(self, *args: Any, **kwargs: Any) -> None:
        pass

    async def read_content(self, cid: str) -> Any:
        return await self._store.read_content(cid)

    async def write_content(self, *args: Any) -> None:
        pass

    async def has_content(self, cid: str) -> bool:
        return await self._store.has_content(cid)  # type: ignore[no-any-return]


def test_trust_in_data_is_none_in_code(store: Any, ann: Person, bob: Person) -> None:
    with ann.acting():
        Session(store).call(make_handler, 3)
    trust(ann.key)
    mine = Session(ReadOnly(store))
    value, report = mine.call(make_handler, 3)
    assert (value.number, report.status) == (3, Status.MISS)
    assert "who is trusted with data only" in report.reason
    assert report.reason.endswith(f"; to be served it, run: trust('{ann.key}', code=True)")
    trust(ann.key, code=True)
    value, report = mine.call(make_handler, 3)
    assert (value.number, report.status) == (3, Status.HIT)
    assert type(value) is Handler


class Touch:
    """Its pickle makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def called_data(value: Any) -> bytes:
    """An encoding of code whose head says that it is none."""
    encoded = bytearray(b"".join(codecs.encode(value).pieces))
    assert encoded[:8] == b"code/1\n\x01"
    encoded[7] = 0
    return bytes(encoded)


async def lying(store: Any, person: Person, tmp_path: Path, **changes: Any) -> Record:
    """Let `person` store code under the key of ``make_number(21)``, and call it data."""
    data = called_data(Touch(str(tmp_path / "touched")))
    with person.acting():
        Session(store).call(make_number, 21)
        ((key, envelope),) = [row async for row in store.records()]
        record = Record.from_bytes(envelope[32:])
        cid = raw_cid(data)
        await store.write_content(cid, [data])
        outputs = (replace(record.outputs[0], cid=cid, size=len(data)),)
        given = {"result": cid, "outputs": outputs, "size": len(data), **changes}
        record = provenance.sign_record(replace(record, **given))
        await store.write_record(key, provenance.seal(record.to_bytes()), None, contents=[cid])
    return record


async def test_code_that_is_called_data_is_not_run(
    store: Any, ann: Person, bob: Person, tmp_path: Path
) -> None:
    await lying(store, ann, tmp_path)
    assert not (tmp_path / "touched").exists()
    trust(ann.key)
    value, report = Session(store).call(make_number, 21)
    assert (value, report.status) == (42, Status.MISS)
    assert "data only" in report.reason
    assert not (tmp_path / "touched").exists()
    # It would have run, for one who is trusted with code.
    await store.clear()
    await lying(store, ann, tmp_path)
    trust(ann.key, code=True)
    assert Session(store).call(make_number, 21)[1].status is Status.HIT
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("change", ["moved", "expired", "future", "flipped", "unsigned"])
async def test_what_is_not_as_it_was_signed_is_a_miss(
    store: Any, ann: Person, bob: Person, change: str
) -> None:
    with ann.acting():
        session = Session(store)
        session.call(make_number, 21)
        ((key, envelope),) = [row async for row in store.records()]
        record = Record.from_bytes(envelope[32:])
        if change == "moved":
            session.call(make_number, 4)
            ((_, envelope),) = [row async for row in store.records() if row[0] != key]
        elif change == "expired":
            old = replace(record, ttl=60.0, created=time.time() - 100)
            envelope = provenance.seal(provenance.sign_record(old).to_bytes())
        elif change == "future":
            early = replace(record, created=time.time() + 1000)
            envelope = provenance.seal(provenance.sign_record(early).to_bytes())
        elif change == "flipped":
            flipped = record.signature[:-1] + bytes([record.signature[-1] ^ 1])
            envelope = provenance.seal(record.with_signature(flipped).to_bytes())
        else:
            envelope = provenance.seal(replace(record, producer="", signature=b"").to_bytes())
    await store.write_record(key, envelope, None)
    trust(ann.key, code=True)
    value, report = Session(store).call(make_number, 21)
    assert (value, report.status) == (42, Status.MISS)


def test_distrust_by_another_process_counts_at_once(store: Any, ann: Person, bob: Person) -> None:
    with ann.acting():
        Session(store).call(make_number, 21)
    trust(ann.key)
    mine = Session(ReadOnly(store))
    assert mine.call(make_number, 21)[1].status is Status.HIT
    code = "import sys, cascade_nb; cascade_nb.distrust(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, ann.key], check=True)
    assert mine.call(make_number, 21)[1].status is Status.MISS


def test_distrust_counts_in_nearer_tiers(ann: Person, bob: Person, tmp_path: Path) -> None:
    far = DiskCacheBackend(tmp_path / "far")
    with ann.acting():
        Session(far).call(make_number, 21)
    trust(ann.key)
    near = InMemoryCacheBackend()
    tiers = TieredCacheBackend(near, far)
    assert Session(tiers).call(make_number, 21)[1].status is Status.HIT
    assert Session(ReadOnly(near)).call(make_number, 21)[1].status is Status.HIT
    distrust(ann.key)
    assert Session(ReadOnly(near)).call(make_number, 21)[1].status is Status.MISS
    assert Session(tiers).call(make_number, 21)[1].status is Status.MISS


@contextmanager
def all_warnings() -> Iterator[list[str]]:
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
        messages += [str(w.message) for w in caught if issubclass(w.category, CacheWarning)]


async def record_of(store: Any, key: str) -> Record:
    envelope = await store.read_record(key)
    assert envelope is not None
    return Record.from_bytes(envelope[32:])


OTHER = b"".join(codecs.encode("another").pieces)


async def claiming(store: Any, person: Person, record: Record) -> Record:
    """Let `person` claim that the result of `record`'s computation is another one."""
    cid = raw_cid(OTHER)
    await store.write_content(cid, [OTHER])
    outputs = (replace(record.outputs[0], cid=cid),)
    changed = replace(record, result=cid, outputs=outputs)
    return person.do(lambda: provenance.sign_record(changed))


async def test_two_who_are_trusted_and_differ_are_told_of_once(
    store: Any, ann: Person, bob: Person
) -> None:
    mine = Session(store)
    key = str(cached(engine=mine.engine)(make_number).key(21))
    mine.call(make_number, 21)
    own = await record_of(store, key)
    theirs = await claiming(store, ann, own)
    await store.write_record(key, ann.do(lambda: provenance.seal(theirs.to_bytes())), None)
    trust(f"{ann.key} ann")
    with all_warnings() as messages:
        for _ in range(2):
            session = Session(store)
            function = cached(engine=session.engine)(make_number)
            assert await function.refresh(21) == 42
            assert session.call(make_number, 21)[1].signer == ""
    (message,) = messages
    assert own.result in message
    assert theirs.result in message
    assert f"{theirs.result} is that of ann ({fingerprint_of(ann.key)}); yours stays" in message
    assert (await record_of(store, key)).result == theirs.result
    assert (await record_of(store, beside(key, bob.key))).result == own.result


# Records from elsewhere


def shelf_of(store: Any) -> Shelf:
    assert isinstance(store, KeepsBytes)
    return Shelf(store)


async def stored_by(person: Person, store: Any, x: int = 21) -> tuple[str, bytes]:
    """The key and the bare record of ``make_number(x)``, as `person` stored it in `store`."""
    with person.acting():
        session = Session(store)
        session.call(make_number, x)
        key = str(cached(engine=session.engine)(make_number).key(x))
        return key, (await store.read_record(key))[32:]


async def carried(source: Any, target: Any, record: bytes) -> None:
    """Carry the content of a value's record."""
    cid = Record.from_bytes(record).result
    await target.write_content(cid, [bytes(await source.read_content(cid))])


async def test_an_adopted_record_is_found_by_its_cid_and_its_key(
    store: Any, ann: Person, bob: Person
) -> None:
    far = InMemoryCacheBackend()
    key, record = await stored_by(ann, far)
    shelf = shelf_of(store)
    await carried(far, store, record)
    entry = await shelf.adopt(record)
    assert entry.key == key
    claim = await shelf.claim_of(entry.record_cid)
    assert claim is not None
    assert claim.record.to_bytes() == record  # Importing changes no byte, and so no CID.
    assert not claim.origin.data
    with pytest.raises(NotBelievedError, match="not trusted"):
        await shelf.claim(key)
    trust(ann.key)
    assert Session(store).call(make_number, 21)[1].status is Status.HIT
    assert await shelf.claim_of(raw_cid(b"none")) is None


async def test_ones_own_record_comes_back_as_ones_own(store: Any, ann: Person, bob: Person) -> None:
    far = InMemoryCacheBackend()
    key, record = await stored_by(bob, far)
    await carried(far, store, record)
    await shelf_of(store).adopt(record)
    assert Session(store).call(make_number, 21)[1].signer == ""
    assert provenance.unseal(await store.read_record(key)) == record


async def test_ones_own_records_are_found_by_their_cid(
    store: Any, ann: Person, bob: Person
) -> None:
    key, record = await stored_by(bob, store)
    shelf = shelf_of(store)
    claim = await shelf.claim(key)
    assert claim is not None
    found = await shelf.claim_of(claim.entry.record_cid)
    assert found is not None
    assert found.record.to_bytes() == record


async def test_an_adopted_record_never_replaces_ones_own(
    store: Any, ann: Person, bob: Person
) -> None:
    spare = InMemoryCacheBackend()
    key, mine = await stored_by(bob, store)
    assert await stored_by(bob, spare) != (key, mine)  # At another time.
    theirs = await claiming(store, ann, Record.from_bytes(mine))
    shelf = shelf_of(store)
    with all_warnings() as messages:
        entry = await shelf.adopt(theirs.to_bytes())
    assert messages == []  # A stranger's word is no second opinion.
    assert (await record_of(store, key)).to_bytes() == mine
    trust(ann.key)
    with all_warnings() as messages:
        await shelf.adopt(theirs.to_bytes())
        await shelf.adopt(theirs.to_bytes())
    (message,) = messages
    assert message.endswith("yours stays")
    assert (await record_of(store, key)).to_bytes() == mine
    assert await shelf.claim_of(entry.record_cid) is not None
    # It comes before another's that was there first, too.
    await store.write_record(key, provenance.seal_imported(theirs.to_bytes()), None)
    await carried(spare, store, mine)
    await shelf.adopt(mine)
    claim = await shelf.claim(key)
    assert claim is not None
    assert claim.record.to_bytes() == mine
    assert (await record_of(store, key)).producer == ann.key


async def test_a_believed_record_comes_before_one_that_is_not(
    store: Any, ann: Person, bob: Person, tmp_path: Path
) -> None:
    eve = make_person(tmp_path, "eve")
    spare = InMemoryCacheBackend()
    key, evil = await stored_by(eve, spare)
    await carried(spare, store, evil)
    good = await claiming(store, ann, Record.from_bytes(evil))
    trust(ann.key)
    for data in (evil, good.to_bytes(), evil):
        await shelf_of(store).adopt(data)
    claim = await shelf_of(store).claim(key)
    assert claim is not None
    assert claim.record.producer == ann.key
    assert (await record_of(store, key)).producer == eve.key  # Who may have others to serve.


async def test_what_is_no_good_record_is_not_adopted(store: Any, ann: Person, bob: Person) -> None:
    _, record = await stored_by(ann, InMemoryCacheBackend())
    shelf = shelf_of(store)
    for data in (b"", b"\xa0", record[:-1], record[:-1] + bytes([record[-1] ^ 1])):
        with pytest.raises(IntegrityError):
            await shelf.adopt(data)
    assert [row async for row in store.records()] == []


async def test_an_expired_record_is_adopted_but_never_a_hit(
    store: Any, ann: Person, bob: Person
) -> None:
    far = InMemoryCacheBackend()
    key, record = await stored_by(ann, far)
    await carried(far, store, record)
    old = replace(Record.from_bytes(record), ttl=60.0, created=time.time() - 100)
    data = ann.do(lambda: provenance.sign_record(old)).to_bytes()
    trust(ann.key)
    entry = await shelf_of(store).adopt(data)
    assert await store.read_record(key) is None
    assert await shelf_of(store).claim_of(entry.record_cid) is not None


# Keys and secrets


def test_a_signing_key_that_cannot_sign_costs_no_answer(
    store: Any, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_SIGNING_KEY", "/no/such/key")
    mine = Session(store)
    with pytest.warns(CacheWarning, match="signing key /no/such/key does not exist"):
        value, report = mine.call(make_number, 21)
    assert (value, report.status) == (42, Status.BYPASS)
    monkeypatch.delenv("CASCADE_SIGNING_KEY")
    assert mine.call(make_number, 21)[1].status is Status.MISS
    assert mine.call(make_number, 21)[1].status is Status.HIT


TWO_HOMES = """
import os, sys
from cascade_nb import cached, configure, engine, trust, Report, whoami
configure(store=os.environ["COMMON"])
reports = []
engine().bus.subscribe(Report, reports.append)

class Thing:
    pass

@cached
def data(x):
    with open("input.txt") as f, open(os.path.expanduser("~/mine.txt")) as g:
        return [x, f.read(), g.read()]

@cached
def code(x):
    thing = Thing()
    thing.x = x
    return thing

for step in sys.argv[1:]:
    if step == "whoami":
        print(whoami())
    elif step.startswith("ssh-"):
        trust(step)
    elif step.startswith("--code "):
        trust(step.removeprefix("--code "), code=True)
    else:
        value = {"data": data, "code": code}[step](1)
        report = reports[-1]
        print(step, report.status.value, report.signer.partition(" ")[0] or "own")
"""


def test_two_homes_on_one_store(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "input.txt").write_text("input")
    (work / "two_homes.py").write_text(TWO_HOMES)
    people = [make_person(tmp_path, name) for name in ("annabella", "bob")]
    for person in people:
        (person.home / "mine.txt").write_text("mine")

    def run(person: Person, *steps: str) -> list[str]:
        environment = {**os.environ, **person.environment, "COMMON": str(tmp_path / "common")}
        done = subprocess.run(
            [sys.executable, "-W", "ignore:data, line", "two_homes.py", *steps],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    ann, bob = people
    key, *seen = run(ann, "whoami", "data", "code")
    assert seen == ["data miss own", "code miss own"]
    assert run(bob, key, "data") == [f"data hit {fingerprint_of(key)}"]
    assert run(bob, "data", f"--code {key}", "code") == [
        f"data hit {fingerprint_of(key)}",
        f"code hit {fingerprint_of(key)}",
    ]
    assert run(ann, "data", "code") == ["data hit own", "code hit own"]
    # No name of the user, and no path, but for files read, from where they were.
    for path in (tmp_path / "common").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"annabella" not in content, path
            assert str(tmp_path).encode() not in content, path
            secret = (ann.home / "jupyter" / "cascade-nb" / "secret").read_bytes()
            assert secret not in content
