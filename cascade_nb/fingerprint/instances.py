"""Openers for instances: class and state, as the class itself defines its state."""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import TYPE_CHECKING, Any

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.kinds import Kind, Opened, sorted_state
from cascade_nb.fingerprint.origin import Owner
from cascade_nb.fingerprint.ownership import owner_of_function

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

# What a builtin holds, asked of the builtin itself: a derived class may override `__iter__`.
_CONTENT: dict[type, Callable[[Any, Any], Opened]] = {
    tuple: lambda value, walker: (b"", tuple(tuple.__iter__(value))),
    list: lambda value, walker: (b"", tuple(list.__iter__(value))),
    dict: lambda value, walker: (b"", (*dict.keys(value), *dict.values(value))),
    set: lambda value, walker: walker.members(set.__iter__(value)),
    frozenset: lambda value, walker: walker.members(frozenset.__iter__(value)),
    str: lambda value, walker: (b"", (str.__str__(value)[:],)),
    bytes: lambda value, walker: (b"", (bytes(memoryview(value)),)),
    bytearray: lambda value, walker: (b"", (bytes(memoryview(value)),)),
    int: lambda value, walker: (b"", (int.__int__(value),)),
    float: lambda value, walker: (b"", (float.__float__(value),)),
    complex: lambda value, walker: (b"", (complex.__complex__(value),)),
}
_IMMUTABLE = (tuple, frozenset, str, bytes, int, float, complex)


def kind_of_instances(cls: type) -> Kind:
    """How the instances of a class are opened that has no opener of its own."""
    if issubclass(cls, Iterator) and not isinstance(_defined(cls, "__next__"), FunctionType):
        return Kind(_open_iterator, identity=True)
    if cls.__name__ == "cython_function_or_method":
        return Kind(_open_compiled, identity=False)
    if str(cls.__module__).startswith("cascade_nb.") and hasattr(cls, "__cascade_key_parts__"):
        return Kind(_open_cached, identity=False)
    if cls.__name__ == "ValidateCallWrapper" and str(cls.__module__).startswith("pydantic."):
        return Kind(_open_validated, identity=False)
    base = next((base for base in cls.__mro__ if base in _CONTENT), None)
    if base is not None and not _reduces(cls, base) and _python_bases(cls, base):
        changes = base not in _IMMUTABLE or cls.__dictoffset__ != 0 or bool(_slots(cls))
        return Kind(_opener_of_builtin(cls, base), identity=changes)
    if _reduces(cls, object) or _overrides(cls, object, "__getstate__"):
        return Kind(open_reduced, identity=True)
    if hasattr(cls, "__getnewargs_ex__") or hasattr(cls, "__getnewargs__"):
        return Kind(open_reduced, identity=True)
    if not _python_bases(cls, object):
        return Kind(open_reduced, identity=True)
    return Kind(_opener_of_plain(cls), identity=not _is_frozen(cls))


def _is_frozen(cls: type) -> bool:
    """Whether instances are values such as tuples, as those of frozen dataclasses with eq are.

    Codecs store them without an identity, too.
    """
    parameters = getattr(cls, "__dataclass_params__", None)
    return parameters is not None and bool(parameters.frozen and parameters.eq)


def _reduces(cls: type, base: type) -> bool:
    """Whether the class says itself how it is to be pickled."""
    return (
        cls in copyreg.dispatch_table
        or _overrides(cls, object, "__reduce_ex__")
        or _overrides(cls, base, "__reduce__")
    )


def _overrides(cls: type, base: type, name: str) -> bool:
    return getattr(cls, name) is not getattr(base, name)


def _defined(cls: type, name: str) -> object:
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _python_bases(cls: type, last: type) -> bool:
    """Whether all that an instance holds beyond a `last` lies in its `__dict__` and slots.

    The size of an instance tells what a C type hides; it is how pickle finds it out, too.
    """
    words = len(_slots(cls)) + (cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0)
    return cls.__itemsize__ == last.__itemsize__ and (
        cls.__basicsize__ <= last.__basicsize__ + words * tuple.__itemsize__
    )


def _slots(cls: type) -> list[str]:
    names = []
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot in ("__dict__", "__weakref__"):
                continue
            private = slot.startswith("__") and not slot.endswith("__")
            owner = base.__name__.lstrip("_")
            names.append(f"_{owner}{slot}" if private and owner else slot)
    return sorted(set(names))


def _opener_of_plain(cls: type) -> Callable[[Any, Walker], Opened]:
    slots = _slots(cls)
    has_dict = cls.__dictoffset__ != 0

    def opener(value: Any, walker: Walker) -> Opened:
        if not slots:
            return _open_attributes(cls, value, walker) if has_dict else (b"instance", (cls,))
        head, children = _open_attributes(cls, value, walker) if has_dict else (b"instance", (cls,))
        return b"slots " + head, (*children, *_slot_state(value, slots))

    return opener


def _open_attributes(cls: type, value: Any, walker: Walker) -> Opened:
    attributes = object.__getattribute__(value, "__dict__")
    known = None if _is_frozen(cls) else walker.number(attributes)
    if known is not None:
        return b"instance of shared state %d" % known, (cls,)
    try:
        names = sorted(attributes)
    except TypeError:
        return b"instance with odd names", (cls, tuple(attributes), *attributes.values())
    return b"instance", (cls, tuple(names), *map(attributes.__getitem__, names))


def _slot_state(value: Any, slots: list[str]) -> tuple[Any, ...]:
    return sorted_state(_slot_pairs(value, slots))


def _slot_pairs(value: Any, slots: list[str]) -> Iterator[tuple[str, Any]]:
    for slot in slots:
        try:
            yield slot, object.__getattribute__(value, slot)
        except AttributeError:
            continue  # an empty slot


def _opener_of_builtin(cls: type, base: type) -> Callable[[Any, Walker], Opened]:
    content = _CONTENT[base]
    state = _opener_of_plain(cls)
    own_state = _overrides(cls, object, "__getstate__")
    tag = b"derived from " + base.__name__.encode() + b" "

    def opener(value: Any, walker: Walker) -> Opened:
        how, held = content(value, walker)
        if own_state:
            given = value.__getstate__()
            left_out = _left_out(value, given, walker) if _is_users_word(cls) else ()
            return tag + how + b"%d state" % len(held), (cls, *held, given, *left_out)
        head, children = state(value, walker)
        return tag + how + b"%d " % len(held) + head, (*held, *children)

    return opener


def open_reduced(value: Any, walker: Walker) -> Opened:
    """An instance by what `copyreg` or its `__reduce_ex__` tells of it."""
    cls = type(value)
    reducer = copyreg.dispatch_table.get(cls)
    try:
        reduced = value.__reduce_ex__(4) if reducer is None else reducer(value)
    except TypeError as error:
        raise FingerprintError("it has state that Python cannot see") from error
    if isinstance(reduced, str):
        module = getattr(value, "__module__", None)
        if getattr(sys.modules.get(str(module)), reduced, None) is value:
            return b"global", (module, reduced)
        return b"global of class", (cls, module, reduced)
    told: list[Any] = [*reduced, None, None, None, None]
    function, arguments, state, items, pairs, setter = told[:6]
    if type(state) is dict and not state:
        state = None  # Some have a dict only once somebody has looked at it.
    head, children = _open_state(value, state, walker)
    listed = None if items is None else tuple(items)
    mapped = None if pairs is None else tuple(pairs)
    parts = (cls, function, arguments, listed, mapped, setter, *children)
    if _is_users_word(cls):
        left_out = _left_out(value, state, walker)
        return b"reduced %d with " % len(parts) + head, (*parts, *left_out)
    return b"reduced " + head, parts


def _is_users_word(cls: type) -> bool:
    """Whether it is the user's own class that says what its state is."""
    return any(
        isinstance(method := _defined(cls, name), FunctionType)
        and owner_of_function(method) is Owner.USER
        for name in ("__getstate__", "__reduce__", "__reduce_ex__")
    )


def _left_out(value: Any, state: Any, walker: Walker) -> tuple[Any, ...]:
    """The attributes that are not in the state that a class of the user's gives of an instance.

    Code can read them all the same, so they count. But what has no fingerprint (a lock, a
    connection) the class has left out for that reason, and only what is in the state is refused.
    """
    cls = type(value)
    given = state if isinstance(state, dict) else {}
    attributes = dict(_slot_pairs(value, _slots(cls)))
    if cls.__dictoffset__ != 0:
        attributes |= object.__getattribute__(value, "__dict__")
    return sorted_state(
        (name, held)
        for name, held in attributes.items()
        if given.get(name, _left_out) is not held and walker.can_read(held)
    )


def _open_state(value: Any, state: Any, walker: Walker) -> Opened:
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict:
        attributes, slots = state
    else:
        attributes, slots = state, None
    if type(attributes) is not dict or not all(type(name) is str for name in attributes):
        return b"state", (state,)
    children = sorted_state(attributes.items())
    if attributes is getattr(value, "__dict__", None):
        known = walker.number(attributes)
        if known is not None:
            children = (known,)
    head = b"attributes %d" % len(children)
    return head, children if slots is None else (*children, slots)


def _open_iterator(value: Any, walker: Walker) -> Opened:
    raise FingerprintError("an iterator changes as it is used")


def _open_cached(value: Any, walker: Walker) -> Opened:
    """A cached function counts as the function it wraps, and its version."""
    return b"cached", (value.__wrapped__, dict(value.__cascade_key_parts__))


def _open_validated(value: Any, walker: Walker) -> Opened:
    """What `pydantic.validate_call` makes follows from the function, annotations included.

    It holds the whole namespace of the function, which nothing but the annotations looks at.
    """
    configuration = dict(value.config_wrapper.config_dict)
    return b"validated", (type(value), value.function, value.validate_return, configuration)


def _open_compiled(value: Any, walker: Walker) -> Opened:
    """A function of a Cython module, which is installed or named after its own source."""
    return b"compiled", (value.__module__, value.__qualname__)
