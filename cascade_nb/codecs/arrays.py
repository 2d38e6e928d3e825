"""Numpy's arrays and scalars."""

from __future__ import annotations

from typing import Any

import numpy as np

from cascade_nb.codecs.dtypes import DType, read_dtype, read_shape, write_dtype, write_shape
from cascade_nb.codecs.geometry import Array, axis_order, compact, inverse, owner
from cascade_nb.codecs.memory import Entry, Sharing, memory_of
from cascade_nb.codecs.memory_reader import next_array
from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, step
from cascade_nb.codecs.tree import NUMPY, Kind, register, register_resolver
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

_CLASSES: tuple[Any, ...] = (np.ndarray, np.matrix, np.recarray)
_WRITEABLE, _REVERSED, _ORDERED = 1, 2, 4


def write_array(writer: Writer, array: Array, sharing: Sharing = Sharing.KEPT) -> None:
    """Write an array without asking who it is; `sharing` says what becomes of shared memory."""
    attributes = getattr(array, "__dict__", {}).keys()
    if attributes - {"_getitem"}:  # a flag of np.matrix
        raise RefusedError(array, "it carries attributes of its own")
    if array.dtype.hasobject and array.dtype.names is not None:
        raise RefusedError(array, "it is a structured array with objects in it")
    order = axis_order(array)
    straight = tuple(range(array.ndim))
    flags = _WRITEABLE if array.flags.writeable or sharing is Sharing.HIDDEN else 0
    if order != straight:
        flags |= _REVERSED if order == straight[::-1] else _ORDERED
    writer.out.append(_CLASSES.index(type(array)))
    write_dtype(writer, array.dtype)
    write_shape(writer, array.shape)
    writer.out.append(flags)
    if flags & _ORDERED:
        writer.out += bytes(order)
    memory = memory_of(writer)
    if by_element(array.dtype):
        watched = Sharing.REFUSED if sharing is Sharing.KEPT else sharing
        memory.entries.append(Entry(array, (), (array,), watched, order, stored=False))
        with step("" if array.ndim == 1 else ".ravel(order='K')"):
            writer.sequence(list(array.view(np.ndarray).transpose(order).flat))
        return
    base = owner(array)
    name = writer.external_name(base) if base is not array else None
    external = None if name is None else (name, base)
    memory.entries.append(Entry(array, (array,), (array,), sharing, order, external=external))


def read_array(reader: Reader, number: int | None = None) -> Array:
    """The next array that `write_array` wrote; its elements may refer to it as `number`."""
    cls = _CLASSES[reader.byte()]
    dtype, shape, flags = read_dtype(reader), read_shape(reader), reader.byte()
    order = tuple(reader.take(len(shape)) if flags & _ORDERED else range(len(shape)))
    if flags & _REVERSED:
        order = order[::-1]
    if sorted(order) != list(range(len(shape))):
        raise CodecError("damaged encoding: an array's axes are wrong")
    if by_element(dtype):
        return _read_elements(reader, number, cls, dtype, shape, order, bool(flags & _WRITEABLE))
    array = _as_class(next_array(reader, dtype, shape, order, bool(flags & _WRITEABLE)), cls)
    if dtype.kind == "U":
        _check_text(array)
    if number is not None:
        reader.fill(number, array)
    return array


def by_element(dtype: DType) -> bool:
    """Whether elements lie elsewhere than in the array's memory."""
    return dtype.hasobject or dtype.char == "T"


def _read_elements(
    reader: Reader,
    number: int | None,
    cls: Any,
    dtype: DType,
    shape: tuple[int, ...],
    order: tuple[int, ...],
    writeable: bool,
) -> Array:
    flat, array = empty_elements(reader, dtype, shape, order)
    array = _as_class(array, cls)
    if number is not None:
        reader.fill(number, array)
    fill_elements(flat, reader.sequence())
    array.flags.writeable = writeable
    return array


def empty_elements(
    reader: Reader, dtype: DType, shape: tuple[int, ...], order: tuple[int, ...]
) -> tuple[Array, Array]:
    """A new array for elements, flat in the order of its memory and in its shape."""
    size = 1
    for length in shape:
        size *= length
    if size > reader.size:  # each takes at least a byte
        raise CodecError("damaged encoding: an array's shape does not fit its elements")
    if len(order) > 1 and order == tuple(reversed(range(len(order)))):
        array = np.empty(shape, dtype, order="F")
        return array.T.reshape(-1), array
    memory = np.empty(tuple(shape[axis] for axis in order), dtype)
    straight = order == tuple(range(len(order)))
    return memory.reshape(-1), memory if straight else memory.transpose(inverse(order))


def fill_elements(flat: Array, elements: list[Any]) -> None:
    """Put elements into an array one by one: numpy would take sequences among them apart."""
    if len(elements) != len(flat):
        raise CodecError("damaged encoding: an array has the wrong number of elements")
    for index, element in enumerate(elements):
        flat[index] = element


def _as_class(array: Array, cls: Any) -> Array:
    return array if cls is np.ndarray else array.view(cls)


def _check_text(array: Array) -> None:
    """Refuse what is no text: reading such an element would fail much later."""
    if array.size and array.itemsize:
        numbers = np.ascontiguousarray(array.view(np.ndarray)).reshape(-1)
        if (numbers.view(np.dtype("u4").newbyteorder(array.dtype.byteorder)) > 0x10FFFF).any():
            raise CodecError("damaged encoding: characters beyond Unicode")


def _read_any_array(reader: Reader) -> Array:
    return read_array(reader, reader.reserve())


def _refuse_map(writer: Writer, array: Array) -> None:
    raise RefusedError(array, "it is bound to a file")


# -- masked arrays


def _write_masked(writer: Writer, array: Any) -> None:
    if array._optinfo or array._basedict not in ({}, array.__dict__):
        raise RefusedError(array, "it carries attributes of its own")
    if array._baseclass not in _CLASSES:
        raise RefusedError(array, "it masks an array of an unknown class")
    write_array(writer, np.ndarray.view(array, array._baseclass))
    write_optional_array(writer, None if array._mask is np.ma.nomask else array._mask)
    write_optional_array(writer, array._fill_value)
    writer.write(bool(array._hardmask))
    writer.write(bool(array._sharedmask))


def _read_masked(reader: Reader) -> Any:
    number = reader.reserve()
    array: Any = read_array(reader).view(np.ma.MaskedArray)
    mask, fill_value = read_optional_array(reader), read_optional_array(reader)
    if mask is not None:
        if mask.shape != array.shape or mask.dtype != np.ma.make_mask_descr(array.dtype):
            raise CodecError("damaged encoding: a mask does not fit its array")
        array._mask = mask
    array._fill_value = fill_value
    array._hardmask = reader.read_exact(bool)
    array._sharedmask = reader.read_exact(bool)
    reader.fill(number, array)
    return array


def write_optional_array(writer: Writer, array: Array | None) -> None:
    """Write an array, or that there is none."""
    writer.out.append(array is not None)
    if array is not None:
        write_array(writer, array)


def read_optional_array(reader: Reader) -> Array | None:
    """The next array, or None."""
    return read_array(reader) if reader.byte() else None


# -- scalars


def _write_scalar(writer: Writer, value: np.generic) -> None:
    array = np.asarray(value)
    write_dtype(writer, array.dtype)
    writer.blob(compact(array, ()))


def _read_scalar(reader: Reader) -> Any:
    dtype = read_dtype(reader)
    data = reader.blob()
    if by_element(dtype) or dtype.subdtype is not None or dtype.itemsize != len(data):
        raise CodecError("damaged encoding: a scalar's type does not fit its memory")
    array = np.empty((), dtype)
    if len(data):
        array.reshape(1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    if dtype.kind == "U":
        _check_text(array)
    return array[()]


def _write_record(writer: Writer, value: np.void) -> None:
    # A window on the array that it was taken from, if it was.
    array = np.asarray(value)
    if array.dtype.hasobject:
        raise RefusedError(value, "it is a structure with objects in it")
    if isinstance(value.base, np.ndarray):
        shown = (np.ndarray((), value.dtype, buffer=value.data),)
        memory_of(writer).entries.append(Entry(value, (), shown, Sharing.REFUSED, (), stored=False))
    _write_scalar(writer, value)


def _read_record(reader: Reader) -> Any:
    number = reader.reserve()
    value = _read_scalar(reader)
    reader.fill(number, value)
    return value


def _write_text(writer: Writer, value: np.str_) -> None:
    writer.text(value[:])  # str() would drop trailing zeros


def _write_bytes(writer: Writer, value: np.bytes_) -> None:
    writer.blob(value[:])


register(
    Kind(NUMPY + 0x04, write_array, _read_any_array, identity=True),
    *_CLASSES,
)
register(
    Kind(NUMPY + 0x05, _write_masked, _read_masked, identity=True, late=True), np.ma.MaskedArray
)
register(
    Kind(NUMPY + 0x06, lambda writer, value: None, lambda reader: np.ma.masked),
    type(np.ma.masked),
)
_SCALAR = register(Kind(NUMPY + 0x08, _write_scalar, _read_scalar))
register(
    Kind(NUMPY + 0x09, _write_record, _read_record, identity=True),
    np.void,
    np.record,
)
register(Kind(NUMPY + 0x0A, _write_text, lambda reader: np.str_(reader.text())), np.str_)
register(Kind(NUMPY + 0x0B, _write_bytes, lambda reader: np.bytes_(reader.blob())), np.bytes_)
_MAP = Kind(0, _refuse_map, _read_any_array, identity=True)


def _resolve(cls: type) -> Kind | None:
    if issubclass(cls, np.memmap):
        return _MAP
    if issubclass(cls, np.generic) and cls.__module__ == "numpy":
        return _SCALAR
    return None


register_resolver(NUMPY, _resolve)
