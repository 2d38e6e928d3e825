"""The texts that a computation names: constants of its code and values it was given.

Any of them may be the path of a file that native code opens unseen; those that are `Given` to a
native reader may be of a folder, a pattern, or of what does not exist.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from cascade_nb.fingerprint.native.computation import Computed, Given
from cascade_nb.fingerprint.native.urls import local_paths
from cascade_nb.fingerprint.paths import attributes

if TYPE_CHECKING:
    from cascade_nb.fingerprint.native.reading import Reading

__all__ = ["Computed", "Given", "texts_of"]

# A path is not longer, and one that is given with thousands of others is data.
_LONGEST = 4096
_MOST_PARTS = 1000
_DEEPEST = 3
_CONTAINERS: tuple[Any, ...] = (list, tuple, set, frozenset)


def texts_of(
    codes: Iterable[CodeType],
    values: Mapping[str, Any],
    tree: ast.AST | None = None,
    *,
    reading: Reading | None = None,
) -> tuple[str, ...]:
    """Texts that may be paths, in code objects, in values by label, and in a cell's tree.

    Each is there once; those that a native reader may be given, which `reading` tells, are
    instances of `Given`.
    """
    found: dict[str, None] = {}
    for code in codes:
        found.update(dict.fromkeys(_in_code(code)))
    if tree is not None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant):
                found.update(dict.fromkeys(_in_value(node.value, 0)))
    for value in values.values():
        found.update(dict.fromkeys(_in_value(value, 0)))
    given = [] if reading is None else reading.given(found.keys(), values)
    for text in given:
        found.pop(text, None)
    return (*found, *given)


def _in_code(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _in_code(constant)
        else:
            yield from _in_value(constant, 0)


def _in_value(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        if 0 < len(value) <= _LONGEST and "\0" not in value and "\n" not in value:
            yield from local_paths(value)
    elif isinstance(value, os.PathLike):
        yield from _in_path(value)
    elif depth < _DEEPEST:
        for part in _parts_of(value):
            yield from _in_value(part, depth + 1)


def _parts_of(value: Any) -> Iterable[Any]:
    """What a container or an instance holds, asked of Python and not of a class of the user's."""
    for kind in _CONTAINERS:
        if isinstance(value, kind):
            return kind.__iter__(value) if kind.__len__(value) <= _MOST_PARTS else ()
    if isinstance(value, dict):
        few = dict.__len__(value) <= _MOST_PARTS
        return chain(dict.keys(value), dict.values(value)) if few else ()
    if isinstance(value, type | ModuleType):
        return ()
    return islice((held for _, held in attributes(value)), _MOST_PARTS)


def _in_path(value: os.PathLike[Any]) -> Iterator[str]:
    try:
        path = os.fspath(value)
    except Exception:
        return  # A class of the user's may say it is a path and not be one.
    if isinstance(path, str):
        yield path
