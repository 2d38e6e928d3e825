"""Whether a process of this user's on this machine still lives: each holds a lock on its own file.

The file lies in the machine's folder for temporary files. Its name says nothing about the process,
so that it may be written down where others read it: only this user on this machine finds the file.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile
import threading

from cascade_nb.backends import forks
from cascade_nb.backends.locks import HeldLock, try_lock_file
from cascade_nb.errors import logger

_NAME = re.compile(r"[0-9a-f]{32}")


class _Presence:
    """This process, as others may know it; a forked child is another."""

    def __init__(self) -> None:
        self._creating = threading.Lock()
        self._held: tuple[str, HeldLock] | None = None
        forks.watch(self)

    def name(self) -> str:
        """The name of the file that this process holds; empty where it can hold none."""
        with self._creating:
            if self._held is None:
                name = secrets.token_hex(16)
                try:
                    lock = try_lock_file(os.path.join(_folder(), name))
                except OSError as error:
                    logger.info("nobody can tell whether this process lives: %s", error)
                    return ""
                if lock is None:
                    return ""
                self._held = name, lock
            return self._held[0]

    def before_fork(self) -> None:
        """No other thread is in the middle of a change."""
        self._creating.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """What the parent holds the child does not."""
        if in_child:
            self._creating, self._held = threading.Lock(), None
        else:
            self._creating.release()


_presence = _Presence()


def own_name() -> str:
    """What this process is called; empty where nobody could tell whether it lives."""
    return _presence.name()


def has_died(name: str) -> bool:
    """Whether the process of that name ran on this machine, and has ended.

    False where that cannot be known: it may be on another machine, or another user's.
    """
    try:
        path = os.path.join(_folder(), name)
        if not _NAME.fullmatch(name) or not os.path.exists(path):
            return False
        left = try_lock_file(path)
    except OSError:
        return False
    if left is None:
        return False
    left.release()
    return True


def _folder() -> str:
    """A folder of this user's alone.

    Raises:
        OSError: there is none, or somebody else could write to it.
    """
    user = os.getuid() if hasattr(os, "getuid") else "user"
    path = os.path.join(tempfile.gettempdir(), f"cascade-nb-{user}")
    os.makedirs(path, mode=0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or (
        hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & 0o022)
    ):
        raise PermissionError(f"{path} is not this user's own folder")
    return path
