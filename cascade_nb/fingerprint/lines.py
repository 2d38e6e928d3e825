"""Which lines of a piece of code differ from those that it had before.

Of each line a short digest of what begins on it is enough, so that no source has to be kept.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeAlias

from blake3 import blake3

from cascade_nb.fingerprint.normal import is_constant

# The number of each line on which code begins, and a digest of that.
Lines: TypeAlias = Sequence[tuple[int, str]]

_DIGEST_LENGTH = 8
_SHOWN = 3


def lines_of(tree: ast.AST) -> list[tuple[int, str]]:
    """The lines of some code; comments and statements of a mere constant are on none."""
    words: dict[int, list[str]] = {}
    for line, word in _words(tree):
        words.setdefault(line, []).append(word)
    return [
        (line, blake3("\0".join(found).encode("utf-8", "surrogatepass")).hexdigest(_DIGEST_LENGTH))
        for line, found in sorted(words.items())
    ]


def _words(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What each node says by itself, where it begins; without recursion, for trees may be deep."""
    waiting = [(tree, 1)]
    while waiting:
        node, line = waiting.pop()
        if isinstance(node, ast.stmt) and is_constant(node):
            continue
        line = getattr(node, "lineno", line)
        own = [type(node).__name__]
        inner: list[tuple[ast.AST, int]] = []
        for name, value in ast.iter_fields(node):
            parts = value if isinstance(value, list) else [value]
            for part in parts:
                if isinstance(part, ast.AST):
                    inner.append((part, line))
                elif part is not None:
                    own.append(f"{name}={type(part).__name__} {part!r}")
        yield line, " ".join(own)
        waiting += reversed(inner)


def changed_lines(before: Lines, after: Lines) -> str:
    """The lines that differ, in words: "line 3", "lines 3, 4"; empty where it cannot be told.

    Numbers are those of the code as it is now; of what is gone, that of the line after it.
    """
    if not before or not after:
        return ""
    matcher = SequenceMatcher(None, [d for _, d in before], [d for _, d in after], autojunk=False)
    numbers: list[int] = []
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind != "equal":
            numbers += [number for number, _ in after[start : max(end, start + 1)]]
    if not numbers:
        return f"line {after[-1][0]}" if len(before) > len(after) else ""
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    if len(numbers) > _SHOWN:
        return f"lines {shown} and {len(numbers) - _SHOWN} more"
    return f"line{'s' if len(numbers) > 1 else ''} {shown}"
