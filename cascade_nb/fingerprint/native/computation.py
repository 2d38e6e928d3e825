"""A computation in which native readers may be called, and what they may be given."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any


class Given(str):
    """A text that a native reader may be given as its path."""

    __slots__ = ()


class Computed(Given):
    """One that is no constant or input, nor several of these one behind the other, as folders."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Computation:
    """What is to be followed.

    Attributes:
        start: the function that is called, or another callable; None where it is a cell.
        arguments: its arguments by name, less those to be ignored.
        reached: the functions and classes of the user's that it can reach.
        tree: the cell's.
        namespace: the cell's.
        labels: of the parts of the key.
        ignored: names that are to be left out.
        packages: top-level modules that are reached.
    """

    start: Any = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reached: Sequence[Any] = ()
    tree: ast.AST | None = None
    namespace: Mapping[str, Any] = field(default_factory=dict)
    labels: Set[str] = frozenset()
    ignored: frozenset[str] = frozenset()
    packages: Set[str] = frozenset()
