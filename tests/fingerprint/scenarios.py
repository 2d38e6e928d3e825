"""Two states of a program, and whether a key must tell them apart."""

from __future__ import annotations

import importlib
import itertools
import linecache
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from cascade_nb.fingerprint.keys import Key, function_key

_counter = itertools.count()


@dataclass(frozen=True)
class Scenario:
    """`state` defines f; `edits` (old, new) make the second state of it; they are `same` or not."""

    name: str
    state: str
    edits: tuple[tuple[str, str], ...]
    same: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    arguments: str = "{'x': 3}"
    ignore: frozenset[str] = frozenset()


def edited(text: str, edits: tuple[tuple[str, str], ...]) -> str:
    for old, new in edits:
        text = text.replace(old, new)
    return text


def run(source: str, *, name: str = "__main__") -> dict[str, Any]:
    """The namespace that `source` makes, as a cell would: its text is to be had afterwards."""
    filename = f"<scenario {next(_counter)}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": name, "__builtins__": __builtins__}
    exec(compile(source, filename, "exec", dont_inherit=True), namespace)
    return namespace


def key_of(source: str, arguments: str = "{'x': 3}", **options: Any) -> Key:
    """The key of calling the `f` that `source` defines."""
    namespace = run(source)
    return function_key(namespace["f"], eval(arguments, namespace), **options)


class Modules:
    """Modules in a folder that is on the path while in use, and forgotten afterwards."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._folder = folder
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def __enter__(self) -> Modules:
        self._before: dict[str, ModuleType] = dict(sys.modules)
        sys.path.insert(0, str(self._folder))
        importlib.invalidate_caches()
        return self

    def __exit__(self, *args: object) -> None:
        sys.path.remove(str(self._folder))
        for name in set(sys.modules) - set(self._before):
            attributes = vars(sys.modules[name])
            file = attributes.get("__file__") or ""
            paths = list(attributes.get("__path__", ()))
            if any(place.startswith(str(self._folder)) for place in (file, *paths)):
                del sys.modules[name]


def two_keys(scenario: Scenario, folder: Path) -> tuple[Key, Key]:
    """The keys of both states."""
    keys = []
    for number, edits in enumerate(((), scenario.edits)):
        files = {name: edited(text, edits) for name, text in scenario.files.items()}
        place = folder / str(number)
        place.mkdir()
        with Modules(place, files):
            source = edited(scenario.state, edits)
            keys.append(key_of(source, scenario.arguments, ignore=scenario.ignore))
    return keys[0], keys[1]
