"""Encodings with a few bytes changed."""

from __future__ import annotations

import contextlib
import random

from cascade_nb.codecs import decode
from cascade_nb.errors import CodecError, UntrustedError


def take_in_damaged(data: bytes | bytearray, source: random.Random) -> None:
    """Decode damaged copies and look at what comes of them: an error or a value, and no crash."""
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(source.randint(1, 3)):
            damaged[source.randrange(7, len(data))] = source.randrange(256)
        with contextlib.suppress(CodecError, UntrustedError):
            repr(decode(damaged, code=False))
