"""A content on its way from a node, into one buffer, every byte of it proven by its CID.

A file of our own layout comes as one stream, and its CID is made again beside it, in a thread: a
node reads a stream several times as fast as it makes a CAR. A file of another layout comes block
by block. The node's own repository is asked first, the network only for what is missing there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import islice
from queue import SimpleQueue

from cascade_nb.backends.buffers import blank
from cascade_nb.backends.kubo import KuboClient
from cascade_nb.content import cid as cids
from cascade_nb.content.assembly import FileAssembly
from cascade_nb.content.cid import DAG_PB, RAW, codec_of
from cascade_nb.content.dag_pb import FileNode, read_file
from cascade_nb.content.memory import most_bytes
from cascade_nb.content.unixfs import UNIXFS_V1_2025, file_cid
from cascade_nb.errors import IntegrityError
from cascade_nb.loop import apart
from cascade_nb.protocols import Bytes, Progress

_BLOCKS_AT_ONCE = 8
_HASHED_BYTES = 1 << 20
_ANOTHER = bytearray()


class Download:
    """Fetches one content; `run` is awaited on the background loop.

    Args:
        client: of the node.
        cid: the content's CID, as text.
        network: seconds that the network has, in all, which may be none; None waits while there is
            progress.
        patience: seconds without any progress after which the node is given up.
    """

    def __init__(
        self,
        client: KuboClient,
        cid: str,
        *,
        network: float | None,
        patience: float,
        progress: Progress | None = None,
    ) -> None:
        self._client = client
        self._text = cid
        self._cid = cids.parse(cid)
        self._network = network
        self._patience = patience
        self._progress = progress

    async def run(self) -> bytearray | memoryview | None:
        """The content; None where the node and its network do not have all of it.

        Raises:
            BackendError: the node fails.
            StalledError: it has sent nothing for long.
            IntegrityError: what came is not what the CID says.
        """
        try:
            # The deadline begins when the network is asked for the first time.
            async with asyncio.timeout(None) as self._deadline:
                root = await self._block(self._cid)
                if root is None:
                    return None
                if codec_of(self._cid) != DAG_PB:
                    self._tell(len(root), len(root))
                    return bytearray(root)
                node = read_file(root)
                if _is_of_our_layout(node):
                    data = await self._stream(node.size)
                    if data is not _ANOTHER:
                        return data
                return await self._assemble(root)
        except TimeoutError:
            return None

    async def _block(self, cid: bytes) -> bytes | None:
        block = cids.inlined(cid)
        if block is None:
            block = await self._client.block(cid, offline=True, patience=self._patience)
        if block is None:
            self._ask_network()
            block = await self._client.block(cid, offline=False, patience=self._patience)
        return block

    def _ask_network(self) -> None:
        if self._network == 0:
            raise TimeoutError
        if self._network is not None and self._deadline.when() is None:
            self._deadline.reschedule(asyncio.get_running_loop().time() + self._network)

    async def _stream(self, size: int) -> bytearray | memoryview | None:
        """The file as the node puts it together, or `_ANOTHER` where that has another CID.

        Then a block is damaged, or the layout is not ours after all: the blocks will tell.
        """
        if size > most_bytes():
            raise IntegrityError(f"{self._text} has {size:,} bytes, more than this machine")
        data = await asyncio.to_thread(blank, size)
        filled = _Filled(data)
        hashing = apart(file_cid, filled.pieces())
        try:
            await self._fill(filled, size, offline=True)
            if filled.count < size:
                self._ask_network()
                await self._fill(filled, size, offline=False)
        finally:
            filled.end()
        if filled.count < size:
            return None
        found = await asyncio.wrap_future(hashing)
        return data if cids.parse(found) == self._cid else _ANOTHER

    async def _fill(self, filled: _Filled, size: int, *, offline: bool) -> None:
        async with self._client.cat(
            self._text, offset=filled.count, offline=offline, patience=self._patience
        ) as stream:
            if stream is None:
                return
            async for chunk in stream.chunks():
                if filled.count + len(chunk) > size:
                    raise IntegrityError(f"the node sends more than {self._text} has")
                filled.add(chunk)
                self._tell(filled.count, size)

    async def _assemble(self, root: bytes) -> bytearray | memoryview | None:
        assembly = FileAssembly(self._cid, limit=most_bytes())
        assembly.add(self._cid, root, verified=True)
        while wanted := list(islice(assembly.wanted, _BLOCKS_AT_ONCE)):
            blocks = await asyncio.gather(*map(self._block, wanted))
            for cid, block in zip(wanted, blocks, strict=True):
                if block is None:
                    return None
                await asyncio.to_thread(assembly.add, cid, block, verified=True)
        self._tell(assembly.size or 0, assembly.size)
        return assembly.data

    def _tell(self, done: int, total: int | None) -> None:
        if self._progress is not None:
            self._progress(done, total)


class _Filled:
    """A buffer that is filled from its beginning, and read in another thread as it fills."""

    def __init__(self, data: bytearray | memoryview) -> None:
        self.count = 0
        self._view = memoryview(data)
        self._given = 0
        self._pieces: SimpleQueue[Bytes | None] = SimpleQueue()

    def add(self, chunk: bytes) -> None:
        end = self.count + len(chunk)
        self._view[self.count : end] = chunk
        self.count = end
        if end - self._given >= _HASHED_BYTES:
            self._give()

    def end(self) -> None:
        self._give()
        self._pieces.put(None)

    def pieces(self) -> Iterator[Bytes]:
        """What has been filled; waits for more, until the end."""
        while (piece := self._pieces.get()) is not None:
            yield piece

    def _give(self) -> None:
        self._pieces.put(self._view[self._given : self.count])
        self._given = self.count


def _is_of_our_layout(node: FileNode) -> bool:
    """Whether the file is cut as we cut files, as far as its root can tell."""
    profile = UNIXFS_V1_2025
    below = profile.chunk
    while below * profile.links < node.size:
        below *= profile.links
    full, rest = divmod(node.size, below)
    sizes = [below] * full + [rest] * (rest > 0)
    leaves = [codec_of(cid) == RAW for cid, _ in node.children]
    return (
        node.size > profile.chunk
        and [size for _, size in node.children] == sizes
        # The last of several subtrees may be a leaf by itself.
        and (all(leaves) if below == profile.chunk else not any(leaves[:-1]))
    )
