"""Every edit of every copied module of a case, and whether its key noticed."""

from __future__ import annotations

import ast
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.study.cases import Case
from tests.study.copies import copied
from tests.study.edits import Edit, changes, definitions, without_effect
from tests.study.oracle import mentioned, must_count

_ROOT = Path(__file__).parents[2]


@dataclass
class Survey:
    """What came of the edits of one case, as texts for people.

    `stale` edits are of what ran, and the key did not notice; `needless` ones have no effect, or
    are of what nobody names, and it did; `silent` ones are of what is named and did not run.
    """

    key: str = ""
    counted: dict[str, int] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    def count(self, kind: str) -> None:
        self.counted[kind] = self.counted.get(kind, 0) + 1


class States:
    """A process that tells the key of each state of a folder."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.trace = self._answer()

    def key(self, files: dict[str, str]) -> dict[str, Any]:
        """The key where the named files have other texts."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(files) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def states_of(case: Case, folder: Path, *, seed: str = "0") -> Iterator[States]:
    """The states of a folder to which the modules of `case` were copied, under a hash seed."""
    write(case, folder)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.study.states", str(folder), *case.packages],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
    ) as process:
        yield States(process)
        assert process.stdin is not None
        process.stdin.close()


def write(case: Case, folder: Path) -> None:
    """Copy the modules of a case."""
    (folder / "main.py").write_text(case.main)
    for module, name in case.modules.items():
        (folder / f"{name}.py").write_text(copied(module, case.modules))


def survey(case: Case, folder: Path, *, most: int | None = None) -> Survey:
    """Try every edit of the modules of `case`, copied to `folder`; at `most` so many of a kind."""
    found = Survey()
    with states_of(case, folder) as states:
        assert "error" not in states.trace, states.trace["error"]
        base = states.key({})
        assert "error" not in base, base["error"]
        found.key = base["key"]
        texts = {name: (folder / f"{name}.py").read_text() for name in case.modules.values()}
        names = mentioned(case.main, texts.values())
        for module, text in texts.items():
            file = f"{module}.py"
            for edit in without_effect(text):
                if edit.kind not in case.read:
                    after = states.key({file: edit.text})
                    found.count("without effect")
                    if after.get("key") != base["key"]:
                        found.needless.append(_told(module, edit, base, after))
            for kind, edits in _by_kind(module, text, folder, names, states.trace).items():
                for edit in _evenly(edits, most):
                    after = states.key({file: edit.text})
                    if "error" in after:
                        found.count("cannot be imported")
                        continue
                    found.count(kind)
                    same = after["key"] == base["key"]
                    if same and kind == "ran":
                        found.stale.append(_told(module, edit, base, after))
                    elif same and kind == "named":
                        found.silent.append(_told(module, edit, base, after))
                    elif not same and kind == "unnamed":
                        found.needless.append(_told(module, edit, base, after))
    return found


def _by_kind(
    module: str, text: str, folder: Path, names: set[str], trace: dict[str, Any]
) -> dict[str, list[Edit]]:
    """The edits of what ran, of what nobody names, and of what lies between."""
    known = {each.name: each for each in definitions(ast.parse(text))}
    found: dict[str, list[Edit]] = {}
    for edit in changes(text):
        if must_count(known[edit.definition], str(folder / f"{module}.py"), module, trace):
            kind = "ran"
        else:
            kind = "unnamed" if names.isdisjoint(edit.definition.split(".")) else "named"
        found.setdefault(kind, []).append(edit)
    return found


def _evenly(edits: list[Edit], most: int | None) -> list[Edit]:
    step = 1 if most is None else max(1, math.ceil(len(edits) / most))
    return edits[::step]


def _told(module: str, edit: Edit, base: dict[str, Any], after: dict[str, Any]) -> str:
    if "error" in after:
        return f"{module}.{edit.definition} {edit.kind}: {after['error'].splitlines()[-1]}"
    labels = sorted(base["parts"].keys() | after["parts"].keys())
    differ = [x for x in labels if base["parts"].get(x) != after["parts"].get(x)]
    return f"{module}.{edit.definition} {edit.kind}: {', '.join(differ[:4])}"
