"""A store on a Redis server, shared by all machines that reach it."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

from blake3 import blake3

from cascade_nb.backends import presence
from cascade_nb.backends.base import ValueFace
from cascade_nb.backends.leases import LEASE_SECONDS, Lease, settle
from cascade_nb.backends.outages import parts_gone
from cascade_nb.backends.redis_clients import as_bytes
from cascade_nb.backends.redis_contents import RedisContents, ends_of, size_and_count
from cascade_nb.backends.redis_lines import Command
from cascade_nb.backends.redis_link import link_to
from cascade_nb.backends.redis_protocol import encoded
from cascade_nb.backends.redis_rows import HEAD_BYTES, head_of, is_newer, packed_row, row_in
from cascade_nb.backends.redis_urls import client_at
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import in_thread
from cascade_nb.protocols import Bytes

# Redis refuses times beyond its clock's range.
_LONGEST_MS = 100 * 365 * 24 * 3600 * 1000
_PAGE = 64
_LOOKS = 500

_RENEW = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('pexpire', KEYS[1], ARGV[2])
"""
_FREE = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('del', KEYS[1])
"""


class RedisCacheBackend(ValueFace):
    """Keeps results on a Redis server; safe to use from any thread, loop, or forked child.

    The server is reached through a copy of `client` that waits for at most a second and tries
    nothing twice; `client` itself is never changed. It may be a `redis.Redis` or a
    `redis.asyncio.Redis`, of a cluster too. One that cannot be copied is called as it is.

    Args:
        client: whose server, credentials and database are used.
        prefix: what the names of all keys begin with; nothing else on the server is touched.

    Raises:
        ConfigurationError: `client` is no client, or the package redis is missing.
    """

    remote = True

    def __init__(self, client: Any, prefix: str = "cascade:cache:") -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError(f"a prefix is a text, not {prefix!r}")
        self.prefix = prefix
        self._link = link_to(client)
        self._root = encoded(prefix)
        self._contents = RedisContents(self._link, self._root)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server!r})"

    @property
    def server(self) -> str:
        """The server's URL, without credentials."""
        return self._link.server

    # Records.

    async def read_record(self, key: str) -> bytes | None:
        """The envelope under `key`; small contents of the record come in the same trip."""
        row = row_in(await self._link.ask("GET", self._record(key)))
        if row is None:
            return None
        self._contents.riders.came(row.riders())
        return row.envelope

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope; `contents` stay as long as a record needs them."""
        name, cids = self._record(key), list(dict.fromkeys(contents))
        looks: list[Command] = [("GET", name), *self._contents.needing(name, cids)]
        before, *found = await self._link.batch(looks)
        old = row_in(before)
        if old is None and is_newer(before):
            raise BackendError(
                f"the store {self.server} holds results of a newer cascade-nb, which stay as they "
                "are: choose another prefix",
                server=self.server,
            )
        ends = ends_of(found)
        earlier = () if old is None else old.contents
        if ends is None:
            await self._contents.drop_needs(name, [cid for cid in cids if cid not in earlier])
            raise parts_gone(self.server)
        milliseconds = None if ttl is None else min(max(1, round(ttl * 1000)), _LONGEST_MS)
        row = packed_row(envelope, cids, self._contents.riders.written(cids))
        end_of_row = () if milliseconds is None else ("PX", milliseconds)
        lasting = self._contents.lasting(cids, ends, milliseconds)
        await self._link.batch([*lasting, ("SET", name, row, *end_of_row)])
        await self._contents.drop_needs(name, [cid for cid in earlier if cid not in cids])

    async def delete_record(self, key: str) -> bool:
        """Remove a record, and contents that no other record needs."""
        name = self._record(key)
        found = await self._link.ask("GET", name)
        if found is None or is_newer(found):
            return False
        removed = await self._link.call("DEL", name)
        row = row_in(found)
        if row is not None:
            await self._contents.drop_needs(name, row.contents)
        return bool(removed)

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every (key, envelope) that is not expired, newest first."""
        heads = [head async for head in self._heads()]
        names = [name for _, name, _ in sorted(heads, reverse=True)]
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            rows = await self._link.batch([("GET", name) for name in page])
            for name, row in zip(page, map(row_in, rows), strict=True):
                if row is not None:
                    key = name[len(self._record("")) :]
                    yield key.decode("utf-8", "surrogatepass"), row.envelope

    # Contents.

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content, if it is all there."""
        return await self._contents.read(cid)

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store a content; a part of it is nothing."""
        await self._contents.write(cid, pieces)

    async def has_content(self, cid: str) -> bool:
        """Whether the content is all there."""
        return await self._contents.has(cid)

    # The store as a whole.

    async def size(self) -> int:
        """Bytes of records and contents."""
        total = sum([size async for _, _, size in self._heads()])
        names = await self._link.names(_pattern(self._root + b"content:"))
        for start in range(0, len(names), _LOOKS):
            looks = [("HGET", name, "head") for name in names[start : start + _LOOKS]]
            heads = map(size_and_count, await self._link.batch(looks))
            total += sum(head[0] for head in heads if head is not None)
        return total

    async def clear(self) -> int:
        """Remove all keys under the prefix but the locks; how many records there were."""
        count = 0
        self._contents.riders.clear()
        for kind in (b"record:", b"needed:", b"content:"):
            names = await self._link.names(_pattern(self._root + kind))
            for start in range(0, len(names), _LOOKS):
                page = names[start : start + _LOOKS]
                removed = await self._link.batch([("UNLINK", name) for name in page])
                count += sum(map(bool, removed)) if kind == b"record:" else 0
        return count

    async def _heads(self) -> AsyncIterator[tuple[int, bytes, int]]:
        """When each record was written, its name, and the size of its envelope."""
        names = await self._link.names(_pattern(self._record("")))
        for start in range(0, len(names), _LOOKS):
            page = names[start : start + _LOOKS]
            looks: list[Command] = [("GETRANGE", name, 0, HEAD_BYTES - 1) for name in page]
            looks += [("STRLEN", name) for name in page]
            answers = await self._link.batch(looks)
            for name, head, size in zip(page, answers, answers[len(page) :], strict=False):
                row = head_of(head)
                if row is not None and size is not None and HEAD_BYTES + row[1] <= size:
                    yield row[0], name, row[1]

    async def try_lock(self, key: str) -> Lease | None:
        """The lock on `key` among all processes that use the server; a lease of 4 s, renewed.

        One whose holder has died on this machine is free at once.
        """
        digest = blake3(encoded(key)).hexdigest()[:40]
        name = self._root + b"lock:" + digest.encode()
        local = (self.server, name)
        await in_thread(settle, local)
        token = f"{await in_thread(presence.own_name)}:{secrets.token_hex(16)}"
        milliseconds = round(LEASE_SECONDS * 1000)
        take = ("SET", name, token, "NX", "PX", milliseconds)
        taken = await self._link.call(*take)
        if not taken and await self._was_left(name):
            taken = await self._link.call(*take)
        if not taken:
            return None
        link = self._link
        return Lease(
            local,
            extend=lambda: bool(link.evaluate_here(_RENEW, [name], [token, milliseconds])),
            free=lambda: link.evaluate_here(_FREE, [name], [token]),
        )

    async def _was_left(self, name: bytes) -> bool:
        """Free a lock whose holder has died on this machine; whether nobody holds it now."""
        token = await self._link.call("GET", name)
        if token is None:
            return True
        holder = as_bytes(token).partition(b":")[0].decode("ascii", "replace")
        if not await in_thread(presence.has_died, holder):
            return False
        await self._link.evaluate(_FREE, [name], [token])
        return True

    def _record(self, key: str) -> bytes:
        return self._root + b"record:" + encoded(key)


def open_redis(url: str) -> RedisCacheBackend:
    """The store that a URL names: ``redis://``, ``rediss://`` or ``unix://``.

    Options are `prefix`, `db`, `protocol`, `client_name` and `ssl_...`. Nothing is connected yet.

    Raises:
        ConfigurationError: it is no such URL, or the package redis is missing; credentials in it
            are not shown.
    """
    client, prefix = client_at(url)
    return RedisCacheBackend(client, prefix)


def _pattern(start: bytes) -> bytes:
    """What matches all keys that begin with `start`."""
    return re.sub(rb"([\\*?\[\]^])", rb"\\\1", start) + b"*"
