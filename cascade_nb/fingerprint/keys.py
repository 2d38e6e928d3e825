"""A key: what a computation is asked under, and the list of reasons for it.

A key is a Merkle hash over parts, each with a label in the user's words: the code, each helper,
class and variable that it reaches, each argument, and what mutable state these share. Everything
is looked up anew at each call, and all values are hashed anew.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import patches, risks
from cascade_nb.fingerprint.assembly import SETTINGS, Assembly, text_digest
from cascade_nb.fingerprint.changes import Account
from cascade_nb.fingerprint.findings import Findings
from cascade_nb.fingerprint.lines import Lines
from cascade_nb.fingerprint.normal import digest, text
from cascade_nb.fingerprint.ordering import Piece
from cascade_nb.fingerprint.reach import own_digest, reached_in, reading
from cascade_nb.fingerprint.reached import is_ignored
from cascade_nb.fingerprint.risks import Risk

if TYPE_CHECKING:
    from cascade_nb.fingerprint.cells import CellCode
    from cascade_nb.fingerprint.native.reading import Reading

__all__ = ["Key", "Memo", "Risk", "cell_key", "changed_parts", "code_digest", "function_key"]

_FORMAT = b"cascade key 1"
_MOST_KNOWN = 4096
_SESSION_PARTS = ("reads", "environment ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What a computation is asked under.

    `digest` is the key, 64 hex digits, `parts` maps labels ("code", "argument x", "global K",
    "helper clean") to hex digests, `risks` lists what no key can see. `previews()` gives short
    texts of values by label, of none whose name is ignored or looks like a secret's, `lines()` the
    lines of code. `texts()` gives those in code and values that may be paths of files. `settled`
    names the libraries whose settings count, among the parts or not since they are the defaults;
    `generators` the global random generators that the code is known to seed, or to draw from, which
    is among the risks.
    """

    digest: str
    parts: Mapping[str, str]
    risks: tuple[Risk, ...]
    previews: Callable[[], Mapping[str, str]] = field(compare=False)
    lines: Callable[[], Mapping[str, Lines]] = field(compare=False)
    texts: Callable[[], tuple[str, ...]] = field(compare=False)
    settled: frozenset[str] = field(default=frozenset(), compare=False)
    generators: frozenset[str] = field(default=frozenset(), compare=False)

    def account(self) -> Account:
        """What the key is made of, for people."""
        return Account(self.parts, self.previews(), self.lines())


class Memo:
    """What the last key of one function was made of, for the next one.

    A walk to all that the function reaches is spared where it would find the same code.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: _Known | None = None

    def recall(
        self,
        function: Any,
        arguments: Mapping[str, Any],
        ignore: frozenset[str],
        budget: int | None,
    ) -> Assembly | None:
        """What a walk from `function` would come to now; None where it has to be made.

        Raises the errors of `function_key`.
        """
        known = self._known
        if known is None or known.function is not function or known.ignore != ignore:
            return None
        found = known.found
        if not found.looks.stand() or known.patches != patches.known_by_now():
            return None
        assembly = Assembly(budget, found, ignored=ignore)
        with reading(ignore=ignore, ordered=known.ordered) as state:
            assembly.attributes = state.attributes
            state.attributes.append(known.attributes)
            _take_arguments(assembly, arguments, ignore)
            try:
                for label, value in found.looks.values_now():
                    assembly.value(label, value)
            except LookupError:
                return None
        if state.asked or state.asked_for_order or assembly.packages != known.packages:
            return None
        if assembly.packages:
            names = frozenset().union(*state.attributes)
            if patches.find(assembly.packages, names):
                return None
        return assembly

    def keep(
        self, function: Any, ignore: frozenset[str], assembly: Assembly, state: reading
    ) -> None:
        """Remember what a walk has come to, where all that it depends on was noted."""
        self._known = None
        lasting = not state.documents and state.ordered == state.ordered_by_code
        if assembly.found.looks.whole and lasting:
            self._known = _Known(
                function=function,
                ignore=ignore,
                found=assembly.found,
                packages=frozenset(assembly.packages),
                attributes=frozenset().union(*state.attributes),
                patches=patches.known_by_now(),
                ordered=state.ordered,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The outcome of a walk, with all packages that were met, those of values included."""

    function: Any
    ignore: frozenset[str]
    found: Findings
    packages: frozenset[str]
    attributes: frozenset[str]
    patches: tuple[int, int]
    ordered: bool


def function_key(
    function: Any,
    arguments: Mapping[str, Any],
    *,
    ignore: frozenset[str] = frozenset(),
    version: str | None = None,
    reads: Sequence[str] = (),
    budget: int | None = None,
    memo: Memo | None = None,
) -> Key:
    """The key of a call of `function` with `arguments`, bound and with their defaults.

    Args:
        function: a function, method, class, partial or other callable.
        arguments: values by the names of their parameters.
        ignore: names of arguments and globals that are left out everywhere.
        version: any text of the user's.
        reads: paths, folders and globs whose content is part of the key.
        budget: bytes that may be hashed for one part before `BudgetExceeded` is raised.
        memo: what is known of earlier keys of this function.

    Raises:
        FingerprintError: something that can be reached has no fingerprint.
        BudgetExceeded: it would take long; to be called again in a thread, without a budget.
    """

    def take_in(assembly: Assembly) -> None:
        assembly.root(function)
        _take_arguments(assembly, arguments, ignore)

    memo = Memo() if memo is None else memo
    assembly = memo.recall(function, arguments, ignore, budget)
    if assembly is None:
        assembly, state = _assembled(take_in, ignore, budget)
        memo.keep(function, ignore, assembly, state)
    if assembly.packages:
        assembly.take_settings()
    assembly.start = function
    return _key_of(assembly, version, reads)


def _take_arguments(
    assembly: Assembly, arguments: Mapping[str, Any], ignore: frozenset[str]
) -> None:
    assembly.arguments = {n: value for n, value in arguments.items() if n not in ignore}
    for name, value in assembly.arguments.items():
        assembly.value(f"argument {name}", value)


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

    def take_in(assembly: Assembly) -> None:
        assembly.found.parts["code"] = code.digest
        assembly.found.risks += code.risks
        assembly.found.pieces.append(Piece("cell", "", code.orders))
        assembly.tree, assembly.namespace = code.tree, namespace
        if seeded:
            assembly.found.seeded.update(risks.SEEDS.values())
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

    how = _How(documents=code.reads_documents, ordered=code.enumerates, thorough=True)
    assembly, _ = _assembled(take_in, ignore, budget, how)
    return _key_of(assembly, version, reads)


@dataclass(frozen=True, slots=True, kw_only=True)
class _How:
    """How a walk is made: what counts of all that it meets, and where patches are looked for."""

    documents: bool = False
    ordered: bool = False
    thorough: bool = False


def _assembled(
    take_in: Callable[[Assembly], None],
    ignore: frozenset[str],
    budget: int | None,
    how: _How = _How(),
) -> tuple[Assembly, reading]:
    """What `take_in` begins with and all that follows from it, and how it was read.

    Where any code in it asks about docstrings or annotations, all of them count; so does the order
    of the members of classes and modules where any may go over such. What the user has
    put on installed classes is looked for where such may be met.
    """
    assembly = Assembly(budget, ignored=ignore)
    with reading(ignore=ignore, documents=how.documents, ordered=how.ordered) as state:
        assembly.attributes = state.attributes
        take_in(assembly)
        assembly.follow()
        patched = bool(assembly.packages)
        while patched and not state.asked and not state.asked_for_order:
            names = frozenset().union(*state.attributes)
            if patches.find(assembly.packages, names, thorough=how.thorough):
                return _assembled(take_in, ignore, budget, how)
            patched = assembly.take_patches()
    if state.asked or state.asked_for_order:
        documents = how.documents or state.asked
        ordered = how.ordered or state.asked_for_order
        how = replace(how, documents=documents, ordered=ordered)
        return _assembled(take_in, ignore, budget, how)
    return assembly, state


def _key_of(assembly: Assembly, version: str | None, reads: Sequence[str]) -> Key:
    parts = assembly.parts()
    if version is not None:
        parts["version"] = text_digest(version)
    if reads:
        parts["reads"] = reads_digest(reads)
    digest, found, reading = digest_of(parts), dict.fromkeys(assembly.risks()), None
    if assembly.reads_natively():
        reading = cache(partial(assembly.reading, parts.keys()))
        found |= dict.fromkeys(_risks_in(reading, digest, named=bool(reads)))
    return Key(
        digest=digest,
        parts=parts,
        risks=tuple(found),
        previews=assembly.previews,
        lines=assembly.lines,
        texts=lambda: assembly.texts(None if reading is None else reading()),
        settled=assembly.settled,
        generators=assembly.generators(),
    )


# Risks by the key of the computation; the same parts hold the same ones.
_known_risks: dict[tuple[str, bool], tuple[Risk, ...]] = {}


def _risks_in(reading: Callable[[], Reading], digest: str, *, named: bool) -> tuple[Risk, ...]:
    """The risks of a reading; where what is read is `named`, those that this does not end."""
    known = _known_risks.get((digest, named))
    if known is None:
        if len(_known_risks) >= _MOST_KNOWN:
            _known_risks.clear()
        found = reading().risks
        known = tuple(risk for risk in found if not named or risk.message == risks.NETWORK)
        _known_risks[digest, named] = known
    return known


def digest_of(parts: Mapping[str, str]) -> str:
    """The digest of a key made of `parts`, hex digests by label, in whatever order."""
    joined = "".join(sorted([f"{label}\0{part}" for label, part in parts.items()]))
    hasher = blake3(_FORMAT)
    hasher.update(joined.encode("utf-8", "surrogatepass"))
    return hasher.hexdigest()


def key_from_parts(parts: Mapping[str, str], *, settled: frozenset[str] = frozenset()) -> Key:
    """The key made of `parts` alone."""
    return Key(
        digest=digest_of(parts),
        parts=parts,
        risks=(),
        previews=dict,
        lines=dict,
        texts=tuple,
        settled=settled,
    )


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
        and not (label.startswith(SETTINGS) and label.removeprefix(SETTINGS) not in before.settled)
    ]
