from __future__ import annotations

import collections
import copy
import functools
import json
import os
import subprocess
import sys
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.values import (
    BudgetExceeded,
    fingerprint,
    register_fingerprint,
    shared_objects,
    sharing,
    walk,
)
from tests.fingerprint import samples


def all_samples() -> dict[str, Any]:
    return samples.plain_values() | samples.arrays() | samples.instances()


def test_all_values_are_told_apart() -> None:
    found: dict[str, str] = {}
    for name, value in all_samples().items():
        digest = fingerprint(value)
        assert digest not in found, f"{name} and {found[digest]}"
        found[digest] = name
    assert len(found) > 200


def test_values_are_told_apart_inside_others() -> None:
    values = all_samples()
    for wrap in (lambda v: [v], lambda v: (0, v), lambda v: {"k": v}, lambda v: samples.Plain(a=v)):
        assert len({fingerprint(wrap(value)) for value in values.values()}) == len(values)


def test_equal_values_made_anew_have_equal_fingerprints() -> None:
    first, second = all_samples(), all_samples()
    assert {n: fingerprint(v) for n, v in first.items()} == {
        n: fingerprint(v) for n, v in second.items()
    }


def test_a_walk_changes_nothing() -> None:
    values = all_samples()
    before = {name: fingerprint(value) for name, value in values.items()}
    assert {name: fingerprint(value) for name, value in values.items()} == before


@pytest.mark.parametrize("seed", ["0", "1", "12345"])
def test_fingerprints_are_pinned_in_every_process(seed: str) -> None:
    output = subprocess.run(
        [sys.executable, "-m", "tests.fingerprint.samples"],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    ).stdout
    assert json.loads(output) == json.loads(samples.PINNED.read_text())


def test_nan_equals_itself() -> None:
    assert fingerprint(float("nan")) == fingerprint(float("nan"))
    assert fingerprint([float("nan")] * 2) == fingerprint([float("nan"), float("nan")])


def test_order_counts_in_dicts_and_not_in_sets_and_attributes() -> None:
    assert fingerprint({1: 1, 2: 2}) != fingerprint({2: 2, 1: 1})
    assert fingerprint({8, 0, 16}) == fingerprint({16, 8, 0})
    assert fingerprint(samples.Plain(a=1, b=2)) == fingerprint(samples.Plain(b=2, a=1))


def test_immutable_values_show_no_identity() -> None:
    text, items = "ab" * 500, (1, ("x", 2.0))
    assert fingerprint([text, text]) == fingerprint([text, "".join(["ab"] * 500)])
    assert fingerprint([items, items]) == fingerprint([items, (1, ("x", float(2)))])
    point = samples.Point(1, 2)
    assert fingerprint([point, point]) == fingerprint([point, samples.Point(1, 2)])


def test_mutable_values_show_identity() -> None:
    for make in (list, dict, set, bytearray, collections.deque, samples.Plain, samples.MyList):
        one = make()
        assert fingerprint([one, one]) != fingerprint([one, copy.copy(one)]), make


def test_sharing_within_equal_tuples_counts_as_within_one() -> None:
    inner: list[int] = []
    held = (inner,)
    assert fingerprint([held, held]) == fingerprint([held, (inner,)])
    assert fingerprint([held, held]) != fingerprint([held, ([],)])


def test_the_sharing_of_instance_dicts_counts() -> None:
    one, two = samples.Plain(a=1), samples.Plain(a=1)
    apart = fingerprint([one, two])
    two.__dict__ = one.__dict__
    assert fingerprint([one, two]) != apart


def test_recursive_structures_end() -> None:
    def ring(length: int) -> Any:
        nodes = [samples.Plain() for _ in range(length)]
        for node, following in zip(nodes, nodes[1:] + nodes[:1], strict=True):
            node.next = following
        return nodes[0]

    assert fingerprint(ring(3)) == fingerprint(ring(3))
    assert fingerprint(ring(3)) != fingerprint(ring(4))
    mapping: dict[str, Any] = {}
    mapping["self"] = types.MappingProxyType(mapping)
    assert fingerprint(mapping) != fingerprint({"self": mapping})
    holder = samples.Plain()
    holder.all = {holder}
    assert fingerprint(holder)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}])
def test_deep_nesting_has_an_answer(wrap: Callable[[Any], Any]) -> None:
    value: Any = None
    for _ in range(20_000):
        value = wrap(value)
    try:
        assert fingerprint(value) != fingerprint(wrap(value))
    finally:
        while value:  # tuples and dicts of this depth would overflow the stack when freed
            value = value["k"] if isinstance(value, dict) else value[0]


@pytest.mark.parametrize("pair", [lambda v: (v, v), lambda v: samples.Point(v, v)])
def test_tuples_that_unfold_without_end_are_told_apart(pair: Callable[[Any], Any]) -> None:
    def unfolding(innermost: Any) -> Any:
        value: Any = (innermost,)
        for _ in range(60):
            value = pair(value)
        return value

    one, again, two = map(fingerprint, map(unfolding, (1, 1, 2)))
    assert one == again != two
    with pytest.raises(FingerprintError, match="too many to unfold"):
        fingerprint(unfolding([]))


def test_sets_of_objects_do_not_depend_on_their_order() -> None:
    def graph(order: list[int]) -> Any:
        nodes = [samples.Plain(name=str(index), near=set()) for index in range(6)]
        for index in order:
            nodes[index].near |= {nodes[(index + 1) % 6], nodes[(index + 3) % 6]}
        return {nodes[index] for index in order}

    digest = fingerprint(graph([0, 1, 2, 3, 4, 5]))
    assert fingerprint(graph([5, 3, 1, 4, 2, 0])) == digest


def test_nested_frozensets_take_linear_time() -> None:
    value: frozenset[Any] = frozenset()
    for _ in range(40):
        value = frozenset({value, frozenset({value})})
    assert fingerprint(value) == fingerprint(copy.deepcopy(value))


def test_long_lists_and_short_ones_take_the_same_form() -> None:
    values = list(range(5000))
    for changed in (0, 2500, 4999):
        other = values.copy()
        other[changed] = -1
        assert fingerprint(other) != fingerprint(values)
    assert fingerprint([*values, True]) != fingerprint([*values, 1])


# What has no fingerprint


class _Holder:
    def __init__(self, held: Any) -> None:
        self.session = held


class _Slotted:
    __slots__ = ("session",)

    def __init__(self, held: Any) -> None:
        self.session = held


def _generator() -> Any:
    yield


OPAQUE: dict[str, Callable[[], Any]] = {
    "generator": _generator,
    "iterator": lambda: iter([1]),
    "zip": lambda: zip([1], [2], strict=True),
    "lock": threading.Lock,
    "rlock": threading.RLock,
    "condition": threading.Condition,
    "thread": threading.Thread,
    "local": threading.local,
    "weakref": lambda: weakref.ref(_Holder),
    "weak dict": lambda: weakref.WeakKeyDictionary({_Holder: 1}),
    "frame": lambda: sys._getframe(),
}


@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_values_are_refused_with_the_way_to_them(name: str) -> None:
    culprit = OPAQUE[name]()
    with pytest.raises(FingerprintError) as caught:
        fingerprint({"a": [_Holder(culprit)]}, path="argument x")
    assert caught.value.path.startswith("argument x['a'][0].session")
    assert "cannot be fingerprinted" in str(caught.value)
    with pytest.raises(FingerprintError, match=r"^argument x\.session"):
        fingerprint(_Slotted(culprit), path="argument x")


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "f").open("w") as file, pytest.raises(FingerprintError, match="_io"):
        fingerprint([file])


def test_what_raises_while_it_is_read_is_refused() -> None:
    class Rebel:
        def __reduce__(self) -> Any:
            raise RuntimeError("secret")

    with pytest.raises(FingerprintError) as caught:
        fingerprint({"k": Rebel()})
    assert caught.value.path == "value['k']"
    assert "secret" not in str(caught.value)


def test_long_keys_do_not_appear_in_paths() -> None:
    with pytest.raises(FingerprintError) as caught:
        fingerprint({"k" * 100: _generator()})
    assert caught.value.path == "value[...]"


# The rest of the interface


def test_a_budget_is_kept() -> None:
    assert fingerprint([1, 2], budget=1000) == fingerprint([1, 2])
    for large in (bytes(10_000), "a" * 10_000, list(range(1000)), [[]] * 1000):
        with pytest.raises(BudgetExceeded):
            fingerprint(large, budget=1000)


class _Opaque:
    def __init__(self, url: str) -> None:
        self.url, self.lock = url, threading.Lock()


class _DerivedOpaque(_Opaque):
    pass


def test_registered_types_count_by_what_their_function_gives() -> None:
    with pytest.raises(FingerprintError):
        fingerprint(_Opaque("a"))
    register_fingerprint(_Opaque, lambda value: value.url)
    assert fingerprint(_Opaque("a")) == fingerprint(_Opaque("a")) != fingerprint(_Opaque("b"))
    assert fingerprint(_Opaque("a")) not in {fingerprint("a"), fingerprint(_DerivedOpaque("a"))}
    with pytest.raises(TypeError):
        register_fingerprint("_Opaque", len)  # type: ignore[arg-type]


def test_shared_objects_correspond() -> None:
    def make() -> Any:
        inner = [1]
        return {"a": inner, "b": (inner, {2}), "c": samples.Plain(d=inner)}

    first, second = shared_objects(make()), shared_objects(make())
    assert [type(item) for item in first] == [type(item) for item in second]
    value = make()
    assert any(item is value["a"] for item in shared_objects(value))
    assert not any(isinstance(item, (type, str, tuple)) for item in shared_objects(value))


def test_shared_objects_leave_out_what_classes_reach() -> None:
    registry: list[int] = []

    class Registered:
        kept = registry

    def closure() -> list[int]:
        return registry

    assert not any(item is registry for item in shared_objects(Registered()))
    assert any(item is registry for item in walk(Registered()).mutables)
    assert any(item is registry for item in shared_objects(closure))


def test_sharing_between_values() -> None:
    inner: list[int] = []
    assert sharing({"a": [inner], "b": [[]]}) is None
    assert sharing({"a": [inner, inner], "b": 1}) is None
    together = sharing({"a": [inner], "b": [inner]})
    assert together is not None
    assert together != sharing({"a": [inner], "b": inner})
    assert together == sharing({"b": (lambda one: [one])(inner), "a": [inner]})


def test_functions_and_classes_count_by_their_code() -> None:
    def make(constant: int) -> Callable[[], int]:
        def function() -> int:
            return constant

        return function

    assert fingerprint(make(1)) == fingerprint(make(1)) != fingerprint(make(2))
    first, second = type("C", (), {"n": 1}), type("C", (), {"n": 2})
    assert fingerprint(first()) != fingerprint(second())


def test_functools_caches_are_no_inputs_and_cached_properties_are_state() -> None:
    @functools.lru_cache(maxsize=4)
    def square(number: int) -> int:
        return number * number

    before = fingerprint(square)
    square(3)
    assert fingerprint(square) == before

    class Lazy:
        @functools.cached_property
        def part(self) -> int:
            return 1

    lazy = Lazy()
    before = fingerprint(lazy)
    assert lazy.part == 1
    assert fingerprint(lazy) != before


# Properties

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers(),
    lambda below: (
        st.lists(below, max_size=5)
        | st.tuples(below, below)
        | st.dictionaries(st.text(max_size=3) | st.integers(), below, max_size=4)
        | st.frozensets(st.integers() | st.text(max_size=3), max_size=5)
    ),
    max_leaves=20,
)


def identical(first: Any, second: Any) -> bool:
    """Whether two plain values without sharing are the same by exact type and content."""
    if type(first) is not type(second):
        return False
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(identical, first, second))
    if isinstance(first, dict):
        return identical(list(first.items()), list(second.items()))
    if isinstance(first, frozenset):
        order = sorted(map(repr, first))
        return order == sorted(map(repr, second))
    return repr(first) == repr(second)


def rebuilt(value: Any) -> Any:
    if isinstance(value, dict):
        return {rebuilt(key): rebuilt(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, frozenset)):
        return type(value)(map(rebuilt, value))
    return value


@settings(max_examples=150, deadline=None)
@given(plain, plain)
def test_equal_fingerprints_mean_equal_values(first: Any, second: Any) -> None:
    first, second = rebuilt(first), rebuilt(second)
    assert fingerprint(first) == fingerprint(rebuilt(first))
    assert (fingerprint(first) == fingerprint(second)) == identical(first, second)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers() | st.text(max_size=2) | st.floats() | st.booleans()), st.data())
def test_any_change_in_a_list_is_seen(values: list[Any], data: st.DataObject) -> None:
    other = data.draw(st.permutations(values))
    assert (fingerprint(values) == fingerprint(other)) == identical(values, list(other))
