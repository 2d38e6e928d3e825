"""What a run has left in the namespace: values to store, and names that come back by other ways.

Values are stored. Imports, functions and classes come back from the cell's source; other names of
modules, functions and classes as references to where those are found. What has neither way (a
closure, an iterator) cannot be restored, and the cell is a bypass that names it.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import reach
from cascade_nb.fingerprint.cells import CellCode
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.notebook.closed_files import how_opened
from cascade_nb.notebook.in_place import parts_of

# Names of IPython's and Python's own, which come and go with every cell.
_OWN = re.compile(
    r"_{1,3}|_i{1,3}|_i?\d+|_[iod]h|In|Out|get_ipython|exit|quit|_exit_code"
    r"|__warningregistry__|__annotations__|__doc__"
)
_CONSTANTS = frozenset({type(None), bool, int, float, str, bytes})
_DEFINITIONS = (FunctionType, BuiltinFunctionType, MethodType, type)


@dataclass(slots=True)
class Bindings:
    """What a run has bound, changed or deleted.

    `outputs` are stored. `references` say where else a name's value is found: ``["module", m]``,
    ``["name", other]``, ``["import", m, qualname]`` or ``["closed file", name, ...]``.
    `definitions` are fingerprints of what the cell's definitions made. `unsure` are fingerprints of
    values that the cell may have bound to the very object that was there: on a hit it must be there
    as well. `shown` counts the values beside ``Out[n]``, which are stored under names that are none
    of the namespace's.
    """

    outputs: dict[str, Any] = field(default_factory=dict)
    references: dict[str, list[str]] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    unsure: dict[str, str] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    shown: int = 0
    refusal: str = ""

    def as_plan(self) -> dict[str, Any]:
        """All but the outputs, as plain data."""
        bound = self.outputs.keys() - shown_names(self.shown)
        return {
            "bound": [n for n in self.outputs if n in bound],
            "shown": self.shown,
            # Definitions that need no more than these are whole before anything is decoded.
            "constants": {n: self.outputs[n] for n in bound if type(self.outputs[n]) in _CONSTANTS},
            "references": self.references,
            "definitions": self.definitions,
            "unsure": self.unsure,
            "deleted": self.deleted,
        }


class Binder:
    """Finds out what one run of `code` has bound.

    Args:
        code: the analysed cell.
        before: what the names were bound to before the run.
        namespace: the user's, after it.
        wanted: the only names to store, where the user gave some.
        global_writes: names that functions may have bound which the cell called.
    """

    def __init__(
        self,
        code: CellCode,
        before: Mapping[str, Any],
        namespace: Mapping[str, Any],
        wanted: Collection[str] | None,
        *,
        global_writes: Collection[str] = (),
    ) -> None:
        self._code = code
        self._maybe = code.writes | set(global_writes)
        self._before = before
        self._namespace = namespace
        self._wanted = wanted
        self._defined = defined_names(code)
        self._found = Bindings()

    def find(self, values: Sequence[Any], *, in_place: Collection[str]) -> Bindings:
        """What was bound; `values` are those shown beside ``Out[n]``.

        `in_place` names inputs that were changed on the same object and are stored in any case.
        """
        found, namespace = self._found, self._namespace
        for name in self._names(in_place):
            self._take(name, namespace[name])
        if self._wanted is None:
            found.shown = len(values)
            for name, value in zip(shown_names(len(values)), values, strict=True):
                self._take(name, value)
            found.deleted = [n for n in self._before if n not in namespace and not self._hides(n)]
        for name in sorted(self._defined):
            if name in namespace and not isinstance(namespace[name], ModuleType):
                self._define(name, namespace[name])
        return found

    def _names(self, in_place: Collection[str]) -> Iterator[str]:
        """The names that the run has bound, definitions included."""
        namespace, before = self._namespace, self._before
        if self._wanted is not None:
            missing = [n for n in self._wanted if n not in namespace]
            if missing:
                self._refuse(f"it binds no {missing[0]}")
            yield from (n for n in self._wanted if n in namespace)
            return
        certain = always_bound(self._code.tree)
        for name, value in namespace.items():
            if name in in_place:
                yield name
            elif self._hides(name):
                continue
            elif name not in before or before[name] is not value:
                yield name
            elif name in self._maybe and name not in self._defined:
                if name not in certain:
                    self._doubt(name, value)
                elif name not in self._code.reads or not _can_change(value):
                    yield name

    def _hides(self, name: str) -> bool:
        return _OWN.fullmatch(name) is not None and name not in self._code.writes

    def _take(self, name: str, value: Any) -> None:
        found = self._found
        if name in self._defined:
            return
        if isinstance(value, ModuleType):
            if sys.modules.get(value.__name__) is value:
                found.references[name] = ["module", value.__name__]
            else:
                self._refuse(f"{name} is a module that no import finds")
        elif isinstance(value, _DEFINITIONS):
            reference = self._reference(name, value)
            if reference is None:
                kind = "class" if isinstance(value, type) else "function"
                self._refuse(f"{name} is a {kind} that no definition in the cell makes")
            else:
                found.references[name] = reference
        elif (opened := how_opened(value)) is not None:
            found.references[name] = ["closed file", *opened]
        elif isinstance(value, Iterator):
            self._refuse(f"{name} is an iterator")
        else:
            found.outputs[name] = value
            held = next((p for p in parts_of(value) if self._is_own_function(p)), None)
            if held is not None:
                self._refuse(f"{name} holds the function {held.__name__} of this notebook")

    def _is_own_function(self, part: Any) -> bool:
        """Whether a copy of it would have other globals than the notebook's."""
        return isinstance(part, FunctionType) and part.__globals__ is self._namespace

    def _reference(self, name: str, value: Any) -> list[str] | None:
        for other, object_ in self._namespace.items():
            stays = other in self._defined or self._before.get(other) is value
            if object_ is value and other != name and stays and not self._hides(other):
                return ["name", other]
        module, qualname = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
        if not isinstance(module, str) or module == "__main__":
            return None
        return ["import", module, qualname] if imported(module, qualname) is value else None

    def _define(self, name: str, value: Any) -> None:
        try:
            self._found.definitions[name] = definition_digest(name, value)
        except FingerprintError as error:
            self._refuse(str(error))

    def _doubt(self, name: str, value: Any) -> None:
        try:
            self._found.unsure[name] = fingerprint(value, path=name)
        except FingerprintError as error:
            self._refuse(str(error))

    def _refuse(self, reason: str) -> None:
        self._found.refusal = self._found.refusal or reason


def shown_names(count: int) -> list[str]:
    """The names under which values shown beside ``Out[n]`` are stored; the last one is "Out"."""
    return [f"Out.{index}" for index in range(count - 1)] + ["Out"] * (count > 0)


def definition_digest(name: str, value: Any) -> str:
    """What must be equal for a definition run again to be the same one.

    For a function that is its code and what was evaluated with it; the globals that it reaches are
    the session's, as they are.
    """
    if not isinstance(value, FunctionType) or not reach.is_followed(value):
        return fingerprint(value, path=name)
    closure = [getattr(cell, "cell_contents", None) for cell in value.__closure__ or ()]
    carried = [value.__defaults__, value.__kwdefaults__, vars(value), closure]
    return f"{reach.own_digest(value)} {fingerprint(carried, path=name)}"


def imported(module: str, qualname: str) -> Any:
    """The object of that name in a loaded module; None where there is none."""
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def defined_names(code: CellCode) -> set[str]:
    """The names that only imports, functions and classes of the cell bind."""
    definitions = {id(statement) for statement in code.definitions}
    defined: set[str] = set()
    others: set[str] = set()
    for statement in code.tree.body:
        (defined if id(statement) in definitions else others).update(names_bound(statement))
    for module in code.star_imports:
        loaded = sys.modules.get(module)
        public = getattr(loaded, "__all__", None)
        defined.update(n for n in vars(loaded) if not n.startswith("_")) if loaded else None
        defined.update(public or ())
    return defined - others


def names_bound(statement: ast.stmt) -> set[str]:
    """The names that a statement may bind in its own scope."""
    return set(_bound([statement]))


def names_read(statements: Iterable[ast.stmt]) -> set[str]:
    """The names that code in the statements reads, at any depth."""
    nodes = (node for statement in statements for node in ast.walk(statement))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def always_bound(tree: ast.Module) -> set[str]:
    """The names that a cell binds whatever happens, once it has run to its end."""
    names: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.Assign):
            names.update(_bound(statement.targets))
        elif isinstance(statement, ast.AugAssign) or (
            isinstance(statement, ast.AnnAssign) and statement.value is not None
        ):
            names.update(_bound([statement.target]))
    return names


def _bound(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0]
        elif isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node.id
        elif not isinstance(node, ast.Lambda):
            if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
                yield node.name
            if isinstance(node, ast.MatchMapping) and node.rest:
                yield node.rest
            yield from _bound(ast.iter_child_nodes(node))


def _can_change(value: Any) -> bool:
    """Whether it is watched for changes in place, and so need not be bound again."""
    return not isinstance(value, bool | int | float | complex | str | bytes | type(None))
