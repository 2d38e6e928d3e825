"""Single flight: of identical computations that are asked for at once in one process, one runs.

The first to ask leads; the others wait for its flight to land and then look the result up. A
waiter never waits for a leader that cannot go on before the waiter returns: one that it was called
by, one that lies under it on the stack of its thread (a plain call in a cell runs the loop
re-entrantly, and frames below such a run stand still until it ends), one that waits for a flight
of the waiter's own, or a stream that the waiter itself consumes. Nor does it wait for a stream
whose consumer has gone to rest: such a flight is ended by a watcher.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import threading
import time
from collections.abc import Hashable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field

from cascade_nb.errors import logger
from cascade_nb.loop import driven_by_hand, on_loop
from cascade_nb.protocols import Lock

# How long a consumer may ask a leading stream for nothing while others wait for it, and the time
# between two looks at that, in seconds. Both together stay below the 5 s that are promised.
REST_LIMIT = 2.0
LOOK_EVERY = 0.5


class Landing(enum.Enum):
    """How a flight ended for those who waited for it."""

    STORED = "stored"
    NOT_STORED = "not stored"
    ABANDONED = "abandoned"
    # It has not ended, and may be unable to before its waiter goes on.
    IN_VAIN = "in vain"


@dataclass(eq=False, slots=True)
class Flight:
    """One computation under way, led by the one that started it."""

    key: Hashable
    by_hand: bool
    # Where it is run; of a stream, where it was last asked for an item.
    thread: int = field(default_factory=threading.get_ident)
    task: int | None = None
    landed: Future[Landing] = field(default_factory=Future)
    # The flights that its body waits for just now.
    needs: list[Flight] = field(default_factory=list)

    async def wait(self) -> Landing:
        """How the flight ended; raises what the leader's body raised."""
        if self.landed.done():
            return self.landed.result()
        mine = _leading.get()
        # In one go: of two flights that are about to wait for each other, one has to see it.
        with _needs_lock:
            if would_deadlock(self):
                return Landing.IN_VAIN
            for flight in mine:
                flight.needs.append(self)
        try:
            # A cancelled waiter must not cancel the flight for the others.
            return await on_loop(_landing_of(self.landed))
        finally:
            with _needs_lock:
                for flight in mine:
                    flight.needs.remove(self)


async def _landing_of(landed: Future[Landing]) -> Landing:
    return await asyncio.shield(asyncio.wrap_future(landed))


_leading: ContextVar[tuple[Flight, ...]] = ContextVar("cascade_nb_leading", default=())
_needs_lock = threading.Lock()


class Flights:
    """The flights of one engine, by key; safe to use from any thread."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, Flight] = {}
        self._lock = threading.Lock()
        # How many have landed: a result may have come since the count was another.
        self.landed = 0

    def join(self, key: Hashable) -> Flight | Lead:
        """The flight of `key`, or, to one who is the first to ask, the lead of a new one."""
        # Who leads a flight in the parent of a fork does not exist in the child.
        key = (os.getpid(), key)
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight
            flight = self._under_way[key] = Flight(key, by_hand=driven_by_hand())
        return Lead(self, flight)

    def end(self, flight: Flight) -> bool:
        """Nobody can join `flight` any more; whether it was under way until now."""
        with self._lock:
            self.landed += 1
            under_way = self._under_way.get(flight.key) is flight
            if under_way:
                del self._under_way[flight.key]
            return under_way


class Lead:
    """The lead of a flight, and the store's `lock` on its key; to be landed by who has got it.

    The leader of a stream says at each step where it goes on, and afterwards that it rests; when
    it rests for too long, the watcher lands it.
    """

    def __init__(self, flights: Flights, flight: Flight) -> None:
        self._flights = flights
        self.flight = flight
        self.lock: Lock | None = None
        self._rests_since: float | None = None
        self._is_watched = False

    def land(self, landing: Landing | BaseException) -> None:
        """End the flight, and free the lock: its waiters go on with `landing`, or raise it.

        Landing it again does nothing.
        """
        if not self._flights.end(self.flight):
            return
        _watcher.leave(self)
        try:
            if self.lock is not None:
                self.lock.release()
        finally:
            if isinstance(landing, BaseException):
                self.flight.landed.set_exception(landing)
            else:
                self.flight.landed.set_result(landing)

    def go_on(self) -> None:
        """The body is about to take a step, in this thread and task."""
        self._rests_since = None
        self.flight.thread = threading.get_ident()
        self.flight.task = None if self.flight.by_hand else _task_here()

    def rest(self) -> None:
        """The consumer has an item, and may never ask for another one."""
        self._rests_since = time.monotonic()
        if not self._is_watched:
            self._is_watched = True
            _watcher.watch(self)

    def rests_for(self) -> float:
        """Seconds since the consumer was given an item; 0 while the body is at work."""
        since = self._rests_since
        return 0.0 if since is None else time.monotonic() - since


def would_deadlock(flight: Flight) -> bool:
    """Whether `flight` may be unable to land before its would-be waiter returns."""
    mine = _leading.get()
    if mine and _hangs_on(flight, mine):
        return True
    if flight.thread != threading.get_ident():
        return False
    if flight.by_hand or driven_by_hand():
        return True
    return flight.task is not None and flight.task == _task_here()


def _hangs_on(flight: Flight, others: tuple[Flight, ...]) -> bool:
    """Whether `flight` is, or waits for, one of `others`; nobody waits in a circle."""
    return flight in others or any(_hangs_on(needed, others) for needed in flight.needs)


def _task_here() -> int | None:
    # Its id, since the task itself would keep alive what it consumes. That of a task which has
    # ended may be taken for another's: then one more run is what it costs.
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    return None if task is None else id(task)


class leading:  # noqa: N801 - reads as a statement: `with leading(flight):`
    """While a flight's body runs, what it calls knows that it must not wait for this flight."""

    def __init__(self, flight: Flight) -> None:
        self._flight = flight

    def __enter__(self) -> None:
        self._token = _leading.set((*_leading.get(), self._flight))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A coroutine that is closed may be closed in a foreign context.
        if kind is not GeneratorExit:
            _leading.reset(self._token)


class _Watcher:
    """Lands what rests for too long; one thread for the process, while there are streams."""

    def __init__(self) -> None:
        self._leads: set[Lead] = set()
        self._lock = threading.Lock()
        self._is_running = False

    def watch(self, lead: Lead) -> None:
        with self._lock:
            self._leads.add(lead)
            if not self._is_running:
                # No thread can be had at the interpreter's end, where nobody will wait for long.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=self._run, name="cascade-nb rests", daemon=True).start()
                    self._is_running = True

    def leave(self, lead: Lead) -> None:
        with self._lock:
            self._leads.discard(lead)

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_EVERY)
            with self._lock:
                leads = tuple(self._leads)
                if not leads:
                    self._is_running = False
                    return
            for lead in leads:
                if lead.rests_for() > REST_LIMIT:
                    try:
                        lead.land(Landing.ABANDONED)
                    except Exception:
                        logger.exception("the lock of a stream that rests cannot be freed")


_watcher = _Watcher()


def _begin_anew() -> None:
    """A forked child has neither the watcher's thread nor any part in the streams it watches."""
    global _watcher, _needs_lock
    _watcher, _needs_lock = _Watcher(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
