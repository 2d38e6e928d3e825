"""Computing beforehand what a run would compute of paths and texts: joining, formatting, listing.

Only operations of builtin types and of the standard library, on plain values: no code of the
user's runs, and nothing large is made.
"""

from __future__ import annotations

import ast
import glob
import os
import re
from collections.abc import Callable
from typing import Any

from cascade_nb.fingerprint.native.possible import (
    MOST,
    NOTHING,
    Fresh,
    Items,
    Pattern,
    Row,
    Table,
    Term,
    Values,
    combined,
    is_plain,
    of,
    union,
    unknown,
)

LONGEST = 4096
_ITERATED = (list, tuple, set, frozenset, range, dict)
WIDE = re.compile(r"\d{4}")


def text_of(thing: Any) -> str:
    """A path as a text; an error for anything else."""
    return thing if isinstance(thing, str) else os.fspath(thing)


def in_pattern(thing: Any) -> str:
    """A path as a pattern, which it may be already."""
    return thing.text if isinstance(thing, Pattern) else glob.escape(text_of(thing))


def joined(*parts: Any) -> Values:
    """Parts of a path, one below the other."""
    if any(isinstance(part, Pattern) for part in parts):
        return of(Pattern(os.path.join(*map(in_pattern, parts))))
    return of(os.path.join(*map(text_of, parts)))


def concatenated(*parts: Any) -> Values:
    """Texts, one after the other."""
    if any(isinstance(part, Pattern) for part in parts):
        return of(Pattern("".join(map(in_pattern, parts))))
    return of("".join(map(str, parts)))


def _divided(left: Any, right: Any) -> Values:
    if isinstance(left, Pattern) or isinstance(right, Pattern):
        return joined(left, right)
    return of(left / right)


def _added(left: Any, right: Any) -> Values:
    if isinstance(left, Pattern) or isinstance(right, Pattern):
        return concatenated(left, right)
    return of(left + right)


def _times(left: Any, right: Any) -> Any:
    texts = [side for side in (left, right) if isinstance(side, str | bytes)]
    numbers = [side for side in (left, right) if isinstance(side, int)]
    if texts and len(texts[0]) * max(numbers, default=0) > LONGEST:
        return unknown()
    return left * right


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, str) and WIDE.search(left):
        return unknown()
    return left % right


_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _added,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: _times,
    ast.Div: _divided,
    ast.FloorDiv: lambda left, right: left // right,
    ast.Mod: _remainder,
}


def operation(operator: ast.operator, left: Values, right: Values, line: int) -> Values:
    """What a binary operator gives."""
    function = _OPERATORS.get(type(operator))
    if function is None:
        return unknown(line)
    if isinstance(operator, ast.Mod) and any(isinstance(t, Row | Table) for t in right.known):
        return union(_percent(left, thing, line) for thing in right.known)
    if isinstance(operator, ast.Add) and any(map(is_collection, (*left.known, *right.known))):
        return of(Items(union([items_of(left, line), items_of(right, line)])))
    return combined(function, line, left, right)


def is_collection(thing: Any) -> bool:
    """Whether it holds items and is no text."""
    return isinstance(thing, (Items, Row, Table, *_ITERATED)) or thing is os.environ


def _percent(left: Values, right: Any, line: int) -> Values:
    if isinstance(right, Row):
        return combined(lambda text, *parts: _remainder(text, parts), line, left, *right.parts)
    if isinstance(right, Table):
        names = tuple(right.fields)

        def filled(text: str, *parts: Any) -> Any:
            return _remainder(text, dict(zip(names, parts, strict=True)))

        return combined(filled, line, left, *right.fields.values())
    return combined(_remainder, line, left, of(right))


_CONVERSIONS: dict[int, Callable[[Any], str]] = {ord("r"): repr, ord("s"): str, ord("a"): ascii}


def formatted(value: Values, conversion: int, specification: Values, line: int) -> Values:
    """One field of an f-string."""

    def shown(thing: Any, how: Any) -> Any:
        if isinstance(thing, Pattern):
            return unknown(line) if how or conversion > 0 else of(thing)
        if WIDE.search(how):
            return unknown(line)
        if conversion > 0:
            thing = _CONVERSIONS[conversion](thing)
        return format(thing, how)

    return combined(shown, line, value, specification)


# What collections hold


def items_of(values: Values, line: int) -> Values:
    """What iterating gives."""
    found = [items_in(thing, line) for thing in values.known]
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


def items_in(thing: Any, line: int) -> Values:
    """What iterating over one thing gives."""
    match thing:
        case Items(values=values, keys=keys):
            return keys if keys != NOTHING else values
        case Row(parts=parts):
            return union(parts)
        case Table(fields=fields):
            return of(*fields)
        case Fresh():
            return of(thing)
        case str():
            return Values(tuple(thing)) if len(thing) <= MOST else unknown(line)
    if isinstance(thing, Term):
        return unknown(line)
    if isinstance(thing, _ITERATED):
        return Values(tuple(thing)) if len(thing) <= MOST else unknown(line)
    return NOTHING if is_plain(thing) else unknown(line)


def values_in(thing: Any, line: int) -> Values:
    """What one collection holds: of a dict, its values."""
    match thing:
        case Table(fields=fields):
            return union(fields.values())
        case Items(values=values):
            return values
        case dict():
            return of(*dict.values(thing)) if len(thing) <= MOST else unknown(line)
    return items_in(thing, line)


def held_in(values: Values, line: int) -> Values:
    """What a collection holds: of a dict, its values."""
    found = [values_in(thing, line) for thing in values.known]
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


def part_of(values: Values, index: int, line: int) -> Values:
    """What unpacking gives at `index`."""
    found: list[Values] = []
    for thing in values.known:
        if isinstance(thing, Row):
            found += thing.parts[index : index + 1]
        elif isinstance(thing, list | tuple):
            found.append(of(*thing[index : index + 1]))
        else:
            found.append(items_in(thing, line))
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


def subscript(values: Values, key: Values, line: int) -> Values:
    """What indexing gives; of an unknown key, any of the items."""
    found = [at(thing, key, line) for thing in values.known]
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


def at(thing: Any, key: Values, line: int) -> Values:
    """What indexing one thing gives."""
    keys = key.known if key.unknown is None and all(map(is_plain, key.known)) else None
    match thing:
        case Table(fields=fields):
            if keys is None:
                return union(fields.values())
            return union(fields[name] for name in keys if name in fields)
        case Items(values=values):
            return values
        case Row(parts=parts):
            if keys is None:
                return union(parts)
            indices = [k for k in keys if type(k) is int and -len(parts) <= k < len(parts)]
            return union(parts[index] for index in indices)
        case Fresh():
            return of(thing)
    if isinstance(thing, Term):
        return unknown(line)
    if thing is os.environ:
        return unknown(line) if keys is None else of(*(thing[k] for k in keys if k in thing))
    if isinstance(thing, dict) and type(thing).__getitem__ is dict.__getitem__:
        if keys is not None:
            return of(*(dict.__getitem__(thing, k) for k in keys if dict.__contains__(thing, k)))
        return of(*dict.values(thing)) if len(thing) <= MOST else unknown(line)
    if isinstance(thing, list | tuple):
        if keys is None:
            return of(*thing) if len(thing) <= MOST else unknown(line)
        inside = [k for k in keys if type(k) is int and -len(thing) <= k < len(thing)]
        return of(*(thing[k] for k in inside))
    if isinstance(thing, str) and keys is not None:
        return combined(lambda text, k: text[k], line, of(thing), key)
    return unknown(line)


def sliced(values: Values, bounds: slice | None, line: int) -> Values:
    """What a slice gives; `bounds` is None where these are not known."""
    found: list[Values] = []
    for thing in values.known:
        if isinstance(thing, str | bytes):
            found.append(unknown(line) if bounds is None else of(thing[bounds]))
        elif isinstance(thing, list | tuple) and bounds is not None:
            found.append(of(list(thing[bounds])))
        elif is_collection(thing):
            found.append(of(Items(items_in(thing, line))))
        else:
            found.append(unknown(line))
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)
