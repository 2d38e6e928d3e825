"""What differs from process to process and is in no key: addresses, hashes, the order of sets.

The hashes of texts are salted anew in each process, and with them goes the order of sets. Where
only membership or equality of such answers counts they do no harm, nor does asking for an absolute
path of what is absolute already.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Set
from itertools import pairwise

from cascade_nb.fingerprint.calls import is_given_the_time, risk_of_call
from cascade_nb.fingerprint.orders import (
    CERTAIN,
    Bindings,
    Sets,
    Taken,
    called,
    is_text,
    orders_of,
)
from cascade_nb.fingerprint.risks import ABSOLUTE, EXPANDED, METHODS, ORDER, Risk

# What gives items in the order in which it takes them, and what gives the same in any.
_IN_ORDER = frozenset(
    [
        *("list", "tuple", "enumerate", "iter", "zip", "map", "filter", "str", "repr", "print"),
        *("join", "format", "reduce", "accumulate", "chain", "from_iterable", "islice", "cycle"),
        *("product", "permutations", "combinations", "array", "asarray", "Series", "Index"),
        *("deque", "fromkeys", "extend", "writelines"),
    ]
)
_IN_ANY_ORDER = frozenset(
    [
        *("sorted", "set", "frozenset", "len", "sum", "any", "all", "min", "max", "Counter"),
        *("fsum", "isin", "is_in", "startswith", "endswith", "isinstance", "issubclass"),
        *("union", "intersection", "difference", "symmetric_difference", "isdisjoint"),
        *("issubset", "issuperset", "intersection_update", "difference_update", "unique"),
    ]
)
# Methods of collections that look for what they are given.
_LOOKING = frozenset({"add", "discard", "remove", "get", "pop", "setdefault", "count", "index"})
# What gives an absolute path where it is given one.
_SAME_PLACE = frozenset(
    [
        *("Path", "PurePath", "PosixPath", "str", "fspath", "dirname", "join", "normpath"),
        *("abspath", "realpath", "resolve", "absolute", "joinpath", "with_name", "with_suffix"),
        *("cwd", "home", "getcwd", "expanduser", "as_posix"),
    ]
)


class Varying:
    """What in a piece of code differs between processes, as `risks`, and what does no harm.

    `harmless` are the ids of calls of ``id``, ``hash``, ``abspath`` and the like.
    """

    def __init__(self, tree: ast.AST) -> None:
        self.harmless: set[int] = set()
        self.risks: list[Risk] = []
        nodes = list(ast.walk(tree))
        bindings = Bindings(tree, nodes)
        self._bound = bindings.values
        self._sets = Sets(bindings)
        self._taken: list[Taken] = []
        self._in_any_order: set[int] = set()
        for node in nodes:
            self._look(node)
        self.orders = orders_of(tree, nodes, self._sets, self._taken)

    def _look(self, node: ast.AST) -> None:
        looked_up: Iterable[ast.expr | None] = ()
        match node:
            case ast.Compare():
                looked_up = (node.left, *node.comparators)
            case ast.Subscript():
                looked_up = (node.slice,)
            case ast.Set():
                looked_up = node.elts
                self._in_any_order.update(map(id, node.elts))
            case ast.SetComp():
                looked_up = (node.elt,)
            case ast.Dict():
                looked_up = node.keys
            case ast.DictComp():
                looked_up = (node.key,)
                self._iterates(node, node.generators)
            case ast.Call():
                looked_up = self._call(node)
            case ast.For() | ast.AsyncFor():
                if not self._is_in_any_order(node):
                    self._takes(node, [node.iter])
            case ast.ListComp() | ast.GeneratorExp():
                self._iterates(node, node.generators)
            case ast.Starred():
                self._takes(node, [node.value])
            case ast.FormattedValue():
                self._takes(node, [node.value])
            case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod(), right=right):
                self._takes(node, right.elts if isinstance(right, ast.Tuple) else [right])
            case ast.Raise() | ast.Assert():
                # Nobody caches what an exception says.
                self._in_any_order.update(map(id, ast.walk(node)))
        self._sorted_in_place(node)
        self.harmless.update(id(node) for node in looked_up if _tells_apart(node))

    def _call(self, node: ast.Call) -> Iterable[ast.expr]:
        """Look at a call; its arguments, where it only looks for them."""
        name = called(node)
        first = node.args[0] if node.args else None
        if name in _IN_ANY_ORDER:
            self._in_any_order.update(map(id, node.args))
        elif name in _IN_ORDER:
            self._takes(node, node.args)
        method = isinstance(node.func, ast.Attribute)
        if isinstance(node.func, ast.Attribute):
            if name == "update" and self._sets.of(node.func.value) == CERTAIN:
                self._in_any_order.update(map(id, node.args))
            if name == "pop" and first is None:
                self._takes(node, [node.func.value])
            if name in METHODS:
                self._path_method(node, node.func)
        if (risk := risk_of_call(node)) is not None:
            self.risks.append(risk)
        if self._is_harmless(name, first) or is_given_the_time(node):
            self.harmless.add(id(node))
        return node.args if method and name in _LOOKING else ()

    def _path_method(self, node: ast.Call, function: ast.Attribute) -> None:
        """``path.resolve()``, where `path` is an instance; or the class, whose name is known."""
        path = node.args[0] if node.args else function.value
        if function.attr in ABSOLUTE and self._is_placed(path):
            self.harmless.add(id(node))
            return
        message = METHODS[function.attr]
        risk = Risk(line=node.lineno, name=function.attr, message=message, package="pathlib")
        self.risks.append(risk)

    def _is_harmless(self, name: str, first: ast.expr | None) -> bool:
        if name in ABSOLUTE:
            return first is not None and self._is_placed(first)
        if name in EXPANDED:
            return isinstance(first, ast.Constant) and not str(first.value).startswith("~")
        return name == "hash" and isinstance(first, ast.Constant) and not is_text(first)

    # Paths that are absolute wherever the process runs.

    def _is_placed(self, node: ast.expr, seen: Set[str] = frozenset()) -> bool:
        match node:
            case ast.Constant(value=str() as text):
                return re.match(r"/|[A-Za-z]:[\\/]", text) is not None
            case ast.Name(id="__file__"):
                return True
            case ast.Name(id=name):
                values = () if name in seen else self._bound.get(name, ())
                inner = seen | {name}
                return bool(values) and all(v and self._is_placed(v, inner) for v in values)
            case ast.Attribute(value=inside) | ast.Subscript(value=inside):
                return self._is_placed(inside, seen)
            case ast.BinOp(left=inside, op=ast.Div()):
                return self._is_placed(inside, seen)
            case ast.Call(func=function, args=args) if called(node) in _SAME_PLACE:
                if called(node) in ("cwd", "home", "getcwd"):
                    return True  # reported by itself
                first = args[0] if args else getattr(function, "value", None)
                if isinstance(function, ast.Attribute) and self._is_placed(function.value, seen):
                    return True
                return first is not None and self._is_placed(first, seen)
        return False

    # Sets

    def _iterates(self, node: ast.expr, generators: list[ast.comprehension]) -> None:
        self._takes(node, [generator.iter for generator in generators])

    def _takes(self, node: ast.expr | ast.stmt, collections: Iterable[ast.expr]) -> None:
        """Note that `node` takes the items of collections in their order."""
        if id(node) in self._in_any_order:
            return
        line = getattr(node, "lineno", 0)
        known = [sources for each in collections if (sources := self._sets.of(each)) is not None]
        if CERTAIN in known:
            self.risks.append(Risk(line=line, name="set", message=ORDER))
        for sources in known:
            self._taken += (Taken(line, source) for source in sources)

    def _is_in_any_order(self, loop: ast.For | ast.AsyncFor) -> bool:
        """Whether a loop only looks for something, or fills sets that it does not read."""
        rest = list(loop.body)
        filled: list[str] = []
        returns = 0
        while rest:
            match rest.pop():
                case ast.If(body=body, orelse=orelse):
                    rest += body + orelse
                case ast.Expr(ast.Call(func=ast.Attribute(value=ast.Name() as name, attr="add"))):
                    if self._sets.of(name) != CERTAIN:
                        return False
                    filled.append(name.id)
                case ast.Return(value=ast.Constant() | None):
                    returns += 1
                case ast.Pass() | ast.Continue() | ast.Raise() | ast.Assert():
                    pass
                case _:
                    return False
        inside = list(ast.walk(loop))
        names = [node.id for node in inside if isinstance(node, ast.Name)]
        binds = any(isinstance(node, ast.NamedExpr) for node in inside)
        return returns <= 1 and not binds and all(names.count(n) == filled.count(n) for n in filled)

    def _sorted_in_place(self, node: ast.AST) -> None:
        """Of ``a = list(b)`` the order does not count if ``a.sort()`` comes at once."""
        body = getattr(node, "body", ())
        if not isinstance(body, list):
            return
        for statement, following in pairwise(body):
            match statement, following:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value),
                    ast.Expr(ast.Call(func=ast.Attribute(value=ast.Name(id=other), attr="sort"))),
                ) if name == other:
                    self._in_any_order.add(id(value))


def _tells_apart(node: ast.expr | None) -> bool:
    """Whether `node` asks for an address or a hash, of which only equality may count."""
    return isinstance(node, ast.Call) and called(node) in ("id", "hash", "__hash__")
