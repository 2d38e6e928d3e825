"""Finding the opener of a value: registered, by exact type, by base class, or as an instance."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import cascade_nb.fingerprint.stdlib  # noqa: F401 - registers its openers
from cascade_nb.errors import CascadeError, FingerprintError
from cascade_nb.fingerprint.columns import CODES
from cascade_nb.fingerprint.instances import kind_of_instances
from cascade_nb.fingerprint.kinds import BASES, EXACT, Kind, Opened, Opener
from cascade_nb.fingerprint.reach import is_cached_type

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

_REGISTERED: dict[type, Callable[[Any], object]] = {}
_LIBRARIES = {
    "numpy": "cascade_nb.fingerprint.arrays",
    "pandas": "cascade_nb.fingerprint.frames",
    "pyarrow": "cascade_nb.fingerprint.arrow",
    "scipy": "cascade_nb.fingerprint.sparse",
    "polars": "cascade_nb.fingerprint.polars_frames",
    "torch": "cascade_nb.fingerprint.tensors",
}
_loaded: set[str] = set()
_found: WeakKeyDictionary[type, Kind | None] = WeakKeyDictionary()


def register_fingerprint(type_: type, function: Callable[[Any], object]) -> None:
    """Let values of a type, and of types derived from it, count by what `function` gives for them.

    `function(value)` must return something that can be fingerprinted (a tuple of the fields that
    matter, say) and that is equal where the values are interchangeable.

    Example:
        >>> register_fingerprint(Connection, lambda connection: connection.url)  # doctest: +SKIP
    """
    if not isinstance(type_, type):
        raise TypeError(f"register_fingerprint takes a type, not {type_!r}")
    if type_ in CODES:
        raise TypeError(f"{type_.__name__} has a fingerprint of its own")
    if not callable(function):
        raise TypeError(f"register_fingerprint takes a callable, not {function!r}")
    _REGISTERED[type_] = function
    _found.clear()


def kind_of(cls: type) -> Kind | None:
    """How values of type `cls` are opened; None for functions, classes and modules."""
    kind = EXACT.get(cls)
    if kind is not None and not _REGISTERED:
        return kind
    try:
        return _found[cls]
    except KeyError:
        kind = _found[cls] = _find_kind(cls)
        return kind


def _find_kind(cls: type) -> Kind | None:
    for base in cls.__mro__:
        library = base.__module__.partition(".")[0] if isinstance(base.__module__, str) else ""
        if library in _LIBRARIES and library not in _loaded:
            importlib.import_module(_LIBRARIES[library])
            _loaded.add(library)
    for base in cls.__mro__:
        if base in _REGISTERED:
            return Kind(_registered_opener(_REGISTERED[base]), identity=True)
    if cls in EXACT:
        return EXACT[cls]
    if issubclass(cls, (type, FunctionType, ModuleType)) or is_cached_type(cls):
        return None
    for base in cls.__mro__:
        if base in BASES:
            return BASES[base]
    return kind_of_instances(cls)


def _registered_opener(function: Callable[[Any], object]) -> Opener:
    def opener(value: Any, walker: Walker) -> Opened:
        return b"registered", (type(value), function(value))

    return opener


def open_value(value: Any, walker: Walker) -> Opened:
    """The head and the children of a value that is not plain.

    Raises:
        FingerprintError: without a path, which `paths.find_culprit` finds out.
    """
    kind = kind_of(type(value))
    assert kind is not None  # noqa: S101 - definitions are numbered, not opened
    try:
        return kind.open(value, walker)
    except (CascadeError, MemoryError, RecursionError):
        raise
    except Exception as error:
        if type(error).__module__.startswith("cascade_nb.fingerprint."):
            raise
        reason = f"{type(error).__name__} while its state was read"
        raise FingerprintError(reason) from error


def packages_of_types(types: set[type]) -> frozenset[str]:
    """The top-level modules that define the given types."""
    if not types:
        return frozenset()
    modules = {cls.__module__ for cls in types if isinstance(cls.__module__, str)}
    return frozenset(module.partition(".")[0] for module in modules)
