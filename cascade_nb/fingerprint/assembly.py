"""A key in the making: what code leads to, found level by level, and the values that lie there.

What was found once can be taken up again, since it holds no values: these are looked up where they
are now and hashed anew.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import lru_cache
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import origin, previews, risks, settings
from cascade_nb.fingerprint.findings import Exposure, Findings
from cascade_nb.fingerprint.lines import Lines, lines_of
from cascade_nb.fingerprint.native.computation import Computation
from cascade_nb.fingerprint.native.readers import CONCERN
from cascade_nb.fingerprint.normal import digest, text
from cascade_nb.fingerprint.ordering import Ordering, Piece
from cascade_nb.fingerprint.orders import Orders
from cascade_nb.fingerprint.reach import (
    Reached,
    factories_of,
    is_code,
    is_followed,
    orders_of,
    own_digest,
    reached_by,
    reached_inside,
    risks_of,
)
from cascade_nb.fingerprint.risks import Risk
from cascade_nb.fingerprint.small import small_fingerprint
from cascade_nb.fingerprint.source import find_source
from cascade_nb.fingerprint.texts import texts_of
from cascade_nb.fingerprint.values import Walked, sharing, walk

if TYPE_CHECKING:
    from cascade_nb.fingerprint.native.reading import Reading

_CODE_KINDS = frozenset({"helper", "class", "module"})
SETTINGS = "settings of "
# Methods whose answer depends on the local time zone, where packages are reached that have them.
_LOCAL_TIME = frozenset({"fromtimestamp", "timestamp", "astimezone", "mktime", "tzlocal"})
_TIMES = frozenset({"datetime", "time", "pandas", "dateutil", "email"})


class Assembly:
    """A key in the making.

    Args:
        budget: bytes that may be hashed for one value.
        found: what an earlier walk over the same code has found; by default nothing so far.
        ignored: names that are left out.
    """

    def __init__(
        self,
        budget: int | None,
        found: Findings | None = None,
        *,
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        self.found = Findings() if found is None else found
        # What is called, or the cell.
        self.start: Any = None
        self.arguments: Mapping[str, Any] = {}
        self.tree: ast.Module | None = None
        self.namespace: Mapping[str, Any] = {}
        self.packages = set(self.found.packages)
        self.settled: frozenset[str] = frozenset()
        # The names of attributes that the code met so far uses.
        self.attributes: Sequence[frozenset[str]] = ()
        self._budget = budget
        self._ignored = ignored
        self._followed = 0
        self._labels: dict[Any, str] = {}
        self._digests: dict[str, str] = {}
        self._values: dict[str, Any] = {}
        self._mutables: dict[int, list[str]] = {}
        self._walked: list[Walked] = []
        self._exposure: Exposure | None = None

    # What code leads to

    def root(self, function: Any) -> None:
        """Begin with what is called."""
        if is_code(function):
            self._labels[id(function)] = "code"
            self.found.parts["code"] = own_digest(function)
            self.found.queue.append(("code", function))
        else:
            # A callable of a class of one's own: its state counts, and through it its class.
            self.found.looks.whole = False
            self.value("code", function)

    def follow(self) -> None:
        """Take in all that what is queued can reach."""
        found = self.found
        while self._followed < len(found.queue):
            label, code = found.queue[self._followed]
            self._followed += 1
            found.risks += risks_of(code)
            found.pieces += _piece_of(label, code)
            for item in reached_by(code, found.looks):
                self.take(label, item)

    def take_patches(self) -> bool:
        """Take in what the user has put into the packages met so far; whether it was anything."""
        known = len(self.found.queue), len(self._values), len(self.packages)
        for item in reached_inside(self.packages, self.found.looks):
            self.take("packages", item)
        self.follow()
        return known != (len(self.found.queue), len(self._values), len(self.packages))

    def take(self, source: str, item: Reached) -> None:
        """Take in one thing that the code labelled `source` reaches."""
        kind, found = item.kind, self.found
        if kind in _CODE_KINDS:
            target = self._labels.get(id(item.value))
            if target is None:
                target = self._free(item.label, item.value)
                self._labels[id(item.value)] = target
                found.parts[target] = own_digest(item.value)
                found.queue.append((target, item.value))
                for factory in factories_of(item):
                    found.name(factory)
        elif kind == "name":
            target = item.value
            self._package(target.partition(".")[0])
            found.name(item)
            target += item.defaults
        elif kind == "distribution":
            for package in origin.packages_of(item.label):
                self._package(package)
            found.parts[f"distribution {item.label}"] = text_digest(item.value)
            found.versions[f"distribution {item.label}"] = item.value
            return
        elif kind == "environment":
            target = f"environment {item.label}"
            present = "absent" if item.value is None else f"present {item.value}"
            found.parts[target] = text_digest(present)
            found.versions[target] = item.value
        elif kind == "absent":
            target = item.label
            found.parts[target] = text_digest("absent")
        else:
            known = None if item.place is None else self._labels.get(item.place)
            target = known or self._free(item.label, item.value)
            if known is None:
                if item.place is not None:
                    self._labels[item.place] = target
                found.looks.value(target, item.look, item.value)
                self.value(target, item.value)
        self.bind(source, item.label, target)

    def bind(self, source: str, name: str, target: str) -> None:
        """Note what a name in the code labelled `source` means."""
        self.found.bindings += (source, name, target)

    def _package(self, name: str) -> None:
        self.found.packages.add(name)
        self.packages.add(name)

    def _free(self, label: str, value: Any) -> str:
        """A label that no part has yet: qualified by the module where two would clash."""
        if not self._is_part(label):
            return label
        module = getattr(value, "__module__", None)
        kind, _, name = label.partition(" ")
        if isinstance(module, str):
            label = f"{kind} {module}.{name}"
        number, free = 1, label
        while self._is_part(free):
            number += 1
            free = f"{label} ({number})"
        return free

    def _is_part(self, label: str) -> bool:
        return label in self.found.parts or label in self._digests

    # Values

    def value(self, label: str, value: Any) -> None:
        """Take in a value as the part `label`.

        Raises:
            FingerprintError: it has no fingerprint.
            BudgetExceeded: it is larger than the budget.
        """
        known = small_fingerprint(value)
        if known is not None:
            self._digests[label] = known
            self._values[label] = value
            if type(value) is list:
                self._mutables.setdefault(id(value), []).append(label)
            return
        try:
            walked = walk(value, path=label, budget=self._budget)
        except FingerprintError as error:
            raise _explained(error, label, value) from error
        self._digests[label] = walked.digest
        self.packages |= walked.packages
        self._values[label] = value
        if walked.distributions:
            for name in walked.distributions:
                version = origin.version_of(name)
                self._digests[f"distribution {name}"] = text_digest(version)
                self._values[f"distribution {name}"] = version
        # Kept until the key is made: an address must not be taken by another object meanwhile.
        self._walked.append(walked)
        for mutable in walked.mutables:
            self._mutables.setdefault(id(mutable), []).append(label)

    def take_settings(self) -> None:
        """Take in the settings of the libraries met that are not the defaults."""
        found: dict[str, dict[str, Any]] = {}
        concerned = settings.concerning(self.packages)
        for each in concerned:
            if changed := each.changed():
                found.setdefault(each.package, {}).update(changed)
        for package, changed in found.items():
            self.value(f"{SETTINGS}{package}", changed)
        self.settled = frozenset(each.package for each in concerned)

    # What comes of it

    def parts(self) -> dict[str, str]:
        """The parts of the key by label."""
        parts = self.found.parts | self._digests
        parts["names"] = self.found.names()
        labels = _that_share(self._mutables.values())
        if labels:
            how = sharing({label: self._values[label] for label in labels})
            if how is not None:
                parts["sharing"] = how
        parts["python"] = _PYTHON
        if self._asks_for_local_time():
            zone = (*time.tzname, str(time.timezone), str(time.altzone))
            parts["time zone"] = text_digest(" ".join(zone))
        return parts

    def _asks_for_local_time(self) -> bool:
        if self._exposed().local_time:
            return True
        return not self.packages.isdisjoint(_TIMES) and any(
            not _LOCAL_TIME.isdisjoint(names) for names in self.attributes
        )

    def risks(self) -> Iterator[Risk]:
        """What no key can see, less what lies in packages that are not reached."""
        found = self._exposed()
        risks = [*found.risks, *self._ordering().risks(self._values)]
        if not risks and not found.draws:
            return
        for generator, draws in found.draws.items():
            if generator not in found.seeded:
                risks += draws
        # One of a package comes last: it is left out where the same is known under another name.
        # So is one of no line, as of code in values, where a line is known.
        said: set[tuple[int, str]] = set()
        placed = {(risk.name, risk.message) for risk in risks if risk.line and not risk.package}
        for risk in sorted(risks, key=lambda risk: bool(risk.package)):
            if not risk.line and (risk.name, risk.message) in placed:
                continue
            if (risk.line, risk.message) not in said and self._concerns(risk):
                said.add((risk.line, risk.message))
                yield risk

    def _concerns(self, risk: Risk) -> bool:
        """Whether the package is met that a risk is of, and not seeded where it is of drawing."""
        package = risk.package
        seeded = risk.message == risks.DRAW and package in self._exposed().seeded
        return not package or (package in self.packages and not seeded)

    def generators(self) -> frozenset[str]:
        """The global random generators that are seeded, or that are drawn from, which is a risk."""
        found = self._exposed()
        return frozenset(found.seeded | found.draws.keys())

    def reads_natively(self) -> bool:
        """Whether any native reader is reached."""
        return not self._exposed().roles.isdisjoint(CONCERN)

    def reading(self, labels: Set[str]) -> Reading:
        """What native readers are given; `labels` are those of the parts of the key."""
        from cascade_nb.fingerprint.native.reading import Reading

        return Reading(
            Computation(
                start=self.start,
                arguments=self.arguments,
                reached=[*(code for _, code in self.found.queue), *self._definitions()],
                tree=self.tree,
                namespace=self.namespace,
                labels=labels,
                ignored=self._ignored,
                packages=self.packages,
            )
        )

    def _definitions(self) -> list[Any]:
        """The functions, classes and modules in values."""
        return [each for walked in self._walked for each in walked.definitions]

    def _ordering(self) -> Ordering:
        """The sets whose order code takes, that in values included."""
        pieces = [piece for each in self._definitions() for piece in _piece_of("", each)]
        return self.found.ordering(pieces)

    def _exposed(self) -> Exposure:
        """The exposure of all code, that in values included."""
        if self._exposure is None:
            definitions = self._definitions()
            self._exposure = self._with(definitions) if definitions else self.found
        return self._exposure

    def _with(self, definitions: Sequence[Any]) -> Exposure:
        """With that of code in values, less methods that nobody names."""
        known = self.found
        draws = {generator: list(risks) for generator, risks in known.draws.items()}
        found = Exposure(
            list(known.risks), draws, set(known.seeded), set(known.roles), known.local_time
        )
        idle = set(map(id, _methods_but(frozenset().union(*self.attributes), definitions)))
        for definition in definitions:
            if id(definition) not in idle:
                found.risks += risks_of(definition)
        for walked in self._walked:
            for definition, item in walked.named:
                if id(definition) not in idle:
                    found.name(item)
        return found

    def previews(self) -> Mapping[str, str]:
        """Short texts of the values, by label."""
        return previews.of_values(self._all_values())

    def lines(self) -> Mapping[str, Lines]:
        """The lines of the code of the user's that has a source, by label."""
        found: dict[str, Lines] = {} if self.tree is None else {"code": lines_of(self.tree)}
        for label, code in self.found.queue:
            piece = find_source(code.__code__) if isinstance(code, FunctionType) else None
            if piece is not None:
                found[label] = lines_of(piece.node)
        return found

    def texts(self, reading: Reading | None) -> tuple[str, ...]:
        """The texts in code and values that may be paths of files."""
        codes = _codes_in(self.found.queue)
        return texts_of(codes, self._all_values(), self.tree, reading=reading)

    def _all_values(self) -> dict[str, Any]:
        return self.found.versions | self._values


def _that_share(places: Iterable[list[str]]) -> set[str]:
    """The labels of parts that have an object in common, a function's own defaults not counted.

    A call with its default left out and one that gives an equal value share a key.
    """
    sharing_labels: set[str] = set()
    for labels in places:
        if len(labels) > 1:
            found = set(labels)
            found -= {f"default {label.removeprefix('argument ')}" for label in labels}
            if len(found) > 1:
                sharing_labels |= found
    return sharing_labels


def _explained(error: FingerprintError, label: str, value: Any) -> FingerprintError:
    kind, _, name = label.partition(" ")
    root = name.partition(".")[0] if kind in ("global", "closure") else name
    ignorable = kind in ("argument", "global", "closure", "default")
    message = str(error)
    if ignorable and "ignore=" not in message:
        message = f"{message}; leave it out with ignore=[{root!r}]"
    return FingerprintError(message, path=error.path, ignore=root if ignorable else None)


def _codes_in(queue: Sequence[tuple[str, Any]]) -> Iterator[CodeType]:
    for _, code in queue:
        if isinstance(code, FunctionType):
            yield code.__code__


def _methods_but(names: Set[str], definitions: Iterable[Any]) -> Iterator[FunctionType]:
    """The methods of classes that have no installed code to call them, less those of `names`."""
    for cls in definitions:
        if isinstance(cls, type) and all(b is object or is_followed(b) for b in cls.__mro__):
            for name, member in vars(cls).items():
                if type(member) is FunctionType and name not in names and not name.startswith("__"):
                    yield member


def _piece_of(label: str, code: Any) -> Iterator[Piece]:
    orders = orders_of(code)
    if orders != _NO_ORDERS:
        yield Piece(label, code.__qualname__, orders)


_NO_ORDERS = Orders()


@lru_cache(maxsize=4096)
def text_digest(value: str) -> str:
    """The digest of a text that is a part by itself."""
    return digest(b"text", text(value))


_PYTHON = text_digest(f"{sys.version_info.major}.{sys.version_info.minor}")
