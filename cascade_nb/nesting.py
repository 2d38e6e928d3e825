"""Making a running event loop re-entrant, so that plain code in a cell can wait on it.

A nested run must not lose what it cannot run: ipykernel runs all shell messages in one context, and
a message that a nested run picks up while that context is entered further up the stack can only
fail. nest-asyncio2 defers such handles until the nested run has ended. With nest-asyncio 1.6 alone
they are parked here.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio.events import Handle
from collections import deque
from contextvars import Context
from typing import Any

_lock = threading.Lock()
_PARKED = "_cascade_nb_parked"


def make_reentrant(loop: asyncio.AbstractEventLoop) -> bool:
    """Let ``loop.run_until_complete`` be called while `loop` runs; False where it cannot be."""
    # uvloop and others that bring their own core have nothing to patch.
    if not isinstance(loop, asyncio.BaseEventLoop):
        return False
    if _loses_nothing(loop):
        return True
    with _lock:
        if not _loses_nothing(loop):
            # Both packages put in an asyncio.run that reuses a loop and leaves it open: what a
            # program's own asyncio.run does is not ours to change.
            run = asyncio.run
            if loop.is_running() and not hasattr(loop, "_nest_patched"):
                loop._ready = _NeverEmpty(loop)  # type: ignore[attr-defined]
            try:
                import nest_asyncio2
            except ImportError:
                _apply_with_parking(loop)
            else:
                _apply_in_place_of_older(nest_asyncio2, loop)
            asyncio.run = run
    return True


class _NeverEmpty(deque[Handle]):
    """The handles of a loop that is patched while it runs.

    The pass over them that is under way has counted them, and would fail where a nested run has
    taken some; it gets handles of nothing instead.
    """

    def __init__(self, loop: Any) -> None:
        super().__init__(loop._ready)
        self._loop = loop

    def popleft(self) -> Handle:
        try:
            return super().popleft()
        except IndexError:
            nothing = Handle(int, (), self._loop)
            nothing.cancel()
            return nothing


def _loses_nothing(loop: asyncio.AbstractEventLoop) -> bool:
    return hasattr(type(loop), "_nest_deferred") or hasattr(type(loop), _PARKED)


def _apply_in_place_of_older(nest_asyncio2: Any, loop: asyncio.BaseEventLoop) -> None:
    """Apply nest-asyncio2, also where nest-asyncio came first and would make that a no-op."""
    kind = type(loop)
    patched = next((c for c in kind.__mro__ if "_nest_patched" in vars(c)), None)
    if patched is None:
        _forget_older_asyncio_patch()
        nest_asyncio2.apply(loop)
        return
    # Runs of the older patch may be under way; they count down what they have counted up.
    pending = patched._num_runs_pending  # type: ignore[attr-defined]
    del patched._nest_patched  # type: ignore[attr-defined]
    _forget_older_asyncio_patch()
    nest_asyncio2.apply(loop)
    kind._num_runs_pending = pending  # type: ignore[attr-defined]


def _forget_older_asyncio_patch() -> None:
    if hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2"):
        del asyncio._nest_patched


def _apply_with_parking(loop: asyncio.BaseEventLoop) -> None:
    """Apply nest-asyncio 1.6, and keep handles that its nested runs cannot run."""
    import nest_asyncio

    nest_asyncio.apply(loop)
    kind: Any = type(loop)
    run_nested = kind.run_until_complete

    def run_until_complete(self: Any, future: Any) -> Any:
        parked: list[Handle] = []
        outer = getattr(self, _PARKED)
        setattr(self, _PARKED, parked)
        try:
            return run_nested(self, future)
        finally:
            setattr(self, _PARKED, outer)
            self._ready.extendleft(reversed(parked))

    setattr(kind, _PARKED, None)
    kind.run_until_complete = run_until_complete
    Handle._run = _run_or_park  # type: ignore[method-assign]


_run = Handle._run


def _run_or_park(self: Any) -> None:
    parked = getattr(self._loop, _PARKED, None)
    if parked is not None and _is_entered(self._context):
        parked.append(self)
    else:
        _run(self)


def _is_entered(context: Context) -> bool:
    # A context does not tell; running nothing in it does.
    try:
        context.run(int)
    except RuntimeError:
        return True
    return False
