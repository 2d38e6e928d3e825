"""Functions, classes and modules within values: by their code, or by the name of installed ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

from cascade_nb.fingerprint import origin, reach

Places: TypeAlias = dict[tuple[Any, ...], int]

_CARRIED = frozenset({"closure", "default", "attribute"})
_OF_EVERY_CLASS = ("__dict__", "__weakref__", "__slotnames__", "__doc__", "__module__")


class Description(NamedTuple):
    """What a function, class or module is, what it carries, and what its code can reach.

    A function carries its closure, defaults and attributes; through its code it reaches globals and
    helpers, a class its bases and members. `named` is the installed code that it names, or is.
    """

    head: bytes
    carried: Sequence[Any] = ()
    reached: Sequence[Any] = ()
    distributions: frozenset[str] = frozenset()
    named: Sequence[reach.Reached] = ()


def describe(definition: Any, places: Places) -> Description:
    """Describe one definition. `places` numbers the variables that code shares, as they are met."""
    if reach.is_followed(definition):
        return _describe_followed(definition, places)
    module = definition.__name__ if isinstance(definition, ModuleType) else definition.__module__
    distributions = frozenset(
        name for name, _ in origin.distributions_of(module if isinstance(module, str) else "")
    )
    head = b"name\0" + reach.name_of(definition).encode("utf-8", "surrogatepass")
    if isinstance(definition, type) and not _is_importable(definition):
        # Made at run time by the standard library (`make_dataclass`): its name does not say all.
        names = tuple(sorted(set(vars(definition)).difference(_OF_EVERY_CLASS)))
        members = (vars(definition)[name] for name in names)
        return Description(b"made " + head, (), (definition.__bases__, names, *members))
    known = reach.name_of(definition).replace(":", ".")
    return Description(
        head, distributions=distributions, named=[reach.Reached(known, "name", known)]
    )


def _describe_followed(definition: Any, places: Places) -> Description:
    # What lies in a class's body stays there; what a function closes over goes where it goes.
    carries = not isinstance(definition, (type, ModuleType))
    lines = [f"code {reach.own_digest(definition)}"]
    carried: list[Any] = []
    reached: list[Any] = []
    named: list[reach.Reached] = []
    distributions = set()
    for item in reach.reached_by(definition):
        if item.kind == "distribution":
            distributions.add(item.label)
            continue
        if item.kind == "name":
            named.append(item)
        place = "" if item.place is None else places.setdefault(item.place, len(places))
        lines.append(f"{len(item.label)} {item.label} {item.kind} {place}")
        (carried if carries and item.kind in _CARRIED else reached).append(item.value)
    head = "\n".join(lines).encode("utf-8", "surrogatepass")
    return Description(head, carried, reached, frozenset(distributions), named)


def _is_importable(cls: type) -> bool:
    """Whether module and qualified name lead to this very class."""
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    return found is cls


def named_parts(definition: Any) -> list[tuple[str, Any]]:
    """What a definition carries and reaches, each with a label for people."""
    if reach.is_followed(definition):
        return [
            (item.label.rpartition(" ")[2], item.value) for item in reach.reached_by(definition)
        ]
    return [("...", part) for part in describe(definition, {}).reached]
