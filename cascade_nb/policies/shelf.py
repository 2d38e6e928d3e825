"""Records and contents in a store, verified: nothing comes from here that is not what it claims.

What has been verified is kept near, small and bounded, so that a repeated hit costs little more
than its key. It is used only while the store says that nothing in it has changed since.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from cascade_nb import content, provenance
from cascade_nb.content.cid import dag_cbor_cid
from cascade_nb.errors import IntegrityError, warn_once
from cascade_nb.loop import in_thread
from cascade_nb.policies.packing import Package, contents_of_cell
from cascade_nb.protocols import Bytes, Forgets, KeepsBytes, Lists, Versions
from cascade_nb.provenance import Origin
from cascade_nb.records import CLOCK_SKEW, Entry, Record
from cascade_nb.wording import one_line

T = TypeVar("T")

# Hashing and decoding up to this many bytes takes less than a trip to a thread and back.
INLINE_BYTES = 256 * 1024
# What is kept near: so many records and contents, of at most so many bytes each.
_NEAR_ITEMS, _NEAR_BYTES = 1024, 16 * 1024
# What lies in place of a record in a store that can only get and set.
_FORGOTTEN = b""


# A decoded value of one of these types may be handed out again and again.
_UNCHANGEABLE = frozenset({int, float, complex, bool, str, bytes, type(None)})
NO_VALUE: Any = object()


# Beside the records of results, a shelf keeps those that were brought here under their own CIDs.
ADOPTED = "record:"


class ForeignRecordError(IntegrityError):
    """What lies there is nothing that this user believes: a stranger's, or damaged."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A verified record, what people see of it, and whose word it is.

    `version` is the store's when it was found.
    """

    record: Record
    entry: Entry
    origin: Origin
    version: Hashable | None = None


class Shelf:
    """The records and contents of one store; its methods raise `BackendError` as the store does."""

    def __init__(self, store: KeepsBytes) -> None:
        self.store = store
        self._near = _Near(store) if isinstance(store, Versions) else None
        # Of a store that has to be asked each time: own records by their envelopes, and values by
        # the CID of what they were decoded from. Of these, nothing can change.
        self._read: _Recent[Claim] = _Recent()
        self._values: _Recent[Any] = _Recent()

    async def claim(self, key: str) -> Claim | None:
        """The claim under `key`, if there is one, of somebody who is trusted with what it says.

        Raises:
            ForeignRecordError: it is a stranger's, or damaged; the message says what would help.
            IntegrityError: it claims to lie elsewhere.
        """
        near = self._near
        version = None if near is None else near.version()
        if near is not None:
            known: Claim | None = near.get(key, version)
            if known is not None:
                # The user may have changed their mind about others since.
                return known if not known.origin.signer else _believed(_judged_anew(known))
        envelope = await self.store.read_record(key)
        if envelope is None or envelope == _FORGOTTEN:
            return None
        claim = self._read_again(envelope) if near is None else _claimed(envelope, version)
        if claim is None:
            raise ForeignRecordError("what is stored was not stored by you, or is damaged")
        _believed(claim)
        if claim.record.key != key:
            raise IntegrityError("a record lies under another key than its own")
        if near is not None and len(envelope) <= _NEAR_BYTES:
            near.put(key, version, claim)
        return claim

    def _read_again(self, envelope: bytes) -> Claim | None:
        """The claim in `envelope`; what is this user's own and came before is not taken apart."""
        known: Claim | None = self._read.get(envelope)
        if known is not None and provenance.unseal(envelope) is not None:
            return known
        claim = _claimed(envelope)
        if claim is not None and not claim.origin.signer and len(envelope) <= _NEAR_BYTES:
            self._read.put(envelope, claim)
        return claim

    async def claim_of(self, record_cid: str) -> Claim | None:
        """The claim whose record has that CID, whoever has signed it.

        A stranger's as well, and an expired one: only its `origin` says what it is good for.
        """
        envelope = await self.store.read_record(ADOPTED + record_cid)
        if envelope and _holds(envelope, record_cid):
            return _claimed(envelope)
        if isinstance(self.store, Lists):
            async for _, listed in self.store.records():
                if _holds(listed, record_cid):
                    return _claimed(listed)
        return None

    async def content(self, cid: str, claim: Claim) -> Bytes:
        """The content named `cid` that `claim` leads to, writable unless it is small.

        Raises:
            IntegrityError: it is gone, or is not what its CID says.
        """
        near = self._near
        if near is not None:
            known: bytes | None = near.get(cid, claim.version)
            if known is not None:
                return known
        data = await self.store.read_content(cid)
        if data is None:
            raise IntegrityError(f"the content {cid} is gone")
        size = memoryview(data).nbytes
        if not await sized(size, content.verify, cid, data):
            raise IntegrityError(f"the content {cid} is not what its CID says")
        if near is None or size > _NEAR_BYTES:
            return data
        kept = bytes(data)
        near.put(cid, claim.version, kept)
        return kept

    def value(self, claim: Claim) -> Any:
        """The value of a claim that `keep_value` was told of, or NO_VALUE."""
        if self._near is None:
            return self._values.get((claim.record.result, claim.origin.code), NO_VALUE)
        return self._near.get(_value_name(claim), claim.version, NO_VALUE)

    def keep_value(self, claim: Claim, value: Any) -> None:
        """Keep a decoded value near, if it is such that nobody can change it."""
        if type(value) not in _UNCHANGEABLE:
            return
        if self._near is not None:
            self._near.put(_value_name(claim), claim.version, value)
        elif claim.record.size <= _NEAR_BYTES:
            self._values.put((claim.record.result, claim.origin.code), value)

    async def put(self, record: Record, package: Package) -> Entry:
        """Store content first, the record last, so that a record's content is always there.

        Raises:
            ConfigurationError: the key that was chosen to sign cannot.
        """
        signed = await in_thread(provenance.sign_record, record)
        for cid, pieces in package.contents.items():
            await self.store.write_content(cid, pieces)
        other = await self._lying(record.key)
        if other is not None and other.origin.signer:
            _warn_of_difference(signed, provenance.Origin(), other)
        await self.store.write_record(
            record.key,
            provenance.seal(signed.to_bytes()),
            record.ttl,
            contents=tuple(package.contents),
        )
        return entry_of(signed)

    async def adopt(self, data: bytes) -> Entry:
        """Keep a record from elsewhere, whose contents are in the store by now.

        It is found by its own CID from then on; and under its key, unless a believed one lies
        there: this user's own is never replaced by another's.

        Raises:
            IntegrityError: it is no record, its signer has not signed it as it is, or its content
                is not there.
        """
        record, origin = provenance.judge_record(data)
        entry = entry_of(record)
        seal = provenance.seal_imported if origin.signer else provenance.seal
        envelope = seal(data)
        contents = await self._contents_of(record)
        now = time.time()
        good = not record.expired(now)
        left = record.created + record.ttl - now if record.ttl is not None and good else None
        await self.store.write_record(ADOPTED + entry.record_cid, envelope, left, contents=contents)
        if good and await self._gives_way(record, origin):
            await self.store.write_record(record.key, envelope, left, contents=contents)
        return entry

    async def _gives_way(self, record: Record, origin: Origin) -> bool:
        """Whether what lies under the record's key is to be replaced by it."""
        there = await self._lying(record.key)
        if there is None:
            return True
        _warn_of_difference(record, origin, there)
        return bool(there.origin.signer) and not origin.signer

    async def _lying(self, key: str) -> Claim | None:
        """What lies under `key`, if it would be believed now."""
        envelope = await self.store.read_record(key)
        claim = _claimed(envelope) if envelope else None
        if claim is None or claim.record.key != key or claim.record.expired(time.time()):
            return None
        return None if _why_not_believed(claim) else claim

    async def _contents_of(self, record: Record) -> tuple[str, ...]:
        """The CIDs of all that a record leads to."""
        cids = [record.result]
        if record.kind == "cell":
            node = await self.store.read_content(record.result)
            if node is None or not content.verify(record.result, node):
                raise IntegrityError(f"the content {record.result} is gone or damaged")
            cids += contents_of_cell(node)
        return tuple(cids)

    async def drop(self, key: str) -> bool:
        """Remove a record, and contents that no other needs; whether there was one."""
        if isinstance(self.store, Forgets):
            return await self.store.delete_record(key)
        found = await self.store.read_record(key)
        if not found:
            return False
        await self.store.write_record(key, _FORGOTTEN, None)
        return True


def _value_name(claim: Claim) -> str:
    # What code has decoded is no value of one who is trusted with data.
    return f"value {claim.origin.code:d} {claim.record.key}"


def _claimed(envelope: Bytes, version: Hashable | None = None) -> Claim | None:
    judged = provenance.judge(envelope)
    if judged is None:
        return None
    record, origin = judged
    return Claim(record, entry_of(record), origin, version)


def _holds(envelope: bytes, record_cid: str) -> bool:
    return dag_cbor_cid(provenance.bare(envelope)) == record_cid


def _judged_anew(claim: Claim) -> Claim:
    return replace(claim, origin=provenance.origin_of(claim.record))


def _believed(claim: Claim) -> Claim:
    """`claim`, if its signer is trusted with what it says.

    Raises:
        ForeignRecordError: they are not.
    """
    why = _why_not_believed(claim)
    if why:
        raise ForeignRecordError(why)
    return claim


def _why_not_believed(claim: Claim) -> str:
    origin, record = claim.origin, claim.record
    signer = one_line(origin.signer)
    if not origin.data:
        return f"stored by {signer}, who is not trusted; `%cascade trust '{record.producer}'` would"
    if record.needs_code and not origin.code:
        return untrusted_code(claim, "loading it would run code")
    if signer and record.created > time.time() + CLOCK_SKEW:
        return f"stored by {signer}, and dated in the future"
    return ""


def untrusted_code(claim: Claim, why: str) -> str:
    """Why one who is trusted with data alone is not served what goes further, and what would."""
    return (
        f"stored by {one_line(claim.origin.signer)}, who is trusted with data only, and {why}; "
        f"`%cascade trust --code '{claim.record.producer}'` would"
    )


def _warn_of_difference(record: Record, origin: Origin, there: Claim) -> None:
    """Say so where two who are trusted claim different results of the same computation."""
    other = there.record
    # Code has no one encoding, and other files give other results.
    if other.needs_code or record.needs_code or other.reads != record.reads:
        return
    if record.result == other.result or not origin.data or origin.signer == there.origin.signer:
        return
    mine, theirs = _possessive(origin), _possessive(there.origin)
    warn_once(
        f"{one_line(record.name, 60)} has two results: {record.result} is {mine}, {other.result} "
        f"is {theirs}; {theirs if origin.signer else mine} stays",
        ("two results", record.key),
    )


def _possessive(origin: Origin) -> str:
    return f"that of {one_line(origin.signer)}" if origin.signer else "yours"


def entry_of(record: Record) -> Entry:
    """What people see of a record."""
    return Entry(
        key=record.key,
        cid=record.result,
        record_cid=dag_cbor_cid(record.to_bytes()),
        kind=record.kind,
        name=record.name,
        created=record.created,
        ttl=record.ttl,
        seconds=record.seconds,
        size=record.size,
        needs_code=record.needs_code,
        outputs=record.outputs,
        producer=record.producer,
    )


async def sized(size: int, function: Callable[..., T], *args: Any) -> T:
    """Call `function`, which works on `size` bytes, here or, where that would hold up, a thread."""
    if size <= INLINE_BYTES:
        return function(*args)
    return await in_thread(function, *args)


class _Near:
    """A bounded table of what was found in the store, emptied when the store changes."""

    def __init__(self, store: Versions) -> None:
        self.version = store.version
        self._version: Hashable | None = None
        self._items: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: str, version: Hashable | None, default: Any = None) -> Any:
        """What was found under `name` in the store as it is now."""
        if version is None or version != self._version:
            return default
        return self._items.get(name, default)

    def put(self, name: str, version: Hashable | None, item: Any) -> None:
        """Keep what was found under `name` when the store had that version."""
        if version is None:
            return
        with self._lock:
            if version != self._version:
                self._items = OrderedDict()
                self._version = version
            self._items[name] = item
            if len(self._items) > _NEAR_ITEMS:
                self._items.popitem(last=False)


class _Recent(Generic[T]):
    """A bounded table of what can never become wrong."""

    def __init__(self) -> None:
        self._items: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, name: Hashable, default: Any = None) -> Any:
        """What is known under `name`."""
        return self._items.get(name, default)

    def put(self, name: Hashable, item: T) -> None:
        """Keep `item`, in place of the oldest where there are many."""
        self._items[name] = item
        if len(self._items) > _NEAR_ITEMS:
            self._items.popitem(last=False)
