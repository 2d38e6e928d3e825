"""What is bound for certain at each point of a piece of code, and where.

Of the branches of an `if` only what all of them bind is bound afterwards; a loop may not run at
all, a `try` may end anywhere.
"""

# ruff: noqa: D102, N815 - the methods of visitors are named after the nodes they visit

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cascade_nb.fingerprint import risks
from cascade_nb.fingerprint.scopes import Scope


class FlowVisitor(ast.NodeVisitor):
    """Visits code in the order in which it runs and keeps the account of its scopes."""

    def __init__(self, class_name: str | None = None) -> None:
        self.scopes: list[Scope] = []
        self._class_names = [class_name]

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
            self.visit(statement)
            if isinstance(statement, ast.Return | ast.Raise | ast.Break | ast.Continue):
                return False
        return True

    def branches(self, *branches: Sequence[ast.stmt], exhaustive: bool = True) -> None:
        """Visit blocks of which one runs; what is bound after all of them is bound for certain."""
        scope = self.scopes[-1]
        before = set(scope.bound)
        after = [] if exhaustive else [before]
        for branch in branches:
            scope.bound = set(before)
            if self.block(branch):
                after.append(scope.bound)
        scope.bound = set.intersection(*after) if after else before

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self.branches(node.body, node.orelse)

    def _visit_for(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        before = set(self.scopes[-1].bound)
        self.visit(node.target)
        self.block(node.body)
        if not is_filled(node.iter):
            self.scopes[-1].bound = before
        self.block(node.orelse)

    visit_For = _visit_for
    visit_AsyncFor = _visit_for

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        before = set(self.scopes[-1].bound)
        self.block(node.body)
        self.scopes[-1].bound = before
        self.block(node.orelse)

    def _visit_with(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            self.visit(item)
        before = set(self.scopes[-1].bound)
        self.block(node.body)
        if any(risks.may_swallow(item.context_expr) for item in node.items):
            self.scopes[-1].bound = before

    visit_With = _visit_with
    visit_AsyncWith = _visit_with

    def _visit_try(self, node: ast.Try | ast.TryStar) -> None:
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
        self.block(node.finalbody)
        scope.bound = ended | scope.bound

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

    def visit_Match(self, node: ast.Match) -> None:
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
        scope.bound = set.intersection(*after) if after else before

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


def is_filled(node: ast.expr) -> bool:
    """Whether a loop over `node` runs at least once for certain."""
    if isinstance(node, ast.List | ast.Tuple):
        return any(not isinstance(item, ast.Starred) for item in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(node.value)
