"""A store in this process's memory."""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from cascade_nb.backends import forks
from cascade_nb.backends.base import ValueFace
from cascade_nb.backends.buffers import joined, length
from cascade_nb.backends.outages import parts_gone
from cascade_nb.errors import ContentTooLargeError
from cascade_nb.loop import in_thread
from cascade_nb.protocols import Bytes
from cascade_nb.units import human_size, parse_size

# Copying up to this many bytes takes less than a trip to a thread and back.
_INLINE_BYTES = 64 * 1024


@dataclass(slots=True)
class _Kept:
    envelope: bytes
    number: int
    expires: float | None
    contents: tuple[str, ...] = ()


@dataclass(slots=True)
class _Content:
    data: bytes | bytearray | memoryview
    needed_by: set[str] = field(default_factory=set)


class InMemoryCacheBackend(ValueFace):
    """Keeps results for as long as the process lives; safe to use from any thread.

    Args:
        size: the most bytes to keep, as a number or a text like "500MB"; beyond it the least
            recently used results go. None sets no limit.
    """

    def __init__(self, *, size: int | str | None = None) -> None:
        self.limit = None if size is None else parse_size(size)
        self._lock = threading.Lock()
        self._records: dict[str, _Kept] = {}
        self._contents: dict[str, _Content] = {}
        self._notes: dict[str, bytes] = {}
        # What goes as a whole when room is needed, least recently used first: (kind, name).
        self._uses: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._ends: list[tuple[float, str]] = []  # a heap of when records expire, replaced ones too
        self._bytes = 0
        self._written = 0
        self._changes = 0
        self._locked: set[tuple[int, str]] = set()
        forks.watch(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def read_record(self, key: str) -> bytes | None:
        """The envelope under `key` while its ttl lasts, by a clock that cannot be set."""
        with self._lock:
            kept = self._records.get(key)
            if kept is None:
                return None
            if kept.expires is not None and time.monotonic() >= kept.expires:
                self._remove_record(key)
                return None
            self._uses.move_to_end(("record", key))
            return kept.envelope

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope; `contents` stay as long as a record needs them."""
        expires = None if ttl is None else time.monotonic() + ttl
        with self._lock:
            self._check_fit(envelope, contents)
            before = self._records.pop(key, None)
            self._written += 1
            self._changes += 1
            self._records[key] = _Kept(bytes(envelope), self._written, expires, tuple(contents))
            if expires is not None:
                heapq.heappush(self._ends, (expires, key))
            self._bytes += len(envelope)
            for cid in contents:
                self._contents[cid].needed_by.add(key)
                self._uses.pop(("content", cid), None)
            if before is not None:
                self._bytes -= len(before.envelope)
                self._drop_needs(key, set(before.contents) - set(contents))
            self._uses.pop(("note", key), None)
            self._used("record", key)
            self._shrink()

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """A copy of the content."""
        with self._lock:
            found = self._contents.get(cid)
            if found is None:
                return None
            if ("content", cid) in self._uses:
                self._used("content", cid)
        if len(found.data) <= _INLINE_BYTES:
            return bytearray(found.data)
        return await in_thread(joined, [found.data])

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store a copy of the content, replacing what was there."""
        size = length(pieces)
        if self.limit is not None and size > self.limit:
            raise self._too_large(size)
        inline = size <= _INLINE_BYTES
        data = joined(pieces) if inline else await in_thread(joined, pieces)
        with self._lock:
            found = self._contents.get(cid)
            self._changes += 1
            if found is not None:
                self._bytes += size - len(found.data)
                found.data = data
            else:
                self._bytes += size
                self._contents[cid] = _Content(data)
            # Until its record comes it stands by itself, even if an older one that needs it goes.
            self._used("content", cid)
            self._shrink()

    async def has_content(self, cid: str) -> bool:
        """Whether the content is there."""
        with self._lock:
            if ("content", cid) in self._uses:
                self._used("content", cid)
            return cid in self._contents

    async def capacity(self) -> int | None:
        """Bytes of the largest result that can be kept."""
        return self.limit

    async def delete_record(self, key: str) -> bool:
        """Remove a record, its note, and contents that no other record needs."""
        with self._lock:
            return self._remove_record(key) > 0

    async def clear(self) -> int:
        """Remove everything; how many records there were."""
        with self._lock:
            count = len(self._records)
            self._changes += 1
            for kept in (self._records, self._contents, self._notes, self._uses):
                kept.clear()
            self._bytes = 0
            return count

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every (key, envelope) that is not expired, newest first."""
        now = time.monotonic()
        with self._lock:
            newest = sorted(self._records.items(), key=lambda item: item[1].number, reverse=True)
        for key, kept in newest:
            if kept.expires is None or now < kept.expires:
                yield key, kept.envelope

    def version(self) -> int:
        """How many changes there have been."""
        return self._changes

    async def size(self) -> int:
        """Bytes of records, notes and contents."""
        return self._bytes

    async def read_note(self, key: str) -> bytes | None:
        """The note under `key`."""
        with self._lock:
            if ("note", key) in self._uses:
                self._used("note", key)
            return self._notes.get(key)

    async def write_note(self, key: str, note: bytes) -> None:
        """Store the note; it goes when the record of that key goes, or when it is not used."""
        with self._lock:
            self._bytes += len(note) - len(self._notes.get(key, b""))
            self._notes[key] = bytes(note)
            if key not in self._records:
                self._used("note", key)
            self._shrink()

    async def try_lock(self, key: str) -> _MemoryLock | None:
        """The lock on `key` among the threads of this process."""
        name = (os.getpid(), key)
        with self._lock:
            if name in self._locked:
                return None
            self._locked.add(name)
            return _MemoryLock(self._locked, name)

    def before_fork(self) -> None:
        """No thread may stand in the middle of a change."""
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """Parent and child go on, each with its own copy."""
        self._lock.release()

    def _used(self, kind: str, name: str) -> None:
        self._uses[kind, name] = None
        self._uses.move_to_end((kind, name))

    def _check_fit(self, envelope: bytes, contents: Sequence[str]) -> None:
        found = [self._contents[cid] for cid in set(contents) if cid in self._contents]
        size = len(envelope) + sum(len(content.data) for content in found)
        if self.limit is not None and size > self.limit:
            raise self._too_large(size)
        if len(found) < len(set(contents)):
            raise parts_gone("memory://")

    def _shrink(self) -> None:
        now = time.monotonic()
        while self._ends and self._ends[0][0] <= now:
            expires, key = heapq.heappop(self._ends)
            if key in self._records and self._records[key].expires == expires:
                self._remove_record(key)
        while self.limit is not None and self._bytes > self.limit and self._uses:
            kind, name = next(iter(self._uses))
            if kind == "record":
                self._remove_record(name)
            elif kind == "content":
                self._uses.popitem(last=False)
                if not self._contents[name].needed_by:
                    self._remove_content(name)
            else:
                self._remove_note(name)

    def _remove_record(self, key: str) -> int:
        kept = self._records.pop(key, None)
        if kept is None:
            return 0
        self._changes += 1
        self._bytes -= len(kept.envelope)
        self._uses.pop(("record", key), None)
        self._drop_needs(key, set(kept.contents))
        self._remove_note(key)
        return 1

    def _drop_needs(self, key: str, cids: set[str]) -> None:
        for cid in cids:
            found = self._contents.get(cid)
            if found is None:
                continue
            found.needed_by.discard(key)
            if not found.needed_by and ("content", cid) not in self._uses:
                self._remove_content(cid)

    def _remove_content(self, cid: str) -> None:
        self._changes += 1
        self._bytes -= len(self._contents.pop(cid).data)
        self._uses.pop(("content", cid), None)

    def _remove_note(self, key: str) -> None:
        self._bytes -= len(self._notes.pop(key, b""))
        self._uses.pop(("note", key), None)

    def _too_large(self, size: int) -> ContentTooLargeError:
        limit = human_size(self.limit or 0)
        return ContentTooLargeError(
            f"a result of {human_size(size)} or more does not fit in the store's {limit}",
            server="memory://",
        )


class _MemoryLock:
    def __init__(self, locked: set[tuple[int, str]], name: tuple[int, str]) -> None:
        self._locked = locked
        self._name: tuple[int, str] | None = name

    def release(self) -> None:
        """Free the lock."""
        name, self._name = self._name, None
        if name is not None:
            self._locked.discard(name)
