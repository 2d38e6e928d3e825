"""Pandas' DataFrame and Series.

A frame's blocks come back as they are, in the order of their axes: sums run along it, and whether
columns lie together shows in the last digits of some, and in what `to_numpy` gives. With copy on
write nobody can tell which frames share memory, so none do in an encoding.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pandas

from cascade_nb.codecs.arrays import by_element, empty_elements, fill_elements
from cascade_nb.codecs.columns import read_values, write_values
from cascade_nb.codecs.dtypes import read_dtype, write_dtype
from cascade_nb.codecs.geometry import axis_order
from cascade_nb.codecs.memory import Entry, Sharing, memory_of
from cascade_nb.codecs.memory_reader import next_array
from cascade_nb.codecs.packing import listed
from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, key_step, step
from cascade_nb.codecs.tree import PANDAS, Kind, register
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

pd: Any = pandas  # the stubs know neither all versions nor what is private

_MAJOR = int(pd.__version__.partition(".")[0])
_OWN = {"_mgr", "_attrs", "_flags", "_name", "_item_cache", "_is_copy", "_cacher"}
_EXTENSION, _MEMORY, _ELEMENTS = 0, 1, 2
_STRAIGHT, _TURNED = (0, 1), (1, 0)


def _sharing() -> Sharing:
    copies_on_write = _MAJOR >= 3 or pd.options.mode.copy_on_write
    return Sharing.UNSEEN if copies_on_write is True else Sharing.REFUSED


def _write_extras(writer: Writer, value: Any) -> None:
    if vars(value).keys() - _OWN:
        raise RefusedError(value, "it carries attributes of its own")
    with step(".attrs"):
        writer.mapping(value.attrs)
    writer.write(bool(value.flags.allows_duplicate_labels))


def _read_extras(reader: Reader, value: Any) -> None:
    attrs = dict(reader.mapping())
    if attrs:
        value.attrs = attrs
    if not reader.read_exact(bool):
        value.flags.allows_duplicate_labels = False


# -- series


def _write_series(writer: Writer, series: Any) -> None:
    write_values(writer, series._values, _sharing())
    with step(".index"):
        writer.write(series.index)
    with step(".name"):
        writer.write(series.name)
    _write_extras(writer, series)


def _read_series(reader: Reader) -> Any:
    number = reader.reserve()
    values = read_values(reader)
    index = _read_axis(reader)
    series = pd.Series(values, index=index, dtype=values.dtype, copy=False)
    if series.index is not index:
        series.index = index
    series.name = reader.read()
    _read_extras(reader, series)
    reader.fill(number, series)
    return series


def _read_axis(reader: Reader) -> Any:
    index = reader.read()
    if not isinstance(index, pd.Index):
        raise CodecError("damaged encoding: an axis is no index")
    return index


# -- frames


def _write_frame(writer: Writer, frame: Any) -> None:
    if not hasattr(frame._mgr, "blocks"):
        raise RefusedError(frame, "it holds its columns in a way that is not known")
    with step(".index"):
        writer.write(frame.index)
    with step(".columns"):
        writer.write(frame.columns)
    blocks = [(block.mgr_locs.as_array.tolist(), block.values) for block in frame._mgr.blocks]
    blocks.sort(key=lambda block: block[0])  # their own order shows in nothing
    writer.varint(len(blocks))
    for positions, values in blocks:
        writer.sequence(positions)
        _write_block(writer, frame, positions, values)
    _write_extras(writer, frame)


def _write_block(writer: Writer, frame: Any, positions: list[int], block: Any) -> None:
    sharing = _sharing()
    # datetime64 and timedelta64 lie in arrays of pandas' own
    values = getattr(block, "_ndarray", block) if isinstance(block.dtype, np.dtype) else block
    if not isinstance(values, np.ndarray):
        writer.out.append(_EXTENSION)
        with step(key_step(frame.columns[positions[0]])):
            write_values(writer, _as_column(values), sharing)
        return
    order = axis_order(values)
    stored = not by_element(values.dtype)
    pieces = (values,) if stored else ()
    memory_of(writer).entries.append(Entry(frame, pieces, (values,), sharing, order, stored=stored))
    writer.out.append(_MEMORY if stored else _ELEMENTS)
    writer.out.append((order == _TURNED) | bool(values.flags.writeable) << 1)
    if stored:
        write_dtype(writer, values.dtype)
        return
    for position, column in zip(positions, values, strict=True):
        with step(key_step(frame.columns[position])):
            writer.sequence(listed(column))


def _as_column(values: Any) -> Any:
    """A block of one column as the column."""
    return values[0] if values.ndim == 2 and len(values) == 1 else values


def _read_frame(reader: Reader) -> Any:
    number = reader.reserve()
    index, columns = _read_axis(reader), _read_axis(reader)
    blocks = []
    taken: list[int] = []
    for _ in range(reader.count()):
        positions = reader.sequence()
        values = _read_block(reader, len(positions), len(index))
        shape = (len(positions), len(index))
        if values.shape != shape[-values.ndim :]:
            raise CodecError("damaged encoding: a column has the wrong length")
        blocks.append((values, np.array(positions, dtype=np.intp)))
        taken += positions
    if sorted(taken) != list(range(len(columns))):
        raise CodecError("damaged encoding: the columns of a frame are not all there")
    frame = _from_blocks(blocks, index, columns)
    _read_extras(reader, frame)
    reader.fill(number, frame)
    return frame


def _read_block(reader: Reader, width: int, length: int) -> Any:
    form = reader.byte()
    if form == _EXTENSION:
        return read_values(reader, ndim=1 if width == 1 else 2)
    flags = reader.byte()
    order, writeable = _TURNED if flags & 1 else _STRAIGHT, bool(flags & 2)
    if form == _MEMORY:
        return next_array(reader, read_dtype(reader), (width, length), order, writeable)
    if form == _ELEMENTS:
        _, block = empty_elements(reader, np.dtype(object), (width, length), order)
        for column in block:
            fill_elements(column, reader.sequence())
        block.flags.writeable = writeable
        return block
    raise CodecError("damaged encoding: columns of an unknown form")


def _from_blocks(blocks: list[tuple[Any, Any]], index: Any, columns: Any) -> Any:
    if _MAJOR >= 3:
        internals: Any = import_module("pandas.api.internals")
        return internals.create_dataframe_from_blocks(blocks, index, columns)
    core: Any = import_module("pandas.core.internals.api")
    manager: Any = import_module("pandas.core.internals.managers")
    made = tuple(core.make_block(values, placement, ndim=2) for values, placement in blocks)
    held = manager.BlockManager(made, [columns, index], verify_integrity=False)
    return pd.DataFrame._from_mgr(held, held.axes)


register(Kind(PANDAS + 0x20, _write_series, _read_series, identity=True, late=True), pd.Series)
register(Kind(PANDAS + 0x21, _write_frame, _read_frame, identity=True, late=True), pd.DataFrame)
