"""SQL that is known beforehand: the files and frames that it names."""

from __future__ import annotations

import ast
import re
from collections.abc import Set
from typing import TYPE_CHECKING, Any

from cascade_nb.fingerprint.native.urls import is_remote

if TYPE_CHECKING:
    from cascade_nb.fingerprint.native.runs import Frame

_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_CALLED = re.compile(
    r"\b(?:read|scan|glob|parquet|attach)\w*\s*\(?\s*\[?\s*'([^']*)'", re.IGNORECASE
)
_ATTACH = re.compile(r"\battach\b", re.IGNORECASE)
_ATTACHED = re.compile(r"\battach\s+(?:database\s+)?(['\"])(.*?)\1", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d]\w*")
_SUFFIX = re.compile(r"\.[^\W\d]\w{0,15}$")
_FRAMES = frozenset({"polars", "pandas", "pyarrow", "numpy", "duckdb", "_duckdb"})


def paths_in(sql: str) -> list[str]:
    """The texts in quotes that may be paths."""
    quoted = [one or other for one, other in _QUOTED.findall(sql)]
    paths = [text for text in quoted if "/" in text or "*" in text or _SUFFIX.search(text)]
    return [text for text in {*paths, *_CALLED.findall(sql)} if text or is_remote(text)]


def attached(sql: str) -> list[str] | None:
    """The databases that SQLite attaches; None where it is not told which."""
    found = [path for _, path in _ATTACHED.findall(sql)]
    if len(found) < len(_ATTACH.findall(sql)):
        return None
    return [path for path in found if path not in ("", ":memory:")]


def speaks_of_attaching(node: ast.AST) -> bool:
    """Whether a text in the code has the word."""
    texts = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return any(isinstance(text, str) and _ATTACH.search(text) for text in texts)


def reads_frame(sql: str, frame: Frame, labels: Set[str]) -> bool:
    """Whether SQL names a frame outside of the function, by a name that no part of the key has."""
    for name in set(_WORD.findall(_QUOTED.sub(" ", sql))):
        if f"global {name}" in labels or f"closure {name}" in labels:
            continue
        if name not in frame.body.bindings and _is_frame(_outside(name, frame)):
            return True
    return False


def _outside(name: str, frame: Frame) -> Any:
    around: Frame | None = frame
    while around is not None:
        if name in around.closure:
            return around.closure[name]
        around = around.around
    return frame.namespace.get(name)


def _is_frame(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] in _FRAMES
