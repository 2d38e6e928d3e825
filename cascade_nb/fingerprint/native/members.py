"""Attributes of live objects, found without running any code of theirs."""

from __future__ import annotations

import ast
import enum
import functools
import sys
from collections.abc import Iterator
from types import FunctionType, MemberDescriptorType, ModuleType
from typing import Any

from cascade_nb.fingerprint.native.arguments import Arguments, Bound
from cascade_nb.fingerprint.native.possible import (
    NOTHING,
    Instance,
    Local,
    LocalClass,
    Named,
    Term,
    Values,
    of,
    union,
    unknown,
)
from cascade_nb.fingerprint.native.readers import role_of
from cascade_nb.fingerprint.origin import Owner, owner_of_module
from cascade_nb.fingerprint.ownership import is_cached, is_followed, name_of

_MISSING: Any = object()


class Computed:
    """An attribute that a function of the user's gives, of `owner`."""

    __slots__ = ("function", "owner")

    def __init__(self, function: FunctionType | Local, owner: Any) -> None:
        self.function = function
        self.owner = owner


def of_module(module: ModuleType, name: str) -> Values:
    """What a module has under `name`; installed code that is known by its name goes by that."""
    value = vars(module).get(name, _MISSING)
    known = f"{module.__name__}.{name}"
    if value is _MISSING:
        submodule = sys.modules.get(known)
        return of(Named(known) if submodule is None else submodule)
    if role_of(known) is not None and not isinstance(value, ModuleType):
        return of(value if isinstance(value, FunctionType) and is_followed(value) else Named(known))
    return of(value)


def is_users_class(cls: type) -> bool:
    """Whether a class is the user's own."""
    module = cls.__module__
    return isinstance(module, str) and owner_of_module(module) is Owner.USER


def is_users(thing: Any) -> bool:
    """Whether an object is an instance of a class of the user's."""
    return isinstance(thing, Instance) or is_users_class(type(thing))


def split(values: Values) -> tuple[Values, Values]:
    """The instances of the user's classes, and all else."""
    users = [
        thing
        for thing in values.known
        if isinstance(thing, Instance)
        or (
            not (type(thing).__module__ == "builtins" or isinstance(thing, Term | type))
            and is_users(thing)
            and not hasattr(type(thing), "_fields")
        )
    ]
    if not users:
        return NOTHING, values
    known = set(map(id, users))
    others = tuple(thing for thing in values.known if id(thing) not in known)
    return Values(tuple(users)), Values(others, values.unknown)


def class_of(thing: Any) -> Any:
    """The class of an object, live or made in the run."""
    return thing.cls if isinstance(thing, Instance) else type(thing)


_OWN = frozenset({"__init__", "__new__", "__post_init__", "__init_subclass__", "__del__"})


def asked_for(cls: Any) -> Iterator[FunctionType]:
    """The methods that others may call: those of Python's protocols, and of a framework's all."""
    bases = [base for base in getattr(cls, "__mro__", ()) if base is not object]
    framed = not all(map(is_users_class, bases))
    for base in filter(is_users_class, bases):
        for name, member in vars(base).items():
            called = framed or name.startswith("__")
            if called and isinstance(member, FunctionType) and name not in _OWN:
                yield member


def of_object(thing: Any, name: str, line: int) -> Values | Computed:
    """What an instance has under `name`."""
    cls = class_of(thing)
    if isinstance(cls, LocalClass):
        return of_local_class(cls, name, line, thing)
    if isinstance(thing, enum.Enum) and name in ("name", "value"):
        return of(thing.name if name == "name" else thing._value_)
    held = {} if isinstance(thing, Instance) else _dict_of(thing)
    for known in _spellings(cls, name):
        member = _in_classes(cls.__mro__, known)
        if isinstance(member, property):
            function: Any = member.fget
            followed = isinstance(function, FunctionType) and is_followed(function)
            return Computed(function, thing) if followed else unknown(line)
        if known in held:
            return of(held[known])
        if member is not _MISSING:
            return _of_member(member, thing, known, line)
    if hasattr(cls, "__getattr__") or not is_users(thing):
        return unknown(line)
    return NOTHING  # an error, or what the run gives it


def of_local_class(
    cls: LocalClass, name: str, line: int, thing: Instance | None = None
) -> Values | Computed:
    """What a class of the code's own, or `thing`, an instance of it, has under `name`."""
    for statement in cls.node.body:
        match statement:
            case ast.FunctionDef(name=known) | ast.AsyncFunctionDef(name=known) if known == name:
                return _of_local_function(statement, cls, thing)
            case ast.Assign(targets=[ast.Name(id=known)], value=value) if known == name:
                return union([cls.frame.value(value)])
            case ast.AnnAssign(target=ast.Name(id=known), value=ast.expr() as value):
                if known == name and thing is None:
                    return union([cls.frame.value(value)])
    return unknown(line) if cls.node.bases else NOTHING


def _of_local_function(
    node: ast.FunctionDef | ast.AsyncFunctionDef, cls: LocalClass, thing: Instance | None
) -> Values | Computed:
    function = Local(node, cls.frame)
    kinds = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    if not kinds.isdisjoint({"property", "cached_property"}) and thing is not None:
        return Computed(function, thing)
    if "classmethod" in kinds:
        return of(Bound(function, Arguments([of(cls)])))
    if thing is None or "staticmethod" in kinds:
        return of(function)
    return of(Bound(function, Arguments([of(thing)])))


def of_class(cls: type, name: str, line: int) -> Values:
    """What a class has under `name`."""
    if not is_users_class(cls):
        module, _, qualname = name_of(cls).partition(":")
        return of(Named(f"{module}.{qualname}.{name}"))
    if isinstance(cls, enum.EnumMeta) and name in cls.__members__:
        return of(cls.__members__[name])
    for known in _spellings(cls, name):
        member = _in_classes(cls.__mro__, known)
        if isinstance(member, staticmethod):
            return of(member.__func__)
        if isinstance(member, classmethod):
            return of(Bound(member.__func__, Arguments([of(cls)])))
        if member is not _MISSING:
            return of(member) if not isinstance(member, MemberDescriptorType) else unknown(line)
    return unknown(line)


def after(cls: type, thing: Any, name: str, line: int) -> Values | Computed:
    """What ``super()`` of `thing` in the body of `cls` has under `name`."""
    found = thing if isinstance(thing, type) else class_of(thing)
    order = getattr(found, "__mro__", ())
    rest = order[order.index(cls) + 1 :] if cls in order else ()
    member = _in_classes(rest, name)
    if member is _MISSING or not isinstance(member, FunctionType | staticmethod | classmethod):
        return unknown(line)
    return _of_member(member, thing, name, line)


def _of_member(member: Any, thing: Any, name: str, line: int) -> Values | Computed:
    if isinstance(member, FunctionType) or is_cached(member):
        return of(Bound(member, Arguments([of(thing)])))
    if isinstance(member, staticmethod):
        return of(member.__func__)
    if isinstance(member, classmethod):
        return of(Bound(member.__func__, Arguments([of(class_of(thing))])))
    if isinstance(member, functools.cached_property):
        function: Any = member.func
        return Computed(function, thing) if is_followed(function) else unknown(line)
    if isinstance(thing, Instance):
        return NOTHING if isinstance(member, MemberDescriptorType) else of(member)
    if isinstance(member, MemberDescriptorType) or name in getattr(type(thing), "_fields", ()):
        try:
            return of(object.__getattribute__(thing, name))
        except AttributeError:
            return NOTHING
    return unknown(line) if hasattr(member, "__get__") else of(member)


def _dict_of(thing: Any) -> dict[str, Any]:
    try:
        held = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return {}
    return held if isinstance(held, dict) else {}


def _in_classes(classes: tuple[type, ...], name: str) -> Any:
    for cls in classes:
        if cls is not object and name in vars(cls):
            return vars(cls)[name]
    return _MISSING


def _spellings(cls: type, name: str) -> list[str]:
    """How the compiler may have spelled a name that is private to one of the classes."""
    if not name.startswith("__") or name.endswith("__"):
        return [name]
    return [f"_{base.__name__.lstrip('_')}{name}" for base in cls.__mro__]
