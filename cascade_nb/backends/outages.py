"""What becomes of a medium's errors at a backend's edge."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cascade_nb.errors import BackendError, ContentTooLargeError, logger

FIRST_RETRY_SECONDS = 30.0
LAST_RETRY_SECONDS = 3600.0


@contextmanager
def map_errors(server: str, way_out: str = "") -> Iterator[None]:
    """Turn what a disk or database raises into a `BackendError` of one line that names `server`."""
    try:
        yield
    except BackendError:
        raise
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        advice = f"; {way_out}" if way_out else ""
        raise BackendError(f"the store {server} fails: {reason}{advice}", server=server) from error


def parts_gone(server: str) -> ContentTooLargeError:
    """What a record is refused with whose contents are not all there any more."""
    return ContentTooLargeError(
        f"parts of a result were gone before its record was stored: {server} has not enough room "
        "for all of them, or was cleared",
        server=server,
    )


class Breaker:
    """Spares callers a medium that is down: its error comes at once, without another try.

    After 30 s, then 60 s and so on up to an hour, the next call starts one try in a thread beside
    the work; when it succeeds, the medium is back.

    Args:
        attempt: uses the medium; trips the breaker and raises `BackendError` while it is down.
    """

    def __init__(self, attempt: Callable[[], object]) -> None:
        self._attempt = attempt
        self._lock = threading.Lock()
        self._error: BackendError | None = None
        self._pause = FIRST_RETRY_SECONDS
        self._retry_at = 0.0
        self._retry: threading.Thread | None = None

    def check(self) -> None:
        """Raise the last error while the medium is down; costs nothing."""
        error = self._error
        if error is None:
            return
        if time.monotonic() >= self._retry_at:
            self._retry_beside()
        raise BackendError(str(error), server=error.server)

    def tripped(self, error: BackendError) -> None:
        """The medium went down or, for the try beside the work, is still down.

        Who was waiting for it when it went down has no news.
        """
        with self._lock:
            if self._error is None:
                self._pause = FIRST_RETRY_SECONDS
            elif threading.current_thread() is self._retry:
                self._pause = min(self._pause * 2, LAST_RETRY_SECONDS)
            else:
                return
            self._retry_at = time.monotonic() + self._pause
            self._error = error

    def restored(self) -> None:
        """The medium works."""
        self._error = None

    def _retry_beside(self) -> None:
        with self._lock:
            if self._retry is not None and self._retry.is_alive():
                return
            self._retry = threading.Thread(target=self._try, name="cascade-nb retry", daemon=True)
            self._retry.start()

    def _try(self) -> None:
        try:
            self._attempt()
            self.restored()
        except BackendError as error:
            logger.info("still down: %s", error)


def discard(path: str | os.PathLike[str]) -> None:
    """Remove a file that may be gone already, or that nobody will miss."""
    try:
        os.unlink(path)
    except OSError as error:
        logger.debug("left %s behind: %s", path, error)
