"""Where arrays lie in memory: bounds, order of axes, windows, and their content without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from cascade_nb.errors import CodecError

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

X87 = np.finfo(np.longdouble).nmant == 63  # long doubles have 80 bits, and 48 of anything


def layout_of(array: Array) -> str:
    """How elements lie in an array's memory: where it is the same, windows show the same ones."""
    return f"{array.dtype.str} {array.shape} {array.strides}"


def overlaps_itself(array: Array) -> bool:
    """Whether two indices of an array lead to the same byte (broadcasting, sliding windows)."""
    reach = array.itemsize
    for stride, length in sorted(
        (abs(stride), length)
        for stride, length in zip(array.strides, array.shape, strict=True)
        if length > 1
    ):
        if stride < reach:
            return True
        reach = stride * (length - 1) + reach
    return False


def owner(array: Array) -> Array:
    """The array whose memory this one shows, itself if it is no view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def bounds(array: Array) -> tuple[int, int]:
    """The addresses of an array's first byte and of the byte after its last."""
    low = high = int(array.__array_interface__["data"][0])
    for stride, length in zip(array.strides, array.shape, strict=True):
        if stride < 0:
            low += stride * (length - 1)
        else:
            high += stride * (length - 1)
    return low, high + array.itemsize


def axis_order(array: Array) -> tuple[int, ...]:
    """The axes of an array from the slowest to the fastest in memory.

    C-contiguous arrays have them in their order, and others as numpy orders them for its loops:
    axes of length one count for nothing, and one that is repeated (stride 0) stays where it is.
    """
    axes = range(array.ndim)
    if array.flags.c_contiguous or array.size < 2:
        return tuple(axes)
    strides = [abs(stride) for stride in array.strides]
    long: list[int] = []
    for axis in (axis for axis in axes if array.shape[axis] > 1):
        place = len(long)
        for earlier in range(place - 1, -1, -1):
            slower = strides[long[earlier]] >= strides[axis]
            if strides[axis] == 0 or (slower and strides[long[earlier]]):
                break
            if strides[long[earlier]]:
                place = earlier
        long.insert(place, axis)
    if long == sorted(long):
        return tuple(axes)
    if long == sorted(long, reverse=True):
        return tuple(reversed(axes))
    return (*long, *(axis for axis in axes if array.shape[axis] <= 1))


def compact(array: Array, order: tuple[int, ...]) -> memoryview:
    """The content of an array without gaps, its axes in that order; no copy where it is so."""
    if not array.size or not array.itemsize:
        return memoryview(b"")
    plain = array.view(np.ndarray).transpose(order)
    if has_padding(plain.dtype):
        clean = np.zeros(plain.shape, plain.dtype)
        _copy_values(clean, plain)
        plain = clean
    return np.ascontiguousarray(plain).reshape(-1).view(np.uint8).data


def has_padding(dtype: np.dtype[Any]) -> bool:
    """Whether elements have bytes that are no part of their value."""
    if dtype.subdtype is not None:
        return has_padding(dtype.subdtype[0])
    if dtype.names is None:
        return dtype.char in "gG"  # long doubles
    used = sum(dtype[name].itemsize for name in dtype.names)
    return used != dtype.itemsize or any(has_padding(dtype[name]) for name in dtype.names)


def _copy_values(target: Array, source: Array) -> None:
    """Copy elements but not the bytes between them."""
    if source.dtype.names is not None:
        for name in source.dtype.names:
            _copy_values(target[name], source[name])
    elif source.dtype.char == "G":
        _copy_values(target.real, source.real)
        _copy_values(target.imag, source.imag)
    elif source.dtype.char == "g" and X87:
        _as_bytes(target)[..., :10] = _as_bytes(source)[..., :10]
    else:
        target[...] = source


def _as_bytes(array: Array) -> Array:
    """A view with one more axis, of the bytes of each element."""
    return array[..., np.newaxis].view(np.uint8)


def covering(arrays: Sequence[Array]) -> memoryview:
    """The memory from the first to the last byte of arrays that share it."""
    start = min(bounds(array)[0] for array in arrays)
    end = max(bounds(array)[1] for array in arrays)
    for array in arrays:
        whole = array.flags.c_contiguous or array.flags.f_contiguous
        if whole and bounds(array) == (start, end) and not has_padding(array.dtype):
            return compact(array, axis_order(array))
    block = np.zeros(end - start, np.uint8)
    for array in (_unrepeated(array.view(np.ndarray)) for array in arrays):
        window = window_at(block, array.dtype, array.shape, bounds(array)[0] - start, array.strides)
        _copy_values(window, array)
    return block.data


def _unrepeated(array: Array) -> Array:
    """The array without the repetitions of broadcasting, which may be huge."""
    return array[tuple(slice(1) if stride == 0 else slice(None) for stride in array.strides)]


def window_at(
    block: Array, dtype: np.dtype[Any], shape: tuple[int, ...], low: int, strides: tuple[int, ...]
) -> Array:
    """A window on a block of bytes; `low` is where its lowest byte lies."""
    offset = low - sum(
        min(stride, 0) * max(length - 1, 0) for stride, length in zip(strides, shape, strict=True)
    )
    return np.ndarray(shape, dtype, buffer=block, offset=offset, strides=strides)


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The transposition that undoes the one by `order`."""
    return tuple(sorted(range(len(order)), key=order.__getitem__))


def bytes_of(array: Array) -> Array:
    """The memory of an external array as bytes."""
    if not array.dtype.hasobject:
        for whole in (array, array.T):
            if whole.flags.c_contiguous:
                return whole.view(np.ndarray).reshape(-1).view(np.uint8)
    raise CodecError("an external array has no memory of one piece")
