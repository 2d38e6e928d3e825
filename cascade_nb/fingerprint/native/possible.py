"""What an expression may give when it runs, as far as that can be told beforehand.

`Values` are the possible results, each a live object, which is never changed nor asked to run code
of its own, or a `Term` for what is only made in the run. They are all of them, unless something
`unknown` is possible too.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import PurePath
from typing import Any, NamedTuple

MOST = 1000
_SCALARS = frozenset({str, bytes, int, float, bool, type(None)})
_DATES = (datetime.date, datetime.timedelta)


class Values(NamedTuple):
    """Possible results; `unknown` is the line at which something unknown came in, or None."""

    known: tuple[Any, ...] = ()
    unknown: int | None = None

    @property
    def marks(self) -> tuple[Any, ...]:
        """What is equal for equal possibilities."""
        return (*map(mark, self.known), self.unknown is None)


NOTHING = Values()


def unknown(line: int = 0) -> Values:
    """Anything at all, from `line` on."""
    return Values((), line)


def of(*things: Any) -> Values:
    """One of these, for certain."""
    return Values(things)


def union(several: Iterable[Values]) -> Values:
    """What any of `several` may be."""
    found: dict[Any, Any] = {}
    line: int | None = None
    for values in several:
        for thing in values.known:
            found.setdefault(mark(thing), thing)
        if values.unknown is not None:
            line = line or values.unknown
        if len(found) > MOST:
            return unknown(line or 0)
    return Values(tuple(found.values()), line)


class Term:
    """Something that the run makes."""

    __slots__ = ()

    def mark(self) -> Any:
        """What is equal for terms that mean the same."""
        return id(self)


@dataclass(frozen=True, slots=True, eq=False)
class Items(Term):
    """A collection or iterator of these values, in whatever order and number; with keys, a dict.

    `origin` tells where in the code it is made.
    """

    values: Values
    keys: Values = NOTHING
    origin: int = 0

    def mark(self) -> Any:  # noqa: D102
        return "items", self.values.marks, self.keys.marks, self.origin


@dataclass(frozen=True, slots=True, eq=False)
class Row(Term):
    """A tuple or list of so many parts."""

    parts: tuple[Values, ...]
    origin: int = 0

    def mark(self) -> Any:  # noqa: D102
        return "row", self.origin, *(part.marks for part in self.parts)


@dataclass(frozen=True, slots=True, eq=False)
class Table(Term):
    """A dict with these texts as keys."""

    fields: Mapping[str, Values]
    origin: int = 0

    def mark(self) -> Any:  # noqa: D102
        return "table", self.origin, *((name, values.marks) for name, values in self.fields.items())


@dataclass(frozen=True, slots=True)
class Named(Term):
    """Installed code by its dotted name, perhaps not loaded yet."""

    name: str

    def mark(self) -> Any:  # noqa: D102
        return "named", self.name


@dataclass(frozen=True, slots=True)
class Made(Term):
    """What installed code of that name gives: no path, nor anything to know more of."""

    name: str

    def mark(self) -> Any:  # noqa: D102
        return "made", self.name


@dataclass(frozen=True, slots=True)
class Fresh(Term):
    """A path in a place that is made in the run, or a place for such."""

    def mark(self) -> Any:  # noqa: D102
        return "fresh"


@dataclass(frozen=True, slots=True)
class Pattern(Term):
    """The path of any of the files that a pattern stands for."""

    text: str

    def mark(self) -> Any:  # noqa: D102
        return "pattern", self.text


@dataclass(frozen=True, slots=True, eq=False)
class Instance(Term):
    """An instance of a class of the user's, made in the run from what `made_of` marks."""

    cls: type | LocalClass
    made_of: Any

    def mark(self) -> Any:  # noqa: D102
        return "instance", mark(self.cls), self.made_of


@dataclass(frozen=True, slots=True, eq=False)
class Local(Term):
    """A function that the code defines in `frame`."""

    node: Any
    frame: Any

    def mark(self) -> Any:  # noqa: D102
        return "local", id(self.node), id(self.frame)


@dataclass(frozen=True, slots=True, eq=False)
class LocalClass(Term):
    """A class that the code defines in `frame`."""

    node: Any
    frame: Any

    def mark(self) -> Any:  # noqa: D102
        return "class", id(self.node), id(self.frame)


def mark(thing: Any) -> Any:
    """What is equal for things that are the same to all that is asked here."""
    if type(thing) in _SCALARS:
        return type(thing), thing
    if isinstance(thing, Term):
        return thing.mark()
    if isinstance(thing, PurePath):
        return type(thing), str(thing)
    return id(thing)


def is_plain(thing: Any) -> bool:
    """Whether a live object may be computed with: no code of the user's would run."""
    return type(thing) in _SCALARS or is_path(thing) or type(thing) in _DATES or _is_date(thing)


def is_path(thing: Any) -> bool:
    """Whether it is one of pathlib's own."""
    return isinstance(thing, PurePath) and type(thing).__module__.startswith("pathlib")


def _is_date(thing: Any) -> bool:
    return type(thing) in (datetime.datetime, datetime.time)


def combined(function: Callable[..., Any], line: int, *operands: Values) -> Values:
    """`function` of every combination of plain operands; what is fresh stays so."""
    if any(operand.unknown is not None for operand in operands):
        return unknown(next((o.unknown for o in operands if o.unknown), line))
    count = 1
    for operand in operands:
        count *= len(operand.known)
    if count > MOST:
        return unknown(line)
    results: list[Values] = []
    for parts in product(*(operand.known for operand in operands)):
        if any(isinstance(part, Fresh) for part in parts):
            results.append(of(Fresh()))
        elif not all(is_plain(part) or isinstance(part, Pattern) for part in parts):
            return unknown(line)
        else:
            try:
                result = function(*parts)
            except Exception:  # noqa: S112 - an error that the run meets as well
                continue
            results.append(result if isinstance(result, Values) else of(result))
    return union(results)


def path_text(thing: Any) -> str | None:
    """The path that a live object stands for; None: it is none."""
    if isinstance(thing, str):
        return thing
    if isinstance(thing, os.PathLike):
        try:
            path = os.fspath(thing)
        except Exception:
            return None  # A class of the user's may say it is a path and not be one.
        return path if isinstance(path, str) else None
    return None
