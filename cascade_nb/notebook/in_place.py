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
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from cascade_nb.errors import CodecError, FingerprintError
from cascade_nb.fingerprint import reach
from cascade_nb.fingerprint.values import Walked, fingerprint, walk
from cascade_nb.notebook.fillers import (
    filler,
    form_of,
    is_array,
    is_plain_instance,
    leave,
    share_memory,
    window_on,
)
from cascade_nb.wording import a

# Values of these types cannot change.
_CONSTANT = (bool, int, float, complex, str, bytes, type(None), range, ModuleType)
_CONTAINERS = (list, dict, OrderedDict, defaultdict, Counter, set, deque, bytearray)
_FOLLOWED = frozenset({"helper", "class", "global", "closure", "default", "attribute"})
_GLOBAL_WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
# Each cell changes these.
_HISTORY = frozenset({"In", "Out", "_ih", "_oh", "_dh"})
_LEADS_TO_IPYTHON = frozenset({"get_ipython", "exit", "quit", "open"})
_MOST_LOOKED_AT = 200_000
_OF_EVERY_CLASS = frozenset({"__dict__", "__weakref__", "__slotnames__", "_abc_impl"})


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

    `places` are those of its parts, of which an array has several where others show its memory;
    `forms` are of those whose content fits only what has the same form, `others` the fingerprints
    of those to which no content can be given. All are by the identity of the part.
    """

    label: str
    value: Any
    walked: Walked | None
    places: Mapping[int, list[int]]
    forms: Mapping[int, tuple[Any, ...]]
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
        self._names = [n for n in names if n not in ignore and n not in _HISTORY]
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
            [old, new]
            for new, part in enumerate(after.mutables)
            for old in watched.places.get(id(part), ())
        ]
        for _, new in kept:
            part = after.mutables[new]
            if watched.forms.get(id(part)) not in (None, form_of(part)):
                return None, f"it resizes {label} in place"
            if watched.others.get(id(part)) not in (None, _digest_of(part)):
                kind = a(type(part).__name__)
                return None, f"it changes {label} in place ({kind} that cannot be changed again)"
        if label not in self._namespace:
            return None, f"it changes {label} in place"
        if self._namespace[label] is not watched.value:
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
        self._arrays: list[tuple[Any, Any]] = []
        self._own: dict[int, Any] = {}
        self._seen: dict[int, Any] = {}

    def add(self, current: Any, result: Any, kept: Iterable[Sequence[int]]) -> str:
        """Take in one input; says why it cannot be changed like that, if so."""
        before, after = walk(current).mutables, walk(result).mutables
        parts = {id(part) for value in (current, result) for part in parts_of(value)}
        for old, new in kept:
            if old >= len(before) or new >= len(after):
                return "it has other parts than it had"
            mine, theirs = before[old], after[new]
            if id(mine) not in parts or id(theirs) not in parts:
                continue  # Memory that arrays show, which is another object in each session.
            if type(mine) is not type(theirs) or form_of(mine) != form_of(theirs):
                return "it has parts of another kind than it had"
            if id(theirs) not in self._own:
                self._own[id(theirs)] = mine
                self._pairs.append((mine, theirs))
                if is_array(mine):
                    self._arrays.append((mine, theirs))
        return ""

    def fits(self, value: Any) -> bool:
        """Whether `swap` can give all arrays in `value` the memory that they are to show."""
        try:
            for part in parts_of(value) if self._arrays else ():
                if is_array(part):
                    self._window(part)
        except CodecError:
            return False
        return True

    def apply(self) -> None:
        """Change the session's objects."""
        for mine, theirs in self._pairs:
            filler(mine)(mine, theirs, self.swap)

    def swap(self, value: Any) -> Any:
        """`value`, with all parts in it that stand for an object of the session replaced by it."""
        if not self._own or isinstance(value, _CONSTANT):
            return value
        if id(value) in self._own:
            return self._own[id(value)]
        if id(value) in self._seen:
            return value
        if is_array(value):
            return self._window(value)
        kind = type(value)
        if kind in (tuple, frozenset):
            swapped = kind(map(self.swap, value))
            return (
                swapped if any(a is not b for a, b in zip(swapped, value, strict=False)) else value
            )
        self._seen[id(value)] = value
        if kind in _CONTAINERS or is_plain_instance(value):
            filler(value)(value, value, self.swap)
        return value

    def _window(self, array: Any) -> Any:
        """`array`, on the session's memory where it shows that of an array that was changed."""
        if id(array) not in self._own:
            for mine, theirs in self._arrays:
                if share_memory(array, theirs):
                    return window_on(mine, theirs, array)
        return array


def _watch(label: str, value: Any) -> _Watched:
    try:
        walked = walk(value, path=label)
    except FingerprintError:
        # Then the cell has no key either, unless the name is ignored.
        return _Watched(label=label, value=value, walked=None, places={}, forms={}, others={})
    # What a walk meets besides, such as the memory of a frame, comes and goes with its owner.
    parts = {id(part) for part in parts_of(value)}
    places: dict[int, list[int]] = {}
    forms, others = {}, {}
    for index, part in enumerate(walked.mutables):
        if id(part) in parts:
            places.setdefault(id(part), []).append(index)
            if form := form_of(part):
                forms[id(part)] = form
            elif filler(part) is leave:
                others[id(part)] = _digest_of(part)
    return _Watched(
        label=label, value=value, walked=walked, places=places, forms=forms, others=others
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
        elif is_array(part):
            pending.extend(part.flat if part.dtype == object else ())
        elif isinstance(part, functools.partial):
            pending.extend((part.func, part.args, part.keywords))
        elif is_plain_instance(part):
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
