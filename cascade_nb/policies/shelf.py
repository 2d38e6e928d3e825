"""Records and contents in a store, verified: nothing comes from here that is not what it claims.

What has been verified is kept near, small and bounded, so that a repeated hit costs little more
than its key. It is used only while the store says that nothing in it has changed since.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from cascade_nb import content, provenance
from cascade_nb.content.cid import dag_cbor_cid
from cascade_nb.errors import IntegrityError
from cascade_nb.loop import in_thread
from cascade_nb.policies.packing import Package
from cascade_nb.protocols import Bytes, Forgets, KeepsBytes, Versions
from cascade_nb.records import Entry, Record

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


class ForeignRecordError(IntegrityError):
    """A record lies in no envelope of this user's; who wrote it, and what, is not known."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A verified record, what people see of it, and the store's version that it was found in."""

    record: Record
    entry: Entry
    version: Hashable | None = None


class Shelf:
    """The records and contents of one store; its methods raise `BackendError` as the store does."""

    def __init__(self, store: KeepsBytes) -> None:
        self.store = store
        self._near = _Near(store) if isinstance(store, Versions) else None

    async def claim(self, key: str) -> Claim | None:
        """The claim under `key`, or None.

        Raises:
            ForeignRecordError: what lies there was not put there by this user, or is damaged.
            IntegrityError: it claims to lie elsewhere, or is of an unknown format.
        """
        near = self._near
        version = None if near is None else near.version()
        if near is not None:
            known: Claim | None = near.get(key, version)
            if known is not None:
                return known
        envelope = await self.store.read_record(key)
        if envelope is None or envelope == _FORGOTTEN:
            return None
        data = provenance.unseal(envelope)
        if data is None:
            raise ForeignRecordError("what is stored was not stored by you, or is damaged")
        record = Record.from_bytes(data)
        if record.key != key:
            raise IntegrityError("a record lies under another key than its own")
        claim = Claim(record, entry_of(record), version)
        if near is not None and len(data) <= _NEAR_BYTES:
            near.put(key, version, claim)
        return claim

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
            return NO_VALUE
        return self._near.get(_value_name(claim), claim.version, NO_VALUE)

    def keep_value(self, claim: Claim, value: Any) -> None:
        """Keep a decoded value near, if it is such that nobody can change it."""
        if self._near is not None and type(value) in _UNCHANGEABLE:
            self._near.put(_value_name(claim), claim.version, value)

    async def put(self, record: Record, package: Package) -> Entry:
        """Store content first, the record last, so that a record's content is always there."""
        for cid, pieces in package.contents.items():
            await self.store.write_content(cid, pieces)
        signed, envelope = await in_thread(_signed_and_sealed, record)
        await self.store.write_record(
            record.key, envelope, record.ttl, contents=tuple(package.contents)
        )
        return entry_of(signed)

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
    return f"value {claim.record.key}"


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


def _signed_and_sealed(record: Record) -> tuple[Record, bytes]:
    signed = provenance.sign_record(record)
    return signed, provenance.seal(signed.to_bytes())
