"""Writes that go on in the background, and after a crash in the next session."""

from __future__ import annotations

import atexit

# What is registered last is called first: uploads need the thread pools, which end in this module.
import concurrent.futures.thread  # noqa: F401
import threading
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import libipld

from cascade_nb.backends import forks
from cascade_nb.backends.base import SERVICE
from cascade_nb.backends.outages import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS
from cascade_nb.errors import BackendError, ContentTooLargeError, logger, warn_once
from cascade_nb.loop import in_thread, run_sync
from cascade_nb.protocols import Forgets, KeepsBytes, Lists

_EXIT_SECONDS = 5.0
# In the journal's store: a row for each upload that has not arrived, and one while there are any.
_ROW = SERVICE + "upload:"
_ANY = SERVICE + "uploads"


@dataclass(frozen=True, slots=True)
class Upload:
    """A record, with the contents that it needs, on its way to farther stores.

    `ends` is when its ttl is over, in seconds since the epoch.
    """

    key: str
    contents: tuple[str, ...]
    ends: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether its ttl has passed."""
        return self.ends is not None and time.time() >= self.ends

    def to_bytes(self) -> bytes:
        """The upload as a row of the journal."""
        tree = {
            "key": self.key.encode("utf-8", "surrogatepass"),
            "contents": list(self.contents),
            "ends": self.ends,
        }
        data: bytes = libipld.encode_dag_cbor(tree)
        return data

    @classmethod
    def from_bytes(cls, row: bytes) -> Upload:
        """What `to_bytes` gave; raises ValueError, KeyError or TypeError for anything else."""
        tree = libipld.decode_dag_cbor(row)
        key = tree["key"].decode("utf-8", "surrogatepass")
        return cls(key, tuple(tree["contents"]), tree["ends"])


class Uploads:
    """Sends one upload after another from a thread of its own, which lives while there are any.

    What cannot be sent is tried again after 30 s, then 60 s and so on. With a journal, what has
    not arrived when the process ends, even by a crash, is sent by the next one that uses it.

    Args:
        send: sends one upload; a `BackendError` from it means to try again later.
        journal: the lasting store, by which uploads survive; it holds their contents too.
    """

    def __init__(
        self, send: Callable[[Upload], Awaitable[None]], journal: KeepsBytes | None
    ) -> None:
        self._send = send
        self._journal = journal
        self._resumed = journal is None
        self._begin()
        forks.watch(self)
        _all.add(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._ready: deque[Upload] = deque()
        self._later: dict[Upload, float] = {}  # and when
        self._pauses: dict[Upload, float] = {}
        self._sending = False
        self._current: Upload | None = None
        self._afterwards: dict[str, list[Callable[[], None]]] = {}
        self._thread: threading.Thread | None = None

    async def add(self, upload: Upload) -> None:
        """Send `upload` soon; on return it is in the journal, if that can be written."""
        if self._journal is not None:
            try:
                await self._note(self._journal, upload)
            except BackendError as error:
                warn_once(
                    f"an upload would not survive this session: {error}", ("outage", error.server)
                )
        with self._changed:
            self._later.pop(upload, None)
            if upload not in self._ready:
                self._ready.append(upload)
            self._start()

    async def cancel(self, key: str | None = None) -> None:
        """Send the record under `key`, or any, no more; on return none of it is on its way."""
        with self._changed:
            for upload in [u for u in (*self._ready, *self._later) if key in (None, u.key)]:
                self._later.pop(upload, None)
                if upload in self._ready:
                    self._ready.remove(upload)
            gone = [k for k in self._afterwards if not self._is_on_its_way(k)]
            done = [then for k in gone for then in self._due(k)]
        for then in done:
            then()
        await in_thread(self._let_pass, key)
        if key is not None:
            await self._strike(key)

    def _let_pass(self, key: str | None) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._current is None or key not in (None, self._current.key)
            )

    def after(self, key: str, then: Callable[[], None]) -> None:
        """Call `then` once the record under `key` has been sent or has failed once, or now."""
        with self._changed:
            if self._is_on_its_way(key):
                self._afterwards.setdefault(key, []).append(then)
                return
        then()

    def _is_on_its_way(self, key: str) -> bool:
        current = () if self._current is None else (self._current,)
        return any(upload.key == key for upload in (*self._ready, *current))

    def resume(self) -> None:
        """Send, in the background, what earlier processes left in the journal; once."""
        if self._resumed:
            return
        with self._changed:
            if not self._resumed:
                self._resumed = True
                self._sending = True  # until the journal has been read
                self._start()

    async def flush(self) -> None:
        """Wait until every upload has been sent or has failed once."""
        if not self._is_idle():
            await in_thread(self.wait)

    def wait(self, timeout: float | None = None) -> bool:
        """As `flush`, for at most `timeout` seconds; whether they were enough."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout)

    def _is_idle(self) -> bool:
        return not self._ready and not self._sending

    def _start(self) -> None:
        if self._thread is None:
            name = "cascade-nb uploads"
            self._thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _work(self) -> None:
        if self._sending:
            self._read_journal()
        while (upload := self._next()) is not None:
            failed: BackendError | None = None
            try:
                run_sync(self._sent(upload))
            except ContentTooLargeError as error:
                warn_once(f"a result stays on this machine: {error}", ("upload", error.server))
                run_sync(self._strike(upload.key, upload))
            except BackendError as error:
                failed = error
            except Exception:
                logger.exception("an upload failed and is given up for this session")
            with self._changed:
                self._sending = False
                self._current = None
                if failed is not None:
                    self._postpone(upload, failed)
                else:
                    self._pauses.pop(upload, None)
                done = [] if self._is_on_its_way(upload.key) else self._due(upload.key)
                self._changed.notify_all()
            for then in done:
                then()

    def _due(self, key: str) -> list[Callable[[], None]]:
        return self._afterwards.pop(key, [])

    def _next(self) -> Upload | None:
        """The next upload, when it is due; None, and the thread's end, when there is none."""
        with self._changed:
            while True:
                now = time.monotonic()
                for upload in [u for u, due in self._later.items() if due <= now]:
                    del self._later[upload]
                    self._ready.append(upload)
                if self._ready:
                    self._sending = True
                    self._current = self._ready.popleft()
                    return self._current
                if not self._later:
                    self._thread = None
                    return None
                self._changed.wait(min(self._later.values()) - now)

    def _postpone(self, upload: Upload, error: BackendError) -> None:
        logger.info("an upload waits: %s", error)
        last = self._pauses.get(upload, FIRST_RETRY_SECONDS / 2)
        pause = self._pauses[upload] = min(last * 2, LAST_RETRY_SECONDS)
        self._later[upload] = time.monotonic() + pause

    async def _sent(self, upload: Upload) -> None:
        await self._send(upload)
        await self._strike(upload.key, upload)

    # The journal.

    async def _note(self, journal: KeepsBytes, upload: Upload) -> None:
        await journal.write_record(_ANY, b"", None)
        await journal.write_record(
            _ROW + upload.key, upload.to_bytes(), None, contents=upload.contents
        )

    async def _strike(self, key: str, upload: Upload | None = None) -> None:
        """Remove the row of `key`, unless it is that of another upload than the given one."""
        journal = self._journal
        if not isinstance(journal, Forgets) or not isinstance(journal, KeepsBytes):
            return
        try:
            if upload is None or await journal.read_record(_ROW + key) == upload.to_bytes():
                await journal.delete_record(_ROW + key)
        except BackendError as error:
            # Then it is sent once more, which changes nothing.
            logger.info("the journal of uploads cannot be written: %s", error)

    def _read_journal(self) -> None:
        left: Sequence[Upload] = ()
        try:
            left = run_sync(self._left())
        except BackendError as error:
            logger.info("the journal of uploads cannot be read: %s", error)
        with self._changed:
            self._ready.extend(upload for upload in left if upload not in self._ready)
            self._sending = False
            self._changed.notify_all()

    async def _left(self) -> list[Upload]:
        journal = self._journal
        if not isinstance(journal, Lists) or not isinstance(journal, KeepsBytes):
            return []
        if await journal.read_record(_ANY) is None:
            return []
        left = []
        async for key, row in journal.records():
            if key.startswith(_ROW):
                try:
                    left.append(Upload.from_bytes(row))
                except (ValueError, KeyError, TypeError):
                    logger.info("an unreadable row of the journal of uploads was passed over")
        if not left and isinstance(journal, Forgets):
            # The rows are what counts: a process that adds one right now writes this again.
            await journal.delete_record(_ANY)
        left.reverse()
        return left

    # Forks: the parent sends what it has; the child has nothing to send.

    def before_fork(self) -> None:
        """Let no other thread be in the middle of a change."""
        self._changed.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on, or begin anew."""
        if in_child:
            self._begin()
        else:
            self._changed.release()


_all: weakref.WeakSet[Uploads] = weakref.WeakSet()


def _wait_at_exit() -> None:
    deadline = time.monotonic() + _EXIT_SECONDS
    for uploads in list(_all):
        if not uploads.wait(max(0.0, deadline - time.monotonic())):
            logger.warning("uploads are unfinished; they go on in the next session")


# Before the thread pools close, which an upload may need; atexit comes after them.
getattr(threading, "_register_atexit", atexit.register)(_wait_at_exit)
