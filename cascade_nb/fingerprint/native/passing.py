"""Functions and instances that are handed to code which nobody can follow."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from cascade_nb.fingerprint.native import folding, members
from cascade_nb.fingerprint.native.arguments import Arguments, Bound, handed
from cascade_nb.fingerprint.native.possible import (
    NOTHING,
    Local,
    Named,
    Values,
    of,
    union,
    unknown,
)
from cascade_nb.fingerprint.native.readers import role_of
from cascade_nb.fingerprint.ownership import is_followed, name_of

if TYPE_CHECKING:
    from cascade_nb.fingerprint.native.calls import Caller
    from cascade_nb.fingerprint.native.runs import Frame

# What makes instances of a class that it is given; what calls a function with nothing else than
# it is given.
_MAKING = frozenset({"map", "imap", "imap_unordered", "starmap", "submit", "to_thread", "apply"})
_FORWARDING = frozenset({"submit", "to_thread", "run", "run_in_executor", "call_soon", "spawn"})
# What only looks at what it is given.
_ASKING = frozenset({"isinstance", "issubclass", "hasattr", "callable", "cast", "wraps"})


def passed_on(
    caller: Caller,
    name: str,
    given: Arguments,
    line: int,
    frame: Frame,
    *,
    method: bool = False,
) -> Values:
    """What somebody unknown may give; functions that he gets he may call with the rest.

    A method of data may call them with its data, too.
    """
    every = given.every()
    functions = {
        id(thing): thing
        for values in every
        for thing in values.known
        if is_function(thing) or (isinstance(thing, type) and name in _MAKING)
    }
    if name in _ASKING:
        return unknown(line)
    _hand_out(caller, every, line)
    if not functions:
        return unknown(line)
    left = [tuple(t for t in values.known if id(t) not in functions) for values in every]
    rest = union(Values(k, v.unknown) for k, v in zip(left, every, strict=True))
    if rest == NOTHING and not method:
        # ``delayed(load)``: what comes back may be called instead.
        return union([of(*functions.values()), unknown(line)])
    held = Values(tuple(t for t in rest.known if folding.is_collection(t)))
    if method and not held.known and (name not in _FORWARDING or rest == NOTHING):
        rest = union([rest, unknown(line)])
    items = folding.items_of(held, line)
    rows = Values(tuple(t for t in items.known if folding.is_collection(t)))
    rest = union([rest, items, folding.items_of(rows, line)])
    for function in functions.values():
        caller.apply(function, Arguments(rest=rest), line, frame)
    return unknown(line)


def _hand_out(caller: Caller, every: Iterable[Values], line: int) -> None:
    """Instances of the user's may be asked for items, or whatever their framework asks for."""
    for thing in union(every).known:
        if isinstance(thing, type) or not members.is_users(thing):
            continue
        for function in members.asked_for(members.class_of(thing)):
            self_ = Arguments([of(thing)], rest=unknown(line))
            caller.run(function, handed(self_))


def is_function(thing: Any) -> bool:
    """Whether something may be called that leads to a reader."""
    if isinstance(thing, Local | Bound):
        return True
    if isinstance(thing, Named):
        return role_of(thing.name) is not None
    if isinstance(thing, FunctionType):
        return is_followed(thing) or role_of(dotted_name(thing)) is not None
    if isinstance(thing, functools.partial | MethodType):
        return True
    return isinstance(thing, BuiltinFunctionType | type) and role_of(dotted_name(thing)) is not None


def dotted_name(thing: Any) -> str:
    """What installed code counts by, as one dotted name."""
    return name_of(thing).replace(":", ".")
