"""Builtin values and containers."""

from __future__ import annotations

import struct
from typing import Any

from cascade_nb.codecs.reader import Reader, chunks, copied
from cascade_nb.codecs.tree import BUILTINS, EXTERNAL, REFERENCE, Kind, register, register_parts
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

_FLOAT = struct.Struct("<d")
_COMPLEX = struct.Struct("<dd")


def _write_nothing(writer: Writer, value: Any) -> None:
    """The tag says all."""


def _singleton(tag: int, value: Any) -> None:
    register(Kind(tag, _write_nothing, lambda reader: value), type(value))


def _write_int(writer: Writer, value: int) -> None:
    size = (value.bit_length() + 8) // 8
    if size < 0x80:  # as `varint`, without the call
        writer.out.append(size)
    else:
        writer.varint(size)
    writer.out += value.to_bytes(size, "little", signed=True)


def _read_int(reader: Reader) -> int:
    return int.from_bytes(reader.take(reader.varint()), "little", signed=True)


def _write_bytearray(writer: Writer, value: bytearray) -> None:
    writer.blob(value)


def _read_bytearray(reader: Reader) -> bytearray:
    number = reader.reserve()
    value = bytearray()
    reader.fill(number, value)
    for chunk in chunks(reader.blob()):
        value += chunk
    return value


def _read_list(reader: Reader) -> list[Any]:
    number = reader.reserve()
    value: list[Any] = []
    reader.fill(number, value)
    value.extend(reader.sequence())
    return value


def _read_dict(reader: Reader) -> dict[Any, Any]:
    number = reader.reserve()
    value: dict[Any, Any] = {}
    reader.fill(number, value)
    keys = reader.sequence()
    value.update(zip(keys, reader.sequence(), strict=True))
    if len(value) != len(keys):
        raise CodecError("damaged encoding: a dict has a key twice")
    return value


def _read_set(reader: Reader) -> set[Any]:
    number = reader.reserve()
    value: set[Any] = set()
    reader.fill(number, value)
    elements = reader.sequence()
    value.update(elements)
    if len(value) != len(elements):
        raise CodecError("damaged encoding: a set has an element twice")
    return value


def _read_frozenset(reader: Reader) -> frozenset[Any]:
    elements = reader.sequence()
    value = frozenset(elements)
    if len(value) != len(elements):
        raise CodecError("damaged encoding: a set has an element twice")
    return value


def _read_bool(reader: Reader) -> bool:
    byte = reader.byte()
    if byte > 1:
        raise CodecError("damaged encoding: a bool is neither true nor false")
    return bool(byte)


register(Kind(BUILTINS + REFERENCE, _write_nothing, lambda reader: reader.refer(reader.varint())))
register(
    Kind(BUILTINS + EXTERNAL, _write_nothing, lambda reader: reader.external_object(reader.text()))
)
_singleton(BUILTINS + 0x03, None)
_singleton(BUILTINS + 0x04, ...)
_singleton(BUILTINS + 0x05, NotImplemented)
register(Kind(BUILTINS + 0x06, lambda writer, value: writer.out.append(value), _read_bool), bool)
register(Kind(BUILTINS + 0x07, _write_int, _read_int), int)
register(
    Kind(
        BUILTINS + 0x08,
        lambda writer, value: writer.out.extend(_FLOAT.pack(value)),
        lambda reader: _FLOAT.unpack(reader.take(8))[0],
    ),
    float,
)
register(
    Kind(
        BUILTINS + 0x09,
        lambda writer, value: writer.out.extend(_COMPLEX.pack(value.real, value.imag)),
        lambda reader: complex(*_COMPLEX.unpack(reader.take(16))),
    ),
    complex,
)
register(Kind(BUILTINS + 0x0A, Writer.text, Reader.text), str)
register(Kind(BUILTINS + 0x0B, Writer.blob, lambda reader: copied(reader.blob())), bytes)
register(Kind(BUILTINS + 0x0C, _write_bytearray, _read_bytearray, identity=True), bytearray)
register(Kind(BUILTINS + 0x0D, Writer.sequence, lambda reader: tuple(reader.sequence())), tuple)
register(Kind(BUILTINS + 0x0E, Writer.sequence, _read_list, identity=True), list)
register(Kind(BUILTINS + 0x0F, Writer.mapping, _read_dict, identity=True), dict)
register(Kind(BUILTINS + 0x10, Writer.unordered, _read_set, identity=True), set)
register(Kind(BUILTINS + 0x11, Writer.unordered, _read_frozenset), frozenset)
register_parts(
    BUILTINS + 0x12,
    range,
    lambda value: (value.start, value.stop, value.step),
    range,
    int,
    int,
    int,
)
register(
    Kind(
        BUILTINS + 0x13,
        lambda writer, value: writer.sequence((value.start, value.stop, value.step)),
        lambda reader: slice(*reader.sequence()),
    ),
    slice,
)
