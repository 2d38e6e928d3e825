"""The record of what a cell puts out: everything live as ever, and a copy of it in order.

The record is a list of plain data that `replay` understands:

    ["stdout", text]   ["stderr", text]
    ["display", data, metadata, transient, update]
    ["clear", wait]
    ["result", data, metadata]      the value of an expression, as shown beside ``Out[n]``
    ["payload", data]               what opens a pager or the next input

Only instances are patched, so that what `%%capture` and others put in their place is not recorded,
and only for the time of the run.
"""

from __future__ import annotations

import builtins
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from cascade_nb.wording import a

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

_recorder: ContextVar[Recorder | None] = ContextVar("cascade_nb_recorder", default=None)
# Pools keep their threads: what one of them prints may well be part of this cell.
_POOL_THREADS = ("ThreadPoolExecutor", "asyncio", "Dummy-")
# How long to wait for what was written below Python, past its streams, in seconds.
_DRAIN_STEP, _DRAIN_LONGEST = 0.002, 0.05


class Recorder:
    """Records what one cell puts out, as a context manager around its body.

    `events` is the record; `values` are those that were shown beside ``Out[n]``, one for each
    "result". `refusal` says why the record does not give back what the cell showed, if so.
    """

    def __init__(self, shell: Any) -> None:
        self.events: list[list[Any]] = []
        self.values: list[Any] = []
        self.refusal = ""
        self._shell = shell
        self._open = False
        self._patches: list[_Patch] = []
        self._below = threading.local()

    def __enter__(self) -> Recorder:
        self._known_threads = {thread.ident for thread in threading.enumerate()}
        self._watchers = {
            thread.ident
            for stream in (sys.stdout, sys.stderr)
            if (thread := getattr(stream, "watch_fd_thread", None)) is not None
        }
        self._thread = threading.get_ident()
        self._token = _recorder.set(self)
        self._open = True
        self._install()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        for patch in reversed(self._patches):
            patch.remove()
        _recorder.reset(self._token)

    def finish(self) -> None:
        """Take in what is still on its way: figures not yet shown, output below Python."""
        inline = sys.modules.get("matplotlib_inline.backend_inline")
        if inline is not None:
            inline.flush_figures()
        _drain(sys.stdout, sys.stderr)
        self._freeze_widgets()
        for event in self.events:
            if event[0] in ("stdout", "stderr"):
                event[1] = "".join(event[1])

    def refuse(self, reason: str) -> None:
        """Note why this cell cannot be replayed; the first reason stays."""
        self.refusal = self.refusal or reason

    def _install(self) -> None:
        shell = self._shell
        hook, publisher = shell.displayhook, shell.display_pub
        self._patch(sys.stdout, "write", self._writer("stdout"))
        self._patch(sys.stderr, "write", self._writer("stderr"))
        self._patch(publisher, "publish", self._publisher)
        self._patch(publisher, "clear_output", self._clearer)
        self._patch(hook, "update_user_ns", self._value_taker)
        self._patch(hook, "write_format_data", self._result_writer)
        # Out[n] in a terminal is not part of the value's own text.
        self._patch(hook, "write_output_prompt", self._hushed)
        self._patch(hook, "finish_displayhook", self._hushed)
        if sys.displayhook is not hook:
            self._patch(sys, "displayhook", self._captured_result_taker)
        self._patch(shell, "showtraceback", self._error_shower)
        self._patch(shell, "_showtraceback", self._error_shower)
        self._patch(shell.payload_manager, "write_payload", self._payload_writer)
        self._patch(builtins, "input", self._asker)
        self._patch(shell, "system", self._system_caller)

    def _patch(
        self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        try:
            self._patches.append(_Patch(owner, name, make))
        except (AttributeError, TypeError):
            self.refuse(f"{type(owner).__name__}.{name} cannot be recorded")

    # Each of these gets what it stands in for, and gives what stands in.

    def _writer(self, stream: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def write(text: str, *args: Any, **kwargs: Any) -> Any:
                answer = original(text, *args, **kwargs)
                if self._hears():
                    last = self.events[-1] if self.events else None
                    if last is not None and last[0] == stream:
                        last[1].append(text)
                    else:
                        self.events.append([stream, [text]])
                return answer

            return write

        return make

    def _system_caller(self, original: Callable[..., Any]) -> Callable[..., Any]:
        # A terminal lets `!cmd` write past Python's streams, where nothing can be recorded.
        is_raw = getattr(original, "__func__", None) is InteractiveShell.system_raw
        piped: Callable[..., Any] = self._shell.system_piped
        return piped if is_raw else original

    def _publisher(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def publish(data: Any, metadata: Any = None, *args: Any, **kwargs: Any) -> Any:
            with self._hushing():
                answer = original(data, metadata, *args, **kwargs)
            if self._hears():
                transient, update = kwargs.get("transient"), bool(kwargs.get("update"))
                self._note("display", data, metadata or {}, transient or {}, update)
            return answer

        return publish

    def _clearer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def clear_output(wait: bool = False) -> Any:
            if self._hears():
                self._note("clear", bool(wait))
            with self._hushing():
                return original(wait)

        return clear_output

    def _value_taker(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def update_user_ns(value: Any) -> Any:
            if self._hears():
                self.values.append(value)
                self._note("result", {}, {})
            return original(value)

        return update_user_ns

    def _result_writer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def write_format_data(data: Any, metadata: Any = None) -> Any:
            with self._hushing():
                answer = original(data, metadata)
            if self._hears():
                event = next((e for e in reversed(self.events) if e[0] == "result"), None)
                if event is not None:
                    event[1:] = [self._plain(data), self._plain(metadata or {})]
            return answer

        return write_format_data

    def _captured_result_taker(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Under `%%capture`, whose hook keeps in `outputs` what would stand beside ``Out[n]``."""

        def display(value: Any = None) -> None:
            with self._hushing():
                original(value)
            if value is not None and self._hears():
                shown = getattr(original, "outputs", None)
                if not shown:
                    self.refuse("it shows a value by another display hook")
                    return
                self.values.append(value)
                self._note("result", shown[-1]["data"], shown[-1]["metadata"])

        return display

    def _hushed(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def hushed(*args: Any, **kwargs: Any) -> Any:
            with self._hushing():
                return original(*args, **kwargs)

        return hushed

    def _error_shower(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def show(*args: Any, **kwargs: Any) -> Any:
            # Shown, not raised: %%capture above a failing line, or run_cell inside the cell.
            self.refuse("it shows an error")
            return original(*args, **kwargs)

        return show

    def _payload_writer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def write_payload(data: Any, *args: Any, **kwargs: Any) -> Any:
            if self._hears():
                if data.get("source") == "ask_exit":
                    self.refuse("it ends the session")
                self._note("payload", data)
            return original(data, *args, **kwargs)

        return write_payload

    def _asker(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def input(*args: Any, **kwargs: Any) -> Any:  # noqa: A001 - stands in for it
            if self._hears():
                self.refuse("it asks for input")
            return original(*args, **kwargs)

        return input

    def _note(self, kind: str, *parts: Any) -> None:
        self.events.append([kind, *map(self._plain, parts)])

    @contextmanager
    def _hushing(self) -> Iterator[None]:
        """In a terminal, displays are printed: that text is not recorded a second time."""
        depth: int = getattr(self._below, "depth", 0)
        self._below.depth = depth + 1
        try:
            yield
        finally:
            self._below.depth = depth

    def _hears(self) -> bool:
        """Whether what this thread puts out now is the cell's, and is to be recorded."""
        if not self._open or getattr(self._below, "depth", 0) > 0:
            return False
        # Tasks, and threads that asyncio lends out, carry the context of who started them.
        heard = _recorder.get()
        if heard is not None:
            return heard is self or self._nests(heard)
        ident = threading.get_ident()
        if ident == self._thread:
            return False
        if ident in self._watchers or ident not in self._known_threads:
            return True
        return threading.current_thread().name.startswith(_POOL_THREADS)

    def _nests(self, inner: Recorder) -> bool:
        """Whether `inner` records a cell inside of ours: what that puts out is ours as well."""
        outer = inner._token.old_value
        while isinstance(outer, Recorder):
            if outer is self:
                return True
            outer = outer._token.old_value
        return False

    def _plain(self, data: Any) -> Any:
        """A copy of `data` as plain data; what has no such form makes the record incomplete."""
        if data is None or type(data) in (bool, int, float, str, bytes):
            return data
        if isinstance(data, dict):
            return {str(key): self._plain(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self._plain(value) for value in data]
        plain = next((k for k in (int, float, str, bytes) if isinstance(data, k)), None)
        if plain is not None:
            return plain(data)
        self.refuse(f"it displays {a(type(data).__name__)} that cannot be stored")
        return None

    # Widgets: their models live in the kernel, so a page that shows them later shows nothing.

    def _freeze_widgets(self) -> None:
        kept = []
        for event in self.events:
            bundle = event[1]
            if event[0] not in ("display", "result") or WIDGET_VIEW not in bundle:
                kept.append(event)
                continue
            widget = _widget(bundle.pop(WIDGET_VIEW).get("model_id"))
            if widget is None:
                # A bar that removes itself when done, as tqdm's with leave=False.
                if event[0] == "result":
                    kept.append(event)
                continue
            control = _live_control(widget)
            if control is not None:
                self.refuse(f"it shows a live control ({control})")
            event[1] = {"text/plain": repr(widget)}
            kept.append(event)
        self.events[:] = kept


@contextmanager
def unrecorded() -> Iterator[None]:
    """What is put out inside is part of no cell's record; badges are shown so."""
    token = _recorder.set(None)
    try:
        yield
    finally:
        _recorder.reset(token)


class _Patch:
    """One attribute of one object, replaced; what was there comes back."""

    def __init__(
        self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self._owner, self._name = owner, name
        self._had_own = name in vars(owner)
        self._original = getattr(owner, name)
        self._replacement = make(self._original)
        setattr(owner, name, self._replacement)

    def remove(self) -> None:
        # Who patched after us and stays calls ours on, which is inert by now.
        if vars(self._owner).get(self._name) is not self._replacement:
            return
        if self._had_own or isinstance(self._owner, ModuleType):
            setattr(self._owner, self._name, self._original)
        else:
            delattr(self._owner, self._name)


def _drain(*streams: Any) -> None:
    """Wait for what lies in the pipes in which ipykernel catches writes to descriptors 1 and 2."""
    pipes = [fd for s in streams if (fd := getattr(s, "_fid", None)) is not None]
    if not pipes:
        return
    import select

    until = time.monotonic() + _DRAIN_LONGEST
    while True:
        # Also once where nothing is there: the reader may have it in its hands.
        time.sleep(_DRAIN_STEP)
        if not select.select(pipes, [], [], 0)[0] or time.monotonic() > until:
            return


def _widget(model_id: Any) -> Any:
    """The living widget of that model."""
    module = sys.modules.get("ipywidgets.widgets.widget")
    if module is None:
        return None
    return module._instances.get(model_id)


def _live_control(widget: Any) -> str | None:
    """The type of a control in `widget` that a user could move or press."""
    from ipywidgets import HTML, Box, HTMLMath, Image, Label, Output
    from ipywidgets.widgets.widget_float import FloatProgress
    from ipywidgets.widgets.widget_int import IntProgress

    if isinstance(widget, Box):
        found = (_live_control(child) for child in widget.children)
        return next((kind for kind in found if kind is not None), None)
    still = (HTML, HTMLMath, Image, Label, Output, FloatProgress, IntProgress)
    return None if isinstance(widget, still) else type(widget).__name__
