"""Fingerprints of small plain values, remembered by their content.

Most arguments and globals are numbers, short texts and short lists of them, and a walk costs more
than looking up what it would find. The content itself is the key of the memory, so nothing here
can go stale; identity plays no part.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from types import NoneType
from typing import Any

from cascade_nb.fingerprint.values import fingerprint

_LONGEST = 64  # of lists and tuples
_LONGEST_TEXT = 256
_LARGEST = 1 << 64
_SEQUENCES = frozenset({list, tuple})


def small_fingerprint(value: Any) -> str | None:
    """The fingerprint of `value` if it is small and plain; None: it has to be walked."""
    cls: Any = type(value)
    if cls is int:
        return _of_scalar(int, value) if -_LARGEST < value < _LARGEST else None
    if cls is float:
        # Equal floats differ in their sign of zero, and a NaN equals none.
        return _of_float(struct.pack("<d", value))
    if cls is str or cls is bytes:
        return _of_scalar(cls, value) if len(value) <= _LONGEST_TEXT else None
    if cls in (bool, NoneType):
        return _of_scalar(cls, value)
    if cls in _SEQUENCES and len(value) <= _LONGEST:
        kinds = set(map(type, value))
        if kinds == {float}:
            return _of_floats(cls, struct.pack(f"<{len(value)}d", *value))
        if kinds == {int} or (kinds == {str} and sum(map(len, value)) <= _LONGEST_TEXT):
            return _of_sequence(cls, kinds.pop(), tuple(value))
    return None


@lru_cache(maxsize=8192)
def _of_scalar(cls: Any, value: Any) -> str:
    return fingerprint(value)


@lru_cache(maxsize=8192)
def _of_float(packed: bytes) -> str:
    return fingerprint(struct.unpack("<d", packed)[0])


@lru_cache(maxsize=1024)
def _of_sequence(cls: Any, kind: Any, values: tuple[Any, ...]) -> str:
    return fingerprint(cls(values))


@lru_cache(maxsize=1024)
def _of_floats(cls: Any, packed: bytes) -> str:
    return fingerprint(cls(struct.unpack(f"<{len(packed) // 8}d", packed)))
