"""Columns of plain values: how those of one type are written, all at once and by C code."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import chain
from operator import attrgetter
from types import EllipsisType, NoneType, NotImplementedType
from typing import Any

from cascade_nb.fingerprint.form import Form, slices

# Codes of the canonical form: they are part of every fingerprint and never change their meaning.
(
    NONE,
    BOOL,
    INT,
    FLOAT,
    COMPLEX,
    STR,
    BYTES,
    ELLIPSIS,
    NOT_IMPLEMENTED,
    TUPLE,
    LIST,
    DICT,
    REFERENCE,
    DEFINITION,
    VALUE,
    OBJECT,
) = range(16)
MIXED = 255

CODES: dict[type, int] = {
    NoneType: NONE,
    bool: BOOL,
    int: INT,
    float: FLOAT,
    complex: COMPLEX,
    str: STR,
    bytes: BYTES,
    EllipsisType: ELLIPSIS,
    NotImplementedType: NOT_IMPLEMENTED,
    tuple: TUPLE,
    list: LIST,
    dict: DICT,
}

_JOINED = 1 << 20  # bytes of byte strings that are copied into one buffer

_NAN = float("nan")
_real_and_imaginary = attrgetter("real", "imag")


def _write_nothing(form: Form, column: list[Any]) -> None:
    """The code says it all."""


def _write_bools(form: Form, column: list[bool]) -> None:
    form.buffer(bytes(column))


def _write_ints(form: Form, column: list[int]) -> None:
    packed = array("q")
    try:
        for part in slices(column):
            packed.extend(part)
    except OverflowError:
        numbers = [n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True) for n in column]
        form.write(b"\x01")
        form.lengths(numbers)
        form.buffer(b"".join(numbers))
    else:
        form.write(b"\x00")
        form.numbers(packed)


def _write_floats(form: Form, column: list[float]) -> None:
    packed = array("d")
    for part in slices(column):
        total = sum(part)
        # Any NaN makes the sum one: they are all the same value, whatever their bits.
        packed.extend(part if total == total else [x if x == x else _NAN for x in part])
    form.numbers(packed)


def _write_complexes(form: Form, column: list[complex]) -> None:
    _write_floats(form, list(chain.from_iterable(map(_real_and_imaginary, column))))


def _write_texts(form: Form, column: list[str]) -> None:
    form.lengths(column)
    if len(column) == 1:
        form.buffer(_encoded(column[0]))
    else:
        form.pieces([_encoded("".join(part)) for part in slices(column)])


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # it has surrogates
        return text.encode("utf-8", "surrogatepass")


def _write_byte_strings(form: Form, column: list[bytes]) -> None:
    if len(column) == 1:
        form.buffer(column[0])
        return
    form.lengths(column)
    if sum(map(len, column)) <= _JOINED:
        form.buffer(b"".join(column))
    else:
        for value in column:
            form.buffer(value)


PLAIN: dict[int, Callable[[Form, list[Any]], None]] = {
    NONE: _write_nothing,
    BOOL: _write_bools,
    INT: _write_ints,
    FLOAT: _write_floats,
    COMPLEX: _write_complexes,
    STR: _write_texts,
    BYTES: _write_byte_strings,
    ELLIPSIS: _write_nothing,
    NOT_IMPLEMENTED: _write_nothing,
}
