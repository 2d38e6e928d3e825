"""The way to a value that has no fingerprint, found only once there is one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.columns import CODES
from cascade_nb.fingerprint.definitions import named_parts
from cascade_nb.fingerprint.opening import kind_of, open_value
from cascade_nb.fingerprint.walker import Impure, Walker

_LONGEST_KEY = 40


def find_culprit(root: object, path: str) -> tuple[str, object, str] | None:
    """Path, value and reason of the first thing in `root` that has no fingerprint.

    The walk itself keeps no paths, which would cost more than all the rest; so this one repeats
    it, value by value.
    """
    walker = Walker()
    seen: dict[int, object] = {}
    waiting: deque[tuple[object, str]] = deque([(root, path)])
    while waiting:
        value, here = waiting.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        try:
            waiting.extend(_children(value, here, walker))
        except FingerprintError as error:
            return here, value, str(error)
        except Impure:
            continue
    return None


def _children(value: Any, path: str, walker: Walker) -> Iterator[tuple[object, str]] | list[Any]:
    cls = type(value)
    if cls is tuple or cls is list:
        return [(child, f"{path}[{index}]") for index, child in enumerate(value)]
    if cls is dict:
        return _dict_children(value, path)
    if cls in CODES:
        return []
    if kind_of(cls) is None:
        return [(part, f"{path}.{label}") for label, part in named_parts(value)]
    _, children = open_value(value, walker)
    return _labelled(value, children, path)


def _dict_children(value: dict[Any, Any], path: str) -> list[tuple[object, str]]:
    keys = [(key, f"{path}.keys()") for key in value]
    return keys + [(child, f"{path}[{_shown(key)}]") for key, child in value.items()]


def _shown(key: object) -> str:
    if not isinstance(key, (str, int, float, bytes, type(None))):
        return "..."
    text = repr(key)
    return text if len(text) <= _LONGEST_KEY else "..."


def _labelled(value: object, children: Sequence[Any], path: str) -> Iterator[tuple[object, str]]:
    """Children with the attribute, key or place that they are found at, as far as that is seen."""
    names = {id(held): f".{name}" for name, held in attributes(value)}
    if isinstance(value, dict):
        names |= {id(held): f"[{_shown(key)}]" for key, held in dict.items(value)}
    elif isinstance(value, (list, tuple)):
        names |= {id(held): f"[{index}]" for index, held in enumerate(value)}
    for child in children:
        yield child, path + names.get(id(child), "")


def attributes(value: object) -> Iterator[tuple[str, object]]:
    """What an instance holds in its slots and `__dict__`, asked of Python and not of its class."""
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else tuple(slots):
            try:
                yield slot, object.__getattribute__(value, slot)
            except AttributeError:
                continue
    try:
        yield from list(object.__getattribute__(value, "__dict__").items())
    except AttributeError:
        return
