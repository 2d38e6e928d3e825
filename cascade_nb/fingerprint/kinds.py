"""How values that are not plain are opened: by exact type, by base class, or as instances.

An *opener* takes a value and the walker and gives a head of bytes, which says what kind of value
it is, and the children that are written after it. Libraries' types have their openers in modules
that are imported when the first type of that library is met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from cascade_nb.errors import FingerprintError

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

Opened: TypeAlias = tuple[bytes, Sequence[Any]]
Opener: TypeAlias = Callable[[Any, "Walker"], Opened]


class Kind(NamedTuple):
    """How the values of a type are opened, and whether two equal ones can be told apart by `is`.

    Only what can change, or holds what can, has an identity; values such as dates do not.
    """

    open: Opener
    identity: bool


EXACT: dict[type, Kind] = {}
BASES: dict[type, Kind] = {}


def exactly(*types: type, identity: bool = False) -> Callable[[Opener], Opener]:
    """Make the decorated function the opener of just these types."""

    def register(opener: Opener) -> Opener:
        EXACT.update(dict.fromkeys(types, Kind(opener, identity)))
        return opener

    return register


def derived(*types: type, identity: bool = True) -> Callable[[Opener], Opener]:
    """Make the decorated function the opener of these types and all that derive from them."""

    def register(opener: Opener) -> Opener:
        BASES.update(dict.fromkeys(types, Kind(opener, identity)))
        return opener

    return register


def refuse(*types: type, reason: str) -> None:
    """Give values of these and derived types no fingerprint, for a reason in the user's words."""

    def opener(value: Any, walker: Walker) -> Opened:
        raise FingerprintError(reason)

    BASES.update(dict.fromkeys(types, Kind(opener, identity=True)))


def sorted_state(state: Iterable[tuple[str, Any]]) -> tuple[Any, ...]:
    """Attributes as children, in the order of their names, which says nothing."""
    pairs = sorted(state, key=lambda pair: pair[0])
    return (tuple(name for name, _ in pairs), *(value for _, value in pairs))
