"""What is in a file or folder now, as a digest; unchanged files are not hashed again.

The times of a file say that it is unchanged only under three conditions. They have to be older
than the kernel's write-back of mapped pages, which writes for half a minute without touching
them. The file system has to be a local one that keeps them. And they are compared with those of
an earlier hashing, never with a clock.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from blake3 import blake3

# Device, inode, size, mtime and ctime in nanoseconds.
Stamp: TypeAlias = tuple[int, int, int, int, int]

_SETTLED_NS = 60 * 10**9
_SMALL = 64 * 1024
_PIECE = 1 << 20
_MOST_REMEMBERED = 20_000
_KEEPS_TIMES = frozenset(
    {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "xfs", "zfs"}
)


@dataclass(frozen=True, slots=True)
class Sight:
    """A regular file as it was found; `digest` and `stamp` are None where there was none."""

    digest: str | None
    stamp: Stamp | None


ABSENT = Sight(None, None)


def look(path: str) -> Sight | None:
    """The file at `path` now, or None where something else than a regular file is.

    A file that cannot be opened counts as absent.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ABSENT
    if not stat.S_ISREG(status.st_mode):
        return None
    known = _remembered.get(_stamp(status))
    if known is not None:
        return Sight(known, _stamp(status))
    now = time.time_ns()
    try:
        sight = _hash(path)
    except OSError:
        return ABSENT
    if sight is not None and sight.stamp is not None and is_settled(sight.stamp, now):
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[sight.stamp] = sight.digest or ""
    return sight


def content_digest(path: str) -> str | None:
    """The BLAKE3 of a regular file's content in hex; None where there is none to read."""
    sight = look(path)
    return None if sight is None else sight.digest


def names_digest(path: str) -> str | None:
    """The BLAKE3 of the sorted names in a folder in hex; None where there is no such folder."""
    try:
        names = os.listdir(path)
    except (OSError, ValueError):
        return None
    return digest_of_names(names)


def digest_of_names(names: Iterable[str]) -> str:
    """The digest that `names_digest` gives of a folder with these names."""
    # No file system takes NUL in a name.
    return blake3(b"\0".join(sorted(map(os.fsencode, names)))).hexdigest()


def stamp_of(path: str) -> Stamp | None:
    """Which file lies at `path`, and its times; None where there is no regular file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return _stamp(status) if stat.S_ISREG(status.st_mode) else None


def is_settled(stamp: Stamp, now: int) -> bool:
    """Whether any later change of a file with this stamp, seen at `now`, would change the stamp."""
    device, _, _, changed, changed_inode = stamp
    return max(changed, changed_inode) < now - _SETTLED_NS and _keeps_times(device)


_remembered: dict[Stamp, str] = {}
_kept_times: dict[int, bool] = {}


def _stamp(status: os.stat_result) -> Stamp:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _hash(path: str) -> Sight | None:
    # O_NONBLOCK: a pipe may have taken the file's place since it was looked at.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | getattr(os, "O_NOCTTY", 0))
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        digest = blake3()
        if status.st_size < _SMALL:
            while piece := os.read(descriptor, _SMALL):
                digest.update(piece)
        else:
            # Read, not mapped: to truncate a file under its map kills the process.
            buffer = memoryview(bytearray(_PIECE))
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                while count := file.readinto(buffer):
                    digest.update(buffer[:count])
        return Sight(digest.hexdigest(), _stamp(status))
    finally:
        os.close(descriptor)


def _keeps_times(device: int) -> bool:
    keeps = _kept_times.get(device)
    if keeps is None:
        keeps = _kept_times[device] = _file_system_of(device) in _KEEPS_TIMES
    return keeps


def _file_system_of(device: int) -> str:
    """The type of the file system, as in ``ext4``; empty where the system does not tell."""
    if sys.platform != "linux":
        return ""
    numbers = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                # ... 98:0 /root /mount/point options - type source options
                if line.split(" ", 3)[2] == numbers:
                    return line.partition(" - ")[2].split(" ", 1)[0]
    except (OSError, IndexError):
        pass  # an unknown file system: its files are hashed each time
    return ""
