"""Pandas' indexes of every kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas

from cascade_nb.codecs.arrays import read_array, write_array
from cascade_nb.codecs.columns import read_values, write_values
from cascade_nb.codecs.memory import Sharing
from cascade_nb.codecs.reader import Reader, numbered
from cascade_nb.codecs.refusal import step
from cascade_nb.codecs.tree import PANDAS, Kind, register
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

pd: Any = pandas  # the stubs know neither all versions nor what is private

_arrays = pd.arrays
_NAMED = "damaged encoding: an index does not fit its values"

# The class of an index and of its values; a plain one has any others.
_VALUES: dict[Any, Any] = {
    pd.DatetimeIndex: _arrays.DatetimeArray,
    pd.TimedeltaIndex: _arrays.TimedeltaArray,
    pd.PeriodIndex: _arrays.PeriodArray,
    pd.IntervalIndex: _arrays.IntervalArray,
    pd.CategoricalIndex: pd.Categorical,
}
_CLASSES: tuple[Any, ...] = (pd.Index, *_VALUES)


def _write_range(writer: Writer, index: Any) -> None:
    writer.write(range(index.start, index.stop, index.step))
    _write_name(writer, index.name)


def _read_range(reader: Reader) -> Any:
    index = pd.RangeIndex.from_range(reader.read_exact(range))
    index.name = reader.read()
    return index


def _write_name(writer: Writer, name: Any) -> None:
    with step(".name"):
        writer.write(name)


def _write_index(writer: Writer, index: Any) -> None:
    writer.out.append(_CLASSES.index(type(index)))
    write_values(writer, _values_of(index), Sharing.HIDDEN)
    if type(index) in (pd.DatetimeIndex, pd.TimedeltaIndex):
        with step(".freq"):
            writer.write(index.freq)
    _write_name(writer, index.name)


def _values_of(index: Any) -> Any:
    values = index._data
    if getattr(values, "_freq", None) is not None:  # before pandas 3.1; the index's is written
        values = values._with_freq(None)
    return values


def _read_index(reader: Reader) -> Any:
    cls = _CLASSES[reader.byte()]
    values = read_values(reader)
    expected = _VALUES.get(cls)
    if type(values) in _VALUES.values() if expected is None else type(values) is not expected:
        raise CodecError(_NAMED)
    if isinstance(values, np.ndarray) and values.dtype.kind in "mMSUV":
        raise CodecError(_NAMED)
    index = cls._simple_new(values)
    if cls in (pd.DatetimeIndex, pd.TimedeltaIndex):
        freq = reader.read()
        if freq is not None:
            index = cls(values, freq=freq, copy=False)
    index.name = reader.read()
    return index


def _write_multi(writer: Writer, index: Any) -> None:
    writer.varint(index.nlevels)
    for level, (values, codes) in enumerate(zip(index.levels, index.codes, strict=True)):
        with step(f".levels[{level}]"):
            _write_level(writer, values)
            write_array(writer, np.asarray(codes), Sharing.HIDDEN)
    writer.write(index.sortorder)
    with step(".names"):
        writer.sequence(list(index.names))


def _write_level(writer: Writer, level: Any) -> None:
    """A level has no identity that lasts: `levels` makes a new one from it."""
    writer.out.append(type(level) is pd.RangeIndex)
    if type(level) is pd.RangeIndex:
        _write_range(writer, level)
    else:
        _write_index(writer, level)


def _read_multi(reader: Reader) -> Any:
    levels, codes = [], []
    for _ in range(reader.count()):
        levels.append(_read_range(reader) if reader.byte() else _read_index(reader))
        codes.append(read_array(reader))
    sortorder = reader.read()
    return pd.MultiIndex(
        levels, codes, sortorder=sortorder, names=reader.sequence(), verify_integrity=True
    )


for _tag, _write, _read, _classes in (
    (0x18, _write_index, _read_index, _CLASSES),
    (0x19, _write_range, _read_range, (pd.RangeIndex,)),
    (0x1A, _write_multi, _read_multi, (pd.MultiIndex,)),
):
    register(Kind(PANDAS + _tag, _write, numbered(_read), identity=True, late=True), *_classes)
