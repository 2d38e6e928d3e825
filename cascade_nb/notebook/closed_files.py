"""Files that a cell has opened and closed: ``with open(path) as f`` leaves such a name behind.

Nothing is left in them but how they were opened, so that is what is kept of them.
"""

from __future__ import annotations

import io
import os
from typing import Any

_BUFFERED = (io.BufferedReader, io.BufferedWriter, io.BufferedRandom)


def how_opened(value: Any) -> list[str] | None:
    """The name, mode and encoding of a closed file; None for anything else."""
    kind = type(value)
    if kind not in (io.TextIOWrapper, *_BUFFERED) or not value.closed:
        return None
    if kind is io.TextIOWrapper and type(value.buffer) not in _BUFFERED:
        return None  # Around something else, such as a compressed file.
    name, mode = getattr(value, "name", None), getattr(value, "mode", None)
    if not isinstance(name, str) or not isinstance(mode, str):
        return None
    return [name, mode, *((value.encoding, value.errors) if kind is io.TextIOWrapper else ())]


def closed_file(name: str, mode: str, *encoding: str) -> Any:
    """A closed file that says it was opened like that; `name` itself is not opened."""
    kept: dict[str, Any] = dict(zip(("encoding", "errors"), encoding, strict=False))
    opened: Any = open
    with opened(os.devnull, mode.replace("x", "w"), **kept) as file:
        buffer = getattr(file, "buffer", file)
        buffer.raw.name = name
        if file is not buffer:
            file.mode = mode
    return file
