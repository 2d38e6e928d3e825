"""One `%%cascade` cell: what its task carries, its way through the engine, its return on a hit."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from cascade_nb.config import engine, settings
from cascade_nb.errors import ConfigurationError, warn_once
from cascade_nb.execution import Engine
from cascade_nb.fingerprint.cells import CellCode, analyse_cell
from cascade_nb.loop import run_sync
from cascade_nb.nesting import make_reentrant
from cascade_nb.notebook import effects
from cascade_nb.notebook.bindings import defined_names, names_bound
from cascade_nb.notebook.body import Body, drive
from cascade_nb.notebook.interrupt import Guard
from cascade_nb.notebook.live import Aside, LiveRun, call_here
from cascade_nb.notebook.replay import keep_results, replay
from cascade_nb.notebook.restoring import Restoration
from cascade_nb.notebook.tracebacks import BodyStopped
from cascade_nb.tasks import CellResult, Options, Report, Status, Task, TaskKind

_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user asked for in the line of one cell."""

    name: str = ""
    inputs: frozenset[str] | None = None
    outputs: tuple[str, ...] | None = None
    replays: bool = True
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSubject:
    """What a policy is told of a cell.

    `namespace` is the user's, `input_names` the only names to look at, where the user gave some;
    `extra` is what else the result depends on, `seeded` tells whether the session may have seeded
    the global random generators. On finding a stored result a policy calls
    `restoration.prepare` with its effects, decodes its outputs, and calls `restoration.restore`;
    a reason that one of them gives makes the result a miss. Where decoding fails, it calls
    `restoration.abandon`.
    """

    code: CellCode
    namespace: dict[str, Any]
    input_names: frozenset[str] | None
    extra: Mapping[str, Any]
    seeded: bool
    restoration: Restoration


class Cell:
    """One run of a cell: looked up, or run live under a recorder.

    `report` tells what became of it, once `perform` or `perform_here` has ended or raised.
    """

    def __init__(self, shell: Any, body: Body, wishes: Wishes, *, seeded: bool = False) -> None:
        self._shell = shell
        self._body = body
        self._wishes = wishes
        self._seeded = seeded
        self._guard = Guard()
        self._namespace: dict[str, Any] = shell.user_ns
        self.code = analyse_cell(body.source, shadowed=shell.user_ns)
        self.report: Report | None = None

    @property
    def name(self) -> str:
        """What the user named it, else its outputs, else its first words."""
        return self._wishes.name or default_name(self.code, self._body.typed)

    @property
    def awaits(self) -> bool:
        """Whether its body awaits at top level."""
        return self._body.asynchronous

    async def perform(self) -> None:
        """Look the cell up or run it, as a task on the running loop."""
        await self._guard.run(self._on_loop())

    async def _on_loop(self) -> None:
        with self._reporting() as chosen:
            task = self._task(asynchronous=True)
            performance = await chosen.perform(task)
            refused = self._come_back(performance.report, performance.value)
            if refused:
                await chosen.perform(self._again(task))

    def perform_here(self) -> None:
        """Look the cell up or run it, from plain code: below another magic, or in a terminal."""
        try:
            with self._reporting() as chosen:
                task = self._task(asynchronous=False)
                performance = run_sync(chosen.perform(task))
                refused = self._come_back(performance.report, performance.value)
                if refused:
                    run_sync(chosen.perform(self._again(task)))
        except BodyStopped as stopped:
            raise stopped.raised from stopped.raised.__cause__

    def _reporting(self) -> _Reporting:
        return _Reporting(self)

    def _again(self, task: Task) -> Task:
        """The same task, for a policy that could not know that its hit does not hold here."""
        return replace(task, options=replace(task.options, refresh=True))

    def _task(self, *, asynchronous: bool) -> Task:
        wishes = self._wishes
        names = self.code.reads if wishes.inputs is None else wishes.inputs
        return Task(
            id=f"{self.name}@{self.code.digest}",
            name=self.name,
            kind=TaskKind.CELL,
            subject=self._subject(),
            inputs={n: self._namespace[n] for n in sorted(names) if n in self._namespace},
            call=self._run_on_loop if asynchronous else self._run_here,
            asynchronous=asynchronous,
            options=wishes.options,
        )

    def _subject(self) -> CellSubject:
        shell = self._shell
        self._restoration = Restoration(
            shell,
            self.code,
            self._body,
            seeded=self._seeded,
            seeds=effects.may_seed(self._body.source),
        )
        extra = effects.display_settings()
        if shell.ast_transformers:
            extra["transformed code"] = ast.dump(self._body.tree)
        if shell.ast_node_interactivity != "last_expr":
            extra["ast_node_interactivity"] = shell.ast_node_interactivity
        return CellSubject(
            code=self.code,
            namespace=self._namespace,
            input_names=self._wishes.inputs,
            extra=MappingProxyType(extra),
            seeded=self._seeded,
            restoration=self._restoration,
        )

    # On a hit.

    def _come_back(self, report: Report, result: CellResult | None) -> str:
        """Restore and replay a hit; the reason why that cannot be, if so."""
        if report.status is not Status.HIT or result is None:
            return ""
        restoration = self._restoration
        if not restoration.done:
            reason = restoration.prepare(result.effects) or restoration.restore(result)
            if reason:
                return reason
        if self._wishes.replays:
            replay(self._shell, result.displays, restoration.values)
        else:
            keep_results(self._shell, restoration.values)
        return ""

    # On a miss.

    async def _run_on_loop(self) -> CellResult | None:
        return await self._run_live(asyncio.to_thread)

    def _run_here(self) -> CellResult | None:
        if self._body.asynchronous:
            return self._guard.run_task(self._run_live(call_here), _usable_loop())
        with self._guard:
            return drive(self._run_live(call_here))

    async def _run_live(self, aside: Aside) -> CellResult | None:
        if not settings().enabled:
            with self._shell.builtin_trap, self._shell.display_trap:
                await self._body.run(self._shell, checkpoint=self._guard.checkpoint)
            return None
        live = LiveRun(
            self._shell,
            self._body,
            self.code,
            self._guard,
            wanted=self._wishes.outputs,
            ignore=self._wishes.options.ignore,
            seeded=self._seeded,
        )
        return await live.run(aside)


class _Reporting:
    """Gives a run its engine, and the cell the report that the engine makes of it."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def __enter__(self) -> Engine:
        chosen = _session_engine()
        self._unsubscribe = chosen.bus.subscribe(Report, self._note)
        return chosen

    def __exit__(self, *_: object) -> None:
        self._unsubscribe()

    def _note(self, report: Report) -> None:
        if report.kind is TaskKind.CELL and report.task_id.endswith(self._cell.code.digest):
            self._cell.report = report


def default_name(code: CellCode, typed: str) -> str:
    """The names that a cell binds; for one that binds none, its first words as `typed`."""
    defined = defined_names(code)
    names: dict[str, None] = {}
    for statement in code.tree.body:
        names.update(dict.fromkeys(sorted(names_bound(statement))))
    values = [n for n in names if n not in defined] or list(names)
    if values:
        return _shortened(", ".join(values))
    lines = (line.strip() for line in typed.splitlines())
    return _shortened(next((x for x in lines if x and not x.startswith("#")), "cell"))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 1] + "…"


def _session_engine() -> Engine:
    """The session's engine; one without a cache where its settings make none."""
    try:
        return engine()
    except ConfigurationError as error:
        warn_once(f"cells are not cached: {error}", ("configuration", str(error)))
        from cascade_nb.policies.none import NoCache

        return Engine(policy=NoCache())


def _usable_loop() -> asyncio.AbstractEventLoop:
    """A loop on which plain code can wait: the one that runs here, else IPython's own."""
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        from IPython.core.async_helpers import get_asyncio_loop

        loop: asyncio.AbstractEventLoop = get_asyncio_loop()  # type: ignore[no-untyped-call]
        return loop
    if not make_reentrant(running):
        from IPython.core.error import UsageError

        kind = type(running).__module__
        raise UsageError(f"a cell below another magic cannot await on a loop of {kind}")
    return running
