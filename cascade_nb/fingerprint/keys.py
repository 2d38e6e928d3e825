"""A key: what a computation is asked under, and the list of reasons for it.

A key is a Merkle hash over parts, each with a label in the user's words: the code, each helper,
class and variable that it reaches, each argument, and what mutable state these share. Everything
is looked up and hashed anew at each call.
"""

from __future__ import annotations

import ast
import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from types import BuiltinFunctionType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import origin, patches, previews, risks, settings
from cascade_nb.fingerprint.following import is_ignored
from cascade_nb.fingerprint.normal import digest, text
from cascade_nb.fingerprint.reach import (
    Reached,
    is_code,
    own_digest,
    reached_by,
    reached_in,
    reached_inside,
    reading,
    risks_of,
)
from cascade_nb.fingerprint.risks import Risk
from cascade_nb.fingerprint.small import small_fingerprint
from cascade_nb.fingerprint.texts import texts_of
from cascade_nb.fingerprint.values import Walked, sharing, walk

if TYPE_CHECKING:
    from cascade_nb.fingerprint.cells import CellCode

__all__ = ["Key", "Risk", "cell_key", "changed_parts", "code_digest", "function_key"]

_FORMAT = b"cascade key 1"
_CODE_KINDS = frozenset({"helper", "class", "module"})
_SESSION_PARTS = ("reads", "environment ")
_SETTINGS = "settings of "


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a computation is asked under.

    `digest` is the key, 64 hex digits, `parts` maps labels ("code", "argument x", "global K",
    "helper clean") to hex digests, `risks` lists what no key can see. `previews()` gives short
    texts of values by label, of none whose name is ignored or looks like a secret's. `texts()`
    gives those in code and values that may be paths of files. `settled` names the libraries whose
    settings count, among the parts or not since they are the defaults.
    """

    digest: str
    parts: Mapping[str, str]
    risks: tuple[Risk, ...]
    previews: Callable[[], Mapping[str, str]] = field(compare=False)
    texts: Callable[[], tuple[str, ...]] = field(compare=False)
    settled: frozenset[str] = field(default=frozenset(), compare=False)


def function_key(
    function: Any,
    arguments: Mapping[str, Any],
    *,
    ignore: frozenset[str] = frozenset(),
    version: str | None = None,
    reads: Sequence[str] = (),
    budget: int | None = None,
) -> Key:
    """The key of a call of `function` with `arguments`, bound and with their defaults.

    Args:
        function: a function, method, class, partial or other callable.
        arguments: values by the names of their parameters.
        ignore: names of arguments and globals that are left out everywhere.
        version: any text of the user's.
        reads: paths, folders and globs whose content is part of the key.
        budget: bytes that may be hashed for one part before `BudgetExceeded` is raised.

    Raises:
        FingerprintError: something that can be reached has no fingerprint.
        BudgetExceeded: it would take long; to be called again in a thread, without a budget.
    """

    def take_in(assembly: _Assembly) -> None:
        assembly.root(function)
        for name, value in arguments.items():
            if name not in ignore:
                assembly.value(f"argument {name}", value)

    assembly = _assembled(take_in, ignore, budget)
    if assembly.packages:
        assembly.take_settings()
    return assembly.key(version, reads)


def cell_key(
    code: CellCode,
    namespace: Mapping[str, Any],
    *,
    inputs: frozenset[str] | None = None,
    ignore: frozenset[str] = frozenset(),
    version: str | None = None,
    reads: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
    seeded: bool = False,
    budget: int | None = None,
) -> Key:
    """The key of a cell's run in `namespace`.

    Args:
        code: the analysed cell.
        namespace: the session's globals.
        inputs: where given, the only names whose values count; code is followed all the same.
        ignore: names that are left out everywhere.
        version: any text of the user's.
        reads: paths, folders and globs whose content is part of the key.
        extra: further values that count, by label.
        seeded: whether the global random generators are, so that draws from them are no risk.
        budget: as for `function_key`, whose errors these are too.
    """

    def take_in(assembly: _Assembly) -> None:
        assembly.parts["code"] = code.digest
        assembly.tree, assembly.namespace = code.tree, namespace
        assembly.risks += code.risks
        if seeded:
            assembly.seeded.update(risks.SEEDS.values())
        found = reached_in(namespace, code.roots, code.imports, code.environment, code.attributes)
        for item in found:
            name = item.label.partition(" ")[2]
            if item.kind == "global" and inputs is not None and name not in inputs:
                continue
            assembly.take("cell", item)
        for name in sorted(code.conditional):
            if not is_ignored(name, ignore):
                assembly.bind("cell", f"exists {name}", str(name in namespace))
        for label, value in (extra or {}).items():
            assembly.value(label, value)

    documents = code.reads_documents
    assembly = _assembled(take_in, ignore, budget, documents=documents, thorough=True)
    return assembly.key(version, reads)


def _assembled(
    take_in: Callable[[_Assembly], None],
    ignore: frozenset[str],
    budget: int | None,
    *,
    documents: bool = False,
    thorough: bool = False,
) -> _Assembly:
    """What `take_in` begins with and all that follows from it.

    Where any code in it asks about docstrings or annotations, all of them count. What the user has
    put on installed classes is looked for where such may be met.
    """
    assembly = _Assembly(budget)
    with reading(ignore=ignore, documents=documents) as state:
        take_in(assembly)
        assembly.follow()
        patched = bool(assembly.packages)
        while patched and not state.asked:
            names = frozenset().union(*state.attributes)
            if patches.find(assembly.packages, names, thorough=thorough):
                return _assembled(take_in, ignore, budget, documents=documents, thorough=thorough)
            patched = assembly.take_patches()
    if state.asked:
        return _assembled(take_in, ignore, budget, documents=True, thorough=thorough)
    return assembly


def key_from_parts(
    parts: Mapping[str, str],
    *,
    risks: tuple[Risk, ...] = (),
    previews: Callable[[], Mapping[str, str]] = dict,
    texts: Callable[[], tuple[str, ...]] = tuple,
    settled: frozenset[str] = frozenset(),
) -> Key:
    """The key made of `parts`, hex digests by label, in whatever order."""
    joined = "".join(sorted(label + "\0" + part for label, part in parts.items()))
    hasher = blake3(_FORMAT)
    hasher.update(joined.encode("utf-8", "surrogatepass"))
    return Key(
        digest=hasher.hexdigest(),
        parts=parts,
        risks=risks,
        previews=previews,
        texts=texts,
        settled=settled,
    )


class _Assembly:
    """A key in the making."""

    def __init__(self, budget: int | None) -> None:
        self.parts: dict[str, str] = {}
        self.risks: list[Risk] = []
        self.tree: ast.Module | None = None
        # Of the cell, where it is one.
        self.namespace: Mapping[str, Any] = {}
        self._budget = budget
        self.packages: set[str] = set()
        self._queue: list[tuple[str, Any]] = []
        self._followed = 0
        self._labels: dict[Any, str] = {}
        self._bindings: list[str] = []
        self._mutables: dict[int, list[str]] = {}
        self._walked: list[Walked] = []
        self._values: dict[str, Any] = {}
        self._draws: dict[str, list[Risk]] = {}
        self.seeded: set[str] = set()
        self._settled: frozenset[str] = frozenset()

    def root(self, function: Any) -> None:
        """Begin with what is called."""
        if is_code(function):
            self._labels[id(function)] = "code"
            self.parts["code"] = own_digest(function)
            self._queue.append(("code", function))
        else:
            # A callable of a class of one's own: its state counts, and through it its class.
            self.value("code", function)

    def follow(self) -> None:
        """Take in all that what is queued can reach."""
        while self._followed < len(self._queue):
            label, code = self._queue[self._followed]
            self._followed += 1
            self.risks += risks_of(code)
            for item in reached_by(code):
                self.take(label, item)

    def take_patches(self) -> bool:
        """Take in what the user has put into the packages met so far; whether it was anything."""
        known = len(self._queue), len(self._values), len(self.packages)
        for item in reached_inside(self.packages):
            self.take("packages", item)
        self.follow()
        return known != (len(self._queue), len(self._values), len(self.packages))

    def take_settings(self) -> None:
        """Take in the settings of the libraries met that are not the defaults."""
        found: dict[str, dict[str, Any]] = {}
        concerned = settings.concerning(self.packages)
        for each in concerned:
            if changed := each.changed():
                found.setdefault(each.package, {}).update(changed)
        for package, changed in found.items():
            self.value(f"{_SETTINGS}{package}", changed)
        self._settled = frozenset(each.package for each in concerned)

    def take(self, source: str, item: Reached) -> None:
        """Take in one thing that the code labelled `source` reaches."""
        kind = item.kind
        if kind in _CODE_KINDS:
            target = self._labels.get(id(item.value))
            if target is None:
                target = self._free(item.label, item.value)
                self._labels[id(item.value)] = target
                self.parts[target] = own_digest(item.value)
                self._queue.append((target, item.value))
        elif kind == "name":
            target = item.value
            self.packages.add(target.partition(".")[0])
            self._name(item)
            target += item.defaults
        elif kind == "distribution":
            self.packages |= origin.packages_of(item.label)
            self.parts[f"distribution {item.label}"] = _text_digest(item.value)
            self._values[f"distribution {item.label}"] = item.value
            return
        elif kind == "environment":
            target = f"environment {item.label}"
            present = "absent" if item.value is None else f"present {item.value}"
            self.parts[target] = _text_digest(present)
            self._values[target] = item.value
        elif kind == "absent":
            target = item.label
            self.parts[target] = _text_digest("absent")
        else:
            known = None if item.place is None else self._labels.get(item.place)
            target = known or self._free(item.label, item.value)
            if known is None:
                if item.place is not None:
                    self._labels[item.place] = target
                self.value(target, item.value)
        self.bind(source, item.label, target)

    def bind(self, source: str, name: str, target: str) -> None:
        """Note what a name in the code labelled `source` means."""
        self._bindings += (source, name, target)

    def _name(self, item: Reached) -> None:
        name = item.value
        seeds = risks.SEEDS.get(name)
        if seeds is not None:
            self.seeded.add(seeds)
        message = risks.of_name(name, call=item.call)
        if message is not None:
            risk = Risk(line=item.line, name=name, message=message)
            generator = risks.generator_of(name)
            if generator is None:
                self.risks.append(risk)
            else:
                self._draws.setdefault(generator, []).append(risk)

    def _free(self, label: str, value: Any) -> str:
        """A label that no part has yet: qualified by the module where two would clash."""
        if label not in self.parts:
            return label
        module = getattr(value, "__module__", None)
        kind, _, name = label.partition(" ")
        if isinstance(module, str):
            label = f"{kind} {module}.{name}"
        number, free = 1, label
        while free in self.parts:
            number += 1
            free = f"{label} ({number})"
        return free

    def value(self, label: str, value: Any) -> None:
        """Take in a value as the part `label`."""
        known = small_fingerprint(value)
        if known is not None:
            self.parts[label] = known
            self._values[label] = value
            if type(value) is list:
                self._mutables.setdefault(id(value), []).append(label)
            return
        try:
            walked = walk(value, path=label, budget=self._budget)
        except FingerprintError as error:
            raise _explained(error, label, value) from error
        self.parts[label] = walked.digest
        self.packages |= walked.packages
        self._values[label] = value
        if walked.distributions:
            for name in walked.distributions:
                version = origin.version_of(name)
                self.parts[f"distribution {name}"] = _text_digest(version)
                self._values[f"distribution {name}"] = version
        # Kept until the key is made: an address must not be taken by another object meanwhile.
        self._walked.append(walked)
        for mutable in walked.mutables:
            self._mutables.setdefault(id(mutable), []).append(label)

    def key(self, version: str | None, reads: Sequence[str]) -> Key:
        """The key of all that was taken in."""
        parts = self.parts
        parts["names"] = _list_digest(self._bindings)
        labels = _that_share(self._mutables.values())
        if labels:
            how = sharing({label: self._values[label] for label in labels})
            if how is not None:
                parts["sharing"] = how
        parts["python"] = _PYTHON
        if version is not None:
            parts["version"] = _text_digest(version)
        if reads:
            parts["reads"] = reads_digest(reads)
            self.risks = [risk for risk in self.risks if risk.message not in risks.ENDED_BY_READS]
        for generator, found in self._draws.items():
            if generator not in self.seeded:
                self.risks += found
        if self.risks:
            self.risks = list(self._risks_here())
        values, queue = self._values, self._queue
        return key_from_parts(
            parts,
            risks=tuple(dict.fromkeys(self.risks)),
            previews=lambda: previews.of_values(values),
            texts=lambda: texts_of(
                _codes_in(queue), values, self.tree, readers=_readers_in(queue, self.namespace)
            ),
            settled=self._settled,
        )

    def _risks_here(self) -> Iterator[Risk]:
        """The risks, less those in packages that are not reached or under another name too."""
        named = {(risk.line, risk.message) for risk in self.risks if not risk.package}
        for risk in self.risks:
            known = (risk.line, risk.message) in named
            if not risk.package or (risk.package in self.packages and not known):
                yield risk


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


def _readers_in(queue: Sequence[tuple[str, Any]], namespace: Mapping[str, Any]) -> set[str]:
    """What native readers are called in the namespaces that the code uses."""
    spaces: list[Mapping[str, Any]] = [namespace]
    for _, code in queue:
        if isinstance(code, FunctionType):
            spaces.append(code.__globals__)
            closure = zip(code.__code__.co_freevars, code.__closure__ or (), strict=True)
            with suppress(ValueError):  # an empty cell
                spaces.append({name: cell.cell_contents for name, cell in closure})
    return {
        name
        for space in {id(space): space for space in spaces}.values()
        for name, value in list(space.items())
        if isinstance(value, FunctionType | BuiltinFunctionType | type)
        and value.__name__ in risks.NATIVE_READERS
        and risks.is_native_reader(f"{value.__module__}.{value.__name__}")
    }


@lru_cache(maxsize=4096)
def _text_digest(value: str) -> str:
    return digest(b"text", text(value))


_PYTHON = _text_digest(f"{sys.version_info.major}.{sys.version_info.minor}")


def _list_text(items: Iterable[str]) -> bytes:
    return b"".join(map(text, items))


def _list_digest(items: Iterable[str]) -> str:
    return _tuple_digest(tuple(items))


@lru_cache(maxsize=4096)
def _tuple_digest(items: tuple[str, ...]) -> str:
    return digest(b"list", _list_text(items))


def reads_digest(reads: Sequence[str]) -> str:
    """Names and contents of the files that paths, folders and globs name now.

    Raises:
        FingerprintError: one of them cannot be read.
    """
    forms: list[bytes] = []
    for pattern in sorted(set(reads)):
        forms.append(text(pattern))
        for path in _files_of(os.path.expanduser(pattern)):
            relative = os.path.relpath(path) if os.path.isabs(path) else os.path.normpath(path)
            forms += [text(relative.replace(os.sep, "/")), text(_file_digest(path))]
    return digest(b"reads", *forms)


def _files_of(pattern: str) -> list[str]:
    found: list[str] = []
    paths = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
    for path in paths:
        if not os.path.isdir(path):
            found.append(path)
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            found += [os.path.join(folder, name) for name in names]
    return sorted(set(found))


def _file_digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            hasher = blake3()
            while chunk := file.read(1 << 20):
                hasher.update(chunk)
    except OSError as error:
        raise FingerprintError(f"{path} is named in reads and cannot be read: {error}") from error
    return hasher.hexdigest()


def code_digest(function: Any) -> str:
    """The fingerprint of a function's own code, without what it reaches."""
    return own_digest(function)


def changed_parts(before: Key, after: Key) -> list[str]:
    """The labels of the parts that differ, but for files and environment: what a run changed.

    That the settings of a library count, since the run has loaded code that uses it, is no change.
    """
    labels = sorted(before.parts.keys() | after.parts.keys())
    return [
        label
        for label in labels
        if before.parts.get(label) != after.parts.get(label)
        and not label.startswith(_SESSION_PARTS)
        and not (
            label.startswith(_SETTINGS) and label.removeprefix(_SETTINGS) not in before.settled
        )
    ]
