"""What the engine tells the world, and the bus that carries it.

A hit is `TaskSkipped` and nothing of execution. A miss is `TaskExecutionStarted`, any number of
`TaskRetrying`, `TaskExecutionFinished`. `RunStarted` and `RunFinished` enclose each top-level run.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from cascade_nb.errors import ConfigurationError, logger
from cascade_nb.loop import from_guest

FinalStatus = Literal["Succeeded", "Failed", "Cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events: subscribe to it to see every one. `time` counts from the epoch."""

    run_id: str
    time: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A top-level run begins, before its first task is looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """A top-level run has ended after `duration` seconds."""

    status: FinalStatus
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent(Event):
    """Base of the events of one task; `name` is for people, `task_id` names the code."""

    task_id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSkipped(TaskEvent):
    """A task did not run because its result was already there."""

    reason: str = "CacheHit"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExecutionStarted(TaskEvent):
    """A task's body is about to run, for the first time in this run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetrying(TaskEvent):
    """Attempt number `attempt` failed with `error`; the next one begins in `delay` seconds."""

    attempt: int
    delay: float
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExecutionFinished(TaskEvent):
    """A task's body has ended after `duration` seconds, all attempts included.

    `result_preview` holds at most 100 characters of the result's repr, None unless it succeeded;
    `error` the exception's type and message in at most 1,000, None unless it failed.
    """

    status: FinalStatus
    duration: float
    result_preview: str | None = None
    error: str | None = None


Message = TypeVar("Message")
Callback = Callable[[Any], Awaitable[None] | None]


class MessageBus:
    """Delivers each message to the subscribers of its type and of its base classes, in order.

    A subscriber that raises harms nobody: the error is logged. Safe to use from any thread.
    """

    def __init__(self) -> None:
        self._subscribers: list[tuple[type, Callback]] = []
        # Who wants what, by the exact type of the message; found once for each.
        self._wanting: dict[type, tuple[Callback, ...]] = {}
        self._lock = threading.Lock()

    def subscribe(
        self, message_type: type[Message], callback: Callable[[Message], Awaitable[None] | None]
    ) -> Callable[[], None]:
        """Call `callback`, plain or async, with each `message_type`; gives what unsubscribes.

        Raises:
            ConfigurationError: the one is no class, or the other cannot be called.
        """
        if not isinstance(message_type, type):
            raise ConfigurationError(f"subscribe to a class of events, not to {message_type!r}")
        if not callable(callback):
            raise ConfigurationError(f"a subscriber is a function of one event, not {callback!r}")
        subscription = (message_type, callback)
        with self._lock:
            self._subscribers = [*self._subscribers, subscription]
            self._wanting = {}

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = [s for s in self._subscribers if s is not subscription]
                self._wanting = {}

        return unsubscribe

    def wants(self, message_type: type) -> bool:
        """Whether anybody would be told of a `message_type`."""
        return bool(self._callbacks(message_type))

    async def publish(self, message: object) -> None:
        """Deliver `message`; returns once every subscriber has handled it."""
        for callback in self._callbacks(type(message)):
            try:
                answer = callback(message)
                if inspect.isawaitable(answer):
                    await from_guest(answer)
            except Exception:
                logger.exception("a subscriber of %s failed", type(message).__name__)

    def _callbacks(self, message_type: type) -> tuple[Callback, ...]:
        wanting = self._wanting
        found = wanting.get(message_type)
        if found is None:
            found = wanting[message_type] = tuple(
                callback
                for wanted, callback in self._subscribers
                if issubclass(message_type, wanted)
            )
        return found
