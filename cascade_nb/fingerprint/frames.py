"""Openers for pandas; imported when its first type is met.

Frames and series count exact type, labels, names, dtypes, content, attrs, flags and the freq of
their indexes, and of frames which columns lie together in a block, and in which order of its axes:
sums run along it. What is cached in them does not count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionDtype

from cascade_nb.fingerprint.arrays import axis_order, content_of, place_of
from cascade_nb.fingerprint.instances import open_reduced
from cascade_nb.fingerprint.kinds import EXACT, Kind, Opened, derived, exactly, sorted_state

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

_ALWAYS_COPIES_ON_WRITE = int(pd.__version__.partition(".")[0]) >= 3


@dataclass(frozen=True, slots=True)
class _Axis:
    """An index as part of something else, where it has no identity of its own."""

    index: Any


@derived(pd.DataFrame)
def _frame(value: Any, walker: Walker) -> Opened:
    heads: list[bytes] = []
    children: list[Any] = []
    for column in _columns(value):
        head, some = _column(column, walker, placed=True)
        heads.append(b"%d %d " % (len(head), len(some)) + head)
        children += some
    labels = (_Axis(value.columns), _Axis(value.index))
    return b"DataFrame" + b"".join(heads), (*_common(value), *labels, _layout(value), *children)


@derived(pd.Series)
def _series(value: Any, walker: Walker) -> Opened:
    head, children = _column(value.array, walker, placed=True)
    return b"Series" + head, (*_common(value), value.name, _Axis(value.index), *children)


@derived(pd.Index)
def _index(value: Any, walker: Walker) -> Opened:
    return b"Index", (_Axis(value),)


@exactly(_Axis)
def _axis(value: _Axis, walker: Walker) -> Opened:
    index = value.index
    walker.types.add(type(index))
    if isinstance(index, pd.RangeIndex):
        bounds = (index.start, index.stop, index.step)
        return b"RangeIndex", (type(index), index.name, *bounds)
    if isinstance(index, pd.MultiIndex):
        levels = (*(_Axis(level) for level in index.levels),)
        codes = [content_of(np.asarray(code), walker)[0] for code in index.codes]
        return b"MultiIndex", (type(index), tuple(index.names), *levels, *codes)
    head, children = _column(index.array, walker)
    freq = index.freq if isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) else None
    return b"Index" + head, (type(index), index.name, freq, *children)


def _layout(frame: Any) -> bytes:
    """What counts of a frame's blocks: their columns, and whether rows lie together in them.

    Before pandas 3 reading a frame may join its blocks, so that only those of the second kind do.
    """
    layout = []
    for block in getattr(frame._mgr, "blocks", ()):
        memory = getattr(block.values, "_ndarray", block.values)
        turned = isinstance(memory, np.ndarray) and bool(axis_order(memory))
        if turned or _ALWAYS_COPIES_ON_WRITE:
            columns = np.asarray(block.mgr_locs.as_array, "<i8")
            layout.append(b"%d %d " % (turned, columns.nbytes) + columns.tobytes())
    return b"".join(sorted(layout))


def _columns(frame: Any) -> Iterable[Any]:
    """The arrays of a frame's columns, without the cost of a Series for each."""
    fast: Callable[[], Iterable[Any]] | None = getattr(frame, "_iter_column_arrays", None)
    if fast is not None:
        return fast()
    return (frame.iloc[:, position].array for position in range(frame.shape[1]))


def _common(value: Any) -> tuple[Any, ...]:
    """Type, attrs, flags, and what a derived class or the user attached to it."""
    own = {name: getattr(value, name, None) for name in value._metadata if name != "_name"}
    own |= {name: held for name, held in vars(value).items() if not name.startswith("_")}
    flags = value.flags.allows_duplicate_labels
    return (type(value), value.attrs, flags, sorted_state(own.items()))


def _place(array: Any, walker: Walker) -> tuple[int, ...]:
    copies = _ALWAYS_COPIES_ON_WRITE or pd.options.mode.copy_on_write is True
    return place_of(array, walker, copied_on_write=copies)


# Columns


def _column(array: Any, walker: Walker, *, placed: bool = False) -> Opened:
    """One column: content alone, or with its place in memory where others might change it."""
    opener = _COLUMNS.get(type(array))
    if opener is not None:
        walker.types.add(type(array))
        return opener(array, walker, placed)
    return b"other array", (array,)


def _numpy_column(array: Any, walker: Walker, placed: bool) -> Opened:
    return _plain_column(array if type(array) is np.ndarray else array._ndarray, walker, placed)


def _plain_column(array: Any, walker: Walker, placed: bool) -> Opened:
    relations = _place(array, walker) if placed else ()
    head, children = content_of(array, walker)
    if len(children) > 1:
        children = (tuple(children),)
    return b"numpy %d " % len(relations) + head, (*relations, *children)


def _masked_column(array: Any, walker: Walker, placed: bool) -> Opened:
    # What lies under the mask is whatever was left there.
    data = np.where(array._mask, np.zeros((), array._data.dtype), array._data)
    head, _ = content_of(data, walker)
    mask, _ = content_of(array._mask, walker)
    relations = _place(array._data, walker) if placed else ()
    return b"masked %d " % len(head) + head + mask, (type(array), *relations)


def _datetime_column(array: Any, walker: Walker, placed: bool) -> Opened:
    head, children = _plain_column(array._ndarray, walker, placed)
    return b"datetimes " + head, (array.dtype, *children)


def _categorical_column(array: Any, walker: Walker, placed: bool) -> Opened:
    head, children = _plain_column(np.asarray(array.codes), walker, placed)
    return b"categorical " + head, (array.ordered, _Axis(array.categories), *children)


def _interval_column(array: Any, walker: Walker, placed: bool) -> Opened:
    return b"intervals", (array.closed, _Axis(array.left), _Axis(array.right))


def _sparse_column(array: Any, walker: Walker, placed: bool) -> Opened:
    indices = array.sp_index.to_int_index().indices
    parts = (array.kind, len(array), array.dtype, np.asarray(array.sp_values), indices)
    return b"sparse", parts


def _object_column(array: Any, walker: Walker, placed: bool) -> Opened:
    return b"objects", (array.dtype, tuple(array._ndarray.tolist()))


def _arrow_column(array: Any, walker: Walker, placed: bool) -> Opened:
    from cascade_nb.fingerprint import arrow

    head, children = arrow.content_of_chunks(array._pa_array, walker)
    return b"arrow " + head, (array.dtype, *children)


_COLUMNS: dict[type, Callable[[Any, Walker, bool], Opened]] = {
    np.ndarray: _numpy_column,
    pd.arrays.NumpyExtensionArray: _numpy_column,
    pd.arrays.IntegerArray: _masked_column,
    pd.arrays.FloatingArray: _masked_column,
    pd.arrays.BooleanArray: _masked_column,
    pd.arrays.DatetimeArray: _datetime_column,
    pd.arrays.TimedeltaArray: _datetime_column,
    pd.arrays.PeriodArray: _datetime_column,
    pd.Categorical: _categorical_column,
    pd.arrays.IntervalArray: _interval_column,
    pd.arrays.SparseArray: _sparse_column,
    pd.arrays.StringArray: _object_column,
    pd.arrays.ArrowStringArray: _arrow_column,
    pd.arrays.ArrowExtensionArray: _arrow_column,
}


def _array(value: Any, walker: Walker) -> Opened:
    head, children = _column(value, walker, placed=True)
    freq = getattr(value, "freq", None) if isinstance(value, _WITH_FREQ) else None
    return b"array " + head, (type(value), freq, *children)


_WITH_FREQ = (pd.arrays.DatetimeArray, pd.arrays.TimedeltaArray)
EXACT.update(
    {cls: Kind(_array, identity=True) for cls in _COLUMNS if cls is not np.ndarray},
)


# Dtypes and scalars


@derived(ExtensionDtype, identity=False)
def _dtype(value: Any, walker: Walker) -> Opened:
    parts = _DTYPE_PARTS.get(type(value))
    if parts is None:
        return open_reduced(value, walker)
    return b"dtype", (type(value), *parts(value))


_DTYPE_PARTS: dict[type, Callable[[Any], Sequence[Any]]] = {
    pd.StringDtype: lambda dtype: (dtype.storage, dtype.na_value),
    pd.DatetimeTZDtype: lambda dtype: (dtype.unit, dtype.tz),
    pd.PeriodDtype: lambda dtype: (dtype.freq,),
    pd.IntervalDtype: lambda dtype: (dtype.subtype, dtype.closed),
    pd.SparseDtype: lambda dtype: (dtype.subtype, dtype.fill_value),
    pd.ArrowDtype: lambda dtype: (dtype.pyarrow_dtype,),
    pd.CategoricalDtype: lambda dtype: (
        dtype.ordered,
        None if dtype.categories is None else _Axis(dtype.categories),
    ),
}
for _name in ("Int", "UInt"):
    for _bits in (8, 16, 32, 64):
        _DTYPE_PARTS[getattr(pd, f"{_name}{_bits}Dtype")] = lambda dtype: ()
for _plain in (pd.Float32Dtype, pd.Float64Dtype, pd.BooleanDtype):
    _DTYPE_PARTS[_plain] = lambda dtype: ()


@exactly(pd.Timestamp)
def _timestamp(value: Any, walker: Walker) -> Opened:
    return b"Timestamp", (value.asm8, value.tz, value.fold)


@exactly(pd.Timedelta)
def _timedelta(value: Any, walker: Walker) -> Opened:
    return b"Timedelta", (value.asm8,)


@exactly(pd.Period)
def _period(value: Any, walker: Walker) -> Opened:
    return b"Period", (value.ordinal, value.freq)


@exactly(pd.Interval)
def _interval(value: Any, walker: Walker) -> Opened:
    return b"Interval", (value.left, value.right, value.closed)


@exactly(type(pd.NaT))
def _not_a_time(value: Any, walker: Walker) -> Opened:
    return b"NaT", ()


@exactly(type(pd.NA))
def _not_available(value: Any, walker: Walker) -> Opened:
    return b"NA", ()


@derived(pd.offsets.BaseOffset, identity=False)
def _offset(value: Any, walker: Walker) -> Opened:
    return open_reduced(value, walker)
