"""How each kind of object takes over the content of another one of its kind.

What has no filler keeps what it has: a change of it in place cannot be done again.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

from cascade_nb.errors import CodecError

Swap = Callable[[Any], Any]


class _Plain:
    """An instance has room for its ``__dict__`` and weak references, and no other state."""


def filler(value: Any) -> Callable[[Any, Any, Swap], None]:
    """What gives an object of this kind the content of another one; `leave` where nothing does."""
    kind = type(value)
    if kind is list:
        return _fill_list
    if kind in (dict, OrderedDict, defaultdict, Counter):
        return _fill_dict
    if kind is set:
        return _fill_set
    if kind is deque:
        return _fill_deque
    if kind is bytearray:
        return _fill_bytearray
    if kind is random.Random:
        return _fill_random
    if is_array(value):
        return _fill_array
    if _is_frame(value):
        return _fill_frame
    if _is_numpy(value, "Generator"):
        return _fill_generator
    if _is_numpy(value, "RandomState"):
        return _fill_random_state
    if is_plain_instance(value):
        return _fill_instance
    return leave


def _fill_list(mine: list[Any], theirs: list[Any], swap: Swap) -> None:
    mine[:] = [swap(item) for item in theirs]


def _fill_dict(mine: dict[Any, Any], theirs: dict[Any, Any], swap: Swap) -> None:
    items = [(swap(key), swap(item)) for key, item in theirs.items()]
    mine.clear()
    # Not update: a Counter's adds.
    for key, item in items:
        mine[key] = item


def _fill_set(mine: set[Any], theirs: set[Any], swap: Swap) -> None:
    items = [swap(item) for item in theirs]
    mine.clear()
    mine.update(items)


def _fill_deque(mine: deque[Any], theirs: deque[Any], swap: Swap) -> None:
    items = [swap(item) for item in theirs]
    mine.clear()
    mine.extend(items)


def _fill_bytearray(mine: bytearray, theirs: bytearray, swap: Swap) -> None:
    mine[:] = theirs


def _fill_array(mine: Any, theirs: Any, swap: Swap) -> None:
    was_writable = mine.flags.writeable
    if not was_writable:
        mine.flags.writeable = True
    if mine.dtype.hasobject and mine.dtype.names is None:
        for index in range(theirs.size):
            mine.flat[index] = swap(theirs.flat[index])
    else:
        mine[...] = theirs
    mine.flags.writeable = theirs.flags.writeable


def _fill_frame(mine: Any, theirs: Any, swap: Swap) -> None:
    mine._update_inplace(theirs)
    mine.attrs = theirs.attrs
    mine.flags.allows_duplicate_labels = theirs.flags.allows_duplicate_labels


def _fill_instance(mine: Any, theirs: Any, swap: Swap) -> None:
    state = {name: swap(value) for name, value in vars(theirs).items()}
    vars(mine).clear()
    vars(mine).update(state)


def _fill_random(mine: random.Random, theirs: random.Random, swap: Swap) -> None:
    mine.setstate(theirs.getstate())


def _fill_random_state(mine: Any, theirs: Any, swap: Swap) -> None:
    mine.set_state(theirs.get_state(legacy=False))


def _fill_generator(mine: Any, theirs: Any, swap: Swap) -> None:
    mine.bit_generator.state = theirs.bit_generator.state
    seeds = mine.bit_generator.seed_seq
    seeds.spawn(theirs.bit_generator.seed_seq.n_children_spawned - seeds.n_children_spawned)


def leave(mine: Any, theirs: Any, swap: Swap) -> None:
    """For parts that were seen to be unchanged."""


def form_of(value: Any) -> tuple[Any, ...]:
    """What must be equal for an array or a generator to take over another one's content."""
    if is_array(value):
        return (value.shape, value.dtype.str)
    if _is_numpy(value, "Generator") or _is_numpy(value, "RandomState"):
        return (type(value), type(value._bit_generator))
    return ()


def is_array(value: Any) -> bool:
    """Whether it is numpy's array, and of no class derived from that."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray


def share_memory(one: Any, other: Any) -> bool:
    """Whether two arrays lie in one piece of memory."""
    import numpy

    return bool(numpy.may_share_memory(one, other))


def window_on(mine: Any, theirs: Any, window: Any) -> Any:
    """A view of `mine` that shows what `window` shows of `theirs`, an array of the same form.

    Raises:
        CodecError: `window` shows more than that, or `mine` lies otherwise in its memory.
    """
    from cascade_nb.codecs.geometry import bounds, bytes_of, layout_of, window_at

    (low, high), (start, end) = bounds(window), bounds(theirs)
    if low < start or high > end or layout_of(mine) != layout_of(theirs):
        raise CodecError("the array shows memory that is another one here")
    moved = window_at(bytes_of(mine), window.dtype, window.shape, low - start, window.strides)
    moved.flags.writeable = window.flags.writeable
    return moved


def _is_numpy(value: Any, generator: str) -> bool:
    module = sys.modules.get("numpy.random")
    return module is not None and type(value) is getattr(module, generator)


def _is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) in (pandas.DataFrame, pandas.Series)


def is_plain_instance(value: Any) -> bool:
    """Whether all of an object's state lies in its ``__dict__``."""
    kind = type(value)
    if not kind.__dictoffset__ or isinstance(value, type | FunctionType):
        return False
    if kind is SimpleNamespace:
        return True
    # Slots, and what is derived from a type in C such as random.Random, take more room.
    return kind.__itemsize__ == 0 and kind.__basicsize__ <= _Plain.__basicsize__
