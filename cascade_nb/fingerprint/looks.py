"""What a walk from a function to all that it reaches looked at, to tell whether it still stands.

As long as each look finds the very same code, another walk would come to the same parts of a key.
Only values may change where they are, so these are looked up and hashed anew each time, and all
that matters here is that a value of the same type lies there still.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

MISSING: Any = object()

# What to call, and with what besides a default, to find a thing again: ``(namespace.get, "name")``.
Look: TypeAlias = tuple[Callable[[Any, Any], Any], Any]


class Looks:
    """The looks of one walk; `whole` tells whether all that counts is among them.

    Things are held, as code is; values are not, so that what the user has dropped is free.
    """

    __slots__ = (
        *("_called", "_classes", "_environment", "_functions", "_names"),
        *("_orders", "_sizes", "_things", "_values"),
        "whole",
    )

    def __init__(self) -> None:
        self.whole = True
        self._things: list[tuple[Callable[[Any, Any], Any], Any, Any]] = []
        self._values: list[tuple[str, Callable[[Any, Any], Any], Any, type]] = []
        self._functions: list[tuple[FunctionType, Any, Any, dict[str, Any] | None, int]] = []
        self._called: list[tuple[FunctionType, str, str, Any]] = []
        self._classes: list[tuple[type, tuple[type, ...], str, str]] = []
        self._sizes: list[tuple[Mapping[str, Any], int]] = []
        self._orders: list[tuple[Mapping[str, Any], tuple[str, ...]]] = []
        self._names: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self._environment: list[tuple[str, str | None]] = []

    def thing(self, look: Look | None, thing: Any) -> None:
        """Code or a module was found there, or nothing, which is `MISSING`."""
        if look is None:
            self.whole = False
        else:
            self._things.append((*look, thing))

    def value(self, label: str, look: Look | None, value: Any) -> None:
        """A value was found there, which is the part `label` of the key."""
        if look is None or not _is_value_by_type(type(value)):
            self.whole = False
        else:
            self._values.append((label, *look, type(value)))

    def function(self, function: FunctionType) -> None:
        """The code and names of a function were taken in, and its defaults were looked at."""
        keywords = function.__kwdefaults__
        keywords = keywords and dict(keywords)
        parts = function.__code__, function.__defaults__, keywords, len(function.__dict__)
        self._functions.append((function, *parts))
        names = function.__name__, function.__qualname__, function.__module__
        self._called.append((function, *names))

    def class_(self, cls: type) -> None:
        """The bases of a class were looked at; its members are things and values."""
        self._classes.append((cls, cls.__bases__, cls.__name__, cls.__qualname__))
        self.size(cls.__dict__)

    def size(self, names: Mapping[str, Any]) -> None:
        """All names in a namespace were looked at."""
        self._sizes.append((names, len(names)))

    def order(self, names: Mapping[str, Any]) -> None:
        """The order of the names in a namespace was looked at."""
        self._orders.append((names, tuple(names)))

    def names(self, names: dict[str, Any]) -> None:
        """All that has a name there was looked at."""
        self._names.append((names, dict(names)))

    def environment(self, name: str, value: str | None) -> None:
        """An environment variable was looked at."""
        self._environment.append((name, value))

    def stand(self) -> bool:
        """Whether each look would find the same code; loops, since it is asked at every call."""
        for get, name, thing in self._things:
            if get(name, MISSING) is not thing:
                return False
        for function, code, defaults, keywords, attributes in self._functions:
            if (
                function.__code__ is not code
                or function.__defaults__ is not defaults
                or len(function.__dict__) != attributes
                or not are_same(function.__kwdefaults__, keywords)
            ):
                return False
        for function, name, qualname, module in self._called:
            if (
                function.__name__ is not name
                or function.__qualname__ is not qualname
                or function.__module__ is not module
            ):
                return False
        for names, size in self._sizes:
            if len(names) != size:
                return False
        for names, order in self._orders:
            if tuple(names) != order:
                return False
        for now, then in self._names:
            if not are_same(now, then):
                return False
        for cls, bases, name, qualname in self._classes:
            if (cls.__bases__, cls.__name__, cls.__qualname__) != (bases, name, qualname):
                return False
        environment = self._environment
        return not environment or all(os.environ.get(name) == v for name, v in environment)

    def values_now(self) -> Iterator[tuple[str, Any]]:
        """The values where they lie now, by label.

        Raises:
            LookupError: one of them is of another type, or gone.
        """
        for label, get, name, kind in self._values:
            value = get(name, MISSING)
            if type(value) is not kind:
                raise LookupError(label)
            yield label, value


def are_same(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Whether both hold the very same values under the same names."""
    if not one or not other:
        return not one and not other
    return one.keys() == other.keys() and all(other[name] is item for name, item in one.items())


def _is_value_by_type(cls: type) -> bool:
    """Whether what is of type `cls` counts as a value, whatever else it is."""
    called = any("__call__" in vars(base) for base in cls.__mro__)
    return not (called or issubclass(cls, type | ModuleType))
