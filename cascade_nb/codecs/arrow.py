"""Pyarrow's tables, batches, arrays, scalars and types, as Arrow IPC streams.

Chunks come back as they are, but for tables whose columns are chunked apart: there the batches
that they have in common do. Extension types are left to code, for they run some where they are
read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow

from cascade_nb.codecs import ipc
from cascade_nb.codecs.reader import Reader, numbered
from cascade_nb.codecs.refusal import UnknownTypeError
from cascade_nb.codecs.tree import ARROW, Kind, register, register_resolver
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

pa: Any = pyarrow  # it has no types of its own


def _write_stream(writer: Writer, value: Any, schema: Any, batches: Iterable[Any]) -> None:
    plain = schema.serialize()
    if ipc.EXTENSION in plain.to_pybytes() or not _same(pa.ipc.read_schema(plain), schema):
        raise UnknownTypeError(value)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=None, emit_dictionary_deltas=False)
    try:
        with pa.ipc.new_stream(sink, schema, options=options) as stream:
            for batch in batches:
                stream.write_batch(batch)
        written = sink.getvalue()
        ipc.check(memoryview(written))
    except (pa.ArrowException, CodecError) as error:  # as for some dictionaries in dictionaries
        raise UnknownTypeError(value) from error
    writer.blob(written)


def _same(schema: Any, other: Any) -> bool:
    return bool(schema.equals(other, check_metadata=True))


def _read_stream(reader: Reader) -> tuple[Any, list[Any]]:
    data = reader.blob()
    ipc.check(data)
    with pa.ipc.open_stream(pa.py_buffer(data)) as stream:
        batches = list(stream)
        schema = stream.schema
    for batch in batches:
        batch.validate(full=True)  # less leaves offsets that crash whoever follows them
    return schema, batches


def _read_column(reader: Reader) -> tuple[Any, list[Any]]:
    """The type of the only column, and its chunks."""
    schema, batches = _read_stream(reader)
    if len(schema) != 1:
        raise CodecError("damaged encoding: an Arrow array has several columns")
    return schema.field(0).type, [batch.column(0) for batch in batches]


def _column(kind: Any) -> Any:
    return pa.schema([pa.field("", kind)])


def _write_chunks(writer: Writer, value: Any, kind: Any, chunks: Iterable[Any]) -> None:
    schema = _column(kind)
    batches = (pa.RecordBatch.from_arrays([chunk], schema=schema) for chunk in chunks)
    _write_stream(writer, value, schema, batches)


def _write_table(writer: Writer, table: Any) -> None:
    batches = table.to_batches()
    if sum(batch.num_rows for batch in batches) != table.num_rows:
        raise UnknownTypeError(table)  # rows without columns
    _write_stream(writer, table, table.schema, batches)


def _read_table(reader: Reader) -> Any:
    schema, batches = _read_stream(reader)
    return pa.Table.from_batches(batches, schema)


def _write_batch(writer: Writer, batch: Any) -> None:
    _write_stream(writer, batch, batch.schema, [batch])


def _read_batch(reader: Reader) -> Any:
    _, (batch,) = _read_stream(reader)
    return batch


def _write_chunked(writer: Writer, array: Any) -> None:
    _write_chunks(writer, array, array.type, array.chunks)


def _read_chunked(reader: Reader) -> Any:
    kind, chunks = _read_column(reader)
    return pa.chunked_array(chunks, kind)


def _write_array(writer: Writer, array: Any) -> None:
    _write_chunks(writer, array, array.type, [array])


def _read_array(reader: Reader) -> Any:
    _, (array,) = _read_column(reader)
    return array


def _write_scalar(writer: Writer, scalar: Any) -> None:
    _write_chunks(writer, scalar, scalar.type, [pa.repeat(scalar, 1)])


def _read_scalar(reader: Reader) -> Any:
    _, (array,) = _read_column(reader)
    if len(array) != 1:
        raise CodecError("damaged encoding: an Arrow scalar is several")
    return array[0]


def _write_schema(writer: Writer, schema: Any) -> None:
    _write_stream(writer, schema, schema, ())


def _read_schema(reader: Reader) -> Any:
    return _read_stream(reader)[0]


def _write_field(writer: Writer, field: Any) -> None:
    _write_stream(writer, field, pa.schema([field]), ())


def _read_field(reader: Reader) -> Any:
    (field,) = _read_schema(reader)
    return field


def _write_type(writer: Writer, kind: Any) -> None:
    _write_stream(writer, kind, _column(kind), ())


def _read_type(reader: Reader) -> Any:
    return _read_column(reader)[0]


for _tag, _write, _read, _classes in (
    (0x0, _write_table, _read_table, (pa.Table,)),
    (0x1, _write_batch, _read_batch, (pa.RecordBatch,)),
    (0x2, _write_chunked, _read_chunked, (pa.ChunkedArray,)),
):
    register(Kind(ARROW + _tag, _write, numbered(_read), identity=True, late=True), *_classes)

_ARRAY = register(Kind(ARROW + 0x3, _write_array, numbered(_read_array), identity=True, late=True))
_SCALAR = register(Kind(ARROW + 0x4, _write_scalar, _read_scalar))
_TYPE = register(Kind(ARROW + 0x5, _write_type, _read_type))
register(Kind(ARROW + 0x6, _write_schema, _read_schema), pa.Schema)
register(Kind(ARROW + 0x7, _write_field, _read_field), pa.Field)


def _resolve(cls: type) -> Kind | None:
    """The kind of the library's own arrays, scalars and types, of which there are many."""
    if cls.__module__ != "pyarrow.lib":
        return None
    for base, kind in ((pa.Array, _ARRAY), (pa.Scalar, _SCALAR), (pa.DataType, _TYPE)):
        if issubclass(cls, base):
            return kind
    return None


register_resolver(ARROW, _resolve)
