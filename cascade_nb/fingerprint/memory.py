"""Which memory buffers and arrays have in common, and where in it each of them lies.

Two arrays over one buffer are told from two that are apart, yet an array that is alone in a view of
some hidden buffer from no copy of it. So the first array in a piece of memory says nothing, and
each later one that overlaps it says where it lies as seen from the first.
"""

from __future__ import annotations

import ctypes
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from cascade_nb.errors import FingerprintError

Extent: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array lies: the address of its first element, its extent, strides and number."""

    address: int
    low: int
    high: int
    strides: tuple[int, ...]
    number: int


class MemoryMap:
    """Where in memory the buffers and arrays of one walk lie; the walk keeps them alive."""

    def __init__(self) -> None:
        # Disjoint regions, sorted; each has the first array of all that were met in it.
        self._regions: list[_Place] = []
        # Arrays of libraries that copy before they write (pandas): they share with each other in
        # no way that could be seen, but with what others hold of their memory.
        self._copied_on_write: list[_Place] = []
        self._count = 0
        self._first_of_part = 0
        self.shares_parts = False

    def begin_part(self) -> None:
        """Note in `shares_parts`, from now on, relations to what was placed before."""
        self._first_of_part = self._count

    def place(
        self,
        address: int,
        extent: Extent,
        strides: tuple[int, ...],
        *,
        copied_on_write: bool = False,
    ) -> tuple[int, ...]:
        """Note an array; how it lies towards those met before that it overlaps, as numbers."""
        low, high = extent
        self._count += 1
        if low == high:
            return ()
        new = _Place(address, low, high, strides, self._count)
        start = bisect_right(self._regions, low, key=lambda region: region.high)
        end = start
        while end < len(self._regions) and self._regions[end].low < high:
            end += 1
        overlapped = self._regions[start:end]
        if copied_on_write:
            self._copied_on_write.append(new)
            return self._relations(new, overlapped)
        first = min(overlapped, key=lambda region: region.number, default=new)
        low = min([low, *(region.low for region in overlapped)])
        high = max([high, *(region.high for region in overlapped)])
        self._regions[start:end] = [_Place(first.address, low, high, first.strides, first.number)]
        also = [p for p in self._copied_on_write if p.low < new.high and new.low < p.high]
        return self._relations(new, overlapped + also)

    def place_buffer(self, buffer: bytearray | array[Any]) -> tuple[int, ...]:
        """How a buffer lies towards the arrays that were met before in its memory."""
        return self._place_view(memoryview(buffer))

    def place_view(self, view: memoryview) -> tuple[int, ...]:
        """How a memoryview lies towards the buffers and arrays that were met before."""
        if type(view.obj) is bytes:
            return ()
        if view.readonly or not view.c_contiguous:
            raise FingerprintError("a view of changing memory whose place in it cannot be told")
        return self._place_view(view)

    def _place_view(self, view: memoryview) -> tuple[int, ...]:
        if not view.nbytes:
            return self.place(0, (0, 0), ())
        address = ctypes.addressof(ctypes.c_char.from_buffer(view.cast("B")))
        return self.place(address, (address, address + view.nbytes), (1,))

    def _relations(self, new: _Place, known: Sequence[_Place]) -> tuple[int, ...]:
        relations: list[int] = []
        for other in sorted(known, key=lambda place: place.number):
            self.shares_parts |= other.number <= self._first_of_part
            relations += (other.number, new.address - other.address)
            relations += (len(other.strides), *other.strides)
        if relations:
            relations += (len(new.strides), *new.strides)
        return tuple(relations)
