"""Openers for pyarrow; imported when its first type is met, or pandas holds Arrow data.

How data is cut into chunks, where a slice begins, and what lies under a null do not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.instances import open_reduced
from cascade_nb.fingerprint.kinds import Opened, derived

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker


@derived(pa.DataType, pa.Field, pa.Schema, pa.KeyValueMetadata, identity=False)
def _type(value: Any, walker: Walker) -> Opened:
    return open_reduced(value, walker)


@derived(pa.Array, pa.ChunkedArray, identity=False)
def _array(value: Any, walker: Walker) -> Opened:
    head, children = content_of_chunks(value, walker)
    return b"arrow " + head, (_kind(value), value.type, *children)


@derived(pa.Table, pa.RecordBatch, identity=False)
def _table(value: Any, walker: Walker) -> Opened:
    heads: list[bytes] = []
    children: list[Any] = []
    for column in value.columns:
        head, some = content_of_chunks(column, walker)
        heads.append(b"%d %d " % (len(head), len(some)) + head)
        children += some
    size = b"%d %d " % (value.num_rows, value.num_columns)
    return b"table " + size + b"".join(heads), (type(value), value.schema, *children)


@derived(pa.Scalar, identity=False)
def _scalar(value: Any, walker: Walker) -> Opened:
    return b"scalar", (value.type, pa.array([value], type=value.type))


@derived(pa.Buffer, identity=False)
def _buffer(value: Any, walker: Walker) -> Opened:
    return b"buffer" + walker.content(memoryview(value).cast("B")), ()


def _kind(value: Any) -> str:
    return "chunked" if isinstance(value, pa.ChunkedArray) else "array"


def content_of_chunks(value: Any, walker: Walker) -> Opened:
    """Head and children for the content of an Array or ChunkedArray, whose type stands apart."""
    if isinstance(value, pa.ChunkedArray):
        if pa.types.is_dictionary(value.type) and value.num_chunks > 1:
            value = value.unify_dictionaries()
        return _content(value.chunks or [pa.array([], value.type)], walker)
    return _content([value], walker)


def _content(chunks: list[Any], walker: Walker) -> Opened:
    """The content of arrays of one type, as of one that holds the values of all."""
    kind = chunks[0].type
    length = sum(map(len, chunks))
    valid = _validity(chunks, walker, length)
    head = b"%d " % length + valid
    types = pa.types
    if types.is_null(kind):
        return head, ()
    if isinstance(kind, pa.ExtensionType):
        below, children = _content([chunk.storage for chunk in chunks], walker)
        return head + below, children
    if types.is_dictionary(kind):
        below, children = _content([chunk.indices for chunk in chunks], walker)
        return head + below, (chunks[0].dictionary, *children)
    if types.is_boolean(kind):
        flags = [chunk.fill_null(False).to_numpy(zero_copy_only=False) for chunk in chunks]
        return head + _pieces([flag.view(np.uint8) for flag in flags], walker), ()
    if types.is_string_view(kind) or types.is_binary_view(kind):
        wide = pa.large_string() if types.is_string_view(kind) else pa.large_binary()
        below, children = _content([chunk.cast(wide) for chunk in chunks], walker)
        return head + below, children
    if types.is_string(kind) or types.is_large_string(kind):
        return head + _texts([chunk.fill_null("") for chunk in chunks], walker), ()
    if types.is_binary(kind) or types.is_large_binary(kind):
        return head + _texts([chunk.fill_null(b"") for chunk in chunks], walker), ()
    if types.is_struct(kind):
        return _joined(
            head, [[c.flatten()[i] for c in chunks] for i in range(kind.num_fields)], walker
        )
    if types.is_list(kind) or types.is_large_list(kind):
        lengths = [_list_lengths(chunk) for chunk in chunks]
        return _joined(
            head + _pieces(lengths, walker), [[chunk.flatten() for chunk in chunks]], walker
        )
    if types.is_fixed_size_list(kind):
        return _joined(head, [[chunk.flatten() for chunk in chunks]], walker)
    if types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        return head + _pieces([_fixed(chunk, kind.bit_width // 8) for chunk in chunks], walker), ()
    raise FingerprintError(f"no fingerprint is known for Arrow's type {kind}")


def _joined(head: bytes, columns: list[list[Any]], walker: Walker) -> Opened:
    children: list[Any] = []
    for chunks in columns:
        below, some = _content(chunks, walker)
        head += b"%d %d " % (len(below), len(some)) + below
        children += some
    return head, children


def _validity(chunks: Sequence[Any], walker: Walker, length: int) -> bytes:
    if not any(chunk.null_count for chunk in chunks):
        return b"valid"
    return b"nulls" + _pieces([_valid(chunk).view(np.uint8) for chunk in chunks], walker)


def _valid(chunk: Any) -> Any:
    return chunk.is_valid().to_numpy(zero_copy_only=False)


def _fixed(chunk: Any, width: int) -> Any:
    """The bytes of values of one width, as rows, zero where they are null."""
    buffer = chunk.buffers()[1]
    if buffer is None or not len(chunk):
        return np.empty((0, width), np.uint8)
    rows = np.frombuffer(buffer, np.uint8, len(chunk) * width, chunk.offset * width)
    rows = rows.reshape(len(chunk), width)
    if chunk.null_count:
        rows = np.where(_valid(chunk)[:, None], rows, np.uint8(0))
    return rows


def _texts(chunks: Sequence[Any], walker: Walker) -> bytes:
    lengths, texts = [], []
    for chunk in chunks:
        if not len(chunk):
            continue
        _, offset_buffer, data = chunk.buffers()
        wide = pa.types.is_large_string(chunk.type) or pa.types.is_large_binary(chunk.type)
        offset_type = np.dtype(np.int64 if wide else np.int32)
        offsets = np.frombuffer(
            offset_buffer, offset_type, len(chunk) + 1, chunk.offset * offset_type.itemsize
        )
        lengths.append(np.diff(offsets).astype(np.int64, copy=False))
        first, last = int(offsets[0]), int(offsets[-1])
        if last > first:
            texts.append(np.frombuffer(data, np.uint8, last - first, first))
    return _pieces(lengths, walker) + _pieces(texts, walker)


def _list_lengths(chunk: Any) -> Any:
    lengths = chunk.value_lengths().fill_null(0)
    return lengths.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)


def _pieces(arrays: Sequence[Any], walker: Walker) -> bytes:
    """The content of arrays of bytes or numbers, one after the other."""
    packed: list[Any] = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    flat = [memoryview(array.view(np.uint8)) for array in packed]
    if len(flat) == 1:
        return walker.content(flat[0])
    return walker.content_of_pieces(flat, sum(view.nbytes for view in flat))
