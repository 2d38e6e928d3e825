"""Numpy's dtypes: by their text, or field by field."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import numpy as np

from cascade_nb.codecs.geometry import X87
from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, UnknownTypeError
from cascade_nb.codecs.tree import NUMPY, Kind, register, register_resolver
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

DType: TypeAlias = "np.dtype[Any]"

_METADATA, _TEXT, _OBJECT, _STRUCTURE, _SUBARRAY, _STRING = range(6)
_KNOWN = re.compile(r"[<>|][biufcSUVmM]\d+(\[[0-9A-Za-z]+\])?(:[a-zA-Z?])?(:x87)?", re.ASCII)


def write_dtype(writer: Writer, dtype: DType) -> None:
    """Write a dtype, byte order, fields, units and metadata included."""
    if dtype.metadata:
        writer.out.append(_METADATA)
        writer.mapping(dtype.metadata)
    if dtype == np.dtype(object) and dtype.names is None:
        writer.out.append(_OBJECT)
    elif dtype.subdtype is not None:
        base, shape = dtype.subdtype
        writer.out.append(_SUBARRAY)
        write_shape(writer, shape)
        write_dtype(writer, base)
    elif dtype.names is not None:
        _write_structure(writer, dtype)
    elif dtype.char == "T":
        _write_string(writer, dtype)
    else:
        writer.out.append(_TEXT)
        writer.text(_text(dtype))


def read_dtype(reader: Reader) -> DType:
    """The next dtype."""
    form = reader.byte()
    if form == _METADATA:
        metadata = dict(reader.mapping())
        return _with_metadata(read_dtype(reader), metadata)
    if form == _OBJECT:
        return np.dtype(object)
    if form == _SUBARRAY:
        shape = read_shape(reader)
        return np.dtype((read_dtype(reader), shape))
    if form == _STRUCTURE:
        return _read_structure(reader)
    if form == _STRING:
        return _read_string(reader)
    if form == _TEXT:
        return _from_text(reader.text())
    raise CodecError("damaged encoding: a dtype of an unknown form")


def write_shape(writer: Writer, shape: tuple[int, ...]) -> None:
    """Write the lengths of axes."""
    writer.varint(len(shape))
    for length in shape:
        writer.varint(length)


def read_shape(reader: Reader) -> tuple[int, ...]:
    """The next lengths of axes."""
    return tuple([reader.varint() for _ in range(reader.count())])


def _text(dtype: DType) -> str:
    if dtype.kind == "V" and dtype.type is not np.void:
        raise UnknownTypeError(dtype)  # of another package, such as bfloat16
    text = dtype.str
    if np.dtype(text).char != dtype.char:
        text += f":{dtype.char}"  # two C types of one size: long and long long
    if dtype.char in "gG" and X87:
        text += ":x87"
    return text


def _from_text(text: str) -> DType:
    if not (_KNOWN.fullmatch(text) or text in ("<M8", ">M8", "<m8", ">m8")):
        raise CodecError("damaged encoding: no text of a dtype")
    name, *more = text.split(":")
    dtype = np.dtype(name)
    if more and more[0] != "x87":
        dtype = np.dtype(more[0]).newbyteorder(name[:1])  # type: ignore[arg-type]  # a literal only
    if _text(dtype) != text:
        raise CodecError(f"this machine has no number format like {text}")
    return dtype


def _with_metadata(dtype: DType, metadata: dict[Any, Any]) -> DType:
    return np.dtype(dtype, metadata=metadata)


def _write_structure(writer: Writer, dtype: DType) -> None:
    assert dtype.names is not None  # noqa: S101
    assert dtype.fields is not None  # noqa: S101
    writer.out.append(_STRUCTURE)
    writer.varint(dtype.isalignedstruct | (dtype.type is np.record) << 1)
    if dtype.type not in (np.void, np.record):
        raise RefusedError(dtype, "its elements are of a type of their own")
    writer.varint(dtype.itemsize)
    writer.varint(len(dtype.names))
    for name in dtype.names:
        field, offset, *title = dtype.fields[name]
        writer.text(name)
        writer.write(title[0] if title else None)
        writer.varint(offset)
        write_dtype(writer, field)


def _read_structure(reader: Reader) -> DType:
    flags, itemsize = reader.varint(), reader.varint()
    fields: dict[str, list[Any]] = {"names": [], "titles": [], "offsets": [], "formats": []}
    for _ in range(reader.count()):
        fields["names"].append(reader.text())
        fields["titles"].append(reader.read())
        fields["offsets"].append(reader.varint())
        fields["formats"].append(read_dtype(reader))
    if any(field.hasobject for field in fields["formats"]):
        raise CodecError("damaged encoding: objects in a structure")
    if not any(title is not None for title in fields["titles"]):
        del fields["titles"]
    aligned = bool(flags & 1)
    dtype: DType = np.dtype({**fields, "itemsize": itemsize}, align=aligned)  # type: ignore[call-overload]  # a literal only
    if flags & 2:
        dtype = np.dtype((np.record, dtype))
    if dtype.isalignedstruct != aligned:
        raise CodecError("damaged encoding: a structure is not aligned")
    return dtype


def _write_string(writer: Writer, dtype: Any) -> None:
    writer.out.append(_STRING)
    writer.write(dtype.coerce)
    missing = hasattr(dtype, "na_object")
    writer.write(missing)
    if missing:
        writer.write(dtype.na_object)


def _read_string(reader: Reader) -> DType:
    coerce = reader.read_exact(bool)
    if reader.read_exact(bool):
        return np.dtypes.StringDType(coerce=coerce, na_object=reader.read())
    return np.dtypes.StringDType(coerce=coerce)


_DTYPE = register(Kind(NUMPY + 0x00, write_dtype, read_dtype))
register_resolver(NUMPY, lambda cls: _DTYPE if issubclass(cls, np.dtype) else None)
