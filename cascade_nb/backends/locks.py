"""Locks between threads and processes: files that the kernel unlocks when their holder dies."""

from __future__ import annotations

import os

from blake3 import blake3
from filelock import FileLock, Timeout

from cascade_nb.backends.outages import discard
from cascade_nb.protocols import Lock


class HeldLock:
    """A locked file; it is removed on release.

    A child of a fork has no part in the lock: filelock closes the child's copy of the descriptor,
    so that the lock is free once the holder itself is dead.
    """

    def __init__(self, lock: FileLock) -> None:
        self._lock = lock

    def release(self) -> None:
        """Free the lock."""
        if not self._lock.is_locked:
            return
        # Removed while it is still locked: who has opened the old file meanwhile finds after
        # locking it that it has no name any more, and has locked nothing (checked by filelock).
        discard(self._lock.lock_file)
        self._lock.release()


def try_lock_file(path: str) -> HeldLock | None:
    """The lock on the file, which is created; None while another thread or process has it."""
    lock = FileLock(path, mode=0o600, thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return HeldLock(lock)


def guard(path: str, patience: float) -> FileLock:
    """A lock to wait for, in a ``with``; raises `filelock.Timeout`, an OSError, in the end."""
    return FileLock(path, mode=0o600, timeout=patience, thread_local=False, fallback_to_soft=False)


class FileLocks:
    """Locks on keys, one file each in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def try_lock(self, key: str) -> Lock | None:
        """The lock on `key`; None while another holder has it."""
        name = blake3(key.encode("utf-8", "surrogatepass")).hexdigest()[:40]
        return try_lock_file(os.path.join(self._folder, name))

    def sweep(self) -> None:
        """Remove the files of holders that died."""
        for name in os.listdir(self._folder):
            lock = try_lock_file(os.path.join(self._folder, name))
            if lock is not None:
                lock.release()
