"""A function or cell in one run of it: what its names and expressions may give.

Everything is found on demand, and once. A name that is bound in terms of itself in a loop is
unknown; one that is bound so in a row is not.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from cascade_nb.fingerprint.native import folding, members
from cascade_nb.fingerprint.native.bodies import Binding, Body, How
from cascade_nb.fingerprint.native.possible import (
    NOTHING,
    Fresh,
    Items,
    Local,
    LocalClass,
    Made,
    Named,
    Row,
    Table,
    Values,
    combined,
    is_plain,
    of,
    union,
    unknown,
)
from cascade_nb.fingerprint.reached import is_ignored
from cascade_nb.fingerprint.scopes import Use

if TYPE_CHECKING:
    from cascade_nb.fingerprint.native.calls import Caller

_BUILTINS = vars(builtins)
_MADE = (Items, Row, Table)


@dataclass(eq=False, slots=True)
class Frame:
    """One run: parameters by name, what is around it, and where its global names lead."""

    body: Body
    caller: Caller
    namespace: Mapping[str, Any]
    parameters: Mapping[str, Values] = field(default_factory=dict)
    around: Frame | None = None
    closure: Mapping[str, Any] = field(default_factory=dict)
    is_cell: bool = False
    _known: dict[int, Values] = field(default_factory=dict)
    _bound: dict[int, Values] = field(default_factory=dict)
    _open: set[Any] = field(default_factory=set)

    # Names

    def name(self, node: ast.Name) -> Values:
        """What a name may hold where it stands."""
        if not self._is_own(node.id):
            return self.outside(node.id, node.lineno)
        bindings, from_start = self.body.given(node)
        held = self._held(node.id, bindings, node.lineno, from_start=from_start)
        return self.caller.heap.with_added(held)

    def change_collections(self) -> None:
        """Note what is added to collections that others may have made."""
        for name, bindings in self.body.bindings.items():
            for binding in bindings:
                if binding.how in (How.ADDED, How.EXTENDED):
                    added, line = self.binding(binding, 0), getattr(binding.node, "lineno", 0)
                    self.caller.heap.add_to(self.ever(name, line), added)

    def ever(self, name: str, line: int) -> Values:
        """What a name may hold at any time."""
        if not self._is_own(name):
            return self.outside(name, line)
        return self._held(name, self.body.bindings.get(name, ()), line, from_start=True)

    def _is_own(self, name: str) -> bool:
        body = self.body
        return name not in body.outer and (name in body.bindings or name in self.parameters)

    def _held(
        self, name: str, bindings: Sequence[Binding], line: int, *, from_start: bool
    ) -> Values:
        found = []
        if from_start and name in self.parameters:
            found.append(self.parameters[name])
        elif from_start and self.is_cell:
            found.append(self.outside(name, line))
        adding = [b for b in bindings if b.how in (How.ADDED, How.EXTENDED)]
        found += [self.binding(b, line) for b in bindings if b not in adding]
        if not adding:
            return union(found)
        # In the collections that it may be, these items are more.
        held = [folding.held_in(values, line) for values in found]
        more = [self.binding(b, line) for b in adding]
        return union([*found, of(Items(union([*held, *more])))])

    def outside(self, name: str, line: int) -> Values:
        """What a name means that is not the code's own."""
        if self.around is not None:
            return self.around.ever(name, line)
        if is_ignored(name, self.caller.ignored):
            return NOTHING
        rebound = name in self.caller.rebound
        for space in (self.closure, self.namespace, _BUILTINS):
            if name in space:
                found = of(space[name])
                return union([found, unknown(line)]) if rebound else found
        return unknown(line) if rebound else NOTHING

    def binding(self, binding: Binding, line: int) -> Values:
        """What a name or attribute is given there."""
        key = binding.place.order
        known = self._bound.get(key)
        if known is not None:
            return known
        if key in self._open:
            return unknown(line)
        self._open.add(key)
        found = self._bound[key] = self._given(binding, line)
        self._open.discard(key)
        return found

    def _given(self, binding: Binding, line: int) -> Values:
        if binding.how is How.DEFINED:
            use = self.body.imports.get(binding.place.order)
            if use is not None:
                return self._imported(use)
            kind = LocalClass if isinstance(binding.node, ast.ClassDef) else Local
            return of(kind(binding.node, self))
        if not isinstance(binding.node, ast.expr) or binding.how is How.OTHER:
            return unknown(line)
        line = binding.node.lineno
        values = self.value(binding.node)
        if binding.how in (How.ITEM, How.EXTENDED):
            values = self._iterated(values, line)
        elif binding.how is How.ENTERED:
            users, others = members.split(values)
            given = self.caller.ask(users, "__enter__", [], line, self)
            values = union([_entered(others, line), given])
        for index in binding.parts:
            values = folding.part_of(values, index, line)
        return values

    def _iterated(self, values: Values, line: int) -> Values:
        users, others = members.split(values)
        if not users.known:
            return folding.items_of(values, line)
        given = self.caller.ask(users, "__iter__", [], line, self)
        more = self.caller.ask(users, "__getitem__", [unknown(line)], line, self)
        return union([folding.items_of(others, line), folding.items_of(given, line), more])

    def _imported(self, use: Use) -> Values:
        name = use.root
        if use.level:
            package = str(self.namespace.get("__package__") or "").split(".")
            above = package[: len(package) - use.level + 1]
            name = ".".join([*above, name] if name else above)
        module = sys.modules.get(name)
        found = of(Named(name) if module is None else module)
        for attribute in use.attributes:
            found = self.caller.attribute(found, attribute, use.line)
        return found

    # Expressions

    def value(self, node: ast.expr) -> Values:
        """What an expression may give."""
        known = self._known.get(id(node))
        if known is not None:
            return known
        if node in self._open:
            return unknown(node.lineno)
        self._open.add(node)
        try:
            found = self._value(node)
        except RecursionError:
            found = unknown(node.lineno)
        self._open.discard(node)
        if isinstance(node, ast.List | ast.Dict | ast.ListComp | ast.Set | ast.Call):
            made = (_made_at(thing, id(node)) for thing in found.known)
            found = Values(tuple(made), found.unknown)
        self._known[id(node)] = found
        return found

    def _value(self, node: ast.expr) -> Values:
        line = node.lineno
        match node:
            case ast.Constant(value=value):
                return of(value)
            case ast.Name():
                return self.name(node)
            case ast.Call():
                return self.caller.call(node, self)
            case ast.Attribute(value=owner, attr=attribute):
                return self.caller.attribute(self.value(owner), attribute, line)
            case ast.Subscript(value=owner, slice=ast.Slice() as bounds):
                return folding.sliced(self.value(owner), self._bounds(bounds), line)
            case ast.Subscript(value=owner, slice=index):
                key, owners = self.value(index), self.value(owner)
                users, others = members.split(owners)
                held = folding.subscript(others, key, line)
                return union([held, self.caller.ask(users, "__getitem__", [key], line, self)])
            case ast.BinOp(left=left, op=operator, right=right):
                return folding.operation(operator, self.value(left), self.value(right), line)
            case ast.JoinedStr(values=parts):
                shown = map(self._field, parts)
                return combined(folding.concatenated, line, *shown)
            case ast.IfExp(body=body, orelse=other):
                return union([self.value(body), self.value(other)])
            case ast.BoolOp(values=parts):
                return union(map(self.value, parts))
            case ast.NamedExpr(value=inside) | ast.Await(value=inside):
                return self.value(inside)
            case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts):
                if isinstance(node, ast.Set) or any(isinstance(p, ast.Starred) for p in parts):
                    return of(Items(union(map(self._item, parts))))
                return of(Row(tuple(map(self.value, parts))))
            case ast.Dict():
                return self._dict(node)
            case ast.ListComp(elt=item) | ast.SetComp(elt=item) | ast.GeneratorExp(elt=item):
                return of(Items(self.value(item)))
            case ast.DictComp(key=key, value=item):
                return of(Items(self.value(item), self.value(key)))
            case ast.Lambda():
                return of(Local(node, self))
            case ast.UnaryOp(op=ast.USub(), operand=inside):
                return combined(lambda number: -number, line, self.value(inside))
            case ast.Compare() | ast.UnaryOp():
                return of(True, False)
        return unknown(line)

    def _item(self, node: ast.expr) -> Values:
        if isinstance(node, ast.Starred):
            return folding.items_of(self.value(node.value), node.lineno)
        return self.value(node)

    def _dict(self, node: ast.Dict) -> Values:
        pairs = list(zip(node.keys, node.values, strict=True))
        texts: list[Any] = [key.value for key, _ in pairs if isinstance(key, ast.Constant)]
        if len(texts) == len(pairs):
            return of(Table(dict(zip(texts, map(self.value, node.values), strict=True))))
        values, keys = [], []
        for key, value in pairs:
            held = self.value(value)
            if key is None:  # ``**other``
                keys.append(folding.items_of(held, node.lineno))
                values.append(folding.held_in(held, node.lineno))
            else:
                keys.append(self.value(key))
                values.append(held)
        return of(Items(union(values), union(keys)))

    def _field(self, node: ast.expr) -> Values:
        if not isinstance(node, ast.FormattedValue):
            return self.value(node)
        how = of("") if node.format_spec is None else self.value(node.format_spec)
        return folding.formatted(self.value(node.value), node.conversion, how, node.lineno)

    def _bounds(self, node: ast.Slice) -> slice | None:
        bounds = []
        for bound in (node.lower, node.upper, node.step):
            found = of(None) if bound is None else self.value(bound)
            if found.unknown is not None or len(found.known) != 1:
                return None
            bounds.append(found.known[0])
        return slice(*bounds) if all(b is None or type(b) is int for b in bounds) else None


def _made_at(thing: Any, origin: int) -> Any:
    if isinstance(thing, _MADE) and not thing.origin:
        return replace(thing, origin=origin)
    return thing


def _entered(values: Values, line: int) -> Values:
    """What ``with`` gives: most context managers give themselves."""
    found = []
    for thing in values.known:
        if isinstance(thing, Items):
            found.append(thing.values)  # a generator behind ``contextmanager``
        elif isinstance(thing, Made | Fresh) or is_plain(thing):
            found.append(of(thing))
        else:
            found.append(unknown(line))
    if values.unknown is not None:
        found.append(unknown(values.unknown or line))
    return union(found)
