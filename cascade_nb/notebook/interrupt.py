"""Interrupts: SIGINT stops a body in whatever it does, and leaves the kernel well.

A KeyboardInterrupt must not be raised in a task of its own, where it would end the kernel's loop;
and a body that awaits is woken by a cancellation only. So while a body runs, what SIGINT does
depends on where it strikes: code of the body gets a plain KeyboardInterrupt, tasks that it started
get `Interrupted`, and an idle loop cancels the body. What comes of it leaves here as a
KeyboardInterrupt in each case.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class Interrupted(BaseException):
    """Raised by SIGINT in a task that an interrupted body has started."""


_guard: ContextVar[Guard | None] = ContextVar("cascade_nb_interrupt_guard", default=None)


class Guard:
    """What SIGINT does while one body runs.

    `interrupted` tells that it came. Use it once: `run` or `run_task` for coroutines, and as a
    context manager around plain code.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self._swallowed = False
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancels = 0
        self._previous: Any = None
        self._installed = False

    def __enter__(self) -> Guard:
        # Python handles signals in the main thread only; a subshell has no interrupts of its own.
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._previous = signal.signal(signal.SIGINT, self._strike)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            self._installed = False
            signal.signal(signal.SIGINT, self._previous)

    def checkpoint(self) -> None:
        """Stop here if IPython swallowed the interrupt, as it does around ``!command``."""
        if self._swallowed:
            self._swallowed = False
            raise KeyboardInterrupt

    @contextmanager
    def as_keyboard_interrupt(self) -> Iterator[None]:
        """Let what an interrupt has caused inside leave as a KeyboardInterrupt."""
        try:
            yield
        except BaseException as error:
            if self.interrupted and _comes_of_interrupt(error):
                raise KeyboardInterrupt().with_traceback(error.__traceback__) from None
            raise

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await `coroutine` in the current task; an interrupt ends it with KeyboardInterrupt."""
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        token = _guard.set(self)
        try:
            with self, self.as_keyboard_interrupt():
                return await coroutine
        finally:
            _guard.reset(token)
            task, self._task = self._task, None
            if task is not None:
                for _ in range(self._cancels):
                    task.uncancel()

    def run_task(self, coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
        """Run `coroutine` on `loop` to its end, as a task of its own.

        No exception leaves the task, only this call: one that did would end a loop (an interrupt),
        or be reported as never retrieved.
        """

        async def held() -> tuple[T | None, BaseException | None]:
            try:
                return await self.run(coroutine), None
            except BaseException as error:
                return None, error

        value, error = loop.run_until_complete(loop.create_task(held()))
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def _strike(self, signum: int, frame: FrameType | None) -> None:
        self.interrupted = True
        in_body = self._task is None
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.startswith("IPython.utils._process"):
                self._swallowed = True
            if frame.f_code is _RUN and frame.f_locals.get("self") is self:
                in_body = True
                break
            frame = frame.f_back
        if in_body:
            raise KeyboardInterrupt
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._cancel)
        if _guard.get() is self:
            raise Interrupted

    def _cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._cancels += 1
            self._task.cancel()


_RUN = Guard.run.__code__


def _comes_of_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_comes_of_interrupt(inner) for inner in error.exceptions)
    return isinstance(error, asyncio.CancelledError | Interrupted)
