"""A store whose contents lie on an IPFS node, under names in another store."""

from __future__ import annotations

import asyncio
import calendar
import os
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from cascade_nb.backends.base import ValueFace
from cascade_nb.backends.buffers import length
from cascade_nb.backends.ipfs_rows import IpfsRows, Row
from cascade_nb.backends.kubo import DIRECT, RECURSIVE, IncompleteError, KuboClient, Pin
from cascade_nb.backends.kubo_download import Download
from cascade_nb.backends.kubo_upload import Block, Upload, once
from cascade_nb.backends.outages import Breaker, parts_gone
from cascade_nb.backends.plain import as_store
from cascade_nb.backends.silence import HIT_PATIENCE_SECONDS, PATIENCE_SECONDS, StalledError
from cascade_nb.content import cid as cids
from cascade_nb.content.cid import DAG_CBOR, DAG_PB, codec_of
from cascade_nb.content.dag_pb import read_file
from cascade_nb.content.unixfs import block_parts
from cascade_nb.content.verification import check_block
from cascade_nb.errors import BackendError, CascadeError, IntegrityError, logger
from cascade_nb.loop import on_background, run_sync
from cascade_nb.protocols import Bytes, CacheBackend, Collected, Lock, Progress
from cascade_nb.wording import one_line, part_repr, plural

TOKEN_VARIABLE = "CASCADE_IPFS_TOKEN"  # noqa: S105 - its name

# What all pins of ours are called. Those of contents go on with the name of the metadata store
# and the hour, for who reads a list of pins, and to tell what is being written from what was left.
_PIN, _CACHE = "cascade-nb", "cascade-nb cache "
_GRACE_SECONDS = 2 * 3600.0

# A hit is not worth a longer search, nor another one soon after.
_NETWORK_SECONDS = 1.0
_ABSENT_SECONDS = 60.0
_MOST_REMEMBERED = 1024
_RPC_AT_ONCE = 16
_SHOWN_STORES = 3


class IpfsCacheBackend(ValueFace):
    """Keeps contents on an IPFS node, pinned, and which of them a key needs in `metadata_backend`.

    Contents are built here into the DAG that ``ipfs add --cid-version=1 --raw-leaves
    --chunker=size-1048576 --max-file-links=1024`` would make, and every byte that comes back is
    proven by its CID. Nothing is announced to other nodes: who wants that asks the node for it.
    The ttl of a result is that of its row in `metadata_backend`; `collect` removes pins that no row
    needs any more, so two metadata stores on one node do not harm each other.

    Args:
        metadata_backend: any backend; who shares it finds the results. Where it cannot list or
            remove records, pins stay when results are forgotten; where it is in memory, those stay
            that the session has not removed by its end.
        ipfs_api_url: the node's RPC; ``user:password@`` in it is basic authorization.
        token: a bearer token; without it, that of the environment variable CASCADE_IPFS_TOKEN.

    Raises:
        ConfigurationError: an argument is not valid.
    """

    remote = True
    inline_bytes = -1

    def __init__(
        self,
        metadata_backend: CacheBackend,
        ipfs_api_url: str = "http://127.0.0.1:5001",
        *,
        token: str | None = None,
    ) -> None:
        if token is None and "@" not in str(ipfs_api_url):
            token = os.environ.get(TOKEN_VARIABLE) or None
        self.metadata = as_store(metadata_backend)
        self._client = KuboClient(ipfs_api_url, token=token)
        self._rows = IpfsRows(self.metadata, self.server)
        # Contents that were written and whose records are still to come, with their sizes.
        self._written: OrderedDict[str, int] = OrderedDict()
        # Contents that the network did not have, and until when it is not asked again.
        self._absent: OrderedDict[str, float] = OrderedDict()
        # Contents that the node has other blocks of than their CIDs say.
        self._damaged: OrderedDict[str, bool] = OrderedDict()
        # A node that lives and stalls is spared by hits alone: it may only be slow.
        self._hits = Breaker(self._try_stalled)
        self._stalled = ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({part_repr(self.metadata)}, {self.server!r})"

    @property
    def server(self) -> str:
        """The node's URL, without credentials."""
        return self._client.server

    # Contents, on the node.

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content, if the node has it, or its network within a second.

        Raises:
            StalledError: the node lives and sends nothing, as some have found in the last 30 s.
        """
        self._hits.check()
        try:
            return await self._at_hand(cid)
        except StalledError as error:
            self._stalled = cid
            self._hits.tripped(error)
            raise

    async def _at_hand(self, cid: str) -> bytearray | memoryview | None:
        known = self._absent.get(cid, 0.0) > time.monotonic()
        network = 0.0 if known else _NETWORK_SECONDS
        download = Download(self._client, cid, network=network, patience=HIT_PATIENCE_SECONDS)
        found = await self._read(download, cid)
        if found is None and not known:
            _remember(self._absent, cid, time.monotonic() + _ABSENT_SECONDS)
        return found

    async def fetch_content(
        self, cid: str, *, progress: Progress | None = None
    ) -> bytearray | memoryview | None:
        """The content, from the node or the network, for as long as there is progress."""
        download = Download(
            self._client, cid, network=None, patience=PATIENCE_SECONDS, progress=progress
        )
        return await self._read(download, cid)

    def _try_stalled(self) -> None:
        try:
            run_sync(self._at_hand(self._stalled))
        except StalledError as error:
            self._hits.tripped(error)
            raise
        except CascadeError as error:
            logger.debug("it does not stall any more: %s", error)

    async def _read(self, download: Download, cid: str) -> bytearray | memoryview | None:
        try:
            return await on_background(download.run())
        except IntegrityError:
            _remember(self._damaged, cid, True)
            raise

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Upload what the node lacks of the content, and pin it there."""
        name = await self._pin_name()
        await on_background(self._write(cid, list(pieces), name))
        self._absent.pop(cid, None)
        _remember(self._written, cid, length(pieces))

    async def _write(self, cid: str, pieces: Sequence[Bytes], name: str) -> None:
        def blocks() -> Iterator[Block]:
            return self._blocks(cid, pieces)

        kind = _kind_of(cid)
        pin = await self._client.pin_of(cid, kind)
        if cid in self._damaged:
            # A block that is there is never replaced, be it what it may.
            if pin is not None and pin.name.startswith(_PIN):
                await self._client.unpin(cid, kind)
                pin = None
            await self._client.remove_blocks(
                await asyncio.to_thread(lambda: [block for block, _ in blocks()])
            )
            self._damaged.pop(cid, None)

        upload = Upload(self._client, cids.parse(cid), blocks)
        # A pin that is there keeps its name, which may be somebody else's.
        as_a_whole = kind == RECURSIVE and pin is None
        try:
            await upload.run(pin=as_a_whole)
        except IncompleteError:
            # Collected as garbage after we had asked for it.
            upload.everything = True
            await upload.run(pin=as_a_whole)
        if pin is None:
            await self._client.pin(cid, name=name, kind=kind)

    def _blocks(self, cid: str, pieces: Sequence[Bytes]) -> Iterator[Block]:
        """The blocks of a content, the root last; in it, the value may not have changed."""
        wanted = cids.parse(cid)
        changed = BackendError(
            "a value changed while it was uploaded; it was not stored", server=self.server
        )
        if codec_of(wanted) == DAG_CBOR:
            data = b"".join(pieces)
            try:
                check_block(wanted, data)
            except IntegrityError:
                raise changed from None
            yield wanted, [data]
            return
        last = b""
        for last, parts in block_parts(pieces):
            yield last, parts
        if last != wanted:
            raise changed

    async def has_content(self, cid: str) -> bool:
        """Whether the node has the content and keeps it: what is not pinned may go at any time."""
        return await on_background(self._client.pin_of(cid, _kind_of(cid))) is not None

    # Records, in the metadata store.

    async def read_record(self, key: str) -> bytes | None:
        """The envelope under `key`."""
        row = await self._rows.read(key)
        return None if row is None else row.envelope

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope; `contents` stay pinned as long as a record needs them."""
        sizes = await self._sizes(contents)
        before = await self._rows.read(key)
        await self._rows.write(key, Row(bytes(envelope), sizes), ttl)
        for cid in sizes:
            self._written.pop(cid, None)
        if before is not None:
            await self._release(set(before.contents) - set(sizes))

    async def delete_record(self, key: str) -> bool:
        """Remove a record, and the pins of contents that no other record needs."""
        row = await self._rows.read(key)
        if row is None:
            return False
        await self._rows.remove(key)
        await self._release(set(row.contents))
        return True

    async def clear(self) -> int:
        """Remove everything of this store: its rows, and its pins; how many records there were."""
        count = await self._rows.clear()
        self._written.clear()
        for pin in await self._pins():
            await on_background(self._client.unpin(pin.cid, pin.kind))
        return count

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every (key, envelope) that is not expired, newest first."""
        async for key, row in self._rows.all():
            yield key, row.envelope

    async def size(self) -> int:
        """Bytes of records, notes and the contents that they need."""
        return await self._rows.size()

    async def try_lock(self, key: str) -> Lock | None:
        """The metadata store's lock; where it has none, nobody is kept out."""
        return await self._rows.try_lock(key)

    async def read_note(self, key: str) -> bytes | None:
        """The note under `key`."""
        return await self._rows.read_note(key)

    async def write_note(self, key: str, note: bytes) -> None:
        """Store the note, if the metadata store is one that keeps notes: on this machine."""
        await self._rows.write_note(key, note)

    # What others are given.

    async def publish(
        self,
        root: str,
        blocks: Iterable[tuple[bytes, Bytes]],
        *,
        name: str,
        progress: Progress | None = None,
    ) -> None:
        """Upload all `blocks` that the node lacks, and pin the DAG under `root` as `name`."""
        await on_background(self._publish(root, blocks, name, progress))

    async def _publish(
        self,
        root: str,
        blocks: Iterable[tuple[bytes, Bytes]],
        name: str,
        progress: Progress | None,
    ) -> None:
        pin = await self._client.pin_of(root, RECURSIVE)
        again = self._client.http.broken_off("while a result was uploaded")
        upload = Upload(self._client, cids.parse(root), once(blocks, again), progress)
        await upload.run(pin=pin is None)
        if pin is None or pin.name.startswith(_PIN):
            await self._client.pin(root, name=name, kind=RECURSIVE)

    async def unpublish(self, root: str) -> bool:
        """Unpin `root`, if the pin is ours."""
        pin = await on_background(self._client.pin_of(root, RECURSIVE))
        if pin is None or not pin.name.startswith(_PIN):
            return False
        return await on_background(self._client.unpin(root, RECURSIVE))

    async def collect(self) -> Collected:
        """Remove the pins of this store's that no record needs, such as those of expired ones.

        The bytes are those that the node can free thereafter; it is not told to: others may have
        things on it that are not pinned. The pins of other stores are told of and left alone: only
        these know which of them they need.
        """
        needed = {cid async for _, row in self._rows.all() for cid in row.contents}
        needed |= self._written.keys()
        before = time.time() - _GRACE_SECONDS
        removed = freed = 0
        others: list[str] = []
        prefix = await self._pin_prefix()
        for pin in await self._pins_called(_CACHE):
            if pin.cid in needed:
                continue
            if not pin.name.startswith(prefix):
                others.append(pin.name)
            elif _hour_of(pin) <= before:
                size = await on_background(self._size_of(pin.cid))
                if await on_background(self._client.unpin(pin.cid, pin.kind)):
                    removed += 1
                    freed += size or 0
        frees = "the node frees them when it collects its garbage: `ipfs repo gc`" * bool(removed)
        note = "; ".join(filter(None, (frees, _said_of_others(others))))
        return Collected(removed=removed, freed=freed, note=note)

    # Rows and pins.

    async def _release(self, contents: set[str]) -> None:
        """Unpin those contents that no row needs, where that can be known."""
        contents -= self._written.keys()
        if not contents or not self._rows.can_list:
            return
        try:
            async for _, row in self._rows.all():
                contents -= row.contents.keys()
            prefix = await self._pin_prefix()
            await on_background(self._unpin(contents, prefix))
        except BackendError as error:
            # The row is gone, which is what was asked for; `collect` finds what is left.
            logger.info("pins were left behind: %s", error)

    async def _unpin(self, contents: Iterable[str], prefix: str) -> None:
        for cid in contents:
            kind = _kind_of(cid)
            pin = await self._client.pin_of(cid, kind)
            if pin is not None and pin.name.startswith(prefix):
                await self._client.unpin(cid, kind)

    async def _sizes(self, contents: Sequence[str]) -> dict[str, int]:
        """The size of each content, all of which have to be there, pinned."""
        unknown = [cid for cid in dict.fromkeys(contents) if cid not in self._written]
        found = await on_background(self._kept_sizes(unknown)) if unknown else {}
        sizes = {cid: self._written.get(cid, found.get(cid)) for cid in contents}
        if None in sizes.values():
            raise parts_gone(self.server)
        return {cid: size for cid, size in sizes.items() if size is not None}

    async def _kept_sizes(self, contents: Sequence[str]) -> dict[str, int | None]:
        async def size_of(cid: str) -> int | None:
            pin = await self._client.pin_of(cid, _kind_of(cid))
            return None if pin is None else await self._size_of(cid)

        sizes: dict[str, int | None] = {}
        for start in range(0, len(contents), _RPC_AT_ONCE):
            some = contents[start : start + _RPC_AT_ONCE]
            sizes.update(zip(some, await asyncio.gather(*map(size_of, some)), strict=True))
        return sizes

    async def _size_of(self, cid: str) -> int | None:
        """Bytes of a content, by its root; None where that is missing or broken."""
        binary = cids.parse(cid)
        try:
            root = await self._client.block(binary, offline=True)
            if root is None:
                return None
            return read_file(root).size if codec_of(binary) == DAG_PB else len(root)
        except IntegrityError:
            return None

    async def _pins(self) -> list[Pin]:
        return await self._pins_called(await self._pin_prefix())

    async def _pins_called(self, prefix: str) -> list[Pin]:
        """The pins on the node whose names begin with `prefix`."""
        listed = [
            pin
            for kind in (RECURSIVE, DIRECT)
            for pin in await on_background(self._client.pins(kind, prefix))
        ]
        return [pin for pin in listed if pin.name.startswith(prefix)]

    async def _pin_name(self) -> str:
        return await self._pin_prefix() + time.strftime("%Y-%m-%dT%HZ", time.gmtime())

    async def _pin_prefix(self) -> str:
        """What the names of this store's pins begin with."""
        return f"{_CACHE}{await self._rows.name()} "


def _kind_of(cid: str) -> str:
    """How a content is pinned: a node of a cell alone, for what it links is pinned by itself."""
    return DIRECT if codec_of(cids.parse(cid)) == DAG_CBOR else RECURSIVE


def _said_of_others(names: Sequence[str]) -> str:
    """What to tell of pins of other stores than this one; nothing where there are none."""
    if not names:
        return ""
    stores = sorted({name.removeprefix(_CACHE).partition(" ")[0] for name in names})
    shown = ", ".join(one_line(f"{_CACHE}{store}", 60) for store in stores[:_SHOWN_STORES])
    return (
        f"left alone: {plural(len(names), 'pin')} of {plural(len(stores), 'other store')} ({shown}"
        + ", ..." * (len(stores) > _SHOWN_STORES)
        + "), such as a store in memory leaves when its session ends; `ipfs pin ls --names` lists "
        "them, `ipfs pin rm CID` removes one"
    )


def _hour_of(pin: Pin) -> float:
    """When the pin was made, in seconds since the epoch."""
    try:
        made = time.strptime(pin.name.rpartition(" ")[2], "%Y-%m-%dT%HZ")
    except ValueError:
        return 0.0
    return float(calendar.timegm(made))


def _remember(table: OrderedDict[str, Any], name: str, item: Any) -> None:
    table[name] = item
    table.move_to_end(name)
    if len(table) > _MOST_REMEMBERED:
        table.popitem(last=False)
