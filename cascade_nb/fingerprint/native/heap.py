"""What attributes and collections are given in a run, wherever that happens."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from cascade_nb.fingerprint.native import members
from cascade_nb.fingerprint.native.possible import (
    NOTHING,
    Instance,
    Items,
    Row,
    Table,
    Term,
    Values,
    mark,
    of,
    union,
)


class Heap:
    """Attributes by class and name, and further items of collections by where these are made.

    `grown` is true once something was given after it had been asked for.
    """

    def __init__(self) -> None:
        self.grown = False
        self._stored: dict[tuple[Any, str], Values] = {}
        self._asked: set[tuple[Any, str]] = set()
        self._added: dict[int, Values] = {}

    def given_to(self, cls: Any, name: str) -> Values:
        """What the run may have given an attribute."""
        found = []
        for key in ((mark(cls), name), (None, name)):
            self._asked.add(key)
            found.append(self._stored.get(key, NOTHING))
        return union(found)

    def store(self, owners: Values, name: str, value: Values) -> None:
        """An attribute of any of the owners is given a value."""
        keys: set[Any] = set()
        for thing in owners.known:
            users = not isinstance(thing, Term | ModuleType | type) or isinstance(thing, Instance)
            keys.add((mark(members.class_of(thing) if users else thing), name))
        if owners.unknown is not None:
            keys.add((None, name))
        for key in keys:
            before = self._stored.get(key, NOTHING)
            after = union([before, value])
            if after.marks != before.marks:
                self._stored[key] = after
                self.grown |= key in self._asked

    def add_to(self, collections: Values, more: Values) -> None:
        """Collections that the run makes are given more items."""
        for thing in collections.known:
            origin = getattr(thing, "origin", 0) if isinstance(thing, Term) else 0
            if origin:
                before = self._added.get(origin, NOTHING)
                after = union([before, more])
                if after.marks != before.marks:
                    self._added[origin] = after
                    self.grown = True

    def with_added(self, values: Values) -> Values:
        """Collections as they may be by now."""
        if not self._added:
            return values
        origins = [thing.origin for thing in values.known if isinstance(thing, Items | Row | Table)]
        more = [self._added[origin] for origin in origins if origin in self._added]
        return union([values, *(of(Items(added)) for added in more)])
