"""`Call`: the awaitable that a cached function gives, which runs nothing until it is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, ClassVar, Generic, TypeVar

from cascade_nb.records import Entry

T = TypeVar("T")


class Call(Coroutine[Any, Any, T], Generic[T]):
    """One call of a cached function, to be awaited as often as wanted, anywhere.

    It is a coroutine, so `asyncio.run`, `create_task`, `TaskGroup`, `wait_for` and `gather` take
    it. The first await runs it; every other one gives the same object, or raises the same error.
    A cancelled run is begun anew by the next await. One that is never awaited runs nothing.

    Args:
        perform: gives the coroutine that computes the value.
        name: the function's name, for people.
        find: gives the coroutine that looks for the stored result.
    """

    # How many there are: where there is none, nobody need look for them among arguments.
    living: ClassVar[int] = 0

    def __init__(
        self,
        perform: Callable[[], Coroutine[Any, Any, T]],
        name: str,
        find: Callable[[], Coroutine[Any, Any, Entry | None]] | None = None,
    ) -> None:
        Call.living += 1
        self.__name__ = self.__qualname__ = name
        self._perform = perform
        self._find = find
        self._under_way: Future[T] | None = None
        # A coroutine for each task that steps this one, by the task's identity.
        self._driven: dict[int, Coroutine[Any, Any, T]] = {}

    def __del__(self) -> None:
        Call.living -= 1

    def __repr__(self) -> str:
        return f"<Call of {self.__name__}, {self._state()}>"

    def done(self) -> bool:
        """Whether the value, or an error, is there."""
        return self._under_way is not None and self._under_way.done()

    def result(self) -> T:
        """The value of a call that is `done`; raises the error where it raised one."""
        if self._under_way is None or not self._under_way.done():
            raise asyncio.InvalidStateError("this Call has not been awaited")
        return self._under_way.result()

    async def entry(self) -> Entry | None:
        """The entry of its stored result; runs no more than Calls among its arguments."""
        return None if self._find is None else await self._find()

    def __await__(self) -> Generator[Any, Any, T]:
        return self._shared().__await__()

    # A task steps a coroutine by these three.

    def send(self, value: Any) -> Any:
        """Go on to the next suspension, as `coroutine.send` does."""
        return self._step(lambda coroutine: coroutine.send(value))

    def throw(self, *exc_info: Any) -> Any:
        """Raise an exception at the suspension, as `coroutine.throw` does."""
        return self._step(lambda coroutine: coroutine.throw(*exc_info))

    def close(self) -> None:
        """End the coroutine, as `coroutine.close` does; a later await begins anew."""
        driven = self._driven.pop(_stepping_task(), None)
        if driven is not None:
            driven.close()

    def _step(self, step: Callable[[Coroutine[Any, Any, T]], Any]) -> Any:
        task = _stepping_task()
        coroutine = self._driven.get(task)
        if coroutine is None:
            coroutine = self._driven[task] = self._shared()
        try:
            return step(coroutine)
        except BaseException:
            # It has ended, with a value or an error.
            del self._driven[task]
            raise

    async def _shared(self) -> T:
        while True:
            under_way = self._under_way
            if under_way is None:
                return await self._first()
            if under_way.done() and not under_way.cancelled():
                return under_way.result()
            try:
                # A cancelled waiter must not cancel the run for the others.
                return await asyncio.shield(asyncio.wrap_future(under_way))
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not under_way.cancelled() or (task is not None and task.cancelling()):
                    raise

    async def _first(self) -> T:
        under_way = self._under_way = Future()
        try:
            value = await self._perform()
        except Exception as error:
            under_way.set_exception(error)
            raise
        except BaseException:
            self._under_way = None
            under_way.cancel()
            raise
        under_way.set_result(value)
        return value

    def _state(self) -> str:
        if self._under_way is None:
            return "not awaited"
        return "done" if self._under_way.done() else "running"


def calls_in(*values: Any) -> list[Call[Any]]:
    """The Calls at any depth of lists, tuples, sets and dict values, each once."""
    if not Call.living:
        return []
    found: dict[int, Call[Any]] = {}
    seen: set[int] = set()
    pending: list[Any] = list(values)
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is Call:
            found.setdefault(id(value), value)
        elif kind in _CONTAINERS and id(value) not in seen:
            seen.add(id(value))
            parts = value.values() if kind is dict else value
            # Most containers hold numbers or texts: one look at their types is quick.
            if not _WALKED.isdisjoint(map(type, parts)):
                pending.extend(parts)
    return list(found.values())


def with_values(value: Any) -> Any:
    """`value` with each Call in it replaced by its result; what holds no Call stays itself."""
    return _replaced(value, {}) if calls_in(value) else value


async def settle(calls: list[Call[Any]]) -> None:
    """Await all `calls` at the same time; raises the first error, once the others have ended."""
    if len(calls) == 1:
        await calls[0]
        return
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


_CONTAINERS = frozenset({list, tuple, set, frozenset, dict})
_WALKED = _CONTAINERS | {Call}


def _replaced(value: Any, done: dict[int, Any]) -> Any:
    """As `with_values`; `done` keeps what is shared shared, and cycles finite."""
    kind = type(value)
    if kind is Call:
        return value.result()
    if kind not in _CONTAINERS or not calls_in(value):
        return value
    if id(value) in done:
        return done[id(value)]
    if kind is dict:
        mapping: dict[Any, Any] = {}
        done[id(value)] = mapping
        mapping.update((key, _replaced(part, done)) for key, part in value.items())
        return mapping
    if kind is list:
        items: list[Any] = []
        done[id(value)] = items
        items.extend(_replaced(part, done) for part in value)
        return items
    return kind(_replaced(part, done) for part in value)


def _stepping_task() -> int:
    try:
        return id(asyncio.current_task())
    except RuntimeError:
        return 0  # Stepped by hand, outside of any loop.
