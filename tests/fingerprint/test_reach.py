# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import functools
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from cascade_nb.fingerprint.reach import (
    Reached,
    is_code,
    is_followed,
    name_of,
    own_digest,
    reached_by,
    reading,
)
from tests.fingerprint.scenarios import Modules, run


def reached(source: str, name: str = "f") -> set[tuple[str, str]]:
    return {(item.kind, item.label) for item in reached_by(run(source)[name])}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("K = 1\ndef f(): return K", {("global", "global K")}),
        ("def g(): pass\ndef f(): return g()", {("helper", "helper g")}),
        ("class C: pass\ndef f(): return C()", {("class", "class C")}),
        ("def f(): return missing", {("absent", "absent missing")}),
        ("def f(): return len", set()),
        ("g = lambda: 1\ndef f(): return g()", {("helper", "helper g")}),
        ("def make(n):\n    def f(): return n\n    return f\nf = make(1)", {("closure", "closure n")}),
        ("def f(a=1, *, b=2): pass", {("default", "default a"), ("default", "default b")}),
        ("def f(): pass\nf.k = 1", {("attribute", "attribute f.k")}),
        ("import os\ndef f(): return os.environ['A']",
         {("environment", "A"), ("name", "name os.environ")}),
        ("import math\ndef f(): return math.sin", {("name", "name math.sin")}),
        ("import math\ndef f(): return math.pi", {("global", "global math.pi")}),
        ("from math import sin\ndef f(): return sin", {("name", "name sin")}),
        ("class A: pass\nclass f(A):\n    k = 1\n    def m(self): pass",
         {("class", "class A"), ("attribute", "attribute f.k"), ("helper", "helper f.m")}),
        ("class f:\n    def __init__(self): self.a = 1", {("helper", "helper f.__init__")}),
        ("from functools import partial\ndef g(a): pass\nf = partial(g, 1)",
         {("helper", "helper g"), ("attribute", "attribute arguments"),
          ("attribute", "attribute keywords")}),
    ],
)  # fmt: skip
def test_reached_by(source: str, expected: set[tuple[str, str]]) -> None:
    assert reached(source) == expected


def test_modules_are_reached_as_a_whole_only_where_nothing_else_is_known(tmp_path: Path) -> None:
    with Modules(tmp_path, {"m.py": "K = 1\ndef g(): pass\n"}):
        assert reached("import m\ndef f(): return m.K") == {("global", "global m.K")}
        assert reached("import m\ndef f(): return vars(m)") == {("module", "module m")}
        assert reached("import m as f") == {("global", "global m.K"), ("helper", "helper g")}


def test_wrappers_of_installed_code_are_followed() -> None:
    source = """
    from contextlib import contextmanager
    @contextmanager
    def f(): yield
    """
    items = reached_by(run(source.replace("\n    ", "\n"))["f"])
    assert ("helper", "helper f") in {(item.kind, item.label) for item in items}


def test_ignored_names_are_not_reached() -> None:
    function = run("K = 1\nL = 2\ndef f(): return K, L")["f"]
    with reading(ignore=frozenset({"K"})):
        assert [item.label for item in reached_by(function)] == ["global L"]
    assert len(reached_by(function)) == 2


def test_two_names_of_one_variable_have_one_place(tmp_path: Path) -> None:
    with Modules(tmp_path, {"m.py": "K = 1\ndef g(): return K\n"}):
        namespace = run("import m\ndef f(): return m.K")
        (mine,), (its,) = reached_by(namespace["f"]), reached_by(namespace["m"].g)
        assert mine.place == its.place is not None


def test_order_is_that_of_the_names() -> None:
    items = reached_by(run("b = a = 1\ndef f(): return b, a")["f"])
    assert [item.label for item in items] == ["global a", "global b"]
    assert all(isinstance(item, Reached) for item in items)


@pytest.mark.parametrize(
    ("obj", "followed"),
    [
        (json.dumps, False),
        (json.JSONDecoder, False),
        (json, False),
        (len, False),
        (logging.getLogger, False),
        (functools.partial(len), True),
        (functools.lru_cache(len), True),
        (run("def f(): pass")["f"], True),
        (run("class C: pass")["C"], True),
        (run("f = lambda: 1")["f"], True),
        (3, False),
        ("text", False),
    ],
)
def test_is_followed(obj: Any, followed: bool) -> None:
    assert is_followed(obj) is followed


def test_is_code() -> None:
    assert is_code(len)
    assert is_code(json)
    assert is_code(property(len))
    assert not is_code(3)
    assert not is_code(run("class C:\n    def __call__(self): pass\nc = C()")["c"])


def test_name_of() -> None:
    import random

    assert name_of(json.dumps) == "json:dumps"
    assert name_of(json.JSONDecoder.decode) == "json.decoder:JSONDecoder.decode"
    assert name_of(len) == "builtins:len"
    assert name_of(str.join) == "builtins:str.join"
    assert name_of(random.shuffle) == "random:shuffle"
    assert name_of(json) == "json:"


def test_own_digest_is_of_the_code_alone() -> None:
    def digest(source: str) -> str:
        return own_digest(run(source)["f"])

    assert digest("K = 1\ndef f(): return K") == digest("K = 2\ndef f(): return K")
    assert digest("def f(a=1): return a") == digest("def f(a=2): return a")
    assert digest("def f(): return 1") != digest("def f(): return 2")
    assert digest("class f: pass") != digest("class g: pass\nf = g")
    assert own_digest(json.dumps) != own_digest(json.loads)


def test_own_digest_of_a_function_under_another_name_is_the_same() -> None:
    namespace = run("def g(): return 1\nf = g")
    assert own_digest(namespace["f"]) == own_digest(namespace["g"])
