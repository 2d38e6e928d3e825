"""Fingerprints of values: 64 hex digits that are equal for equal values alone.

Exact by type and content, the sharing of mutable parts included; the same in every process, on
every machine and under every Python version. Nothing is sampled, and neither `repr` nor addresses
play a part. `cascade_nb.fingerprint.walker` tells the canonical form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import origin
from cascade_nb.fingerprint.form import BudgetExceeded
from cascade_nb.fingerprint.opening import packages_of_types, register_fingerprint
from cascade_nb.fingerprint.paths import find_culprit
from cascade_nb.fingerprint.reach import Reached
from cascade_nb.fingerprint.walker import Walker
from cascade_nb.wording import a

__all__ = [
    "BudgetExceeded",
    "Walked",
    "fingerprint",
    "register_fingerprint",
    "shared_objects",
    "sharing",
    "walk",
]


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk over a value found.

    `mutables` are the objects in it that can be changed (and the owners of its arrays' memory), in
    the order of the walk: those of two values with equal `digest` correspond one to one.
    `packages` are the top-level modules that define the types met, and `distributions` the
    installed ones of them. `definitions` are the functions, classes and modules met, `named` what
    installed code each of them names, or is.
    """

    digest: str
    mutables: tuple[object, ...]
    packages: frozenset[str]
    distributions: frozenset[str]
    definitions: tuple[object, ...] = ()
    named: tuple[tuple[object, Reached], ...] = ()


def walk(value: object, *, path: str = "value", budget: int | None = None) -> Walked:
    """Fingerprint `value` and tell what was met.

    `path` is what the value is called in errors (``argument x``). With a `budget`, in bytes, a
    walk that would hash more is given up before it takes long.

    Raises:
        FingerprintError: something in it has no fingerprint; `path` leads there.
        BudgetExceeded: it is larger than `budget`; each value counts for 64 bytes and its content.
    """
    walker = _walked(value, path, budget)
    packages = packages_of_types(walker.types)
    distributions = {name for top in packages for name, _ in origin.distributions_of(top)}
    return Walked(
        walker.digest().hex(),
        tuple(walker.mutables),
        packages.union(*map(origin.packages_of, walker.distributions)),
        frozenset(walker.distributions | distributions),
        tuple(walker.definitions),
        tuple(walker.named),
    )


def fingerprint(value: object, *, path: str = "value", budget: int | None = None) -> str:
    """The fingerprint of `value`, as 64 hex digits.

    Args:
        value: Anything; functions and classes of the user's count by their code and what it
            reaches, those of installed distributions by their names.
        path: What the value is called in errors.
        budget: Bytes to hash at most; each value counts for 64 and its content.

    Raises:
        FingerprintError: something in it has no fingerprint; `path` leads there.
        BudgetExceeded: it is larger than `budget`.

    Example:
        >>> fingerprint(1) == fingerprint(1.0)
        False
    """
    return _walked(value, path, budget).digest().hex()


def shared_objects(value: object) -> list[object]:
    """The objects in `value` that can be changed, and the owners of its arrays' memory.

    They come in the order of the walk, so that those of two values with equal fingerprints
    correspond one to one. What is reached only through the globals of a function or the body of a
    class is not among them.
    """
    walker = _walked(value, "value", None)
    return walker.mutables[: walker.carried]


def sharing(values: Mapping[str, object]) -> str | None:
    """How several values, by their labels, hold the same things that can be changed.

    None where no change to one of them could be seen in another, whatever memory they have in
    common underneath. With the fingerprint of each value it tells all that there is to tell; the
    content of buffers is not hashed again.

    Raises:
        FingerprintError: something in them has no fingerprint.
    """
    walker = Walker(hashes_buffers=False)
    for label in sorted(values):
        walker.buffer(label.encode("utf-8", "surrogatepass"))
        _run(walker, values[label], label)
    return walker.digest().hex() if walker.shares_parts else None


def _walked(value: object, path: str, budget: int | None) -> Walker:
    walker = Walker(budget=budget)
    _run(walker, value, path)
    return walker


def _run(walker: Walker, value: object, path: str) -> None:
    try:
        walker.run(value)
    except FingerprintError as error:
        if error.path:
            raise
        _blame(value, path, error)
    except RuntimeError as error:
        reason = "it changed while it was read, or is nested too deeply"
        raise FingerprintError(_message(path, value, reason), path=path) from error


def _blame(value: object, path: str, error: FingerprintError) -> NoReturn:
    where, culprit, reason = find_culprit(value, path) or (path, value, str(error))
    raise FingerprintError(_message(where, culprit, reason), path=where) from error


def _message(path: str, culprit: object, reason: str) -> str:
    cls = type(culprit)
    module = "" if cls.__module__ == "builtins" else f"{cls.__module__}."
    return f"{path} ({a(module + cls.__qualname__)}) cannot be fingerprinted: {reason}"
