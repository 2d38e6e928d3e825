"""Instances of classes that the reader has, from namedtuples to plain ones.

An encoding holds a class's module, name and digest, and the instance's state. Reading puts the
state into a new object of the reader's class, if that is of the same kind and digest, and calls
nothing of it: no `__init__`, no `__setstate__`. Only for plain classes this counts as code, since
only for the others it is the class itself that says that its state is data.
"""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import sys
from pathlib import Path
from types import MemberDescriptorType
from typing import Any

from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, type_name
from cascade_nb.codecs.tree import INSTANCES, Kind, register, register_resolver
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError, UntrustedError


def loaded_class(module: str, qualname: str) -> type | None:
    """The class of that name, if its module is loaded; nothing is imported, nothing called."""
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        try:
            found = vars(found).get(name)
        except TypeError:
            return None
    return found if isinstance(found, type) else None


def _write_class(writer: Writer, cls: type) -> None:
    number, first = writer.class_number(cls)
    writer.varint(number)
    if first:
        writer.text(cls.__module__)
        writer.text(cls.__qualname__)
        writer.text(_digest(writer.class_digest, cls))


def _read_class(reader: Reader, *expected: Kind) -> type:
    number = reader.varint()
    if number == len(reader.classes):
        module, qualname, digest = reader.text(), reader.text(), reader.text()
        cls = reader.find_class(module, qualname)
        if cls is None:
            raise CodecError(f"the class {module}.{qualname} is not defined here")
        if reader.class_digest is not None and _digest(reader.class_digest, cls) != digest:
            raise CodecError(f"the class {module}.{qualname} has changed")
        reader.classes.append(cls)
    cls = reader.classes[number]
    if _resolve(cls) not in expected:
        raise CodecError(f"damaged encoding: {type_name(cls)} is no class of that kind")
    return cls


def _digest(class_digest: Any, cls: type) -> str:
    # A class of the standard library counts by its name.
    if class_digest is None or cls.__module__.partition(".")[0] in sys.stdlib_module_names:
        return ""
    return str(class_digest(cls))


# -- enums and namedtuples


def _write_enum(writer: Writer, value: enum.Enum) -> None:
    cls = type(value)
    _write_class(writer, cls)
    if cls.__members__.get(value._name_) is value:
        writer.write(value._name_)
    elif isinstance(value, enum.Flag) and type(value._value_) is int:
        writer.write(value._value_)  # a combination has no name
    else:
        raise RefusedError(value, "it is no member of its enum")


def _read_enum(reader: Reader) -> enum.Enum:
    cls: Any = _read_class(reader, _ENUM)
    name = reader.read_exact(str, int)
    return cls.__members__[name] if isinstance(name, str) else cls(name)  # type: ignore[no-any-return]


def _write_namedtuple(writer: Writer, value: tuple[Any, ...]) -> None:
    _write_class(writer, type(value))
    writer.sequence(value)


def _read_namedtuple(reader: Reader) -> tuple[Any, ...]:
    cls: Any = _read_class(reader, _NAMEDTUPLE)
    items = reader.sequence()
    if len(items) != len(cls._fields):
        raise CodecError(f"damaged encoding: a {type_name(cls)} of another length")
    return tuple.__new__(cls, items)


# -- instances with a state


def _slots(cls: type) -> dict[str, MemberDescriptorType]:
    """The slots of a class and its bases, by attribute name."""
    slots: dict[str, MemberDescriptorType] = {}
    for base in cls.__mro__:
        for name, member in vars(base).items():
            if isinstance(member, MemberDescriptorType):
                slots.setdefault(name, member)
    return slots


def _write_state(writer: Writer, value: Any) -> None:
    cls = type(value)
    _write_class(writer, cls)
    attributes = dict(getattr(value, "__dict__", {}))
    slots = {}
    for name, member in _slots(cls).items():
        try:
            slots[name] = member.__get__(value)
        except AttributeError:
            continue  # it is not set
    # attrs keeps a hash here that holds in this process only
    for state in (attributes, slots):
        if "_attrs_cached_hash" in state:
            state["_attrs_cached_hash"] = None
    writer.varint(len(attributes) + len(slots))
    writer.spend(len(attributes) + len(slots))
    name = ""
    try:
        for name, item in (*attributes.items(), *slots.items()):
            writer.text(name)
            writer.write(item)
    except RefusedError as refused:
        refused.steps.append(f".{name}")
        raise


def _read_state(reader: Reader, instance: Any) -> None:
    slots = _slots(type(instance))
    for _ in range(reader.count()):
        name = reader.text()
        if name in slots:
            slots[name].__set__(instance, reader.read())
        else:
            vars(instance)[name] = reader.read()


def _read_instance(reader: Reader) -> Any:
    number = reader.reserve()
    instance: Any = object.__new__(_read_class(reader, _DATA))
    reader.fill(number, instance)
    _read_state(reader, instance)
    return instance


def _read_frozen(reader: Reader) -> Any:
    instance: Any = object.__new__(_read_class(reader, _FROZEN))
    _read_state(reader, instance)
    return instance


def _write_plain(writer: Writer, value: Any) -> None:
    writer.needs_code = True
    _write_state(writer, value)


def _read_plain(reader: Reader) -> Any:
    if not reader.code:
        raise UntrustedError("an instance of a plain class would have to run code")
    number = reader.reserve()
    instance: Any = object.__new__(_read_class(reader, _PLAIN))
    reader.fill(number, instance)
    _read_state(reader, instance)
    return instance


_ENUM = register(Kind(INSTANCES + 0x00, _write_enum, _read_enum))
_NAMEDTUPLE = register(Kind(INSTANCES + 0x01, _write_namedtuple, _read_namedtuple))
_DATA = register(Kind(INSTANCES + 0x02, _write_state, _read_instance, identity=True))
_FROZEN = register(Kind(INSTANCES + 0x03, _write_state, _read_frozen))
_PLAIN = register(Kind(INSTANCES + 0x04, _write_plain, _read_plain, identity=True))


def _resolve(cls: type) -> Kind | None:
    """How instances of a class are stored; None where it has its own idea of its state."""
    if issubclass(cls, enum.Enum):
        return _ENUM
    if cls.__bases__ == (tuple,) and hasattr(cls, "_fields") and not cls.__dictoffset__:
        return _NAMEDTUPLE
    if not _has_default_state(cls):
        return None
    if hasattr(cls, "__del__"):
        return _PLAIN
    if dataclasses.is_dataclass(cls):
        parameters = cls.__dataclass_params__  # type: ignore[attr-defined]
        return _FROZEN if parameters.frozen and parameters.eq else _DATA
    if hasattr(cls, "__attrs_attrs__") or _is_pydantic(cls):
        return _DATA
    return _PLAIN


def _has_default_state(cls: type) -> bool:
    """Whether an instance is its `__dict__` and slots, and copying them makes its equal."""
    if cls is object or cls in copyreg.dispatch_table:
        return False
    for name in ("__reduce_ex__", "__reduce__", "__getnewargs__", "__getnewargs_ex__"):
        if getattr(cls, name, None) is not getattr(object, name, None):
            return False
    for name in ("__getstate__", "__setstate__"):
        method = getattr(cls, name, None)
        default = getattr(object, name, None)
        if method is not default and not _is_generated(cls, name, method):
            return False
    if cls.__itemsize__:
        return False
    try:
        object.__new__(cls)
    except TypeError:  # abstract, or with a state in C that only its own __new__ can make
        return False
    return True


def _is_generated(cls: type, name: str, method: Any) -> bool:
    """Whether a state method is the one that dataclasses, attrs or pydantic make."""
    if dataclasses.is_dataclass(cls) or hasattr(cls, "__attrs_attrs__"):
        return getattr(method, "__module__", None) in ("dataclasses", "attr._make")
    if _is_pydantic(cls):
        return method is getattr(sys.modules["pydantic"].BaseModel, name)
    return False


def _is_pydantic(cls: type) -> bool:
    pydantic = sys.modules.get("pydantic")
    base = getattr(pydantic, "BaseModel", None)
    return base is not None and issubclass(cls, base)


def _resolve_loaded(cls: type) -> Kind | None:
    """As `_resolve`, for classes that a reader can find by name.

    Plain classes of installed packages go by code: unpickling imports them where they are not
    loaded, and what their instances need beside their state only their pickles know.
    """
    if loaded_class(cls.__module__, cls.__qualname__) is not cls:
        return None
    kind = _resolve(cls)
    return None if kind is _PLAIN and _is_installed(cls.__module__) else kind


def _is_installed(module: str) -> bool:
    if module.partition(".")[0] in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules[module], "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


register_resolver(INSTANCES, _resolve_loaded)
