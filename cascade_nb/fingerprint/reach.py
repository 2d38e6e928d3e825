"""From a live function, class or module to what it is by itself and what it can reach.

One level at a time, in an order that depends on the code alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from cascade_nb.fingerprint import classes, patches
from cascade_nb.fingerprint.code import Root
from cascade_nb.fingerprint.following import Found
from cascade_nb.fingerprint.looks import Looks
from cascade_nb.fingerprint.normal import digest, text
from cascade_nb.fingerprint.orders import Orders
from cascade_nb.fingerprint.ownership import (
    is_cached,
    is_cached_type,
    is_code,
    is_followed,
    name_of,
)
from cascade_nb.fingerprint.reached import Reached, reading, users_facts
from cascade_nb.fingerprint.risks import Risk
from cascade_nb.fingerprint.scopes import CallForm, Use

__all__ = [
    "Reached",
    "factories_of",
    "is_cached_type",
    "is_code",
    "is_followed",
    "name_of",
    "orders_of",
    "own_digest",
    "reached_by",
    "reached_in",
    "reached_inside",
    "reading",
    "risks_of",
]


def own_digest(obj: Any) -> str:
    """The fingerprint of the code that `obj` itself consists of, without what it reaches."""
    if isinstance(obj, FunctionType):
        facts = users_facts(obj)
        if facts is not None:
            return facts.digest if _has_own_names(obj) else _renamed(obj, facts.digest)
        return digest(b"function", text(name_of(obj)))
    if isinstance(obj, type):
        if is_followed(obj):
            return classes.own_digest(obj)
        return digest(b"class", text(name_of(obj)))
    if isinstance(obj, ModuleType):
        return digest(b"module", text(obj.__name__))
    if is_cached(obj):
        return digest(b"cached")
    if is_followed(obj):
        return digest(b"made", text(type(obj).__module__), text(type(obj).__qualname__))
    if is_code(obj):
        return digest(b"name", text(name_of(obj)))
    return own_digest(type(obj))


def _has_own_names(function: FunctionType) -> bool:
    """Whether a function is called as its code is; decorators may have said otherwise."""
    code = function.__code__
    return (
        function.__name__ == code.co_name
        and function.__qualname__ == code.co_qualname
        and function.__module__ == function.__globals__.get("__name__")
    )


def _renamed(function: FunctionType, code_digest: str) -> str:
    names = (function.__name__, function.__qualname__, str(function.__module__))
    return digest(b"renamed", text(code_digest), *map(text, names))


def reached_by(obj: Any, looks: Looks | None = None) -> list[Reached]:
    """What a function, class, method, module or wrapper can reach, one level deep."""
    found = Found(looks)
    facts = users_facts(obj) if type(obj) is FunctionType else None
    if facts is not None:
        found.users_function(obj, facts)
    elif not is_followed(obj):
        found.installed(name_of(obj).partition(":")[0])
    elif isinstance(obj, FunctionType):
        found.function(obj)
    elif isinstance(obj, type):
        found.class_(obj)
    elif isinstance(obj, ModuleType):
        found.module(obj)
    else:
        found.wrapper(obj)
    return found.kept()


def risks_of(function: Any) -> tuple[Risk, ...]:
    """What no analysis can follow in a function of the user's."""
    facts = users_facts(function) if type(function) is FunctionType else None
    return () if facts is None else facts.risks


def factories_of(item: Reached) -> Iterator[Reached]:
    """The installed code that makes the defaults of a dataclass, wherever this is called."""
    if not isinstance(item.value, type):
        return
    for name, field in vars(item.value).get("__dataclass_fields__", {}).items():
        factory = field.default_factory
        if is_code(factory) and not is_followed(factory):
            known = name_of(factory).replace(":", ".")
            yield Reached(f"name {name}", "name", known, None, item.line, CallForm.BARE)


def orders_of(function: Any) -> Orders:
    """What is known of the sets in a function of the user's."""
    facts = users_facts(function) if type(function) is FunctionType else None
    return Orders() if facts is None else facts.orders


def reached_in(
    namespace: Mapping[str, Any],
    roots: Sequence[Root],
    imports: Sequence[Use] = (),
    environment: Sequence[str] = (),
    attributes: frozenset[str] = frozenset(),
) -> list[Reached]:
    """What the given names mean in `namespace`, that of a cell."""
    found = Found()
    found.names(namespace, roots)
    found.imports(namespace, imports)
    found.environment(environment)
    if attributes:
        found.attributes(attributes)
    return found.kept()


def reached_inside(packages: Collection[str], looks: Looks | None = None) -> list[Reached]:
    """What the code of installed packages can reach of the user's, who has put it there."""
    found = Found(looks)
    for patch in patches.of_packages(packages):
        found.patch(patch)
    return found.kept()
