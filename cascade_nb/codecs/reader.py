"""Reads a tree, trusting none of it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from cascade_nb.codecs import layout, packing
from cascade_nb.codecs.refusal import type_name
from cascade_nb.codecs.tree import by_tag, kind_of_tag
from cascade_nb.codecs.writer import ClassDigest
from cascade_nb.errors import CodecError, UntrustedError

if TYPE_CHECKING:
    from cascade_nb.codecs.memory_reader import MemoryReader

FindExternal: TypeAlias = Callable[[str], object]
FindClass: TypeAlias = Callable[[str, str], type | None]

_COPIED = 1 << 20  # bytes copied between chances for other threads


class Reader:
    """Reads what a `Writer` wrote, trusting none of it."""

    def __init__(
        self,
        structure: memoryview,
        blocks: list[memoryview],
        *,
        code: bool,
        external: FindExternal | None,
        find_class: FindClass,
        class_digest: ClassDigest | None,
    ) -> None:
        self.code = code
        self.find_class = find_class
        self.class_digest = class_digest
        self.classes: list[type] = []
        self.size = len(structure) + sum(map(len, blocks))
        self._data = bytes(structure)
        self._position = 0
        self._blocks = blocks
        self._next_block = 0
        self._external = external
        self._objects: list[Any] = []
        self.memory = self._read_memory()

    def _read_memory(self) -> MemoryReader | None:
        count = self.varint()
        if not count:
            return None
        from cascade_nb.codecs.memory_reader import MemoryReader

        return MemoryReader(self, count, self._blocks)

    def read_whole(self) -> Any:
        """The value; an error where anything is left over."""
        value = self.read()
        used = self._next_block if self.memory is None else self.memory.finish(self._next_block)
        if self._position != len(self._data) or used != len(self._blocks):
            raise CodecError("damaged encoding: something is left over")
        return value

    def read(self) -> Any:
        """The next value."""
        tag = self.byte()
        kind = by_tag.get(tag) or kind_of_tag(tag)
        return kind.read(self)

    def read_exact(self, *types: type) -> Any:
        """The next value, which must be of exactly one of these types."""
        value = self.read()
        if type(value) not in types:
            raise CodecError(f"damaged encoding: a part is of type {type_name(type(value))}")
        return value

    def reserve(self) -> int:
        """Give the object that is about to be read its number."""
        self._objects.append(_Missing)
        return len(self._objects) - 1

    def fill(self, number: int, value: Any) -> None:
        """From now on `number` refers to `value`."""
        self._objects[number] = value

    def refer(self, number: int) -> Any:
        """The object with that number."""
        value = self._objects[number]
        if value is _Missing:
            raise CodecError("damaged encoding: a reference to an unfinished object")
        return value

    def external_object(self, name: str) -> Any:
        """The object that the writer called `name` and did not write."""
        if self._external is None:
            raise CodecError(f"the encoding refers to {name!r}, which is not here")
        return self._external(name)

    def byte(self) -> int:
        """The next byte."""
        position = self._position
        self._position = position + 1
        return self._data[position]

    def take(self, size: int) -> bytes:
        """The next `size` bytes of the structure."""
        end = self._position + size
        if end > len(self._data):
            raise CodecError("damaged encoding: it ends too early")
        data = self._data[self._position : end]
        self._position = end
        return data

    def varint(self) -> int:
        """The next count, below 2**63."""
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 56:
                raise CodecError("damaged encoding: a count is too large")
        return number

    def count(self) -> int:
        """The next count of things that take at least a byte each."""
        number = self.varint()
        if number > len(self._data) - self._position:
            raise CodecError("damaged encoding: a count is larger than what follows")
        return number

    def blob(self) -> memoryview:
        """The next run of raw bytes, where it lies; read-only if it is small or the data is."""
        size = self.varint()
        if size < layout.ALIGNED_FROM:
            return memoryview(self.take(size))
        block = self._blocks[self._next_block]
        self._next_block += 1
        if len(block) != size:
            raise CodecError("damaged encoding: a block has the wrong size")
        return block

    def text(self) -> str:
        """The next text."""
        size = self._data[self._position]
        if size < 0x80:  # as `blob`, without the detour
            self._position += 1
            return str(self.take(size), "utf-8", "surrogatepass")
        return str(self.blob(), "utf-8", "surrogatepass")

    def sequence(self) -> list[Any]:
        """The items that `Writer.sequence` wrote, in a list that is the caller's alone."""
        size = self.varint()
        form = self.byte()
        if form == packing.GENERIC:
            if size > len(self._data) - self._position:
                raise CodecError("damaged encoding: a count is larger than what follows")
            data, kinds = self._data, by_tag
            found = []
            for _ in range(size):  # as `read`, without the call
                tag = data[self._position]
                self._position += 1
                found.append((kinds.get(tag) or kind_of_tag(tag)).read(self))
            return found
        items = packing.unpack(self, form)
        if len(items) != size:
            raise CodecError("damaged encoding: a packed sequence has the wrong length")
        return items

    def mapping(self) -> Iterator[tuple[Any, Any]]:
        """The items that `Writer.mapping` wrote."""
        keys = self.sequence()
        return zip(keys, self.sequence(), strict=True)


class _Missing:
    """Stands for an object that is still being read."""


def copied(data: memoryview) -> bytes:
    """A copy as `bytes`, made so that other threads get their turn while it is large."""
    if len(data) <= _COPIED:
        return bytes(data)
    buffer = io.BytesIO()
    for chunk in chunks(data):
        buffer.write(chunk)
    return buffer.getvalue()


def chunks(data: memoryview) -> Iterator[memoryview]:
    """Pieces of memory so small that copying one holds no other thread up."""
    for start in range(0, len(data), _COPIED):
        yield data[start : start + _COPIED]


def decode(
    structure: memoryview,
    blocks: list[memoryview],
    *,
    code: bool,
    external: FindExternal | None,
    find_class: FindClass,
    class_digest: ClassDigest | None,
) -> Any:
    """The value whose structure and blocks these are."""
    try:
        return Reader(
            structure,
            blocks,
            code=code,
            external=external,
            find_class=find_class,
            class_digest=class_digest,
        ).read_whole()
    except (CodecError, UntrustedError):
        raise
    except Exception as error:  # whatever damaged parts make constructors raise
        raise CodecError(f"damaged encoding: {type(error).__name__}: {error}") from error


def numbered(read: Callable[[Reader], Any]) -> Callable[[Reader], Any]:
    """As `read`, for a value that can be referred to."""

    def read_numbered(reader: Reader) -> Any:
        number = reader.reserve()
        value = read(reader)
        reader.fill(number, value)
        return value

    return read_numbered
