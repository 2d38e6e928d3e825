"""Writes one value as a tree."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from cascade_nb.codecs import layout, packing
from cascade_nb.codecs.refusal import RefusedError, UnknownTypeError, key_step, step
from cascade_nb.codecs.tree import EXTERNAL, REFERENCE, Kind, by_type, kind_of
from cascade_nb.protocols import Bytes

if TYPE_CHECKING:
    from cascade_nb.codecs.memory import MemoryWriter

External: TypeAlias = Callable[[object], str | None]
ClassDigest: TypeAlias = Callable[[type], str]


# Parts that any value may have, and how often each one may be written in a larger one.
_FREE, _UNFOLDED = 1 << 18, 256


class _UnfoldingError(RefusedError):
    """A value would be written many times as large as it is."""


class Writer:
    """Writes one value, however large, as a structure and blocks."""

    def __init__(
        self,
        external: External | None,
        class_digest: ClassDigest | None,
        *,
        skip_unknown: bool = False,
    ) -> None:
        self.out = bytearray()
        self.needs_code = False
        self.class_digest = class_digest
        self.memory: MemoryWriter | None = None
        self._external = external
        self._skip_unknown = skip_unknown
        self._blobs: list[Bytes] = []
        self._numbers: dict[int, int] = {}
        self._kept: list[object] = []  # what is numbered must live, or its id is given again
        self._unfinished: set[int] = set()
        self._classes: dict[type, int] = {}
        self._kinds: dict[type, Kind] = {}
        self._root: object = None
        self._parts, self._allowed = 0, _FREE

    def finish(self) -> tuple[list[Bytes], list[layout.Block]]:
        """The structure and the blocks, once the value is written."""
        blocks: list[layout.Block] = [[blob] for blob in self._blobs]
        if self.memory is None:
            return [b"\0", self.out], blocks
        table, more = self.memory.finish(self._numbers)
        return [table, self.out], blocks + more

    def write_whole(self, value: Any) -> None:
        """Write the one value that is to be written."""
        self._root = value
        try:
            self.write(value)
        except _UnfoldingError as refused:
            refused.steps.clear()  # it is the whole that unfolds
            raise

    def write(self, value: Any) -> None:
        """Write a value of any registered type, or refuse it."""
        try:
            self._write(value)
        except UnknownTypeError:
            if not self._skip_unknown:
                raise

    def _write(self, value: Any) -> None:
        cls = type(value)
        kind = by_type.get(cls) or self._kinds.get(cls)
        if kind is None:
            kind = self._kinds[cls] = kind_of(cls, value)
        if not kind.identity:
            self.out.append(kind.tag)
            kind.write(self, value)
        elif not self._refer(value):
            number = self._numbers[id(value)]
            self.out.append(kind.tag)
            if kind.late:
                self._unfinished.add(number)
            kind.write(self, value)
            self._unfinished.discard(number)

    def _refer(self, value: object) -> bool:
        """Write a reference instead of `value` where there is one, else give it a number."""
        number = self._numbers.get(id(value))
        if number is not None:
            if number in self._unfinished:
                raise RefusedError(value, "it contains itself in a way that cannot be rebuilt")
            self.out.append(REFERENCE)
            self.varint(number)
            return True
        name = self.external_name(value)
        if name is not None:
            self.out.append(EXTERNAL)
            self.text(name)
            return True
        self._numbers[id(value)] = len(self._numbers)
        self._kept.append(value)
        return False

    def external_name(self, value: object) -> str | None:
        """The name under which the reader has `value` already, if it has."""
        return self._external(value) if self._external is not None else None

    def class_number(self, cls: type) -> tuple[int, bool]:
        """The class's number in this encoding, and whether this is its first occurrence."""
        number = self._classes.get(cls)
        if number is not None:
            return number, False
        self._classes[cls] = number = len(self._classes)
        return number, True

    def spend(self, parts: int) -> None:
        """Count parts that are about to be written.

        Raises:
            RefusedError: tuples in tuples share parts and would unfold almost without end.
        """
        self._parts += parts
        if self._parts > self._allowed:
            if not _has_parts(self._root, self._parts // _UNFOLDED):
                raise _UnfoldingError(self._root, "it holds the same parts again and again")
            self._allowed = 2 * self._parts

    def varint(self, number: int) -> None:
        """Write a count or other number that is not negative."""
        while number > 0x7F:
            self.out.append(number & 0x7F | 0x80)
            number >>= 7
        self.out.append(number)

    def text(self, text: str) -> None:
        """Write a text, lone surrogates included."""
        data = text.encode("utf-8", "surrogatepass")
        if len(data) < 0x80:  # as `blob`, without the detour
            self.out.append(len(data))
            self.out += data
        else:
            self.blob(data)

    def blob(self, data: Bytes) -> None:
        """Write raw bytes; many of them are not copied and must not change before they are used."""
        view = memoryview(data).cast("B")
        self.varint(len(view))
        if len(view) < layout.ALIGNED_FROM:
            self.out += view
        else:
            self._blobs.append(view)

    def sequence(self, items: Sequence[Any]) -> None:
        """Write how many items there are, and each; many of one simple type are packed."""
        self.varint(len(items))
        if packing.pack(self, items):
            return
        self.out.append(packing.GENERIC)
        self.spend(len(items))
        out, index = self.out, 0
        try:
            for index, item in enumerate(items):  # noqa: B007 (a refusal's path needs it)
                kind = by_type.get(type(item))
                if kind is None or kind.identity or self._skip_unknown:
                    self.write(item)
                else:  # as `write`, without the call
                    out.append(kind.tag)
                    kind.write(self, item)
        except RefusedError as refused:
            refused.steps.append(f"[{index}]")
            raise

    def mapping(self, items: Mapping[Any, Any]) -> None:
        """Write keys and values in their order."""
        keys = list(items.keys())
        try:
            self.sequence(keys)
        except RefusedError as refused:
            refused.steps.append(".keys()")
            raise
        try:
            self.sequence(list(items.values()))
        except RefusedError as refused:
            index = int(refused.steps[-1][1:-1])
            refused.steps[-1] = key_step(keys[index])
            raise

    def unordered(self, items: Iterable[Any]) -> None:
        """Write the elements of a set in an order that depends on nothing but their encodings."""
        elements = list(items)
        types = set(map(type, elements))
        if types == {int} or types == {str}:
            self.sequence(sorted(elements))
            return
        start = self._mark()
        keyed = []
        plain = True
        with step(" (element)"):
            for element in elements:
                self.write(element)
                plain = plain and self._mark()[1:] == start[1:]
                keyed.append((self._take_back(start), element))
        keyed.sort(key=lambda pair: pair[0])
        if plain and types != {float}:
            self.varint(len(elements))
            self.out.append(packing.GENERIC)
            self.out += b"".join([key[0] for key, _ in keyed])
        else:
            # References and blocks depend on what was written before: write in the final order.
            self.sequence([element for _, element in keyed])

    def _mark(self) -> tuple[int, int, int, int, int]:
        arrays = len(self.memory.entries) if self.memory is not None else 0
        return len(self.out), len(self._numbers), len(self._classes), len(self._blobs), arrays

    def _take_back(self, mark: tuple[int, int, int, int, int]) -> tuple[bytes, bytes]:
        """Undo what was written since `mark`; what it was, as something to sort by."""
        length, numbers, classes, blobs, arrays = mark
        written = bytes(self.out[length:])
        digest = hashlib.sha256()
        for blob in self._blobs[blobs:]:
            digest.update(blob)
        if self.memory is not None and len(self.memory.entries) > arrays:
            self.memory.digest(arrays, digest)
            del self.memory.entries[arrays:]
        del self.out[length:], self._blobs[blobs:]
        while len(self._numbers) > numbers:
            self._numbers.popitem()
        while len(self._classes) > classes:
            self._classes.popitem()
        # What was numbered stays alive in _kept: objects made on the way would leave their ids.
        return written, digest.digest()


def _has_parts(root: object, number: int) -> bool:
    """Whether the objects that `root` consists of have so many parts, each object taken once."""
    seen, waiting, count = {id(root)}, [root], 0
    while waiting and count < number:
        parts = gc.get_referents(waiting.pop())
        count += len(parts)
        for part in parts:
            if id(part) not in seen and not isinstance(part, type | ModuleType | FunctionType):
                seen.add(id(part))
                waiting.append(part)
    return count >= number


def encode(
    value: Any, external: External | None, class_digest: ClassDigest | None
) -> tuple[bool, tuple[Bytes, ...]]:
    """Whether decoding will run code, and the pieces of the encoding.

    Raises:
        RefusedError: the value has no exact encoding as a tree.
    """
    writer = Writer(external, class_digest)
    writer.write_whole(value)
    structure, blocks = writer.finish()
    return writer.needs_code, layout.join(layout.TREE, writer.needs_code, structure, blocks)


def survey(value: Any, external: External | None) -> None:
    """Look at the known parts of a value that has unknown ones, and so will be pickled.

    Raises:
        RefusedError: a part has no exact encoding, or arrays share memory: a pickle would give
            back something else without a word.
    """
    writer = Writer(external, None, skip_unknown=True)
    writer.write_whole(value)
    if writer.memory is not None:
        writer.memory.check_apart()
