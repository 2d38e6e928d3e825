"""Version 2 of Redis' protocol, as far as short questions and plain answers go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def encoded(text: str) -> bytes:
    """A text as bytes; a lone surrogate in it is one like others."""
    return text.encode("utf-8", "surrogatepass")


def packed(command: Sequence[bytes | str]) -> bytes:
    """A command as it is sent."""
    parts = [b"*%d\r\n" % len(command)]
    for part in command:
        data = part if isinstance(part, bytes) else encoded(part)
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def parsed(data: bytes | bytearray, start: int = 0) -> tuple[Any, int]:
    """The answer that begins at `start`, and where it ends: bytes, a number, None, or a list.

    Raises:
        EOFError: it is not all there.
        ValueError: it is an error, or nothing that is known here.
    """
    end = data.find(b"\r\n", start)
    if end < 0:
        raise EOFError
    kind, number, end = data[start : start + 1], int(data[start + 1 : end]), end + 2
    if kind == b":":
        return number, end
    if number < 0:
        return None, end
    if kind == b"$":
        if len(data) < end + number + 2:
            raise EOFError
        return bytes(data[end : end + number]), end + number + 2
    if kind != b"*":
        raise ValueError(f"an answer of kind {bytes(kind)!r}")
    items = []
    for _ in range(number):
        item, end = parsed(data, end)
        items.append(item)
    return items, end
