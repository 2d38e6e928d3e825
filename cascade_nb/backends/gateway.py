"""Content by CID from trustless gateways (specs.ipfs.tech/http-gateways/trustless-gateway).

A gateway is anybody's server: it is asked for blocks, never for files, and what it sends counts
once it hashes to the CID that was asked for. Several gateways fill one assembly, for a block that
is proven is as good from one as from another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from cascade_nb import codecs, provenance
from cascade_nb.backends.http import BrokenOffError, HttpClient
from cascade_nb.backends.silence import PATIENCE_SECONDS
from cascade_nb.content import cid as cids
from cascade_nb.content.assembly import FileAssembly
from cascade_nb.content.car import SECTION_LIMIT, Reader
from cascade_nb.content.cid import DAG_CBOR, DAG_PB, codec_of
from cascade_nb.content.memory import most_bytes
from cascade_nb.content.verification import check_block
from cascade_nb.errors import (
    BackendError,
    CascadeError,
    CodecError,
    ConfigurationError,
    IntegrityError,
    logger,
    warn_once,
)
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.loop import in_thread, on_background
from cascade_nb.protocols import Bytes, Progress
from cascade_nb.records import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cascade_nb.backends.http import Stream

T = TypeVar("T")

_RAW_TYPE = "application/vnd.ipld.raw"
_CAR_TYPE = "application/vnd.ipld.car"
# Repeated blocks are not wanted twice: the assembly copies what occurs again.
_CAR_WANTED = f"{_CAR_TYPE}; version=1; order=dfs; dups=n"
# The empty block, which every gateway has in its CID.
_PING = ("GET", "ipfs/bafkqaaa?format=raw")
_ABSENT = frozenset({404, 410, 412, 451})
# Who gives no CARs may give blocks; a node that has none of the DAG fails with 500.
_NO_CAR = frozenset({400, 406, 415, 500, 501})
# A hit is not worth waiting for a network.
_READ_SECONDS = 1.0
# A stream that brings less than this in the time that a silent one is given is as good as silent.
_LEAST_BYTES = 32 << 10
# What may come that nobody asked for, beside as much as the content has.
_WASTE_BYTES = 64 << 20
# Hashed in one trip to a thread.
_BATCH_BYTES = 1 << 20

_BLOCKS_AT_ONCE = 8

# The gateways that are not asked again in this session, and why.
_liars: dict[str, str] = {}


class GatewayBackend:
    """Reads content from IPFS gateways that are not trusted; safe from any thread or loop.

    One that sends what it was not asked for, or anything but blocks, is not asked again in this
    session, with one warning. Nothing can be stored.

    Args:
        urls: of the gateways, in the order in which to ask them, such as
            ``https://gateway.example``; ``user:password@`` in one is basic authorization.

    Raises:
        ConfigurationError: a URL is not valid, or there is none.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        if not isinstance(urls, Sequence) or isinstance(urls, str | bytes) or not urls:
            raise ConfigurationError("gateways are a list of at least one URL")
        self._gateways = tuple(HttpClient(url, what="gateway", ping=_PING) for url in urls)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[gateway.shown for gateway in self._gateways]})"

    async def get(self, key: str) -> Any | None:
        """The value of data that the CID `key` leads to, of a result or of a function's record.

        None where no gateway has it, where it is stored as code, or where it does not decode.

        Raises:
            ConfigurationError: `key` is no CID.
        """
        cid = cids.normal(key)
        try:
            data = await self.fetch_content(cid)
            if data is not None and codec_of(cids.parse(cid)) == DAG_CBOR:
                record = await in_thread(_record, data)
                data = await self.fetch_content(record.result)
            return None if data is None else await in_thread(_decoded, data)
        except BackendError as error:
            warn_once(f"values are not read: {error}", ("gateway", error.server))
        except Exception as error:
            # Decoding can fail in as many ways as classes can be written.
            logger.info("the value of %s does not load: %s", cid, error)
        return None

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store nothing: a gateway only gives; says so once."""
        warn_once("a gateway stores nothing; values are not cached there", ("gateway", "set"))

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content named `cid`, if a gateway has it at hand; otherwise as `fetch_content`."""
        return await self._content(cid, _READ_SECONDS, None)

    async def fetch_content(
        self, cid: str, *, progress: Progress | None = None
    ) -> bytearray | memoryview | None:
        """The content named `cid`, block by block verified; None where no gateway has it.

        Raises:
            BackendError: no gateway has it, and one of them fails, or has sent next to nothing for
                30 s.
            IntegrityError: it is no file, or larger than this machine's memory; or a gateway lies,
                and no other has it.
        """
        return await self._content(cid, PATIENCE_SECONDS, progress)

    async def _content(
        self, cid: str, patience: float, progress: Progress | None
    ) -> bytearray | memoryview | None:
        root = cids.parse(cid)
        assembly = FileAssembly(root, limit=most_bytes())
        failures: list[CascadeError] = []
        for gateway in self._gateways:
            if assembly.complete:
                break
            fetch = _Fetch(gateway, assembly, patience, progress)
            try:
                _check_standing(gateway)
                await on_background(fetch.run(root))
            except _GatewayLiesError as error:
                failures.append(_dropped(gateway, error))
            except BackendError as error:
                failures.append(error)
        if assembly.complete:
            return assembly.data
        if failures:
            # A lie is the news that others are explained by.
            raise next((f for f in failures if isinstance(f, IntegrityError)), failures[0])
        if assembly.size is None:
            return None
        return assembly.data  # which raises, and says what is missing


class _GatewayLiesError(IntegrityError):
    """A gateway sent what it was not asked for; the message goes on after its name."""


class _Fetch:
    """Fills an assembly with what one gateway has of it; runs on the background loop."""

    def __init__(
        self,
        gateway: HttpClient,
        assembly: FileAssembly,
        patience: float,
        progress: Progress | None,
    ) -> None:
        self._gateway = gateway
        self._assembly = assembly
        self._patience = patience
        self._progress = progress
        self._wasted = 0

    async def run(self, root: bytes) -> None:
        """Ask for a CAR of the whole DAG, unless a part of it is here, then for missing blocks.

        Raises:
            BackendError: the gateway fails.
            _GatewayLiesError: it lies.
            IntegrityError: what the CID names is no file, whoever sends it.
        """
        if codec_of(root) == DAG_PB and root in self._assembly.wanted:
            try:
                await self._take_car(root)
            except BrokenOffError as error:
                logger.info("%s; the rest is asked for block by block", error)
        while wanted := list(islice(self._assembly.wanted, _BLOCKS_AT_ONCE)):
            blocks = await _gathered(map(self._block, wanted))
            for cid, block in zip(wanted, blocks, strict=True):
                if block is not None:
                    await asyncio.to_thread(self._assembly.add, cid, block, verified=True)
            self._tell()
            if None in blocks:
                return

    async def _take_car(self, root: bytes) -> None:
        async with self._open(root, "car", _CAR_WANTED) as stream:
            if stream is None:
                return
            reader = Reader()
            async for batch in self._batches(stream):
                useful = await asyncio.to_thread(self._take, reader, batch)
                self._tell()
                if not useful:
                    return
        try:
            reader.finish()
        except IntegrityError as error:
            logger.info("%s cut a stream short: %s", self._gateway.shown, error)

    def _take(self, reader: Reader, batch: bytes) -> bool:
        """Take the blocks in a batch; whether there is any use in reading on."""
        blocks = reader.feed(batch)
        while True:
            try:
                cid, block = next(blocks)
            except StopIteration:
                return not self._assembly.complete
            except IntegrityError as error:
                raise _GatewayLiesError(f"sends what is no CAR: {error}") from error
            if not self._assembly.add(cid, block, verified=True):
                self._wasted += len(block)
            if self._wasted > _WASTE_BYTES + (self._assembly.size or 0):
                return False

    async def _block(self, cid: bytes) -> bytes | None:
        """One block, proven; None where the gateway does not have it."""
        async with self._open(cid, "raw", _RAW_TYPE) as stream:
            if stream is None:
                return None
            data = bytearray()
            async for batch in self._batches(stream):
                data += batch
                if len(data) > SECTION_LIMIT:
                    raise _GatewayLiesError("sends more than a block may have")
        block = bytes(data)
        try:
            await asyncio.to_thread(check_block, cid, block)
        except IntegrityError as error:
            raise _GatewayLiesError(f"lies: {error}") from error
        return block

    @asynccontextmanager
    async def _open(self, cid: bytes, form: str, accept: str) -> AsyncIterator[Stream | None]:
        """The answer to a request in one of the trustless forms; None where it has none."""
        async with self._gateway.open(
            "GET",
            f"ipfs/{cids.to_text(cid)}",
            parameters=[("format", form)],
            headers={"Accept": accept},
            patience=self._patience,
        ) as stream:
            if stream.status in _ABSENT or (form == "car" and stream.status in _NO_CAR):
                yield None
                return
            if stream.status != 200:
                raise self._gateway.error(f"answers {stream.status}")
            kind = stream.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind != accept.partition(";")[0]:
                raise _GatewayLiesError(f"answers with {kind[:60]!r} in place of {form} blocks")
            if stream.headers.get("Content-Encoding", "identity") != "identity":
                raise _GatewayLiesError("compresses what was to come as it is")
            yield stream

    async def _batches(self, stream: Stream) -> AsyncIterator[bytes]:
        """What comes, in pieces that are worth a trip to a thread."""
        clock = asyncio.get_running_loop().time
        batch, began, since = bytearray(), clock(), 0
        async for chunk in stream.chunks():
            batch += chunk
            since += len(chunk)
            if since >= _LEAST_BYTES:
                began, since = clock(), 0
            elif clock() - began > self._patience:
                raise self._gateway.error(f"has sent next to nothing for {self._patience:g} s")
            if len(batch) >= _BATCH_BYTES:
                yield bytes(batch)
                batch.clear()
        if batch:
            yield bytes(batch)

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._assembly.received, self._assembly.size)


async def _gathered(asking: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All answers; where one fails, nobody waits for the others."""
    tasks = [asyncio.create_task(one) for one in asking]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _check_standing(gateway: HttpClient) -> None:
    if gateway.shown in _liars:
        raise gateway.error(f"is not asked again in this session: it {_liars[gateway.shown]}")


def _dropped(gateway: HttpClient, error: _GatewayLiesError) -> IntegrityError:
    """Ask a gateway no more; the error for the caller."""
    _liars[gateway.shown] = str(error)
    warn_once(
        f"the gateway {gateway.shown} is not asked again in this session: it {error}",
        ("gateway", gateway.shown),
    )
    return IntegrityError(f"the gateway {gateway.shown} {error}")


def _record(data: Bytes) -> Record:
    """The record of a function's data in a block; raises where it is none."""
    record, _ = provenance.judge_record(bytes(data))
    if record.needs_code or record.kind != "value":
        raise CodecError("it is stored as code, or is a cell's: load it with cascade_nb.load")
    return record


def _decoded(data: Bytes) -> Any:
    # Whoever made it: only formats that run nothing are read.
    return codecs.decode(data, code=False, class_digest=fingerprint)
