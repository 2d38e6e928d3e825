"""The errors and warnings of cascade-nb.

CascadeError
├── BackendError          a server, disk or node failed; the policy turns it into a bypass
│   └── ContentTooLargeError   a result is larger than the store's limit
├── CodecError            a value has no exact encoding, or bytes do not decode
├── ConfigurationError    bad input from the user (also a ValueError)
├── FingerprintError      a value or function cannot be part of a key
├── IntegrityError        bytes are not what their CID or MAC says
└── UntrustedError        a stranger's result would have to run code

CacheWarning              something is not cached; the answer came back all the same
└── StaleRiskWarning      something the key cannot see may change the answer
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import warnings
from collections.abc import Hashable
from types import FrameType

logger = logging.getLogger("cascade_nb")
# Details are for those who ask; without a handler, Python prints them to stderr.
logger.addHandler(logging.NullHandler())


class CascadeError(Exception):
    """Root of every error that cascade-nb raises."""


class BackendError(CascadeError):
    """A backend could not do what was asked; `server` names it without credentials."""

    def __init__(self, message: str, *, server: str = "") -> None:
        super().__init__(message)
        self.server = server


class ContentTooLargeError(BackendError):
    """A result is larger than the whole store may be; nothing was evicted for it."""


class CodecError(CascadeError):
    """A value has no exact encoding, or bytes do not decode.

    `path` leads from the value to the culprit, as in ``value['model'].session``.
    """

    def __init__(self, message: str, *, path: str = "", type_name: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.type_name = type_name


class ConfigurationError(CascadeError, ValueError):
    """An option, URL, name or CID that the user gave is not valid."""


class FingerprintError(CascadeError):
    """A value or function has no fingerprint, so a call that depends on it has no key.

    `path` leads to the culprit (``global db.session.engine``); `ignore` is the name that
    ``ignore=[...]`` would have to list to leave it out of the key, where there is one.
    """

    def __init__(self, message: str, *, path: str = "", ignore: str | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.ignore = ignore


class IntegrityError(CascadeError):
    """Bytes are not what their CID, MAC or format says."""


class UntrustedError(CascadeError):
    """A result of someone who is not trusted with code would have to run code."""


class CacheWarning(UserWarning):
    """Something was not cached; the computation's answer came back all the same."""


class StaleRiskWarning(CacheWarning):
    """Something that no key can see (a clock, a network answer) may change the answer."""


_warned: set[Hashable] = set()
_warned_lock = threading.Lock()
# Where no code of the user's calls: our own, and what runs loops and threads.
_NOBODYS_MODULES = frozenset(
    {"cascade_nb", "asyncio", "nest_asyncio", "nest_asyncio2", "concurrent", "threading"}
)


def warn_once(message: str, cause: Hashable, category: type[Warning] = CacheWarning) -> None:
    """Warn with one line, the first time that `cause` occurs in this process.

    The warning is placed at the nearest frame outside of this package, the event loop and what
    runs threads; where there is none, at this package as such.
    Under ``-W error`` it is logged instead of raised: a cache never fails a computation.
    """
    with _warned_lock:
        if (category, cause) in _warned:
            return
        _warned.add((category, cause))
    filename, line, module = _place()
    try:
        warnings.warn_explicit(
            " ".join(message.split()), category, filename=filename, lineno=line, module=module
        )
    except Warning:
        logger.error("%s: %s", category.__name__, message)
    # A kernel holds what is written back for a while: it is to stand before what a cell shows.
    with contextlib.suppress(Exception):
        sys.stderr.flush()


def _place() -> tuple[str, int, str]:
    """File, line and module of the nearest frame that is somebody's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "<unknown>")
        if module.partition(".")[0] not in _NOBODYS_MODULES:
            return frame.f_code.co_filename, frame.f_lineno, module
        frame = frame.f_back
    return "cascade_nb", 1, "cascade_nb"


def forget_warnings() -> None:
    """Let every cause be warned of again, as in a new session."""
    with _warned_lock:
        _warned.clear()
