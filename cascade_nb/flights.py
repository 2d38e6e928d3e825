"""Single flight: of identical computations that are asked for at once in one process, one runs.

The first to ask leads; the others wait for its flight to land and then look the result up. A
waiter never waits for a leader that cannot go on before the waiter returns: one that it was called
by, or one that lies under it on the stack of its thread (a plain call in a cell runs the loop
re-entrantly, and frames below such a run stand still until it ends).
"""

from __future__ import annotations

import asyncio
import enum
import threading
from collections.abc import Hashable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field

from cascade_nb.loop import driven_by_hand, on_loop


class Landing(enum.Enum):
    """How a flight ended for those who waited for it."""

    STORED = "stored"
    NOT_STORED = "not stored"
    ABANDONED = "abandoned"


@dataclass(eq=False, slots=True)
class Flight:
    """One computation under way, led by the one that started it."""

    key: Hashable
    by_hand: bool
    thread: int = field(default_factory=threading.get_ident)
    landed: Future[Landing] = field(default_factory=Future)

    async def wait(self) -> Landing:
        """How the flight ended; raises what the leader's body raised."""
        if self.landed.done():
            return self.landed.result()
        # A cancelled waiter must not cancel the flight for the others.
        return await on_loop(_landing_of(self.landed))


async def _landing_of(landed: Future[Landing]) -> Landing:
    return await asyncio.shield(asyncio.wrap_future(landed))


_leading: ContextVar[tuple[Flight, ...]] = ContextVar("cascade_nb_leading", default=())


class Flights:
    """The flights of one engine, by key; safe to use from any thread."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, Flight] = {}
        self._lock = threading.Lock()
        # How many have landed: a result may have come since the count was another.
        self.landed = 0

    def join(self, key: Hashable) -> tuple[Flight, bool]:
        """The flight of `key`, and whether the caller is its leader and has to land it."""
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight, False
            flight = self._under_way[key] = Flight(key, by_hand=driven_by_hand())
            return flight, True

    def land(self, flight: Flight, landing: Landing | BaseException) -> None:
        """End a flight; its waiters go on with `landing`, or raise it."""
        with self._lock:
            self.landed += 1
            if self._under_way.get(flight.key) is flight:
                del self._under_way[flight.key]
        if isinstance(landing, BaseException):
            flight.landed.set_exception(landing)
        else:
            flight.landed.set_result(landing)


def would_deadlock(flight: Flight) -> bool:
    """Whether `flight` may be unable to land before its would-be waiter returns."""
    if flight in _leading.get():
        return True
    same_thread = flight.thread == threading.get_ident()
    return same_thread and (flight.by_hand or driven_by_hand())


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
