"""Which contents on a node a key needs, kept as rows in another store beside its own results."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import libipld

from cascade_nb.backends.base import SERVICE
from cascade_nb.backends.forgetting import forget
from cascade_nb.content import cid as cids
from cascade_nb.errors import BackendError
from cascade_nb.protocols import KeepsBytes, KeepsNotes, Lists, Lock, Locks

_FORMAT = 1
_ROW, _NOTE, _NAME = f"{SERVICE}ipfs:", f"{SERVICE}ipfs-note:", f"{SERVICE}ipfs-name"


@dataclass(frozen=True, slots=True)
class Row:
    """What lies there for a key: the envelope, and the sizes of the contents that it needs."""

    envelope: bytes
    contents: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """The encoding, as DAG-CBOR."""
        tree = {"format": _FORMAT, "envelope": self.envelope, "contents": dict(self.contents)}
        data: bytes = libipld.encode_dag_cbor(tree)
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Row | None:
        """The row; None for what is none, or one of a newer format."""
        try:
            tree: Any = libipld.decode_dag_cbor(data)
            if tree["format"] != _FORMAT:
                return None
            row = cls(tree["envelope"], tree["contents"])
            sound = isinstance(row.envelope, bytes) and all(
                isinstance(size, int) and cids.normal(cid) for cid, size in row.contents.items()
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return row if sound else None


class IpfsRows:
    """The rows in one metadata store; what it cannot do, such as to list, is a `BackendError`.

    Notes are rows, too, and only where the store keeps notes, which tells that it is near.
    """

    def __init__(self, store: KeepsBytes, server: str) -> None:
        self.store = store
        self.can_list = isinstance(store, Lists)
        self._server = server
        self._name: str | None = None

    async def read(self, key: str) -> Row | None:
        """The row of a key."""
        data = await self.store.read_record(_ROW + key)
        return None if not data else Row.from_bytes(data)

    async def write(self, key: str, row: Row, ttl: float | None) -> None:
        """Store the row of a key, for `ttl` seconds or for good."""
        await self.store.write_record(_ROW + key, row.to_bytes(), ttl)

    async def remove(self, key: str) -> None:
        """Remove the row of a key, and its note."""
        await forget(self.store, _ROW + key)
        if isinstance(self.store, KeepsNotes):
            await forget(self.store, _NOTE + key)

    async def clear(self) -> int:
        """Remove all rows and notes; how many rows there were."""
        rows = 0
        for name in [name async for name, _ in self._records()]:
            if name.startswith((_ROW, _NOTE)):
                await forget(self.store, name)
                rows += name.startswith(_ROW)
        return rows

    async def all(self) -> AsyncIterator[tuple[str, Row]]:
        """Every (key, row) that is not expired, newest first."""
        async for name, data in self._records():
            row = Row.from_bytes(data) if name.startswith(_ROW) else None
            if row is not None:
                yield name.removeprefix(_ROW), row

    async def size(self) -> int:
        """Bytes of envelopes, notes and the contents that are needed."""
        size, contents = 0, dict[str, int]()
        async for name, data in self._records():
            if name.startswith(_NOTE):
                size += len(data)
            row = Row.from_bytes(data) if name.startswith(_ROW) else None
            if row is not None:
                size += len(row.envelope)
                contents.update(row.contents)
        return size + sum(contents.values())

    async def read_note(self, key: str) -> bytes | None:
        """The note under `key`."""
        if not isinstance(self.store, KeepsNotes):
            return None
        return await self.store.read_record(_NOTE + key) or None

    async def write_note(self, key: str, note: bytes) -> None:
        """Store the note, where notes are kept."""
        if isinstance(self.store, KeepsNotes):
            await self.store.write_record(_NOTE + key, bytes(note), None)

    async def try_lock(self, key: str) -> Lock | None:
        """The store's lock; where it has none, nobody is kept out."""
        if isinstance(self.store, Locks):
            return await self.store.try_lock(_ROW + key)
        return _NoLock()

    async def name(self) -> str:
        """A name that all have in common who share the store, made when it is first asked for."""
        if self._name is None:
            found = await self.store.read_record(_NAME)
            if not found:
                await self.store.write_record(_NAME, secrets.token_hex(6).encode(), None)
                # Of two who make one at a time, both take the one that was written last.
                found = await self.store.read_record(_NAME)
            self._name = bytes(found or b"nameless").decode("ascii", "replace")
        return self._name

    def _records(self) -> AsyncIterator[tuple[str, bytes]]:
        if isinstance(self.store, Lists):
            return self.store.records()
        raise BackendError(
            f"the store with the metadata of {self._server} cannot list its records",
            server=self._server,
        )


class _NoLock:
    def release(self) -> None:
        """Do nothing: nobody was kept out."""
