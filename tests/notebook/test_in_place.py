"""Inputs that are changed in place, and changed again on the same objects."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.notebook.in_place import Graft, InputWatch


class Thing:
    def __init__(self, **state: Any) -> None:
        vars(self).update(state)


def _swap(value: dict[str, Any]) -> None:
    value["a"], value["b"] = value["b"], value["a"]
    value["a"].append(7)


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "list": (lambda: [3, 1], lambda v: v.sort()),
    "nested": (lambda: {"a": [1], "b": [2]}, _swap),
    "set": (lambda: {1}, lambda v: v.add(2)),
    "deque": (lambda: deque([1], maxlen=2), lambda v: v.extend([2, 3])),
    "ordered": (lambda: OrderedDict(a=1, b=2), lambda v: v.move_to_end("a")),
    "counter": (lambda: Counter("aab"), lambda v: v.update("b")),
    "default": (lambda: defaultdict(list), lambda v: v["x"].append(1)),
    "bytes": (lambda: bytearray(b"ab"), lambda v: v.extend(b"c")),
    "array": (lambda: np.arange(4.0), lambda v: v.__imul__(2)),
    "array in list": (lambda: [np.zeros(2)], lambda v: v[0].fill(1)),
    "tuple": (lambda: ([1], 2), lambda v: v[0].append(2)),
    "frame": (lambda: pd.DataFrame({"a": [1, 2]}), lambda v: v.insert(1, "b", [3, 4])),
    "series": (lambda: pd.Series([1, 2]), lambda v: v.__setitem__(0, 9)),
    "instance": (lambda: Thing(log=[]), lambda v: (v.log.append(1), setattr(v, "n", v))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_change_is_done_again_on_the_same_parts(case: str) -> None:
    make, change = CASES[case]
    first = {"x": make()}
    watch = InputWatch(first, ["x"], frozenset())
    change(first["x"])
    (found,), refusal = watch.changes()
    assert refusal == ""

    current, parts = make(), {}
    if isinstance(current, dict):
        parts = {key: current[key] for key in current if isinstance(current[key], list)}
    graft = Graft()
    result = pickle.loads(pickle.dumps(first["x"]))
    assert graft.add(current, result, found.kept) == ""
    graft.apply()
    assert fingerprint(graft.swap(current)) == fingerprint(first["x"])
    for part in parts.values():
        assert any(part is value for value in current.values())


def test_an_untouched_input_is_no_change() -> None:
    values = {"x": [1, {2}], "y": np.ones(3), "z": "text"}
    assert InputWatch(values, list(values), frozenset()).changes() == ([], "")


def test_an_array_that_was_resized_is_refused() -> None:
    values = {"x": np.arange(3)}
    watch = InputWatch(values, ["x"], frozenset())
    values["x"].resize(5, refcheck=False)
    assert watch.changes() == ([], "it resizes x in place")


def test_a_change_before_a_name_is_bound_anew() -> None:
    values: dict[str, Any] = {"x": [1]}
    watch = InputWatch(values, ["x"], frozenset())
    values["x"].append(2)
    values["x"] = "new"
    assert watch.changes() == ([], "")

    held = [1]
    values = {"x": held, "y": {"also": held}}
    watch = InputWatch(values, ["x"], frozenset())
    held.append(2)
    values["x"] = "new"
    assert watch.changes() == ([], "it changes x in place and binds that name anew")
