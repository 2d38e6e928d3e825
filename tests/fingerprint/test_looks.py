"""What is remembered of a walk stands only as long as another walk would come to the same."""

from __future__ import annotations

import functools
import gc
import importlib
import os
import sys
import textwrap
import types
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade_nb import cached
from cascade_nb.fingerprint.keys import Memo, function_key
from tests.fingerprint.scenarios import run

HELPERS = """
    RATE = 2
    def double(x):
        return 2 * x
"""
HOUSE = """
    import functools
    import json
    import os
    import numpy as np
    import helpers_of_looks as helpers
    from cascade_nb import cached
    from helpers_of_looks import double

    TABLE = [1, 2, 3]
    LIMIT = 10
    NAMES = {"a": [1]}

    def decorated(function):
        bonus = [1]
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs) + bonus[0]
        return wrapper

    def scaled(x, factor=3, *, offset=4):
        return x * factor + offset + LIMIT

    @decorated
    def raised(x):
        return x + 1

    def counted(x):
        return x + counted.start
    counted.start = 1

    def _made(n):
        def closed(x):
            return x + n + len(TABLE)
        return closed
    closed = _made(5)

    class Base:
        weight: int = 1
        def heavy(self):
            return self.weight

    class Model(Base):
        parts = [1, 2]
        def __init__(self, n):
            self.n = n
        @property
        def half(self):
            return self.n / 2
        @staticmethod
        def tripled(n):
            return 3 * n
        def run(self):
            return self.n + self.half + self.tripled(self.n) + len(self.parts) + self.heavy()

    @cached(version="1")
    def stored(x):
        return x + 1

    part = functools.partial(scaled, factor=2)
    kept = functools.lru_cache(maxsize=None)(scaled)
    model = Model(3)
    bound = model.run

    def work(x):
        if x < 0:
            return missing(x)
        import helpers_of_looks
        from helpers_of_looks import RATE as rate
        text = json.dumps([x, os.environ.get("LOOKS_OF_CASCADE")])
        return (
            len(text), sum(TABLE), scaled(x), raised(x), counted(x), closed(x), double(x),
            helpers.double(x), helpers.RATE, NAMES["a"], Model(x).run(), part(x), kept(x),
            model.n, bound(), abs(x), stored(x), np.mean(TABLE), np.random.default_rng(x),
            np.ma.nomask, rate, helpers_of_looks.double(x),
        )
"""


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of the user's, with a function that reaches much."""
    for name, source in (("helpers_of_looks", HELPERS), ("house_of_looks", HOUSE)):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module("house_of_looks")
    for name in ("helpers_of_looks", "house_of_looks"):
        sys.modules.pop(name, None)


def other(x: Any, *more: Any, **named: Any) -> Any:
    return x


def other_method(self: Any) -> int:
    return 7


def set_code(house: Any) -> None:
    house.scaled.__code__ = (lambda x, factor=3, *, offset=4: x).__code__


def set_default_in_place(house: Any) -> None:
    house.scaled.__kwdefaults__["offset"] = 5


def set_closure(house: Any) -> None:
    house.closed.__closure__[0].cell_contents = 6


def append_to_closure(house: Any) -> None:
    house.raised.__closure__[0].cell_contents.append(2)


def set_method(house: Any) -> None:
    house.Model.run = other_method


def set_property(house: Any) -> None:
    house.Model.half = property(other_method)


def set_inherited(house: Any) -> None:
    house.Base.heavy = other_method


def set_annotation(house: Any) -> None:
    house.Base.__annotations__["weight"] = float


def add_special_method(house: Any) -> None:
    house.Model.__len__ = other_method


def set_bases(house: Any) -> None:
    house.Model.__bases__ = (type("Other", (), {"heavy": other_method}),)


def add_builtin(house: Any) -> None:
    house.abs = other


def define_what_was_missing(house: Any) -> None:
    house.missing = other


def set_environment(house: Any) -> None:
    os.environ["LOOKS_OF_CASCADE"] = "other"


def reload_helpers(house: Any) -> None:
    exec("def double(x):\n    return x + x", vars(house.helpers))


def replace_module(house: Any) -> None:
    sys.modules["helpers_of_looks"] = types.ModuleType("helpers_of_looks")


def replace_standard(house: Any) -> None:
    house.json = types.SimpleNamespace(dumps=other)


CHANGES: dict[str, Callable[[Any], object]] = {
    "a list in place": lambda house: house.TABLE.append(4),
    "a list bound anew": lambda house: setattr(house, "TABLE", [1, 2, 4]),
    "a list that is a tuple now": lambda house: setattr(house, "TABLE", (1, 2, 3)),
    "a number": lambda house: setattr(house, "LIMIT", 11),
    "a number that is a float now": lambda house: setattr(house, "LIMIT", 10.0),
    "a number that is code now": lambda house: setattr(house, "LIMIT", other),
    "a number that is gone": lambda house: delattr(house, "LIMIT"),
    "deep in a dict": lambda house: house.NAMES["a"].append(2),
    "a helper": lambda house: setattr(house, "scaled", other),
    "the code of a helper": set_code,
    "the defaults of a helper": lambda house: setattr(house.scaled, "__defaults__", (4,)),
    "a keyword default in place": set_default_in_place,
    "a helper's attribute": lambda house: setattr(house.counted, "start", 2),
    "a further attribute": lambda house: setattr(house.counted, "further", 2),
    "what is wrapped": lambda house: setattr(house.raised, "__wrapped__", other),
    "a closure": set_closure,
    "what a closure holds": append_to_closure,
    "a method": set_method,
    "a property": set_property,
    "a static method": lambda house: setattr(house.Model, "tripled", staticmethod(other)),
    "a method that is inherited": set_inherited,
    "an attribute of a class": lambda house: house.Model.parts.append(3),
    "an attribute of a base": lambda house: setattr(house.Base, "weight", 2),
    "an annotation": set_annotation,
    "a special method": add_special_method,
    "the bases of a class": set_bases,
    "a class": lambda house: setattr(house, "Model", house.Base),
    "an instance": lambda house: setattr(house.model, "n", 4),
    "what a method is bound to": lambda house: setattr(house.bound.__self__, "n", 4),
    "a partial": lambda house: setattr(house, "part", functools.partial(house.scaled, factor=9)),
    "keywords of a partial": lambda house: house.part.keywords.update(factor=9),
    "another module's helper": lambda house: setattr(house.helpers, "double", other),
    "another module's number": lambda house: setattr(house.helpers, "RATE", 3),
    "a name that hides a builtin": add_builtin,
    "a name that was missing": define_what_was_missing,
    "an environment variable": set_environment,
    "a module that code imports by itself": replace_module,
    "a module that runs again": reload_helpers,
    "the version of a cached helper": lambda house: setattr(
        house, "stored", cached(version="2")(house.stored.__wrapped__)
    ),
    "what a cached helper wraps": lambda house: setattr(house.stored, "__wrapped__", other),
    "what is kept by functools": lambda house: setattr(house.kept, "__wrapped__", other),
    "another module": replace_standard,
}


def key(house: Any, memo: Memo | None = None) -> str:
    return function_key(house.work, {"x": 1}, memo=memo or Memo()).digest


ORDERED = """
class Q:
    def a(self): return 1
    def b(self): return 2
def work(x): return list(vars(Q))
def call(x): return x(Q)
def look(c): return list(vars(c))
def pass_by(c): return c
"""


def test_an_order_that_is_gone_over_is_remembered() -> None:
    space, memo = run(ORDERED), Memo()
    before = function_key(space["work"], {"x": 1}, memo=memo).digest
    assert memo.recall(space["work"], {"x": 1}, frozenset(), None) is not None
    assert function_key(space["work"], {"x": 1}, memo=memo).digest == before
    a = space["Q"].a
    del space["Q"].a
    space["Q"].a = a
    assert memo.recall(space["work"], {"x": 1}, frozenset(), None) is None
    assert function_key(space["work"], {"x": 1}, memo=memo).digest != before


def test_an_order_that_an_argument_goes_over_counts_with_that_argument_alone() -> None:
    space, memo = run(ORDERED), Memo()
    for name in ("pass_by", "look", "pass_by", "look"):
        one = function_key(space["call"], {"x": space[name]}, memo=memo)
        assert one.parts == function_key(space["call"], {"x": space[name]}).parts
        assert ("attribute Q.__dict__" in one.parts) == (name == "look")


def recalls(memo: Memo, house: Any) -> bool:
    return memo.recall(house.work, {"x": 1}, frozenset(), None) is not None


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_has_changed_is_seen(house, monkeypatch, change):
    monkeypatch.delenv("LOOKS_OF_CASCADE", raising=False)
    memo = Memo()
    before = key(house, memo)
    assert recalls(memo, house)
    assert key(house, memo) == before == key(house)
    change(house)
    after = key(house, memo)
    assert after != before
    assert after == key(house) == key(house, memo)


def test_arguments_and_values_are_hashed_anew(house):
    memo = Memo()
    keys = {function_key(house.work, {"x": x}, memo=memo).digest for x in range(5)}
    assert len(keys) == 5
    shared = [1]
    house.TABLE = [1]
    apart = function_key(house.work, {"x": [1]}, memo=memo)
    house.TABLE = shared
    assert recalls(memo, house)
    together = function_key(house.work, {"x": shared}, memo=memo)
    assert together.digest != apart.digest == function_key(house.work, {"x": [1]}).digest


def test_a_number_that_counts_up_needs_no_walk(house):
    memo = Memo()
    key(house, memo)
    for house.LIMIT in range(3):
        assert recalls(memo, house)
        assert key(house, memo) == key(house)


@pytest.mark.parametrize(
    "names", [frozenset({"LIMIT"}), frozenset({"Model", "NAMES"})], ids=["a number", "a class"]
)
def test_what_is_ignored_is_no_part(house, names):
    memo = Memo()

    def parts(memo: Memo) -> set[str]:
        return set(function_key(house.work, {"x": 1}, ignore=names, memo=memo).parts)

    assert parts(memo) == parts(memo) == parts(Memo())
    assert parts(memo) < set(function_key(house.work, {"x": 1}, memo=memo).parts)


def test_another_function_with_the_same_memo_is_walked_for(house):
    memo = Memo()
    key(house, memo)
    assert function_key(house.scaled, {"x": 1}, memo=memo) == function_key(house.scaled, {"x": 1})


def test_what_cannot_be_noted_is_not_remembered(house):
    memo = Memo()
    exec("def work(x):\n    return scaled.__doc__", vars(house))
    key(house, memo)
    assert not recalls(memo, house)
    house.scaled.__doc__ = "Another one."
    assert key(house, memo) == key(house)


@pytest.mark.parametrize("name", ["mean", "random"])
def test_a_replaced_part_of_an_installed_module(house, monkeypatch, name):
    memo = Memo()
    before = key(house, memo)
    assert recalls(memo, house)
    module = types.ModuleType("of_looks")
    module.default_rng = other
    monkeypatch.setattr(house.np, name, other if name == "mean" else module)
    assert key(house, memo) == key(house) != before


def test_defaults_of_installed_functions(house, monkeypatch):
    memo = Memo()
    before = key(house, memo)
    defaults = dict(house.json.dumps.__kwdefaults__)
    monkeypatch.setitem(house.json.dumps.__kwdefaults__, "skipkeys", True)
    assert key(house, memo) == key(house) != before
    house.json.dumps.__kwdefaults__.update(defaults)
    assert key(house, memo) == before


def test_settings_of_a_package(house):
    memo = Memo()
    before = key(house, memo)
    with house.np.printoptions(precision=3):
        assert recalls(memo, house)
        assert key(house, memo) == key(house) != before
    assert key(house, memo) == before


def test_a_package_that_the_user_patches(house, monkeypatch):
    json = importlib.import_module("json")
    memo = Memo()
    exec("def work(x):\n    return json.JSONEncoder().encode(x)", vars(house))
    before = key(house, memo)
    assert recalls(memo, house)
    monkeypatch.setattr(json.JSONEncoder, "encode", other_method)
    assert key(house, memo) == key(house) != before


def test_nothing_that_the_user_has_dropped_is_held(house):
    class Large(list):
        pass

    house.TABLE = Large([1, 2])
    function = cached(house.work)
    function.key(1)
    dropped = weakref.ref(house.TABLE)
    house.TABLE = Large([1])
    gc.collect()
    assert dropped() is None
    gone = weakref.ref(function)
    del function
    gc.collect()
    assert gone() is None
