"""Unsigned varints: seven bits a byte, the lowest first; those of CIDs, CARs and protobuf."""

from __future__ import annotations

from cascade_nb.errors import IntegrityError
from cascade_nb.protocols import Bytes

# Bytes of the largest 64-bit number, which protobuf may hold; the multiformats end at nine.
_LONGEST = 10


def encode(number: int) -> bytes:
    """The one shortest varint of a number that is not negative."""
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def decode(data: Bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and where it ends.

    Raises:
        EndError: the data ends before it does.
        IntegrityError: it has more than ten bytes, or is longer than it has to be.
    """
    number = 0
    for length, byte in enumerate(data[at : at + _LONGEST]):
        number |= (byte & 0x7F) << 7 * length
        if byte < 0x80:
            if byte == 0 and length:
                raise IntegrityError("a number is written with more bytes than it needs")
            return number, at + length + 1
    if len(data) - at >= _LONGEST:
        raise IntegrityError("a number has more than ten bytes")
    raise EndError("it ends inside of a number")


class EndError(IntegrityError):
    """Data ends in the middle of something; more of it would help."""
