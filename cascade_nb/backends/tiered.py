"""Stores one behind the other: the near ones are quick, the far ones are shared.

Reads ask the nearest first and bring what they find farther out to all that are nearer. Writes go
to the stores of this machine at once and to remote ones in the background. A store that fails is
passed over, with one warning: the others serve. What can only be read by CID, as gateways can, is
asked last.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from cascade_nb import content
from cascade_nb.backends.arrivals import Arrival, tried, warn_of
from cascade_nb.backends.base import SERVICE, ValueFace
from cascade_nb.backends.forgetting import forget
from cascade_nb.backends.outages import parts_gone
from cascade_nb.backends.plain import as_store
from cascade_nb.backends.uploads import Upload, Uploads
from cascade_nb.content import cid as cids
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import in_thread
from cascade_nb.protocols import (
    Bytes,
    CacheBackend,
    Fetches,
    Forgets,
    KeepsBytes,
    KeepsNotes,
    Lists,
    Lock,
    Locks,
    Versions,
)
from cascade_nb.wording import part_repr

T = TypeVar("T")

# Stores take no ttl that is over.
_SHORTEST_TTL = 0.001
# Records whose contents are on their way nearer; older ones are given up.
_MOST_ARRIVALS = 256


class TieredCacheBackend(ValueFace):
    """Serves from the nearest of several backends that has a result.

    Args:
        fast: the nearest backend, such as one in memory.
        slow: the next one.
        more: others, each farther than the one before.

    Raises:
        ConfigurationError: one of them is no backend, or none can store anything.
    """

    def __init__(self, fast: CacheBackend, slow: CacheBackend, *more: CacheBackend) -> None:
        given = (fast, slow, *more)
        self.sources: tuple[Any, ...] = tuple(b for b in given if _only_gives(b))
        self.tiers = tuple(as_store(b) for b in given if not _only_gives(b))
        if not self.tiers:
            raise ConfigurationError("none of these backends can store anything")
        self._near = tuple(tier for tier in self.tiers if not _is_remote(tier))
        self._far = tuple(tier for tier in self.tiers if _is_remote(tier))
        lasting = (tier for tier in self._near if isinstance(tier, ValueFace) and tier.lasting)
        self._uploads = Uploads(self._upload, next(lasting, None))
        self._arrivals: OrderedDict[str, Arrival] = OrderedDict()
        self._changes = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(part_repr, (*self.tiers, *self.sources)))})"

    async def get(self, key: str) -> Any | None:
        """As every backend's; where no tier has it and `key` is a CID, the value that it names."""
        value = await super().get(key)
        if value is None and _is_cid(key):
            for source in self.sources:
                value = await source.get(key)
                if value is not None:
                    break
        return value

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """As every backend's; on return the remote tiers have it, too, unless they fail."""
        await super().set(key, value, ttl)
        await self.flush()

    async def flush(self) -> None:
        """Wait until what was written has arrived in all tiers, or cannot for now."""
        await self._uploads.flush()

    async def read_record(self, key: str) -> bytes | None:
        """The envelope from the nearest tier that has one."""
        self._uploads.resume()
        failures: list[BackendError] = []
        for place, tier in enumerate(self.tiers):
            envelope = await tried(tier.read_record(key), failures)
            if envelope is not None:
                if place:
                    await self._expect(key, envelope, self.tiers[:place])
                return envelope
        if len(failures) == len(self.tiers):
            raise failures[-1]
        return None

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope in the near tiers, and soon in the far ones."""
        self._changes += 1
        self._uploads.resume()
        failures: list[BackendError] = []
        for tier in self._near:
            failed = len(failures)
            await tried(tier.write_record(key, envelope, ttl, contents=contents), failures)
            if len(failures) > failed:
                # What lay there before is out of date, and would be found first.
                await tried(forget(tier, key), [])
        upload = Upload(key, tuple(contents), None if ttl is None else time.time() + ttl)
        if len(failures) < len(self._near):
            if self._far:
                await self._uploads.add(upload)
            return
        # No near tier holds it: what is far is written now, or never.
        for tier in self._far:
            await tried(self._bring(tier, upload, envelope), failures)
        if len(failures) == len(self.tiers):
            raise failures[0]

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content from the nearest tier that has it undamaged; what is nearer gets it, too."""
        failures: list[BackendError] = []
        for place, tier in enumerate(self.tiers):
            data = await tried(tier.read_content(cid), failures)
            if data is None:
                continue
            if place:
                # Only the last tier's is handed on as it is: its damage is the reader's to find.
                if not await in_thread(content.verify, cid, data):
                    if tier is self.tiers[-1]:
                        return data
                    continue
                for nearer in self.tiers[:place]:
                    await tried(nearer.write_content(cid, [data]), [])
            await self._arrived(cid, data)
            return data
        for source in self.sources:
            data = await tried(source.read_content(cid), failures)
            if data is not None:
                return data
        if len(failures) == len(self.tiers) + len(self.sources):
            raise failures[-1]
        return None

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store content in the near tiers; far ones get it with its record."""
        failures: list[BackendError] = []
        for tier in self._near:
            await tried(tier.write_content(cid, pieces), failures)
        if len(failures) < len(self._near):
            return
        for tier in self._far:
            await tried(tier.write_content(cid, pieces), failures)
        if len(failures) == len(self.tiers):
            raise failures[0]

    async def has_content(self, cid: str) -> bool:
        """Whether any tier has the content."""
        for tier in self.tiers:
            if await tried(tier.has_content(cid), []):
                return True
        return False

    async def delete_record(self, key: str) -> bool:
        """Remove a record from every tier; whether any had it.

        Raises:
            BackendError: it may still be in a tier that failed; it is gone from all others.
        """
        self._changes += 1
        await self._uploads.cancel(key)
        return any(await self._from_all(lambda tier: forget(tier, key)))

    async def clear(self) -> int:
        """Remove everything from every tier; how many records there were.

        Raises:
            BackendError: a tier failed; all others are empty.
        """
        count = len([key async for key, _ in self.records()])
        self._changes += 1
        await self._uploads.cancel()
        await self._from_all(_cleared)
        return count

    async def _from_all(self, remove: Callable[[KeepsBytes], Awaitable[T]]) -> list[T]:
        """What each tier answers to `remove`; a failure is raised once all have been asked."""
        answers: list[T] = []
        failures: list[BackendError] = []
        for tier in self.tiers:
            try:
                answers.append(await remove(tier))
            except BackendError as error:
                failures.append(error)
        if failures:
            raise failures[0]
        return answers

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every (key, envelope) of the nearest tier that has it; newest first in each tier."""
        seen: set[str] = set()
        for tier in self.tiers:
            if not isinstance(tier, Lists):
                continue
            try:
                async for key, envelope in tier.records():
                    if key not in seen and not key.startswith(SERVICE):
                        seen.add(key)
                        yield key, envelope
            except BackendError as error:
                warn_of(error)

    async def size(self) -> int:
        """Bytes in all tiers together."""
        sizes = [await tried(tier.size(), []) for tier in self.tiers if isinstance(tier, Lists)]
        return sum(size or 0 for size in sizes)

    async def try_lock(self, key: str) -> Lock | None:
        """The locks of all tiers that have any: on this machine, and between machines.

        Those of far tiers are freed once these have what was written meanwhile.
        """
        near = _Together([])
        far = _Together([])
        held = _Held(near, far, lambda release: self._uploads.after(key, release))
        for tier in self.tiers:
            if not isinstance(tier, Locks):
                continue
            failures: list[BackendError] = []
            lock = await tried(tier.try_lock(key), failures)
            if lock is not None:
                (far if tier in self._far else near).locks.append(lock)
            elif not failures:
                near.release()
                far.release()
                return None
        return held

    def version(self) -> Hashable | None:
        """What is another after each change in a near tier, or by this process in a far one."""
        versions = [tier.version() for tier in self._near if isinstance(tier, Versions)]
        if not versions or None in versions:
            return None
        return (self._changes, *versions)

    async def read_note(self, key: str) -> bytes | None:
        """The note under `key` in the nearest store of this machine that keeps notes."""
        keeper = self._note_keeper()
        return None if keeper is None else await keeper.read_note(key)

    async def write_note(self, key: str, note: bytes) -> None:
        """Store the note on this machine; nowhere, if no near tier keeps notes."""
        keeper = self._note_keeper()
        if keeper is not None:
            await keeper.write_note(key, note)

    def _note_keeper(self) -> KeepsNotes | None:
        keepers = [tier for tier in self._near if isinstance(tier, KeepsNotes)]
        lasting = [tier for tier in keepers if isinstance(tier, ValueFace) and tier.lasting]
        return next(iter(lasting or keepers), None)

    # What is found far comes near.

    async def _expect(self, key: str, envelope: bytes, nearer: Sequence[KeepsBytes]) -> None:
        """Bring a record nearer once the reader has read all its contents, which come with it."""
        arrival = Arrival.of(key, envelope, nearer)
        if arrival is None:
            return
        if arrival.root is None:
            await arrival.land()
            return
        self._arrivals[arrival.root] = arrival
        self._arrivals.move_to_end(arrival.root)
        if len(self._arrivals) > _MOST_ARRIVALS:
            self._arrivals.popitem(last=False)

    async def _arrived(self, cid: str, data: Bytes) -> None:
        for arrival in [a for a in self._arrivals.values() if cid in a.missing]:
            arrival.note(cid, data)
            if not arrival.missing:
                self._arrivals.pop(arrival.root or "", None)
                await arrival.land()

    # What was written near goes far.

    async def _upload(self, upload: Upload) -> None:
        """Bring a record and its contents from the near tiers to every far one."""
        envelope = await self._nearest(upload.key)
        if envelope is None:
            return  # forgotten or expired meanwhile
        failures: list[BackendError] = []
        for tier in self._far:
            try:
                await self._bring(tier, upload, envelope)
            except BackendError as error:
                warn_of(error)
                failures.append(error)
        if failures:
            raise failures[0]

    async def _bring(self, tier: KeepsBytes, upload: Upload, envelope: bytes) -> None:
        if upload.is_over:
            return
        for cid in upload.contents:
            if await tier.has_content(cid):
                continue
            for near in self._near:
                data = await tried(near.read_content(cid), [])
                if data is not None:
                    await tier.write_content(cid, [data])
                    break
            else:
                raise parts_gone(repr(self))
        # Even if its ttl has ended meanwhile: a store removes no content that no record needed.
        ttl = None if upload.ends is None else max(upload.ends - time.time(), _SHORTEST_TTL)
        await tier.write_record(upload.key, envelope, ttl, contents=upload.contents)

    async def _nearest(self, key: str) -> bytes | None:
        for tier in self._near:
            envelope = await tried(tier.read_record(key), [])
            if envelope is not None:
                return envelope
        return None


def flat(store: object) -> tuple[object, ...]:
    """What `store` is made of, nearest first: its tiers and sources, or just itself."""
    if not isinstance(store, TieredCacheBackend):
        return (store,)
    return tuple(part for tier in (*store.tiers, *store.sources) for part in flat(tier))


@dataclass(slots=True)
class _Together:
    """Several locks as one."""

    locks: list[Lock]

    def release(self) -> None:
        """Free them all, the last one first."""
        while self.locks:
            self.locks.pop().release()


@dataclass(slots=True)
class _Held:
    """The locks of near tiers, and those of far ones, which stay for a while."""

    near: _Together
    far: _Together
    later: Callable[[Callable[[], None]], None]

    def release(self) -> None:
        """Free the near ones at once, the far ones as soon as `later` says."""
        self.near.release()
        self.later(self.far.release)


async def _cleared(tier: KeepsBytes) -> int:
    return await tier.clear() if isinstance(tier, Forgets) else 0


def _only_gives(backend: object) -> bool:
    """Whether `backend` has contents by their CIDs, and stores none, as a gateway."""
    return isinstance(backend, Fetches) and not isinstance(backend, KeepsBytes)


def _is_cid(text: str) -> bool:
    try:
        return bool(cids.parse(text))
    except ConfigurationError:
        return False


def _is_remote(tier: KeepsBytes) -> bool:
    return isinstance(tier, ValueFace) and tier.remote
