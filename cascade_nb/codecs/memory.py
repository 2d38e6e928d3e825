"""The memory of arrays: what is shared in a value is shared in its encoding.

An array's node in the structure says what it is; where its memory lies is known only when all
arrays of the value are, and stands in a table before the structure. An array that shares with no
other is stored compact, in the order of its axes in memory. Arrays that share are windows (offset
and strides) on one block that covers them all; what none of them shows is zero there.

The table: how many arrays, and for each, in the order of their nodes, one of

====  ====================================================================================
0     alone: its memory is the next block
1     shared: number of the group (the next block, if it is a new one), offset, strides
2     external: name of the array that owns the memory, its layout, offset, strides, and the
      SHA-256 of what the window shows, since the reader's array may be another one
====  ====================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade_nb.codecs.geometry import (
    Array,
    bounds,
    compact,
    covering,
    layout_of,
    overlaps_itself,
    owner,
)
from cascade_nb.codecs.refusal import RefusedError

if TYPE_CHECKING:
    from cascade_nb.codecs.layout import Block
    from cascade_nb.codecs.writer import Writer

ALONE, SHARED, EXTERNAL = 0, 1, 2
_SEARCH = 10_000  # steps that numpy may take to find out whether two arrays share an element


class Sharing(Enum):
    """What becomes of memory that an array shares with another one."""

    KEPT = "kept"
    UNSEEN = "unseen"  # pandas copies on write: the owners cannot tell, but writable arrays could
    HIDDEN = "hidden"  # nobody can write into it through its owner, an index, at all
    REFUSED = "refused"


@dataclass(slots=True)
class Entry:
    """An array of the value: `pieces` are its memory in order, `shown` what others may share.

    `stored` is false where the elements are written one by one. `external` is the name of the
    array that owns the memory, and that array.
    """

    value: object
    pieces: Sequence[Array]
    shown: Sequence[Array]
    sharing: Sharing
    order: tuple[int, ...]
    stored: bool = True
    external: tuple[str, Array] | None = None


class MemoryWriter:
    """Collects the arrays of a value, and then lays out their memory."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def digest(self, start: int, digest: Any) -> None:
        """Update `digest` with the content of the arrays from number `start` on."""
        for entry in self.entries[start:]:
            for piece in entry.pieces if entry.stored else ():
                digest.update(compact(piece, entry.order))

    def finish(self, numbers: dict[int, int]) -> tuple[bytes, list[Block]]:
        """The table, and the blocks after those of the structure.

        Args:
            numbers: the numbers of the value's objects, by id.

        Raises:
            RefusedError: memory is shared in a way that could not be rebuilt.
        """
        self._check_exporters(numbers)
        groups = self._groups()
        table = bytearray()
        blocks: list[Block] = []
        group_numbers: dict[int, int] = {}
        stored = [entry for entry in self.entries if entry.stored]
        _varint(table, len(stored))
        for entry in stored:
            group = groups.get(id(entry))
            if entry.external is not None:
                _write_external(table, entry, *entry.external)
            elif group is None:
                table.append(ALONE)
                blocks.append([compact(piece, entry.order) for piece in entry.pieces])
            else:
                start = min(bounds(member.shown[0])[0] for member in group)
                table.append(SHARED)
                _varint(table, group_numbers.setdefault(id(group), len(group_numbers)))
                if group[0] is entry:
                    blocks.append([covering([member.shown[0] for member in group])])
                _window(table, bounds(entry.shown[0])[0] - start, entry.shown[0].strides)
        return bytes(table), blocks

    def check_apart(self) -> None:
        """Refuse arrays that share memory, where anyone could tell.

        Raises:
            RefusedError: there are some.
        """
        for group in self._groups().values():
            if any(entry.shown[0].flags.writeable for entry in group):
                raise RefusedError(group[0].value, "it shares memory, which a pickle cannot keep")

    def _check_exporters(self, numbers: dict[int, int]) -> None:
        """Refuse arrays on the memory of a bytearray or array.array that is in the value too."""
        for entry in self.entries:
            for shown in entry.shown if entry.stored else ():
                base = owner(shown).base
                if isinstance(base, memoryview):
                    base = base.obj
                if base is not None and id(base) in numbers:
                    raise RefusedError(entry.value, "it shares memory with a part of another type")

    def _groups(self) -> dict[int, list[Entry]]:
        """The entries that share memory with others (or within themselves), with all of these."""
        sets = _DisjointSets(len(self.entries))
        linked: set[int] = set()
        for one, other in _sharing(self.entries, sets):
            first, second = self.entries[one], self.entries[other]
            if first.sharing is Sharing.KEPT and second.sharing is Sharing.KEPT:
                sets.join(one, other)
                linked |= {one, other}
            elif not _unseen(first, second):
                raise RefusedError(first.value, "it shares memory in a way that cannot be rebuilt")
        groups: dict[int, list[Entry]] = {}
        for index in sorted(linked):
            groups.setdefault(sets.root(index), []).append(self.entries[index])
        return {id(entry): group for group in groups.values() for entry in group}


class _DisjointSets:
    """Which numbers have been joined, in next to no time."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, number: int) -> int:
        parents = self._parents
        while parents[number] != number:
            parents[number] = number = parents[parents[number]]
        return number

    def join(self, one: int, other: int) -> None:
        self._parents[self.root(one)] = self.root(other)


def _write_external(table: bytearray, entry: Entry, name: str, base: Array) -> None:
    (array,) = entry.shown
    table.append(EXTERNAL)
    for text in (name, layout_of(base)):
        encoded = text.encode("utf-8", "surrogatepass")
        _varint(table, len(encoded))
        table += encoded
    _window(table, bounds(array)[0] - bounds(base)[0], array.strides)
    table += hashlib.sha256(compact(array, entry.order)).digest()


def _unseen(one: Entry, other: Entry) -> bool:
    """Whether nobody can tell that these two share memory."""
    return (
        one.sharing is not Sharing.REFUSED
        and other.sharing is not Sharing.REFUSED
        and all(
            entry.sharing in (Sharing.UNSEEN, Sharing.HIDDEN) or not entry.shown[0].flags.writeable
            for entry in (one, other)
        )
    )


def _sharing(entries: Sequence[Entry], sets: _DisjointSets) -> Iterator[tuple[int, int]]:
    """Numbers of entries that share at least one byte, but for those joined meanwhile."""
    spans = []
    for index, entry in enumerate(entries):
        if entry.external is None:
            for shown in entry.shown:
                if shown.size and shown.itemsize:
                    spans.append((*bounds(shown), index, shown))
    spans.sort(key=lambda span: span[:3])
    active: list[tuple[int, int, int, Array]] = []
    for span in spans:
        start, _, index, shown = span
        if entries[index].sharing is Sharing.KEPT and overlaps_itself(shown):
            yield index, index
        active = [earlier for earlier in active if earlier[1] > start]
        for _, _, other, other_shown in active:
            if sets.root(index) != sets.root(other) and _share(shown, other_shown):
                yield other, index
        active.append(span)


def _share(one: Array, other: Array) -> bool:
    try:
        return np.shares_memory(one, other, max_work=_SEARCH)  # type: ignore[arg-type]  # any int
    except np.exceptions.TooHardError:
        return True


def _window(table: bytearray, offset: int, strides: tuple[int, ...]) -> None:
    _varint(table, offset)
    _varint(table, len(strides))
    for stride in strides:
        _varint(table, stride << 1 if stride >= 0 else (-stride << 1) - 1)


def _varint(table: bytearray, number: int) -> None:
    while number > 0x7F:
        table.append(number & 0x7F | 0x80)
        number >>= 7
    table.append(number)


def memory_of(writer: Writer) -> MemoryWriter:
    """The writer's memory, from the first array on."""
    if writer.memory is None:
        writer.memory = MemoryWriter()
    return writer.memory
