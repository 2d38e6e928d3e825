"""The tree: values as tags, lengths and raw memory, dispatched by exact type.

Format 1. A value is one tag byte and what its `Kind` writes after it. Numbers are little-endian;
counts are varints of seven bits a byte, lowest first. Runs of 1024 raw bytes and more lie in
blocks beside the structure (see `layout`). What can be told apart by identity (lists, arrays,
instances) is numbered at its first occurrence, and a later one refers to that number, so sharing
and cycles come back. Immutable values show no identity: equal ones have equal bytes. No byte
depends on hash seed, machine, Python version or a library's version.

This module is the table of kinds; those beside it fill it. They are loaded by tag from the list
below, never by a name that is read.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cascade_nb.codecs.refusal import UnknownTypeError
from cascade_nb.errors import CodecError

if TYPE_CHECKING:
    from cascade_nb.codecs.reader import Reader
    from cascade_nb.codecs.writer import Writer

# Tags are part of format 1: they are never reused. Each module has a range of them.
BUILTINS, STDLIB, INSTANCES, NUMPY, PANDAS = 0x00, 0x30, 0x60, 0x70, 0x90
ARROW, POLARS, SPARSE, IMAGES, TORCH = 0xC0, 0xD0, 0xD8, 0xE0, 0xE8
REFERENCE, EXTERNAL = 0x01, 0x02

_MODULES = {
    BUILTINS: ("builtin",),
    STDLIB: ("stdlib", "streams", "exceptions", "typenames", "unstorable"),
    INSTANCES: ("instances",),
    NUMPY: ("dtypes", "arrays"),
    PANDAS: ("moments", "columns", "indexes", "frames"),
    ARROW: ("arrow",),
    POLARS: ("polars_frames",),
    SPARSE: ("sparse",),
    IMAGES: ("images",),
    TORCH: ("tensors",),
}
_PACKAGES = {
    "numpy": NUMPY,
    "pandas": PANDAS,
    "pyarrow": ARROW,
    "polars": POLARS,
    "scipy": SPARSE,
    "PIL": IMAGES,
    "torch": TORCH,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """How values of some types are written after their tag, and read again.

    Where `identity` holds, values are numbered and referred to; `read` then calls
    ``reader.reserve()`` first, and ``reader.fill`` with the object as soon as it exists. Where
    that is only after its parts (`late`), no part may refer to it.
    """

    tag: int
    write: Callable[[Writer, Any], None]
    read: Callable[[Reader], Any]
    identity: bool = False
    late: bool = False


by_type: dict[type, Kind] = {}
by_tag: dict[int, Kind] = {}
_resolvers: dict[int, list[Callable[[type], Kind | None]]] = {}


def register(kind: Kind, *types: type) -> Kind:
    """Use `kind` for values of exactly these types, and for its tag."""
    if kind.tag in by_tag:
        raise ValueError(f"tag {kind.tag:#x} is taken")
    by_tag[kind.tag] = kind
    for cls in types:
        by_type[cls] = kind
    return kind


def register_parts(
    tag: int,
    cls: type,
    take: Callable[[Any], tuple[Any, ...]],
    build: Callable[..., Any],
    *types: type | tuple[type, ...],
) -> None:
    """Store values of the immutable `cls` as the parts that `take` gives.

    `build` gets them back only where each has one of the types listed in its place.
    """

    def write(writer: Writer, value: Any) -> None:
        for part in take(value):
            writer.write(part)

    def read(reader: Reader) -> Any:
        return build(*[reader.read_exact(*_as_tuple(expected)) for expected in types])

    register(Kind(tag, write, read), cls)


def register_resolver(first_tag: int, resolver: Callable[[type], Kind | None]) -> None:
    """Ask `resolver` for the kind of types that are not registered themselves.

    A type is shown to the resolvers of the standard library, to those of its own package (which
    have the tags from `first_tag` on), and to those of instances, in this order.
    """
    _resolvers.setdefault(first_tag, []).append(resolver)


def _as_tuple(expected: type | tuple[type, ...]) -> tuple[type, ...]:
    return expected if isinstance(expected, tuple) else (expected,)


def _load(first_tag: int) -> None:
    for module in _MODULES[first_tag]:
        importlib.import_module(f"cascade_nb.codecs.{module}")


def kind_of(cls: type, value: Any) -> Kind:
    """The kind of a type that is met for the first time.

    Raises:
        UnknownTypeError: there is none, so `value` takes the code codec.
    """
    kind = by_type.get(cls)
    if kind is not None:
        return kind
    package = _PACKAGES.get(getattr(cls, "__module__", "").partition(".")[0])
    for first_tag in (STDLIB, package, INSTANCES):
        if first_tag is None:
            continue
        _load(first_tag)
        kind = by_type.get(cls)
        for resolver in _resolvers.get(first_tag, ()):
            kind = kind or resolver(cls)
        if kind is not None:
            return kind
    raise UnknownTypeError(value)


def kind_of_tag(tag: int) -> Kind:
    """The kind of a tag that is met for the first time."""
    first_tag = max(first for first in _MODULES if first <= tag)
    try:
        _load(first_tag)
    except ImportError as error:
        raise CodecError(f"the value is of a library that is not here: {error}") from error
    if tag not in by_tag:
        raise CodecError(f"the encoding has a value of an unknown kind ({tag:#x})")
    return by_tag[tag]
