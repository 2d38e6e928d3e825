"""Which expressions are sets: for certain, or if what some names mean when a key is made is one.

The order of a set of texts is another in each process, and a key does not hold it.
"""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from cascade_nb.fingerprint.scopes import arguments_of, dotted

_SETS = frozenset({"set", "frozenset"})
_SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
_FILLING = frozenset({"add", "update"})
# What gives pairs, the second of which is an item.
_PAIRS = frozenset({"items", "enumerate"})
_SAME_ITEMS = frozenset({"list", "tuple", "sorted", "reversed", "values", "enumerate", "items"})
_NUMBERS = frozenset({int, float, complex, bool})


class Form(enum.Enum):
    """What of a name is meant: its value, what a call gives, what it holds by key, its items."""

    ITSELF = enum.auto()
    CALLED = enum.auto()
    BY_KEY = enum.auto()
    ITEMS = enum.auto()


@dataclass(frozen=True, slots=True)
class Source:
    """A dotted name that may lead to a set."""

    name: str
    form: Form = Form.ITSELF


# None: it is no set as far as one sees. Empty: it is one. Else it is one if a source leads to one.
Sources: TypeAlias = frozenset[Source] | None
CERTAIN: frozenset[Source] = frozenset()


@dataclass(frozen=True, slots=True)
class Taken:
    """In `line` code takes in its order what is a set if `source` leads to one."""

    line: int
    source: Source


@dataclass(frozen=True, slots=True)
class Orders:
    """What of a piece of code must be known to tell whether it takes the order of a set.

    `attributes` are those it binds, and whether always to sets; `gives_set` is of what it returns.
    """

    taken: tuple[Taken, ...] = ()
    attributes: Mapping[str, bool] = field(default_factory=dict)
    gives_set: bool = False


def is_salted(value: Any, form: Form) -> bool:
    """Whether a value, or one that it holds, is a set whose order is another in each process."""
    if form is Form.ITSELF:
        if not isinstance(value, set | frozenset) or len(value) < 2:
            return False
        return not all(map(_is_plain, value))
    if form is Form.BY_KEY and isinstance(value, dict):
        return any(is_salted(item, Form.ITSELF) for item in value.values())
    return isinstance(value, list | tuple) and any(is_salted(i, Form.ITSELF) for i in value)


def _is_plain(value: Any) -> bool:
    """Whether the hash of `value` is the same everywhere."""
    return type(value) in _NUMBERS or (type(value) is tuple and all(map(_is_plain, value)))


class Bindings:
    """What the names in some code are bound to.

    `None` stands among the values of a name for each binding that tells nothing.
    """

    def __init__(self, tree: ast.AST, nodes: Iterable[ast.AST]) -> None:
        self.values: dict[str, list[ast.expr | None]] = {}
        self.filled: set[str] = set()
        self.grouped: set[str] = set()
        own = arguments_of(tree) if isinstance(tree, _FUNCTIONS) else set()
        plain = dict(_assigned(nodes))
        for node in nodes:
            match node:
                case ast.arg(arg=name):
                    self.values.setdefault(name, []).append(None)
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    if id(node) not in plain or plain[id(node)] is not node:
                        self.values.setdefault(name, []).append(plain.get(id(node)))
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attribute)):
                    if attribute in _FILLING:
                        self.filled.add(name)
                    if attribute == "setdefault" and any(map(_is_empty, node.args)):
                        self.grouped.add(name)
        self.parameters = {name for name in own if self.values.get(name) == [None]}

    def is_filled(self, name: str, value: ast.expr, form: Form) -> bool:
        """Whether a name is bound to what is empty at first, and a set, or one of sets, later."""
        if form is Form.ITSELF:
            return name in self.filled and _is_empty(value)
        no_keys = isinstance(value, ast.Dict) and not value.keys
        return form is Form.BY_KEY and name in self.grouped and no_keys

    def is_outside(self, name: str) -> bool:
        """Whether a name has its meaning from outside: an argument, a global, a closure's."""
        return name in self.parameters or name not in self.values


_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Sets:
    """Tells which expressions of a piece of code are sets, and not ones of plain numbers."""

    def __init__(self, bindings: Bindings) -> None:
        self._bindings = bindings

    def of(self, node: ast.expr, seen: Set[str] = frozenset()) -> Sources:
        """What makes `node` a set."""
        match node:
            case ast.Set(elts=items):
                plain = all(isinstance(i, ast.Constant) and not is_text(i) for i in items)
                return None if plain else CERTAIN
            case ast.SetComp():
                return CERTAIN
            case ast.Call():
                return self._call(node, seen)
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _SET_OPERATORS):
                return CERTAIN if _keys(left) and _keys(right) else self._any((left, right), seen)
            case ast.BoolOp(values=values):
                return self._any(values, seen)
            case ast.IfExp(body=one, orelse=other):
                return self._any((one, other), seen)
            case ast.NamedExpr(value=value):
                return self.of(value, seen)
            case ast.Subscript(value=holder):
                return self.held(holder, Form.BY_KEY, seen)
            case ast.Name() | ast.Attribute():
                return self._name(node, Form.ITSELF, seen)
        return None

    def held(self, node: ast.expr, form: Form, seen: Set[str] = frozenset()) -> Sources:
        """What makes that a set which `node` holds by key, or gives when iterated over."""
        match node:
            case ast.Call(args=[ast.Name(id=kind)]) if called(node) == "defaultdict":
                return CERTAIN if kind in _SETS and form is Form.BY_KEY else None
            case ast.Call(func=function, args=args) if called(node) in _SAME_ITEMS:
                if isinstance(function, ast.Attribute):
                    return self.held(function.value, Form.BY_KEY, seen)
                return self.held(args[0], form, seen) if args else None
            case ast.DictComp(value=item) if form is Form.BY_KEY:
                return self.of(item, seen)
            case ast.Dict(values=items) if form is Form.BY_KEY:
                return self._any(items, seen)
            case ast.ListComp(elt=item) | ast.GeneratorExp(elt=item):
                return self.of(item, seen)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return self._any(items, seen)
            case ast.Name() | ast.Attribute():
                return self._name(node, form, seen)
        return None

    def _call(self, node: ast.Call, seen: Set[str]) -> Sources:
        name, args = called(node), node.args
        match node.func:
            case ast.Name() if name in _SETS:
                ranged = args and isinstance(args[0], ast.Call) and called(args[0]) == "range"
                return CERTAIN if args and not ranged else None
            case ast.Name(id="next") if args:
                return self.held(args[0], Form.ITEMS, seen)
            case ast.Attribute(value=inside) if name in _SET_METHODS:
                # ``set().union(*others)``
                if args and _is_empty(inside):
                    return CERTAIN
                return self.of(inside, seen)
        return frozenset({Source(name, Form.CALLED)}) if name else None

    def _name(self, node: ast.Name | ast.Attribute, form: Form, seen: Set[str]) -> Sources:
        if isinstance(node, ast.Attribute):
            return frozenset({Source(_dotted(node), form)})
        name = node.id
        if self._bindings.is_outside(name):
            return frozenset({Source(name, form)})
        if name in seen:
            return None
        found: frozenset[Source] = CERTAIN
        for value in self._bindings.values[name]:
            if value is None:
                return None
            if self._bindings.is_filled(name, value, form):
                continue
            inner = seen | {name}
            sources = (
                self.of(value, inner) if form is Form.ITSELF else self.held(value, form, inner)
            )
            if sources is None:
                return None
            found |= sources
        return found

    def _any(self, nodes: Iterable[ast.expr], seen: Set[str]) -> Sources:
        """For what is a set if one of `nodes` is."""
        known = [sources for node in nodes if (sources := self.of(node, seen)) is not None]
        if not known or CERTAIN in known:
            return CERTAIN if known else None
        return frozenset().union(*known)


def orders_of(tree: ast.AST, nodes: Iterable[ast.AST], sets: Sets, taken: list[Taken]) -> Orders:
    """What is known of the sets in the code `tree`, of which `taken` are taken in their order."""
    attributes: dict[str, bool] = {}
    for node in nodes:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_set = _is_empty(node.value) or sets.of(node.value) == CERTAIN
            for target in targets:
                if isinstance(target, ast.Attribute):
                    attributes[target.attr] = is_set and attributes.get(target.attr, True)
    given = _given(tree)
    gives = bool(given) and all(value and sets.of(value) == CERTAIN for value in given)
    return Orders(tuple(dict.fromkeys(taken)), attributes, gives)


def _given(tree: ast.AST) -> list[ast.expr | None]:
    """What a function returns, each time; nothing for a generator."""
    if isinstance(tree, ast.Lambda):
        return [tree.body]
    found: list[ast.expr | None] = []
    rest: list[ast.AST] = [*tree.body] if isinstance(tree, ast.FunctionDef) else []
    while rest:
        node = rest.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return []
        if isinstance(node, ast.Return):
            found.append(node.value)
        elif not isinstance(node, _FUNCTIONS | ast.ClassDef):
            rest += ast.iter_child_nodes(node)
    return found


def called(node: ast.Call) -> str:
    """The last name of what is called."""
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def is_text(node: ast.Constant) -> bool:
    """Whether a constant is one whose hash is salted."""
    return isinstance(node.value, str | bytes)


def _is_empty(node: ast.expr) -> bool:
    """Whether `node` is ``set()``, to be filled."""
    return isinstance(node, ast.Call) and called(node) in _SETS and not node.args


def _keys(node: ast.expr) -> bool:
    """Whether `node` is ``d.keys()``, of which two make a set."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr == "keys")
    )


def _dotted(node: ast.expr) -> str:
    """The dotted name; it begins with a dot where an expression stands before that."""
    root, attributes = dotted(node)
    return ".".join((root.id if isinstance(root, ast.Name) else "", *attributes))


def _assigned(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, ast.expr]]:
    """The targets, by id, of which the value is known.

    That of ``s |= other`` is the target itself.
    """
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                if len(targets) == len(values):
                    yield from zip(map(id, targets), values, strict=True)
            case ast.Assign(targets=targets, value=value):
                yield from ((id(target), value) for target in targets)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield id(target), value
            case ast.NamedExpr(target=target, value=value):
                yield id(target), value
            case ast.AugAssign(target=target, op=op) if isinstance(op, _SET_OPERATORS):
                yield id(target), target
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                yield from _item(node.target, node.iter)


def _item(target: ast.expr, iterated: ast.expr) -> Iterator[tuple[int, ast.expr]]:
    pairs = isinstance(iterated, ast.Call) and called(iterated) in _PAIRS
    if pairs and isinstance(target, ast.Tuple) and len(target.elts) == 2:
        target = target.elts[1]
    elif pairs:
        return
    if isinstance(target, ast.Name):
        function = ast.Name(id="next", ctx=ast.Load())
        yield id(target), ast.Call(func=function, args=[iterated], keywords=[])
