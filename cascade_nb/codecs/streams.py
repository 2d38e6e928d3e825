"""Files in memory: what is in them, and where they are read next."""

from __future__ import annotations

import io
from typing import Any

from cascade_nb.codecs.reader import Reader, copied
from cascade_nb.codecs.refusal import UnknownTypeError
from cascade_nb.codecs.tree import STDLIB, Kind, register
from cascade_nb.codecs.writer import Writer


def _write_bytes(writer: Writer, value: io.BytesIO) -> None:
    if value.closed:
        raise UnknownTypeError(value)
    state: Any = value.__getstate__()
    content, position, attributes = state
    if attributes:
        raise UnknownTypeError(value)
    writer.varint(position)
    writer.blob(content)


def _read_bytes(reader: Reader) -> io.BytesIO:
    number, position = reader.reserve(), reader.varint()
    value = io.BytesIO(copied(reader.blob()))
    reader.fill(number, value)
    value.seek(position)
    return value


def _text(content: str, newline: str | None, position: int) -> io.StringIO:
    value: Any = io.StringIO()
    value.__setstate__((content, newline, position, None))
    made: io.StringIO = value
    return made


def _write_text(writer: Writer, value: io.StringIO) -> None:
    if value.closed:
        raise UnknownTypeError(value)
    state: Any = value.__getstate__()
    content, newline, position, attributes = state
    again = _text(content, newline, position)
    if attributes or again.newlines != value.newlines:
        raise UnknownTypeError(value)
    writer.write(newline)
    writer.varint(position)
    writer.text(content)


def _read_text(reader: Reader) -> io.StringIO:
    number = reader.reserve()
    newline, position = reader.read_exact(str, type(None)), reader.varint()
    value = _text(reader.text(), newline, position)
    reader.fill(number, value)
    return value


register(Kind(STDLIB + 0x2A, _write_bytes, _read_bytes, identity=True), io.BytesIO)
register(Kind(STDLIB + 0x2B, _write_text, _read_text, identity=True), io.StringIO)
