"""A line that tells how far something long has come, in a terminal or below a cell."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

from cascade_nb.units import human_size

_PATIENCE_SECONDS = 1.0
_STEP_SECONDS = 0.25


class Meter:
    """Told of bytes that have come or gone, it writes a line that it overwrites.

    What is over within a second shows nothing. As a context manager it ends the line.

    Args:
        what: what is going on, such as "loading".
        stream: where to write; by default what is stderr at the time.
    """

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._next = time.monotonic() + _PATIENCE_SECONDS
        self._width = 0

    def __enter__(self) -> Meter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._width:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def __call__(self, done: int, total: int | None) -> None:
        """`done` bytes of `total`, where that is known."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _STEP_SECONDS
        of = f" of {human_size(total)}" if total is not None else ""
        self._write(f"{self._what}: {human_size(done)}{of}")

    def _write(self, line: str) -> None:
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)
