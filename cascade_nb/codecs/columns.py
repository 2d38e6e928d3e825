"""The values of pandas' columns and indexes: numpy arrays and extension arrays."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pandas

from cascade_nb.codecs.arrays import read_array, write_array
from cascade_nb.codecs.geometry import Array
from cascade_nb.codecs.memory import Sharing
from cascade_nb.codecs.moments import read_pandas_dtype, write_pandas_dtype
from cascade_nb.codecs.packing import listed
from cascade_nb.codecs.reader import Reader, copied
from cascade_nb.codecs.refusal import UnknownTypeError
from cascade_nb.codecs.tree import PANDAS, Kind, register, register_resolver
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

pd: Any = pandas  # the stubs know neither all versions nor what is private

_arrays = pd.arrays


def write_values(writer: Writer, values: Any, sharing: Sharing) -> None:
    """Write an array of numpy or pandas, its class included."""
    cls = type(values)
    if cls is np.ndarray:
        writer.out.append(_NUMPY)
        write_array(writer, values, sharing)
        return
    if cls is _arrays.NumpyExtensionArray:
        writer.out.append(_WRAPPED)
        write_array(writer, values._ndarray, sharing)
        return
    dtype = values.dtype
    is_string = type(dtype) is pd.StringDtype and cls is dtype.construct_array_type()
    number = _FORM_OF.get(pd.StringDtype if is_string else cls)
    if number is None:
        raise UnknownTypeError(values)
    writer.out.append(_FIRST + number)
    write_pandas_dtype(writer, dtype)
    _FORMS[number][1](writer, values, sharing)


def read_values(reader: Reader, ndim: int = 1) -> Any:
    """The next array, of so many dimensions."""
    form = reader.byte()
    if form in (_NUMPY, _WRAPPED):
        values: Any = read_array(reader)
        if form == _WRAPPED:
            values = _arrays.NumpyExtensionArray(values)
    else:
        dtype = read_pandas_dtype(reader)
        values = _FORMS[form - _FIRST][2](reader, dtype)
        if values.dtype != dtype:
            raise CodecError("damaged encoding: values do not fit their dtype")
    if values.ndim != ndim:
        raise CodecError("damaged encoding: values have other dimensions")
    return values


def _plain_array(reader: Reader, kinds: str, *, deepest: int = 1) -> Array:
    array = read_array(reader)
    plain = type(array) is np.ndarray and array.dtype.kind in kinds
    if not plain or not 1 <= array.ndim <= deepest:
        raise CodecError("damaged encoding: values are of an unexpected dtype")
    return array


# -- moments: the numbers of datetimes, timedeltas and periods


def _write_moments(writer: Writer, values: Any, sharing: Sharing) -> None:
    writer.write(getattr(values, "_freq", None))  # pandas 3.1 knows it of indexes only
    write_array(writer, values._ndarray, sharing)


def _read_moments(cls: Any, kind: str) -> Callable[[Reader, Any], Any]:
    def read(reader: Reader, dtype: Any) -> Any:
        freq = reader.read()
        values = cls._simple_new(_plain_array(reader, kind, deepest=2), dtype=dtype)
        if freq is not None:
            cls._validate_frequency(values, freq)
            values._freq = freq
        return values

    return read


def _write_periods(writer: Writer, values: Any, sharing: Sharing) -> None:
    write_array(writer, values._ndarray, sharing)


def _read_periods(reader: Reader, dtype: Any) -> Any:
    return _arrays.PeriodArray(_plain_array(reader, "i", deepest=2), dtype=dtype)


# -- values with a mask


def _write_masked(writer: Writer, values: Any, sharing: Sharing) -> None:
    data, mask = values._data, values._mask
    if mask.any():
        # What lies under the mask is whatever an operation left there.
        data = data.copy()
        data[mask] = 0
    write_array(writer, data, sharing)
    write_array(writer, mask, sharing)


def _read_masked(reader: Reader, dtype: Any) -> Any:
    data, mask = _plain_array(reader, "biuf"), _plain_array(reader, "b")
    return dtype.construct_array_type()(data, mask)


# -- strings


def _write_strings(writer: Writer, values: Any, sharing: Sharing) -> None:
    if values.dtype.storage == "pyarrow":
        _write_arrow_strings(writer, values._pa_array)
        return
    missing = np.asarray(values.isna())
    write_array(writer, missing)
    strings = values._ndarray
    if missing.any():
        strings = np.where(missing, "", strings)
    writer.sequence(listed(strings))


def _write_arrow_strings(writer: Writer, chunks: Any) -> None:
    pa: Any = import_module("pyarrow")
    pc: Any = import_module("pyarrow.compute")

    strings = pc.fill_null(chunks, "").cast(pa.large_string()).combine_chunks()
    if isinstance(strings, pa.ChunkedArray):  # depends on pyarrow's version
        strings = pa.concat_arrays(strings.chunks or [pa.array([], pa.large_string())])
    start, count = strings.offset, len(strings)
    _, offset_buffer, data = strings.buffers()
    offsets = np.frombuffer(offset_buffer or bytes(8), np.int64)[start : start + count + 1]
    write_array(writer, chunks.is_null().to_numpy())
    lengths = np.diff(offsets)
    write_array(writer, lengths.astype(np.min_scalar_type(lengths.max(initial=0))))
    text = memoryview(data if data is not None else b"").cast("B")
    writer.blob(text[offsets[0] : offsets[-1]])


def _read_strings(reader: Reader, dtype: Any) -> Any:
    missing = _plain_array(reader, "b")
    if dtype.storage == "pyarrow":
        return _read_arrow_strings(reader, dtype, missing)
    strings = reader.sequence()
    if len(strings) != len(missing) or any(type(text) is not str for text in strings):
        raise CodecError("damaged encoding: strings are none")
    values = np.array(strings, dtype=object)
    values[missing] = dtype.na_value
    cls = dtype.construct_array_type()
    try:
        return cls(values, dtype=dtype)
    except TypeError:  # pandas before 3 has a class for each kind of missing value
        return cls(values)


def _read_arrow_strings(reader: Reader, dtype: Any, missing: Array) -> Any:
    pa: Any = import_module("pyarrow")

    lengths = _plain_array(reader, "u")
    data = reader.blob()
    if len(lengths) != len(missing):
        raise CodecError("damaged encoding: strings have wrong lengths")
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    if offsets[-1] != len(data) or offsets.min() < 0:
        raise CodecError("damaged encoding: strings have wrong lengths")
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    strings = pa.LargeStringArray.from_buffers(
        len(lengths), pa.py_buffer(offsets), pa.py_buffer(copied(data)), valid
    )
    strings.validate(full=True)
    return dtype.__from_arrow__(strings)


# -- the rest


def _write_categorical(writer: Writer, values: Any, sharing: Sharing) -> None:
    write_array(writer, values._codes, sharing)


def _read_categorical(reader: Reader, dtype: Any) -> Any:
    codes = _plain_array(reader, "i")
    values = pd.Categorical.from_codes(codes, dtype=dtype)
    if values.codes.dtype != codes.dtype:
        raise CodecError("damaged encoding: codes of categories are of another size")
    return values


def _write_intervals(writer: Writer, values: Any, sharing: Sharing) -> None:
    for side in (values._left, values._right):
        write_values(writer, side, sharing)


def _read_intervals(reader: Reader, dtype: Any) -> Any:
    left, right = read_values(reader), read_values(reader)
    return _arrays.IntervalArray.from_arrays(left, right, dtype.closed, dtype=dtype)


def _write_sparse(writer: Writer, values: Any, sharing: Sharing) -> None:
    index = values.sp_index
    writer.varint(index.length)
    is_plain = values.kind == "integer"
    positions = [index.indices] if is_plain else [index.blocs, index.blengths]
    writer.varint(len(positions))
    for array in positions:
        write_array(writer, array, Sharing.HIDDEN)
    write_array(writer, values.sp_values, sharing)


def _read_sparse(reader: Reader, dtype: Any) -> Any:
    sparse: Any = import_module("pandas._libs.sparse")

    length, forms = reader.varint(), reader.varint()
    positions = [_plain_array(reader, "i") for _ in range(forms)]
    cls = sparse.IntIndex if forms == 1 else sparse.BlockIndex
    index = cls(length, *positions)
    values = read_array(reader)
    if values.ndim != 1 or len(values) != index.npoints or values.dtype != dtype.subtype:
        raise CodecError("damaged encoding: sparse values do not fit their index")
    return _arrays.SparseArray._simple_new(values, index, dtype)


Write = Callable[[Writer, Any, Sharing], None]
Read = Callable[[Reader, Any], Any]
_NUMPY, _WRAPPED = 0, 1
_FORMS: tuple[tuple[Any, Write, Read], ...] = (
    (_arrays.DatetimeArray, _write_moments, _read_moments(_arrays.DatetimeArray, "M")),
    (_arrays.TimedeltaArray, _write_moments, _read_moments(_arrays.TimedeltaArray, "m")),
    (_arrays.PeriodArray, _write_periods, _read_periods),
    (_arrays.IntegerArray, _write_masked, _read_masked),
    (_arrays.FloatingArray, _write_masked, _read_masked),
    (_arrays.BooleanArray, _write_masked, _read_masked),
    (pd.StringDtype, _write_strings, _read_strings),  # the dtype knows which class it is
    (pd.Categorical, _write_categorical, _read_categorical),
    (_arrays.IntervalArray, _write_intervals, _read_intervals),
    (_arrays.SparseArray, _write_sparse, _read_sparse),
)
_FORM_OF = {cls: number for number, (cls, _, _) in enumerate(_FORMS)}
_FIRST = 2  # of the forms in the table


def _write_own_array(writer: Writer, values: Any) -> None:
    writer.write(bool(getattr(values, "_readonly", False)))
    write_values(writer, values, Sharing.REFUSED)


def _read_own_array(reader: Reader) -> Any:
    number = reader.reserve()
    readonly = reader.read_exact(bool)
    values = read_values(reader)
    if readonly:
        values._readonly = True
    reader.fill(number, values)
    return values


_ARRAY = register(Kind(PANDAS + 0x10, _write_own_array, _read_own_array, identity=True, late=True))


def _resolve(cls: type) -> Kind | None:
    return _ARRAY if issubclass(cls, pd.api.extensions.ExtensionArray) else None


register_resolver(PANDAS, _resolve)
