"""Contents on a Redis server: each in chunks, for as long as a record needs it.

A content is a hash: its chunks by number, and a head, written last. Beside it lies the set of the
records that need it. What no record needs goes after a day, and so do the parts of what was never
finished.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from cascade_nb.backends.buffers import blank, length
from cascade_nb.backends.redis_lines import Command
from cascade_nb.backends.redis_link import RedisLink
from cascade_nb.backends.redis_protocol import encoded
from cascade_nb.backends.redis_riders import RIDING_BYTES, Riders
from cascade_nb.errors import BackendError
from cascade_nb.loop import in_thread
from cascade_nb.protocols import Bytes

# Each is sent in one command: a slow line has a second for it.
_CHUNK_BYTES = 1 << 20
_UNCLAIMED_MS = 24 * 3600 * 1000

# Removes content that no record needs, in one go with that look.
_SWEEP = """
if redis.call('scard', KEYS[1]) > 0 then return 0 end
return redis.call('del', KEYS[1], KEYS[2])
"""


class RedisContents:
    """The contents of one store; what is small is read with its record, which `riders` knows of.

    Args:
        link: the way to the server.
        root: what the names of all keys begin with.
    """

    def __init__(self, link: RedisLink, root: bytes) -> None:
        self._link = link
        self._root = root
        self.riders = Riders()

    # What belongs to one content lies in one slot of a cluster: that is what braces do.

    def name(self, cid: str) -> bytes:
        """Where the content lies."""
        return self._root + b"content:{" + encoded(cid) + b"}"

    def needed(self, cid: str) -> bytes:
        """Where the names of the records that need it lie."""
        return self._root + b"needed:{" + encoded(cid) + b"}"

    async def read(self, cid: str) -> bytearray | memoryview | None:
        """The content, out of its chunks."""
        rider = self.riders.pop(cid)
        if rider is not None:
            return bytearray(rider)
        name = self.name(cid)
        found = await self._link.ask("HMGET", name, "head", "0")
        head = size_and_count(found[0]) if found else None
        if head is None:
            return None
        size, count = head
        if count <= 1:
            data = found[1] if count else b""
            return bytearray(data) if isinstance(data, bytes) and len(data) == size else None
        return await self._gather(name, size, count)

    async def _gather(self, name: bytes, size: int, count: int) -> bytearray | memoryview | None:
        if not await self._is_whole(name, size, count):
            return None
        buffer = blank(size)
        target, position = memoryview(buffer), 0
        for number in range(count):
            chunk = await self._link.call("HGET", name, str(number))
            # It may be written anew just now.
            if not isinstance(chunk, bytes) or position + len(chunk) > size:
                return None
            await in_thread(_copy, chunk, target[position : position + len(chunk)])
            position += len(chunk)
        return buffer if position == size else None

    async def write(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store a content chunk by chunk, its head last, so that a part of it is nothing."""
        name, size = self.name(cid), length(pieces)
        self.riders.forget(cid)
        if size <= _CHUNK_BYTES:
            data = b"".join(pieces)
            await self._begin(name, ("head", _packed_head(size, 1), "0", data))
            if size <= RIDING_BYTES:
                self.riders.wrote(cid, data)
            return
        count = 0
        try:
            await self._begin(name, ("begun", ""))
            for count, chunk in enumerate(_chunks(pieces), start=1):
                await self._link.call("HSET", name, str(count - 1), chunk)
            await self._link.call("HSET", name, "head", _packed_head(size, count))
        except BackendError:
            await self._abandon(name)
            raise

    async def _begin(self, name: bytes, fields: Sequence[Any]) -> None:
        """The first fields of a content, which ends by itself if no record ever needs it."""
        put, expire = ("HSET", name, *fields), ("PEXPIRE", name, _UNCLAIMED_MS)
        end = await self._link.call("PTTL", name)
        is_claimed = end == -1 or end >= _UNCLAIMED_MS // 2
        made, *_ = await self._link.batch([put] if is_claimed else [put, expire])
        if made is None:
            # Something of another type lies there.
            await self._link.batch([("DEL", name), put, expire])

    async def _abandon(self, name: bytes) -> None:
        try:
            await self._link.call("DEL", name)
        except BackendError:
            return  # It ends by itself, and is no content without its head.

    async def has(self, cid: str) -> bool:
        """Whether the content is there."""
        name = self.name(cid)
        head = size_and_count(await self._link.call("HGET", name, "head"))
        if head is None:
            return False
        return await self._is_whole(name, *head)

    async def _is_whole(self, name: bytes, size: int, count: int) -> bool:
        """Whether all chunks are there: some may have been evicted while others were written."""
        looks = [("HSTRLEN", name, str(number)) for number in range(count)]
        return sum(map(int, await self._link.batch(looks))) == size

    def needing(self, record: bytes, cids: Sequence[str]) -> Iterator[Command]:
        """What says that a record needs `cids`, and asks what `ends_of` takes out of the answers.

        Those who sweep must see the need before they can find that there was none.
        """
        for cid in cids:
            yield ("SADD", self.needed(cid), record)
            yield ("HGET", self.name(cid), "head")
            yield ("PTTL", self.name(cid))

    def lasting(
        self, cids: Sequence[str], ends: Sequence[int], milliseconds: int | None
    ) -> Iterator[Command]:
        """What makes `cids`, which end in `ends`, last as long as a record that needs them."""
        for cid, end in zip(cids, ends, strict=True):
            if end == -1:
                continue
            for kept in (self.name(cid), self.needed(cid)):
                if milliseconds is None:
                    yield ("PERSIST", kept)
                else:
                    yield ("PEXPIRE", kept, max(milliseconds + _UNCLAIMED_MS, end))

    async def drop_needs(self, record: bytes, cids: Sequence[str]) -> None:
        """A record does not need `cids` any more; what no other one needs goes."""
        await self._link.batch([("SREM", self.needed(cid), record) for cid in cids])
        for cid in cids:
            self.riders.forget(cid)
            needed = self.needed(cid)
            while members := await self._link.call("SRANDMEMBER", needed, 16):
                living = await self._link.batch([("EXISTS", member) for member in members])
                if any(living):
                    break
                # Records that expired or were evicted have told nobody.
                await self._link.call("SREM", needed, *members)
            else:
                await self._link.evaluate(_SWEEP, [needed, self.name(cid)], [])


def ends_of(answers: Sequence[Any]) -> list[int] | None:
    """In how many ms each content ends, or never (-1); None where one is not there."""
    return None if None in answers[1::3] else list(answers[2::3])


def _packed_head(size: int, count: int) -> bytes:
    return b"%d %d" % (size, count)


def size_and_count(head: Any) -> tuple[int, int] | None:
    """Size and number of chunks of a content that is all there."""
    match = re.fullmatch(rb"(\d{1,15}) (\d{1,9})", head) if isinstance(head, bytes) else None
    if match is None:
        return None
    size, count = int(match[1]), int(match[2])
    # Of two chunks, one is at least half full.
    return (size, count) if count <= 4 * size // _CHUNK_BYTES + 2 else None


def _chunks(pieces: Sequence[Bytes]) -> Iterator[Bytes]:
    """`pieces` in chunks of at most 1 MiB, large ones not copied."""
    gathered = bytearray()
    for piece in pieces:
        view = memoryview(piece).cast("B")
        for start in range(0, view.nbytes, _CHUNK_BYTES):
            step = view[start : start + _CHUNK_BYTES]
            is_large = step.nbytes > _CHUNK_BYTES // 2
            if gathered and (is_large or len(gathered) + step.nbytes > _CHUNK_BYTES):
                yield bytes(gathered)
                gathered = bytearray()
            if is_large:
                yield step
            else:
                gathered += step
    if gathered:
        yield bytes(gathered)


def _copy(chunk: bytes, target: memoryview) -> None:
    target[:] = chunk
