"""Recording what a computation reads, from Python's audit events."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cascade_nb.errors import logger
from cascade_nb.files import audit
from cascade_nb.files.places import absolute, folders_asked, working_folder
from cascade_nb.files.sight import ABSENT, Sight, look
from cascade_nb.files.trace import Trace
from cascade_nb.records import Reads


class Recorder:
    """Notes the files and folders that are read while it is active.

    It is active from `start` to `stop`, or in a ``with`` block, as often as wanted: a generator's
    is while it is stepped. Seen is what Python opens in the same thread or task, and in whatever
    carries its context; in a thread or task that carries no active recorder, it counts for all
    that are active. An outer recorder sees all that inner ones see.

    Args:
        candidates: paths and patterns that the run may read unseen, in native code. What is there
            when the recorder first starts, and the same when it stops, counts as read; so do the
            files in folders, and that nothing is there.
    """

    def __init__(self, candidates: Iterable[str] = ()) -> None:
        self._candidates = tuple(candidates)
        self._outer: Recorder | None = None
        self._trace: Trace | None = None

    def __enter__(self) -> Recorder:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, or go on, to note what is read."""
        global _active
        outer = _current.get()
        self._outer = outer if outer in _active else None
        if self._trace is None:
            self._trace = Trace()
            if self._candidates:
                with audit.unobserved():
                    for trace in self._traces():
                        trace.add_candidates(self._candidates)
        _current.set(self)
        with _lock:
            _active = (*_active, self)
            audit.listen(_hear)

    def stop(self) -> None:
        """Note no more, until the next `start`."""
        global _active
        _current.set(self._outer)
        with _lock:
            _active = tuple(other for other in _active if other is not self)
            if not _active:
                audit.listen(None)

    def inherit(self, reads: Reads) -> None:
        """Count what a cached call in this computation has read, whether it ran or was a hit."""
        with audit.unobserved():
            for trace in self._traces():
                trace.inherit(reads)

    @property
    def reads(self) -> Reads:
        """What was read, by content as first found; hashes the candidates, so it may take long."""
        if self._trace is None:
            return Reads()
        with audit.unobserved():
            self._trace.count_candidates()
            return self._trace.reads()

    @property
    def changed(self) -> str | None:
        """What makes `reads` no proof, as in "file `data.csv` changed"; None where nothing does.

        It is about files that somebody else has changed between their reading and now.
        """
        if self._trace is None or self._trace.failure is not None:
            return None if self._trace is None else self._trace.failure
        with audit.unobserved():
            name = self._trace.changed_by_others()
        return None if name is None else f"file `{name}` changed"

    def _traces(self) -> list[Trace]:
        """The trace of this recorder and of those around it."""
        traces = []
        recorder: Recorder | None = self
        while recorder is not None and recorder._trace is not None:
            traces.append(recorder._trace)
            recorder = recorder._outer
        return traces


def inherit(reads: Reads) -> None:
    """Count what a cached call has read for the computation around it, if there is one."""
    if not reads:
        return
    with audit.unobserved():
        for trace in _hearing():
            trace.inherit(reads)


_current: contextvars.ContextVar[Recorder | None] = contextvars.ContextVar(
    "cascade_nb_recorder", default=None
)
_active: tuple[Recorder, ...] = ()
_lock = threading.Lock()


def _hearing() -> list[Trace]:
    """The traces of the computations that what happens here may belong to."""
    current = _current.get()
    if current is not None and current in _active:
        return current._traces()
    return [recorder._trace for recorder in _active if recorder._trace is not None]


def _hear(event: str, args: tuple[Any, ...]) -> None:
    traces = _hearing()
    try:
        _REACTIONS[event](traces, *args)
    except Exception:
        # Raised from here it would come out of the user's open().
        logger.exception("a file cannot be recorded")
        for trace in traces:
            trace.failure = "a file that it uses could not be looked at"


def _on_open(traces: Sequence[Trace], name: Any, mode: str | None, flags: int) -> None:
    if isinstance(name, int):
        return  # a descriptor: the file was opened before
    if mode is None and not os.path.isabs(name) and audit.is_users():
        folders = audit.open_folders()
        _opened_in(folders, traces, name, flags)
        if folders and flags & (os.O_WRONLY | os.O_RDWR):
            return  # Where it writes is not known; what it then reads counts.
    path = absolute(name, working_folder())
    writing = bool(flags & (os.O_WRONLY | os.O_RDWR))
    if flags & os.O_CREAT and flags & os.O_EXCL:
        if not os.path.lexists(path):
            _replaced(traces, path)
    elif writing and flags & os.O_TRUNC:
        if not os.path.exists(path) or os.access(path, os.W_OK):
            _replaced(traces, path)
    else:
        _opened(traces, path, reading=not flags & os.O_WRONLY, writing=writing)


def _opened_in(folders: Sequence[str], traces: Sequence[Trace], name: Any, flags: int) -> None:
    """What `os.open` opens may lie in a folder that is given as a descriptor, unsaid by the event.

    So all files of that name count that lie in one of the `folders` that are open.
    """
    for folder in folders:
        path = absolute(name, folder)
        if os.path.exists(path) and not flags & os.O_WRONLY:
            _opened(traces, path, reading=True, writing=False)


def _opened(traces: Sequence[Trace], path: str, *, reading: bool, writing: bool) -> None:
    traces = [trace for trace in traces if trace.counts(path)]
    if all(trace.has_found(path) for trace in traces):
        sight: Sight | None = ABSENT  # found before, which is what counts
    elif audit.is_data(path):
        # Hashed now: this is the content that the run is about to see.
        sight = look(path)
    else:
        return
    if sight is not None:  # else a folder, a pipe, a terminal
        for trace in traces:
            trace.opened(path, sight, reading=reading, writing=writing)


def _replaced(traces: Sequence[Trace], path: str) -> None:
    for trace in traces:
        trace.replaced(path)


def _on_list(traces: Sequence[Trace], name: Any) -> None:
    folder = working_folder()
    if isinstance(name, int):
        name = audit.folder_of_descriptor(name)
        if name is None:
            return
    if audit.is_data(None):
        path = folder if name is None else absolute(name, folder)
        for trace in traces:
            trace.listed(path)


def _on_glob(
    traces: Sequence[Trace],
    pattern: Any,
    recursive: bool = True,
    root: Any = None,
    folder_descriptor: int | None = None,
) -> None:
    if folder_descriptor is None and audit.is_data(None):
        start = absolute("." if root is None else root, working_folder())
        for path in folders_asked(os.fsdecode(pattern), start, recursive=recursive):
            for trace in traces:
                trace.listed(path)


def _on_path_glob(traces: Sequence[Trace], path: Any, pattern: Any) -> None:
    _on_glob(traces, pattern, root=path)


def _on_mkdir(traces: Sequence[Trace], name: Any, _: int, folder_descriptor: int) -> None:
    path = absolute(name, working_folder())
    if folder_descriptor == -1 and not os.path.lexists(path):
        for trace in traces:
            trace.made_folder(path)


def _on_remove(traces: Sequence[Trace], name: Any, folder_descriptor: int) -> None:
    if folder_descriptor == -1:
        path = absolute(name, working_folder())
        for trace in traces:
            trace.removed(path)


def _on_rename(
    traces: Sequence[Trace], source: Any, target: Any, source_folder: int, target_folder: int
) -> None:
    if source_folder == target_folder == -1:
        folder = working_folder()
        for trace in traces:
            trace.moved(absolute(source, folder), absolute(target, folder))


def _on_connect(traces: Sequence[Trace], database: Any) -> None:
    # SQLite reads in native code; what is not yet in the file is in the log beside it.
    name = os.fsdecode(database)
    if name.startswith("file:"):
        name = _file_of_uri(name)
    if name and name != ":memory:":
        path = absolute(name, working_folder())
        _opened(traces, path, reading=True, writing=True)
        if os.path.exists(path + "-wal"):
            _opened(traces, path + "-wal", reading=True, writing=True)


def _file_of_uri(uri: str) -> str:
    """The file that a URI of SQLite's names; nothing where it names none, or a new one.

    Whether the name is taken for a URI the event does not tell; a file of that very name counts.
    """
    if os.path.exists(uri):
        return uri
    parts = urlsplit(uri)
    mode = parse_qs(parts.query).get("mode", [""])[-1]
    return "" if mode == "memory" else unquote(parts.path)


_REACTIONS: dict[str, Callable[..., None]] = {
    "open": _on_open,
    "os.listdir": _on_list,
    "os.scandir": _on_list,
    "os.mkdir": _on_mkdir,
    "os.remove": _on_remove,
    "glob.glob/2": _on_glob,
    "pathlib.Path.glob": _on_path_glob,
    "pathlib.Path.rglob": _on_path_glob,
    "os.rename": _on_rename,
    "sqlite3.connect": _on_connect,
}
