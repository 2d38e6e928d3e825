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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cascade_nb.codecs.refusal import RefusedError
from cascade_nb.errors import CodecError

if TYPE_CHECKING:
    from cascade_nb.codecs.layout import Block
    from cascade_nb.codecs.reader import Reader
    from cascade_nb.codecs.writer import Writer

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_ALONE, _SHARED, _EXTERNAL = 0, 1, 2
_OWNED_BELOW = 1 << 16  # smaller arrays get memory of their own, and keep no large buffer alive
X87 = np.finfo(np.longdouble).nmant == 63  # long doubles have 80 bits, and 48 of anything
_SEARCH = 10_000  # steps that numpy may take to find out whether two arrays share an element


class Sharing(Enum):
    """What becomes of memory that an array shares with another one."""

    KEPT = "kept"
    UNSEEN = "unseen"  # pandas copies on write: the owners cannot tell, but writable arrays could
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
                table.append(_ALONE)
                blocks.append([compact(piece, entry.order) for piece in entry.pieces])
            else:
                start = min(_bounds(member.shown[0])[0] for member in group)
                table.append(_SHARED)
                _varint(table, group_numbers.setdefault(id(group), len(group_numbers)))
                if group[0] is entry:
                    blocks.append([_covering([member.shown[0] for member in group])])
                _window(table, _bounds(entry.shown[0])[0] - start, entry.shown[0].strides)
        return bytes(table), blocks

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
        groups: dict[int, list[Entry]] = {}
        for one, other in _sharing(self.entries):
            if one.sharing is Sharing.KEPT and other.sharing is Sharing.KEPT:
                merged = groups.get(id(one), [one])
                if one is not other and groups.get(id(other)) is not merged:
                    merged += groups.get(id(other), [other])
                for member in merged:
                    groups[id(member)] = merged
            elif not _unseen(one, other):
                raise RefusedError(one.value, "it shares memory in a way that cannot be rebuilt")
        position = {id(entry): index for index, entry in enumerate(self.entries)}
        for group in groups.values():
            group.sort(key=lambda entry: position[id(entry)])
        return groups


def _write_external(table: bytearray, entry: Entry, name: str, base: Array) -> None:
    (array,) = entry.shown
    table.append(_EXTERNAL)
    for text in (name, _layout(base)):
        encoded = text.encode("utf-8", "surrogatepass")
        _varint(table, len(encoded))
        table += encoded
    _window(table, _bounds(array)[0] - _bounds(base)[0], array.strides)
    table += hashlib.sha256(compact(array, entry.order)).digest()


def _layout(array: Array) -> str:
    """How elements lie in an array's memory: where it is the same, windows show the same ones."""
    return f"{array.dtype.str} {array.shape} {array.strides}"


def _unseen(one: Entry, other: Entry) -> bool:
    """Whether nobody can tell that these two share memory."""
    return (
        one.sharing is not Sharing.REFUSED
        and other.sharing is not Sharing.REFUSED
        and all(
            entry.sharing is Sharing.UNSEEN or not entry.shown[0].flags.writeable
            for entry in (one, other)
        )
    )


def _sharing(entries: Sequence[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Pairs of entries that share at least one byte; each connected set of them is connected."""
    spans = []
    for index, entry in enumerate(entries):
        if entry.external is None:
            for shown in entry.shown:
                if shown.size and shown.itemsize:
                    spans.append((*_bounds(shown), index, shown))
    spans.sort(key=lambda span: span[:3])
    parents = list(range(len(entries)))  # of the kept entries that are known to share

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = index = parents[parents[index]]
        return index

    active: list[tuple[int, int, int, Array]] = []
    for span in spans:
        start, _, index, shown = span
        entry = entries[index]
        if entry.sharing is Sharing.KEPT and _overlaps_itself(shown):
            yield entry, entry
        active = [other for other in active if other[1] > start]
        for _, _, other_index, other_shown in active:
            other = entries[other_index]
            both_kept = entry.sharing is Sharing.KEPT and other.sharing is Sharing.KEPT
            if other is entry or (both_kept and root(index) == root(other_index)):
                continue
            if _share(shown, other_shown):
                yield other, entry
                if both_kept:
                    parents[root(index)] = root(other_index)
        active.append(span)


def _share(one: Array, other: Array) -> bool:
    try:
        return np.shares_memory(one, other, max_work=_SEARCH)  # type: ignore[arg-type]  # any int
    except np.exceptions.TooHardError:
        return True


def _overlaps_itself(array: Array) -> bool:
    """Whether two indices of an array lead to the same byte (broadcasting, sliding windows)."""
    reach = array.itemsize
    for stride, length in sorted(
        (abs(stride), length)
        for stride, length in zip(array.strides, array.shape, strict=True)
        if length > 1
    ):
        if stride < reach:
            return True
        reach = stride * (length - 1) + reach
    return False


def owner(array: Array) -> Array:
    """The array whose memory this one shows, itself if it is no view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _bounds(array: Array) -> tuple[int, int]:
    """The addresses of an array's first byte and of the byte after its last."""
    low = high = int(array.__array_interface__["data"][0])
    for stride, length in zip(array.strides, array.shape, strict=True):
        if stride < 0:
            low += stride * (length - 1)
        else:
            high += stride * (length - 1)
    return low, high + array.itemsize


def axis_order(array: Array) -> tuple[int, ...]:
    """The axes of an array from the slowest to the fastest in memory.

    C-contiguous arrays have them in their order. Axes of length one count for nothing.
    """
    axes = range(array.ndim)
    if array.flags.c_contiguous:
        return tuple(axes)
    long = [axis for axis in axes if array.shape[axis] > 1]
    long.sort(key=lambda axis: (-abs(array.strides[axis]), axis))
    if long == sorted(long):
        return tuple(axes)
    if long == sorted(long, reverse=True):
        return tuple(reversed(axes))
    return (*long, *(axis for axis in axes if array.shape[axis] <= 1))


def compact(array: Array, order: tuple[int, ...]) -> memoryview:
    """The content of an array without gaps, its axes in that order; no copy where it is so."""
    if not array.size or not array.itemsize:
        return memoryview(b"")
    plain = array.view(np.ndarray).transpose(order)
    if has_padding(plain.dtype):
        clean = np.zeros(plain.shape, plain.dtype)
        _copy_values(clean, plain)
        plain = clean
    return np.ascontiguousarray(plain).reshape(-1).view(np.uint8).data


def has_padding(dtype: np.dtype[Any]) -> bool:
    """Whether elements have bytes that are no part of their value."""
    if dtype.subdtype is not None:
        return has_padding(dtype.subdtype[0])
    if dtype.names is None:
        return dtype.char in "gG"  # long doubles
    used = sum(dtype[name].itemsize for name in dtype.names)
    return used != dtype.itemsize or any(has_padding(dtype[name]) for name in dtype.names)


def _copy_values(target: Array, source: Array) -> None:
    """Copy elements but not the bytes between them."""
    if source.dtype.names is not None:
        for name in source.dtype.names:
            _copy_values(target[name], source[name])
    elif source.dtype.char == "G":
        _copy_values(target.real, source.real)
        _copy_values(target.imag, source.imag)
    elif source.dtype.char == "g" and X87:
        _as_bytes(target)[..., :10] = _as_bytes(source)[..., :10]
    else:
        target[...] = source


def _as_bytes(array: Array) -> Array:
    """A view with one more axis, of the bytes of each element."""
    return array[..., np.newaxis].view(np.uint8)


def _covering(arrays: Sequence[Array]) -> memoryview:
    """The memory from the first to the last byte of arrays that share it."""
    start = min(_bounds(array)[0] for array in arrays)
    end = max(_bounds(array)[1] for array in arrays)
    for array in arrays:
        whole = array.flags.c_contiguous or array.flags.f_contiguous
        if whole and _bounds(array) == (start, end) and not has_padding(array.dtype):
            return compact(array, axis_order(array))
    block = np.zeros(end - start, np.uint8)
    for array in (_unrepeated(array.view(np.ndarray)) for array in arrays):
        window = _at(block, array.dtype, array.shape, _bounds(array)[0] - start, array.strides)
        _copy_values(window, array)
    return block.data


def _unrepeated(array: Array) -> Array:
    """The array without the repetitions of broadcasting, which may be huge."""
    return array[tuple(slice(1) if stride == 0 else slice(None) for stride in array.strides)]


def _at(
    block: Array, dtype: np.dtype[Any], shape: tuple[int, ...], low: int, strides: tuple[int, ...]
) -> Array:
    """A window on a block of bytes; `low` is where its lowest byte lies."""
    offset = low - sum(
        min(stride, 0) * max(length - 1, 0) for stride, length in zip(strides, shape, strict=True)
    )
    return np.ndarray(shape, dtype, buffer=block, offset=offset, strides=strides)


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
            if form == _ALONE:
                self._places.append(_Place(block=blocks))
                blocks += 1
            elif form == _SHARED:
                group = self._reader.varint()
                if group == len(group_blocks):
                    group_blocks.append(blocks)
                    blocks += 1
                self._places.append(_Place(block=group_blocks[group], window=self._read_window()))
            elif form == _EXTERNAL:
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
            array = _at(self._memory(place), dtype, shape, low, strides)
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
            if not isinstance(base, np.ndarray) or _layout(base) != place.layout:
                raise CodecError(f"the array {place.external!r} has another layout here")
            return _bytes_of(base)
        assert place.block is not None  # noqa: S101
        memory = self._groups.get(place.block)
        if memory is None:
            memory = np.frombuffer(self._block(place), np.uint8)
            if not memory.flags.writeable or memory.size < _OWNED_BELOW:
                memory = memory.copy()
            self._groups[place.block] = memory
        return memory


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The transposition that undoes the one by `order`."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def _bytes_of(array: Array) -> Array:
    """The memory of an external array as bytes."""
    if not array.dtype.hasobject:
        for whole in (array, array.T):
            if whole.flags.c_contiguous:
                return whole.view(np.ndarray).reshape(-1).view(np.uint8)
    raise CodecError("an external array has no memory of one piece")


def memory_of(writer: Writer) -> MemoryWriter:
    """The writer's memory, from the first array on."""
    if writer.memory is None:
        writer.memory = MemoryWriter()
    return writer.memory


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
