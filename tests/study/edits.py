"""Edits of a module: those that change what one definition does, and those that change nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from tests.study.copies import spliced

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Statement: TypeAlias = ast.stmt
_OTHER_OPERATOR: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class Definition(NamedTuple):
    """A function, method, class or variable of a module: `name` is dotted within the module."""

    name: str
    node: Statement
    around: ast.ClassDef | None

    @property
    def kind(self) -> str:
        if isinstance(self.node, Function):
            return "function"
        return "class" if isinstance(self.node, ast.ClassDef) else "variable"


class Edit(NamedTuple):
    """Another text of the module, in which `definition` is different."""

    definition: str
    kind: str
    text: str


def definitions(tree: ast.Module) -> list[Definition]:
    """What a module and its classes define, those under conditions included."""
    return list(_definitions(tree.body, "", None))


def _definitions(
    body: list[Statement], prefix: str, around: ast.ClassDef | None
) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, Function):
            yield Definition(prefix + node.name, node, around)
        elif isinstance(node, ast.ClassDef):
            yield Definition(prefix + node.name, node, around)
            yield from _definitions(node.body, f"{prefix}{node.name}.", node)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    yield Definition(prefix + target.id, node, around)
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for field in ("body", "orelse", "finalbody"):
                yield from _definitions(getattr(node, field, []), prefix, around)


def changes(text: str) -> Iterator[Edit]:
    """Edits that change what a definition does, several of each."""
    for each in definitions(ast.parse(text)):
        node = each.node
        if isinstance(node, Function):
            for kind, edit in _of_function(node):
                yield Edit(each.name, kind, spliced(text, [edit]))
        elif isinstance(node, ast.ClassDef):
            if len(node.bases) > 1:
                yield Edit(each.name, "base", spliced(text, [(node.bases[0], "*()")]))
        else:
            found = list(_of_expression(node.value))  # type: ignore[attr-defined]
            for kind, edit in _ends(found):
                yield Edit(each.name, kind, spliced(text, [edit]))


_Splice: TypeAlias = tuple[ast.expr | ast.stmt, str]


def _ends(edits: list[tuple[str, _Splice]]) -> list[tuple[str, _Splice]]:
    return [*edits[:1], *edits[1:][-1:]]


def _of_function(node: Function) -> Iterator[tuple[str, _Splice]]:
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    found = [edit for statement in body for edit in _of_expression(statement)]
    for kind in ("constant", "operator"):
        yield from _ends([edit for edit in found if edit[0] == kind])
    if body and not _is_trivial(body[-1]):
        yield "statement", (body[-1], "pass")
    for default in [*node.args.defaults, *node.args.kw_defaults]:
        if isinstance(default, ast.Constant):
            yield "default", (default, _other(default))
            break


def _is_trivial(statement: Statement) -> bool:
    if isinstance(statement, ast.Pass | ast.Global | ast.Nonlocal):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _of_expression(tree: ast.AST) -> Iterator[tuple[str, _Splice]]:
    """Edits of constants and operators, in the order of the text."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        # Python 3.11 does not tell where the pieces of an f-string are.
        if isinstance(node, ast.JoinedStr):
            continue
        if isinstance(node, ast.Constant):
            yield "constant", (node, _other(node))
        other = _with_other_operator(node)
        if other is not None:
            yield "operator", (other, f"({ast.unparse(other)})")
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, Function | ast.arg | ast.AnnAssign):
            children = [c for c in children if c not in _annotations(node)]
        if isinstance(node, Function | ast.ClassDef):
            children = [c for c in children if not _is_docstring(c, node)]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            children = []
        waiting += reversed(children)


def _annotations(node: ast.AST) -> tuple[ast.expr | None, ...]:
    return (getattr(node, "annotation", None), getattr(node, "returns", None))


def _is_docstring(child: ast.AST, node: Function | ast.ClassDef) -> bool:
    return child is node.body[0] and ast.get_docstring(node) is not None


def _other(node: ast.Constant) -> str:
    value = node.value
    if isinstance(value, bool):
        return str(not value)
    if isinstance(value, str):
        return f"({value + 'x'!r})"
    if isinstance(value, bytes):
        return f"({value + b'x'!r})"
    if isinstance(value, int | float):
        return f"({value!r} + 1)" if value == value + 1 else repr(value + 1)
    return "(1,)"


def _with_other_operator(node: ast.AST) -> ast.expr | None:
    """The same expression with another operator; its place is that of `node`."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        operator = _OTHER_OPERATOR.get(type(node.op))
        if operator is not None:
            fields = {name: getattr(node, name) for name in node._fields}
            return ast.copy_location(type(node)(**{**fields, "op": operator()}), node)
    elif isinstance(node, ast.Compare):
        operator = _OTHER_OPERATOR[type(node.ops[0])]
        other = ast.Compare(node.left, [operator(), *node.ops[1:]], node.comparators)  # type: ignore[list-item]
        return ast.copy_location(other, node)
    return None


# Edits that change nothing


def without_effect(text: str) -> Iterator[Edit]:
    """The whole module, written otherwise."""
    yield Edit("", "layout", ast.unparse(ast.parse(text)) + "\n")
    yield Edit("", "comments", _commented(text))
    yield Edit("", "docstrings", _with_other_docstrings(text))
    yield Edit("", "annotations", _with_other_annotations(text))
    yield Edit("", "neighbours", f"{text}\n\n_NEW = 1\n\n\ndef _new():\n    return _NEW\n")


def _commented(text: str) -> str:
    """Each statement of a body below a comment and an empty line."""
    starts = {
        statement.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, Function | ast.ClassDef)
        for statement in node.body
        if not isinstance(statement, Function | ast.ClassDef)
    }
    lines = text.splitlines(keepends=True)
    for number in sorted(starts, reverse=True):
        if lines[number - 2].endswith("\\\n"):
            continue
        indent = re.match(r"[ \t]*", lines[number - 1])
        assert indent is not None
        lines[number - 1 : number - 1] = ["\n", f"{indent[0]}# Why it is so: {number}\n"]
    return "".join(lines)


def _with_other_docstrings(text: str) -> str:
    edits: list[_Splice] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Function | ast.ClassDef) and ast.get_docstring(node) is not None:
            edits.append((node.body[0], f"'What {node.name} is for.'"))
    return spliced(text, edits)


def _with_other_annotations(text: str) -> str:
    """Functions that no decorator sees say something else of what they return."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, Function) and not node.decorator_list:
            node.returns = ast.Constant("object of some kind")
    return ast.unparse(tree) + "\n"
