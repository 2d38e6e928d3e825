"""Torch's tensors, as numpy arrays over their memory, so that what shares it still does.

A tensor on another device is read from there and comes back on the CPU. A part of a graph of
gradients is refused: nothing but the run itself makes its past.
"""

from __future__ import annotations

from contextlib import nullcontext
from importlib import import_module
from typing import Any

from cascade_nb.codecs.arrays import read_array, write_array
from cascade_nb.codecs.geometry import Array
from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, UnknownTypeError, step
from cascade_nb.codecs.tree import TORCH, Kind, register, register_parts
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

torch: Any = import_module("torch")

# Part of format 1: a dtype is written as its place here. With each, the one under which numpy can
# see its memory, where it knows none like it.
_DTYPES: tuple[tuple[str, str], ...] = (
    *((name, name) for name in ("bool", "uint8", "int8", "int16", "int32", "int64")),
    *((name, name) for name in ("float16", "float32", "float64", "complex64", "complex128")),
    *((name, name) for name in ("uint16", "uint32", "uint64")),
    ("bfloat16", "int16"),
    ("complex32", "int32"),
    ("float8_e4m3fn", "uint8"),
    ("float8_e5m2", "uint8"),
    ("float8_e4m3fnuz", "uint8"),
    ("float8_e5m2fnuz", "uint8"),
)
_known = [(getattr(torch, one, None), getattr(torch, other, None)) for one, other in _DTYPES]
_places = {dtype: place for place, (dtype, _) in enumerate(_known) if dtype is not None}
_CLASSES = (torch.Tensor, torch.nn.Parameter)
_REQUIRES_GRAD, _INFERENCE, _WITH_GRAD = 1, 2, 4


def _write(writer: Writer, tensor: Any) -> None:
    if tensor.is_quantized:
        raise RefusedError(tensor, "it is quantised; dequantize() it")
    if not _is_plain(tensor):
        raise UnknownTypeError(tensor)
    if tensor.grad_fn is not None:
        raise RefusedError(tensor, "it is a part of a graph of gradients; detach() it")
    flags = _REQUIRES_GRAD * tensor.requires_grad | _INFERENCE * tensor.is_inference()
    flags |= _WITH_GRAD * (tensor.grad is not None)
    writer.out.append(_CLASSES.index(type(tensor)))
    writer.out.append(_places[tensor.dtype])
    writer.out.append(flags)
    write_array(writer, _memory_of(tensor))
    if flags & _WITH_GRAD:
        with step(".grad"):
            writer.write(tensor.grad)


def _is_plain(tensor: Any) -> bool:
    return (
        tensor.layout is torch.strided
        and tensor.dtype in _places
        and not tensor.is_meta
        and not tensor.is_conj()
        and not tensor.is_neg()
        and not any(getattr(tensor, "names", ()))  # before torch 2.15
        and not vars(tensor)
        and not tensor._backward_hooks
    )


def _memory_of(tensor: Any) -> Array:
    carrier = _known[_places[tensor.dtype]][1]
    plain = tensor.detach()
    if plain.device.type != "cpu":
        if plain.untyped_storage().nbytes() != plain.nbytes:
            raise RefusedError(tensor, "it is a view of memory on a device; clone() it")
        plain = plain.cpu()
    array: Array = (plain if plain.dtype is carrier else plain.view(carrier)).numpy()
    return array


def _read(reader: Reader) -> Any:
    number = reader.reserve()
    cls, (dtype, carrier) = _CLASSES[reader.byte()], _known[reader.byte()]
    flags = reader.byte()
    array = read_array(reader)
    if dtype is None or not array.flags.writeable:
        raise CodecError("damaged encoding, or of a newer torch: a tensor cannot be made")
    try:
        with torch.inference_mode() if flags & _INFERENCE else nullcontext():
            tensor = torch.from_numpy(array)
            if tensor.dtype is not carrier:
                raise CodecError("damaged encoding: a tensor's memory is of another dtype")
            tensor = tensor if dtype is carrier else tensor.view(dtype)
            if cls is not torch.Tensor:
                tensor = cls(tensor, requires_grad=bool(flags & _REQUIRES_GRAD))
            elif flags & _REQUIRES_GRAD:
                tensor.requires_grad_()
    except (TypeError, ValueError, RuntimeError) as error:
        raise CodecError(f"damaged encoding: a tensor cannot be made: {error}") from error
    reader.fill(number, tensor)
    if flags & _WITH_GRAD:
        _give_grad(tensor, reader.read())
    return tensor


def _give_grad(tensor: Any, grad: Any) -> None:
    try:
        tensor.grad = grad
    except (TypeError, RuntimeError) as error:
        raise CodecError(f"damaged encoding: no gradient of its tensor: {error}") from error


register(Kind(TORCH + 0x0, _write, _read, identity=True), *_CLASSES)


def _write_dtype(writer: Writer, dtype: Any) -> None:
    if dtype not in _places:
        raise UnknownTypeError(dtype)
    writer.out.append(_places[dtype])


def _read_dtype(reader: Reader) -> Any:
    dtype = _known[reader.byte()][0]
    if dtype is None:
        raise CodecError("the encoding is of a newer torch: a dtype is not known here")
    return dtype


def _write_size(writer: Writer, size: Any) -> None:
    writer.write(tuple(map(int, size)))


def _read_size(reader: Reader) -> Any:
    try:
        return torch.Size(reader.read_exact(tuple))
    except (TypeError, RuntimeError) as error:
        raise CodecError(f"damaged encoding: no size of a tensor: {error}") from error


def _device(text: str) -> Any:
    try:
        return torch.device(text)
    except RuntimeError as error:
        raise CodecError(f"damaged encoding: no device: {error}") from error


register_parts(TORCH + 0x3, torch.device, lambda device: (str(device),), _device, str)
register(Kind(TORCH + 0x1, _write_dtype, _read_dtype), torch.dtype)
register(Kind(TORCH + 0x2, _write_size, _read_size), torch.Size)
