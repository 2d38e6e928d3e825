"""Pandas' scalars, offsets and dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas

from cascade_nb.codecs.dtypes import read_dtype, write_dtype
from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, UnknownTypeError, step
from cascade_nb.codecs.tree import PANDAS, Kind, register, register_resolver
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

pd: Any = pandas  # the stubs know neither all versions nor what is private

_datetime64: Any = np.datetime64  # the stubs want a literal unit
_timedelta64: Any = np.timedelta64
_UNITS = ("s", "ms", "us", "ns")


def _unit(reader: Reader) -> str:
    unit = reader.text()
    if unit not in _UNITS:
        raise CodecError("damaged encoding: an unknown unit of time")
    return unit


# -- scalars


def _timestamp(number: int, unit: str, tz: Any, fold: int) -> Any:
    moment = pd.Timestamp(_datetime64(number, unit))
    if tz is None:
        return moment.replace(fold=fold) if fold else moment
    return moment.tz_localize("UTC").tz_convert(tz)


def _write_timestamp(writer: Writer, value: Any) -> None:
    number, unit, tz, fold = value._value, value.unit, value.tz, value.fold
    rebuilt: Any = _timestamp(number, unit, tz, fold)
    if (rebuilt._value, rebuilt.unit, rebuilt.fold) != (number, unit, fold):
        raise RefusedError(value, "it does not follow from its number and time zone")
    writer.write(number)
    writer.text(unit)
    writer.write(tz)
    writer.write(fold)


def _read_timestamp(reader: Reader) -> Any:
    return _timestamp(reader.read_exact(int), _unit(reader), reader.read(), reader.read_exact(int))


def _write_timedelta(writer: Writer, value: Any) -> None:
    writer.write(value._value)
    writer.text(value.unit)


def _read_timedelta(reader: Reader) -> Any:
    return pd.Timedelta(_timedelta64(reader.read_exact(int), _unit(reader)))


def _write_period(writer: Writer, value: Any) -> None:
    writer.write(value.ordinal)
    writer.write(value.freq)


def _read_period(reader: Reader) -> Any:
    return pd.Period(ordinal=reader.read_exact(int), freq=_read_offset_value(reader))


def _write_interval(writer: Writer, value: Any) -> None:
    writer.write(value.left)
    writer.write(value.right)
    writer.text(value.closed)


def _read_interval(reader: Reader) -> Any:
    return pd.Interval(reader.read(), reader.read(), reader.text())


register(Kind(PANDAS + 0x00, lambda writer, value: None, lambda reader: pd.NaT), type(pd.NaT))
register(Kind(PANDAS + 0x01, lambda writer, value: None, lambda reader: pd.NA), type(pd.NA))
register(Kind(PANDAS + 0x02, _write_timestamp, _read_timestamp), pd.Timestamp)
register(Kind(PANDAS + 0x03, _write_timedelta, _read_timedelta), pd.Timedelta)
register(Kind(PANDAS + 0x04, _write_period, _read_period), pd.Period)
register(Kind(PANDAS + 0x05, _write_interval, _read_interval), pd.Interval)

# -- offsets

_Offset = pd.offsets.BaseOffset
# What a business calendar is made of, and what is made from that.
_DERIVED = ("calendar",)


def _offset_arguments(value: Any) -> dict[str, Any]:
    return {name: item for name, item in sorted(value.kwds.items()) if name not in _DERIVED}


def _write_offset(writer: Writer, value: Any) -> None:
    cls = type(value)
    if getattr(pd.offsets, cls.__name__, None) is not cls:
        raise UnknownTypeError(value)
    arguments = _offset_arguments(value)
    rebuilt = cls(value.n, normalize=value.normalize, **arguments)
    if rebuilt != value or _offset_arguments(rebuilt) != arguments:
        raise RefusedError(value, "it does not follow from its parameters")
    writer.text(cls.__name__)
    writer.write(value.n)
    writer.write(value.normalize)
    writer.mapping(arguments)


def _read_offset(reader: Reader) -> Any:
    cls = getattr(pd.offsets, reader.text(), None)
    if not (isinstance(cls, type) and issubclass(cls, _Offset)):
        raise CodecError("damaged encoding: an unknown offset")
    number, normalize = reader.read_exact(int), reader.read_exact(bool)
    return cls(number, normalize=normalize, **dict(reader.mapping()))


def _read_offset_value(reader: Reader) -> Any:
    offset = reader.read()
    if not isinstance(offset, _Offset):
        raise CodecError("damaged encoding: a frequency is no offset")
    return offset


_OFFSET = register(Kind(PANDAS + 0x06, _write_offset, _read_offset))

# -- dtypes

_PARAMETERLESS = {
    cls.__name__: cls
    for cls in (
        *(getattr(pd, f"{sign}Int{size}Dtype") for sign in ("", "U") for size in (8, 16, 32, 64)),
        pd.Float32Dtype,
        pd.Float64Dtype,
        pd.BooleanDtype,
    )
}
_STORAGES = ("python", "pyarrow")
_SIMPLE, _CATEGORICAL, _ZONED, _PERIOD, _INTERVAL, _SPARSE, _STRING, _PLAIN = range(8)


def write_pandas_dtype(writer: Writer, dtype: Any) -> None:
    """Write an extension dtype, or one of numpy's."""
    cls = type(dtype)
    out = writer.out
    if isinstance(dtype, np.dtype):
        out.append(_PLAIN)
        write_dtype(writer, dtype)
    elif cls in _PARAMETERLESS.values():
        out.append(_SIMPLE)
        writer.text(cls.__name__)
    elif cls is pd.CategoricalDtype:
        out.append(_CATEGORICAL)
        with step(".categories"):
            writer.write(dtype.categories)
        writer.write(dtype.ordered)
    elif cls is pd.DatetimeTZDtype:
        out.append(_ZONED)
        writer.text(dtype.unit)
        writer.write(dtype.tz)
    elif cls is pd.PeriodDtype:
        out.append(_PERIOD)
        writer.write(dtype.freq)
    elif cls is pd.IntervalDtype:
        out.append(_INTERVAL)
        writer.write(dtype.closed)
        _write_optional_dtype(writer, dtype.subtype)
    elif cls is pd.SparseDtype:
        out.append(_SPARSE)
        writer.write(dtype.fill_value)
        write_pandas_dtype(writer, dtype.subtype)
    elif cls is pd.StringDtype:
        if dtype.storage not in _STORAGES:
            raise RefusedError(dtype, "it is a string dtype of older versions of pandas")
        out.append(_STRING)
        writer.text(dtype.storage)
        writer.write(dtype.na_value)
    else:
        raise UnknownTypeError(dtype)


def read_pandas_dtype(reader: Reader) -> Any:
    """The next dtype."""
    form = reader.byte()
    if form >= len(_DTYPE_READERS):
        raise CodecError("damaged encoding: a dtype of an unknown form")
    return _DTYPE_READERS[form](reader)


def _write_optional_dtype(writer: Writer, dtype: Any) -> None:
    writer.write(dtype is not None)
    if dtype is not None:
        write_pandas_dtype(writer, dtype)


def _read_categorical(reader: Reader) -> Any:
    categories, ordered = reader.read(), reader.read()
    if not isinstance(categories, pd.Index | None):
        raise CodecError("damaged encoding: categories are no index")
    return pd.CategoricalDtype(categories, ordered)


def _read_interval_dtype(reader: Reader) -> Any:
    closed = reader.read()
    subtype = read_pandas_dtype(reader) if reader.read_exact(bool) else None
    return pd.IntervalDtype(subtype, closed)


def _read_sparse(reader: Reader) -> Any:
    fill_value = reader.read()
    return pd.SparseDtype(read_pandas_dtype(reader), fill_value)


def _read_string(reader: Reader) -> Any:
    storage = reader.text()
    if storage not in _STORAGES:
        raise CodecError("damaged encoding: an unknown storage of strings")
    na_value = reader.read()
    if na_value is pd.NA:
        return pd.StringDtype(storage)
    return pd.StringDtype(storage, na_value=na_value)


_DTYPE_READERS = (
    lambda reader: _PARAMETERLESS[reader.text()](),
    _read_categorical,
    lambda reader: pd.DatetimeTZDtype(_unit(reader), reader.read()),
    lambda reader: pd.PeriodDtype(_read_offset_value(reader)),
    _read_interval_dtype,
    _read_sparse,
    _read_string,
    read_dtype,
)
_DTYPE = register(Kind(PANDAS + 0x07, write_pandas_dtype, read_pandas_dtype))


def _resolve(cls: type) -> Kind | None:
    if issubclass(cls, _Offset):
        return _OFFSET
    return _DTYPE if issubclass(cls, pd.api.extensions.ExtensionDtype) else None


register_resolver(PANDAS, _resolve)
