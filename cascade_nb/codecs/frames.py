"""Pandas' DataFrame and Series.

Columns of one dtype lie together, however the frame holds them now, and come back as one block.
With copy on write nobody can tell which frames share memory, so none do in an encoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pandas

from cascade_nb.codecs.arrays import by_element, empty_elements, fill_elements
from cascade_nb.codecs.columns import read_values, write_values
from cascade_nb.codecs.dtypes import read_dtype, write_dtype
from cascade_nb.codecs.geometry import Array
from cascade_nb.codecs.memory import Entry, Sharing, memory_of
from cascade_nb.codecs.memory_reader import next_array
from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, key_step, step
from cascade_nb.codecs.tree import PANDAS, Kind, register
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

pd: Any = pandas  # the stubs know neither all versions nor what is private

_MAJOR = int(pd.__version__.partition(".")[0])
_OWN = {"_mgr", "_attrs", "_flags", "_name", "_item_cache", "_is_copy", "_cacher"}
_EXTENSION, _MEMORY, _ELEMENTS = 0, 1, 2


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


def _columns(frame: Any) -> Iterator[tuple[int, Any]]:
    """Each column's position and values, in order."""
    rows: list[Any] = [None] * frame.shape[1]
    for block in frame._mgr.blocks:
        for row, position in enumerate(block.mgr_locs.as_array):
            values = block.values
            rows[position] = values[row] if values.ndim == 2 else values
    yield from enumerate(rows)


def _groups(frame: Any) -> dict[Any, tuple[list[int], list[Any]]]:
    """Positions and values of the columns of each numpy dtype, and of each other column."""
    groups: dict[Any, tuple[list[int], list[Any]]] = {}
    for position, values in _columns(frame):
        dtype = values.dtype
        if isinstance(dtype, np.dtype):
            # datetime64 and timedelta64 lie in arrays of pandas' own
            values = values._ndarray if hasattr(values, "_ndarray") else values
            key: Any = position if dtype.metadata else (dtype.str, dtype.char)
        else:
            key = position
        positions, members = groups.setdefault(key, ([], []))
        positions.append(position)
        members.append(values)
    return groups


def _write_frame(writer: Writer, frame: Any) -> None:
    if not hasattr(frame._mgr, "blocks"):
        raise RefusedError(frame, "it holds its columns in a way that is not known")
    with step(".index"):
        writer.write(frame.index)
    with step(".columns"):
        writer.write(frame.columns)
    sharing = _sharing()
    groups = _groups(frame)
    writer.varint(len(groups))
    for positions, members in groups.values():
        writer.sequence(positions)
        first = members[0]
        if not isinstance(first, np.ndarray):
            writer.out.append(_EXTENSION)
            with step(key_step(frame.columns[positions[0]])):
                write_values(writer, first, sharing)
        elif by_element(first.dtype):
            writer.out.append(_ELEMENTS)
            for position, member in zip(positions, members, strict=True):
                memory_of(writer).entries.append(
                    Entry(frame, (), (member,), sharing, (0,), stored=False)
                )
                with step(key_step(frame.columns[position])):
                    writer.sequence(member.tolist())
        else:
            writer.out.append(_MEMORY)
            write_dtype(writer, first.dtype)
            _write_memory(writer, frame, positions, members, sharing)
    _write_extras(writer, frame)


def _write_memory(
    writer: Writer, frame: Any, positions: list[int], members: list[Array], sharing: Sharing
) -> None:
    for block in frame._mgr.blocks:
        values = getattr(block.values, "_ndarray", block.values)
        if list(block.mgr_locs.as_array) == positions and isinstance(values, np.ndarray):
            entry = Entry(frame, (values,), (values,), sharing, (0, 1))
            break
    else:
        entry = Entry(frame, members, members, sharing, (0,))
    memory_of(writer).entries.append(entry)


def _read_frame(reader: Reader) -> Any:
    number = reader.reserve()
    index, columns = _read_axis(reader), _read_axis(reader)
    blocks = []
    taken: list[int] = []
    for _ in range(reader.count()):
        positions = reader.sequence()
        values = _read_block(reader, len(positions), len(index))
        if values.shape[-1] != len(index) or (values.ndim == 1 and len(positions) != 1):
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
        return read_values(reader)
    if form == _MEMORY:
        return next_array(reader, read_dtype(reader), (width, length), (0, 1))
    if form == _ELEMENTS:
        flat, block = empty_elements(reader, np.dtype(object), (width, length), (0, 1))
        for row in range(width):
            fill_elements(flat[row * length : (row + 1) * length], reader.sequence())
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
