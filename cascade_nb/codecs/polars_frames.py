"""Polars' DataFrame and Series, as Arrow IPC streams; lazy frames are plans and left to code."""

from __future__ import annotations

import io
from typing import Any

import polars

from cascade_nb.codecs import ipc
from cascade_nb.codecs.reader import Reader, copied
from cascade_nb.codecs.refusal import UnknownTypeError
from cascade_nb.codecs.tree import POLARS, Kind, register
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

pl: Any = polars


def _stream(frame: Any) -> bytes:
    sink = io.BytesIO()
    # Texts as offsets and bytes: views would bring along what a slice has left out.
    oldest = pl.CompatLevel.oldest()
    frame.write_ipc_stream(sink, compression="uncompressed", compat_level=oldest)
    return sink.getvalue()


def _frame(stream: bytes) -> Any:
    try:
        return pl.read_ipc_stream(stream)
    except pl.exceptions.PanicException as error:  # no `Exception`
        raise CodecError("damaged encoding: polars cannot read its frame") from error


def _write_content(writer: Writer, value: Any, frame: Any) -> None:
    try:
        bare = _stream(frame.clear())
        exact = ipc.EXTENSION not in bare and _frame(bare).schema == frame.schema
        stream = _stream(frame) if exact else b""
        if exact:
            ipc.check(memoryview(stream))
    except (pl.exceptions.PolarsError, CodecError) as error:
        raise UnknownTypeError(value) from error
    if not exact or (not frame.width and frame.height):
        raise UnknownTypeError(value)
    writer.blob(stream)


def _read_content(reader: Reader) -> Any:
    data = reader.blob()
    ipc.check(data)
    return _frame(copied(data))


def _write_frame(writer: Writer, frame: Any) -> None:
    _write_content(writer, frame, frame)


def _read_frame(reader: Reader) -> Any:
    number = reader.reserve()
    frame = _read_content(reader)
    reader.fill(number, frame)
    return frame


def _write_series(writer: Writer, series: Any) -> None:
    _write_content(writer, series, series.to_frame())


def _read_series(reader: Reader) -> Any:
    number = reader.reserve()
    (series,) = _read_content(reader).get_columns()
    reader.fill(number, series)
    return series


register(Kind(POLARS + 0x0, _write_frame, _read_frame, identity=True, late=True), pl.DataFrame)
register(Kind(POLARS + 0x1, _write_series, _read_series, identity=True, late=True), pl.Series)
