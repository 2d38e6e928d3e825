"""Writable memory for content, filled without stopping the interpreter for long."""

from __future__ import annotations

from collections.abc import Iterable

from cascade_nb.content.memory import blank as blank
from cascade_nb.protocols import Bytes

_STEP = 4 << 20


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
