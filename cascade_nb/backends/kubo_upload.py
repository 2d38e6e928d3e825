"""Blocks on their way to a node: in one CAR, without those that are there already.

A batch of blocks is made and asked for while the one before is sent. Blocks lie in the parts that
they were made of, so that a value of any size is sent without a copy of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cascade_nb.backends.kubo import KuboClient
from cascade_nb.content import car
from cascade_nb.errors import BackendError
from cascade_nb.protocols import Bytes, Progress

# A block by its binary CID, in parts.
Block: TypeAlias = tuple[bytes, Sequence[Bytes]]

_BATCH_BLOCKS, _BATCH_BYTES = 64, 16 << 20
_STEP = 256 << 10


@dataclass
class Upload:
    """Brings a DAG to a node, pinned; `run` is awaited on the background loop.

    Args:
        client: of the node.
        root: the DAG's root, a binary CID.
        blocks: makes all blocks; called in a thread, again where they are to be sent again.
        total: bytes that there are to be, for `progress`.
        everything: whether to send what is there, too.
    """

    client: KuboClient
    root: bytes
    blocks: Callable[[], Iterable[Block]]
    progress: Progress | None = None
    total: int | None = None
    everything: bool = False
    _done: int = field(default=0, init=False)
    _sent: int = field(default=0, init=False)

    async def run(self, *, pin: bool) -> None:
        """Send what is missing and, with `pin`, let the node pin it as a whole, without a name.

        Raises:
            IncompleteError: the node lacks what it said it had.
            BackendError: it does not take and pin all of it.
        """
        taken = await self.client.import_car(self._car, pin_roots=pin)
        if taken != self._sent:
            raise self.client.http.error(f"took {taken} of {self._sent} blocks")

    async def _car(self) -> AsyncIterator[Bytes]:
        self._done = self._sent = 0
        iterator = iter(self.blocks())
        yield car.header([self.root])
        coming = asyncio.create_task(self._batch(iterator))
        try:
            while (batch := await coming) is not None:
                coming = asyncio.create_task(self._batch(iterator))
                for cid, parts, missing in batch:
                    size = sum(memoryview(part).nbytes for part in parts)
                    if missing:
                        self._sent += 1
                        yield car.section_head(cid, size)
                        for piece in _small(parts):
                            yield piece
                    self._done += size
                    if self.progress is not None:
                        self.progress(self._done, self.total)
        finally:
            coming.cancel()
            # Nobody waits for it any more; why it failed is not news then.
            coming.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _batch(
        self, iterator: Iterator[Block]
    ) -> list[tuple[bytes, Sequence[Bytes], bool]] | None:
        """The next blocks, and whether the node lacks them; None after the last one."""
        batch = await asyncio.to_thread(_taken, iterator)
        if not batch:
            return None
        if self.everything:
            return [(cid, parts, True) for cid, parts in batch]
        here = await asyncio.gather(*(self.client.has_block(cid) for cid, _ in batch))
        return [(cid, parts, not has) for (cid, parts), has in zip(batch, here, strict=True)]


def _taken(iterator: Iterator[Block]) -> list[Block]:
    batch: list[Block] = []
    size = 0
    for cid, parts in iterator:
        batch.append((cid, parts))
        size += sum(memoryview(part).nbytes for part in parts)
        if len(batch) == _BATCH_BLOCKS or size >= _BATCH_BYTES:
            break
    return batch


def _small(parts: Iterable[Bytes]) -> Iterator[Bytes]:
    """Pieces that a socket takes in a few goes; what it does not take at once is copied."""
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, view.nbytes, _STEP):
            yield view[start : start + _STEP]


def once(
    blocks: Iterable[tuple[bytes, Bytes]], error: BackendError
) -> Callable[[], Iterable[Block]]:
    """Gives `blocks`, which cannot be made again: the second call raises `error`."""
    left = [blocks]

    def give() -> Iterator[Block]:
        if not left:
            raise error
        return ((cid, [block]) for cid, block in left.pop())

    return give
