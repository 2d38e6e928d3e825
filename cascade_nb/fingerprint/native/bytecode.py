"""What bytecode tells of paths, where there is no source."""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType

# What makes one text of several; so does an operator with a text that is written out.
_BUILDING = frozenset({"BUILD_STRING"})
_JOINING = frozenset({"join", "joinpath", "format", "with_suffix", "with_name", "with_stem"})


def names_in(code: CodeType) -> Iterator[str]:
    """All names and attributes in the code, that of inner functions included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def makes_paths(code: CodeType) -> bool:
    """Whether the code may make up paths: it joins texts."""
    if not _JOINING.isdisjoint(names_in(code)):
        return True
    before = None
    for step in dis.get_instructions(code):
        if step.opname in _BUILDING:
            return True
        if step.opname == "BINARY_OP" and (isinstance(before, str) or _is_format(code)):
            return True
        before = step.argval if step.opname == "LOAD_CONST" else None
    return any(makes_paths(inner) for inner in code.co_consts if isinstance(inner, CodeType))


def _is_format(code: CodeType) -> bool:
    return any(isinstance(text, str) and "%" in text for text in code.co_consts)
