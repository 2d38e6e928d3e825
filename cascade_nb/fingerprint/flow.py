"""What is bound for certain at each point of a piece of code, and where.

Of the branches of an `if` only what all of them bind is bound afterwards; a loop may not run at
all, unless what it goes over is there to be read; a `try` may end anywhere.
"""

# ruff: noqa: D102, N815 - the methods of visitors are named after the nodes they visit

from __future__ import annotations

import ast
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cascade_nb.fingerprint import risks
from cascade_nb.fingerprint.scopes import Scope


@dataclass(slots=True)
class _Loop:
    """What is bound for certain where a loop is left, and where a further round is begun."""

    left: list[set[str]] = field(default_factory=list)
    repeated: list[set[str]] = field(default_factory=list)


# Builtins that give as many things as they are given, or at least one where that holds any.
_AS_MANY = frozenset({"enumerate", "reversed", "sorted", "list", "tuple", "set", "zip"})


class FlowVisitor(ast.NodeVisitor):
    """Visits code in the order in which it runs and keeps the account of its scopes."""

    def __init__(self, class_name: str | None = None) -> None:
        self.scopes: list[Scope] = []
        self._class_names = [class_name]
        self._loops: list[_Loop] = []
        self.shadowed: Container[str] = ()

    @contextmanager
    def scope(self, scope: Scope, class_name: str | None = None) -> Iterator[Scope]:
        """Visit what is inside of `scope`."""
        self.scopes.append(scope)
        self._class_names.append(class_name or self._class_names[-1])
        yield scope
        self._class_names.pop()
        self.scopes.pop()

    def mangled(self, name: str) -> str:
        """`name` as the compiler knows it in the class around."""
        class_name = self._class_names[-1]
        if class_name is None or not name.startswith("__") or name.endswith("__"):
            return name
        stripped = class_name.lstrip("_")
        return f"_{stripped}{name}" if stripped else name

    def home(self, name: str) -> Scope | None:
        """The scope inside of the visited code where `name` is bound; None: outside."""
        for scope in reversed(self.scopes):
            if name in scope.declared_global:
                outermost = self.scopes[0]
                return outermost if outermost.flows and name in outermost.bound else None
            if scope.is_class and scope is not self.scopes[-1]:
                continue
            if name in scope.bound:
                return scope
        return None

    def _is_builtin(self, name: str) -> bool:
        """Whether nobody has bound `name`, so that it means a builtin."""
        if name in self.shadowed:
            return False
        return all(name not in scope.bound | scope.touched for scope in self.scopes)

    def store(self, name: str) -> None:
        """Note that `name` is bound in the scope at hand."""
        name = self.mangled(name)
        scope = self.scopes[-1]
        if name in scope.declared_global:
            self.store_global(name)
        elif scope.flows:
            scope.bound.add(name)
            scope.touched.add(name)
            scope.modules.pop(name, None)

    def delete(self, name: str) -> None:
        """Note that `name` is unbound in the scope at hand."""
        name = self.mangled(name)
        scope = self.scopes[-1]
        if name in scope.declared_global:
            self.store_global(name)
        elif scope.flows:
            scope.bound.discard(name)

    def store_global(self, name: str) -> None:
        """Called where a function binds or unbinds a global."""

    def block(self, statements: Sequence[ast.stmt]) -> bool:
        """Visit statements in order; whether control comes out at their end."""
        for statement in statements:
            if self.visit(statement) is False:
                return False
            if isinstance(statement, ast.Return | ast.Raise):
                return False
        return True

    def _binding(self) -> Scope:
        """The scope in which the walrus binds: that around its comprehensions."""
        return next(scope for scope in reversed(self.scopes) if not scope.is_comprehension)

    def branches(self, *branches: tuple[set[str], Sequence[ast.stmt]]) -> bool:
        """Visit blocks of which one runs, each after what is bound; whether control comes out."""
        scope = self.scopes[-1]
        after = []
        for bound, statements in branches:
            scope.bound = set(bound)
            if self.block(statements):
                after.append(scope.bound)
        return self._join(after)

    def _join(self, after: Sequence[set[str]]) -> bool:
        """Go on where several ways meet; False where there is none."""
        if after:
            self.scopes[-1].bound = set.intersection(*after)
        return bool(after)

    def condition(self, node: ast.expr) -> tuple[set[str], set[str]]:
        """Visit a test; what is bound for certain where it holds, and where it does not."""
        scope = self._binding()
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            holds, fails = self.condition(node.operand)
            return fails, holds
        if not isinstance(node, ast.BoolOp):
            self.visit(node)
            return set(scope.bound), set(scope.bound)
        conjoined = isinstance(node.op, ast.And)
        ended = []
        for value in node.values:
            holds, fails = self.condition(value)
            ended.append(fails if conjoined else holds)
            scope.bound = set(holds if conjoined else fails)
        through, early = scope.bound, set.intersection(*ended)
        scope.bound = through & early
        return (through, early) if conjoined else (early, through)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.condition(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        scope = self._binding()
        holds, fails = self.condition(node.test)
        scope.bound = holds
        self.visit(node.body)
        after, scope.bound = scope.bound, fails
        self.visit(node.orelse)
        scope.bound = scope.bound & after

    def visit_If(self, node: ast.If) -> bool:
        holds, fails = self.condition(node.test)
        return self.branches((holds, node.body), (fails, node.orelse))

    @contextmanager
    def _loop(self) -> Iterator[_Loop]:
        loop = _Loop()
        self._loops.append(loop)
        yield loop
        self._loops.pop()

    def visit_Break(self, _: ast.Break) -> bool:
        if self._loops:
            self._loops[-1].left.append(set(self.scopes[-1].bound))
        return False

    def visit_Continue(self, _: ast.Continue) -> bool:
        if self._loops:
            self._loops[-1].repeated.append(set(self.scopes[-1].bound))
        return False

    def _visit_for(self, node: ast.For | ast.AsyncFor) -> bool:
        self.visit(node.iter)
        scope = self.scopes[-1]
        before = set(scope.bound)
        with self._loop() as loop:
            self.visit(node.target)
            ends = self.block(node.body)
        ended = [*loop.repeated, scope.bound] if ends else loop.repeated
        if not is_filled(node.iter, self._is_builtin):
            ended.append(before)
        after = [*loop.left]
        if self._join(ended) and self.block(node.orelse):
            after.append(scope.bound)
        return self._join(after)

    visit_For = _visit_for
    visit_AsyncFor = _visit_for

    def visit_While(self, node: ast.While) -> bool:
        holds, fails = self.condition(node.test)
        scope = self.scopes[-1]
        with self._loop() as loop:
            scope.bound = set(holds)
            self.block(node.body)
        after = [*loop.left]
        scope.bound = fails
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        if not endless and self.block(node.orelse):
            after.append(scope.bound)
        return self._join(after)

    def _visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item)
        before = set(self.scopes[-1].bound)
        self.block(node.body)  # Whatever ends it, the context manager may swallow that.
        if any(risks.may_swallow(item.context_expr) for item in node.items):
            self.scopes[-1].bound = before

    visit_With = _visit_with
    visit_AsyncWith = _visit_with

    def _visit_try(self, node: ast.Try | ast.TryStar) -> bool:
        scope = self.scopes[-1]
        before = set(scope.bound)
        after = []
        if self.block(node.body) and self.block(node.orelse):
            after.append(scope.bound)
        for handler in node.handlers:
            scope.bound = set(before)
            if self._handler(handler):
                after.append(scope.bound)
        ended = set.intersection(*after) if after else before
        scope.bound = set(before)
        ends = self.block(node.finalbody)
        scope.bound = ended | scope.bound
        return ends and bool(after)

    visit_Try = _visit_try
    visit_TryStar = _visit_try

    def _handler(self, handler: ast.ExceptHandler) -> bool:
        if handler.type is not None:
            self.visit(handler.type)
        if handler.name is not None:
            self.store(handler.name)
        ends = self.block(handler.body)
        if handler.name is not None:
            self.delete(handler.name)
        return ends

    def visit_Match(self, node: ast.Match) -> bool:
        self.visit(node.subject)
        scope = self.scopes[-1]
        before = set(scope.bound)
        after = [] if is_irrefutable(node.cases[-1]) else [before]
        for case in node.cases:
            scope.bound = set(before)
            self.visit(case.pattern)
            if case.guard is not None:
                self.visit(case.guard)
            if self.block(case.body):
                after.append(scope.bound)
        return self._join(after)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self.generic_visit(node)
        if node.name is not None:
            self.store(node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name is not None:
            self.store(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest is not None:
            self.store(node.rest)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.delete(target.id)
            else:
                self.visit(target)


def is_irrefutable(case: ast.match_case) -> bool:
    """Whether a case takes whatever comes."""
    pattern = case.pattern
    return case.guard is None and isinstance(pattern, ast.MatchAs) and pattern.pattern is None


def is_filled(node: ast.expr, is_builtin: Callable[[str], bool]) -> bool:
    """Whether a loop over `node` runs at least once for certain."""
    if isinstance(node, ast.List | ast.Tuple | ast.Set):
        return any(not isinstance(item, ast.Starred) for item in node.elts)
    if isinstance(node, ast.Dict):
        return any(key is not None for key in node.keys)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes) and bool(node.value)
    if not isinstance(node, ast.Call):
        return False
    if isinstance(node.func, ast.Attribute):
        shown = node.func.value  # as in ``{"a": 1}.items()``
        view = node.func.attr in ("items", "keys", "values")
        return view and isinstance(shown, ast.Dict) and is_filled(shown, is_builtin)
    name = getattr(node.func, "id", "")
    if not node.args or not is_builtin(name):
        return False
    if name == "range":
        return _is_filled_range(node)
    parts = node.args if name == "zip" else node.args[:1]
    return name in _AS_MANY and all(is_filled(part, is_builtin) for part in parts)


def _is_filled_range(node: ast.Call) -> bool:
    try:
        return bool(range(*map(ast.literal_eval, node.args)))
    except (TypeError, ValueError):
        return False  # of computed numbers, or none at all
