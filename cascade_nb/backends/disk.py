"""The default store: a folder on this machine, shared by all processes that name it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

from cascade_nb.backends import forks
from cascade_nb.backends.base import ValueFace
from cascade_nb.backends.folder import WAY_OUT
from cascade_nb.backends.open_store import OpenStore, is_busy
from cascade_nb.backends.outages import Breaker, map_errors
from cascade_nb.backends.rows import CONTENT, NOTE, RECORD, OnFile
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import in_thread
from cascade_nb.protocols import Bytes, Lock
from cascade_nb.units import parse_size
from cascade_nb.wording import short_path

T = TypeVar("T")
P = ParamSpec("P")

# A fork waits this long for writes of other threads.
_FORK_PATIENCE_SECONDS = 5.0

# A read may miss for so long that the folder was deleted.
_SEEN_SECONDS = 0.1

# Changes that other processes make may show so much later.
_CURRENT_SECONDS = 0.01

# Stores that a fork caught in the middle of a write: to close them could hang the child.
_abandoned: list[OpenStore] = []


class DiskCacheBackend(ValueFace):
    """Keeps results in a folder, with diskcache for records and small content.

    Processes and threads may share a folder. It is opened at the first use, and again after a
    fork, after it was deleted, or, should that fail, from time to time.

    Args:
        path: the folder; it is made if it is not there, for this user alone (0700).
        size: the most bytes to keep, as a number or a text like "20GB"; beyond it, and before the
            disk's last tenth is touched, the least recently used results go, each as a whole.
    """

    lasting = True

    def __init__(self, path: str | os.PathLike[str], *, size: int | str = "20GB") -> None:
        self.path = _checked_path(path)
        self.limit = parse_size(size)
        self._store: OpenStore | None = None
        self._closing: weakref.finalize[[], DiskCacheBackend] | None = None
        self._opening = threading.Lock()
        self._breaker = Breaker(self._open)
        self._at_rest = True
        self._rest = contextlib.ExitStack()
        forks.watch(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({short_path(self.path)!r})"

    def close(self) -> None:
        """Close files and connections; the next use opens them again."""
        with self._opening:
            self._drop()

    async def read_record(self, key: str) -> bytes | None:
        """The envelope stored under `key`."""
        found = await self._read(RECORD + _encoded(key))
        return found if isinstance(found, bytes) else None

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope; `contents` stay as long as a record needs them."""
        await self._do(OpenStore.write_record, _encoded(key), envelope, ttl, contents)

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content, read from a row at once or from a file in a thread."""
        found = await self._read(CONTENT + _encoded(cid))
        if isinstance(found, OnFile):
            return await self._do(_read_file, cid, found.size)
        return None if found is None else bytearray(found)

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store content, in a row or in a file of its own."""
        await self._do(OpenStore.write_content, cid, pieces)

    async def has_content(self, cid: str) -> bool:
        """Whether the content is there, in its full length."""
        found = await self._read(CONTENT + _encoded(cid))
        if isinstance(found, OnFile):
            return await self._do(_has_file, cid, found.size)
        return found is not None

    async def capacity(self) -> int:
        """Bytes of the largest result that can be stored."""
        return await self._do(OpenStore.capacity)

    async def delete_record(self, key: str) -> bool:
        """Remove a record, its note, and contents that no other record needs."""
        return await self._do(OpenStore.delete, _encoded(key))

    async def clear(self) -> int:
        """Remove everything but what other processes are just writing."""
        return await self._do(OpenStore.clear)

    async def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every (key, envelope) that is not expired, newest first."""
        numbers = await self._do(OpenStore.records)
        step = OpenStore.PAGE
        for start in range(0, len(numbers), step):
            for key, envelope in await self._do(OpenStore.page, numbers[start : start + step]):
                yield key.decode("utf-8", "surrogatepass"), envelope

    def version(self) -> Hashable | None:
        """What is another after each change in the folder; None where it is not open."""
        store = self._store
        if store is None or not store.rows.is_in_place(within=_SEEN_SECONDS):
            return None
        try:
            return (store.number, *store.rows.version(within=_CURRENT_SECONDS))
        except sqlite3.Error:
            return None

    async def size(self) -> int:
        """Bytes of records, notes and contents."""
        return await self._do(OpenStore.size)

    async def read_note(self, key: str) -> bytes | None:
        """The note under `key`."""
        found = await self._read(NOTE + _encoded(key))
        return found if isinstance(found, bytes) else None

    async def write_note(self, key: str, note: bytes) -> None:
        """Store the note; it goes when the record of that key goes, or when it is not used."""
        await self._do(OpenStore.write_note, _encoded(key), note)

    async def try_lock(self, key: str) -> Lock | None:
        """The lock on `key` among all threads and processes that use the folder."""
        return await self._do(OpenStore.try_lock, key)

    async def _read(self, name: bytes) -> bytes | OnFile | None:
        """The row of that name, at once where nothing has to be opened or waited for."""
        store = self._store
        if store is None or not store.rows.is_in_place(within=_SEEN_SECONDS):
            return await self._do(OpenStore.read, name)
        try:
            found = store.rows.read(name)
        except sqlite3.Error:
            return await self._do(OpenStore.read, name)
        if found is not None and store.used(name):
            await self._do(OpenStore.flush)
        return found

    async def _do(
        self, action: Callable[Concatenate[OpenStore, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Let the open store do something, in a thread."""
        self._breaker.check()

        def act() -> T:
            return self._act(lambda store: action(store, *args, **kwargs))

        return await in_thread(act)

    def _act(self, action: Callable[[OpenStore], T]) -> T:
        store = self._open()
        try:
            with map_errors(self.path):
                return action(store)
        except BackendError as error:
            if is_busy(error.__cause__):
                # Somebody stands still in the middle of a write; nobody is to wait for that again.
                self._breaker.tripped(error)
            with map_errors(self.path):
                store.replace_damaged(error.__cause__)
            raise

    def _open(self) -> OpenStore:
        """The store, opened where it is not, or where its folder is not the same any more."""
        with self._opening:
            store = self._store
            if store is not None:
                if store.rows.is_in_place():
                    return store
                self._drop()
            try:
                with map_errors(self.path, WAY_OUT):
                    store = OpenStore(self.path, self.limit)
            except BackendError as error:
                self._breaker.tripped(error)
                raise
            self._breaker.restored()
            self._store = store
            # Also at the interpreter's end, so that the last uses are noted.
            self._closing = weakref.finalize(self, store.close)
            return store

    def _drop(self) -> None:
        self._store = None
        if self._closing is not None:
            self._closing()

    def before_fork(self) -> None:
        """Close the database: what is open of it in a child can neither be used nor closed."""
        self._rest = contextlib.ExitStack()
        deadline = time.monotonic() + _FORK_PATIENCE_SECONDS
        self._at_rest = self._stop(self._opening, deadline)
        if self._at_rest and self._store is not None:
            rows = self._store.rows
            self._at_rest = self._stop(rows.writing, deadline) and self._stop(
                rows.reading, deadline
            )
            if self._at_rest:
                rows.let_go()

    def after_fork(self, *, in_child: bool) -> None:
        """The parent goes on; the child opens the store anew, as a writer of its own."""
        if not in_child:
            self._rest.close()
            return
        if self._store is not None:
            _abandoned.append(self._store)
        self._store = self._closing = None
        self._opening = threading.Lock()
        self._breaker = Breaker(self._open)
        if not self._at_rest:
            self._breaker.tripped(_caught_by_fork(self.path))

    def _stop(self, lock: threading.Lock | threading.RLock, deadline: float) -> bool:
        """Keep all other threads out until the fork is over; whether there was time enough."""
        stopped = lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        if stopped:
            self._rest.callback(lock.release)
        return stopped


def _checked_path(path: str | os.PathLike[str]) -> str:
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"a disk store lies at a path, not at {path!r}")
    text = os.fspath(path)
    # An empty path would be the working folder, where nothing is to be written unasked.
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise ConfigurationError(f"a disk store cannot lie at {text!r}")
    return os.path.abspath(os.path.expanduser(text))


def _encoded(key: str) -> bytes:
    # Any text at all is a key, lone surrogates included, and no two are the same.
    return key.encode("utf-8", "surrogatepass")


def _read_file(store: OpenStore, cid: str, size: int) -> bytearray | memoryview | None:
    return store.objects.read(cid, size)


def _has_file(store: OpenStore, cid: str, size: int) -> bool:
    return store.objects.has(cid, size)


def _caught_by_fork(path: str) -> BackendError:
    return BackendError(
        f"the store {path} was being written to when this process was forked, and is not used here",
        server=path,
    )
