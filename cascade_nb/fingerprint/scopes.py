"""The scopes of Python: what a piece of code binds, and what it takes from outside."""

# ruff: noqa: D102, N815 - the methods of visitors are named after the nodes they visit

from __future__ import annotations

import ast
import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


class CallForm(enum.IntEnum):
    """How a name is called, as far as that matters: with arguments or without.

    `HARMLESS` is a call whose answer tells nothing of the process, as ``abspath("/a")``.
    """

    OTHER = 0
    BARE = 1
    HARMLESS = 2


@dataclass(frozen=True, slots=True)
class Use:
    """A dotted name that code takes from outside of itself.

    `root` is a global or a closure's name; where `imported`, it is the path of a module that the
    code imports itself, with `level` leading dots. `call` is how it is called.
    """

    root: str
    attributes: tuple[str, ...] = ()
    line: int = 0
    imported: bool = False
    level: int = 0
    call: CallForm = CallForm.OTHER

    @property
    def text(self) -> str:
        """The name as people write it."""
        return ".".join(("." * self.level + self.root, *self.attributes))


@dataclass(slots=True)
class Scope:
    """A region of code with names of its own.

    Of a function all local names are known beforehand; a class body or a cell has those that are
    `bound` for certain at the point reached, and those `touched` by then, perhaps. `literals` are
    all the texts that a name of a comprehension stands for.
    """

    flows: bool
    bound: set[str] = field(default_factory=set)
    touched: set[str] = field(default_factory=set)
    declared_global: set[str] = field(default_factory=set)
    modules: dict[str, Use] = field(default_factory=dict)
    literals: dict[str, tuple[str, ...]] = field(default_factory=dict)
    is_class: bool = False
    is_comprehension: bool = False


def imported_star(module: ModuleType | None) -> list[str]:
    """The names that ``from module import *`` binds, as far as it is loaded."""
    if module is None:
        return []
    listed = getattr(module, "__all__", None)
    return list(listed) if listed else [name for name in vars(module) if not name.startswith("_")]


class Bindings(ast.NodeVisitor):
    """The names that statements bind in their own scope."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self.names: set[str] = set()
        self.outer: set[str] = set()
        self.globals: set[str] = set()
        self.imports: dict[str, list[Use]] = {}
        self._other: set[str] = set()
        for node in nodes:
            self.visit(node)

    @property
    def modules(self) -> dict[str, Use]:
        """The names that can be nothing but one imported thing."""
        return {
            name: uses[0]
            for name, uses in self.imports.items()
            if len(set(uses)) == 1 and name not in self._other
        }

    def _bind(self, name: str | None) -> None:
        if name is not None:
            self.names.add(name)
            self._other.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self._bind(node.id)

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._bind(node.name)
        for part in (*node.decorator_list, *node.args.defaults, *node.args.kw_defaults):
            if part is not None:
                self.visit(part)

    visit_FunctionDef = _visit_definition
    visit_AsyncFunctionDef = _visit_definition

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._bind(node.name)
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(part)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for part in (*node.args.defaults, *node.args.kw_defaults):
            if part is not None:
                self.visit(part)

    def _visit_comprehension(self, node: Comprehension) -> None:
        # Only the walrus reaches out of a comprehension.
        for inner in ast.walk(node):
            if isinstance(inner, ast.NamedExpr):
                self.visit(inner.target)

    visit_ListComp = _visit_comprehension
    visit_SetComp = _visit_comprehension
    visit_DictComp = _visit_comprehension
    visit_GeneratorExp = _visit_comprehension

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name, use = imported_module(alias, node.lineno)
            self.names.add(name)
            self.imports.setdefault(name, []).append(replace(use, line=0))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                continue
            name = alias.asname or alias.name
            use = imported_name(node, alias)
            self.names.add(name)
            self.imports.setdefault(name, []).append(replace(use, line=0))

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind(node.rest)
        self.generic_visit(node)

    def visit_Global(self, node: ast.Global) -> None:
        self.outer.update(node.names)
        self.globals.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.outer.update(node.names)


def imported_module(alias: ast.alias, line: int) -> tuple[str, Use]:
    """What `import a.b` (as c) binds: a name, and the module that it then is."""
    if alias.asname is not None:
        return alias.asname, Use(alias.name, line=line, imported=True)
    top = alias.name.partition(".")[0]
    return top, Use(top, line=line, imported=True)


def imported_name(node: ast.ImportFrom, alias: ast.alias) -> Use:
    """What `from a import b` binds."""
    return Use(node.module or "", (alias.name,), line=node.lineno, imported=True, level=node.level)


def function_scope(node: Function) -> Scope:
    """The names of a function's own."""
    bindings = Bindings(node.body if isinstance(node.body, list) else [node.body])
    own = arguments_of(node)
    modules = {name: use for name, use in bindings.modules.items() if name not in own}
    return Scope(
        flows=False,
        bound=(own | bindings.names) - bindings.outer,
        declared_global=bindings.globals,
        modules=modules,
    )


def dotted(node: ast.expr) -> tuple[ast.expr | None, list[str]]:
    """The expression at the root of a dotted name, and the attributes after it."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return node, attributes[::-1]


def arguments_of(node: Function) -> set[str]:
    """The names of a function's parameters."""
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return {argument.arg for argument in every}


def literals_in(generators: Sequence[ast.comprehension]) -> dict[str, tuple[str, ...]]:
    """The texts that names stand for in ``for name in ("a", "b")``."""
    found: dict[str, tuple[str, ...]] = {}
    bound = [n.id for g in generators for n in ast.walk(g.target) if isinstance(n, ast.Name)]
    for generator in generators:
        match generator:
            case ast.comprehension(
                target=ast.Name(id=name), iter=ast.Tuple(elts=items) | ast.List(elts=items)
            ) if bound.count(name) == 1:
                texts = [item.value for item in items if isinstance(item, ast.Constant)]
                if len(texts) == len(items) and all(isinstance(text, str) for text in texts):
                    found[name] = tuple(map(str, texts))
    return found
