"""The engine: check -> run -> save, once for identical computations, and an event for each step.

It knows tasks, policies, executors and the bus, and no backend. A policy, store or subscriber that
fails never fails a task; what the body raises comes out unchanged.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import time
from collections.abc import Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from cascade_nb import files
from cascade_nb.arguments import called, refuse_class
from cascade_nb.calls import Call, settle
from cascade_nb.errors import ConfigurationError, logger, warn_once
from cascade_nb.events import (
    FinalStatus,
    MessageBus,
    RunFinished,
    RunStarted,
    TaskEvent,
    TaskExecutionFinished,
    TaskExecutionStarted,
    TaskRetrying,
    TaskSkipped,
)
from cascade_nb.fingerprint.generators import Moves
from cascade_nb.flights import Flights, Landing, Lead, leading
from cascade_nb.loop import from_guest, in_thread, pause
from cascade_nb.policies.adapted import NoLock, as_task_policy
from cascade_nb.protocols import CachePolicy, Executor, Flushes, Lock, StateBackend, TaskPolicy
from cascade_nb.records import Entry, Reads
from cascade_nb.tasks import Bypass, Hit, Miss, Outcome, Report, Status, Task
from cascade_nb.wording import ShortRepr, part_repr

T = TypeVar("T")

PREVIEW_LENGTH, ERROR_LENGTH = 100, 1000
# Between two looks at a lock that another process holds, in seconds: first and longest.
_POLL_FIRST, _POLL_LONGEST = 0.002, 0.1

# The top-level run that the caller is part of.
_run: ContextVar[Run | None] = ContextVar("cascade_nb_run", default=None)


# The engine whose `run` is under way.
_running: ContextVar[Engine | None] = ContextVar("cascade_nb_running", default=None)


@dataclass(frozen=True, slots=True)
class Performance:
    """A task's value, and what became of its run."""

    value: Any
    report: Report


class Engine:
    """Runs tasks through a cache policy.

    Args:
        executor: where bodies run; by default a `LocalExecutor`.
        bus: where events go; by default one of its own.
        policy: a `CachePolicy`; by default a `ContentCachePolicy` in memory.
        state: a `StateBackend` that is told the state of each task; by default none.
        enabled: False looks up and stores nothing.
    """

    def __init__(
        self,
        executor: Executor | None = None,
        bus: MessageBus | None = None,
        policy: CachePolicy | TaskPolicy | None = None,
        state: StateBackend | None = None,
        *,
        enabled: bool = True,
    ) -> None:
        if executor is None:
            from cascade_nb.executors.local import LocalExecutor

            executor = LocalExecutor()
        if policy is None:
            from cascade_nb.backends.memory import InMemoryCacheBackend
            from cascade_nb.policies.content import ContentCachePolicy

            policy = ContentCachePolicy(InMemoryCacheBackend())
        _check("an executor", executor, Executor, "execute")
        refuse_class("a bus", bus)
        _check("a state backend", state, StateBackend, "get_state and set_state")
        if bus is not None and not isinstance(bus, MessageBus):
            raise ConfigurationError(f"a bus is a MessageBus, not {called(bus)}")
        self.executor = executor
        self.bus = bus if bus is not None else MessageBus()
        self.policy = policy
        self.state = state
        self.enabled = enabled
        self.task_policy = as_task_policy(policy)
        self._flights = Flights()

    def __repr__(self) -> str:
        parts = {"policy": self.policy, "executor": self.executor, "state": self.state}
        shown = [f"{name}={part_repr(part)}" for name, part in parts.items() if part is not None]
        return f"Engine({', '.join([*shown, *['enabled=False'] * (not self.enabled)])})"

    @overload
    async def run(self, calls: Call[T]) -> T: ...
    @overload
    async def run(self, calls: Sequence[Call[T]]) -> list[T]: ...
    async def run(self, calls: Any) -> Any:
        """The value of a `Call`, or the values of a list of them, which run at the same time.

        All is one top-level run. Cached functions without an engine of their own are run by this
        one, those that the bodies call included. The first error is raised once all have ended.

        Raises:
            ConfigurationError: `calls` is neither a Call nor a list of Calls.
        """
        single = isinstance(calls, Call)
        if not single and not isinstance(calls, list | tuple):
            raise ConfigurationError(f"run takes a Call or a list of Calls, not {called(calls)}")
        wanted: list[Call[Any]] = [calls] if single else list(calls)
        for call in wanted:
            if not isinstance(call, Call):
                raise ConfigurationError(f"run takes a list of Calls; {called(call)} is in it")
        token = _running.set(self)
        try:
            async with Run(self.bus):
                await settle(wanted)
        finally:
            _running.reset(token)
        values = [call.result() for call in wanted]
        return values[0] if single else values

    async def perform(self, task: Task, *, policy: TaskPolicy | None = None) -> Performance:
        """Look `task` up, or run it and keep its result; raises what its body raises.

        `policy` serves this task in place of the engine's own.
        """
        chosen = self.task_policy if policy is None else policy
        async with Run(self.bus):
            if not self.enabled:
                return await self._execute(task, chosen, Status.OFF, "")
            verdict, lead = await self.take_off(task, chosen)
            if isinstance(verdict, Hit):
                return await self._serve(task, verdict)
            if isinstance(verdict, Bypass):
                return await self._execute(task, chosen, Status.BYPASS, verdict.reason)
            if lead is None:
                return await self._execute(task, chosen, Status.MISS, verdict.reason, verdict)
            return await self._lead(lead, task, chosen, verdict)

    async def take_off(
        self, task: Task, policy: TaskPolicy
    ) -> tuple[Hit | Miss | Bypass, Lead | None]:
        """What `policy` knows of a task, once nobody else is computing it.

        With a miss comes the lead of its flight, which the caller has to land; or None, where it
        was or would be in vain to wait for another leader: the caller computes it by itself.
        Raises what the body of another leader raised.
        """
        landed = self._flights.landed
        verdict = await self.lookup(task, policy)
        if not isinstance(verdict, Miss):
            return verdict, None
        while True:
            joined = self._flights.join((id(policy), verdict.key))
            if isinstance(joined, Lead):
                return await self._lock_and_look(joined, task, policy, verdict, landed)
            landing = await joined.wait()
            if landing is Landing.STORED:
                found = await self.lookup(task, policy, verdict)
                return found if isinstance(found, Hit) else verdict, None
            if landing is not Landing.ABANDONED:
                return verdict, None

    async def _lock_and_look(
        self, lead: Lead, task: Task, policy: TaskPolicy, miss: Miss, landed: int
    ) -> tuple[Hit | Miss, Lead | None]:
        """Look again once there is a lock: who held it, or landed, may have stored the result."""
        try:
            lead.lock = await _locked(policy, miss.key)
            if landed != self._flights.landed or not isinstance(lead.lock, NoLock):
                verdict = await self.lookup(task, policy, miss)
                if isinstance(verdict, Hit):
                    lead.land(Landing.STORED)
                    return verdict, None
        except BaseException:
            lead.land(Landing.ABANDONED)
            raise
        return miss, lead

    async def flush(self) -> None:
        """Wait until what was stored so far has arrived in every store, or cannot for now."""
        store = getattr(self.policy, "store", None)
        if isinstance(store, Flushes):
            await store.flush()

    async def lookup(
        self, task: Task, policy: TaskPolicy, miss: Miss | None = None
    ) -> Hit | Miss | Bypass:
        """What `policy` knows of a task, asked again after a `miss`; its errors are bypasses."""
        try:
            if miss is None:
                return await policy.lookup(task)
            return await policy.lookup_again(task, miss)
        except Exception as error:
            return _failed("looking up", task, error)

    async def keep(
        self, task: Task, policy: TaskPolicy, miss: Miss, outcome: Outcome
    ) -> Entry | Bypass | None:
        """Hand an outcome to `policy`; its errors are bypasses."""
        try:
            return await policy.keep(task, miss, outcome)
        except Exception as error:
            return _failed("storing", task, error)

    async def _serve(self, task: Task, hit: Hit) -> Performance:
        if hit.reads:
            files.inherit(hit.reads)
        await self._tell_state(task, "Skipped")
        await self._tell(TaskSkipped, task, reason="CacheHit")
        report = Report(
            task_id=task.id,
            name=task.name,
            kind=task.kind,
            status=Status.HIT,
            entry=hit.entry,
            saved=hit.entry.seconds if hit.entry is not None else 0.0,
            signer=hit.signer,
        )
        await self.bus.publish(report)
        return Performance(hit.value, report)

    async def _lead(self, lead: Lead, task: Task, policy: TaskPolicy, miss: Miss) -> Performance:
        """Run a missing task for all who wait for it."""
        landing: Landing | BaseException = Landing.ABANDONED
        try:
            with leading(lead.flight):
                performance = await self._execute(task, policy, Status.MISS, miss.reason, miss)
            stored = performance.report.status is Status.MISS
            landing = Landing.STORED if stored else Landing.NOT_STORED
            return performance
        except Exception as error:
            landing = error
            raise
        finally:
            lead.land(landing)

    async def _execute(
        self, task: Task, policy: TaskPolicy, status: Status, reason: str, miss: Miss | None = None
    ) -> Performance:
        """Run the body, keep its outcome where `miss` says under which key, and tell of it."""
        begun = time.perf_counter()
        await self._tell_state(task, "Running")
        await self._tell(TaskExecutionStarted, task)
        recorder = files.Recorder(candidates=miss.candidates if miss is not None else ())
        moves = Moves(task.id)
        try:
            with recorder, moves:
                value = await self._attempt(task)
        except BaseException as error:
            seconds = time.perf_counter() - begun
            await self._tell_failure(task, error, seconds)
            raise
        seconds = time.perf_counter() - begun
        await self._tell_state(task, "Succeeded")
        if self.bus.wants(TaskExecutionFinished):
            await self._tell(
                TaskExecutionFinished,
                task,
                status="Succeeded",
                duration=seconds,
                result_preview=preview(value),
            )
        entry: Entry | None = None
        if miss is not None:
            if recorder.changed is not None:
                kept: Entry | Bypass | None = Bypass(f"{recorder.changed} while it ran")
            else:
                reads = await reads_of(recorder, miss)
                outcome = Outcome(
                    value=value, seconds=seconds, reads=reads, moved=frozenset(moves.found)
                )
                kept = await self.keep(task, policy, miss, outcome)
            if isinstance(kept, Bypass):
                status, reason = Status.BYPASS, kept.reason
            else:
                entry = kept
        report = Report(
            task_id=task.id,
            name=task.name,
            kind=task.kind,
            status=status,
            reason=reason,
            entry=entry,
            seconds=seconds,
        )
        await self.bus.publish(report)
        return Performance(value, report)

    async def _attempt(self, task: Task) -> Any:
        retry = task.options.retry
        delay = retry.delay
        for attempt in range(1, retry.max_attempts + 1):
            try:
                return await self.executor.execute(task)
            except Exception as error:
                if attempt == retry.max_attempts:
                    raise
                await self._tell(
                    TaskRetrying, task, attempt=attempt, delay=delay, error=describe_error(error)
                )
            if delay:
                await pause(delay)
                delay *= retry.backoff
        raise AssertionError("a loop over at least one attempt returns or raises")

    async def _tell_failure(self, task: Task, error: BaseException, seconds: float) -> None:
        cancelled = isinstance(error, asyncio.CancelledError | KeyboardInterrupt | GeneratorExit)
        final: FinalStatus = "Cancelled" if cancelled else "Failed"
        if isinstance(error, GeneratorExit):
            return  # The coroutine is being closed and must not suspend any more.
        await self._tell_state(task, final)
        await self._tell(
            TaskExecutionFinished,
            task,
            status=final,
            duration=seconds,
            error=None if cancelled else describe_error(error),
        )
        await self.bus.publish(
            Report(
                task_id=task.id,
                name=task.name,
                kind=task.kind,
                status=Status.INTERRUPTED if cancelled else Status.FAILED,
                reason="" if cancelled else describe_error(error),
                seconds=seconds,
            )
        )

    async def _tell(self, kind: type[TaskEvent], task: Task, **fields: Any) -> None:
        """Publish an event of the task, if anybody wants to know."""
        if self.bus.wants(kind):
            await self.bus.publish(
                kind(run_id=current_run(), task_id=task.id, name=task.name, **fields)
            )

    async def _tell_state(self, task: Task, state: str) -> None:
        if self.state is None:
            return
        try:
            await from_guest(self.state.set_state(task.id, state))
        except Exception:
            logger.exception("the state backend failed for %s", task.name)


class Run:
    """One top-level run on a bus; inside another one it adds nothing.

    As an async context manager: `RunStarted` on entry, `RunFinished` on exit.
    """

    __slots__ = ("_begun", "_bus", "_number", "_token")

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._number = next(_run_numbers)
        self._token: Token[Run | None] | None = None

    @property
    def id(self) -> str:
        """Put into words when somebody asks: of most runs, which are hits, nobody is told."""
        return _run_id(self._number)

    async def __aenter__(self) -> None:
        if _run.get() is not None:
            return
        self._token = _run.set(self)
        self._begun = time.perf_counter()
        if self._bus.wants(RunStarted):
            await self._bus.publish(RunStarted(run_id=self.id))

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A coroutine that is closed must not suspend, and may be closed in a foreign context.
        if self._token is None or kind is GeneratorExit:
            return
        _run.reset(self._token)
        if not self._bus.wants(RunFinished):
            return
        status: FinalStatus = "Succeeded"
        if kind is not None:
            stopped = issubclass(kind, asyncio.CancelledError | KeyboardInterrupt)
            status = "Cancelled" if stopped else "Failed"
        await self._bus.publish(
            RunFinished(run_id=self.id, status=status, duration=time.perf_counter() - self._begun)
        )


def new_run_id() -> str:
    """A name that no other run has, of this process or another."""
    return _run_id(next(_run_numbers))


def _run_id(number: int) -> str:
    # Random once: asking the system for every run would cost as much as many a hit.
    return f"{_PROCESS}-{os.getpid():x}-{number:x}"


_PROCESS = secrets.token_hex(8)
_run_numbers = itertools.count(1)


def running_engine() -> Engine | None:
    """The engine whose `run` the caller is part of."""
    return _running.get()


def current_run() -> str:
    """The id of the run that the caller is part of; empty outside of any."""
    run = _run.get()
    return "" if run is None else run.id


def preview(value: Any) -> str:
    """At most 100 characters of a value's repr; for one whose repr raises, its type."""
    try:
        text = _short_repr.repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= PREVIEW_LENGTH else text[: PREVIEW_LENGTH - 1] + "…"


_short_repr = ShortRepr()
_short_repr.maxstring = _short_repr.maxother = PREVIEW_LENGTH
_short_repr.maxlong = PREVIEW_LENGTH


def _failed(doing: str, task: Task, error: Exception) -> Bypass:
    """A policy raised what it must not; the computation goes on all the same."""
    logger.error("%s %s failed", doing, task.name, exc_info=error)
    # The text of a stranger's error may hold an address or a password; it is in the log.
    reason = f"{doing} failed: {type(error).__name__}"
    warn_once(f"{task.name} was not cached: {reason}", (doing, task.id, type(error)))
    return Bypass(reason)


def _check(what: str, given: object, protocol: type, methods: str) -> None:
    refuse_class(what, given)
    if given is not None and not isinstance(given, protocol):
        raise ConfigurationError(f"{what} needs {methods}, which {called(given)} lacks")


def describe_error(error: BaseException) -> str:
    """An exception's type and message in one line, of at most 1,000 characters."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""  # It is somebody else's, and what it says must not hide what it is.
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= ERROR_LENGTH else text[: ERROR_LENGTH - 1] + "…"


async def reads_of(recorder: files.Recorder, miss: Miss) -> Reads:
    """What was read; files that the key names are hashed for it, whoever opened them."""
    if miss.candidates:
        return await in_thread(lambda: recorder.reads)
    return recorder.reads


async def _locked(policy: TaskPolicy, key: str) -> Lock:
    """The lock on `key` among the processes that share the store."""
    delay = _POLL_FIRST
    while (lock := await policy.try_lock(key)) is None:
        await pause(delay)
        delay = min(2 * delay, _POLL_LONGEST)
    return lock
