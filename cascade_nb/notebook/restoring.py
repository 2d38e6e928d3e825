"""A hit: the cell's names come back, all of them or none.

First `prepare` runs the cell's definitions again, so that stored instances find their classes; then
`restore` binds what was decoded, checks that the definitions are what they were, and only then
changes inputs in place. Each says why the stored result does not hold in this session, if so, and
has then put every name back.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Mapping
from typing import Any

from cascade_nb.errors import FingerprintError, UntrustedError
from cascade_nb.fingerprint.cells import CellCode
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.notebook import effects
from cascade_nb.notebook.bindings import (
    definition_digest,
    imported,
    names_read,
    shown_names,
)
from cascade_nb.notebook.body import Body
from cascade_nb.notebook.closed_files import closed_file
from cascade_nb.notebook.data_only import names_beyond, overstepped
from cascade_nb.notebook.in_place import Graft
from cascade_nb.tasks import CellResult

_ABSENT = object()


class Restoration:
    """Restores one cell in one session; once.

    `seeded` tells whether the session has seeded its random generators, `seeds` whether the cell
    itself does.
    """

    def __init__(
        self, shell: Any, code: CellCode, body: Body, *, seeded: bool, seeds: bool
    ) -> None:
        self._shell = shell
        self._namespace: dict[str, Any] = shell.user_ns
        self._code = code
        self._body = body
        self._seeded = seeded
        self._seeds = seeds
        self._trusted = True
        self._before: dict[str, Any] | None = None
        self._waiting: list[ast.stmt] = []
        self.values: list[Any] = []
        self.done = False

    def prepare(self, recorded: Mapping[str, Any], *, code: bool = True) -> str:
        """Run the definitions, given the effects of the stored result.

        Raises:
            UntrustedError: they could steer what runs here, and no `code` of the signer's may run.
        """
        self._trusted = code
        if not code:
            puts = self._seeded or self._seeds
            beyond = overstepped(self._code, recorded, puts_generators=puts)
            if beyond:
                raise UntrustedError(beyond)
        plan = recorded["names"]
        reason = effects.refused(recorded["session"], seeded=self._seeded)
        reason = reason or self._doubted(plan["unsure"])
        if reason:
            return reason
        self._before = dict(self._namespace)
        definitions = self._definitions()
        # A definition must not see what a name was bound to before the cell bound it.
        for name in names_read(definitions).intersection(plan["bound"]):
            self._namespace.pop(name, None)
        self._namespace.update(plan["constants"])
        try:
            self._waiting = self._define(definitions, may_wait=True)
        except Exception as error:
            self.abandon()
            return f"a definition fails now: {type(error).__name__}: {error}"
        return ""

    def restore(self, result: CellResult) -> str:
        """Bind and change all that the cell did, after `prepare`."""
        plan = result.effects["names"]
        try:
            reason = self._bind(plan, result.outputs)
            graft = Graft()
            reason = reason or self._plan_changes(graft, plan["in_place"], result.outputs)
        except Exception as error:
            reason = f"it cannot be restored: {type(error).__name__}: {error}"
        if reason:
            self.abandon()
            return reason
        self._change(graft, plan, result)
        effects.restore(result.effects["session"], seeded=self._seeded or self._seeds)
        self.done = True
        return ""

    def abandon(self) -> None:
        """Put every name back to what it was before `prepare`."""
        before, self._before = self._before, None
        if before is not None:
            # Never empty in between: threads of the user's may look.
            self._namespace.update(before)
            for name in self._namespace.keys() - before.keys():
                del self._namespace[name]

    def _doubted(self, unsure: Mapping[str, str]) -> str:
        for name, digest in unsure.items():
            try:
                if name in self._namespace and fingerprint(self._namespace[name]) == digest:
                    continue
            except FingerprintError:
                pass  # Then it is not what it was.
            return f"{name} was something else before"
        return ""

    def _definitions(self) -> list[ast.stmt]:
        """The statements to run again, as the shell would have compiled them."""
        analysed, mine = self._code.tree.body, self._body.tree.body
        wanted = {id(statement) for statement in self._code.definitions}
        if len(analysed) != len(mine):
            return list(self._code.definitions)  # An AST transformer has added or removed some.
        pairs = zip(analysed, mine, strict=True)
        return [statement for original, statement in pairs if id(original) in wanted]

    def _define(self, statements: list[ast.stmt], *, may_wait: bool) -> list[ast.stmt]:
        """Run definitions; those that wait for a value which the cell computed come back."""
        from IPython.utils.capture import capture_output

        waiting = []
        # What they put out is in the record.
        with capture_output():
            for statement in statements:
                module = ast.Module([statement], [])
                code = self._shell.compile(module, self._body.filename, "exec")
                try:
                    exec(code, self._shell.user_global_ns, self._namespace)  # noqa: S102 - the cell
                except NameError:
                    if not may_wait:
                        raise
                    waiting.append(statement)
        return waiting

    def _bind(self, plan: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
        shown = set(shown_names(plan["shown"]))
        names = {n: v for n, v in outputs.items() if n not in shown}
        beyond = () if self._trusted else names_beyond(self._code, names)
        if beyond:
            return f"it binds {beyond[0]}, which its source does not"
        self._namespace.update(names)
        if self._waiting:
            self._define(self._waiting, may_wait=False)
        for name, reference in plan["references"].items():
            if name not in shown:
                value = self._referred(reference)
                if value is _ABSENT:
                    return f"{name} refers to {reference[-1]}, which is not there"
                self._namespace[name] = value
        for name, digest in plan["definitions"].items():
            if name not in self._namespace:
                return f"{name} is not defined again"
            if definition_digest(name, self._namespace[name]) != digest:
                return f"the definition of {name} gives something else now"
        for name in plan["deleted"]:
            self._namespace.pop(name, None)
        return ""

    def _referred(self, reference: list[str]) -> Any:
        kind, *where = reference
        if kind == "name":
            return self._namespace.get(where[0], _ABSENT)
        if kind == "closed file":
            return closed_file(*where)
        module = importlib.import_module(where[0])
        if kind == "module":
            return module
        found = imported(where[0], where[1])
        return _ABSENT if found is None else found

    def _plan_changes(
        self, graft: Graft, in_place: Mapping[str, Any], outputs: Mapping[str, Any]
    ) -> str:
        assert self._before is not None  # noqa: S101 - prepare came first
        for name, kept in in_place.items():
            if name not in self._before or name not in outputs:
                return f"{name} is not there to be changed"
            reason = graft.add(self._before[name], outputs[name], kept)
            if reason:
                return f"{name}: {reason}"
        misfit = next((name for name, value in outputs.items() if not graft.fits(value)), None)
        return f"{misfit} shows memory that is another one here" if misfit else ""

    def _change(self, graft: Graft, plan: Mapping[str, Any], result: CellResult) -> None:
        """From here on nothing can fail that was foreseen."""
        assert self._before is not None  # noqa: S101 - prepare came first
        graft.apply()
        for name in plan["bound"]:
            if name in plan["in_place"]:
                self._namespace[name] = self._before[name]
            elif name in self._namespace and name in result.outputs:
                self._namespace[name] = graft.swap(result.outputs[name])
        for name in shown_names(plan["shown"]):
            if name in result.outputs:
                self.values.append(graft.swap(result.outputs[name]))
            elif name in plan["references"]:
                self.values.append(self._referred(plan["references"][name]))
