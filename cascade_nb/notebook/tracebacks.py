"""Tracebacks of cached cells look like those of plain cells: no frame of ours is in them.

Frames cannot be kept out while an exception passes through them, so they are taken out when IPython
is about to show it. There, too, a StopIteration is unwrapped, which no coroutine lets through.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, TracebackType
from typing import Any

from cascade_nb.errors import logger

_OWN = "cascade_nb"
# What passes an exception on between frames of ours.
_PLUMBING = frozenset({"asyncio", "concurrent", "contextlib", "nest_asyncio", "nest_asyncio2"})
_UNCOMPILED = "_cascade_nb_uncompiled"


class BodyStopped(Exception):  # noqa: N818 - it carries the error that there is
    """Carries a StopIteration of a body's, in `raised`, which no coroutine would let through."""

    def __init__(self, raised: StopIteration) -> None:
        super().__init__(f"StopIteration: {raised}")
        self.raised = raised


def mark_uncompiled(error: BaseException) -> None:
    """Note that `error` says that a body does not compile; a plain cell shows that by itself."""
    setattr(error, _UNCOMPILED, True)


class CleanTracebacks:
    """While installed, exceptions that the shell shows have lost their frames of ours."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._show: Callable[..., None] = shell.showtraceback

    def install(self) -> None:
        """Put ourselves before what shows exceptions."""
        self._shell.showtraceback = self._show_cleaned

    def remove(self) -> None:
        """Leave the shell as found, if nobody has put himself before us."""
        if vars(self._shell).get("showtraceback") == self._show_cleaned:
            del self._shell.showtraceback
            if self._shell.showtraceback != self._show:
                self._shell.showtraceback = self._show

    def _show_cleaned(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1] if exc_tuple is None else exc_tuple[1]
        if isinstance(error, BodyStopped):
            error = self._unwrapped(error)
            exc_tuple = (type(error), error, error.__traceback__)
        if error is not None:
            try:
                clean(error)
                if exc_tuple is not None and exc_tuple[2] is not None:
                    exc_tuple = (exc_tuple[0], error, error.__traceback__)
                if getattr(error, _UNCOMPILED, False):
                    kwargs["running_compiled_code"] = False
            except Exception:
                # An odd exception class must be shown all the same.
                logger.exception("a traceback could not be cleaned")
        self._show(exc_tuple, *args, **kwargs)

    def _unwrapped(self, stopped: BodyStopped) -> StopIteration:
        """What the body raised, as what the cell has raised."""
        error = stopped.raised
        error.__traceback__ = _linked(
            [*_entries(stopped.__traceback__), *_entries(error.__traceback__)]
        )
        result = self._shell.displayhook.exec_result
        if result is not None and result.error_in_exec is stopped:
            result.error_in_exec = error
        return error


def clean(error: BaseException) -> None:
    """Take our frames out of the traceback of `error`, and of all that led to it."""
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        current.__traceback__ = _without_ours(current.__traceback__)
        pending.extend(e for e in (current.__cause__, current.__context__) if e is not None)
        if isinstance(current, BaseExceptionGroup):
            pending.extend(current.exceptions)


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    entries = list(_entries(traceback))
    ours = [_is_ours(entry) for entry in entries]
    if not any(ours):
        return traceback
    for index, entry in enumerate(entries):
        if not ours[index] and _module(entry).partition(".")[0] in _PLUMBING:
            ours[index] = index > 0 and ours[index - 1] and any(ours[index:])
    for index in range(len(entries) - 1, 0, -1):
        # The call that IPython made of the magic's line, and its frame that made ours.
        if ours[index] and _leads_in(entries[index - 1], entries[index]):
            ours[index - 1] = True
    return _linked([e for e, is_ours in zip(entries, ours, strict=True) if not is_ours])


def _linked(entries: Sequence[TracebackType]) -> TracebackType | None:
    """A traceback of these entries."""
    linked: TracebackType | None = None
    for entry in reversed(entries):
        linked = TracebackType(linked, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return linked


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _module(entry: TracebackType) -> str:
    name = entry.tb_frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _is_ours(entry: TracebackType) -> bool:
    return _module(entry).partition(".")[0] == _OWN


def _leads_in(entry: TracebackType, into: TracebackType) -> bool:
    code = entry.tb_frame.f_code
    if code.co_name == "run_cell_magic":
        return _is_ours(into)
    return code.co_name == "<module>" and _is_bare_call(code)


def _is_bare_call(code: CodeType) -> bool:
    """Whether `code` does nothing but to call the magic: a cell that begins with `%%cascade`."""
    if code.co_names == ("get_ipython", "run_cell_magic"):
        return "cascade" in code.co_consts
    return code.co_names[-1:] == ("awaited",) and "CascadeMagics" in code.co_consts
