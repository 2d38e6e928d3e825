"""One computation as the engine sees it: what is asked, what came of it, what became of it."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cascade_nb.errors import ConfigurationError
from cascade_nb.records import Entry, Reads


class TaskKind(enum.Enum):
    """What a task's subject is."""

    FUNCTION = "function"
    CELL = "cell"


class Status(enum.Enum):
    """What became of one run; the word stands on badges and in the panel."""

    HIT = "hit"
    MISS = "miss"
    BYPASS = "bypass"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try a body that raises.

    `max_attempts` counts all attempts; `delay` is the pause in seconds before the second one, and
    each further pause is `backoff` times the last.
    """

    max_attempts: int = 3
    delay: float = 0.0
    backoff: float = 2.0

    def __post_init__(self) -> None:
        if isinstance(self.max_attempts, bool) or not isinstance(self.max_attempts, int):
            raise ConfigurationError(f"max_attempts must be a whole number: {self.max_attempts!r}")
        if self.max_attempts < 1:
            raise ConfigurationError(f"max_attempts must be at least 1, not {self.max_attempts}")
        if not (_is_finite(self.delay) and self.delay >= 0):
            raise ConfigurationError(f"delay must be seconds, 0 or more, not {self.delay!r}")
        if not (_is_finite(self.backoff) and self.backoff > 0):
            raise ConfigurationError(f"backoff must be a number above 0, not {self.backoff!r}")


def _is_finite(number: object) -> bool:
    return isinstance(number, int | float) and math.isfinite(number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user asked for about one function or cell; `ttl` is in seconds.

    `reads` are paths and globs whose content is part of the key; names in `ignore` are left out of
    the key, and their values reach no record, log or warning. With `refresh` nothing is looked up,
    but the result is stored.
    """

    ttl: float | None = None
    ignore: frozenset[str] = frozenset()
    version: str | None = None
    reads: tuple[str, ...] = ()
    retry: Retry = Retry(max_attempts=1)
    refresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One computation that may be looked up instead of run.

    `id` is the qualified name and a digest of the code; `inputs` are the bound arguments, or the
    names that a cell reads with their values; `subject` is the function, or the notebook's cell;
    `call` runs the body and gives its value, or a coroutine of it where `asynchronous` says so;
    `memo` is what is known of earlier keys of the subject.
    """

    id: str
    name: str
    kind: TaskKind
    subject: Any
    inputs: Mapping[str, Any]
    call: Callable[[], Any]
    asynchronous: bool = False
    options: Options = field(default_factory=Options)
    memo: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", MappingProxyType(dict(self.inputs)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CellResult:
    """What a cell leaves behind, apart from its definitions.

    `outputs` are the variables it bound or changed in place; `displays` its recorded output and
    `effects` all else that a hit must do again, both as trees of plain data (None, bool, int,
    float, str, bytes, list, dict) that mean something to the notebook room alone.
    """

    outputs: Mapping[str, Any]
    displays: list[Any]
    effects: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task's body gave: the value (of a cell, a `CellResult`), its time and its files.

    `moved` are the names of the global random generators that it has drawn from.
    """

    value: Any
    seconds: float
    reads: Reads = field(default_factory=Reads)
    moved: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Hit:
    """The answer of a policy that has the result; a stored None is ``Hit(None)``.

    `signer` is what people call the one who computed it, where that was not this user.
    """

    value: Any
    entry: Entry | None = None
    reads: Reads = field(default_factory=Reads)
    signer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """The answer of a policy that has no result under `key`; `reason` says why, for people.

    `state` is the policy's own and comes back to it with the outcome. `candidates` are the paths
    that the key names: what lies there counts as read by the body, whoever opens it.
    """

    key: str
    reason: str
    candidates: tuple[str, ...] = ()
    state: Any = None


@dataclass(frozen=True, slots=True)
class Bypass:
    """The answer of a policy that will not look up or not store; `reason` says why."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of one task's run; published on the engine's bus beside the events.

    `seconds` is what this run took, `saved` what a hit saved, both in seconds; `signer` is who
    computed what a hit served, where that was not this user.
    """

    task_id: str
    name: str
    kind: TaskKind
    status: Status
    reason: str = ""
    entry: Entry | None = None
    seconds: float = 0.0
    saved: float = 0.0
    signer: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a lookup would say now, and why; `str()` of it is for people.

    `changes` are the differences from the nearest stored record, in the user's words.
    """

    status: Status
    reason: str
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.status.value}: {self.reason}"
