"""The walk that turns a value into bytes: level by level, whole columns of plain values at once.

The canonical form. A *level* is a list of values; the first holds the root alone, each further one
holds the children of the one before, in order. A level is written as its length and one code for
each value (one for all where they agree), followed, code by code, by a *column*: what that code
needs to be told of its values. Integers are packed, texts joined with their lengths before them,
containers give their lengths and hand their children to the next level. Every other value is
opened by the function that `opening` finds for its type, into a head of bytes and its children. As
lengths come first everywhere, the bytes can be read back in one way only, and so differ for
different values.

Objects with an identity (lists, dicts, instances; not tuples or texts) are numbered as they are
met. One that is met again is written as its number, so that sharing counts and cycles end.
Functions and classes are numbered apart: they are described after everything that holds them, so
that `Walker.carried` can tell a value's own parts from what its code can reach.

A walk by levels instead of by recursion is what makes it quick (the columns are built by C code),
and it has no depth at which it would fail.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain, compress, count
from struct import Struct
from typing import Any, TypeAlias

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.columns import (
    CODES,
    DEFINITION,
    DICT,
    LIST,
    MIXED,
    OBJECT,
    PLAIN,
    REFERENCE,
    TUPLE,
    VALUE,
)
from cascade_nb.fingerprint.definitions import Description, Places, describe
from cascade_nb.fingerprint.form import SLICE, Form, slices
from cascade_nb.fingerprint.kinds import Opened
from cascade_nb.fingerprint.memory import MemoryMap
from cascade_nb.fingerprint.opening import kind_of, open_value
from cascade_nb.fingerprint.reach import Reached

_IS = [bytes(value == code for value in range(256)) for code in range(16)]
_WITH_IDENTITY = frozenset({LIST, DICT, OBJECT})
_HAS_IDENTITY = bytes(value in _WITH_IDENTITY for value in range(256))
_SORTABLE = frozenset({bool, int, str, bytes})
_LEVEL = Struct("<BQ")
_OBJECT_COST = 64  # what one value counts against a budget, in bytes
# How many children of tuples a level may have before tuples are looked at for parts in common: many
# in general, fewer so deep down that they may be few tuples which hold each other again and again.
_MANY = 1 << 25
_DEEP, _MANY_DEEP = 12, 1 << 12
# No frozen instance lies so deep, unless it holds itself, which only tricks can bring about.
_DEEPEST = 1 << 16


class Impure(Exception):  # noqa: N818 - a way out, not an error
    """A walk that was to see only values without identity met an object that has one."""


class _Codes(dict[type, int]):
    """The code of each type; of those that are not plain it is found out each time."""

    def __missing__(self, cls: type) -> int:
        kind = kind_of(cls)
        if kind is None:
            return DEFINITION
        return OBJECT if kind.identity else VALUE


_code_of = _Codes(CODES).__getitem__


class Walker(Form):
    """One walk over one value, or over several that may share parts.

    `mutables` are the objects with an identity in the order of their numbers; the first `carried`
    of them are reached without going through the globals of a function or the body of a class.
    A `pure` walk stops at the first such object, one with a `limit` after so many.
    """

    carried = 0
    shares_parts = False
    _first_of_part = 0
    _depth = 0

    def __init__(
        self,
        *,
        budget: int | None = None,
        hashes_buffers: bool = True,
        pure: bool = False,
        limit: int = -1,
    ) -> None:
        super().__init__(budget=budget, hashes_buffers=hashes_buffers)
        self.mutables: list[object] = []
        self.types: set[type] = set()
        self.distributions: set[str] = set()
        self.definitions: list[object] = []
        self.named: list[tuple[object, Reached]] = []
        self._pure = pure
        self._limit = limit
        self._numbers: dict[int, int] = {}
        self._definition_numbers: dict[int, int] = {}
        self._pure_walks: dict[int, tuple[object, bytes, list[object]]] = {}
        self._readable: dict[int, tuple[object, bool]] = {}
        self._described: list[Description] = []
        self._places: Places = {}

    @cached_property
    def memory(self) -> MemoryMap:
        """Where the buffers and arrays that were met lie in memory."""
        return MemoryMap()

    def run(self, value: object) -> None:
        """Write `value`, then the functions and classes in it with all that they reach.

        Several values may be written one after the other: `shares_parts` tells whether a later one
        held something that can be changed of an earlier one.
        """
        if self.mutables:
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
        if self._first_of_part:
            self.shares_parts |= self.memory.shares_parts

    def _describe_new(self) -> None:
        while len(self._described) < len(self.definitions):
            definition = self.definitions[len(self._described)]
            description = describe(definition, self._places)
            self._described.append(description)
            self.distributions.update(description.distributions)
            self.named += ((definition, item) for item in description.named)
            self.buffer(description.head)
            self._descend(list(description.carried))

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

    def can_read(self, value: object) -> bool:
        """Whether `value` has a fingerprint; what leads back to itself is taken to have one."""
        known = self._readable.get(id(value))
        if known is None:
            readable = self._readable
            readable[id(value)] = value, True
            walker = Walker(budget=self._budget, hashes_buffers=False)
            walker._readable = readable
            try:
                walker.run(value)
            except FingerprintError:
                readable[id(value)] = value, False
            known = readable[id(value)]
        return known[1]

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
            self.flush()

    def _write_level(self, level: list[Any]) -> list[Any]:
        """Write one level; the level below it."""
        codes: bytes | bytearray = _codes_of(level)
        present = set(codes)
        references: list[int] = []
        if not present.isdisjoint(_WITH_IDENTITY):
            codes, references = self._number_level(level, codes)
            if references:
                present = set(codes)
        below: list[Any] = []
        if len(present) == 1:
            (code,) = present
            self.write(_LEVEL.pack(code, len(level)))
            self._write_column(code, references or level, below)
            return below
        self.write(_LEVEL.pack(MIXED, len(level)))
        self.buffer(codes)
        for code in sorted(present):
            column = references
            if code != REFERENCE:
                column = list(compress(level, codes.translate(_IS[code])))
            self._write_column(code, column, below)
        return below

    def _write_column(self, code: int, column: list[Any], below: list[Any]) -> None:
        plain = PLAIN.get(code)
        if plain is not None:
            plain(self, column)
        else:
            _COLUMNS[code](self, column, below)

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

    # Columns

    def _tuples(self, column: list[tuple[Any, ...]], below: list[Any]) -> None:
        self.lengths(column)
        if self._may_unfold(sum(map(len, column))):
            self._each_once(column)
        else:
            _extend(below, column)

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
        self.lengths(column)
        _extend(below, column)

    def _dicts(self, column: list[dict[Any, Any]], below: list[Any]) -> None:
        self.lengths(column)
        _extend(below, column)
        _extend(below, list(map(dict.values, column)))

    def _references(self, column: list[int], below: list[Any]) -> None:
        self.numbers(array("q", column))

    def _definitions(self, column: list[Any], below: list[Any]) -> None:
        self.numbers(array("q", map(self.define, column)))

    def _values(self, column: list[Any], below: list[Any]) -> None:
        if self._depth > _DEEPEST:
            raise FingerprintError("it contains itself, or is nested too deeply")
        if self._may_unfold(len(column)):
            self._each_once(column)
        else:
            self._others(column, below)

    def _others(self, column: list[Any], below: list[Any]) -> None:
        self.types.update(map(type, column))
        for value in column:
            head, children = open_value(value, self)
            self.write(_LEVEL.pack(0, len(children)))
            self.buffer(head)
            below.extend(children)


_Column: TypeAlias = Callable[[Walker, list[Any], list[Any]], None]
_COLUMNS: dict[int, _Column] = {
    TUPLE: Walker._tuples,
    LIST: Walker._lists,
    DICT: Walker._dicts,
    REFERENCE: Walker._references,
    DEFINITION: Walker._definitions,
    VALUE: Walker._values,
    OBJECT: Walker._others,
}


def _codes_of(level: Sequence[Any]) -> bytes:
    if len(level) > SLICE:
        return b"".join(map(_codes_of, slices(level)))
    return bytes(map(_code_of, map(type, level)))


def _extend(below: list[Any], containers: Sequence[Iterable[Any]]) -> None:
    if len(containers) > 1:
        for part in slices(containers):
            below.extend(chain.from_iterable(part))
    elif isinstance(containers[0], list | tuple):
        for part in slices(containers[0]):
            below.extend(part)
    else:
        below.extend(containers[0])
