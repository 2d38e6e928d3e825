"""The bytes that a walk writes, and how they are hashed."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, TypeAlias

from blake3 import blake3

Bytes: TypeAlias = bytes | bytearray | memoryview

_FORMAT = b"cascade value 1\0"
_SIZE = Struct("<Q")
_INLINE = 1024  # longer buffers stand in the form as their digest
_THREADED = 1 << 20  # shorter ones gain nothing from several threads
_FLUSH = 4096  # parts that are kept before they are hashed
# What C code does at a time, so that other threads get their turn between.
SLICE = 1 << 16


class BudgetExceeded(Exception):  # noqa: N818 - a way out, not an error
    """A walk would have to hash more than its budget: repeat it in a thread, without one."""


class Form:
    """A canonical form in the making: parts with their lengths before them.

    With `hashes_buffers=False` long buffers count by their lengths alone.
    """

    _hasher: Any = None

    def __init__(self, *, budget: int | None = None, hashes_buffers: bool = True) -> None:
        self._budget = sys.maxsize if budget is None else budget
        self._hashes_buffers = hashes_buffers
        self._parts: list[bytes] = [_FORMAT]

    def spend(self, size: int) -> None:
        """Count bytes that are about to be hashed.

        Raises:
            BudgetExceeded: they are more than what is left.
        """
        self._budget -= size
        if self._budget < 0:
            raise BudgetExceeded

    def write(self, part: bytes) -> None:
        """Write a part whose length is known from what stands before it."""
        self._parts.append(part)

    def buffer(self, data: Bytes) -> None:
        """Write bytes with their length; long ones by their digest and without a copy."""
        self._parts.append(self.content(data))

    def pieces(self, pieces: Sequence[Bytes]) -> None:
        """Write the same as `buffer` of all the pieces in one."""
        if len(pieces) == 1:
            self.buffer(pieces[0])
        else:
            self._parts.append(self.content_of_pieces(pieces, sum(map(len, pieces))))

    def numbers(self, packed: array[Any]) -> None:
        """Write an array of numbers, in little-endian order."""
        if sys.byteorder == "big":
            packed.byteswap()
        self.buffer(memoryview(packed).cast("B") if len(packed) > 16 else packed.tobytes())

    def lengths(self, column: Sequence[Any]) -> None:
        """Write the lengths of some sized things."""
        if len(column) == 1:
            self.numbers(array("q", (len(column[0]),)))
            return
        packed = array("q")
        for part in slices(column):
            packed.extend(map(len, part))
        self.numbers(packed)

    def content(self, data: Bytes) -> bytes:
        """What stands for some bytes in the form: their length, then themselves or their digest."""
        size = data.nbytes if type(data) is memoryview else len(data)
        return _SIZE.pack(size) + (bytes(data) if size <= _INLINE else self._hash(data, size))

    def content_of_pieces(self, pieces: Iterable[Bytes], size: int) -> bytes:
        """The same as `content` of all the pieces in one, whose size is known."""
        if size <= _INLINE:
            return _SIZE.pack(size) + b"".join(pieces)
        if not self._hashes_buffers:
            return _SIZE.pack(size)
        self.spend(size)
        hasher = blake3()
        for piece in pieces:
            hasher.update(piece)
        return _SIZE.pack(size) + hasher.digest()

    def _hash(self, data: Bytes, size: int) -> bytes:
        if not self._hashes_buffers:
            return b""
        self.spend(size)
        if size < _THREADED:
            return blake3(data).digest()
        return blake3(data, max_threads=blake3.AUTO).digest()

    def flush(self) -> None:
        """Hash what was written, where it has become much."""
        if len(self._parts) < _FLUSH:
            return
        if self._hasher is None:
            self._hasher = blake3()
        self._hasher.update(b"".join(self._parts))
        self._parts.clear()

    def digest(self) -> bytes:
        """BLAKE3 of all that was written."""
        rest = b"".join(self._parts)
        if self._hasher is None:
            return blake3(rest).digest()
        hasher = self._hasher.copy()
        hasher.update(rest)
        return hasher.digest()  # type: ignore[no-any-return]


def slices(column: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """A long column in parts, none of which holds the interpreter for more than milliseconds."""
    if len(column) <= SLICE:
        return (column,)
    return _parts_of(column)


def listed(array: Any) -> list[Any]:
    """The elements of an array of objects or texts, as ``tolist`` gives them, part by part."""
    found: list[Any] = []
    for part in slices(array):
        found += list(part)
    return found


def _parts_of(column: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(column), SLICE):
        yield column[start : start + SLICE]
