"""What of a class counts: its live members, less what Python and its generators put there.

The body of a class has long been run. What would run now are its attributes, bases and metaclass,
whoever put them there; methods that dataclasses, namedtuples and the like make follow from the
fields, which count instead.
"""

from __future__ import annotations

import abc
import dataclasses
import enum
import functools
import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any

from cascade_nb.fingerprint.code import NAMESPACE_READERS
from cascade_nb.fingerprint.normal import constant, digest, text
from cascade_nb.fingerprint.origin import Owner, owner_of_file, owner_of_module

_PYTHONS_OWN = frozenset(
    [
        "__module__",
        "__qualname__",
        "__doc__",
        "__dict__",
        "__weakref__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__static_attributes__",
        "__firstlineno__",
        "__slots__",
        "__slotnames__",  # what copyreg leaves on a class whose instance is copied
        "__abstractmethods__",
        "_abc_impl",
        "__parameters__",
        "__orig_bases__",
        "__type_params__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__readonly_keys__",  # a TypedDict's, whose annotations tell
        "__mutable_keys__",
        "_is_protocol",
        "_is_runtime_protocol",
        "__protocol_attrs__",
        "__non_callable_proto_members__",
        "__callable_proto_members_only__",
        "__classcell__",
        "__attrs_attrs__",
        "__attrs_own_setattr__",
        "__attrs_props__",
    ]
)
_ENUMS_OWN = frozenset(["_value_", "_name_", "__objclass__", "_sort_order_", "_inverted_"])
# New names for types, and where each keeps the type.
_TYPES_BY_THEIR_WORD = {"NewType": "__supertype__", "TypeAliasType": "__value__"}
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
# What dataclasses and namedtuples call the code around the functions that they make of texts.
_GENERATED_NAMES = ("__create_fn__.", "<lambda>")


def own_digest(cls: Any) -> str:
    """What a class is by itself: its names, its slots and how it is used as an enum or protocol."""
    own = cls.__dict__
    slots = own.get("__slots__", ())
    slots = (slots,) if isinstance(slots, str) else tuple(str(slot) for slot in slots)
    members = tuple(cls.__members__) if isinstance(cls, enum.EnumMeta) else ()
    forms = [text(cls.__module__), text(cls.__qualname__), constant(slots), constant(members)]
    if cls.__qualname__.rpartition(".")[2] != cls.__name__:
        forms.append(text(cls.__name__))
    abstract = tuple(sorted(own.get("__abstractmethods__", ())))
    # An abstract class has no instances, and not every protocol is one for isinstance.
    if abstract or own.get("_is_runtime_protocol", False):
        forms += [constant(abstract), constant(bool(own.get("_is_runtime_protocol", False)))]
    return digest(b"class", *forms)


def members(cls: Any) -> Iterator[tuple[str, Any]]:
    """The members of a class by itself that count, by name; and its fields and annotations."""
    own = cls.__dict__
    generated = "__dataclass_fields__" in own or "__attrs_attrs__" in own or "_fields" in own
    is_enum = isinstance(cls, enum.EnumMeta)
    for name in sorted(own):
        value = own[name]
        if name in _PYTHONS_OWN or isinstance(value, _SLOTS) or name.startswith("__pydantic_"):
            continue
        if generated and _is_generated(name, value):
            continue
        if name == "__signature__" and "__pydantic_fields__" in own:
            continue  # made when somebody asks for it
        if name == "__subclasshook__" and getattr(value, "__func__", value).__module__ == "typing":
            continue
        if is_enum and (name in cls.__members__ or _is_enums_own(name, value)):
            continue
        yield name, value
    if is_enum:
        for name, member in cls.__members__.items():
            yield name, member._value_
            attributes = getattr(member, "__dict__", {})
            put_on = {k: v for k, v in attributes.items() if k not in _ENUMS_OWN}
            if put_on:
                yield f"{name}.__dict__", put_on
        boundary = getattr(cls, "_boundary_", None)
        if boundary is not None:
            yield "_boundary_", boundary.name
    if "__dataclass_fields__" in own:
        yield "__dataclass_fields__", _dataclass_fields(cls)
    if "__attrs_attrs__" in own:
        yield "__attrs_attrs__", _attrs_fields(own["__attrs_attrs__"])
        made = {name for name, value in own.items() if _is_generated(name, value)}
        yield "generated", tuple(sorted(made - {"__replace__"}))  # Python 3.13 has it
    if "__pydantic_fields__" in own:
        yield "__pydantic_fields__", _pydantic_fields(own)
    slots = own.get("__slots__")
    if isinstance(slots, dict):
        yield "__slots__", dict(slots)
    if "__orig_bases__" in own:
        yield "__orig_bases__", plain_annotation(own["__orig_bases__"])
    registered = _registered(cls)
    if registered:
        yield "registered", registered
    annotations = own.get("__annotations__")
    if annotations:
        yield "__annotations__", {k: plain_annotation(v) for k, v in annotations.items()}


def enum_members(cls: Any) -> frozenset[str]:
    """The names of an enum's members, whose order is part of its own digest."""
    return frozenset(cls.__members__) if isinstance(cls, enum.EnumMeta) else frozenset()


def is_enumerated(metaclass: type) -> bool:
    """Whether a metaclass of the user's may go over the members of its classes in their order."""
    return any(
        not NAMESPACE_READERS.isdisjoint(member.__code__.co_names)
        for base in metaclass.__mro__
        if owner_of_module(base.__module__) is Owner.USER
        for member in vars(base).values()
        if isinstance(member, types.FunctionType)
    )


def _registered(cls: Any) -> tuple[type, ...]:
    """The classes that count as derived from an abstract one because somebody has said so."""
    if not isinstance(cls, abc.ABCMeta):
        return ()
    # The registry is kept in C; this is what `abc` itself prints it with.
    references = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
    found = [other for other in (reference() for reference in references) if other is not None]
    return tuple(sorted(found, key=lambda other: (other.__module__, other.__qualname__)))


def _is_enums_own(name: str, value: Any) -> bool:
    """Whether the enum machinery put a member there: tables of members, methods it copies."""
    if not (name.startswith("_") and name.endswith("_")):
        return False
    function = getattr(value, "__func__", value)
    if isinstance(function, types.FunctionType):
        return function.__code__.co_filename == enum.__file__ or function.__module__ == "enum"
    return True


def _is_generated(name: str, value: Any) -> bool:
    """Whether a member was made from the fields; `_tuplegetter`s are those of namedtuples."""
    if type(value).__name__ == "_tuplegetter":
        return True
    if not name.startswith("_"):
        return False
    if isinstance(value, classmethod | staticmethod | property):
        value = getattr(value, "__func__", None) or getattr(value, "fget", None)
    value = getattr(value, "__wrapped__", value)
    if isinstance(value, types.FunctionType):
        filename = value.__code__.co_filename
        if filename.startswith("<attrs generated") or value.__module__ == "collections":
            return True
        if filename == "<string>":
            return value.__code__.co_qualname.startswith(_GENERATED_NAMES)
        return name.startswith("__") and owner_of_file(filename) is not Owner.USER
    return False


def _dataclass_fields(cls: Any) -> tuple[Any, ...]:
    parameters = cls.__dataclass_params__
    flags = ("init", "repr", "eq", "order", "unsafe_hash", "frozen")
    fields = tuple(
        (
            field.name,
            plain_annotation(field.type),
            field.default is not dataclasses.MISSING,
            None if field.default is dataclasses.MISSING else field.default,
            None if field.default_factory is dataclasses.MISSING else field.default_factory,
            (field.init, field.repr, field.hash, field.compare, bool(field.kw_only)),
            dict(field.metadata),
        )
        for field in cls.__dataclass_fields__.values()
    )
    return (tuple(getattr(parameters, flag) for flag in flags), fields)


def _attrs_fields(fields: Any) -> tuple[Any, ...]:
    names = (
        *("name", "default", "validator", "init", "kw_only", "converter", "alias", "on_setattr"),
        *("repr", "eq_key", "order_key"),
    )
    return tuple(
        (
            tuple((name, _attrs_value(getattr(field, name, None))) for name in names),
            plain_annotation(field.type),
            (bool(field.eq), bool(field.order), field.hash),
            dict(field.metadata),
        )
        for field in fields
    )


def _attrs_value(value: Any) -> Any:
    if type(value).__name__ == "_Nothing":
        return "NOTHING"
    if type(value).__name__ == "Factory":
        return ("Factory", value.factory, value.takes_self)
    return value


def _pydantic_fields(own: Any) -> tuple[Any, ...]:
    decorators = own.get("__pydantic_decorators__")
    kinds = (
        *("validators", "field_validators", "root_validators", "field_serializers"),
        *("model_serializers", "model_validators", "computed_fields"),
    )
    marks = tuple(
        (kind, tuple(map(_pydantic_mark, getattr(decorators, kind, {}).items())))
        for kind in kinds
        if decorators
    )
    fields = tuple(
        (name, plain_annotation(field.annotation), field.default_factory, *_slots_of(field))
        for name, field in own["__pydantic_fields__"].items()
    )
    return (marks, fields)


def _pydantic_mark(item: tuple[str, Any]) -> tuple[Any, ...]:
    """What a decorator within a model is for: which fields, and when."""
    name, decorator = item
    fields = sorted(field.name for field in dataclasses.fields(decorator.info))
    left_out = ("wrapped_property", "description")  # the latter being a docstring
    values = [(f, _pydantic_value(getattr(decorator.info, f))) for f in fields if f not in left_out]
    return (name, tuple(values))


def _pydantic_value(value: Any) -> Any:
    if type(value).__name__ == "PydanticUndefinedType":
        return "undefined"
    return plain_annotation(value) if is_typing(value) else value


def _slots_of(field: Any) -> Iterator[Any]:
    left_out = ("annotation", "default_factory", "_original_annotation")
    for slot in sorted(getattr(type(field), "__slots__", ())):
        value = getattr(field, slot, None)
        if slot in left_out or slot.startswith("__"):
            continue
        if slot == "metadata":
            value = [plain_annotation(item) for item in value or ()]
        yield slot, _pydantic_value(value)


def is_typing(value: Any) -> bool:
    """Whether `value` is something of typing's: ``list[int]``, ``int | None``, a TypeVar."""
    cls = type(value)
    return cls.__module__ in ("typing", "typing_extensions") or cls in (
        types.GenericAlias,
        types.UnionType,
    )


def plain_annotation(value: Any) -> Any:
    """An annotation as texts, types and tuples of them, which any walk can read."""
    if value is None or (isinstance(value, str | type) and not is_typing(value)):
        return value
    if isinstance(value, typing.ForwardRef):
        return ("ForwardRef", value.__forward_arg__)
    if isinstance(value, typing.TypeVar):
        bounds = (value.__bound__, *value.__constraints__)
        return ("TypeVar", value.__name__, tuple(plain_annotation(item) for item in bounds))
    if isinstance(value, list | tuple):
        return tuple(plain_annotation(item) for item in value)
    if not is_typing(value):
        return value
    arguments = typing.get_args(value)
    if type(value).__name__ in _TYPES_BY_THEIR_WORD:
        word = _TYPES_BY_THEIR_WORD[type(value).__name__]
        arguments = (*arguments, getattr(value, word, None))
    metadata = getattr(value, "__metadata__", ())
    name = getattr(value, "_name", None) or getattr(value, "__name__", None)
    return (
        name if isinstance(name, str) else type(value).__name__,
        typing.get_origin(value),
        tuple(plain_annotation(item) for item in (*arguments, *metadata)),
    )


def is_singledispatch(function: Any) -> bool:
    """Whether a function is what ``functools.singledispatch`` made."""
    return (
        function.__code__.co_filename == functools.singledispatch.__code__.co_filename
        and isinstance(getattr(function, "registry", None), types.MappingProxyType)
    )


def documents(obj: Any) -> tuple[Any, ...]:
    """Docstring and annotations of a function, class or module, for code that may read them."""
    annotations = getattr(obj, "__annotations__", None) or {}
    plain = {name: plain_annotation(value) for name, value in annotations.items()}
    told = getattr(obj, "__dict__", {}).get("__signature__")
    if isinstance(told, inspect.Signature):
        plain["__signature__"] = _plain_signature(told)
    return (getattr(obj, "__doc__", None), plain)


def _plain_signature(signature: inspect.Signature) -> tuple[Any, ...]:
    parameters = tuple(
        (each.name, each.kind.name, each.default, plain_annotation(each.annotation))
        for each in signature.parameters.values()
    )
    return (parameters, plain_annotation(signature.return_annotation))
