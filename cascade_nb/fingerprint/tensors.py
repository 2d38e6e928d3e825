"""Openers for torch's tensors; imported when torch's first type is met.

A tensor counts type, dtype, shape, content and the order of its axes in memory, whether it wants
gradients, and the one that it has; not the device on which it lies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.arrays import content_of, place_of
from cascade_nb.fingerprint.instances import open_reduced
from cascade_nb.fingerprint.kinds import Opened, derived, exactly, sorted_state

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

torch: Any = import_module("torch")

# Under which dtype numpy can see the memory of those that it does not know, by their size.
_CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32}


@derived(torch.Tensor)
def _tensor(value: Any, walker: Walker) -> Opened:
    if value.grad_fn is not None:
        raise FingerprintError("it is a part of a graph of gradients; detach() it")
    if value.is_quantized:
        raise FingerprintError("it is quantised; dequantize() it")
    if not _is_plain(value):
        return open_reduced(value, walker)
    array = _memory_of(value.detach())
    head, children = content_of(array, walker)
    relations = place_of(array, walker)
    traits = (type(value), str(value.dtype), value.requires_grad, value.grad)
    state = sorted_state(vars(value).items())
    return b"tensor %d " % len(relations) + head, (*traits, *relations, *state, *children)


def _is_plain(tensor: Any) -> bool:
    return (
        tensor.layout is torch.strided
        and not tensor.is_meta
        and not tensor.is_conj()
        and not tensor.is_neg()
        and not any(getattr(tensor, "names", ()))  # before torch 2.15
    )


def _memory_of(plain: Any) -> Any:
    if plain.device.type != "cpu":
        plain = plain.cpu()
    try:
        return plain.numpy()
    except TypeError:
        return plain.view(_CARRIERS[plain.itemsize]).numpy()


@exactly(torch.dtype)
def _dtype(value: Any, walker: Walker) -> Opened:
    return b"torch dtype", (str(value),)


@exactly(torch.Size)
def _size(value: Any, walker: Walker) -> Opened:
    return b"torch size", tuple(map(int, value))


@exactly(torch.device)
def _device(value: Any, walker: Walker) -> Opened:
    return b"torch device", (str(value),)
