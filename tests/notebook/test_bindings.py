"""Names that code binds, by its text alone."""

from __future__ import annotations

import ast
import collections

import pytest

from cascade_nb.fingerprint.cells import analyse_cell
from cascade_nb.notebook.bindings import (
    Binder,
    always_bound,
    defined_names,
    names_bound,
    shown_names,
)


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("a = b = 1", {"a", "b"}),
        ("a, (b, *c) = x", {"a", "b", "c"}),
        ("a.b = c[0] = 1", set()),
        ("for i in range(3): j = i", {"i", "j"}),
        ("import a.b, c as d", {"a", "d"}),
        ("with open(f) as g: pass", {"g"}),
        ("if (n := 1): pass", {"n"}),
        ("def f():\n    inner = 1", {"f"}),
        ("class C:\n    member = 1", {"C"}),
        ("x = [hidden for hidden in y]", {"x", "hidden"}),
        ("try: pass\nexcept E as e: pass", {"e"}),
        ("match x:\n    case {'k': v, **rest}: pass", {"v", "rest"}),
        ("lambda q: q", set()),
    ],
)
def test_names_that_a_statement_may_bind(statement: str, names: set[str]) -> None:
    assert names_bound(ast.parse(statement).body[0]) == names


def test_only_what_runs_for_certain_is_always_bound() -> None:
    code = "a = 1\nb: int\nc: int = 2\nd += 1\nif a:\n    e = 1\nfor f in (): pass"
    assert always_bound(ast.parse(code)) == {"a", "c", "d"}


def test_a_name_that_is_defined_and_assigned_is_a_value() -> None:
    code = analyse_cell("import os\ndef f(): pass\ndef g(): pass\ng = wrap(g)\nclass C: pass")
    assert defined_names(code) == {"os", "f", "C"}


def test_the_last_shown_value_has_the_plain_name() -> None:
    assert [shown_names(n) for n in range(3)] == [[], ["Out"], ["Out.0", "Out"]]


def test_what_a_run_has_left() -> None:
    code = analyse_cell("import json\nm = json\nd = collections.deque\nx = [1]\ndel gone")
    before = {"gone": 1, "collections": collections, "_i": "old"}
    after = {"collections": collections, "_i": "new", "x": [1], "json": __import__("json")}
    after |= {"m": after["json"], "d": collections.deque}
    found = Binder(code, before, after, None).find([5], in_place=[])
    assert found.refusal == ""
    assert found.outputs == {"x": [1], "Out": 5}
    assert found.references == {
        "m": ["module", "json"],
        "d": ["import", "collections", "deque"],
    }
    assert found.deleted == ["gone"]
