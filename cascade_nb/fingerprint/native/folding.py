"""Computing beforehand what a run would compute of paths and texts: joining, formatting, listing.

Only operations of builtin types and of the standard library, on plain values: no code of the
user's runs, and nothing large is made.
"""

from __future__ import annotations

import ast
import datetime
import glob
import os
import pathlib
import re
from collections.abc import Callable
from typing import Any

from cascade_nb.fingerprint.native.possible import (
    MOST,
    NOTHING,
    Arguments,
    Fresh,
    Items,
    Made,
    Pattern,
    Row,
    Table,
    Term,
    Values,
    combined,
    is_path,
    is_plain,
    of,
    union,
    unknown,
)

_LONGEST = 4096
_ITERATED = (list, tuple, set, frozenset, range, dict)
_WIDE = re.compile(r"\d{4}")


def text_of(thing: Any) -> str:
    """A path as a text; an error for anything else."""
    return thing if isinstance(thing, str) else os.fspath(thing)


def _in_pattern(thing: Any) -> str:
    return thing.text if isinstance(thing, Pattern) else glob.escape(text_of(thing))


def joined(*parts: Any) -> Values:
    """Parts of a path, one below the other."""
    if any(isinstance(part, Pattern) for part in parts):
        return of(Pattern(os.path.join(*map(_in_pattern, parts))))
    return of(os.path.join(*map(text_of, parts)))


def concatenated(*parts: Any) -> Values:
    """Texts, one after the other."""
    if any(isinstance(part, Pattern) for part in parts):
        return of(Pattern("".join(map(_in_pattern, parts))))
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
    if texts and len(texts[0]) * max(numbers, default=0) > _LONGEST:
        return unknown()
    return left * right


def _remainder(left: Any, right: Any) -> Any:
    if isinstance(left, str) and _WIDE.search(left):
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
        if _WIDE.search(how):
            return unknown(line)
        if conversion > 0:
            thing = _CONVERSIONS[conversion](thing)
        return format(thing, how)

    return combined(shown, line, value, specification)


# What collections hold


def items_of(values: Values, line: int) -> Values:
    """What iterating gives."""
    found = [_items_of(thing, line) for thing in values.known]
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


def _items_of(thing: Any, line: int) -> Values:
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


def held_in(values: Values, line: int) -> Values:
    """What a collection holds: of a dict, its values."""
    found = [_values_in(thing, line) for thing in values.known]
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
            found.append(_items_of(thing, line))
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


def subscript(values: Values, key: Values, line: int) -> Values:
    """What indexing gives; of an unknown key, any of the items."""
    found = [_at(thing, key, line) for thing in values.known]
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


def _at(thing: Any, key: Values, line: int) -> Values:
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
            found.append(of(Items(_items_of(thing, line))))
        else:
            found.append(unknown(line))
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)


# Functions by the names that they count by


def _path(*parts: Any) -> Values:
    if len(parts) == 1 and isinstance(parts[0], Pattern):
        return of(parts[0])
    if any(isinstance(part, Pattern) for part in parts):
        return joined(*parts)
    return of(pathlib.Path(*parts))


def _same(thing: Any) -> Any:
    return of(thing)


def _str(thing: Any = "") -> Any:
    return of(thing) if isinstance(thing, Pattern) else str(thing)


def _globbed(pattern: Any, *_: Any) -> Values:
    return of(pattern if isinstance(pattern, Pattern) else Pattern(text_of(pattern)))


def _listed(folder: Any = ".") -> Values:
    return of(Pattern(os.path.join(_in_pattern(folder), "*")))


def _below(folder: Any) -> Values:
    return of(Pattern(os.path.join(_in_pattern(folder), "**")))


def _within(folder: Any, pattern: Any) -> Values:
    return of(Pattern(os.path.join(_in_pattern(folder), text_of(pattern))))


def _getenv(name: Any, default: Any = None) -> Any:
    return os.environ.get(name, default)


def _without_pattern(function: Callable[..., Any]) -> Callable[..., Any]:
    def folded(*parts: Any) -> Any:
        return unknown() if any(isinstance(p, Pattern) for p in parts) else function(*parts)

    return folded


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "os.path.join": joined,
    "os.fspath": _same,
    "os.fsdecode": _same,
    "os.getcwd": os.getcwd,
    "os.getenv": _getenv,
    "builtins.str": _str,
    "pathlib.cwd": pathlib.Path.cwd,
    "pathlib.home": pathlib.Path.home,
    "datetime.date": datetime.date,
    "datetime.datetime": datetime.datetime,
    "datetime.timedelta": datetime.timedelta,
    "datetime.date.fromisoformat": datetime.date.fromisoformat,
    "datetime.datetime.fromisoformat": datetime.datetime.fromisoformat,
    "datetime.datetime.strptime": datetime.datetime.strptime,
    **{
        f"os.path.{name}": _without_pattern(getattr(os.path, name))
        for name in ("normpath", "dirname", "basename", "splitext", "abspath", "realpath")
    },
    "os.path.expanduser": _without_pattern(os.path.expanduser),
    "os.path.relpath": _without_pattern(os.path.relpath),
    **{
        f"builtins.{function.__name__}": _without_pattern(function)
        for function in (int, float, bool, repr, len, abs, round, ord, chr, min, max)
    },
    **{
        f"pathlib.{name}": _path
        for name in ("Path", "PurePath", "PosixPath", "PurePosixPath", "WindowsPath")
    },
}
_LISTINGS: dict[str, Callable[..., Values]] = {
    "glob.glob": _globbed,
    "glob.iglob": _globbed,
}
_SAME_ITEMS = frozenset(
    ["sorted", "list", "set", "frozenset", "reversed", "iter", "filter", "next", "tuple"]
)
_OF_ITEMS = frozenset({"builtins.max", "builtins.min", "random.choice"})
_MODULES = {"posixpath": "os.path", "ntpath": "os.path", "genericpath": "os.path", "posix": "os"}


def plain_name(name: str) -> str:
    """The name under which people know a function of the standard library."""
    module, _, attribute = name.rpartition(".")
    home = _MODULES.get(module, module)
    return f"{'pathlib' if home.startswith('pathlib') else home}.{attribute}"


def function_result(name: str, arguments: Arguments, line: int) -> Values | None:
    """What a function of the standard library gives; None where this is not known here."""
    name = plain_name(name)
    positional = arguments.positional
    if arguments.rest is not None:
        positional = [*positional, arguments.rest] if name.startswith("os.path.join") else []
        if not positional:
            return None
    if name in _OF_ITEMS and len(positional) == 1:
        return items_of(positional[0], line)  # the latest of some files
    function = _FUNCTIONS.get(name)
    if function is not None:
        return None if arguments.keywords else combined(function, line, *positional)
    if name in _LISTINGS and positional:
        found = positional[0]
        if "root_dir" in arguments.keywords:
            found = combined(_within, line, arguments.keywords["root_dir"], found)
        return of(Items(combined(_LISTINGS[name], line, found)))
    if name == "os.listdir":
        # Only names: whoever joins them to the folder makes a path of them.
        return of(Items(of(Pattern("*"))))
    if name == "os.scandir":
        return of(Items(combined(_listed, line, *positional)))
    if name == "os.walk" and positional:
        folders, names = combined(_below, line, positional[0]), of(Items(of(Pattern("*"))))
        return of(Items(of(Row((folders, names, names)))))
    module, _, builtin = name.partition(".")
    return _builtin(builtin, positional, line) if module in ("builtins", "itertools") else None


def _builtin(name: str, positional: list[Values], line: int) -> Values | None:
    if name == "range":
        return combined(_range, line, *positional)
    if name == "next" and positional:
        return union([items_of(positional[0], line), *positional[1:]])
    if name in _SAME_ITEMS:
        taken = positional[-1:] if name == "filter" else positional[:1]
        return of(Items(union(items_of(values, line) for values in taken)))
    if name == "enumerate" and positional:
        return of(Items(of(Row((unknown(line), items_of(positional[0], line))))))
    if name == "zip":
        return of(Items(of(Row(tuple(items_of(values, line) for values in positional)))))
    if name == "dict" and len(positional) == 1:
        return positional[0]
    if name in ("chain", "product"):
        items = [items_of(values, line) for values in positional]
        return of(Items(union(items) if name == "chain" else of(Row(tuple(items)))))
    return None


def _range(*bounds: int) -> Values:
    found = range(*bounds)
    return of(found) if len(found) <= MOST else unknown()


# Methods of plain values

_TEXT_METHODS = frozenset(
    [
        *("strip", "lstrip", "rstrip", "lower", "upper", "title", "capitalize", "casefold"),
        *("replace", "removeprefix", "removesuffix", "zfill", "swapcase", "split", "rsplit"),
        *("partition", "rpartition", "splitlines"),
    ]
)
_PATH_METHODS = frozenset(
    [
        *("joinpath", "with_suffix", "with_name", "with_stem", "resolve", "absolute"),
        *("expanduser", "as_posix", "as_uri", "relative_to", "with_segments", "__str__"),
        *("__fspath__", "is_absolute"),
    ]
)
_PATH_ATTRIBUTES = frozenset({"name", "stem", "suffix", "parent", "parts", "parents", "suffixes"})
_DATE_METHODS = frozenset({"isoformat", "strftime", "date", "time", "weekday", "isoweekday"})
_DATE_ATTRIBUTES = frozenset({"year", "month", "day", "hour", "minute", "second"})
_LISTING_METHODS = frozenset({"glob", "rglob", "iterdir"})
READING = frozenset({"read_bytes", "encode", "open", "getbuffer", "tobytes", "getvalue"})


def plain_method(thing: Any, name: str, arguments: Arguments, line: int) -> Values:
    """What a method of a plain value or a collection gives."""
    if name in READING:
        return of(Made(name))
    if isinstance(thing, Fresh):
        return of(thing)
    if is_collection(thing):
        return _collection_method(thing, name, arguments, line)
    positional = arguments.positional
    if arguments.rest is not None or (isinstance(thing, Pattern) and name not in _LISTING_METHODS):
        return _pattern_method(thing, name, positional, line)
    if name == "format" and isinstance(thing, str):
        return _format(thing, arguments, line)
    if name == "join" and isinstance(thing, str):
        return _join(thing, positional, line)
    if name in _LISTING_METHODS:
        return of(Items(_listing(thing, name, positional, line)))
    allowed = (
        (isinstance(thing, str) and name in _TEXT_METHODS)
        or (is_path(thing) and name in _PATH_METHODS)
        or (name in _DATE_METHODS and hasattr(thing, name))
    )
    if not allowed or arguments.keywords:
        return unknown(line)

    def called(*parts: Any) -> Any:
        if any(isinstance(part, int) and abs(part) > _LONGEST for part in parts):
            return unknown(line)
        if name == "joinpath":
            return joined(thing, *parts)
        return getattr(thing, name)(*parts)

    return combined(called, line, *positional)


def _pattern_method(thing: Any, name: str, positional: list[Values], line: int) -> Values:
    if not isinstance(thing, Pattern):
        return unknown(line)
    if name == "joinpath":
        return combined(joined, line, of(thing), *positional)
    same = name in ("resolve", "absolute", "expanduser", "as_posix", "__str__", "__fspath__")
    return of(thing) if same else unknown(line)


def _listing(thing: Any, name: str, positional: list[Values], line: int) -> Values:
    if name == "iterdir":
        return _listed(thing)
    depth = ("**",) if name == "rglob" else ()

    def below(pattern: Any) -> Values:
        return of(Pattern(os.path.join(_in_pattern(thing), *depth, text_of(pattern))))

    return combined(below, line, *positional[:1])


def _format(text: str, arguments: Arguments, line: int) -> Values:
    names = tuple(arguments.keywords)
    count = len(arguments.positional)
    if _WIDE.search(text) or arguments.others is not None:
        return unknown(line)

    def filled(*parts: Any) -> Any:
        if any(isinstance(part, Pattern) for part in parts):
            return unknown(line)
        return text.format(*parts[:count], **dict(zip(names, parts[count:], strict=True)))

    return combined(filled, line, *arguments.positional, *arguments.keywords.values())


def _join(text: str, positional: list[Values], line: int) -> Values:
    found: list[Values] = []
    for thing in positional[0].known if positional else ():
        if isinstance(thing, Row):
            found.append(combined(lambda *parts: text.join(parts), line, *thing.parts))
        elif isinstance(thing, list | tuple):
            found.append(combined(lambda *parts: text.join(parts), line, *map(of, thing)))
        else:
            found.append(unknown(line))
    if not positional or positional[0].unknown is not None:
        found.append(unknown(line))
    return union(found)


def _collection_method(thing: Any, name: str, arguments: Arguments, line: int) -> Values:
    values = _values_in(thing, line)
    if name == "items":
        if isinstance(thing, dict) and len(thing) <= MOST:
            return of(list(dict.items(thing)))
        return of(Items(of(Row((_items_of(thing, line), values)))))
    if name == "keys":
        return of(Items(_items_of(thing, line)))
    if name == "values":
        return of(Items(values))
    if name == "copy":
        return of(thing)
    if name in ("get", "pop", "setdefault"):
        default = arguments.positional[1:] or [of(None)]
        if not arguments.positional:
            return values
        return union([_at(thing, arguments.positional[0], line), *default])
    if name == "popitem":
        return of(Row((_items_of(thing, line), values)))
    return unknown(line)


def _values_in(thing: Any, line: int) -> Values:
    match thing:
        case Table(fields=fields):
            return union(fields.values())
        case Items(values=values):
            return values
        case dict():
            return of(*dict.values(thing)) if len(thing) <= MOST else unknown(line)
    return _items_of(thing, line)


def plain_attribute(thing: Any, name: str, line: int) -> Values:
    """What an attribute of a plain value gives."""
    if isinstance(thing, Fresh):
        return of(thing)
    if isinstance(thing, Pattern):
        head, tail = os.path.split(thing.text)
        if name == "name":
            return of(Pattern(tail))
        if name == "path":
            return of(thing)
        if name == "parent":
            return of(Pattern(head) if glob.has_magic(head) else pathlib.Path(head))
        return unknown(line)
    if is_path(thing):
        return of(getattr(thing, name)) if name in _PATH_ATTRIBUTES else NOTHING
    if name in _DATE_ATTRIBUTES and hasattr(thing, name):
        return of(getattr(thing, name))
    return NOTHING
