"""What code reaches, one thing at a time, and how far names are followed to it."""

from __future__ import annotations

from contextvars import ContextVar
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from cascade_nb.fingerprint.code import CodeFacts, facts_of
from cascade_nb.fingerprint.looks import Look, are_same
from cascade_nb.fingerprint.origin import Owner
from cascade_nb.fingerprint.ownership import owner_of_function
from cascade_nb.fingerprint.scopes import CallForm

SCALARS = frozenset({int, float, complex, bool, str, bytes, type(None)})


class Reached(NamedTuple):
    """One thing that code can reach, under the name by which it reaches it.

    Kinds: "helper" and "class" (the user's: to be followed), "module" (one of the user's, as a
    whole), "global", "closure", "default", "attribute" (values), "absent" (nothing has that name
    now), "name" (installed code; the value is its dotted name), "distribution" (the value is
    its version), "environment" (the value is a str, or None). `place` tells where the thing lies,
    equal for two names of one variable; None where that does not matter. `defaults` are those of an
    installed function, which can be changed in place. A value is found again by `look`.
    """

    label: str
    kind: str
    value: Any
    place: tuple[Any, ...] | None = None
    line: int = 0
    call: CallForm = CallForm.OTHER
    defaults: str = ""
    look: Look | None = None


class reading:  # noqa: N801 - a context manager, and quicker than one made of a generator
    """How names are followed inside of a ``with``.

    Nothing is reached by the names in `ignore`, nor by dotted names that begin with one of them.
    Docstrings and annotations count where `documents`; else `asked` tells whether code was met
    that asks about them. So it is with the order of the members of classes and modules, `ordered`
    and `asked_for_order`; `ordered_by_code` tells whether it is code that asks, and no value that
    may be another next time. `attributes` are the names of those that the code met so far uses.
    """

    __slots__ = (
        *("_token", "asked", "asked_for_order", "attributes"),
        *("documents", "ignore", "ordered", "ordered_by_code"),
    )

    def __init__(
        self,
        *,
        ignore: frozenset[str] = frozenset(),
        documents: bool = False,
        ordered: bool = False,
    ) -> None:
        self.ignore = ignore
        self.documents = documents
        self.ordered = ordered
        self.asked = False
        self.asked_for_order = False
        self.ordered_by_code = False
        self.attributes: list[frozenset[str]] = []

    def __enter__(self) -> reading:
        self._token = _reading.set(self)
        return self

    def __exit__(self, *error: object) -> None:
        _reading.reset(self._token)


_reading: ContextVar[reading | None] = ContextVar("_reading", default=None)


def reading_now() -> reading | None:
    """How names are followed now; None where nothing was said of it."""
    return _reading.get()


def is_ignored(name: str, names: frozenset[str]) -> bool:
    """Whether a dotted name is to be left out."""
    if not names:
        return False
    while name:
        if name in names:
            return True
        name = name.rpartition(".")[0]
    return False


# By the id of the code, and holding it: functions that are the user's whatever their namespace.
_users: dict[int, tuple[CodeType, CodeFacts]] = {}


def users_facts(function: FunctionType) -> CodeFacts | None:
    """What is known of a function of the user's; None of anybody else's."""
    code = function.__code__
    known = _users.get(id(code))
    if known is not None:
        return known[1]
    if owner_of_function(function) is not Owner.USER:
        return None
    facts = facts_of(code)
    if not code.co_filename.startswith("<"):
        _users[id(code)] = (code, facts)
    return facts


# By id, and holding the function: its defaults as they were last seen, and their text.
_defaults: dict[int, tuple[Any, Any, Any, str]] = {}


def defaults_of(value: Any) -> str:
    """The plain defaults of an installed function as a text; of others, their types."""
    if type(value) is not FunctionType or not (value.__defaults__ or value.__kwdefaults__):
        return ""
    known = _defaults.get(id(value))
    keywords = value.__kwdefaults__
    if known is not None and known[1] is value.__defaults__ and are_same(known[2], keywords):
        return known[3]
    items = [*enumerate(value.__defaults__ or ()), *sorted((keywords or {}).items())]
    shown = " ".join(
        f"{name}={item!r}" if type(item) in SCALARS else f"{name}:{type(item).__qualname__}"
        for name, item in items
    )
    _defaults[id(value)] = (value, value.__defaults__, keywords and dict(keywords), f" {shown}")
    return f" {shown}"
