"""One coroutine, two ways to run it: awaited on a loop, or driven by hand from plain code.

The engine is written once, as coroutines. Under `await` they are ordinary coroutines. A plain
function has no loop to await on, or stands in the middle of a running one (a notebook cell), and
most hits never wait for anything. So `run_sync` drives the coroutine by hand with ``send``; what
really needs a loop, a thread or the caller's bare stack is asked of it by the functions
`in_thread`, `on_loop`, `on_background`, `here` and `pause`. Engine, policies and backends must use
these for everything that suspends: a future of asyncio's would have nobody to wait for it.
"""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from typing import Any, Generic, ParamSpec, TypeVar

from cascade_nb.nesting import make_reentrant

T = TypeVar("T")
P = ParamSpec("P")


class _Driving(threading.local):
    """True just while `run_sync` executes our own coroutine in this thread."""

    now = False


_driving = _Driving()


class StoppedError(RuntimeError):
    """Carries a StopIteration that a plain function raised: no coroutine lets one through.

    Where the function was awaited it stays what it is, as for any coroutine that raises one;
    `run_sync` raises `stopped`, unchanged.
    """

    def __init__(self, stopped: StopIteration) -> None:
        super().__init__(f"a plain function raised StopIteration: {stopped}")
        self.stopped = stopped


def carrying(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function`, the user's, such that what it raises gets through coroutines and futures."""
    try:
        return function(*args, **kwargs)
    except StopIteration as stopped:
        raise StoppedError(stopped) from stopped


class _Effect(Generic[T]):
    """Something a hand-driven coroutine asks its driver to do for it."""

    __slots__ = ("perform",)

    def __init__(self, perform: Callable[[], T]) -> None:
        self.perform = perform

    def __await__(self) -> Generator[Any, Any, T]:
        answer: T = yield self
        return answer


def run_sync(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` to its end from plain code, in any thread, inside a running loop or not."""
    answer: Any = None
    error: BaseException | None = None
    while True:
        outer, _driving.now = _driving.now, True
        try:
            effect = coroutine.send(answer) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except StoppedError as carrier:
            stopped = carrier.stopped
            break
        finally:
            _driving.now = outer
            error = None
        try:
            if not isinstance(effect, _Effect):
                raise RuntimeError(f"{coroutine!r} waits for {effect!r} outside of a loop")
            # Out of `send` again: user code run here sees no driver and may drive its own.
            _driving.now = False
            answer = effect.perform()
        except BaseException as exc:
            error = exc
        finally:
            _driving.now = outer
    # Outside of the handler, which would become its context.
    raise stopped


def driven_by_hand() -> bool:
    """Whether the coroutine that asks is run by `run_sync` rather than by a loop."""
    return _driving.now


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `function` so that no running loop is held up by it; plainly where none runs."""
    if not _driving.now:
        return await asyncio.to_thread(function, *args, **kwargs)

    def perform() -> T:
        if _running_loop() is None:
            return function(*args, **kwargs)
        return _complete(asyncio.to_thread(function, *args, **kwargs))

    return await _Effect(perform)


async def on_loop(awaitable: Awaitable[T]) -> T:
    """Await somebody else's `awaitable`, which may need a running loop."""
    if not _driving.now:
        return await awaitable
    return await _Effect(lambda: _complete(awaitable))


async def on_background(awaitable: Awaitable[T]) -> T:
    """Await `awaitable` on the one loop of ours, where clients of servers live.

    Their connections then belong to no loop of the user's, which may close or stand still.
    """
    if _running_loop() is not None and not _driving.now:
        return await asyncio.wrap_future(_submitted(awaitable))

    def perform() -> T:
        future = _submitted(awaitable)
        try:
            running = _running_loop()
            if running is None or not make_reentrant(running):
                return future.result()
            return _complete(asyncio.wrap_future(future))
        except BaseException:
            future.cancel()  # an interrupt must not leave the request behind
            raise

    return await _Effect(perform)


async def from_guest(answer: Awaitable[T]) -> T:
    """As `on_loop`, for a policy, backend or subscriber: what it raises is an error of its own.

    One whose methods are plain functions has answered by now, which is taken as it is. A client
    whose connection is torn down raises CancelledError though nobody cancelled the caller.
    """
    given: Any = answer
    try:
        return await on_loop(given) if inspect.isawaitable(given) else given
    except asyncio.CancelledError as error:
        if _is_being_cancelled():
            raise
        raise RuntimeError("it was cancelled from within") from error


async def here(function: Callable[[], T]) -> T:
    """Call `function`, the user's code, in this thread and outside of our own coroutines."""
    if not _driving.now:
        return carrying(function)
    return await _Effect(lambda: carrying(function))


def apart(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """Call `function` in a thread of its own, which nobody waits for where it takes too long.

    Not in one of the few that a loop has: those look up the names of hosts, too.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=work, name="cascade-nb apart", daemon=True).start()
    return future


async def pause(seconds: float) -> None:
    """Sleep without holding up a running loop."""
    if not _driving.now:
        await asyncio.sleep(seconds)
    elif _running_loop() is None:
        await _Effect(lambda: time.sleep(seconds))
    else:
        await _Effect(lambda: _complete(asyncio.sleep(seconds)))


def _is_being_cancelled() -> bool:
    task = None if _running_loop() is None else asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _complete(awaitable: Awaitable[T]) -> T:
    """Block until `awaitable` is done; the loop that runs in this thread goes on if it can."""
    running = _running_loop()
    if running is None or not make_reentrant(running):
        return _submitted(awaitable).result()
    task = running.create_task(_awaited(awaitable))
    try:
        return running.run_until_complete(task)
    except BaseException:
        # A nested run that is interrupted leaves its task behind, still running.
        if not task.done():
            task.cancel()
        raise


def _submitted(awaitable: Awaitable[T]) -> Future[T]:
    return asyncio.run_coroutine_threadsafe(_awaited(awaitable), _background())


_background_lock = threading.Lock()
_background_loop: tuple[int, asyncio.AbstractEventLoop] | None = None


def _background() -> asyncio.AbstractEventLoop:
    """The one loop of ours, in a daemon thread, for plain code where no other loop can serve."""
    global _background_loop
    with _background_lock:
        # A forked child inherits the loop but not the thread that runs it.
        if _background_loop is None or _background_loop[0] != os.getpid():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=loop.run_forever, name="cascade-nb loop", daemon=True)
            thread.start()
            atexit.register(_end, loop, thread, os.getpid())
            _background_loop = (os.getpid(), loop)
        return _background_loop[1]


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, pid: int) -> None:
    """Close the background loop at exit, in the process that it belongs to."""
    if os.getpid() == pid:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=1)
        if not loop.is_running():
            loop.close()
