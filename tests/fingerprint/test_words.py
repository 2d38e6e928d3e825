"""What decorators, factories and the user write on functions, classes and wrappers counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cascade_nb.fingerprint.keys import function_key
from tests.fingerprint.scenarios import Modules, key_of, run

WRITTEN = {
    "name of a function": (
        "def g(): pass\ng.__name__ = 'a'\ndef f(x): return g.__name__",
        ("'a'", "'b'"),
    ),
    "qualified name of a function": (
        "def g(): pass\ng.__qualname__ = 'a'\ndef f(x): return g.__qualname__",
        ("'a'", "'b'"),
    ),
    "module of a function": (
        "def g(): pass\ng.__module__ = 'a'\ndef f(x): return g.__module__",
        ("'a'", "'b'"),
    ),
    "name that a factory gives": (
        "def make(name):\n  def g(): pass\n  g.__name__ = name\n  return g\n"
        "gs = [make('a')]\ndef f(x): return gs[0].__name__",
        ("'a'", "'b'"),
    ),
    "special attribute of a function": (
        "def g(): pass\ng.__version__ = 1\ndef f(x): return g.__version__",
        ("= 1", "= 2"),
    ),
    "signature that a function is given": (
        "import inspect\ndef g(*a): pass\ndef h(a): pass\ng.__signature__ = inspect.signature(h)\n"
        "def f(x): return str(inspect.signature(g))",
        ("h(a)", "h(b)"),
    ),
    "name of a class": (
        "class C: pass\nC.__name__ = 'a'\ndef f(x): return C.__name__",
        ("'a'", "'b'"),
    ),
    "abstract method": (
        "import abc\nclass C(abc.ABC):\n  @abc.abstractmethod\n  def m(self): pass\n"
        "def f(x): return C()",
        ("@abc.abstractmethod", "@staticmethod"),
    ),
    "protocol for isinstance": (
        "from typing import Protocol, final, runtime_checkable\n@runtime_checkable\n"
        "class P(Protocol):\n  a: int\ndef f(x): return isinstance(x, P)",
        ("@runtime_checkable", "@final"),
    ),
    "parameters of a base": (
        "from typing import List\nclass C(List[int]): pass\ndef f(x): return C.__orig_bases__",
        ("[int]", "[str]"),
    ),
    "texts on slots": (
        "class C: __slots__ = {'a': 'why'}\ndef f(x): return C.__slots__['a']",
        ("why", "how"),
    ),
    "new type": (
        "from typing import NewType\nN = NewType('N', int)\ndef f(x): return N.__supertype__",
        ("int)", "str)"),
    ),
    "docstring of a property": (
        "class C:\n  p = property(lambda self: 1, doc='a')\ndef f(x): return C.p.__doc__",
        ("'a'", "'b'"),
    ),
    "types that a cache tells apart": (
        "import functools\n@functools.lru_cache(typed=True)\ndef g(x): return x\n"
        "def f(x): return g(1), g(1.0)",
        ("typed=True", "typed=False"),
    ),
    "attribute of a cache": (
        "import functools\n@functools.lru_cache\ndef g(x): return x\ng.k = 1\ndef f(x): return g.k",
        ("= 1", "= 2"),
    ),
    "attribute of a partial": (
        "import functools\ng = functools.partial(int)\ng.k = 1\ndef f(x): return g.k",
        ("= 1", "= 2"),
    ),
    "property of a class of one's own": (
        "class P(property):\n  def __get__(self, i, o): return super().__get__(i, o) + 1\n"
        "class C:\n  @P\n  def k(self): return 1\ndef f(x): return C().k",
        ("+ 1", "+ 2"),
    ),
    "state of a property": (
        "class P(property): pass\nclass C:\n  @P\n  def k(self): return 1\n"
        "C.__dict__['k'].z = 1\ndef f(x): return C.__dict__['k'].z",
        ("z = 1", "z = 2"),
    ),
    "partial of a class of one's own": (
        "import functools\nclass P(functools.partial):\n"
        "  def __call__(self, *a): return super().__call__(*a) + 1\n"
        "g = P(abs)\ndef f(x): return g(x)",
        ("+ 1", "+ 2"),
    ),
    "cached property of a class of one's own": (
        "import functools\nclass P(functools.cached_property):\n"
        "  def __get__(self, i, o): return super().__get__(i, o) + 1\n"
        "class C:\n  @P\n  def k(self): return 1\ndef f(x): return C().k",
        ("+ 1", "+ 2"),
    ),
    "static method of a class of one's own": (
        "class P(staticmethod):\n  def __get__(self, i, o): return 1\n"
        "class C:\n  @P\n  def k(): pass\ndef f(x): return C.k",
        ("return 1", "return 2"),
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_on_code_counts(name: str) -> None:
    state, edit = WRITTEN[name]
    assert key_of(state).digest == key_of(state).digest
    assert key_of(state).digest != key_of(state.replace(*edit)).digest


@pytest.mark.parametrize("text", ["__version__ = {}", "def __getattr__(name): return {}"])
def test_special_names_of_a_module_that_is_used_as_a_whole_count(text: str, tmp_path: Path) -> None:
    keys = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Modules(folder, {"helper_of_words.py": text.format(number)}):
            state = "import helper_of_words as h\ndef f(x): return getattr(h, x)"
            keys.append(key_of(state, "{'x': '__version__'}").digest)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("mark", ["final", "override", "no_type_check"])
def test_what_is_written_for_type_checkers_does_not(mark: str) -> None:
    state = f"import typing\nmark = getattr(typing, {mark!r}, lambda g: g)\n"
    helper = "def g(): return 1\ndef f(x): return g()"
    assert key_of(f"{state}@mark\n{helper}").digest == key_of(state + helper).digest


def test_what_functools_remembers_in_its_wrappers_does_not() -> None:
    space = run(
        "import functools\nclass C:\n  @functools.singledispatchmethod\n"
        "  def m(self, a): return a\n  @functools.cached_property\n  def p(self): return 1\n"
        "def f(x): return C().m(1), C().p"
    )
    before = function_key(space["f"], {"x": 1})
    space["f"](1)
    assert function_key(space["f"], {"x": 1}).parts == before.parts
