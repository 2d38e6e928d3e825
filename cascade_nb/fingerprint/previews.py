"""Short texts about values, for people; they never leave the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

from cascade_nb.wording import ShortRepr

_LENGTH = 80
# Of a container this many items are judged, which is more than are shown.
_LOOKED_AT = 20
_SECRET = re.compile(
    r"secret|token|passw|pwd|api_?key|access_?key|credential|auth|private|cookie|bearer|_key$"
    r"|^key$|dsn|conn(ection)?_?str",
    re.IGNORECASE,
)
_CREDENTIALS = re.compile(r"://[^/\s@]+@")
_SHOWN_TYPES = (
    int,
    float,
    complex,
    bool,
    str,
    bytes,
    type(None),
    list,
    tuple,
    dict,
    set,
    frozenset,
)

_short = ShortRepr()
_short.maxstring = _short.maxother = _LENGTH
_short.maxlevel = 3


def looks_secret(name: str) -> bool:
    """Whether a name is one that people give to secrets."""
    return bool(_SECRET.search(name))


def of_values(values: Mapping[str, Any]) -> dict[str, str]:
    """Short texts of values by label; none for labels and contents that look like secrets."""
    shown = {}
    for label, value in values.items():
        if not looks_secret(label):
            text = _preview(value)
            if text is not None:
                shown[label] = text
    return shown


def _preview(value: Any) -> str | None:
    if type(value) not in _SHOWN_TYPES:
        return _outline(value)
    if _holds_secret(value, 3):
        return None
    text = _repr(value)
    if _CREDENTIALS.search(text):
        return None
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."


def _repr(value: Any) -> str:
    if _is_plain(value, 3):
        return " ".join(_short.repr(value).split())
    # The repr of anything else is the user's code, and may be slow or worse.
    return f"{type(value).__name__} of {len(value)}"


def _is_plain(value: Any, depth: int) -> bool:
    if type(value) not in _SHOWN_TYPES:
        return False
    if isinstance(value, dict):
        items = [*islice(value, _LOOKED_AT), *islice(value.values(), _LOOKED_AT)]
    elif isinstance(value, list | tuple | set | frozenset):
        items = list(islice(value, _LOOKED_AT))
    else:
        return True
    return depth > 0 and all(_is_plain(item, depth - 1) for item in items)


def _holds_secret(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        names, parts = islice(value, _LOOKED_AT), islice(value.values(), _LOOKED_AT)
        named = any(isinstance(name, str) and looks_secret(name) for name in names)
        return named or (depth > 0 and any(_holds_secret(part, depth - 1) for part in parts))
    if isinstance(value, list | tuple):
        return depth > 0 and any(_holds_secret(item, depth - 1) for item in value[:_LOOKED_AT])
    return False


def _outline(value: Any) -> str | None:
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")
    shape = getattr(value, "shape", None) if cls.__module__ != "__main__" else None
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return f"{name} of shape {shape}"[:_LENGTH]
    return name[:_LENGTH]
