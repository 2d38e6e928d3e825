"""Scipy's sparse arrays and matrices, as the arrays that they consist of.

What is read is checked as a whole: scipy's own loops follow indices without looking.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse

from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import UnknownTypeError, step
from cascade_nb.codecs.tree import SPARSE, Kind, register
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

sp: Any = scipy.sparse  # the stubs are another package

# Part of format 1: a class is written as its place here.
_FORMATS = ("csr", "csc", "bsr", "coo", "dia", "lil", "dok")
_CLASSES = [getattr(sp, f"{name}_{kind}") for name in _FORMATS for kind in ("matrix", "array")]
_PARTS = {
    **dict.fromkeys(("csr", "csc", "bsr"), ("data", "indices", "indptr")),
    "coo": ("data", "coords"),
    "dia": ("data", "offsets"),
    "lil": ("data", "rows"),
    "dok": ("_dict",),
}
_INDICES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("csr", "csc", "bsr"), ("indices", "indptr")),
    **dict.fromkeys(("coo", "lil", "dok"), ()),
    "dia": ("offsets",),
}
_INDEX_TYPES = {np.dtype(np.int32), np.dtype(np.int64)}
# What they remember of their content, or of how they are shown.
_BESIDE = frozenset(
    {"_shape", "dtype", "maxprint", "_maxprint"}
    | {"has_canonical_format", "_has_canonical_format", "_has_sorted_indices"}
)


def _write(writer: Writer, value: Any) -> None:
    parts = _PARTS[value.format]
    if vars(value).keys() - _BESIDE - set(parts):
        raise UnknownTypeError(value)  # attributes of its own
    if not _is_usual(value):
        raise UnknownTypeError(value)
    writer.out.append(_CLASSES.index(type(value)))
    writer.write(tuple(map(int, value.shape)))
    writer.write(np.dtype(value.dtype))
    for name in parts:
        with step(f".{name}"):
            writer.write(getattr(value, name))


def _read(reader: Reader) -> Any:
    number = reader.reserve()
    place = reader.byte()
    cls, build = _CLASSES[place], _BUILDERS[_FORMATS[place // 2]]
    shape, dtype = reader.read_exact(tuple), reader.read()
    if not all(type(length) is int and length >= 0 for length in shape):
        raise CodecError("damaged encoding: the shape of a sparse array is none")
    value = build(reader, cls, shape, dtype)
    if value.shape != shape or value.dtype != dtype or not _is_usual(value):
        raise CodecError("damaged encoding: a sparse array is not what it says")
    reader.fill(number, value)
    return value


def _is_usual(value: Any) -> bool:
    """Whether its parts are of types that scipy's loops take as they lie in memory."""
    if not np.dtype(value.dtype).isnative:
        return False
    indices = [getattr(value, name) for name in _INDICES[value.format]]
    if value.format == "coo":
        indices = list(value.coords)
    if hasattr(value, "indptr") and not len(value.data) == len(value.indices) == value.indptr[-1]:
        return False  # room for more
    found = {array.dtype for array in indices}
    return len(found) <= 1 and found <= _INDEX_TYPES


def _array(reader: Reader) -> Any:
    return reader.read_exact(np.ndarray)


def _build_compressed(reader: Reader, cls: Any, shape: tuple[int, ...], _: Any) -> Any:
    parts = {name: _array(reader) for name in _PARTS["csr"]}
    value = cls(tuple(parts.values()), shape=shape)
    value.check_format(full_check=True)
    # Where nothing is stored, scipy looks no further.
    if parts["indptr"][0] != 0 or (np.diff(parts["indptr"]) < 0).any():
        raise CodecError("damaged encoding: the rows of a sparse array are out of order")
    return _with(value, parts)


def _build_coordinates(reader: Reader, cls: Any, shape: tuple[int, ...], _: Any) -> Any:
    data, coords = _array(reader), reader.read_exact(tuple)
    if len(coords) != len(shape) or any(type(axis) is not np.ndarray for axis in coords):
        raise CodecError("damaged encoding: a sparse array lacks coordinates")
    value = cls((data, coords), shape=shape)  # which looks whether they lie within
    return _with(value, {"data": data, "coords": coords})


def _build_diagonals(reader: Reader, cls: Any, shape: tuple[int, ...], _: Any) -> Any:
    data, offsets = _array(reader), _array(reader)
    return _with(cls((data, offsets), shape=shape), {"data": data, "offsets": offsets})


def _build_lists(reader: Reader, cls: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    data, rows = _array(reader), _array(reader)
    if len(shape) != 2 or not data.shape == rows.shape == shape[:1]:
        raise CodecError("damaged encoding: a sparse array has other rows than it says")
    for row, values in zip(rows, data, strict=True):
        if type(row) is not list or type(values) is not list or len(row) != len(values):
            raise CodecError("damaged encoding: a row of a sparse array is none")
        _check_within(row, shape[1])
        if any(a >= b for a, b in pairwise(row)):
            raise CodecError("damaged encoding: a row of a sparse array is out of order")
    value = cls((0, shape[1]), dtype=dtype)
    value._shape = shape
    return _with(value, {"data": data, "rows": rows})


def _build_keys(reader: Reader, cls: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    items = reader.read_exact(dict)
    for key in items:
        key = key if isinstance(key, tuple) else (key,)
        if len(key) != len(shape):
            raise CodecError("damaged encoding: a sparse array has a key of another shape")
        for index, length in zip(key, shape, strict=True):
            _check_within([index], length)
    value = cls(shape, dtype=dtype)
    value._dict = items
    return value


def _check_within(indices: list[Any], length: int) -> None:
    for index in indices:
        if not (isinstance(index, int | np.integer) and 0 <= index < length):
            raise CodecError("damaged encoding: an index of a sparse array is out of bounds")


def _with(value: Any, parts: dict[str, Any]) -> Any:
    """`value` with its very parts: what builds it prefers integers of other sizes."""
    for name, part in parts.items():
        setattr(value, name, part)
    return value


_BUILDERS: dict[str, Callable[..., Any]] = {
    "csr": _build_compressed,
    "csc": _build_compressed,
    "bsr": _build_compressed,
    "coo": _build_coordinates,
    "dia": _build_diagonals,
    "lil": _build_lists,
    "dok": _build_keys,
}

register(Kind(SPARSE, _write, _read, identity=True, late=True), *_CLASSES)
