"""Exceptions as values, of types in a fixed table, where their arguments are all there is to them.

What has been raised refers to frames, and what was raised for it to other exceptions: such ones
take the code codec, as do those with attributes of their own.
"""

from __future__ import annotations

import binascii
import builtins
import decimal
import queue
import struct
import types
from collections.abc import Iterator
from typing import Any

from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import UnknownTypeError, step
from cascade_nb.codecs.tree import STDLIB, Kind, register
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

_FOUND = [
    *vars(builtins).values(),
    *vars(decimal).values(),
    *(binascii.Error, queue.Empty, queue.Full, struct.error),
]
_CLASSES: dict[str, type[BaseException]] = {
    f"{cls.__module__.removeprefix('_')}.{cls.__qualname__}": cls
    for cls in _FOUND
    if isinstance(cls, type) and issubclass(cls, BaseException)
}
_NAMES = {cls: name for name, cls in _CLASSES.items()}
# Of exceptions that hold more than their arguments, what those may be.
_SCALARS = (str, bytes, int, float, bool, type(None))
_NOTES = "__notes__"


def _is_simple(cls: type[BaseException]) -> bool:
    """Whether instances hold arguments and attributes alone; others have members in C."""
    size = cls.__basicsize__ - (tuple.__itemsize__ if cls.__weakrefoffset__ else 0)
    return size == BaseException.__basicsize__


def _members(value: BaseException) -> Iterator[object]:
    """What an exception that is not simple holds in C."""
    for base in type(value).__mro__:
        if base is BaseException:
            return
        for name, member in vars(base).items():
            if isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
                yield getattr(value, name, _NOTES)


def _arguments(value: BaseException) -> tuple[Any, ...]:
    """What `value` is made from.

    Raises:
        UnknownTypeError: there is more to it.
    """
    chain = (value.__cause__, value.__context__, value.__traceback__)
    if any(part is not None for part in chain) or not vars(value).keys() <= {_NOTES}:
        raise UnknownTypeError(value)
    if _is_simple(type(value)):
        return value.args
    # Those of OSError are not all in `args`.
    reduced: Any = value.__reduce__()
    arguments: tuple[Any, ...] = reduced[1]
    if any(type(argument) not in _SCALARS for argument in arguments):
        raise UnknownTypeError(value)
    try:
        again = type(value)(*arguments)
    except Exception:
        raise UnknownTypeError(value) from None
    told, told_again = (value.args, *_members(value)), (again.args, *_members(again))
    if type(again) is not type(value) or not all(map(_is_same, told, told_again)):
        raise UnknownTypeError(value)
    return arguments


def _is_same(one: object, other: object) -> bool:
    """Whether nobody could tell one from the other; of others' types only itself is the same."""
    if type(one) is tuple and type(other) is tuple:
        return len(one) == len(other) and all(map(_is_same, one, other))
    return one is other or (type(one) is type(other) and type(one) in _SCALARS and one == other)


def _write(writer: Writer, value: BaseException) -> None:
    arguments = _arguments(value)
    writer.text(_NAMES[type(value)])
    writer.varint(value.__suppress_context__)
    with step(".args"):
        writer.sequence(arguments)
    with step(f".{_NOTES}"):
        writer.mapping(vars(value))


def _read(reader: Reader) -> BaseException:
    number = reader.reserve()
    name = reader.text()
    cls = _CLASSES.get(name)
    if cls is None:
        raise CodecError(f"there is no exception {name!r} here")
    suppress = bool(reader.varint())
    if _is_simple(cls):
        value = cls.__new__(cls)
        reader.fill(number, value)  # its arguments may lead back to it
        value.args = tuple(reader.sequence())
    else:
        arguments = reader.sequence()
        if any(type(argument) not in _SCALARS for argument in arguments):
            raise CodecError(f"damaged encoding: {name} takes no such arguments")
        value = cls(*arguments)
        reader.fill(number, value)
        if type(value) is not cls:
            raise CodecError(f"damaged encoding: it is no {name}")
    for attribute, notes in reader.mapping():
        if attribute != _NOTES:
            raise CodecError(f"damaged encoding: an exception has an attribute {attribute!r}")
        setattr(value, _NOTES, notes)
    value.__suppress_context__ = suppress
    return value


register(Kind(STDLIB + 0x29, _write, _read, identity=True), *_NAMES)
