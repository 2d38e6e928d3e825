"""Types as values, by their name in a fixed table."""

from __future__ import annotations

import array
import builtins
import collections
import datetime
import decimal
import fractions
import re
import sys
import types
import uuid
import zoneinfo

from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import UnknownTypeError
from cascade_nb.codecs.tree import STDLIB, Kind, register, register_resolver
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

_TYPES: dict[str, type] = (
    {name: cls for name, cls in vars(builtins).items() if isinstance(cls, type)}
    | {
        f"{cls.__module__.removeprefix('_')}.{cls.__qualname__}": cls
        for cls in (
            array.array,
            collections.Counter,
            collections.OrderedDict,
            collections.defaultdict,
            collections.deque,
            datetime.date,
            datetime.datetime,
            datetime.time,
            datetime.timedelta,
            datetime.timezone,
            datetime.tzinfo,
            decimal.Decimal,
            fractions.Fraction,
            re.Pattern,
            types.SimpleNamespace,
            uuid.UUID,
            zoneinfo.ZoneInfo,
        )
    }
    | {"types.NoneType": types.NoneType, "types.MappingProxyType": types.MappingProxyType}
)
_NUMPY_TYPES = (
    "ndarray",
    "dtype",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "str_",
    "bytes_",
    "object_",
    "datetime64",
    "timedelta64",
    "void",
    "generic",
    "number",
    "integer",
    "floating",
    "complexfloating",
    "longlong",
    "ulonglong",
)
_PANDAS_TYPES = (
    "DataFrame",
    "Series",
    "Index",
    "MultiIndex",
    "RangeIndex",
    "DatetimeIndex",
    "TimedeltaIndex",
    "PeriodIndex",
    "IntervalIndex",
    "CategoricalIndex",
    "Categorical",
    "Timestamp",
    "Timedelta",
    "Period",
    "Interval",
)
_names: dict[type, str] = {}


def _type_names() -> dict[type, str]:
    """The fixed table, as far as its packages are loaded."""
    if not _names:
        _names.update({cls: name for name, cls in _TYPES.items()})
    for package, names in (("numpy", _NUMPY_TYPES), ("pandas", _PANDAS_TYPES)):
        module = sys.modules.get(package)
        if module is not None and getattr(module, names[0], None) not in _names:
            for name in names:
                cls = getattr(module, name, None)
                if isinstance(cls, type):
                    _names.setdefault(cls, f"{package}.{name}")
    return _names


def _write_type(writer: Writer, value: type) -> None:
    name = _type_names().get(value)
    if name is None:
        raise UnknownTypeError(value)
    writer.text(name)


def _read_type(reader: Reader) -> type:
    name = reader.text()
    package, _, attribute = name.rpartition(".")
    if package == "numpy" and attribute in _NUMPY_TYPES:
        import numpy

        return getattr(numpy, attribute)  # type: ignore[no-any-return]
    if package == "pandas" and attribute in _PANDAS_TYPES:
        import pandas

        return getattr(pandas, attribute)  # type: ignore[no-any-return]
    if name not in _TYPES:
        raise CodecError("the encoding names a type that is not in the table")
    return _TYPES[name]


_TYPE = register(Kind(STDLIB + 0x28, _write_type, _read_type), type)


register_resolver(STDLIB, lambda cls: _TYPE if issubclass(cls, type) else None)
