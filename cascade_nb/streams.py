"""Cached generators: streamed on a miss, stored once exhausted, replayed as the same kind.

What is stored is the list of items and, of a plain generator, its return value. A consumer that
sends or throws into the generator takes part in it, so what comes out then is not stored, and a
replay gives way to the body; nor is an item stored that was changed after it had been yielded, or
of which that cannot be told. Streams that run at the same time are independent: one must not wait
for another whose consumer may never go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator
from itertools import islice
from operator import methodcaller
from typing import Any

from cascade_nb import files
from cascade_nb.errors import FingerprintError, warn_once
from cascade_nb.events import (
    FinalStatus,
    RunFinished,
    RunStarted,
    TaskExecutionFinished,
    TaskExecutionStarted,
    TaskSkipped,
)
from cascade_nb.execution import Engine, describe_error, new_run_id, reads_of
from cascade_nb.fingerprint.generators import Moves
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.flights import Landing, Lead, leading
from cascade_nb.loop import in_thread, run_sync
from cascade_nb.protocols import TaskPolicy
from cascade_nb.records import Entry
from cascade_nb.tasks import Bypass, Hit, Miss, Outcome, Report, Status, Task
from cascade_nb.wording import plural

_NO_ITEM_FINGERPRINT = ""
_TAKES_PART = "its consumer sent or threw something into it"


class Stepping:
    """Around each step of a body: the files that it reads are recorded, and what it draws from.

    What it calls does not wait for its flight, if it has the lead of one, and who waits for that
    can tell where it is run.
    """

    __slots__ = ("_lead", "_leading", "moves", "recorder")

    def __init__(self, task: Task, recorder: files.Recorder, lead: Lead | None) -> None:
        self.recorder = recorder
        self.moves = Moves(task.id)
        self._lead = lead
        self._leading = None if lead is None else leading(lead.flight)

    def __enter__(self) -> None:
        if self._lead is not None and self._leading is not None:
            self._lead.go_on()
            self._leading.__enter__()
        self.recorder.start()
        self.moves.start()

    def __exit__(self, *error: Any) -> None:
        self.moves.stop()
        self.recorder.stop()
        if self._leading is not None:
            self._leading.__exit__(*error)


class Stream:
    """One pass through a cached generator, of either kind: looked up, recorded and kept.

    `open` gives the stored (items, return value), or None where the body has to run; then each
    step runs under `stepping`, each item goes to `add`, and `close` ends it. While its consumer
    has an item, it is to `rest`. As a context manager it is around all of that: whatever happens,
    nobody waits for it in the end.
    """

    def __init__(
        self,
        engine: Engine,
        policy: TaskPolicy,
        task: Task,
        *,
        on_report: Callable[[Report], None],
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._task = task
        self._run_id = new_run_id()
        self._begun = self._body_begun = time.perf_counter()
        self._verdict: Hit | Miss | Bypass = Bypass("off")
        self._count = 0
        self._items: list[Any] = []
        self._fingerprints: list[str] = []
        self._taken_part = False
        self._lead: Lead | None = None
        self.stepping = Stepping(task, files.Recorder(), None)
        self._on_report = on_report

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.leave()

    async def open(self) -> tuple[list[Any], Any] | None:
        """Look the stream up; a hit's items and return value, or None."""
        publish, task = self._engine.bus.publish, self._task
        await publish(RunStarted(run_id=self._run_id))
        if self._engine.enabled:
            try:
                self._verdict, self._lead = await self._engine.take_off(task, self._policy)
            except Exception:
                await self._end_run("Failed")
                raise
            except (asyncio.CancelledError, KeyboardInterrupt):
                await self._end_run("Cancelled")
                raise
        verdict = self._verdict
        if isinstance(verdict, Hit):
            await publish(TaskSkipped(run_id=self._run_id, task_id=task.id, name=task.name))
            saved = verdict.entry.seconds if verdict.entry is not None else 0.0
            files.inherit(verdict.reads)
            await self._finish(
                self._report(Status.HIT, entry=verdict.entry, saved=saved, signer=verdict.signer),
                "Succeeded",
            )
            items, returned = verdict.value
            return items, returned
        if isinstance(verdict, Miss):
            recorder = files.Recorder(candidates=verdict.candidates)
            self.stepping = Stepping(task, recorder, self._lead)
        self._body_begun = time.perf_counter()
        await publish(TaskExecutionStarted(run_id=self._run_id, task_id=task.id, name=task.name))
        return None

    async def add(self, item: Any) -> None:
        """Remember an item as it is now, before the consumer gets it."""
        self._count += 1
        if isinstance(self._verdict, Miss):
            self._items.append(item)
            self._fingerprints.append(await in_thread(_fingerprint_or_none, item))

    def rest(self) -> None:
        """The consumer gets an item; whether it asks for another one is up to it."""
        if self._lead is not None:
            self._lead.rest()

    def leave(self, landing: Landing | BaseException = Landing.ABANDONED) -> None:
        """Lead no more: those who wait go on with `landing`."""
        lead, self._lead = self._lead, None
        if lead is not None:
            lead.land(landing)

    async def take_part(self) -> None:
        """The consumer sent or threw something: what follows depends on it.

        A replay ends here, and a run of the body begins that will not be stored.
        """
        self._taken_part = True
        self.leave()
        if isinstance(self._verdict, Hit):
            self._verdict = Bypass(_TAKES_PART)
            self._run_id = new_run_id()
            self._begun = self._body_begun = time.perf_counter()
            publish, task, run_id = self._engine.bus.publish, self._task, self._run_id
            await publish(RunStarted(run_id=run_id))
            await publish(TaskExecutionStarted(run_id=run_id, task_id=task.id, name=task.name))

    async def close(self, returned: Any = None, error: BaseException | None = None) -> None:
        """The body has ended, with a return value or an error, or its consumer has left."""
        seconds = time.perf_counter() - self._body_begun
        left = isinstance(error, GeneratorExit)
        final: FinalStatus = "Succeeded" if error is None else "Cancelled" if left else "Failed"
        await self._engine.bus.publish(
            TaskExecutionFinished(
                run_id=self._run_id,
                task_id=self._task.id,
                name=self._task.name,
                status=final,
                duration=seconds,
                result_preview=plural(self._count, "item") if error is None else None,
                error=describe_error(error) if final == "Failed" and error is not None else None,
            )
        )
        landing: Landing | BaseException
        if error is not None:
            status = Status.INTERRUPTED if left else Status.FAILED
            reason = "its consumer left before the end" if left else describe_error(error)
            report = self._report(status, reason=reason, seconds=seconds)
            landing = error if isinstance(error, Exception) else Landing.ABANDONED
        else:
            report = await self._keep(returned, seconds)
            stored = report.status is Status.MISS
            landing = Landing.STORED if stored else Landing.NOT_STORED
        await self._finish(report, final)
        self.leave(landing)

    async def _keep(self, returned: Any, seconds: float) -> Report:
        verdict = self._verdict
        if not isinstance(verdict, Miss):
            status = Status.BYPASS if self._engine.enabled else Status.OFF
            reason = verdict.reason if isinstance(verdict, Bypass) else ""
            return self._report(status, reason=reason, seconds=seconds)
        kept: Entry | Bypass | None
        if self._taken_part:
            kept = Bypass(_TAKES_PART)
        elif self.stepping.recorder.changed is not None:
            kept = Bypass(f"{self.stepping.recorder.changed} while it ran")
        elif not await in_thread(self._unchanged):
            kept = Bypass("an item was changed, or may have been, after it had been yielded")
            task = self._task
            warn_once(f"the result of {task.name} was not cached: {kept.reason}", ("keep", task.id))
        else:
            reads = await reads_of(self.stepping.recorder, verdict)
            moved = frozenset(self.stepping.moves.found)
            outcome = Outcome(
                value=(self._items, returned), seconds=seconds, reads=reads, moved=moved
            )
            kept = await self._engine.keep(self._task, self._policy, verdict, outcome)
        if isinstance(kept, Bypass):
            return self._report(Status.BYPASS, reason=kept.reason, seconds=seconds)
        return self._report(Status.MISS, reason=verdict.reason, entry=kept, seconds=seconds)

    def _unchanged(self) -> bool:
        return all(
            before == _fingerprint_or_none(item) != _NO_ITEM_FINGERPRINT
            for item, before in zip(self._items, self._fingerprints, strict=True)
        )

    def _report(
        self,
        status: Status,
        *,
        reason: str = "",
        entry: Entry | None = None,
        seconds: float = 0.0,
        saved: float = 0.0,
        signer: str = "",
    ) -> Report:
        return Report(
            task_id=self._task.id,
            name=self._task.name,
            kind=self._task.kind,
            status=status,
            reason=reason,
            entry=entry,
            seconds=seconds,
            saved=saved,
            signer=signer,
        )

    async def _finish(self, report: Report, final: FinalStatus) -> None:
        self._on_report(report)
        await self._engine.bus.publish(report)
        await self._end_run(final)

    async def _end_run(self, final: FinalStatus) -> None:
        duration = time.perf_counter() - self._begun
        await self._engine.bus.publish(
            RunFinished(run_id=self._run_id, status=final, duration=duration)
        )


def replay_or_record(
    stream: Stream, body: Callable[[], Generator[Any, Any, Any]]
) -> Generator[Any, Any, Any]:
    """The generator that a plain cached generator function gives; `stream` ends with it."""
    with stream:
        stored = run_sync(stream.open())
        items, returned = stored or ([], None)
        # None as long as the stored items are replayed.
        source = body() if stored is None else None
        step: Callable[[Any], Any] = next
        place = 0
        while True:
            if source is None:
                if place == len(items):
                    return returned
                item = items[place]
            else:
                try:
                    with stream.stepping:
                        item = step(source)
                except StopIteration as stop:
                    run_sync(stream.close(stop.value))
                    return stop.value
                except BaseException as error:
                    run_sync(stream.close(error=error))
                    raise
                run_sync(stream.add(item))
            place += 1
            sent = thrown = None
            stream.rest()
            try:
                sent = yield item
            except GeneratorExit as left:
                stream.leave()
                if source is not None:
                    try:
                        source.close()
                    finally:
                        run_sync(stream.close(error=left))
                raise
            except BaseException as error:
                thrown = error
            step = _step(sent, thrown, next, "send", "throw")
            if step is not next:
                run_sync(stream.take_part())
                if source is None:
                    source = body()
                    for _ in islice(source, place):
                        pass


async def replay_or_record_async(
    stream: Stream, body: Callable[[], AsyncGenerator[Any, Any]]
) -> AsyncGenerator[Any, Any]:
    """The generator that an async cached generator function gives; `stream` ends with it."""
    with stream:
        stored = await stream.open()
        items = stored[0] if stored is not None else []
        # None as long as the stored items are replayed.
        source = body() if stored is None else None
        step: Callable[[Any], Any] = anext
        place = 0
        while True:
            if source is None:
                if place == len(items):
                    return
                item = items[place]
            else:
                try:
                    with stream.stepping:
                        item = await step(source)
                except StopAsyncIteration:
                    await stream.close()
                    return
                except BaseException as error:
                    await stream.close(error=error)
                    raise
                await stream.add(item)
            place += 1
            sent = thrown = None
            stream.rest()
            try:
                sent = yield item
            except GeneratorExit as left:
                stream.leave()
                if source is not None:
                    try:
                        await source.aclose()
                    finally:
                        await stream.close(error=left)
                raise
            except BaseException as error:
                thrown = error
            step = _step(sent, thrown, anext, "asend", "athrow")
            if step is not anext:
                await stream.take_part()
                if source is None:
                    source = body()
                    for _ in range(place):
                        await anext(source, None)


def exhausted(generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Step `generator` to its end now; a generator of what it gave."""
    items: list[Any] = []
    while True:
        try:
            items.append(next(generator))
        except StopIteration as stop:
            return _given(items, stop.value)


async def exhausted_async(generator: AsyncGenerator[Any, Any]) -> AsyncGenerator[Any, Any]:
    """As `exhausted`, of an async generator."""
    items = [item async for item in generator]
    return _given_async(items)


def _given(items: list[Any], returned: Any) -> Generator[Any, Any, Any]:
    yield from items
    return returned


async def _given_async(items: list[Any]) -> AsyncGenerator[Any, Any]:
    for item in items:
        yield item


def _step(
    sent: Any, thrown: BaseException | None, advance: Callable[[Any], Any], send: str, throw: str
) -> Callable[[Any], Any]:
    """How to go on with a generator after its consumer sent or threw something, or neither."""
    if thrown is not None:
        return methodcaller(throw, thrown)
    return advance if sent is None else methodcaller(send, sent)


def _fingerprint_or_none(value: Any) -> str:
    try:
        return fingerprint(value)
    except FingerprintError:
        return _NO_ITEM_FINGERPRINT
