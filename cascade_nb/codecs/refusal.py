"""Why a value is not stored as a tree, and where in it the culprit is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Packages that move their types between modules.
_VERSIONED = ("numpy", "pandas", "polars", "pyarrow")


class RefusedError(Exception):
    """A value has no exact encoding; containers put their steps on its path as it passes."""

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.type_name = type_name(type(value))
        self.steps: list[str] = []

    @property
    def path(self) -> str:
        """From the value to the culprit, as in ``value['model'].session``."""
        return "value" + "".join(reversed(self.steps))


class UnknownTypeError(RefusedError):
    """A value of a type for which there is no kind: it takes the code codec."""

    def __init__(self, value: object) -> None:
        super().__init__(value, "no data format is known for it")


@contextmanager
def step(text: str) -> Iterator[None]:
    """Name the part of a value that is written inside, for the path of a refusal."""
    try:
        yield
    except RefusedError as refused:
        refused.steps.append(text)
        raise


def type_name(cls: type) -> str:
    """A type's name for people and records, the same for all versions of a known package."""
    package = cls.__module__.partition(".")[0]
    if package == "builtins":
        return cls.__qualname__
    return f"{package if package in _VERSIONED else cls.__module__}.{cls.__qualname__}"


def key_step(key: Any) -> str:
    """A dict key on a path: only keys of simple types, and not too much of them."""
    if isinstance(key, str | int | float | bytes | None):
        text = repr(key)
        return f"[{text if len(text) <= 40 else text[:37] + '...'}]"
    return f"[<{type_name(type(key))}>]"
