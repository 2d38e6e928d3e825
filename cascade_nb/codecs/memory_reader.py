"""Gives arrays their memory: the reading side of `memory`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade_nb.codecs.geometry import Array, bytes_of, compact, inverse, layout_of, window_at
from cascade_nb.codecs.memory import ALONE, EXTERNAL, SHARED
from cascade_nb.errors import CodecError

if TYPE_CHECKING:
    from cascade_nb.codecs.reader import Reader

_OWNED_BELOW = 1 << 16  # smaller arrays get memory of their own, and keep no large buffer alive


@dataclass(slots=True)
class _Place:
    """Where an array's memory is: a block, or an external array, and the window on it."""

    block: int | None = None
    external: str | None = None
    layout: str = ""
    window: tuple[int, tuple[int, ...]] | None = None
    digest: bytes = b""


class MemoryReader:
    """Gives the arrays of an encoding their memory, in the order of their nodes."""

    def __init__(self, reader: Reader, count: int, blocks: list[memoryview]) -> None:
        self._reader = reader
        self._blocks = blocks
        self._places: list[_Place] = []
        self._groups: dict[int, Array] = {}
        self._next = 0
        own = self._read_table(count)
        self._first = len(blocks) - own
        if self._first < 0:
            raise CodecError("damaged encoding: blocks are missing")

    def _read_table(self, count: int) -> int:
        """Read the places; how many blocks they take."""
        blocks = 0
        group_blocks: list[int] = []
        for _ in range(count):
            form = self._reader.byte()
            if form == ALONE:
                self._places.append(_Place(block=blocks))
                blocks += 1
            elif form == SHARED:
                group = self._reader.varint()
                if group == len(group_blocks):
                    group_blocks.append(blocks)
                    blocks += 1
                self._places.append(_Place(block=group_blocks[group], window=self._read_window()))
            elif form == EXTERNAL:
                name, layout = self._read_text(), self._read_text()
                window, digest = self._read_window(), self._reader.take(32)
                self._places.append(
                    _Place(external=name, layout=layout, window=window, digest=digest)
                )
            else:
                raise CodecError("damaged encoding: an array of an unknown form")
        return blocks

    def _read_text(self) -> str:
        return str(self._reader.take(self._reader.varint()), "utf-8", "surrogatepass")

    def _read_window(self) -> tuple[int, tuple[int, ...]]:
        offset = self._reader.varint()
        numbers = [self._reader.varint() for _ in range(self._reader.varint())]
        return offset, tuple(
            -((number + 1) >> 1) if number & 1 else number >> 1 for number in numbers
        )

    def finish(self, next_block: int) -> int:
        """The number of blocks, if the structure used those before ours and all arrays."""
        if next_block != self._first or self._next != len(self._places):
            raise CodecError("damaged encoding: something is left over")
        return len(self._blocks)

    def array(
        self, dtype: np.dtype[Any], shape: tuple[int, ...], order: tuple[int, ...], writeable: bool
    ) -> Array:
        """The next array."""
        place = self._places[self._next]
        self._next += 1
        if dtype.hasobject:
            raise CodecError("damaged encoding: objects as raw memory")
        if place.window is None:
            array = self._alone(self._block(place), dtype, shape, order, writeable)
        else:
            low, strides = place.window
            if len(strides) != len(shape):
                raise CodecError("damaged encoding: strides and shape disagree")
            array = window_at(self._memory(place), dtype, shape, low, strides)
            if place.digest and hashlib.sha256(compact(array, order)).digest() != place.digest:
                raise CodecError(f"the array {place.external!r} shows something else here")
        array.flags.writeable = writeable
        return array

    def _block(self, place: _Place) -> memoryview:
        assert place.block is not None  # noqa: S101
        return self._blocks[self._first + place.block]

    def _alone(
        self,
        block: memoryview,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        order: tuple[int, ...],
        writeable: bool,
    ) -> Array:
        size = dtype.itemsize
        for length in shape:
            size *= length
        if size != len(block):
            raise CodecError("damaged encoding: an array's shape does not fit its memory")
        stored = tuple(shape[axis] for axis in order)
        if len(block) < _OWNED_BELOW or (writeable and block.readonly):
            reverse = len(order) > 1 and order == tuple(reversed(range(len(order))))
            if reverse:
                array = np.empty(shape, dtype, order="F")
                raw = array.T
            else:
                raw = np.empty(stored, dtype)
                array = raw if order == tuple(range(len(order))) else raw.transpose(inverse(order))
            if size:
                raw.reshape(-1).view(np.uint8)[:] = np.frombuffer(block, np.uint8)
            return array
        array = np.ndarray(stored, dtype, buffer=block)
        return array if order == tuple(range(len(order))) else array.transpose(inverse(order))

    def _memory(self, place: _Place) -> Array:
        """The bytes on which windows are: of a group, or of an external array."""
        if place.external is not None:
            base = self._reader.external_object(place.external)
            if not isinstance(base, np.ndarray) or layout_of(base) != place.layout:
                raise CodecError(f"the array {place.external!r} has another layout here")
            return bytes_of(base)
        assert place.block is not None  # noqa: S101
        memory = self._groups.get(place.block)
        if memory is None:
            memory = np.frombuffer(self._block(place), np.uint8)
            if not memory.flags.writeable or memory.size < _OWNED_BELOW:
                memory = memory.copy()
            self._groups[place.block] = memory
        return memory


def next_array(
    reader: Reader,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    order: tuple[int, ...],
    writeable: bool = True,
) -> Array:
    """The reader's next array."""
    if reader.memory is None:
        raise CodecError("damaged encoding: an array without memory")
    return reader.memory.array(dtype, shape, order, writeable)
