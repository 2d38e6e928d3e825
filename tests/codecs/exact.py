"""Exact equality: types, dtypes, names, orders, NaN, and which parts are one object."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import struct
import types
from typing import Any

import numpy as np
import pandas as pd


class DiffersError(AssertionError):
    pass


def assert_same(one: Any, other: Any) -> None:
    _Comparison().same(one, other, "value")


def is_same(one: Any, other: Any) -> bool:
    try:
        assert_same(one, other)
    except DiffersError:
        return False
    return True


class _Comparison:
    def __init__(self) -> None:
        self.partner: dict[int, Any] = {}
        self.reverse: dict[int, Any] = {}
        self.kept: list[Any] = []

    def same(self, one: Any, other: Any, path: str) -> None:
        cls = type(one)
        self.check(cls is type(other), path, f"{cls} is not {type(other)}")
        if self.compare_simple(one, other, path):
            return
        if id(one) in self.partner:
            self.check(self.partner[id(one)] is other, path, "aliasing")
            return
        if isinstance(one, _MUTABLE) or (
            cls.__module__.startswith("tests.")
            and not isinstance(one, tuple)
            and not getattr(cls, "__dataclass_params__", _NoParams).frozen
        ):
            self.check(id(other) not in self.reverse, path, "aliasing")
            self.partner[id(one)] = other
            self.reverse[id(other)] = one
            self.kept += [one, other]
        self.compare_parts(one, other, path)

    def check(self, holds: bool, path: str, message: str) -> None:
        if not holds:
            raise DiffersError(f"{path}: {message}")

    def compare_simple(self, one: Any, other: Any, path: str) -> bool:
        if one is pd.NA or one is pd.NaT:
            self.check(one is other, path, "missing value")
        elif isinstance(one, range):
            ends = [(r.start, r.stop, r.step) for r in (one, other)]
            self.check(ends[0] == ends[1], path, "range")
        elif isinstance(one, float) and not isinstance(one, np.generic):
            self.check(struct.pack("<d", one) == struct.pack("<d", other), path, "float")
        elif isinstance(one, complex) and not isinstance(one, np.generic):
            self.same(one.real, other.real, path)
            self.same(one.imag, other.imag, path)
        elif isinstance(one, decimal.Decimal):
            self.check(one.as_tuple() == other.as_tuple(), path, "decimal")
        elif isinstance(one, datetime.datetime | datetime.time) and not isinstance(
            one, pd.Timestamp
        ):
            self.check(one.replace(tzinfo=None) == other.replace(tzinfo=None), path, "time")
            self.check(one.fold == other.fold, path, "fold")
            self.same(one.tzinfo, other.tzinfo, path + ".tzinfo")
        elif isinstance(one, datetime.timezone):
            self.check(one.__getinitargs__() == other.__getinitargs__(), path, "timezone")
        elif isinstance(one, pd.Timestamp | pd.Timedelta):
            for name in ("_value", "unit", "fold"):
                self.check(getattr(one, name, 0) == getattr(other, name, 0), path, name)
            self.check(str(getattr(one, "tz", 0)) == str(getattr(other, "tz", 0)), path, "tz")
        elif isinstance(one, np.dtype):
            self.dtype(one, other, path)
        elif isinstance(one, np.generic) and not isinstance(one, np.void):
            self.dtype(one.dtype, other.dtype, path)
            same_memory = one.tobytes() == other.tobytes() or (
                isinstance(one, np.longdouble | np.clongdouble) and one == other
            )
            self.check(same_memory, path, "scalar")
            if isinstance(one, str | bytes):
                self.check(one[:] == other[:] and len(one) == len(other), path, "text")
        elif one is None or isinstance(one, bool | int | str | bytes | type | enum.Enum):
            self.check(one == other, path, "value")
        else:
            return False
        return True

    def dtype(self, one: Any, other: Any, path: str) -> None:
        self.check(one == other, path, f"{one} is not {other}")
        self.check(one.char == other.char and one.str == other.str, path, "dtype char")
        self.check(one.isalignedstruct == other.isalignedstruct, path, "aligned")
        self.check(one.type is other.type, path, "dtype type")
        self.check(dict(one.metadata or {}) == dict(other.metadata or {}), path, "metadata")
        if one.names:
            for name in one.names:
                self.check(one.fields[name][1:] == other.fields[name][1:], path, "field")
                self.dtype(one[name], other[name], f"{path}.{name}")

    def compare_parts(self, one: Any, other: Any, path: str) -> None:
        if isinstance(one, np.ma.MaskedArray) and one is not np.ma.masked:
            self.masked(one, other, path)
        elif isinstance(one, np.ndarray):
            self.array(one, other, path)
        elif isinstance(one, pd.DataFrame):
            self.frame(one, other, path)
        elif isinstance(one, pd.Series):
            self.series(one, other, path)
        elif isinstance(one, pd.Index):
            self.index(one, other, path)
        elif isinstance(one, pd.api.extensions.ExtensionArray):
            self.extension(one, other, path)
        elif isinstance(one, list | tuple | collections.deque):
            self.check(len(one) == len(other), path, "length")
            if isinstance(one, collections.deque):
                self.check(one.maxlen == other.maxlen, path, "maxlen")
            for index, (left, right) in enumerate(zip(one, other, strict=True)):
                self.same(left, right, f"{path}[{index}]")
        elif isinstance(one, dict | types.MappingProxyType):
            if isinstance(one, collections.defaultdict):
                self.same(one.default_factory, other.default_factory, path)
            self.same(tuple(one), tuple(other), f"{path}.keys")
            for key, other_key in zip(one, other, strict=True):
                self.same(one[key], other[other_key], f"{path}[{key!r:.20}]")
        elif isinstance(one, set | frozenset):
            self.check(len(one) == len(other), path, "length")
            rest = list(other)
            for element in one:
                found = next((item for item in rest if is_same(element, item)), None)
                if found is None and element is not None:
                    raise DiffersError(f"{path}: {element!r} is missing")
                rest = [item for item in rest if item is not found]
        elif isinstance(one, types.SimpleNamespace):
            self.same(vars(one), vars(other), path)
        elif isinstance(one, bytearray | array.array):
            self.check(bytes(one) == bytes(other), path, "content")
            if isinstance(one, array.array):
                self.check(one.typecode == other.typecode, path, "typecode")
        elif isinstance(one, slice):
            self.same((one.start, one.stop, one.step), (other.start, other.stop, other.step), path)
        elif isinstance(one, np.void):
            self.same(np.asarray(one), np.asarray(other), path)
        elif hasattr(one, "__dict__") and type(one).__module__.startswith("tests."):
            self.same(vars(one), vars(other), path)
        else:
            self.check(bool(one == other), path, f"{one!r} is not {other!r}")

    def array(self, one: Any, other: Any, path: str) -> None:
        self.dtype(one.dtype, other.dtype, path + ".dtype")
        self.check(one.shape == other.shape, path, "shape")
        self.check(_same_order(one, other), path, "order of axes")
        self.check(one.flags.writeable == other.flags.writeable, path, "writeable")
        if one.dtype.hasobject or one.dtype.char == "T":
            for index, (left, right) in enumerate(zip(one.flat, other.flat, strict=True)):
                self.same(left, right, f"{path}.flat[{index}]")
        elif one.dtype.names is not None:
            for name in one.dtype.names:
                self.array_content(one[name], other[name], f"{path}.{name}")
        else:
            self.array_content(one, other, path)

    def array_content(self, one: Any, other: Any, path: str) -> None:
        if one.dtype.names is not None or one.dtype.char in "gG":
            self.check(bool(np.array_equal(one, other)), path, "content")
            return
        self.check(
            np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes(),
            path,
            "content",
        )

    def masked(self, one: Any, other: Any, path: str) -> None:
        self.array(one.data, other.data, path + ".data")
        self.check((one.mask is np.ma.nomask) == (other.mask is np.ma.nomask), path, "nomask")
        if one.mask is not np.ma.nomask:
            self.array(one.mask, other.mask, path + ".mask")
        for name in ("hardmask", "sharedmask"):
            self.check(getattr(one, name) == getattr(other, name), path, name)
        self.check((one._fill_value is None) == (other._fill_value is None), path, "fill_value")
        if one._fill_value is not None:  # fill_value itself would set it
            self.array(one._fill_value, other._fill_value, path + ".fill_value")

    def frame(self, one: Any, other: Any, path: str) -> None:
        self.same(one.index, other.index, path + ".index")
        self.same(one.columns, other.columns, path + ".columns")
        for position in range(one.shape[1]):
            self.values(
                one.iloc[:, position]._values,
                other.iloc[:, position]._values,
                f"{path}[{position}]",
            )
        self.same(one.attrs, other.attrs, path + ".attrs")
        self.check(
            one.flags.allows_duplicate_labels == other.flags.allows_duplicate_labels, path, "flags"
        )
        pd.testing.assert_frame_equal(
            one, other, check_exact=True, check_freq=True, check_flags=True
        )

    def series(self, one: Any, other: Any, path: str) -> None:
        self.same(one.index, other.index, path + ".index")
        self.same(one.name, other.name, path + ".name")
        self.values(one._values, other._values, path)
        self.same(one.attrs, other.attrs, path + ".attrs")
        self.check(one.flags == other.flags, path, "flags")
        pd.testing.assert_series_equal(one, other, check_exact=True, check_freq=True)

    def index(self, one: Any, other: Any, path: str) -> None:
        self.same(list(one.names), list(other.names), path + ".names")
        if isinstance(one, pd.MultiIndex):
            self.check(one.nlevels == other.nlevels, path, "nlevels")
            for number in range(one.nlevels):
                self.same(one.levels[number], other.levels[number], f"{path}.levels[{number}]")
                self.values(np.asarray(one.codes[number]), np.asarray(other.codes[number]), path)
            self.check(one.sortorder == other.sortorder, path, "sortorder")
        elif isinstance(one, pd.RangeIndex):
            self.check(
                (one.start, one.stop, one.step) == (other.start, other.stop, other.step),
                path,
                "range",
            )
        else:
            self.check(getattr(one, "freq", None) == getattr(other, "freq", None), path, "freq")
            self.values(one._data, other._data, path)

    def values(self, one: Any, other: Any, path: str) -> None:
        self.check(type(one) is type(other), path, f"{type(one)} is not {type(other)}")
        if isinstance(one, np.ndarray):
            self.dtype(one.dtype, other.dtype, path)
            if one.dtype.hasobject:
                self.same(list(one), list(other), path)
            else:
                self.array_content(one, other, path)
        else:
            self.extension(one, other, path)

    def extension(self, one: Any, other: Any, path: str) -> None:
        self.check(one.dtype == other.dtype, path, f"{one.dtype!r} is not {other.dtype!r}")
        self.check(repr(one.dtype) == repr(other.dtype), path, "dtype")
        self.check(getattr(one, "_readonly", 0) == getattr(other, "_readonly", 0), path, "readonly")
        if isinstance(one.dtype, pd.CategoricalDtype):
            self.same(one.categories, other.categories, path + ".categories")
            self.values(one._codes, other._codes, path)
            self.check(one.ordered == other.ordered, path, "ordered")
        elif isinstance(one.dtype, pd.SparseDtype):
            self.values(one.sp_values, other.sp_values, path)
            self.check(one.sp_index.equals(other.sp_index), path, "sparse index")
            self.check(one.kind == other.kind, path, "kind")
            self.same(one.fill_value, other.fill_value, path)
        elif isinstance(one.dtype, pd.IntervalDtype):
            self.values(one._left, other._left, path)
            self.values(one._right, other._right, path)
        elif hasattr(one, "_mask"):
            self.values(one._mask, other._mask, path)
            self.values(one._data[~one._mask], other._data[~other._mask], path)
        elif hasattr(one, "_pa_array"):
            self.check(one._pa_array.equals(other._pa_array), path, "strings")
        else:
            self.values(one._ndarray, other._ndarray, path)


_MUTABLE = (
    list,
    dict,
    set,
    collections.deque,
    bytearray,
    array.array,
    types.SimpleNamespace,
    np.ndarray,
    np.void,
    pd.DataFrame,
    pd.Series,
    pd.Index,
    pd.api.extensions.ExtensionArray,
)


class _NoParams:
    frozen = False


def _same_order(one: Any, other: Any) -> bool:
    """Whether axes lie in the same order, but for those that are repetitions in one of both."""
    axes = [
        axis
        for axis in range(one.ndim)
        if one.shape[axis] > 1 and one.strides[axis] and other.strides[axis]
    ]
    first, second = (
        axes if a.flags.c_contiguous else sorted(axes, key=lambda n: (-abs(a.strides[n]), n))
        for a in (one, other)
    )
    return first == second
