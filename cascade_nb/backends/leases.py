"""Locks on a server that cannot see whether their holder lives: leases of a few seconds.

Each has a secret token, so that only its holder renews and frees it. One thread of the process
renews all its leases; a process that dies, or stands still, loses its leases when they end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from collections.abc import Callable, Hashable

from cascade_nb.backends import forks
from cascade_nb.errors import BackendError, logger

LEASE_SECONDS = 4.0
_RENEW_EVERY_SECONDS = 1.0
_EXIT_PATIENCE_SECONDS = 1.0


class Lease:
    """A lock that is held for as long as its process renews it.

    Args:
        name: what is locked, on which server.
        extend: renews it on the server, and tells whether it was still ours.
        free: gives it up on the server, if it is still ours.
    """

    def __init__(
        self, name: Hashable, extend: Callable[[], bool], free: Callable[[], object]
    ) -> None:
        self.name = name
        self.extend = extend
        self.free = free
        self.pid = os.getpid()
        self.is_lost = False
        self.freed = threading.Event()
        _keeper.keep(self)

    def release(self) -> None:
        """Give the lock up, without waiting for the server. Does nothing in a forked child."""
        if self.pid == os.getpid():
            _keeper.give_up(self)


def settle(name: Hashable) -> bool:
    """Whether no release of `name` in this process is under way to the server any more."""
    lease = _keeper.leaving(name)
    return lease is None or lease.freed.wait(LEASE_SECONDS)


class _Keeper:
    """Renews and frees the leases of this process, in one thread, while there are any."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: set[Lease] = set()
        self._leaving: dict[Hashable, Lease] = {}
        self._thread: threading.Thread | None = None
        forks.watch(self)

    def keep(self, lease: Lease) -> None:
        with self._changed:
            self._held.add(lease)
            self._work()

    def give_up(self, lease: Lease) -> None:
        with self._changed:
            if lease not in self._held:
                return
            self._held.discard(lease)
            self._leaving[lease.name] = lease
            self._work()
            self._changed.notify()

    def leaving(self, name: Hashable) -> Lease | None:
        return self._leaving.get(name)

    def _work(self) -> None:
        if self._thread is None:
            # No thread can be had at the interpreter's end; what is held then ends by itself.
            with contextlib.suppress(RuntimeError):
                thread = threading.Thread(target=self._run, name="cascade-nb leases", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        renewed_at = time.monotonic()
        while True:
            with self._changed:
                if not self._held and not self._leaving:
                    self._thread = None
                    return
                due = renewed_at + _RENEW_EVERY_SECONDS - time.monotonic()
                if not self._leaving and due > 0:
                    self._changed.wait(due)
                leaving = list(self._leaving.values())
            for lease in leaving:
                self._free(lease)
            if time.monotonic() >= renewed_at + _RENEW_EVERY_SECONDS:
                renewed_at = time.monotonic()
                for lease in tuple(self._held):
                    self._renew(lease)

    def _free(self, lease: Lease) -> None:
        try:
            lease.free()
        except Exception as error:
            logger.info("a lock was not freed and ends by itself: %s", error)
        with self._changed:
            self._leaving.pop(lease.name, None)
            lease.freed.set()

    def _renew(self, lease: Lease) -> None:
        try:
            if lease.extend():
                return
        except BackendError as error:
            logger.info("a lock was not renewed: %s", error)
            return
        except Exception:
            logger.exception("a lock was not renewed")
            return
        with self._changed:
            if lease in self._held:
                self._held.discard(lease)
                lease.is_lost = True
                logger.warning("a lock has ended while this process stood still")

    def finish(self) -> None:
        """Let what is being freed arrive before the process ends."""
        deadline = time.monotonic() + _EXIT_PATIENCE_SECONDS
        for lease in tuple(self._leaving.values()):
            lease.freed.wait(max(0.0, deadline - time.monotonic()))

    def before_fork(self) -> None:
        """The tables must be whole in the child."""
        self._changed.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """A child holds nothing of what its parent holds, and has no thread yet."""
        if not in_child:
            self._changed.release()
            return
        self._changed = threading.Condition()
        self._held, self._leaving, self._thread = set(), {}, None


_keeper = _Keeper()
atexit.register(lambda: _keeper.finish())
