"""Long sequences of floats, ints or strings as one piece of memory, at C's speed."""

from __future__ import annotations

import io
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cascade_nb.errors import CodecError

if TYPE_CHECKING:
    from cascade_nb.codecs.reader import Reader
    from cascade_nb.codecs.writer import Writer

PACKED_FROM = 16  # elements; part of format 1
GENERIC, _FLOATS, _INTS, _STRINGS = 0, 1, 2, 3
# The codes of arrays that hold the lengths of strings, the narrowest that does.
_LENGTHS = {"B": 1 << 8, "H": 1 << 16, "I": 1 << 32, "Q": 1 << 64}
_LENGTH_CODES = {ord(code): code for code in _LENGTHS}
_CHUNK = 1 << 16  # elements handled between chances for other threads


def pack(writer: Writer, items: Sequence[Any]) -> bool:
    """Write the items and their form, if they are many and all of one simple type."""
    if len(items) < PACKED_FROM:
        return False
    packer = _PACKERS.get(type(items[0]))
    return packer is not None and packer(writer, items)


def unpack(reader: Reader, form: int) -> list[Any]:
    """The items of a packed sequence."""
    return _UNPACKERS[form](reader)


def listed(items: Sequence[Any]) -> list[Any]:
    """The items of an array of objects, as ``tolist`` gives them."""
    found: list[Any] = []
    for chunk in _chunks(items):
        found += chunk
    return found


def _chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), _CHUNK):
        yield list(items[start : start + _CHUNK])


def _pack_numbers(writer: Writer, items: Sequence[Any], cls: type, code: str, form: int) -> bool:
    packed = array(code)
    try:
        for chunk in _chunks(items):
            if set(map(type, chunk)) != {cls}:
                return False
            packed.fromlist(chunk)
    except OverflowError:  # an int of more than 64 bits
        return False
    writer.out.append(form)
    writer.blob(memoryview(_little_endian(packed)))
    return True


def _pack_floats(writer: Writer, items: Sequence[Any]) -> bool:
    return _pack_numbers(writer, items, float, "d", _FLOATS)


def _pack_ints(writer: Writer, items: Sequence[Any]) -> bool:
    return _pack_numbers(writer, items, int, "q", _INTS)


def _pack_strings(writer: Writer, items: Sequence[Any]) -> bool:
    lengths: list[int] = []
    longest = 0
    text = io.BytesIO()
    for chunk in _chunks(items):
        if set(map(type, chunk)) != {str}:
            return False
        joined = "".join(chunk)
        if joined.isascii():
            sizes = list(map(len, chunk))
            text.write(joined.encode())
        else:
            encoded = [item.encode("utf-8", "surrogatepass") for item in chunk]
            sizes = list(map(len, encoded))
            text.write(b"".join(encoded))
        lengths += sizes
        longest = max(longest, max(sizes))
    code = next(code for code, limit in _LENGTHS.items() if longest < limit)
    writer.out.append(_STRINGS)
    writer.out.append(ord(code))
    writer.blob(memoryview(_little_endian(array(code, lengths))))
    writer.blob(text.getbuffer())
    return True


def _little_endian(numbers: array[Any]) -> array[Any]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _unpack_numbers(reader: Reader, code: str) -> list[Any]:
    blob = reader.blob()
    if sys.byteorder == "big":
        swapped = array(code)
        swapped.frombytes(blob)
        swapped.byteswap()
        return swapped.tolist()
    return listed(blob.cast(code))  # type: ignore[call-overload]  # wants a literal


def _unpack_strings(reader: Reader) -> list[str]:
    lengths = _unpack_numbers(reader, _LENGTH_CODES[reader.byte()])
    data = reader.blob()
    if sum(map(sum, _chunks(lengths))) != len(data):
        raise CodecError("damaged encoding: the strings of a list have the wrong lengths")
    items: list[str] = []
    start = 0
    text = str(data, "utf-8", "surrogatepass")
    if len(text) == len(data):  # ASCII: characters are bytes
        for length in lengths:
            items.append(text[start : start + length])
            start += length
    else:
        for length in lengths:
            items.append(str(data[start : start + length], "utf-8", "surrogatepass"))
            start += length
    return items


_PACKERS: dict[type, Callable[[Writer, Sequence[Any]], bool]] = {
    float: _pack_floats,
    int: _pack_ints,
    str: _pack_strings,
}
_UNPACKERS: dict[int, Callable[[Reader], list[Any]]] = {
    _FLOATS: lambda reader: _unpack_numbers(reader, "d"),
    _INTS: lambda reader: _unpack_numbers(reader, "q"),
    _STRINGS: _unpack_strings,
}
