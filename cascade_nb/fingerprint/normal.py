"""The normal form of code: bytes that are equal where two pieces of code do the same.

Every node, field and constant carries a tag, every text and list its length, so that different
code never meets in one form. Left out are positions, the spelling of literals, comments,
docstrings, expression statements of a mere constant, and annotations that nobody reads.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, TypeAlias

from blake3 import blake3

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
# Decorators that have no use for the annotations of what they decorate.
INERT_DECORATORS = frozenset(
    [
        "abstractmethod",
        "cache",
        "cached",
        "cached_property",
        "classmethod",
        "contextmanager",
        "deleter",
        "final",
        "getter",
        "lru_cache",
        "override",
        "overload",
        "property",
        "setter",
        "staticmethod",
        "wraps",
    ]
)


def tagged(tag: bytes, data: bytes) -> bytes:
    """`data` with its tag and its length before it."""
    return b"%b%d:%b" % (tag, len(data), data)


def text(value: str) -> bytes:
    """The normal form of a string, lone surrogates included."""
    return tagged(b"s", value.encode("utf-8", "surrogatepass"))


def constant(value: object) -> bytes:
    """The normal form of a constant of code, exact in type and value."""
    if value is None or value is True or value is False or value is ...:
        return tagged(b"c", str(value).encode())
    form = _CONSTANTS.get(type(value))
    if form is None:
        raise TypeError(f"no constant of code is a {type(value).__name__}")
    return form(value)


def _frozenset(value: frozenset[object]) -> bytes:
    return tagged(b"F", b"".join(sorted(constant(item) for item in value)))


_CONSTANTS: dict[type, Callable[[Any], bytes]] = {
    str: text,
    bytes: lambda value: tagged(b"b", value),
    int: lambda value: tagged(b"i", b"%x" % value),
    float: lambda value: tagged(b"f", struct.pack(">d", value)),
    complex: lambda value: tagged(b"z", struct.pack(">dd", value.real, value.imag)),
    tuple: lambda value: tagged(b"t", b"".join(map(constant, value))),
    frozenset: _frozenset,
    slice: lambda value: tagged(
        b"l", constant(value.start) + constant(value.stop) + constant(value.step)
    ),
    CodeType: lambda value: tagged(b"C", bytecode(value)),
}


def bytecode(code: CodeType) -> bytes:
    """The normal form of compiled code whose source is not to be had: all but its positions."""
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return b"".join(
        (
            text(code.co_name),
            constant(shape),
            constant(names),
            constant(code.co_code),
            constant(code.co_exceptiontable),
            constant(code.co_consts),
        )
    )


def without_positions(code: CodeType) -> CodeType:
    """`code` as it would be at line 1 of a file without a name; equal ones run alike."""
    constants = tuple(
        without_positions(value) if isinstance(value, CodeType) else value
        for value in code.co_consts
    )
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=constants)


class NormalForm:
    """Writes the normal form of trees of code.

    `docstrings` and `annotations` say whether the code itself reads such things; annotations of
    class bodies, and of functions under decorators that may look at them, always count.
    """

    def __init__(self, *, docstrings: bool = False, annotations: bool = False) -> None:
        self._docstrings = docstrings
        self._annotations = annotations
        self._in_class = False

    def of_function(self, node: Function | ast.Lambda) -> bytes:
        """A function by itself: its defaults and decorators have done their work already."""
        own = b"" if isinstance(node, ast.Lambda) else text(node.name)
        return tagged(type(node).__name__.encode(), own + self._function(node, outermost=True))

    def of_statements(self, statements: Sequence[ast.stmt]) -> bytes:
        """The body of a cell; a last expression is shown and counts, even a mere constant."""
        return tagged(b"[", b"".join(self._node(statement) for statement in statements))

    def _node(self, node: ast.AST) -> bytes:
        name = type(node).__name__.encode()
        if isinstance(node, ast.Constant):
            return constant(node.value)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = self._list(node.decorator_list)
            return tagged(name, text(node.name) + decorators + self._function(node))
        if isinstance(node, ast.Lambda):
            return tagged(name, self._function(node))
        if isinstance(node, ast.ClassDef):
            return tagged(name, self._class(node))
        if isinstance(node, ast.JoinedStr):
            return tagged(name, self._list(_merged(node.values)))
        if isinstance(node, ast.AnnAssign) and not (self._in_class or self._annotations):
            return self._without_annotation(node)
        return tagged(name, b"".join(self._field(node, field) for field in node._fields))

    def _field(self, node: ast.AST, field: str) -> bytes:
        value = getattr(node, field, None)
        # Empty fields are left out, since newer Pythons have some that older ones do not know.
        if value is None or value == [] or field in ("ctx", "type_comment", "type_ignores"):
            return b""
        if isinstance(value, ast.AST):
            form = self._node(value)
        elif isinstance(value, list):
            body = field in ("body", "orelse", "finalbody") and isinstance(value[0], ast.stmt)
            form = self._body(value) if body else self._list(value)
        else:
            form = constant(value)
        return text(field) + form

    def _list(self, items: Sequence[Any]) -> bytes:
        forms = (
            self._node(item) if isinstance(item, ast.AST) else constant(item) for item in items
        )
        return tagged(b"[", b"".join(forms))

    def _body(self, statements: Sequence[ast.stmt], *, docstring: bool = False) -> bytes:
        kept = [
            statement
            for index, statement in enumerate(statements)
            if (docstring and index == 0 and self._docstrings) or not is_constant(statement)
        ]
        return self._list(kept)

    def _function(self, node: Function | ast.Lambda, *, outermost: bool = False) -> bytes:
        arguments = node.args
        annotated = not isinstance(node, ast.Lambda) and self.annotations_count(node)
        within, self._in_class = self._in_class, False
        parts = [self._arguments(arguments, annotated)]
        if not outermost:
            parts += [self._list(arguments.defaults), self._list(arguments.kw_defaults)]
        if isinstance(node, ast.Lambda):
            parts.append(self._node(node.body))
        else:
            parts.append(self._body(node.body, docstring=True))
            if annotated and node.returns is not None:
                parts.append(self._node(node.returns))
        self._in_class = within
        return b"".join(parts)

    def _arguments(self, arguments: ast.arguments, annotated: bool) -> bytes:
        groups = (
            arguments.posonlyargs,
            arguments.args,
            [arguments.vararg] if arguments.vararg else [],
            arguments.kwonlyargs,
            [arguments.kwarg] if arguments.kwarg else [],
        )
        forms = []
        for group in groups:
            names = b""
            for argument in group:
                names += text(argument.arg)
                if annotated and argument.annotation is not None:
                    names += tagged(b"@", self._node(argument.annotation))
            forms.append(tagged(b"[", names))
        return b"".join(forms)

    def _class(self, node: ast.ClassDef) -> bytes:
        within, self._in_class = self._in_class, True
        form = b"".join(
            (
                text(node.name),
                self._list(node.decorator_list),
                self._list(node.bases),
                self._list(node.keywords),
                self._body(node.body, docstring=True),
            )
        )
        self._in_class = within
        return form

    def _without_annotation(self, node: ast.AnnAssign) -> bytes:
        target = self._node(node.target)
        if node.value is None:
            return tagged(b"AnnAssign", target)
        # The form of the plain assignment that it is.
        assigned = text("targets") + tagged(b"[", target) + text("value") + self._node(node.value)
        return tagged(b"Assign", assigned)

    def annotations_count(self, node: Function) -> bool:
        """Whether somebody may read the annotations of this function."""
        return self._annotations or any(
            _decorator_name(decorator) not in INERT_DECORATORS for decorator in node.decorator_list
        )


def _decorator_name(decorator: ast.expr) -> str:
    if isinstance(decorator, ast.Call):
        decorator = decorator.func
    if isinstance(decorator, ast.Attribute):
        return decorator.attr
    return decorator.id if isinstance(decorator, ast.Name) else ""


def _merged(values: Sequence[ast.expr]) -> list[ast.expr]:
    """The pieces of an f-string as every Python would cut them."""
    merged: list[ast.expr] = []
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            if not value.value:
                continue
            last = merged[-1] if merged else None
            if isinstance(last, ast.Constant) and isinstance(last.value, str):
                merged[-1] = ast.Constant(last.value + value.value)
                continue
        merged.append(value)
    return merged


def is_constant(statement: ast.stmt) -> bool:
    """Whether a statement is a mere constant, as a docstring is."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def digest(*forms: bytes) -> str:
    """The fingerprint of normal forms, in hex."""
    return blake3(b"".join(forms)).hexdigest()
