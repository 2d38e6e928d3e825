"""From a code object to the piece of source that it was compiled from, or to None.

A file may have changed since it was imported, a cell may have been run again: source is believed
only if compiling it now gives the very code object that would run, positions apart.
"""

from __future__ import annotations
import __future__

import ast
import dis
import functools
import linecache
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, product
from types import CodeType
from typing import Any, TypeAlias

from cascade_nb.fingerprint.normal import constant, without_positions

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Piece:
    """The node a function was compiled from, and the name of the class around it, if any."""

    node: FunctionNode
    class_name: str | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    code: CodeType
    bare: CodeType
    piece: Piece


_FUTURE_FLAGS = functools.reduce(
    lambda flags, name: flags | getattr(__future__, name).compiler_flag,
    __future__.all_feature_names,
    0,
)


def find_source(code: CodeType) -> Piece | None:
    """The source of a function's code object, only if it is the source of what would run."""
    flags = code.co_flags & _FUTURE_FLAGS | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    bare = without_positions(code)
    for text, apart in product(_texts(code.co_filename), (False, True)):
        found = [
            candidate
            for candidate in _candidates(text, flags, apart=apart).get(code.co_name, ())
            if candidate.bare == bare
        ]
        if found:
            here = [c for c in found if c.code.co_firstlineno == code.co_firstlineno] or found
            exact = [c for c in here if c.code.co_linetable == code.co_linetable] or here
            return exact[0].piece
    return None


def _texts(filename: str) -> Iterator[str]:
    """What may be the source, the likeliest first: as remembered, as it is on disk now."""
    remembered = "".join(linecache.getlines(filename))
    if remembered:
        yield remembered
    if not filename.startswith("<"):
        linecache.checkcache(filename)
        current = "".join(linecache.getlines(filename))
        if current and current != remembered:
            yield current


@functools.lru_cache(maxsize=256)
def _candidates(text: str, flags: int, *, apart: bool) -> dict[str, list[_Candidate]]:
    """Every function in `text`, by name, compiled and as a tree.

    IPython compiles the statements of a cell each `apart`: then calls of what a cell itself imports
    are compiled in another way.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(plain_python(text))
            units = [ast.Module([s], []) for s in tree.body] if apart else [tree]
            modules = [compile(u, "<source>", "exec", flags, dont_inherit=True) for u in units]
    except (SyntaxError, ValueError, RecursionError):
        return {}
    pieces: dict[tuple[str, int], list[Piece]] = {}
    for piece in _pieces(tree):
        node = piece.node
        pieces.setdefault((_name(node), _first_line(node)), []).append(piece)
    found: dict[str, list[_Candidate]] = {}
    for code in chain.from_iterable(map(_nested, modules)):
        found_piece = _of_code(code, pieces.get((code.co_name, code.co_firstlineno), []))
        if found_piece is not None:
            candidate = _Candidate(code, without_positions(code), found_piece)
            found.setdefault(code.co_name, []).append(candidate)
    return found


def plain_python(text: str) -> str:
    """A cell's text as Python: magics become calls. Text without magics stays as it is."""
    if "IPython" not in sys.modules:
        return text
    try:
        ast.parse(text)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        lines = text.splitlines(keepends=True)
        for index, line in enumerate(lines):
            # The body of a cell magic is code by itself; a comment keeps its line numbers.
            if line.startswith("%%"):
                lines[index] = "#\n"
            elif line.strip() and not line.startswith("#"):
                break
        manager: Any = TransformerManager
        transformed: str = manager().transform_cell("".join(lines))
        return transformed
    return text


def _pieces(tree: ast.Module) -> Iterator[Piece]:
    # Without recursion: a long sum is a deep tree.
    waiting: list[tuple[ast.AST, str | None]] = [(tree, None)]
    while waiting:
        node, class_name = waiting.pop()
        if isinstance(node, FunctionNode):
            yield Piece(node, class_name)
        inner = node.name if isinstance(node, ast.ClassDef) else class_name
        waiting += [(child, inner) for child in ast.iter_child_nodes(node)]


def _first_line(node: FunctionNode) -> int:
    if isinstance(node, ast.Lambda) or not node.decorator_list:
        return node.lineno
    return node.decorator_list[0].lineno


def _name(node: FunctionNode) -> str:
    return "<lambda>" if isinstance(node, ast.Lambda) else node.name


def _nested(code: CodeType) -> Iterator[CodeType]:
    for value in code.co_consts:
        if isinstance(value, CodeType):
            yield value
            yield from _nested(value)


def _of_code(code: CodeType, pieces: list[Piece]) -> Piece | None:
    """The piece that `code` was compiled from, of those with its name that begin on its line."""
    if len(pieces) <= 1:
        return pieces[0] if pieces else None
    spans = [span for span in code.co_positions() if None not in span and span[2:] != (0, 0)]
    if spans:
        around = [piece for piece in pieces if _contains(piece.node, spans)]
    else:
        # Python 3.12 does not tell where a constant lies that a lambda returns.
        around = [piece for piece in pieces if _returns_constant(piece.node, code)]
    if not around:
        return None
    return max(around, key=lambda piece: (piece.node.lineno, piece.node.col_offset))


def _returns_constant(node: FunctionNode, code: CodeType) -> bool:
    if not (isinstance(node, ast.Lambda) and isinstance(node.body, ast.Constant)):
        return False
    returned = [s.argval for s in dis.get_instructions(code) if s.opname == "RETURN_CONST"]
    groups = node.args
    names = [each.arg for each in (*groups.posonlyargs, *groups.args, *groups.kwonlyargs)]
    names += [each.arg for each in (groups.vararg, groups.kwarg) if each is not None]
    same = list(map(constant, returned)) == [constant(node.body.value)]
    return same and names == list(code.co_varnames)


def _contains(node: FunctionNode, spans: Sequence[tuple[Any, ...]]) -> bool:
    body = node.body if isinstance(node, ast.Lambda) else node
    start = (body.lineno, body.col_offset)
    end = (body.end_lineno, body.end_col_offset)
    return all(
        start <= (line, column) and (end_line, end_column) <= end
        for line, end_line, column, end_column in spans
    )
