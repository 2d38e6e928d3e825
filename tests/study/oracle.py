"""What a function can reach, found out apart from any fingerprint: by running it, and by names.

What ran is reached for certain. What has a name that no code around ever mentions is not.
"""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import CodeType, FrameType
from typing import Any, TypeGuard

from tests.study.edits import Definition, Function, definitions


def executed(run: Callable[[], object], folder: str) -> dict[str, Any]:
    """The code in `folder` that runs: by file and first line; and what it is given as `self`.

    "code" lists file and line of each piece, "names" the globals that each piece loads (with the
    file in whose module they are), "classes" the module and name of all bases of every `self`.
    """
    codes: dict[CodeType, str] = {}
    classes: set[type] = set()

    def trace(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            codes[frame.f_code] = frame.f_globals.get("__file__", "")
            first = frame.f_locals.get(next(iter(frame.f_code.co_varnames), ""))
            classes.update((first if isinstance(first, type) else type(first)).__mro__)

    sys.setprofile(trace)
    try:
        run()
    finally:
        sys.setprofile(None)
    return {
        "code": sorted({(code.co_filename, code.co_firstlineno) for code in codes}),
        "names": sorted({(home, name) for code, home in codes.items() for name in _loaded(code)}),
        "classes": sorted({(cls.__module__, cls.__qualname__) for cls in classes}),
    }


def _loaded(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield step.argval


def first_line(node: Function) -> int:
    """The line on which the code object of a function begins."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def mentioned(start: str, texts: Iterable[str]) -> set[str]:
    """All names that lead on from those in the code `start`, whatever they may mean.

    Where any definition in `texts` has such a name, all names in it are such names, too.
    """
    sources: list[tuple[set[str], set[str]]] = []
    for text in texts:
        tree = ast.parse(text)
        sources += _led_by(tree)
    names = _words(ast.parse(start))
    size = -1
    while size != len(names):
        size = len(names)
        for heads, words in sources:
            if not heads.isdisjoint(names):
                names |= words
    return names


def _led_by(tree: ast.Module) -> Iterator[tuple[set[str], set[str]]]:
    """Which names lead to which others, for each statement of a module."""
    for node in tree.body:
        words = _words(node)
        if isinstance(node, Function | ast.ClassDef):
            heads = {node.name, *(w for d in node.decorator_list for w in _words(d))}
            if isinstance(node, ast.ClassDef):
                # A method by itself may be asked for, whatever class it is of.
                heads |= {inner.name.rpartition(".")[2] for inner in definitions_in(node)}
        elif _is_plain_assignment(node):
            heads = {target.id for target in node.targets}
        else:
            heads = words
        yield heads, words


def _is_plain_assignment(node: ast.stmt) -> TypeGuard[ast.Assign]:
    """Whether a statement binds names and may do nothing else."""
    return (
        isinstance(node, ast.Assign)
        and all(isinstance(target, ast.Name) for target in node.targets)
        and not any(isinstance(inner, ast.Call) for inner in ast.walk(node))
    )


def definitions_in(node: ast.ClassDef) -> list[Definition]:
    """What the body of a class defines."""
    return definitions(ast.Module(node.body, []))


def _words(tree: ast.AST) -> set[str]:
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            words.add(node.id)
        elif isinstance(node, ast.Attribute):
            words.add(node.attr)
        elif isinstance(node, ast.alias):
            words |= {*node.name.split("."), *([node.asname] if node.asname else [])}
        elif isinstance(node, ast.keyword) and node.arg:
            words.add(node.arg)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= {word for word in node.value.split() if word.isidentifier()}
    return words


def must_count(
    definition: Definition, file: str, module: str, trace: Mapping[str, list[list[Any]]]
) -> bool:
    """Whether what ran depends on a definition for certain."""
    node = definition.node
    if isinstance(node, Function):
        return [file, first_line(node)] in trace["code"]
    if isinstance(node, ast.ClassDef):
        return [module, definition.name] in trace["classes"]
    if not _is_plain(node):
        return False  # Another text may come to the same value.
    around, _, name = definition.name.rpartition(".")
    if around:
        return [module, around] in trace["classes"]
    return [file, name] in trace["names"]


def _is_plain(node: ast.stmt) -> bool:
    plain = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.expr_context)
    return isinstance(node, ast.Assign | ast.AnnAssign) and all(
        isinstance(inner, plain) for inner in ast.walk(node.value or node)
    )
