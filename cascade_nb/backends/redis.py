"""A store on a Redis server, shared by all machines that reach it."""

from __future__ import annotations

import re
import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import libipld
from blake3 import blake3

from cascade_nb.backends.base import ValueFace
from cascade_nb.backends.buffers import blank, length
from cascade_nb.backends.leases import LEASE_SECONDS, Lease, settle
from cascade_nb.backends.outages import parts_gone
from cascade_nb.backends.redis_lines import Command
from cascade_nb.backends.redis_link import import_redis, link_to
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import in_thread
from cascade_nb.protocols import Bytes

# Content lies in chunks, each sent in one command: a slow line has a second for each of them.
_CHUNK_BYTES = 1 << 20
# Content up to this size also lies in the records that need it, up to so much in each: what is
# small comes in one trip.
_RIDING_BYTES, _RIDING_TOTAL_BYTES = 8 * 1024, 32 * 1024
_RIDERS_KEPT = 64
# What no record needs goes after a day, and so do the parts of what was never finished.
_UNCLAIMED_MS = 24 * 3600 * 1000
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
# Removes content that no record needs, in one go with that look.
_SWEEP = """
if redis.call('scard', KEYS[1]) > 0 then return 0 end
return redis.call('del', KEYS[1], KEYS[2])
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

    def __init__(self, client: Any, prefix: str = "cascade:cache:") -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError(f"a prefix is a text, not {prefix!r}")
        self.prefix = prefix
        self._link = link_to(client)
        self._root = _encoded(prefix)
        self._riders = _Riders()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server!r})"

    @property
    def server(self) -> str:
        """The server's URL, without credentials."""
        return self._link.server

    # Records.

    async def read_record(self, key: str) -> bytes | None:
        """The envelope under `key`; small contents of the record come in the same trip."""
        row = _row(await self._link.call("GET", self._record(key)))
        if row is None:
            return None
        self._riders.came(row.riders())
        return row.envelope

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope; `contents` stay as long as a record needs them."""
        name, cids = self._record(key), list(dict.fromkeys(contents))
        # Those who sweep must see the need before they can find that there was none.
        looks: list[Command] = [("GET", name)]
        for cid in cids:
            looks += (("SADD", self._needed(cid), name), ("HGET", self._content(cid), "head"))
            looks.append(("PTTL", self._content(cid)))
        before, *found = await self._link.batch(looks)
        old = _row(before)
        if old is None and _is_newer(before):
            raise BackendError(
                f"the store {self.server} holds results of a newer cascade-nb, which stay as they "
                "are: choose another prefix",
                server=self.server,
            )
        heads, ends = found[1::3], found[2::3]
        earlier = () if old is None else old.contents
        if None in heads:
            await self._drop_needs(name, [cid for cid in cids if cid not in earlier])
            raise parts_gone(self.server)
        lasting: list[Command] = []
        milliseconds = None if ttl is None else min(max(1, round(ttl * 1000)), _LONGEST_MS)
        for cid, end in zip(cids, ends, strict=True):
            for kept in (self._content(cid), self._needed(cid)):
                lasting += _kept_for(kept, milliseconds, end)
        row = _packed(envelope, cids, self._riders.written(cids))
        end_of_row = () if milliseconds is None else ("PX", milliseconds)
        await self._link.batch([*lasting, ("SET", name, row, *end_of_row)])
        await self._drop_needs(name, [cid for cid in earlier if cid not in cids])

    async def delete_record(self, key: str) -> bool:
        """Remove a record, and contents that no other record needs."""
        name = self._record(key)
        found, removed = await self._link.batch([("GET", name), ("DEL", name)])
        row = _row(found)
        if row is not None:
            await self._drop_needs(name, row.contents)
        return bool(removed)

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every (key, envelope) that is not expired, newest first."""
        heads = [head async for head in self._heads()]
        names = [name for _, name, _ in sorted(heads, reverse=True)]
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            rows = await self._link.batch([("GET", name) for name in page])
            for name, row in zip(page, map(_row, rows), strict=True):
                if row is not None:
                    key = name[len(self._record("")) :]
                    yield key.decode("utf-8", "surrogatepass"), row.envelope

    # Contents.

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content, out of its chunks."""
        rider = self._riders.pop(cid)
        if rider is not None:
            return bytearray(rider)
        name = self._content(cid)
        found = await self._link.call("HMGET", name, "head", "0")
        head = _head(found[0]) if found else None
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

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store content chunk by chunk, its head last, so that a part of it is nothing."""
        name, size = self._content(cid), length(pieces)
        self._riders.forget(cid)
        if size <= _CHUNK_BYTES:
            data = b"".join(pieces)
            await self._begin(name, ("head", _packed_head(size, 1), "0", data))
            if size <= _RIDING_BYTES:
                self._riders.wrote(cid, data)
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

    async def has_content(self, cid: str) -> bool:
        """Whether the content is there."""
        name = self._content(cid)
        head = _head(await self._link.call("HGET", name, "head"))
        if head is None:
            return False
        return await self._is_whole(name, *head)

    async def _is_whole(self, name: bytes, size: int, count: int) -> bool:
        """Whether all chunks are there: some may have been evicted while others were written."""
        looks = [("HSTRLEN", name, str(number)) for number in range(count)]
        return sum(map(int, await self._link.batch(looks))) == size

    async def _drop_needs(self, record: bytes, cids: Sequence[str]) -> None:
        """The record does not need `cids` any more; what no other one needs goes."""
        await self._link.batch([("SREM", self._needed(cid), record) for cid in cids])
        for cid in cids:
            self._riders.forget(cid)
            needed = self._needed(cid)
            while members := await self._link.call("SRANDMEMBER", needed, 16):
                living = await self._link.batch([("EXISTS", member) for member in members])
                if any(living):
                    break
                # Records that expired or were evicted have told nobody.
                await self._link.call("SREM", needed, *members)
            else:
                await self._link.evaluate(_SWEEP, [needed, self._content(cid)], [])

    # The store as a whole.

    async def size(self) -> int:
        """Bytes of records and contents."""
        total = sum([size async for _, _, size in self._heads()])
        names = await self._link.names(_pattern(self._root + b"content:"))
        for start in range(0, len(names), _LOOKS):
            looks = [("HGET", name, "head") for name in names[start : start + _LOOKS]]
            heads = map(_head, await self._link.batch(looks))
            total += sum(head[0] for head in heads if head is not None)
        return total

    async def clear(self) -> int:
        """Remove all keys under the prefix but the locks; how many records there were."""
        count = 0
        self._riders.clear()
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
            looks: list[Command] = [("GETRANGE", name, 0, _ROW.size - 1) for name in page]
            looks += [("STRLEN", name) for name in page]
            answers = await self._link.batch(looks)
            for name, head, size in zip(page, answers, answers[len(page) :], strict=False):
                row = _row_head(head)
                if row is not None and size is not None and _ROW.size + row[1] <= size:
                    yield row[0], name, row[1]

    async def try_lock(self, key: str) -> Lease | None:
        """The lock on `key` among all processes that use the server; a lease of 4 s, renewed."""
        digest = blake3(_encoded(key)).hexdigest()[:40]
        name = self._root + b"lock:" + digest.encode()
        local = (self.server, name)
        await in_thread(settle, local)
        token, milliseconds = secrets.token_hex(16), round(LEASE_SECONDS * 1000)
        taken = await self._link.call("SET", name, token, "NX", "PX", milliseconds)
        if not taken:
            return None
        link = self._link
        return Lease(
            local,
            extend=lambda: bool(link.evaluate_here(_RENEW, [name], [token, milliseconds])),
            free=lambda: link.evaluate_here(_FREE, [name], [token]),
        )

    def _record(self, key: str) -> bytes:
        return self._root + b"record:" + _encoded(key)

    # What belongs to one content lies in one slot of a cluster: that is what braces do.

    def _content(self, cid: str) -> bytes:
        return self._root + b"content:{" + _encoded(cid) + b"}"

    def _needed(self, cid: str) -> bytes:
        return self._root + b"needed:{" + _encoded(cid) + b"}"


# Rows: a mark, when it was written, the envelope's size, the envelope, the contents it needs.

_MARK = b"cascade1"
_ROW = struct.Struct(">8sQQ")


class _Row(NamedTuple):
    envelope: bytes
    tail: bytes

    @property
    def contents(self) -> list[str]:
        """The CIDs of what the record needs."""
        return list(self._tree())

    def riders(self) -> dict[str, bytes]:
        """The small contents that lie in the row itself."""
        if not self.tail:
            return {}
        return {cid: data for cid, data in self._tree().items() if isinstance(data, bytes)}

    def _tree(self) -> dict[str, Any]:
        if not self.tail:
            return {}
        try:
            tree = libipld.decode_dag_cbor(self.tail)
        except Exception:
            return {}
        return tree if isinstance(tree, dict) else {}


def _packed(envelope: bytes, cids: Sequence[str], riders: dict[str, bytes]) -> bytes:
    head = _ROW.pack(_MARK, time.time_ns(), len(envelope))
    tail = libipld.encode_dag_cbor({cid: riders.get(cid) for cid in cids}) if cids else b""
    return b"".join((head, envelope, tail))


def _row_head(data: Any) -> tuple[int, int] | None:
    """When a row of ours was written, and the size of its envelope."""
    if not isinstance(data, bytes) or len(data) < _ROW.size:
        return None
    mark, written, size = _ROW.unpack_from(data)
    return (written, size) if mark == _MARK else None


def _row(data: Any) -> _Row | None:
    """A row of ours; None for whatever else may lie there."""
    head = _row_head(data)
    if head is None or _ROW.size + head[1] > len(data):
        return None
    end = _ROW.size + head[1]
    return _Row(data[_ROW.size : end], data[end:])


def _is_newer(data: Any) -> bool:
    return isinstance(data, bytes) and re.match(rb"cascade[2-9]", data) is not None


def _packed_head(size: int, count: int) -> bytes:
    return b"%d %d" % (size, count)


def _head(data: Any) -> tuple[int, int] | None:
    """Size and number of chunks of a content that is all there."""
    match = re.fullmatch(rb"(\d{1,15}) (\d{1,9})", data) if isinstance(data, bytes) else None
    if match is None:
        return None
    size, count = int(match[1]), int(match[2])
    # Of two chunks, one is at least half full.
    return (size, count) if count <= 4 * size // _CHUNK_BYTES + 2 else None


def _kept_for(name: bytes, milliseconds: int | None, end: int) -> Iterator[Command]:
    """What makes `name`, which ends in `end` ms, or never (-1), last at least so long."""
    if end == -1:
        return
    if milliseconds is None:
        yield ("PERSIST", name)
    else:
        yield ("PEXPIRE", name, max(milliseconds + _UNCLAIMED_MS, end))


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


def _pattern(start: bytes) -> bytes:
    """What matches all keys that begin with `start`."""
    return re.sub(rb"([\\*?\[\]^])", rb"\\\1", start) + b"*"


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


class _Riders:
    """Small contents on their way into a record, or out of one that was just read.

    Bounded; and by CID, so that none of them is ever wrong. Each step is one of the interpreter's:
    there is no lock that a fork could leave behind.
    """

    def __init__(self) -> None:
        self._written: OrderedDict[str, bytes] = OrderedDict()
        self._came: OrderedDict[str, bytes] = OrderedDict()

    def wrote(self, cid: str, data: bytes) -> None:
        _enter(self._written, cid, data)

    def written(self, cids: Sequence[str]) -> dict[str, bytes]:
        """Those of `cids` that were just written, as far as they fit into a record."""
        riders: dict[str, bytes] = {}
        room = _RIDING_TOTAL_BYTES
        for cid in cids:
            data = self._written.get(cid)
            if data is not None and len(data) <= room:
                riders[cid] = data
                room -= len(data)
        return riders

    def came(self, riders: dict[str, bytes]) -> None:
        for cid, data in riders.items():
            _enter(self._came, cid, data)

    def pop(self, cid: str) -> bytes | None:
        return self._came.pop(cid, None)

    def forget(self, cid: str) -> None:
        self._came.pop(cid, None)
        self._written.pop(cid, None)

    def clear(self) -> None:
        self._came.clear()
        self._written.clear()


def _enter(table: OrderedDict[str, bytes], cid: str, data: bytes) -> None:
    table[cid] = data
    if len(table) > _RIDERS_KEPT:
        table.popitem(last=False)


# URLs.

# Options that a URL may have, and what they may be.
_OPTIONS = {"db": r"\d+", "protocol": "[23]", "client_name": r"\S+", r"ssl_\w+": ".*"}


def open_redis(url: str) -> RedisCacheBackend:
    """The store that a URL names: ``redis://``, ``rediss://`` or ``unix://``.

    Options are `prefix`, `db`, `protocol`, `client_name` and `ssl_...`. Nothing is connected yet.

    Raises:
        ConfigurationError: it is no such URL, or the package redis is missing; credentials in it
            are not shown.
    """
    redis = import_redis()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # What is wrong is said in words that may hold the password.
        scheme = re.match(r"\w+", url)
        name = f"{scheme[0]}://..." if scheme else "a URL"
        raise ConfigurationError(f"store {name} names no host and port of a server") from None
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError(f"store {shown} is no URL of a Redis server")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    prefix = options.pop("prefix", "cascade:cache:")
    if parts.scheme != "unix":
        options.setdefault("db", parts.path.strip("/") or "0")
    for option, value in options.items():
        form = next((form for name, form in _OPTIONS.items() if re.fullmatch(name, option)), None)
        if form is None:
            raise ConfigurationError(f"store {shown} has no option {option!r}")
        if not re.fullmatch(form, value):
            raise ConfigurationError(f"store {shown}: {option} cannot be {value!r}")
    location = f"{parts.scheme}://{parts.netloc}{parts.path if parts.scheme == 'unix' else ''}"
    return RedisCacheBackend(redis.Redis.from_url(f"{location}?{urlencode(options)}"), prefix)
