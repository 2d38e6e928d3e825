"""Which memory buffers and arrays have in common, and where in it each of them lies.

Two arrays over one buffer are told from two that are apart, yet an array that is a view of some
hidden buffer, alone, from no copy of it. So the first array in a piece of memory says nothing, and
each later one that overlaps it says where it lies as seen from the first.
"""

from __future__ import annotations

import ctypes
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cascade_nb.errors import FingerprintError

Extent: TypeAlias = tuple[int, int]


@dataclass(slots=True)
class Place:
    """Where one array lies: the address of its first element, its extent, strides and number."""

    address: int
    low: int
    high: int
    strides: tuple[int, ...]
    number: int


@dataclass(slots=True)
class _Owned:
    """The arrays met so far in the memory of one owner, which is kept alive.

    `places` are disjoint regions, sorted, each standing for all arrays that lie in it; `hidden`
    are arrays within a library that never writes to shared memory, and so share with each other
    in no way that could be seen.
    """

    owner: object
    places: list[Place] = field(default_factory=list)
    hidden: list[Place] = field(default_factory=list)


class MemoryMap:
    """Where in memory the buffers and arrays of one walk lie."""

    def __init__(self) -> None:
        self._owned: dict[int, _Owned] = {}
        self._count = 0

    def place(
        self, owner: object, address: int, extent: Extent, strides: tuple[int, ...], *, hidden: bool
    ) -> tuple[int, ...]:
        """Note an array; how it lies towards those met before that it overlaps, as numbers."""
        low, high = extent
        self._count += 1
        if low == high:
            return ()
        memory = self._owned.setdefault(id(owner), _Owned(owner))
        new = Place(address, low, high, strides, self._count)
        start = bisect_right(memory.places, low, key=lambda known: known.high)
        end = start
        while end < len(memory.places) and memory.places[end].low < high:
            end += 1
        overlapped = memory.places[start:end]
        if hidden:
            memory.hidden.append(new)
            return _relations(new, overlapped)
        first = min(overlapped, key=lambda known: known.number, default=new)
        low = min([low, *(known.low for known in overlapped)])
        high = max([high, *(known.high for known in overlapped)])
        memory.places[start:end] = [Place(first.address, low, high, first.strides, first.number)]
        also = [known for known in memory.hidden if known.low < new.high and new.low < known.high]
        return _relations(new, overlapped + also)

    def place_buffer(self, buffer: bytearray | array[Any]) -> tuple[int, ...]:
        """How a buffer lies towards the arrays that were met before in its memory."""
        view = memoryview(buffer)
        return self._place_view(buffer, view) if view.nbytes else ()

    def place_view(self, view: memoryview) -> tuple[int, ...]:
        """How a memoryview lies towards the buffers and arrays that were met before."""
        if type(view.obj) is bytes or not view.nbytes:
            return ()
        if view.readonly or not view.c_contiguous:
            raise FingerprintError("a view of changing memory whose place in it cannot be told")
        return self._place_view(view.obj, view)

    def _place_view(self, owner: object, view: memoryview) -> tuple[int, ...]:
        address = ctypes.addressof(ctypes.c_char.from_buffer(view.cast("B")))
        return self.place(owner, address, (address, address + view.nbytes), (1,), hidden=False)


def _relations(new: Place, known: Sequence[Place]) -> tuple[int, ...]:
    relations: list[int] = []
    for other in sorted(known, key=lambda place: place.number):
        relations += (other.number, new.address - other.address)
        relations += (len(other.strides), *other.strides)
    if relations:
        relations += (len(new.strides), *new.strides)
    return tuple(relations)
