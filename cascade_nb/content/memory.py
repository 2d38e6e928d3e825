"""Writable memory for content, which is taken as it is filled."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

# Clearing or copying this much takes about a millisecond.
SMALL_BYTES = 4 << 20
_ASSUMED_MEMORY_BYTES = 16 << 30


def most_bytes() -> int:
    """What no content may have more of where nothing else is known: the machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return _ASSUMED_MEMORY_BYTES


def blank(size: int) -> bytearray | memoryview:
    """A writable buffer of `size` zero bytes.

    A large one is mapped: the kernel clears its pages as they are touched, while a bytearray would
    be cleared at once, with every other thread of the interpreter standing still.
    """
    if size <= SMALL_BYTES:
        return bytearray(size)
    if not hasattr(mmap, "MAP_PRIVATE"):
        return memoryview(mmap.mmap(-1, size))
    # Private, for by default a forked child would share the memory of the value.
    mapped = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(AttributeError, OSError):
        # Where there are huge pages, filling them takes a third of the time.
        mapped.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(mapped)
