"""What a cell reads, binds and deletes, by its text alone.

A name counts as read where it is used at a point at which the cell has not bound it for certain.
The body of a function defined in the cell is read where the function is first used: until then it
does not run. Code inside magics is code of the cell.
"""

# ruff: noqa: N802, N815 - the methods of visitors are named after the nodes they visit

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import magics
from cascade_nb.fingerprint.code import Root, asks_about_code, enumerates, group, identifiers
from cascade_nb.fingerprint.magics import Magic
from cascade_nb.fingerprint.names import Reader
from cascade_nb.fingerprint.normal import NormalForm, digest, is_constant
from cascade_nb.fingerprint.orders import Orders
from cascade_nb.fingerprint.risks import Risk
from cascade_nb.fingerprint.scopes import CallForm, Scope, Use, imported_star
from cascade_nb.fingerprint.source import plain_python

_DEFINITIONS = (
    ast.Import,
    ast.ImportFrom,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellCode:
    """The analysis of one cell.

    `source` is plain Python, `tree` what it parses to. `reads`, `writes` and `deletes` are names
    of the namespace; of those in `conditional` it matters whether they exist. `definitions` are
    the top-level statements that are run again on a hit: imports, functions (lambdas with a name
    too), classes (named tuples too) and set-up magics. `star_imports` are modules whose names are
    taken all together.
    """

    source: str
    tree: ast.Module
    reads: frozenset[str]
    writes: frozenset[str]
    deletes: frozenset[str]
    conditional: frozenset[str]
    definitions: tuple[ast.stmt, ...]
    only_definitions: bool
    star_imports: tuple[str, ...]
    digest: str
    risks: tuple[Risk, ...]
    roots: tuple[Root, ...] = field(repr=False)
    imports: tuple[Use, ...] = field(repr=False)
    environment: tuple[str, ...] = field(repr=False)
    attributes: frozenset[str] = field(repr=False)
    reads_documents: bool = field(repr=False)
    orders: Orders = field(repr=False)
    enumerates: bool = field(repr=False)


def analyse_cell(source: str, shadowed: Container[str] = ()) -> CellCode:
    """Analyse a cell's body; magics in it may have been transformed to calls already.

    Args:
        source: its text.
        shadowed: names of builtins that may mean something else, as those of the namespace.

    Raises:
        SyntaxError: it is no Python.
        FingerprintError: it is nested too deeply.
    """
    source = plain_python(source)
    tree = ast.parse(source)
    try:
        return _analysed(source, tree, shadowed)
    except RecursionError as error:
        message = "the cell's code is nested too deeply to be analysed"
        raise FingerprintError(message, path="code") from error


def _analysed(source: str, tree: ast.Module, shadowed: Container[str]) -> CellCode:
    docstrings, annotations = asks_about_code(identifiers(tree))
    reader = _CellReader(annotations=annotations)
    reader.shadowed = shadowed
    reader.study(tree)
    reader.read(tree)
    definitions = tuple(statement for statement in tree.body if _is_definition(statement))
    others = (s for s in tree.body if not _is_definition(s) and not isinstance(s, ast.Pass))
    by_root, imported = group(reader.uses.values())
    normal = NormalForm(docstrings=docstrings, annotations=annotations)
    return CellCode(
        source=source,
        tree=tree,
        reads=frozenset(reader.reads),
        writes=frozenset(reader.writes),
        deletes=frozenset(reader.deletes),
        conditional=frozenset(reader.conditional),
        definitions=definitions,
        only_definitions=next(others, None) is None,
        star_imports=tuple(reader.star_imports),
        digest=digest(b"cell", normal.of_statements(_that_count(source, tree)), _ending(source)),
        risks=tuple(dict.fromkeys(reader.risks)),
        roots=tuple(Root(name, uses) for name, uses in by_root.items()),
        imports=(*reader.imports.values(), *imported),
        environment=tuple(sorted(reader.environment)),
        attributes=frozenset(reader.attributes),
        reads_documents=docstrings or annotations,
        orders=reader.orders,
        enumerates=enumerates(tree),
    )


def _is_definition(statement: ast.stmt) -> bool:
    if isinstance(statement, _DEFINITIONS):
        return True
    if isinstance(statement, ast.Assign):
        return len(statement.targets) == 1 and _defines(statement.targets[0], statement.value)
    magic = magics.of_statement(statement)
    return magic is not None and magic.is_setup


def _defines(target: ast.expr, value: ast.expr) -> bool:
    """Whether ``target = value`` is another way to write ``def`` or ``class``."""
    if not isinstance(target, ast.Name):
        return False
    if isinstance(value, ast.Call):
        maker = value.func
        name = maker.attr if isinstance(maker, ast.Attribute) else getattr(maker, "id", "")
        return name == "namedtuple"
    return isinstance(value, ast.Lambda)


def _that_count(source: str, tree: ast.Module) -> list[ast.stmt]:
    """The statements of a cell with the code inside magics parsed, less idle constants."""
    body = tree.body
    if magics.MARK in source:
        body = magics.with_code_parsed(source).body
    return [statement for statement in body if statement is body[-1] or not is_constant(statement)]


def _ending(source: str) -> bytes:
    """A last semicolon keeps the last value from being shown."""
    last = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.OP, tokenize.NAME, tokenize.NUMBER, tokenize.STRING):
                last = token.string
    except (tokenize.TokenError, SyntaxError):
        # What parses and is no tokens to this module ends as it reads.
        last = source.rstrip()[-1:]
    return b";" if last == ";" else b""


class _CellReader(Reader):
    """Reads a cell from top to bottom, as it would run."""

    def __init__(self, *, annotations: bool) -> None:
        super().__init__(annotations=annotations)
        self.reads: set[str] = set()
        self.writes: set[str] = set()
        self.deletes: set[str] = set()
        self.conditional: set[str] = set()
        self.star_imports: list[str] = []
        self._cell = Scope(flows=True)
        self._waiting: dict[str, list[tuple[ast.FunctionDef | ast.AsyncFunctionDef, str | None]]]
        self._waiting = {}

    def read(self, tree: ast.Module) -> None:
        """Read the whole cell."""
        with self.scope(self._cell):
            self.block(tree.body)

    # Names

    def outside(self, name: str) -> None:
        self.reads.add(name)
        if name in self._cell.touched:
            self.conditional.add(name)

    def loaded(
        self, name: str, attributes: Sequence[str], line: int, *, call: CallForm = CallForm.OTHER
    ) -> None:
        if self.home(name) is self._cell or name not in self._cell.bound:
            self._run_waiting(name)
        super().loaded(name, attributes, line, call=call)

    def store(self, name: str) -> None:
        super().store(name)
        if self.scopes[-1] is self._cell:
            self.writes.add(name)
            self.deletes.discard(name)

    def store_global(self, name: str) -> None:
        self.writes.add(name)
        if name not in self._cell.bound:
            self._cell.touched.add(name)
            super().store_global(name)

    def delete(self, name: str) -> None:
        if self.scopes[-1] is self._cell or name in self.scopes[-1].declared_global:
            self.deletes.add(name)
            if name not in self._cell.bound:
                self.conditional.add(name)
            self._cell.bound.discard(name)
            self._waiting.pop(name, None)
        super().delete(name)

    # Definitions

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        scope = self.scopes[-1]
        self.visit_signature(node)
        self.store(node.name)
        if scope is self._cell and not node.decorator_list:
            self._waiting.setdefault(node.name, []).append((node, None))
        elif scope.is_class and self.scopes[-2] is self._cell and not node.decorator_list:
            class_name = self._class_names[-1] or ""
            self._waiting.setdefault(class_name, []).append((node, class_name))
        else:
            self.visit_function(node)

    visit_FunctionDef = _visit_definition
    visit_AsyncFunctionDef = _visit_definition

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        super().visit_ClassDef(node)
        # A decorator, a metaclass or a base may call the methods at once.
        if node.decorator_list or node.keywords or node.bases:
            self._run_waiting(node.name)

    def _run_waiting(self, name: str) -> None:
        """Read the functions behind `name`, which may run from here on."""
        for node, class_name in self._waiting.pop(name, ()):
            scopes, self.scopes = self.scopes, [self._cell]
            self._class_names.append(class_name)
            self.visit_function(node)
            self._class_names.pop()
            self.scopes = scopes

    # Imports and magics

    def star_import(self, node: ast.ImportFrom) -> None:
        super().star_import(node)
        self.star_imports.append("." * node.level + (node.module or ""))
        for name in imported_star(sys.modules.get(node.module or "")):
            self.store(name)

    def visit_Call(self, node: ast.Call) -> None:
        magic = magics.of_call(node)
        if magic is None:
            super().visit_Call(node)
        else:
            self._magic(magic, node)

    def _magic(self, magic: Magic, node: ast.Call) -> None:
        for argument in magic.computed:
            self.visit(argument)
        for name in magic.written:
            self.store(name)
        for expression in magic.expansions:
            self.visit_text(expression, node)
        if magic.code is not None:
            tree = magics.parsed(magic.code)
            if tree is None:
                self.risk(node, magic.name, "its body cannot be followed")
            elif magic.own_scope:
                with self.scope(Scope(flows=True)):
                    self.block(tree.body)
            else:
                self.block(tree.body)
        if magic.risk is not None:
            self.risk(node, magic.name, magic.risk)
