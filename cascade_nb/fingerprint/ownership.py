"""Whose a live object is, whether its code is to be followed, and its name where it is not."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

from cascade_nb.fingerprint import origin
from cascade_nb.fingerprint.origin import Owner

_LRU_CACHE = type(functools.lru_cache(lambda: None))
_WRAPPERS = (staticmethod, classmethod)
_STATIC_CALLABLES = (BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)
FOLLOWED_KINDS = (
    functools.partial,
    functools.partialmethod,
    functools.cached_property,
    functools.singledispatchmethod,
    property,
    _LRU_CACHE,
    MethodType,
    *_WRAPPERS,
)
# What IPython puts into the session: it is the session itself, and no input.
_SHELLS_OWN = frozenset({"get_ipython", "exit", "quit", "open", "display"})
# By id, and holding the object: where code lies is settled when it is compiled.
_owners: dict[int, tuple[CodeType, Owner]] = {}


def is_followed(obj: object) -> bool:
    """Whether `obj` is code to be followed: the user's, or a wrapper that may hold the user's.

    Functions, classes, methods, modules, and what functools and the builtin decorators make of
    them. Installed code that is reachable by its own name counts by that name.
    """
    if isinstance(obj, FunctionType):
        owner = owner_of_function(obj)
        if owner is Owner.USER:
            return True
        if owner is Owner.CASCADE:
            return hasattr(obj, "__wrapped__")
        return bool(obj.__closure__ or obj.__dict__) and not _is_what_its_name_says(obj)
    if isinstance(obj, type):
        if not (isinstance(obj.__module__, str) and isinstance(type(obj).__module__, str)):
            return False  # Cython's own types and their metaclass.
        owner = origin.owner_of_module(obj.__module__)
        return owner is Owner.USER or (owner is Owner.INSTALLED and not _is_what_its_name_says(obj))
    if isinstance(obj, ModuleType):
        return origin.owner_of_loaded(obj) is Owner.USER
    if isinstance(obj, MethodType):
        return not _is_global_generator(obj.__self__)
    return isinstance(obj, FOLLOWED_KINDS) or is_cached(obj)


def owner_of_function(function: FunctionType) -> Owner:
    """Whose code a function runs, whatever decorators have written on it."""
    code = function.__code__
    known = _owners.get(id(code))
    if known is not None:
        return known[1]
    owner = origin.owner_of_file(code.co_filename)
    if owner is Owner.USER and code.co_filename.startswith("<"):
        # Code made from a text belongs to the module in whose namespace it was made.
        module = function.__globals__.get("__name__")
        return origin.owner_of_module(module) if isinstance(module, str) else owner
    _owners[id(code)] = (code, owner)
    return owner


def _is_what_its_name_says(obj: FunctionType | type) -> bool:
    """Whether importing the name of `obj` gives `obj`; not so for what a factory makes."""
    found: Any = sys.modules.get(obj.__module__)
    if isinstance(obj, FunctionType):
        # What functools.wraps copies onto a wrapper says nothing about the wrapper itself.
        qualname = obj.__code__.co_qualname
        found = sys.modules.get(obj.__globals__.get("__name__", ""))
    else:
        qualname = obj.__qualname__
    for attribute in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(attribute)
    if isinstance(found, _WRAPPERS):
        found = found.__func__
    return found is obj


def is_cached_type(cls: type) -> bool:
    """Whether values of type `cls` are what ``@cached`` makes of functions."""
    return str(cls.__module__).startswith("cascade_nb.") and any(
        "__wrapped__" in vars(base).get("__annotations__", ()) for base in cls.__mro__
    )


def is_cached(obj: object) -> bool:
    """Whether `obj` is what ``@cached`` made of a function."""
    return str(type(obj).__module__).startswith("cascade_nb.") and hasattr(obj, "__wrapped__")


def inside(obj: Any) -> Iterator[tuple[str, Any]]:
    """What a wrapper holds, by names for people."""
    if isinstance(obj, MethodType):
        yield "function", obj.__func__
        yield "self", obj.__self__
    elif isinstance(obj, functools.partial | functools.partialmethod):
        yield "function", obj.func
        yield "arguments", obj.args
        yield "keywords", dict(obj.keywords)
    elif isinstance(obj, property):
        yield from (
            (name, function)
            for name, function in (("get", obj.fget), ("set", obj.fset), ("delete", obj.fdel))
            if function is not None
        )
    elif isinstance(obj, functools.cached_property):
        yield "function", obj.func
    elif isinstance(obj, functools.singledispatchmethod):
        yield "dispatcher", obj.dispatcher
    elif isinstance(obj, (staticmethod, classmethod)):
        yield "function", obj.__func__
    elif isinstance(obj, _LRU_CACHE):
        yield "function", obj.__wrapped__
        yield "options", obj.cache_parameters()
    else:
        yield "function", obj.__wrapped__
        parts = getattr(obj, "__cascade_key_parts__", None)
        if parts:
            yield "options", dict(parts)
        if is_cached(obj) and "__self__" in vars(obj):
            yield "self", obj.__self__


def name_of(obj: Any) -> str:
    """What installed code counts by: "module:qualname"."""
    if isinstance(obj, ModuleType):
        return f"{obj.__name__}:"
    if isinstance(obj, FunctionType):
        return f"{obj.__globals__.get('__name__')}:{obj.__code__.co_qualname}"
    own = getattr(obj, "__self__", None)
    qualname = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", "")
    if own is not None and not isinstance(own, ModuleType):
        generator = _is_global_generator(own)
        if generator:
            return f"{generator}:{obj.__name__}"
        if isinstance(own, type):
            return f"{own.__module__}:{own.__qualname__}.{obj.__name__}"
    owner = getattr(obj, "__objclass__", None)
    module = getattr(obj, "__module__", None) or getattr(owner, "__module__", None)
    if module is None:
        module = own.__name__ if isinstance(own, ModuleType) else type(obj).__module__
    return f"{module}:{qualname or type(obj).__qualname__}"


def _is_global_generator(obj: object) -> str | None:
    """The module whose functions draw from the random generator `obj`."""
    random = sys.modules.get("random")
    if random is not None and obj is getattr(random, "_inst", None):
        return "random"
    mtrand = sys.modules.get("numpy.random.mtrand")
    if mtrand is not None and obj is getattr(mtrand, "_rand", None):
        return "numpy.random"
    return None


def is_known_by_name(value: Any) -> bool:
    """Whether `value` is a function without Python code: a builtin, a ufunc, one of Cython's."""
    if isinstance(value, _STATIC_CALLABLES):
        own = getattr(value, "__self__", None)
        if isinstance(own, type):
            return not is_followed(own)
        return own is None or isinstance(own, ModuleType) or bool(_is_global_generator(own))
    if not callable(value):
        return False
    module = getattr(value, "__module__", None)
    if not isinstance(module, str) or module not in sys.modules:
        return False
    name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
    if not isinstance(name, str) or vars(sys.modules[module]).get(name) is not value:
        return False
    owner = origin.owner_of_module(module)
    return owner is not Owner.USER or origin.extension_digest(module) is not None


def is_mock(obj: object) -> bool:
    """Whether `obj` is one of the standard library's mocks, which whoever tests has put there."""
    mock = sys.modules.get("unittest.mock")
    return mock is not None and issubclass(type(obj), mock.NonCallableMock)


def is_code(obj: object) -> bool:
    """Whether `obj` counts as code, by what it reaches or by name, and not as a value."""
    kinds = (FunctionType, type, ModuleType, *FOLLOWED_KINDS)
    return isinstance(obj, kinds) or is_cached(obj) or is_known_by_name(obj)


def is_shells_own(name: str, value: Any) -> bool:
    """Whether `name` is one that IPython gives to the session itself, and means that."""
    module = str(getattr(value, "__module__", ""))
    return name in _SHELLS_OWN and module.partition(".")[0] in ("IPython", "ipykernel")


def code_name(function: FunctionType) -> str | None:
    """A function's name as its code has it, which no decorator changes; None for a lambda."""
    return _name_in_code(function.__code__.co_qualname)


@functools.lru_cache(maxsize=4096)
def _name_in_code(qualname: str) -> str | None:
    return None if qualname.endswith("<lambda>") else qualname.replace("<locals>.", "")
