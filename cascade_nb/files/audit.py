"""The audit hook: what Python tells of opened files and listed folders, minus its own business.

An audit hook can never be removed, so there is one, it is installed at the first recording, and
does next to nothing while nobody records.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cascade_nb.files.places import library_prefixes

# Rooms of this house that touch files and never call the user's code.
_OUR_ROOMS = (
    "cascade_nb.backends",
    "cascade_nb.catalog",
    "cascade_nb.config",
    "cascade_nb.files",
    "cascade_nb.fingerprint",
    "cascade_nb.policies",
    "cascade_nb.provenance",
)
# Modules that read source, not data, for tracebacks and imports.
_SOURCE_READERS = frozenset(
    {"importlib.metadata", "inspect", "linecache", "pkgutil", "traceback", "zipimport"}
)
_IMPORT_SYSTEM = frozenset({"importlib._bootstrap", "importlib._bootstrap_external"})
_IMPORTABLE = tuple(importlib.machinery.all_suffixes())

Listener = Callable[[str, tuple[Any, ...]], None]


class _Deaf(threading.local):
    """True while our own reading in this thread is to be passed over."""

    now = False


_deaf = _Deaf()
_listener: Listener | None = None
_installed = False
_lock = threading.Lock()

EVENTS = frozenset(
    [
        "open",
        "os.listdir",
        "os.scandir",
        "os.mkdir",
        "os.rename",
        "os.remove",
        "glob.glob/2",
        "pathlib.Path.glob",
        "pathlib.Path.rglob",
        "sqlite3.connect",
    ]
)


def listen(listener: Listener | None) -> None:
    """Let `listener` hear of each of `EVENTS`, in the thread that raises it; None for nobody."""
    global _listener, _installed
    with _lock:
        _listener = listener
        if listener is not None and not _installed:
            _installed = True
            sys.addaudithook(_hook)


@contextmanager
def unobserved() -> Iterator[None]:
    """Let nobody hear of what this thread does inside."""
    before, _deaf.now = _deaf.now, True
    try:
        yield
    finally:
        _deaf.now = before


def _hook(event: str, args: tuple[Any, ...]) -> None:
    listener = _listener
    if listener is None or event not in EVENTS or _deaf.now:
        return
    _deaf.now = True
    try:
        listener(event, args)
    finally:
        _deaf.now = False


def is_data(path: str | None) -> bool:
    """Whether whoever touches `path` (None: a folder) now is after data, and not Python or us."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _hook.__code__:
        frame = frame.f_back
    frame = frame.f_back if frame is not None else None
    libraries = library_prefixes()
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module in _IMPORT_SYSTEM:
            return path is not None and not path.endswith(_IMPORTABLE)
        if module in _SOURCE_READERS or module.startswith(_OUR_ROOMS):
            return False
        # Up to the nearest frame of the user's: beyond it are those who called the user's code.
        if not frame.f_code.co_filename.startswith(libraries):
            return True
        frame = frame.f_back
    return True


def is_users() -> bool:
    """Whether it is code of the user's itself that called what is heard of now."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not _hook.__code__:
        frame = frame.f_back
    caller = frame.f_back if frame is not None else None
    return caller is None or not caller.f_code.co_filename.startswith(library_prefixes())


def open_folders() -> list[str]:
    """The folders that descriptors of this process stand for.

    Raises:
        OSError: the system does not tell.
    """
    if os.open not in os.supports_dir_fd:
        return []
    paths = {folder_of_descriptor(int(name)) for name in os.listdir("/dev/fd")}
    return sorted(path for path in paths if path is not None and os.path.isdir(path))


def folder_of_descriptor(descriptor: int) -> str | None:
    """The folder that an open descriptor stands for, where the system tells."""
    try:
        if sys.platform == "darwin":
            import fcntl

            path = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
            return os.fsdecode(path.partition(b"\0")[0])
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
