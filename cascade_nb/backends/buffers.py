"""Writable memory for content, filled without stopping the interpreter for long."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from contextlib import suppress

from cascade_nb.protocols import Bytes

# Clearing or copying this much takes about a millisecond.
SMALL_BYTES = 4 << 20
_STEP = 4 << 20


def blank(size: int) -> bytearray | memoryview:
    """A writable buffer of `size` zero bytes.

    A large one is mapped: the kernel clears its pages as they are touched, while a bytearray would
    be cleared at once, with every other thread of the interpreter standing still.
    """
    if size <= SMALL_BYTES:
        return bytearray(size)
    if not hasattr(mmap, "MAP_PRIVATE"):
        return memoryview(mmap.mmap(-1, size))
    # Private, for by default a forked child would share the memory of the value.
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(AttributeError, OSError):
        # Where there are huge pages, filling them takes a third of the time.
        mapped.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(mapped)


def joined(pieces: Iterable[Bytes]) -> bytearray | memoryview:
    """A writable copy of `pieces` put together; other threads run in between its steps."""
    views = [memoryview(piece).cast("B") for piece in pieces]
    buffer = blank(sum(view.nbytes for view in views))
    target = memoryview(buffer)
    position = 0
    for view in views:
        for start in range(0, view.nbytes, _STEP):
            step = view[start : start + _STEP]
            target[position : position + step.nbytes] = step
            position += step.nbytes
    return buffer


def as_bytes(pieces: Iterable[Bytes]) -> bytes:
    """`pieces` put together as one bytes object; other threads run in between its steps."""
    steps: list[bytes] = []
    for piece in pieces:
        if type(piece) is bytes:
            steps.append(piece)
        else:
            view = memoryview(piece).cast("B")
            steps += (bytes(view[at : at + _STEP]) for at in range(0, view.nbytes, _STEP))
    # Of bytes alone, join lets other threads run; of views it does not.
    return b"".join(steps)


def length(pieces: Iterable[Bytes]) -> int:
    """Bytes in all `pieces` together."""
    return sum(memoryview(piece).nbytes for piece in pieces)
