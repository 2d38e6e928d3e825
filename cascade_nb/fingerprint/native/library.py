"""What functions of the standard library and methods of plain values give, computed beforehand.

Of paths and texts: joining, formatting, listing. What a listing gives is a pattern.
"""

from __future__ import annotations

import datetime
import glob
import os
import pathlib
from collections.abc import Callable
from typing import Any

from cascade_nb.fingerprint.native.arguments import Arguments
from cascade_nb.fingerprint.native.folding import (
    LONGEST,
    WIDE,
    at,
    in_pattern,
    is_collection,
    items_in,
    items_of,
    joined,
    text_of,
    values_in,
)
from cascade_nb.fingerprint.native.possible import (
    MOST,
    NOTHING,
    Fresh,
    Items,
    Made,
    Pattern,
    Row,
    Values,
    combined,
    is_path,
    of,
    union,
    unknown,
)

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
    return of(Pattern(os.path.join(in_pattern(folder), "*")))


def _below(folder: Any) -> Values:
    return of(Pattern(os.path.join(in_pattern(folder), "**")))


def _within(folder: Any, pattern: Any) -> Values:
    return of(Pattern(os.path.join(in_pattern(folder), text_of(pattern))))


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
        if any(isinstance(part, int) and abs(part) > LONGEST for part in parts):
            return unknown(line)
        if any(isinstance(part, Pattern) for part in parts):
            return joined(thing, *parts) if name == "joinpath" else unknown(line)
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
        return of(Pattern(os.path.join(in_pattern(thing), *depth, text_of(pattern))))

    return combined(below, line, *positional[:1])


def _format(text: str, arguments: Arguments, line: int) -> Values:
    names = tuple(arguments.keywords)
    count = len(arguments.positional)
    if WIDE.search(text) or arguments.others is not None:
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
    values = values_in(thing, line)
    if name == "items":
        if isinstance(thing, dict) and len(thing) <= MOST:
            return of(list(dict.items(thing)))
        return of(Items(of(Row((items_in(thing, line), values)))))
    if name == "keys":
        return of(Items(items_in(thing, line)))
    if name == "values":
        return of(Items(values))
    if name == "copy":
        return of(thing)
    if name in ("get", "pop", "setdefault"):
        default = arguments.positional[1:] or [of(None)]
        if not arguments.positional:
            return values
        return union([at(thing, arguments.positional[0], line), *default])
    if name == "popitem":
        return of(Row((items_in(thing, line), values)))
    return unknown(line)


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
