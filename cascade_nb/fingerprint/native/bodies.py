"""A piece of code made ready to be followed: what its names are given, where, and what it calls.

Each use of a name knows which of the assignments before it may have been the last one.
"""

# ruff: noqa: N815 - the methods of visitors are named after the nodes they visit

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType
from typing import NamedTuple, TypeAlias

from cascade_nb.fingerprint.risks import may_swallow
from cascade_nb.fingerprint.scopes import Use, imported_module, imported_name
from cascade_nb.fingerprint.source import find_source

FunctionNode: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

# Methods by which a collection takes in its argument, or all that is in it.
_ADDING = frozenset({"append", "add", "appendleft", "insert", "setdefault"})
_EXTENDING = frozenset({"extend", "update", "extendleft"})


class How(enum.Enum):
    """How a name or attribute comes by what an expression gives."""

    VALUE = "all of it"
    ITEM = "its items, one after the other"
    ENTERED = "what it gives on being entered"
    ADDED = "as one more item"
    EXTENDED = "its items as further ones"
    DEFINED = "a function or class"
    OTHER = "something that cannot be told"


class Place(NamedTuple):
    """A point in a piece of code: its number in the order of running, and the blocks around it."""

    order: int
    blocks: tuple[int, ...]


class Binding(NamedTuple):
    """What a name or attribute is given: a part, by its indices, of what `node` gives."""

    how: How
    node: ast.AST | None
    place: Place
    parts: tuple[int, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether what was there before is gone."""
        return self.how not in (How.ADDED, How.EXTENDED, How.OTHER)


class Store(NamedTuple):
    """An attribute that is given something: of what, its name, and how."""

    owner: ast.expr
    attribute: str
    binding: Binding


@dataclass(slots=True, eq=False)
class Body:
    """The code of a function or cell, without that of the functions in it."""

    node: ast.AST
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    hidden: dict[int, int] = field(default_factory=dict)
    imports: dict[int, Use] = field(default_factory=dict)
    calls: list[ast.Call] = field(default_factory=list)
    mentions: list[ast.expr] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    returns: list[ast.expr] = field(default_factory=list)
    yields: list[tuple[How, ast.expr]] = field(default_factory=list)
    inner: list[FunctionNode] = field(default_factory=list)
    outer: set[str] = field(default_factory=set)
    rebound: set[str] = field(default_factory=set)
    loops: set[int] = field(default_factory=set)

    def given(self, name: ast.Name) -> tuple[list[Binding], bool]:
        """What `name` may hold where it stands; and whether it may be as it was at the start."""
        every = self.bindings.get(name.id, [])
        place = self.places.get(id(name))
        if place is None:
            return every, True
        seen = [b for b in every if self._is_seen(b, place)]
        before = [b for b in seen if b.place.order < place.order]
        last = next((b for b in reversed(before) if b.replaces and _is_around(b, place)), None)
        start = -1 if last is None else last.place.order
        found = [b for b in before if b.place.order >= start or b.how is How.OTHER]
        found += [
            b for b in seen if b.place.order > place.order and self._comes_round(b, place, last)
        ]
        return found, last is None

    def _is_seen(self, binding: Binding, place: Place) -> bool:
        scope = self.hidden.get(binding.place.order)
        return scope is None or scope in place.blocks

    def _comes_round(self, binding: Binding, place: Place, last: Binding | None) -> bool:
        """Whether what is bound further down is there in the next round of a loop."""
        common = self.loops.intersection(binding.place.blocks, place.blocks)
        return bool(common) and (last is None or not common <= set(last.place.blocks))


def _is_around(binding: Binding, place: Place) -> bool:
    """Whether control can be at `place` only by way of the binding."""
    blocks = binding.place.blocks
    return place.blocks[: len(blocks)] == blocks


# By id, and holding the code or node.
_bodies: dict[int, tuple[CodeType | ast.AST, Body | None]] = {}


def body_of_code(code: CodeType) -> Body | None:
    """The body of a function's code; None where its source is not known."""
    known = _bodies.get(id(code))
    if known is None:
        piece = find_source(code)
        known = _bodies[id(code)] = (code, None if piece is None else body_of_node(piece.node))
    return known[1]


def body_of_node(node: ast.AST) -> Body | None:
    """The body of a function within code whose body is known; as for `prepared`."""
    known = _bodies.get(id(node))
    if known is None:
        known = _bodies[id(node)] = (node, prepared(node))
    return known[1]


def prepared(node: ast.AST) -> Body | None:
    """The body of a function or cell; None where it is nested too deeply."""
    body = Body(node)
    try:
        _Preparing(body).prepare(node)
    except RecursionError:
        return None
    return body


class _Preparing(ast.NodeVisitor):
    """Goes through the code in the order in which it runs."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._order = 0
        self._blocks: tuple[int, ...] = ()
        self._number = 0

    def prepare(self, node: ast.AST) -> None:
        statements = getattr(node, "body", [])
        if isinstance(statements, list):
            self._all(statements)
        else:
            self.visit(statements)
            self._body.returns.append(statements)

    def _all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _place(self) -> Place:
        self._order += 1
        return Place(self._order, self._blocks)

    @contextmanager
    def _block(self, *, loop: bool = False) -> Iterator[int]:
        self._number += 1
        before, self._blocks = self._blocks, (*self._blocks, self._number)
        if loop:
            self._body.loops.add(self._number)
        yield self._number
        self._blocks = before

    # What is given to names and attributes

    def _bind(
        self,
        target: ast.expr,
        how: How,
        node: ast.AST | None,
        parts: tuple[int, ...] = (),
        hidden: int | None = None,
    ) -> None:
        match target:
            case ast.Name(id=name):
                self._name(name, how, node, parts, hidden)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                starred = any(isinstance(element, ast.Starred) for element in elements)
                for index, element in enumerate(elements):
                    if starred:
                        self._bind(element, How.OTHER, None, (), hidden)
                    else:
                        self._bind(element, how, node, (*parts, index), hidden)
            case ast.Starred(value=inside):
                self._bind(inside, How.OTHER, None, (), hidden)
            case ast.Attribute(value=owner, attr=attribute):
                self.visit(owner)
                binding = Binding(how, node, self._place(), parts)
                self._body.stores.append(Store(owner, attribute, binding))
            case ast.Subscript(value=owner, slice=index):
                self.visit(owner)
                self.visit(index)
                self._added(owner, How.ADDED, node if how is How.VALUE and not parts else None)

    def _name(
        self,
        name: str,
        how: How,
        node: ast.AST | None,
        parts: tuple[int, ...] = (),
        hidden: int | None = None,
    ) -> None:
        binding = Binding(how, node, self._place(), parts)
        self._body.bindings.setdefault(name, []).append(binding)
        if hidden is not None:
            self._body.hidden[binding.place.order] = hidden

    def _added(self, owner: ast.expr, how: How, node: ast.AST | None) -> None:
        how = How.OTHER if node is None else how
        if isinstance(owner, ast.Name):
            self._name(owner.id, how, node)
        elif isinstance(owner, ast.Attribute):
            binding = Binding(how, node, self._place())
            self._body.stores.append(Store(owner.value, owner.attr, binding))

    def visit_Name(self, node: ast.Name) -> None:
        self._body.places[id(node)] = self._place()
        self._body.mentions.append(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, How.VALUE, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._bind(node.target, How.VALUE, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, How.VALUE, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        before: ast.expr
        match node.target:
            case ast.Name(id=name):
                before = ast.Name(id=name, ctx=ast.Load())
            case ast.Attribute(value=owner, attr=attribute):
                before = ast.Attribute(value=owner, attr=attribute, ctx=ast.Load())
            case _:
                self._bind(node.target, How.OTHER, None)
                return
        ast.copy_location(before, node)
        self.visit(before)
        sum_ = ast.BinOp(left=before, op=node.op, right=node.value)
        self._bind(node.target, How.VALUE, ast.copy_location(sum_, node))

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self._body.outer.update(node.names)

    visit_Nonlocal = visit_Global

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(*imported_module(alias, node.lineno))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                self._import(alias.asname or alias.name, imported_name(node, alias))

    def _import(self, name: str, use: Use) -> None:
        self._name(name, How.DEFINED, None)
        self._body.imports[self._order] = use

    # Functions and classes in it

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all([*node.decorator_list, *node.args.defaults])
        self._all([default for default in node.args.kw_defaults if default is not None])
        self._name(node.name, How.DEFINED, node)
        self._define(node)

    visit_FunctionDef = _visit_definition
    visit_AsyncFunctionDef = _visit_definition

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all(node.args.defaults)
        self._define(node)

    def _define(self, node: FunctionNode) -> None:
        self._body.inner.append(node)
        for inner in ast.walk(node):
            if isinstance(inner, ast.Global | ast.Nonlocal):
                for name in inner.names:
                    self._body.rebound.add(name)
                    self._name(name, How.OTHER, None)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all([*node.decorator_list, *node.bases])
        self._name(node.name, How.DEFINED, node)
        for statement in node.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                self._define(statement)
            else:
                with self._block() as number:
                    known = set(self._body.bindings)
                    self.visit(statement)
                    for name in self._body.bindings.keys() - known:
                        for binding in self._body.bindings[name]:
                            self._body.hidden.setdefault(binding.place.order, number)

    # Blocks

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        for branch in (node.body, node.orelse):
            with self._block():
                self._all(branch)

    def _visit_for(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        with self._block(loop=True):
            self._bind(node.target, How.ITEM, node.iter)
            self._all(node.body)
        with self._block():
            self._all(node.orelse)

    visit_For = _visit_for
    visit_AsyncFor = _visit_for

    def visit_While(self, node: ast.While) -> None:
        with self._block(loop=True):
            self.visit(node.test)
            self._all(node.body)
        with self._block():
            self._all(node.orelse)

    def _visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is None:
                self._name("", How.ENTERED, item.context_expr)
            else:
                self._bind(item.optional_vars, How.ENTERED, item.context_expr)
        if any(may_swallow(item.context_expr) for item in node.items):
            with self._block():
                self._all(node.body)
        else:
            self._all(node.body)

    visit_With = _visit_with
    visit_AsyncWith = _visit_with

    def _visit_try(self, node: ast.Try | ast.TryStar) -> None:
        with self._block():
            self._all(node.body)
            self._all(node.orelse)
        for handler in node.handlers:
            with self._block():
                if handler.type is not None:
                    self.visit(handler.type)
                if handler.name is not None:
                    self._name(handler.name, How.OTHER, None)
                self._all(handler.body)
        self._all(node.finalbody)

    visit_Try = _visit_try
    visit_TryStar = _visit_try

    def visit_match_case(self, node: ast.match_case) -> None:
        with self._block():
            self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name is not None:
            self._name(node.name, How.OTHER, None)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name is not None:
            self._name(node.name, How.OTHER, None)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest is not None:
            self._name(node.rest, How.OTHER, None)

    def _visit_comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        with self._block() as number:
            for generator in node.generators:
                self.visit(generator.iter)
                self._bind(generator.target, How.ITEM, generator.iter, hidden=number)
                self._all(generator.ifs)
            if isinstance(node, ast.DictComp):
                self._all([node.key, node.value])
            else:
                self.visit(node.elt)

    visit_ListComp = _visit_comprehension
    visit_SetComp = _visit_comprehension
    visit_GeneratorExp = _visit_comprehension
    visit_DictComp = _visit_comprehension

    # Calls, attributes, results

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        self._body.calls.append(node)
        if isinstance(node.func, ast.Attribute) and node.args:
            method = node.func.attr
            if method in _ADDING:
                self._added(node.func.value, How.ADDED, node.args[-1])
            elif method in _EXTENDING:
                self._added(node.func.value, How.EXTENDED, node.args[0])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        self._body.mentions.append(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.generic_visit(node)
        self._body.mentions.append(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._body.returns.append(node.value)

    def visit_Yield(self, node: ast.Yield) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._body.yields.append((How.VALUE, node.value))

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self.visit(node.value)
        self._body.yields.append((How.ITEM, node.value))
