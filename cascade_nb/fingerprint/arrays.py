"""Openers for numpy's arrays, scalars and dtypes; imported when numpy's first type is met.

An array counts dtype, shape, content and the order of its axes in memory, in which sums run.
Content is hashed in that order, in place where it is contiguous and piece by piece elsewhere. It
counts by its bits: NaNs of different bits differ within an array (making them one would take a
copy), while scalars that are NaN are all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.form import listed
from cascade_nb.fingerprint.kinds import Opened, derived, sorted_state

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

_PIECE = 1 << 20  # bytes that are copied at a time out of arrays that are not contiguous
_LONG = np.dtype(np.longdouble)
# x87 numbers have ten bytes; what pads them to sixteen is left over from whatever was there.
_LONG_IS_PADDED = _LONG.itemsize == 16 and np.finfo(np.longdouble).nmant == 63
_LONG_BYTES = 10


@derived(np.ndarray)
def _array(value: Any, walker: Walker) -> Opened:
    cls = type(value)
    array = value if cls is np.ndarray else value.view(np.ndarray)
    head, children = content_of(array, walker)
    relations = place_of(value, walker)
    head = b"ndarray %d %d " % (len(children), len(relations)) + head
    if cls is np.ndarray:
        return head, (*children, *relations)
    state = () if cls is np.memmap else _attributes(value)
    return b"derived " + head, (*children, *relations, cls, *state)


@derived(np.ma.MaskedArray)
def _masked(value: Any, walker: Walker) -> Opened:
    given = value._fill_value
    parts = (value.data, np.ma.getmask(value), value.fill_value, value.hardmask)
    # To ask for the default one sets it, and the array is the user's.
    value._fill_value = given
    return b"masked", (type(value), *parts, dict(value._optinfo))


@derived(np.generic, identity=False)
def _scalar(value: Any, walker: Walker) -> Opened:
    return _open_scalar(value, walker)


@derived(np.void)
def _structured_scalar(value: Any, walker: Walker) -> Opened:
    return _open_scalar(value, walker)


def _open_scalar(value: Any, walker: Walker) -> Opened:
    array = np.asarray(value)
    if array.dtype.kind in "fc" and value != value:
        array = array.reshape(1).copy()
        parts = array.view(array.real.dtype)
        parts[np.isnan(parts)] = np.nan
        array = array.reshape(())
    head, children = content_of(array, walker)
    if type(value) is value.dtype.type:
        return b"scalar " + head, children
    return b"derived scalar " + head, (*children, type(value), *_attributes(value))


@derived(np.dtype, identity=False)
def _dtype(value: Any, walker: Walker) -> Opened:
    metadata = tuple((value.metadata or {}).items())
    if value.subdtype is not None:
        base, shape = value.subdtype
        return b"subarray dtype", (base, shape, metadata)
    if value.names is not None:
        fields = [value.fields[name] for name in value.names]
        layout = (value.names, tuple(field[2:] for field in fields), value.itemsize)
        dtypes, offsets = tuple(f[0] for f in fields), tuple(f[1] for f in fields)
        aligned = value.isalignedstruct
        return b"record dtype", (*layout, dtypes, offsets, aligned, value.type, metadata)
    if value.kind == "T":
        missing = (value.na_object,) if hasattr(value, "na_object") else ()
        return b"string dtype", (value.coerce, missing)
    if not value.isbuiltin and type(value).__module__ not in ("numpy", "numpy.dtypes"):
        raise FingerprintError("a dtype of another library")
    return b"dtype", (value.str, metadata)


@derived(np.ufunc, identity=False)
def _ufunc(value: Any, walker: Walker) -> Opened:
    name: str = value.__name__
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), name, None) is value:
            return b"ufunc", (module, name)
    raise FingerprintError("a ufunc made from other code")


def content_of(array: Any, walker: Walker) -> Opened:
    """Head and children for dtype, shape, content and axis order of a plain `np.ndarray`."""
    dtype = array.dtype
    simple = dtype.kind in "biufcmMSUO" and dtype.metadata is None
    order = axis_order(array)
    head = b"%s %s %s " % (
        dtype.str.encode() if simple else b"",
        ",".join(map(str, array.shape)).encode(),
        ",".join(map(str, order)).encode(),
    )
    ordered = array.transpose(order) if order else array
    data, children = _data_of(ordered, walker)
    return head + data, children if simple else (dtype, *children)


def place_of(value: Any, walker: Walker, *, copied_on_write: bool = False) -> tuple[int, ...]:
    """How an array lies in memory that it shares; empty where it shares none."""
    walker.mutables.append(_memory_owner(value))
    address = value.__array_interface__["data"][0]
    if not value.nbytes or address == 0:
        extent = (0, 0)
    else:
        steps = [(n - 1) * s for n, s in zip(value.shape, value.strides, strict=True)]
        low = address + sum(step for step in steps if step < 0)
        extent = (low, address + sum(step for step in steps if step > 0) + value.itemsize)
    strides = value.strides
    shared = walker.memory.place(address, extent, strides, copied_on_write=copied_on_write)
    if value.flags.writeable and 0 < extent[1] - extent[0] < value.nbytes:
        return (*shared, *strides)  # its own elements overlap
    return shared


def _memory_owner(array: Any) -> object:
    owner = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return owner.obj if isinstance(owner, memoryview) else owner


def axis_order(array: Any) -> list[int]:
    """The axes from the slowest to the fastest in memory; empty for C order.

    As numpy itself orders them for its loops: axes of length 1 say nothing, and one that is
    repeated (stride 0) stays where it is.
    """
    if array.ndim < 2 or array.flags.c_contiguous or array.size < 2:
        return []
    strides = [abs(stride) for stride in array.strides]
    order = [axis for axis in range(array.ndim) if array.shape[axis] > 1]
    for place in range(1, len(order)):
        axis, target = order[place], place
        for earlier in range(place - 1, -1, -1):
            other = strides[order[earlier]]
            if other == 0 or strides[axis] == 0:
                continue
            if other >= strides[axis]:
                break
            target = earlier
        order.insert(target, order.pop(place))
    single = [axis for axis in range(array.ndim) if array.shape[axis] == 1]
    return [] if order == sorted(order) else single + order


def _data_of(array: Any, walker: Walker) -> tuple[bytes, Sequence[Any]]:
    dtype = array.dtype
    if dtype.hasobject and dtype.names is None:
        return b"objects", listed(array.ravel()) if array.ndim else [array.item()]
    if dtype.kind == "T":
        return b"texts", listed(array.ravel())
    if dtype.names is not None and (dtype.hasobject or not _is_packed(dtype)):
        heads: list[bytes] = []
        children: list[Any] = []
        for name in dtype.names:
            head, some = _data_of(array[name], walker)
            heads.append(b"%d %d " % (len(head), len(some)) + head)
            children += some
        return b"fields" + b"".join(heads), children
    if _LONG_IS_PADDED and dtype.kind in "fc" and dtype.itemsize % 16 == 0 and _is_long(dtype):
        native = np.ascontiguousarray(array).astype(dtype.newbyteorder("="), copy=False)
        numbers = native.reshape(-1).view(np.uint8).reshape(-1, 16)[:, :_LONG_BYTES]
        return b"long" + _raw(np.ascontiguousarray(numbers), walker), ()
    return b"raw" + _raw(array, walker), ()


def _raw(array: Any, walker: Walker) -> bytes:
    if not array.nbytes:
        return walker.content(b"")
    if array.flags.c_contiguous:
        return walker.content(memoryview(array.reshape(-1).view(np.uint8)))
    return walker.content_of_pieces(_pieces(array), array.nbytes)


def _pieces(array: Any) -> Iterator[memoryview]:
    pieces: Any = np.nditer(
        array,
        flags=["external_loop", "buffered", "zerosize_ok"],
        order="C",
        buffersize=max(1, _PIECE // array.itemsize),
    )
    for piece in pieces:
        contiguous: Any = np.ascontiguousarray(piece).view(np.uint8)
        yield memoryview(contiguous)


def _is_packed(dtype: Any) -> bool:
    """Whether every byte of the elements belongs to some field."""
    if dtype.subdtype is not None:
        return _is_packed(dtype.subdtype[0])
    if dtype.names is None:
        return not (_LONG_IS_PADDED and _is_long(dtype))
    fields = [dtype.fields[name][0] for name in dtype.names]
    return sum(field.itemsize for field in fields) == dtype.itemsize and all(
        map(_is_packed, fields)
    )


def _is_long(dtype: Any) -> bool:
    return dtype.char in "gG"


def _attributes(value: Any) -> tuple[Any, ...]:
    return sorted_state(getattr(value, "__dict__", {}).items())
