"""A cell's live run: as ever for who watches, and with a record of all that it did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, Protocol, TypeVar

from cascade_nb.errors import logger
from cascade_nb.fingerprint.cells import CellCode
from cascade_nb.notebook import effects
from cascade_nb.notebook.bindings import Binder
from cascade_nb.notebook.body import Body
from cascade_nb.notebook.capture import Recorder
from cascade_nb.notebook.in_place import InputWatch
from cascade_nb.notebook.interrupt import Guard
from cascade_nb.tasks import CellResult

# Among a result's effects, the reason why it must not be stored.
BYPASS = "bypass"

T = TypeVar("T")
P = ParamSpec("P")


class Aside(Protocol):
    """Calls a function that may take long where it holds nobody up."""

    def __call__(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]:
        """The function's value."""


async def call_here(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in this thread: there is no loop, or nobody but us uses it."""
    return function(*args, **kwargs)


class LiveRun:
    """Runs a body once and tells what it did.

    Args:
        shell: IPython's.
        body: what runs.
        code: its analysis.
        guard: what an interrupt does meanwhile.
        wanted: the only names to store, where the user gave some.
        ignore: names whose values nobody looks at.
        seeded: whether the session may have seeded the global random generators.
    """

    def __init__(
        self,
        shell: Any,
        body: Body,
        code: CellCode,
        guard: Guard,
        *,
        wanted: tuple[str, ...] | None,
        ignore: frozenset[str],
        seeded: bool,
    ) -> None:
        self._shell = shell
        self._body = body
        self._code = code
        self._guard = guard
        self._wanted = wanted
        self._ignore = ignore
        self._seeded = seeded
        self._namespace: dict[str, Any] = shell.user_ns

    async def run(self, aside: Aside) -> CellResult:
        """Run the body; what it raises comes out unchanged, an interrupt as KeyboardInterrupt.

        What must not be stored is a result that says why, under `BYPASS`.
        """
        inputs = await aside(self._watch_inputs)
        before = dict(self._namespace)
        session = effects.Watch(seeded=self._seeded)
        recorder = await self._recorded(session)
        if recorder.refusal:
            return _unstored(recorder.refusal)
        try:
            return await self._found(aside, inputs, before, session, recorder)
        except Exception as error:
            # An odd object of the user's, whose methods raise what they should not.
            logger.warning("what a cell did could not be found out", exc_info=True)
            return _unstored(f"what it did cannot be told: {type(error).__name__}: {error}")

    async def _found(
        self,
        aside: Aside,
        inputs: InputWatch,
        before: dict[str, Any],
        session: effects.Watch,
        recorder: Recorder,
    ) -> CellResult:
        """All that the run has done, as a result to store."""
        changes, refusal = await aside(inputs.changes)
        changed_session, refused = session.changes()
        binder = Binder(
            self._code,
            before,
            self._namespace,
            self._wanted,
            global_writes=inputs.global_writes(),
        )
        found = binder.find(recorder.values, in_place=[change.name for change in changes])
        refusal = refusal or refused or found.refusal
        if refusal:
            return _unstored(refusal)
        plan = {
            **found.as_plan(),
            "in_place": {c.name: c.kept for c in changes if c.name in found.outputs},
        }
        return CellResult(
            outputs=found.outputs,
            displays=recorder.events,
            effects={"names": plan, "session": changed_session},
        )

    def _watch_inputs(self) -> InputWatch:
        names = sorted(self._code.reads | self._code.writes | self._code.deletes)
        return InputWatch(self._namespace, names, self._ignore)

    async def _recorded(self, session: effects.Watch) -> Recorder:
        shell, guard = self._shell, self._guard
        with shell.builtin_trap, shell.display_trap, Recorder(shell) as recorder:
            with guard.as_keyboard_interrupt():
                await self._body.run(shell, checkpoint=guard.checkpoint, watch=session.statement)
            recorder.finish()
        if guard.interrupted:
            recorder.refuse("it was interrupted")
        if self._code.only_definitions:
            recorder.refuse("it only imports and defines")
        return recorder


def _unstored(reason: str) -> CellResult:
    return CellResult(outputs={}, displays=[], effects={BYPASS: reason})
