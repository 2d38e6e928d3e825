"""The walk that turns a value into bytes: level by level, whole columns of plain values at once.

The canonical form. A *level* is a list of values; the first holds the root alone, each further one
holds the children of the one before, in order. A level is written as its length and one code for
each value (one for all where they agree), followed, code by code, by a *column*: what that code
needs to be told of its values. Integers are packed, texts joined with their lengths before them,
containers give their lengths and hand their children to the next level. Every other value is
opened by the function XX has for its type, into a head of bytes and
its children. As lengths come first everywhere, the bytes can be read back in one way only, and so
differ for different values.

Objects with an identity (lists, dicts, instances; not tuples or texts) are numbered as they are
met. One that is met again is written as its number, so that sharing counts and cycles end.
Functions and classes are numbered apart: they are described after everything that holds them, so
that `Walker.carried` can tell a value's own parts from what its code can reach.

A walk by levels instead of by recursion is what makes it quick (the columns are built by C code),
and it has no depth at which it would fail.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain, compress, count
from operator import attrgetter
from struct import Struct
from types import EllipsisType, NoneType, NotImplementedType
from typing import Any, TypeAlias

from blake3 import blake3

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.definitions import Description, Places, describe
from cascade_nb.fingerprint.kinds import Opened
from cascade_nb.fingerprint.memory import MemoryMap
from cascade_nb.fingerprint.opening import kind_of, open_value

Bytes: TypeAlias = bytes | bytearray | memoryview

FORMAT = b"cascade value 1\0"

# Codes of the canonical form: they are part of every fingerprint and never change their meaning.
(
    NONE,
    BOOL,
    INT,
    FLOAT,
    COMPLEX,
    STR,
    BYTES,
    ELLIPSIS,
    NOT_IMPLEMENTED,
    TUPLE,
    LIST,
    DICT,
    REFERENCE,
    DEFINITION,
    VALUE,
    OBJECT,
) = range(16)
MIXED = 255

_PLAIN: dict[type, int] = {
    NoneType: NONE,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    complex: COMPLEX,
    str: STR,
    bytes: BYTES,
    EllipsisType: ELLIPSIS,
    NotImplementedType: NOT_IMPLEMENTED,
    tuple: TUPLE,
    list: LIST,
    dict: DICT,
}
_IS = [bytes(value == code for value in range(256)) for code in range(16)]
_HAS_IDENTITY = bytes(value in (LIST, DICT, OBJECT) for value in range(256))
_WITH_IDENTITY = frozenset({LIST, DICT, OBJECT})

_SORTABLE = frozenset({bool, int, str, bytes})

_LEVEL = Struct("<BQ")
_SIZE = Struct("<Q")

_INLINE = 1024  # longer buffers stand in the form as their digest
_THREADED = 1 << 20  # shorter ones gain nothing from several threads
_FLUSH = 4096  # parts of the form that are kept before they are hashed
_OBJECT_COST = 64  # what one value counts against a budget, in bytes
# How many children of tuples a level may have before tuples are looked at for parts in common: many
# in general, fewer so deep down that they may be few tuples which hold each other again and again.
_MANY = 1 << 25
_DEEP, _MANY_DEEP = 12, 1 << 12


class BudgetExceeded(Exception):  # noqa: N818 - a way out, not an error
    """A walk would have to hash more than its budget: repeat it in a thread, without one."""


class Impure(Exception):  # noqa: N818 - a way out, not an error
    """A walk that was to see only values without identity met an object that has one."""


class _Codes(dict[type, int]):
    """The code of each type; of those that are not plain it is found out each time."""

    def __missing__(self, cls: type) -> int:
        kind = kind_of(cls)
        if kind is None:
            return DEFINITION
        return OBJECT if kind.identity else VALUE


_code_of = _Codes(_PLAIN).__getitem__


class Walker:
    """One walk over one value, or over several that may share parts.

    `mutables` are the objects with an identity in the order of their numbers; the first `carried`
    of them are reached without going through the globals of a function or the body of a class.
    """

    def __init__(
        self,
        *,
        budget: int | None = None,
        pure: bool = False,
        limit: int = -1,
        hashes_buffers: bool = True,
    ) -> None:
        self.mutables: list[object] = []
        self.carried = 0
        self.types: set[type] = set()
        self.distributions: set[str] = set()
        self.definitions: list[object] = []
        self.memory = MemoryMap()
        self._pure_walks: dict[int, tuple[object, bytes, list[object]]] = {}
        self.shares_parts = False
        self._pure = pure
        self._limit = limit
        self._hashes_buffers = hashes_buffers
        self._first_of_part = 0
        self._depth = 0
        self._described: list[Description] = []
        self._budget = sys.maxsize if budget is None else budget
        self._numbers: dict[int, int] = {}
        self._definition_numbers: dict[int, int] = {}
        self._places: Places = {}
        self._parts: list[bytes] = [FORMAT]
        self._hasher: Any = None

    def run(self, value: object) -> None:
        """Write `value`, then the functions and classes in it with all that they reach.

        Several values may be written one after the other: `shares_parts` tells whether a later one
        held something that can be changed of an earlier one.
        """
        self._first_of_part = len(self.mutables)
        self.memory.begin_part()
        done = len(self._described)
        self._descend([value])
        self._pure = False
        self._describe_new()
        self.carried = len(self.mutables)
        while done < len(self._described):
            self._descend(list(self._described[done].reached))
            self._describe_new()
            done += 1
        self.shares_parts |= self.memory.shares_parts

    def _describe_new(self) -> None:
        while len(self._described) < len(self.definitions):
            description = describe(self.definitions[len(self._described)], self._places)
            self._described.append(description)
            self.distributions.update(description.distributions)
            self.buffer(description.head)
            self._descend(list(description.carried))

    def digest(self) -> bytes:
        """BLAKE3 of all that was written."""
        if self._hasher is None:
            return blake3(b"".join(self._parts)).digest()
        self._flush()
        return self._hasher.digest()  # type: ignore[no-any-return]

    def buffer(self, data: Bytes) -> None:
        """Write bytes with their length; long ones by their digest and without a copy."""
        self._parts.append(self.content(data))

    def content(self, data: Bytes) -> bytes:
        """What stands for some bytes in the form: their length, then themselves or their digest."""
        size = data.nbytes if type(data) is memoryview else len(data)
        return _SIZE.pack(size) + (bytes(data) if size <= _INLINE else self.hash_of(data, size))

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

    def hash_of(self, data: Bytes, size: int) -> bytes:
        """The digest of a long buffer, by several threads where that pays."""
        if not self._hashes_buffers:
            return b""
        self.spend(size)
        if size < _THREADED:
            return blake3(data).digest()
        return blake3(data, max_threads=blake3.AUTO).digest()

    def spend(self, size: int) -> None:
        """Count bytes that are about to be hashed."""
        self._budget -= size
        if self._budget < 0:
            raise BudgetExceeded

    def number(self, value: object) -> int | None:
        """The number of an object that was met before; None, and a new number, for a new one."""
        found = self._numbers.setdefault(id(value), len(self.mutables))
        if found < len(self.mutables):
            self.shares_parts |= found < self._first_of_part
            return found
        self._admit((value,))
        return None

    def define(self, value: object) -> int:
        """The number of a function or class, which is described later."""
        found = self._definition_numbers.setdefault(id(value), len(self.definitions))
        if found == len(self.definitions):
            self.definitions.append(value)
        return found

    def members(self, elements: Iterable[object]) -> Opened:
        """What to write of a set's elements, and how: it depends on nothing but what they are.

        Plain ones in their own order; others without identity as digests, so that what many sets
        hold is written once; objects in an order that tells most of them apart.
        """
        members = list(elements)
        types = set(map(type, members))
        if len(members) < 2 or (len(types) == 1 and types <= _SORTABLE):
            return b" as such", sorted(members) if types <= _SORTABLE else members
        try:
            return b" as digests", sorted(self._pure_digests(members))
        except Impure:
            keys = [self._rough_digest(member) for member in members]
        order = sorted(range(len(members)), key=keys.__getitem__)
        return b" in order", [members[index] for index in order]

    def _pure_digests(self, values: Sequence[object]) -> list[bytes]:
        """The digest of each of some values without identity, as of walks of their own."""
        known = dict(map(self._pure_walk, values))
        # Their functions and classes are described here too: they may share parts with the rest.
        for digest in sorted(known):
            for definition in known[digest]:
                self.define(definition)
        return [self._pure_walk(value)[0] for value in values]

    def _pure_walk(self, value: object) -> tuple[bytes, list[object]]:
        known = self._pure_walks.get(id(value))
        if known is None:
            walker = Walker(budget=self._budget, pure=True)
            walker._pure_walks = self._pure_walks
            walker.run(value)
            self._budget = walker._budget
            self.types |= walker.types
            self.distributions |= walker.distributions
            known = self._pure_walks[id(value)] = (value, walker.digest(), walker.definitions)
        return known[1:]

    def _rough_digest(self, value: object) -> bytes:
        """A digest that orders most objects; those it cannot tell apart may cost a miss."""
        if self._pure or self._limit >= 0:
            # Sets within sets of objects would be ordered over and over again.
            raise Impure
        walker = Walker(budget=self._budget, limit=256)
        walker._pure_walks = self._pure_walks
        with suppress(Impure):  # It goes as far as it went, which is the same for equal values.
            walker.run(value)
        return walker.digest()

    def _descend(self, level: list[Any]) -> None:
        self._depth = 0
        while level:
            self.spend(_OBJECT_COST * len(level))
            level = self._write_level(level)
            self._depth += 1

    def _write_level(self, level: list[Any]) -> list[Any]:
        codes: bytes | bytearray = bytes(map(_code_of, map(type, level)))
        present = set(codes)
        references: list[int] = []
        if not present.isdisjoint(_WITH_IDENTITY):
            codes, references = self._number_level(level, codes)
            if references:
                present = set(codes)
        below: list[Any] = []
        if len(present) == 1:
            (code,) = present
            self._parts.append(_LEVEL.pack(code, len(level)))
            _COLUMNS[code](self, references if code == REFERENCE else level, below)
        else:
            self._parts.append(_LEVEL.pack(MIXED, len(level)))
            self.buffer(codes)
            for code in sorted(present):
                column = (
                    references
                    if code == REFERENCE
                    else list(compress(level, codes.translate(_IS[code])))
                )
                _COLUMNS[code](self, column, below)
        if len(self._parts) > _FLUSH:
            self._flush()
        return below

    def _number_level(
        self, level: list[Any], codes: bytes | bytearray
    ) -> tuple[bytes | bytearray, list[int]]:
        """Number what has an identity; the codes, with references for what was met before."""
        bearers = list(compress(level, codes.translate(_HAS_IDENTITY)))
        addresses = list(map(id, bearers))
        distinct = len(addresses) == 1 or len(set(addresses)) == len(addresses)
        if distinct and self._numbers.keys().isdisjoint(addresses):
            self._numbers.update(zip(addresses, count(len(self.mutables)), strict=False))
            self._admit(bearers)
            return codes, []
        marked, references = bytearray(codes), []
        for position, (value, code) in enumerate(zip(level, codes, strict=True)):
            if code in _WITH_IDENTITY and (known := self.number(value)) is not None:
                marked[position] = REFERENCE
                references.append(known)
        return marked, references

    def _admit(self, values: Sequence[object]) -> None:
        if self._pure:
            raise Impure
        self.mutables.extend(values)
        if 0 <= self._limit < len(self.mutables):
            raise Impure

    def _flush(self) -> None:
        if self._hasher is None:
            self._hasher = blake3()
        self._hasher.update(b"".join(self._parts))
        self._parts.clear()

    # Columns

    def _nothing(self, column: list[Any], below: list[Any]) -> None:
        """The code says it all."""

    def _bools(self, column: list[bool], below: list[Any]) -> None:
        self.buffer(bytes(column))

    def _ints(self, column: list[int], below: list[Any]) -> None:
        try:
            packed = array("q", column)
        except OverflowError:
            pieces = [n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True) for n in column]
            self._parts.append(b"\x01")
            self._lengths(pieces)
            self.buffer(b"".join(pieces))
        else:
            self._parts.append(b"\x00")
            self.numbers(packed)

    def _floats(self, column: list[float], below: list[Any]) -> None:
        self.numbers(array("d", column))

    def _complexes(self, column: list[complex], below: list[Any]) -> None:
        self.numbers(array("d", chain.from_iterable(map(attrgetter("real", "imag"), column))))

    def _texts(self, column: list[str], below: list[Any]) -> None:
        self._lengths(column)
        joined = column[0] if len(column) == 1 else "".join(column)
        try:
            self.buffer(joined.encode())
        except UnicodeEncodeError:
            self.buffer(joined.encode("utf-8", "surrogatepass"))

    def _byte_strings(self, column: list[bytes], below: list[Any]) -> None:
        if len(column) == 1:
            self.buffer(column[0])
            return
        self._lengths(column)
        if sum(map(len, column)) <= _THREADED:
            self.buffer(b"".join(column))
        else:
            for piece in column:
                self.buffer(piece)

    def _tuples(self, column: list[tuple[Any, ...]], below: list[Any]) -> None:
        self._lengths(column)
        if self._may_unfold(sum(map(len, column))):
            self._each_once(column)
        else:
            below.extend(chain.from_iterable(column))

    def _may_unfold(self, size: int) -> bool:
        return size > (_MANY if self._depth < _DEEP else _MANY_DEEP)

    def _each_once(self, column: list[Any]) -> None:
        """Tuples in tuples that share parts may unfold without end: each is written once."""
        first: dict[bytes, int] = {}
        try:
            digests = self._pure_digests(column)
            order = array("q", (first.setdefault(digest, len(first)) for digest in digests))
        except Impure:
            raise FingerprintError("it holds tuples of mutable parts, too many to unfold") from None
        self.numbers(order)
        self.buffer(b"".join(first))

    def _lists(self, column: list[list[Any]], below: list[Any]) -> None:
        self._lengths(column)
        below.extend(chain.from_iterable(column))

    def _dicts(self, column: list[dict[Any, Any]], below: list[Any]) -> None:
        self._lengths(column)
        below.extend(chain.from_iterable(column))
        below.extend(chain.from_iterable(map(dict.values, column)))

    def _references(self, column: list[int], below: list[Any]) -> None:
        self.numbers(array("q", column))

    def _definitions(self, column: list[Any], below: list[Any]) -> None:
        self.numbers(array("q", map(self.define, column)))

    def _values(self, column: list[Any], below: list[Any]) -> None:
        if self._may_unfold(len(column)):
            self._each_once(column)
        else:
            self._others(column, below)

    def _others(self, column: list[Any], below: list[Any]) -> None:
        self.types.update(map(type, column))
        for value in column:
            head, children = open_value(value, self)
            self._parts.append(_LEVEL.pack(0, len(children)))
            self.buffer(head)
            below.extend(children)

    def numbers(self, packed: array[Any]) -> None:
        """Write an array of numbers, in little-endian order."""
        if sys.byteorder == "big":
            packed.byteswap()
        self.buffer(memoryview(packed).cast("B") if len(packed) > 16 else packed.tobytes())

    def _lengths(self, column: Sequence[Any]) -> None:
        self.numbers(array("q", map(len, column)))


_Column: TypeAlias = Callable[[Walker, list[Any], list[Any]], None]
_COLUMNS: dict[int, _Column] = {
    NONE: Walker._nothing,
    BOOL: Walker._bools,
    INT: Walker._ints,
    FLOAT: Walker._floats,
    COMPLEX: Walker._complexes,
    STR: Walker._texts,
    BYTES: Walker._byte_strings,
    ELLIPSIS: Walker._nothing,
    NOT_IMPLEMENTED: Walker._nothing,
    TUPLE: Walker._tuples,
    LIST: Walker._lists,
    DICT: Walker._dicts,
    REFERENCE: Walker._references,
    DEFINITION: Walker._definitions,
    VALUE: Walker._values,
    OBJECT: Walker._others,
}


def is_plain(cls: type) -> bool:
    """Whether values of this very type are written in columns."""
    return cls in _PLAIN
