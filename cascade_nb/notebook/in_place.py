"""Inputs that a cell changes in place: noticed by fingerprint, changed again on the same objects.

Others may hold the same object, or a part of it, under another name; so on a hit nothing is
replaced that a plain run would have changed. The mutable parts of a value come in a canonical
order, equal for equal values: a part is named by its place in that order, in the input as it was
before the run and in the result as it was after.
"""

from __future__ import annotations

import dis
import functools
import gc
import inspect
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import reach
from cascade_nb.fingerprint.values import Walked, fingerprint, walk

# Values of these types cannot change.
_CONSTANT = (bool, int, float, complex, str, bytes, type(None), range, ModuleType)
_CONTAINERS = (list, dict, OrderedDict, defaultdict, Counter, set, deque, bytearray)
_FOLLOWED = frozenset({"helper", "class", "global", "closure", "default", "attribute"})
_GLOBAL_WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_HEAP_TYPE = 1 << 9
_LEADS_TO_IPYTHON = frozenset({"get_ipython", "exit", "quit", "open"})
_MOST_LOOKED_AT = 200_000
_OF_EVERY_CLASS = frozenset({"__dict__", "__weakref__", "_abc_impl"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """An input that a cell has changed in place.

    `kept` pairs the places of the mutable parts that were there before and still are.
    """

    name: str
    kept: list[list[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """One value that a cell can reach, as it was before the run.

    `places` are those of its parts, by identity; `shapes` are of arrays among them, `others` the
    fingerprints of those to which no content can be given, both by place.
    """

    label: str
    value: Any
    walked: Walked | None
    places: Mapping[int, int]
    shapes: Mapping[int, tuple[Any, ...]]
    others: Mapping[int, str]


class InputWatch:
    """Looks at all that a cell can reach, before its run and after.

    Args:
        namespace: the user's.
        names: what the cell reads or writes.
        ignore: names whose values nobody looks at.
    """

    def __init__(
        self, namespace: Mapping[str, Any], names: Iterable[str], ignore: frozenset[str]
    ) -> None:
        self._namespace = namespace
        self._names = [n for n in names if n not in ignore]
        self._ignore = ignore
        self._watched = [_watch(*item) for item in self._reachable()]
        self._states = self._definition_states()

    def global_writes(self) -> set[str]:
        """The names of the namespace that functions within reach bind or delete."""
        names: set[str] = set()
        for _, value, is_definition in self._reached():
            if is_definition:
                members = vars(value).values() if isinstance(value, type) else (value,)
                for member in members:
                    function = inspect.unwrap(getattr(member, "__func__", member))
                    if isinstance(function, FunctionType):
                        names.update(_global_writes(function.__code__))
        return names

    def changes(self) -> tuple[list[Change], str]:
        """What has changed in place; and what of it cannot be done again, if so."""
        found: list[Change] = []
        for label, state in self._definition_states().items():
            before = self._states.get(label, state)
            if not _same_state(before, state):
                return [], f"it changes {label}"
        for watched in self._watched:
            if watched.walked is None:
                continue
            try:
                after = walk(watched.value, path=watched.label)
            except FingerprintError as error:
                return [], str(error)
            if after.digest == watched.walked.digest:
                continue
            change, refusal = self._described(watched, after)
            if refusal:
                return [], refusal
            if change is not None:
                found.append(change)
        return found, ""

    def _described(self, watched: _Watched, after: Walked) -> tuple[Change | None, str]:
        label = watched.label
        kept = [
            [watched.places[id(part)], index]
            for index, part in enumerate(after.mutables)
            if id(part) in watched.places
        ]
        for old, new in kept:
            part = after.mutables[new]
            if old in watched.shapes and watched.shapes[old] != _shape(part):
                return None, f"it resizes {label} in place"
            if old in watched.others and watched.others[old] != _digest_of(part):
                kind = type(part).__name__
                return None, f"it changes {label} in place (a {kind} that cannot be changed again)"
        if self._namespace.get(label) is not watched.value:
            # Bound anew as well, as in: df["n"] = 1; df = df.dropna()
            if not _is_held(watched.value, self._namespace):
                return None, ""
            return None, f"it changes {label} in place and binds that name anew"
        return Change(name=label, kept=kept), ""

    def _reachable(self) -> Iterator[tuple[str, Any]]:
        """Values by label: names of the namespace first, then what code reaches beyond them."""
        for label, value, is_definition in self._reached():
            if not is_definition and not isinstance(value, _CONSTANT):
                yield label, value

    def _reached(self) -> Iterator[tuple[str, Any, bool]]:
        names_of = {id(value): name for name, value in self._namespace.items()}
        seen: set[int] = set()
        pending = [(n, self._namespace[n]) for n in self._names if n in self._namespace]
        while pending:
            label, value = pending.pop(0)
            if id(value) in seen:
                continue
            seen.add(id(value))
            is_definition = isinstance(value, FunctionType | MethodType | type)
            yield label, value, is_definition
            if is_definition and reach.is_followed(value):
                for item in reach.reached_by(value):
                    if item.kind not in _FOLLOWED:
                        continue
                    name = names_of.get(id(item.value))
                    if (name or item.label) not in self._ignore:
                        pending.append((name or f"{label}'s {item.label}", item.value))

    def _definition_states(self) -> dict[str, dict[str, Any]]:
        """What functions and classes of the user's carry that can be bound anew."""
        states: dict[str, dict[str, Any]] = {}
        for label, value, is_definition in self._reached():
            if not is_definition or not reach.is_followed(value):
                continue
            if isinstance(value, type):
                states[label] = {k: v for k, v in vars(value).items() if k not in _OF_EVERY_CLASS}
            elif isinstance(value, FunctionType):
                cells = {f"closure {i}": _content(c) for i, c in enumerate(value.__closure__ or ())}
                states[label] = {**vars(value), **cells}
        return states


class Graft:
    """Puts the contents of results onto the very objects of this session.

    `add` each changed input, then `apply`: nothing is touched before. `swap` gives for a part of a
    result the session's own object that it stands for.
    """

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, Any]] = []
        self._own: dict[int, Any] = {}
        self._seen: dict[int, Any] = {}

    def add(self, current: Any, result: Any, kept: Iterable[Sequence[int]]) -> str:
        """Take in one input; says why it cannot be changed like that, if so."""
        before, after = walk(current).mutables, walk(result).mutables
        for old, new in kept:
            if old >= len(before) or new >= len(after):
                return "it has other parts than it had"
            mine, theirs = before[old], after[new]
            if type(mine) is not type(theirs) or _shape(mine) != _shape(theirs):
                return "it has parts of another kind than it had"
            if id(theirs) not in self._own:
                self._own[id(theirs)] = mine
                self._pairs.append((mine, theirs))
        return ""

    def apply(self) -> None:
        """Change the session's objects."""
        for mine, theirs in self._pairs:
            _filler(mine)(mine, theirs, self.swap)

    def swap(self, value: Any) -> Any:
        """`value`, with all parts in it that stand for an object of the session replaced by it."""
        if not self._own or isinstance(value, _CONSTANT):
            return value
        if id(value) in self._own:
            return self._own[id(value)]
        if id(value) in self._seen:
            return value
        kind = type(value)
        if kind in (tuple, frozenset):
            swapped = kind(map(self.swap, value))
            return (
                swapped if any(a is not b for a, b in zip(swapped, value, strict=False)) else value
            )
        self._seen[id(value)] = value
        if kind in _CONTAINERS or _is_plain_instance(value):
            _filler(value)(value, value, self.swap)
        return value


Swap = Callable[[Any], Any]


def _watch(label: str, value: Any) -> _Watched:
    try:
        walked = walk(value, path=label)
    except FingerprintError:
        # Then the cell has no key either, unless the name is ignored.
        return _Watched(label=label, value=value, walked=None, places={}, shapes={}, others={})
    # What a walk meets besides, such as the memory of a frame, comes and goes with its owner.
    parts = {id(part) for part in parts_of(value)}
    places = {id(p): i for i, p in enumerate(walked.mutables) if id(p) in parts}
    shapes, others = {}, {}
    for index in places.values():
        part = walked.mutables[index]
        if _is_array(part):
            shapes[index] = _shape(part)
        elif _filler(part) is _leave:
            others[index] = _digest_of(part)
    return _Watched(
        label=label, value=value, walked=walked, places=places, shapes=shapes, others=others
    )


def parts_of(value: Any) -> Iterator[Any]:
    """`value`, and what its containers and instances hold at any depth."""
    pending, seen = [value], set[int]()
    while pending:
        part = pending.pop()
        if isinstance(part, _CONSTANT) or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        kind = type(part)
        if kind in (list, tuple, set, frozenset, deque):
            pending.extend(part)
        elif kind in _CONTAINERS and kind is not bytearray:
            pending.extend(part.keys())
            pending.extend(part.values())
        elif _is_array(part):
            pending.extend(part.flat if part.dtype == object else ())
        elif isinstance(part, functools.partial):
            pending.extend((part.func, part.args, part.keywords))
        elif _is_plain_instance(part):
            pending.extend(vars(part).values())


@functools.lru_cache(maxsize=1024)
def _global_writes(code: CodeType) -> frozenset[str]:
    names = {i.argval for i in dis.get_instructions(code) if i.opname in _GLOBAL_WRITES}
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return frozenset(names.union(*map(_global_writes, inner)))


def _digest_of(part: Any) -> str:
    try:
        return fingerprint(part)
    except FingerprintError:
        return ""


def _shape(part: Any) -> tuple[Any, ...]:
    return (part.shape, part.dtype.str) if _is_array(part) else ()


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # Not bound yet.


def _same_state(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(one[k] is other[k] for k in one)


def _is_held(value: Any, namespace: Mapping[str, Any]) -> bool:
    """Whether a name of the user's still leads to `value`; True too where that takes too long."""
    seen: set[int] = set()
    pending = [v for name, v in namespace.items() if name not in _LEADS_TO_IPYTHON]
    while pending:
        if len(seen) > _MOST_LOOKED_AT:
            return True
        item = pending.pop()
        if item is value:
            return True
        if id(item) not in seen and not isinstance(item, _CONSTANT):
            seen.add(id(item))
            pending.extend(_held_by(item))
    return False


def _held_by(item: Any) -> Iterable[Any]:
    """What an object holds, for functions and classes without the module around them."""
    if isinstance(item, FunctionType):
        cells = (_content(cell) for cell in item.__closure__ or ())
        return [item.__defaults__, item.__kwdefaults__, vars(item), *cells]
    if isinstance(item, type):
        return list(vars(item).values()) if reach.is_followed(item) else ()
    return gc.get_referents(item)


# How each kind of object takes over the content of another one.


def _filler(value: Any) -> Callable[[Any, Any, Swap], None]:
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
    if _is_array(value):
        return _fill_array
    if _is_frame(value):
        return _fill_frame
    if _is_plain_instance(value):
        return _fill_instance
    return _leave


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


def _leave(mine: Any, theirs: Any, swap: Swap) -> None:
    """For parts that were seen to be unchanged."""


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and type(value) is numpy.ndarray


def _is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) in (pandas.DataFrame, pandas.Series)


def _is_plain_instance(value: Any) -> bool:
    """Whether all of an object's state lies in its ``__dict__``."""
    kind = type(value)
    if not hasattr(value, "__dict__") or isinstance(value, type | FunctionType):
        return False
    for base in kind.__mro__[:-1]:
        if not base.__flags__ & _HEAP_TYPE or vars(base).get("__slots__"):
            return False
    return True
