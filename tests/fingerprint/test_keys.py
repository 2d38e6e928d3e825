# ruff: noqa: E501 - a scenario is a line

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint import values
from cascade_nb.fingerprint.changes import describe_change
from cascade_nb.fingerprint.keys import (
    changed_parts,
    code_digest,
    function_key,
)
from tests.fingerprint.scenarios import Modules, Scenario, key_of, run, two_keys

PLAIN = """
K = [1, 2]
RATE = 0.5
def clean(x):
    '''Clean it.'''
    return scale(x) * 10
def scale(x):
    return x * RATE
def f(x):
    # a comment
    return clean(x) + K[0]
"""
CLASSES = """
class Base:
    rate = 2
    def up(self, x):
        return x + 1
class Model(Base):
    '''A model.'''
    bias: int = 7
    def __init__(self, a):
        self.a = a
    def fit(self, x):
        return self.up(x) * self.bias
    @property
    def double(self):
        return self.a * 2
    @staticmethod
    def fixed(x):
        return x - 1
    @classmethod
    def make(cls):
        return cls(4)
def f(x):
    return Model(1).fit(x)
"""
DECORATED = """
import functools
def timed(factor):
    def around(function):
        @functools.wraps(function)
        def wrapper(*a):
            return function(*a) * factor
        return wrapper
    return around
@timed(2)
def clean(x):
    return x + 1
def f(x):
    return clean(x)
"""
STEPS = """
class Q:
    def a(self): pass
    def b(self): pass
"""
SWAPPED = [("def a(", "def c("), ("def b(", "def a("), ("def c(", "def b(")]
FACTORY = """
def make(n):
    def inner(x):
        return x + n
    return inner
f = make(1)
"""


def scenario(name: str, state: str, *edits: tuple[str, str], **more: Any) -> Scenario:
    return Scenario(name, state, edits, **more)


DIFFERENT = [
    scenario("constant's type", "def f(x): return 1", ("1", "'1'")),
    scenario("int and float", "def f(x): return 1", ("1", "1.0")),
    scenario("int and bool", "def f(x): return 1", ("1", "True")),
    scenario("str and bytes", "def f(x): return 'a'", ("'a'", "b'a'")),
    scenario("run-together constants", "def f(x): return [x*10, 23]", ("10, 23", "102, 3")),
    scenario("regrouped", "def f(x): return (1, (2, 3))", ("(1, (2, 3))", "((1, 2), 3)")),
    scenario("operator", "def f(x): return x + 1", ("+", "-")),
    scenario("async", "def f(x): return x", ("def", "async def")),
    scenario("name of an attribute", "def f(x): return x.a", ("x.a", "x.b")),
    scenario("global scalar", PLAIN, ("RATE = 0.5", "RATE = 0.25")),
    scenario("global type", PLAIN, ("RATE = 0.5", "RATE = 1")),
    scenario("global list", PLAIN, ("[1, 2]", "[1, 3]")),
    scenario("helper", PLAIN, ("* 10", "* 11")),
    scenario("helper's helper", PLAIN, ("x * RATE", "x / RATE")),
    scenario("global is gone", PLAIN, ("RATE = 0.5", "")),
    scenario("helper is gone", PLAIN, ("def scale", "def scale2")),
    scenario("shadowed builtin", "def f(x): return len(x)", ("def f", "len = 3\ndef f")),
    scenario("shadowing function", "def len(x): return 1\ndef f(x): return len(x)", ("1", "2")),
    scenario("import rebound", "from math import sin as g\ndef f(x): return g(x)", ("sin", "cos")),
    scenario("module rebound", "import json as m\ndef f(x): return m.dumps", ("json", "pickle")),
    scenario("dict order", "K = {'a': 1, 'b': 2}\ndef f(x): return K", ("'a': 1, 'b': 2", "'b': 2, 'a': 1")),
    scenario("shared list", "A = [1]\nB = A\ndef f(x): return A, B", ("B = A", "B = [1]")),
    # classes
    scenario("method", CLASSES, ("* self.bias", "+ self.bias")),
    scenario("inherited method", CLASSES, ("x + 1", "x + 2")),
    scenario("class attribute", CLASSES, ("= 7", "= 8")),
    scenario("inherited attribute", CLASSES, ("rate = 2", "rate = 3")),
    scenario("annotation of a class", CLASSES, ("bias: int", "bias: float")),
    scenario("property", CLASSES, ("self.a * 2", "self.a * 3")),
    scenario("static method", CLASSES, ("x - 1", "x - 2")),
    scenario("class method", CLASSES, ("cls(4)", "cls(5)")),
    scenario("base", CLASSES, ("Model(Base)", "Model"), ("self.up(x)", "x")),
    scenario("class of an argument", CLASSES + "def f(x): return x.fit(2)", ("* self.bias", "+ self.bias"), arguments="{'x': Model(1)}"),
    scenario("state of self", CLASSES, ("Model(1)", "Model(2)")),
    scenario("patched method", CLASSES, ("def f(", "Model.fit = lambda self, x: 0\ndef f(")),
    scenario("patched instance", CLASSES + "m = Model(1)\ndef f(x): return m.fit(x)", ("def f(x): return m", "m.fit = lambda x: 0\ndef f(x): return m")),
    scenario("metaclass", "class M(type):\n    def __call__(cls): return 1\nclass C(metaclass=M): pass\ndef f(x): return C()", ("return 1", "return 2")),
    scenario("init_subclass", "class B:\n    def __init_subclass__(cls): cls.k = 1\nclass C(B): pass\ndef f(x): return C.k", ("k = 1", "k = 2")),
    scenario("super", "class B:\n    def g(self): return 1\nclass C(B):\n    def g(self): return super().g()\ndef f(x): return C().g()", ("return 1", "return 2")),
    scenario("callable instance", "class C:\n    def __call__(self, x): return 1\ng = C()\ndef f(x): return g(x)", ("return 1", "return 2")),
    scenario("descriptor", "class D:\n    def __get__(self, *a): return 1\nclass C:\n    d = D()\ndef f(x): return C().d", ("return 1", "return 2")),
    scenario("dataclass default", "from dataclasses import dataclass\n@dataclass\nclass C:\n    a: int = 1\ndef f(x): return C()", ("= 1", "= 2")),
    scenario("dataclass flag", "from dataclasses import dataclass\n@dataclass(order=True)\nclass C:\n    a: int = 1\ndef f(x): return C()", ("order=True", "order=False")),
    scenario("dataclass field", "from dataclasses import dataclass, field\n@dataclass\nclass C:\n    a: int = field(default=1, repr=True)\ndef f(x): return C()", ("repr=True", "repr=False")),
    scenario("enum value", "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\ndef f(x): return E.A", ("A = 1", "A = 3")),
    scenario("enum order", "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\ndef f(x): return list(E)", ("    A = 1\n    B = 2", "    B = 2\n    A = 1")),
    scenario("namedtuple fields", "from collections import namedtuple\nP = namedtuple('P', 'a b')\ndef f(x): return P(1, 2)", ("'a b'", "'b a'")),
    scenario("namedtuple default", "from typing import NamedTuple\nclass P(NamedTuple):\n    a: int = 1\ndef f(x): return P()", ("= 1", "= 2")),
    scenario("slots", "class C:\n    __slots__ = ('a',)\ndef f(x): return C()", ("('a',)", "('b',)")),
    scenario("class of a factory", "def make(n):\n    class C:\n        def g(self): return n\n    return C\nC = make(1)\ndef f(x): return C().g()", ("make(1)", "make(2)")),
    # closures, defaults, decorators
    scenario("closure value", FACTORY, ("make(1)", "make(2)")),
    scenario("closure function", "def make(g):\n    def f(x): return g(x)\n    return f\nf = make(lambda x: x + 1)", ("x + 1", "x + 2")),
    scenario("shared cell", "def make():\n    n = 0\n    def a(): return n\n    def b(): return n\n    return a, b\na, b = make()\ndef f(x): return a(), b()", ("a, b = make()", "a, _ = make()\n_, b = make()")),
    scenario("default of a helper", "D = 1\ndef g(x=D): return x\ndef f(x): return g()", ("D = 1", "D = 2")),
    scenario("keyword default", "D = 1\ndef g(*, x=D): return x\ndef f(x): return g()", ("D = 1", "D = 2")),
    scenario("own default", "D = 1\ndef f(x=D): return x", ("D = 1", "D = 2")),
    scenario("decorator", DECORATED, ("* factor", "+ factor")),
    scenario("decorator's closure", DECORATED, ("timed(2)", "timed(3)")),
    scenario("decorated function", DECORATED, ("x + 1", "x + 2")),
    scenario("function attribute", "def g(x): return g.k\ng.k = 1\ndef f(x): return g(x)", ("g.k = 1", "g.k = 2")),
    scenario("lambda", "g = lambda x: x + 1\ndef f(x): return g(x)", ("x + 1", "x + 2")),
    scenario("lambdas on one line", "g, h = (lambda x: x + 1), (lambda x: x + 2)\ndef f(x): return g(x)", ("return g", "return h")),
    scenario("one of two lambdas", "g, h = (lambda x: x + 1), (lambda x: x + 2)\ndef f(x): return h(x)", ("x + 2", "x + 3")),
    scenario("partial argument", "from functools import partial\ndef g(a, x): return a\nh = partial(g, 1)\ndef f(x): return h(x)", ("g, 1", "g, 2")),
    scenario("partial function", "from functools import partial\ndef g(a, x): return a\nh = partial(g, 1)\ndef f(x): return h(x)", ("return a", "return -a")),
    scenario("cached function", "from functools import lru_cache\n@lru_cache\ndef g(x): return 1\ndef f(x): return g(x)", ("return 1", "return 2")),
    scenario("singledispatch", "from functools import singledispatch\n@singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return 1\ndef f(x): return g(x)", ("return 1", "return 2")),
    scenario("dispatched type", "from functools import singledispatch\n@singledispatch\ndef g(x): return 0\n@g.register\ndef _(x: int): return 1\ndef f(x): return g(x)", ("x: int", "x: float")),
    scenario("cached_property", "from functools import cached_property\nclass C:\n    @cached_property\n    def p(self): return 1\ndef f(x): return C().p", ("return 1", "return 2")),
    scenario("total_ordering", "from functools import total_ordering\n@total_ordering\nclass C:\n    def __eq__(self, o): return True\n    def __lt__(self, o): return True\ndef f(x): return C()", ("def __lt__(self, o): return True", "def __lt__(self, o): return False")),
    scenario("bound method", CLASSES + "g = Model(1).fit\ndef f(x): return g(x)", ("Model(1).fit", "Model(2).fit")),
    scenario("contextmanager", "from contextlib import contextmanager\n@contextmanager\ndef g(): yield 1\ndef f(x):\n    with g() as y: return y", ("yield 1", "yield 2")),
    scenario("attrs default", "import attrs\n@attrs.define\nclass C:\n    a: int = 1\ndef f(x): return C()", ("= 1", "= 2")),
    scenario("attrs method", "import attrs\n@attrs.define\nclass C:\n    a: int = 1\n    def m(self): return 1\ndef f(x): return C().m()", ("return 1", "return 2")),
    scenario("attrs validator", "import attrs\n@attrs.define\nclass C:\n    a: int = attrs.field(default=1)\n    @a.validator\n    def check(self, *a): return 1\ndef f(x): return C()", ("return 1", "return 2")),
    scenario("pydantic default", "import pydantic\nclass C(pydantic.BaseModel):\n    a: int = 1\ndef f(x): return C()", ("= 1", "= 2")),
    scenario("pydantic constraint", "import pydantic\nclass C(pydantic.BaseModel):\n    a: int = pydantic.Field(1, gt=0)\ndef f(x): return C()", ("gt=0", "gt=-1")),
    scenario("pydantic type", "import pydantic\nclass C(pydantic.BaseModel):\n    a: int = 1\ndef f(x): return C()", ("a: int", "a: float")),
    scenario("pydantic method", "import pydantic\nclass C(pydantic.BaseModel):\n    def m(self): return 1\ndef f(x): return C().m()", ("return 1", "return 2")),
    scenario("pydantic validator", "import pydantic\nclass C(pydantic.BaseModel):\n    a: int = 1\n    @pydantic.field_validator('a')\n    @classmethod\n    def v(cls, a): return 1\ndef f(x): return C()", ("return 1", "return 2")),
    scenario("pydantic configuration", "import pydantic\nclass C(pydantic.BaseModel):\n    model_config = {'frozen': True}\ndef f(x): return C()", ("True", "False")),
    scenario("abstract method", "import abc\nclass B(abc.ABC):\n    @abc.abstractmethod\n    def m(self): return 1\nclass C(B):\n    def m(self): return super().m()\ndef f(x): return C().m()", ("return 1", "return 2")),
    scenario("protocol", "import typing\nclass P(typing.Protocol):\n    def m(self): return 1\nclass C(P): pass\ndef f(x): return C().m()", ("return 1", "return 2")),
    scenario("generic class", "import typing\nT = typing.TypeVar('T')\nclass C(typing.Generic[T]):\n    def m(self): return 1\ndef f(x): return C[int]().m()", ("return 1", "return 2")),
    scenario("flag boundary", "import enum\nclass E(enum.Flag, boundary=enum.KEEP):\n    A = 1\ndef f(x): return E(x)", ("KEEP", "STRICT")),
    scenario("enum method", "import enum\nclass E(enum.Enum):\n    A = 1\n    @classmethod\n    def _missing_(cls, v): return cls.A if v == 1 else None\ndef f(x): return E(x)", ("v == 1", "v == 2")),
    scenario("code object replaced", "def g(): return 1\ndef h(): return 2\ndef f(x): return g()", ("def f", "g.__code__ = h.__code__\ndef f")),
    scenario("without source", "exec('def g(): return 1')\ndef f(x): return g()", ("return 1", "return 2")),
    # containers and arguments
    scenario("function argument", "def g(): return 1\ndef f(x): return x()", ("return 1", "return 2"), arguments="{'x': g}"),
    scenario("lambda argument", "g = lambda: 1\ndef f(x): return x()", ("lambda: 1", "lambda: 2"), arguments="{'x': g}"),
    scenario("argument's helper", "def h(): return 1\ndef g(): return h()\ndef f(x): return x()", ("return 1", "return 2"), arguments="{'x': [g]}"),
    scenario("dict of functions", "def a(): return 1\nT = {'a': a}\ndef f(x): return T['a']()", ("return 1", "return 2")),
    scenario("registry that refers back", "T = {}\ndef a(x): return T['b'](x)\ndef b(x): return 1\nT.update(a=a, b=b)\ndef f(x): return T['a'](x)", ("return 1", "return 2")),
    scenario("mutual recursion", "def a(n): return n and b(n - 1)\ndef b(n): return a(n) + 1\ndef f(x): return a(x)", ("+ 1", "+ 2")),
    scenario("recursion", "def f(x): return x and f(x - 1)", ("x - 1", "x - 2")),
    scenario("instance with a callback", "class C: pass\nc = C()\nc.hook = lambda: 1\ndef f(x): return c.hook()", ("lambda: 1", "lambda: 2")),
    scenario("inside a comprehension", "def g(x): return 1\ndef f(x): return [g(y) for y in x]", ("return 1", "return 2")),
    scenario("inside a nested function", "def g(x): return 1\ndef f(x):\n    def inner(): return g(x)\n    return inner()", ("return 1", "return 2")),
    scenario("inside a nested class", "K = 1\ndef f(x):\n    class C:\n        k = K\n    return C.k", ("K = 1", "K = 2")),
    scenario("generator helper", "def g(): yield 1\ndef f(x): return list(g())", ("yield 1", "yield 2")),
    scenario("async helper", "async def g(): return 1\nasync def f(x): return await g()", ("return 1", "return 2")),
    scenario("global statement", "n = 1\ndef f(x):\n    global n\n    n = x", ("n = 1", "n = 2")),
    scenario("default in a nested signature", "K = 1\ndef f(x):\n    def g(y=K): return y\n    return g()", ("K = 1", "K = 2")),
    # texts that are code
    scenario("eval", "K = 1\ndef f(x): return eval('K + 1')", ("K = 1", "K = 2")),
    scenario("exec", "def g(): return 1\ndef f(x): exec('y = g()')", ("return 1", "return 2")),
    scenario("query", "K = 1\ndef f(x): return x.query('a > @K')", ("K = 1", "K = 2")),
    scenario("literal getattr", "def g(): return 1\nimport sys\ndef f(x): return getattr(sys, 'maxsize')", ("'maxsize'", "'maxunicode'")),
    scenario("literal globals", "K = 1\ndef f(x): return globals()['K']", ("K = 1", "K = 2")),
    # docstrings and annotations that are read
    scenario("docstring that is read", "def f(x):\n    'one'\n    return f.__doc__", ("'one'", "'two'")),
    scenario("helper's docstring that is read", "def g():\n    'one'\ndef f(x): return g.__doc__", ("'one'", "'two'")),
    scenario("annotations that are read", "import typing\ndef g(a: int): pass\ndef f(x): return typing.get_type_hints(g)", ("a: int", "a: float")),
    scenario("docstring of an argument that is read", "def g():\n    'one'\ndef f(x): return x.__doc__", ("'one'", "'two'"), arguments="{'x': g}"),
    scenario("docstring of an argument's class", "class C:\n    'one'\ndef f(x): return x.__doc__", ("'one'", "'two'"), arguments="{'x': [C()]}"),
    scenario("docstring read by a function in a list", "def g():\n    'one'\ndef h(): return g.__doc__\nT = [h]\ndef f(x): return T[0]()", ("'one'", "'two'")),
    scenario("annotations of an argument", "import typing\ndef g(a: int): pass\ndef f(x): return typing.get_type_hints(x)", ("a: int", "a: float"), arguments="{'x': g}"),
    scenario("annotation under a decorator", "def deco(g): return g\n@deco\ndef g(a: int): pass\ndef f(x): return g", ("a: int", "a: float")),
]  # fmt: skip

SAME = [
    scenario("order of members, not seen", STEPS + "def f(x): return Q().a(x), Q.b", *SWAPPED),
    scenario("order of members, sorted", STEPS + "def f(x): return dir(Q)", *SWAPPED),
    scenario("order of members, an instance's namespace", STEPS.replace("pass", "return vars(self)") + "def f(x): return Q().a(), Q().__dict__.get(x), vars(Q)['b']", *SWAPPED),
    scenario("order of members, metaclass that does not look", "class M(type):\n    def __call__(cls): return 1\n" + STEPS.replace("Q:", "Q(metaclass=M):") + "def f(x): return Q()", *SWAPPED),
    scenario("comment", PLAIN, ("# a comment", "# another one")),
    scenario("docstring of a helper", PLAIN, ("Clean it.", "Cleans.")),
    scenario("new docstring", "def f(x):\n    return 1", ("    return", "    'doc'\n    return")),
    scenario("whitespace", PLAIN, ("clean(x) + K[0]", "(clean( x )\n            + K[ 0 ])")),
    scenario("position", PLAIN, ("\nK =", "\n\n\n\nunused = 3\nK =")),
    scenario("spelling of literals", "def f(x): return 'a', 1000, 0x10", ("'a', 1000, 0x10", '"a", 1_000, 16')),
    scenario("annotation", "def f(x): return x", ("(x)", "(x: int) -> str")),
    scenario("annotation of a helper", PLAIN, ("def scale(x)", "def scale(x: float) -> float")),
    scenario("annotation of a local", "def f(x):\n    y = 1\n    return y", ("y = 1", "y: int = 1")),
    scenario("docstring of a class", CLASSES, ("A model.", "The model.")),
    scenario("code that is not reached", PLAIN + "def other(): return 1", ("return 1", "return 2")),
    scenario("order of definitions", "def a(): return 1\ndef b(): return 2\ndef f(x): return a() + b()",
             ("def a(): return 1\ndef b(): return 2", "def b(): return 2\ndef a(): return 1")),
    scenario("set order", "K = {'a', 'b'}\ndef f(x): return K", ("'a', 'b'", "'b', 'a'")),
    scenario("order of an instance's attributes", "class C: pass\nK = C()\nK.a = 1; K.b = 2\ndef f(x): return K",
             ("K.a = 1; K.b = 2", "K.b = 2; K.a = 1")),
    scenario("ignored global", "K = 1\ndef f(x): return K", ("K = 1", "K = 2"), ignore=frozenset({"K"})),
    scenario("ignored in a helper", "K = 1\ndef g(): return K\ndef f(x): return g()", ("K = 1", "K = object()"), ignore=frozenset({"K"})),
    scenario("ignored in a function inside of a value", "K = 1\ndef g(): return K\nT = [g]\ndef f(x): return T", ("K = 1", "K = 2"), ignore=frozenset({"K"})),
    scenario("filled lru_cache", "from functools import lru_cache\n@lru_cache\ndef g(x): return 1\ndef f(x): return g(x)", ("def f", "g(3)\ndef f")),
    scenario("dispatch cache", "from functools import singledispatch\n@singledispatch\ndef g(x): return 0\ndef f(x): return g(x)", ("def f", "g(3)\ndef f")),
    scenario("import of a name for annotations", "import decimal\ndef f(x): return x", ("(x)", "(x: decimal.Decimal)")),
    scenario("comment in a method", CLASSES, ("return cls(4)", "return cls(4)  # four")),
    scenario("unused module attribute", "import m\ndef f(x): return m.g(x)", ("OTHER = 1", "OTHER = 2"), files={"m.py": "OTHER = 1\ndef g(x): return x"}),
]  # fmt: skip

M = {
    "m.py": "K = 1\ndef g(x): return helper(x)\ndef helper(x): return x + K\nclass C:\n    v = 5\n"
}
P = {
    "p/__init__.py": "from p.sub import g\nimport p.data\n",
    "p/sub.py": "from . import data\ndef g(x): return data.K + x\n",
    "p/data.py": "K = 1\nL = [1]\n",
}
MODULES = [
    scenario("module function", "import m\ndef f(x): return m.g(x)", ("return helper(x)", "return helper(x) + 0"), files=M),
    scenario("module's helper", "import m\ndef f(x): return m.g(x)", ("x + K", "x - K"), files=M),
    scenario("module's constant", "import m\ndef f(x): return m.g(x)", ("K = 1", "K = 2"), files=M),
    scenario("from import", "from m import g\ndef f(x): return g(x)", ("x + K", "x - K"), files=M),
    scenario("from import constant", "from m import K\ndef f(x): return K", ("K = 1", "K = 2"), files=M),
    scenario("star import", "from m import *\ndef f(x): return g(x)", ("x + K", "x - K"), files=M),
    scenario("import as", "import m as q\ndef f(x): return q.K", ("K = 1", "K = 2"), files=M),
    scenario("class attribute of a module", "import m\ndef f(x): return m.C.v", ("v = 5", "v = 6"), files=M),
    scenario("import inside", "def f(x):\n    import m\n    return m.g(x)", ("x + K", "x - K"), files=M),
    scenario("from import inside", "def f(x):\n    from m import g as h\n    return h(x)", ("x + K", "x - K"), files=M),
    scenario("import inside, aliased", "def f(x):\n    import m as q\n    return q.K", ("K = 1", "K = 2"), files=M),
    scenario("import inside, missing", "def f(x):\n    try:\n        import m\n        return m.K\n    except ImportError: return 0", ("K = 1", "raise ImportError"), files=M),
    scenario("literal import_module", "import importlib\ndef f(x): return importlib.import_module('m').K", ("K = 1", "K = 2"), files=M),
    scenario("re-export", "import p\ndef f(x): return p.g(x)", ("+ x", "- x"), files=P),
    scenario("module of a package", "import p.data\ndef f(x): return p.data.K", ("K = 1", "K = 2"), files=P),
    scenario("through relative imports", "import p\ndef f(x): return p.g(x)", ("K = 1", "K = 2"), files=P),
    scenario("dotted import inside", "def f(x):\n    import p.data\n    return p.data.K", ("K = 1", "K = 2"), files=P),
    scenario("submodule from a package", "from p import data\ndef f(x): return data.L", ("[1]", "[2]"), files=P),
    scenario("list in a module", "import p.data as d\ndef f(x): return d.L", ("[1]", "[1, 2]"), files=P),
    scenario("patched module attribute", "import m\ndef f(x): return m.K", ("def f", "m.K = 9\ndef f"), files=M),
    scenario("patched module function", "import m\ndef f(x): return m.g(x)", ("def f", "m.g = lambda x: 0\ndef f"), files=M),
    scenario("order of members, gone over", STEPS + "def f(x): return [k for k in vars(Q)]", *SWAPPED),
    scenario("order of members, of any class", STEPS + "def g(c): return list(c.__dict__)\ndef f(x): return g(Q)", *SWAPPED),
    scenario("order of members, metaclass", "class M(type):\n    def __iter__(self): return iter(vars(self).values())\n" + STEPS.replace("Q:", "Q(metaclass=M):") + "def f(x): return list(Q)", *SWAPPED),
    scenario("order of a module's members", "import m\ndef f(x): return list(vars(m))", ("K = 1\nL = 2", "L = 2\nK = 1"), files={"m.py": "K = 1\nL = 2\n"}),
    scenario("module as a value", "import m\ndef f(x): return vars(m)[x]", ("K = 1", "K = 2"), files=M),
    scenario("module under a local name", "import m\ndef f(x):\n    q = m\n    return q.K", ("K = 1", "K = 2"), files=M),
    scenario("computed getattr of a module", "import m\ndef f(x): return getattr(m, x)", ("K = 1", "K = 2"), files=M),
    scenario("module in an argument", "import m\ndef f(x): return x.K", ("K = 1", "K = 2"), files=M, arguments="{'x': m}"),
    scenario("module's __getattr__", "import m\ndef f(x): return m.anything", ("return 1", "return 2"), files={"m.py": "def __getattr__(name): return 1"}),
    scenario("base class in a module", "import m\nclass D(m.C): pass\ndef f(x): return D.v", ("v = 5", "v = 6"), files=M),
]  # fmt: skip


@pytest.mark.parametrize("case", [*DIFFERENT, *MODULES], ids=lambda case: case.name)
def test_states_that_a_key_tells_apart(case: Scenario, tmp_path: Path) -> None:
    before, after = two_keys(case, tmp_path)
    if not case.same:
        assert before.digest != after.digest
        assert describe_change(before.account(), after.account())


@pytest.mark.parametrize("case", [*DIFFERENT, *MODULES], ids=lambda case: case.name)
def test_a_state_made_again_has_its_key(case: Scenario, tmp_path: Path) -> None:
    again = Scenario(case.name, case.state, (), files=case.files, arguments=case.arguments)
    before, after = two_keys(again, tmp_path)
    assert changed_parts(before, after) == []
    assert before.digest == after.digest


@pytest.mark.parametrize("case", SAME, ids=lambda case: case.name)
def test_states_that_share_a_key(case: Scenario, tmp_path: Path) -> None:
    before, after = two_keys(case, tmp_path)
    assert changed_parts(before, after) == []
    assert before.digest == after.digest


def test_a_module_of_the_users_is_counted_by_what_is_used_of_it(tmp_path: Path) -> None:
    case = Scenario(
        "", "import m\ndef f(x): return m.K", (("v = 5", "v = 6"), ("x + K", "x - K")), files=M
    )
    before, after = two_keys(case, tmp_path)
    assert before.digest == after.digest


def test_parts_have_the_users_words() -> None:
    key = key_of(PLAIN)
    assert sorted(key.parts) == [
        "argument x", "code", "global K", "global RATE", "helper clean", "helper scale", "names",
        "python",
    ]  # fmt: skip
    assert len(key.digest) == 64
    assert key.previews()["global K"] == "[1, 2]"


def test_parts_of_classes_closures_and_defaults() -> None:
    assert {"class Model", "class Base", "attribute Model.bias"} <= key_of(CLASSES).parts.keys()
    assert "closure n" in key_of(FACTORY).parts
    assert "default y" in key_of("def f(x, y=2): return x").parts


def test_clashing_labels_are_told_apart(tmp_path: Path) -> None:
    files = {"m.py": "K = 1\ndef g(): return K\n"}
    with Modules(tmp_path, files):
        key = key_of("import m\nK = 2\ndef f(x): return K, m.g()")
    assert {"global K", "global K (2)"} <= key.parts.keys()


def test_same_global_under_two_names_is_one_part(tmp_path: Path) -> None:
    with Modules(tmp_path, {"m.py": "K = 1\ndef g(): return K\n"}):
        key = key_of("import m\ndef f(x): return m.K, m.g()")
    assert [label for label in key.parts if label.startswith("global")] == ["global m.K"]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("RATE = 0.5", "RATE = 2", "global `RATE` changed: 0.5 -> 2"),
        ("* 10", "* 20", "helper `clean` changed (line 6)"),
        ("+ K[0]", "- K[0]", "code changed (line 11)"),
        ("RATE = 0.5", "", "global `RATE` is gone"),
    ],
)
def test_describe_change(before: str, after: str, text: str) -> None:
    old, new = key_of(PLAIN), key_of(PLAIN.replace(before, after))
    assert describe_change(old.account(), new.account()) == text


def test_describe_change_of_nothing() -> None:
    key = key_of(PLAIN)
    assert describe_change(key.account(), key.account()) == ""


def test_arguments_count_exactly() -> None:
    namespace = run("def f(x): return x")
    values = [1, 1.0, True, "1", b"1", [1], (1,), {1}, {1: 1}, None, 0.0, -0.0]
    digests = {function_key(namespace["f"], {"x": value}).digest for value in values}
    assert len(digests) == len(values)


def test_order_of_keyword_arguments_counts() -> None:
    f = run("def f(**k): return k")["f"]
    one = function_key(f, {"k": {"a": 1, "b": 2}})
    other = function_key(f, {"k": {"b": 2, "a": 1}})
    assert one.digest != other.digest


def test_sharing_between_arguments_counts() -> None:
    f = run("def f(a, b): return a is b")["f"]
    one = [1]
    shared, apart = function_key(f, {"a": one, "b": one}), function_key(f, {"a": one, "b": [1]})
    assert shared.digest != apart.digest
    change = describe_change(apart.account(), shared.account())
    assert change == "which values share an object is new"


def test_sharing_between_an_argument_and_a_global_counts() -> None:
    namespace = run("G = [1]\ndef f(a): return a is G")
    shared = function_key(namespace["f"], {"a": namespace["G"]})
    assert shared.digest != function_key(namespace["f"], {"a": [1]}).digest


def test_a_defaulted_call_shares_the_key_of_an_explicit_one() -> None:
    f = run("def f(a=[1]): return a")["f"]
    defaulted = function_key(f, {"a": f.__defaults__[0]})
    assert defaulted.digest == function_key(f, {"a": [1]}).digest


def test_ignored_arguments_are_in_no_part_and_no_preview() -> None:
    f = run("def f(x, client=None): return x")["f"]
    one = function_key(f, {"x": 1, "client": object()}, ignore=frozenset({"client"}))
    other = function_key(f, {"x": 1, "client": 2}, ignore=frozenset({"client"}))
    assert one.digest == other.digest
    assert not any("client" in label for label in (*one.parts, *one.previews()))


def test_secrets_are_in_no_preview() -> None:
    source = "password = 'xyzzy'\nC = {'api_key': 'xyzzy'}\nU = 'redis://me:xyzzy@host'\n"
    key = key_of(source + "def f(token): return password, C, U", "{'token': 'xyzzy'}")
    assert "xyzzy" not in str(key.previews())
    assert "xyzzy" not in str(key.parts)


def test_what_has_no_fingerprint_names_path_and_ignore() -> None:
    with pytest.raises(FingerprintError) as caught:
        key_of("import threading\nlock = threading.Lock()\ndef f(x): return lock")
    assert "global lock" in str(caught.value)
    assert "ignore=['lock']" in str(caught.value)
    assert caught.value.ignore == "lock"


def test_path_leads_into_a_value() -> None:
    with pytest.raises(FingerprintError) as caught:
        key_of("import threading\ndef f(x): return x", "{'x': {'a': [threading.Lock()]}}")
    assert caught.value.path == "argument x['a'][0]"


def test_version_counts() -> None:
    digests = {key_of(PLAIN, version=version).digest for version in (None, "1", "2")}
    assert len(digests) == 3


def test_environment_variables_with_literal_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for expression in (
        "os.environ['CX']",
        "os.environ.get('CX')",
        "os.getenv('CX')",
        "'CX' in os.environ",
        "environ['CX']",
        "getenv('CX')",
    ):
        source = f"import os\nfrom os import environ, getenv\ndef f(x): return {expression}"
        digests = []
        for value in (None, "", "1", "2"):
            if value is None:
                monkeypatch.delenv("CX", raising=False)
            else:
                monkeypatch.setenv("CX", value)
            key = key_of(source)
            digests.append(key.digest)
            assert "environment CX" in key.parts
            assert not key.risks
        assert len(set(digests)) == 4


def test_changed_parts_leaves_out_files_and_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    namespace = run("import os\nL = [1]\ndef f(x): return os.getenv('CX'), L")
    file = tmp_path / "a.txt"
    file.write_text("a")
    before = function_key(namespace["f"], {"x": 1}, reads=[str(file)])
    file.write_text("b")
    monkeypatch.setenv("CX", "1")
    namespace["L"].append(2)
    after = function_key(namespace["f"], {"x": 1}, reads=[str(file)])
    assert changed_parts(before, after) == ["global L"]


def test_reads_count_names_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "inner").mkdir(parents=True)
    seen = set()

    def look(*reads: str) -> bool:
        digest = key_of("def f(x): return x", reads=reads).digest
        new = digest not in seen
        seen.add(digest)
        return new

    assert look("data", "*.csv")
    (tmp_path / "data" / "inner" / "a").write_text("1")
    assert look("data", "*.csv")
    (tmp_path / "data" / "inner" / "a").write_text("2")
    assert look("data", "*.csv")
    (tmp_path / "data" / "inner" / "a").rename(tmp_path / "data" / "b")
    assert look("data", "*.csv")
    (tmp_path / "x.csv").write_text("")
    assert look("data", "*.csv")
    (tmp_path / "y.txt").write_text("")
    assert not look("data", "*.csv")


def test_distributions_that_are_named_or_define_types_count() -> None:
    assert "distribution blake3" in key_of("import blake3\ndef f(x): return blake3.blake3()").parts
    key = key_of("import numpy as np\ndef f(x): return x", "{'x': np.zeros(2)}")
    assert "distribution numpy" in key.parts
    assert "distribution numpy" not in key_of("import numpy as np\ndef f(x): return x").parts


def test_a_patched_attribute_of_an_installed_module_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    source = "import base64\ndef f(x): return base64.b64encode(x)"
    plain = key_of(source)
    monkeypatch.setattr(base64, "b64encode", run("def g(x): return 1")["g"])
    patched = key_of(source)
    monkeypatch.setattr(base64, "b64encode", run("def g(x): return 2")["g"])
    assert len({plain.digest, patched.digest, key_of(source).digest}) == 3


def test_callables_other_than_functions() -> None:
    namespace = run(CLASSES + "import functools\ng = functools.partial(f, 1)\nm = Model(1)")
    keys = {function_key(namespace[name], {}).digest for name in ("f", "Model", "g", "m")} | {
        function_key(namespace["m"].fit, {"x": 1}).digest,
        function_key(len, {"x": 1}).digest,
    }
    assert len(keys) == 6


@pytest.mark.parametrize("name", ["add", "sum", "random.default_rng", "linalg.inv", "float64"])
def test_functions_without_python_code_count_by_name(name: str) -> None:
    import numpy as np

    module, _, attribute = f"numpy.{name}".rpartition(".")
    imported = key_of(f"from {module} import {attribute} as g\ndef f(x): return g(x)")
    assert "distribution numpy" in imported.parts
    other = key_of("from numpy import multiply as g\ndef f(x): return g(x)")
    assert imported.digest != other.digest
    function = np
    for part in name.split("."):
        function = getattr(function, part)
    assert function_key(function, {"x": 1}).digest != function_key(np.multiply, {"x": 1}).digest


def test_callable_instance_counts_its_state_and_class() -> None:
    source = "class C:\n    def __init__(self, a): self.a = a\n    def __call__(self): return 1\n"
    keys = {
        key_of(text + f"f = C({state})", "{}").digest
        for text in (source, source.replace("return 1", "return 2"))
        for state in (1, 2)
    }
    assert len(keys) == 4


UNSEEN = "polars.read_csv reads a file under a computed path, unseen; name it in reads=[...]"
RISKY = {
    "time.time()": "reads the clock",
    "datetime.datetime.now()": "reads the clock",
    "dt.now()": "reads the clock",
    "clock()": "reads the clock",
    "random.random()": "draws random numbers without a seed",
    "shuffle(x)": "draws random numbers without a seed",
    "np.random.rand(2)": "draws random numbers without a seed",
    "random.random() < 0.5": "draws random numbers without a seed",
    "x[random.choice(x)]": "draws random numbers without a seed",
    "x.get(time.time())": "reads the clock",
    "np.random.default_rng()": "draws random numbers without a seed",
    "urllib.request.urlopen(x)": "may read from the network",
    "subprocess.run(x)": "runs another program",
    "getattr(x, x)": "an attribute is looked up under a computed name",
    "globals()[x]": "globals are looked up under computed names",
    "eval(x)": "code is computed and cannot be followed",
    "importlib.import_module(x)": "a module is imported under a computed name",
    "os.environ[x]": "environment variables are read under computed names",
    "dict(os.environ)": "environment variables are read under computed names",
    "variables['A']": "environment variables are read under computed names",
    "ask('A')": "environment variables are read under computed names",
    "at_once()": "reads the clock",
    "os.environ.copy()['A']": "environment variables are read under computed names",
    "os.path.expandvars(x)": "environment variables are read under computed names",
    "os.environb[b'A']": "environment variables are read under computed names",
    "os.getcwd()": "depends on the working folder",
    "sys.argv[1]": "reads the command line",
    "os.path.getmtime(x)": "asks for size or times of a file, and only its content counts",
    "pl.read_csv(json.loads(x))": UNSEEN,
    "pd.read_parquet(os.path.join('a', str(x.p())))": UNSEEN.replace(
        "polars.read_csv", "pandas.read_parquet"
    ),
    "[pl.read_csv(p) for p in json.load(x)]": UNSEEN,
    "int.__subclasses__()": "which classes derive from a class is not known here",
}
IMPORTS = """
import datetime, importlib, json, os, random, subprocess, sys, time, urllib.request
import numpy as np, pandas as pd, polars as pl
from datetime import datetime as dt
from random import shuffle
from time import time as clock; from os import environ as variables, getenv as ask; at_once = dt.now
"""


@pytest.mark.parametrize("expression", RISKY)
def test_risks_name_line_and_reason(expression: str) -> None:
    key = key_of(IMPORTS + f"def g(x):\n    return {expression}\ndef f(x): return g(x)")
    assert [(risk.line, risk.message) for risk in key.risks] == [(8, RISKY[expression])]


@pytest.mark.parametrize(
    "expression",
    [
        "random.Random(3)",
        "np.random.default_rng(3)",
        "(random.seed(1), random.random())",
        "(np.random.seed(1), np.random.rand())",
        "getattr(x, 'a')",
        "eval('x + 1')",
        "os.environ['A']",
        "datetime.datetime(2020, 1, 1)",
        "pl.read_csv('a.csv')",
        "pl.read_csv(x)",
        "pl.scan_parquet('data/*.parquet')",
        "pl.read_csv(x.paths['a'], separator=str(x))",
        "[pl.read_csv(p) for p in sorted(x)]",
        "pd.read_csv(os.path.join('a', x))",
        "pl.read_csv(f'{x}.csv')",
        "[pl.read_csv(p) for p in os.listdir()]",
    ],
)
def test_what_is_no_risk(expression: str) -> None:
    assert key_of(IMPORTS + f"def f(x):\n    return {expression}").risks == ()


def test_random_functions_imported_by_name_do_not_count_their_state() -> None:
    source = "from random import shuffle\ndef f(x): return shuffle(x)"
    import random

    before = key_of(source)
    random.random()
    assert before.digest == key_of(source).digest


def test_cached_functions_count_as_what_they_wrap() -> None:
    source = "{}def g(x): return 1\ndef f(x): return g(x)"
    cached = "from cascade_nb.fingerprint.keys import function_key as unrelated\n"
    key = key_of(source.format(cached))
    assert not any("cascade" in label for label in key.parts)


def test_code_digest_is_of_the_function_alone() -> None:
    one, other = run(PLAIN), run(PLAIN.replace("RATE = 0.5", "RATE = 1"))
    assert code_digest(one["f"]) == code_digest(other["f"])
    assert code_digest(one["f"]) != code_digest(one["clean"])


PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import program
from cascade_nb.fingerprint.keys import function_key
key = function_key(program.f, {"x": {"a", "b", ("c", 1)}})
print(json.dumps([key.digest, dict(key.parts)]))
"""


def key_in_a_process(folder: Path, seed: str) -> tuple[str, dict[str, str]]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env={"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    digest, parts = json.loads(ran.stdout)
    return digest, parts


def test_keys_are_equal_over_processes_and_hash_seeds(tmp_path: Path) -> None:
    source = PLAIN + CLASSES.replace("def f", "def e") + DECORATED.replace("def f", "def d")
    source = source.replace("return clean(x) + K[0]", "return scale(x) + K[0], e(x), d(x), S, T")
    source += "S = {'a', 'b', 'c', ('d', frozenset({1, 'x'}))}\nT = {'f': f, 'Model': Model}\n"
    (tmp_path / "program.py").write_text(source)
    first = key_in_a_process(tmp_path, "1")
    assert first == key_in_a_process(tmp_path, "2")
    (tmp_path / "program.py").write_text("# moved\n\n" + source)
    assert first == key_in_a_process(tmp_path, "3")
    (tmp_path / "program.py").write_text(source.replace("x * RATE", "x / RATE"))
    assert first[0] != key_in_a_process(tmp_path, "1")[0]


def test_what_runs_counts_and_not_an_edited_file(tmp_path: Path) -> None:
    with Modules(tmp_path, {"m.py": "def g(x): return x + 1\n"}):
        source = "import m\ndef f(x): return m.g(x)"
        loaded = key_of(source)
        (tmp_path / "m.py").write_text("def g(x): return x + 2\n")
        import m  # type: ignore[import-not-found]

        assert loaded.digest == key_of(source).digest
        # A function of its own, whose facts nobody has looked up yet.
        copied = type(m.g)(m.g.__code__.replace(co_name="g"), vars(m))
        assert code_digest(copied) != code_digest(run("def g(x): return x + 2")["g"])


def test_a_reloaded_module_counts_anew(tmp_path: Path) -> None:
    import importlib

    with Modules(tmp_path, {"m.py": "def g(x): return x + 1\n"}):
        namespace = run("import m\ndef f(x): return m.g(x)")
        before = function_key(namespace["f"], {"x": 1})
        (tmp_path / "m.py").write_text("def g(x): return x + 22\n")
        importlib.reload(namespace["m"])
        assert before.digest != function_key(namespace["f"], {"x": 1}).digest


def test_rebinding_within_one_session() -> None:
    namespace = run(PLAIN)
    digests = set()
    for change in ("K = [5]", "K.append(6)", "RATE = 7", "def scale(x): return x", "K[0] = [8]"):
        exec(change, namespace)
        digests.add(function_key(namespace["f"], {"x": 1}).digest)
    assert len(digests) == 5


CACHED = """
from cascade_nb import cached
@cached(ttl=60)
def g(x): return 1
T = [g]
def f(x): return g(x)
"""


@pytest.mark.parametrize("use", ["g(x)", "T[0](x)"])
def test_cached_helpers_count_as_what_they_wrap_and_their_version(use: str) -> None:
    source = CACHED.replace("return g(x)", f"return {use}")
    digest = key_of(source).digest
    assert digest == key_of(source.replace("ttl=60", "ttl=70, name='a'")).digest
    assert digest != key_of(source.replace("ttl=60", "version='2'")).digest
    assert digest != key_of(source.replace("return 1", "return 2")).digest
    assert not any("cascade" in label for label in key_of(source).parts)


def test_a_cached_method_bound_to_an_instance_counts_the_instance() -> None:
    source = "from cascade_nb import cached\nclass C:\n    def __init__(self, a): self.a = a\n"
    source += "    @cached\n    def m(self): return self.a\nb = C(1).m\ndef f(x): return b()"
    assert key_of(source).digest != key_of(source.replace("C(1)", "C(2)")).digest


def test_modules_imported_by_the_code_look_the_same_before_and_after(tmp_path: Path) -> None:
    source = (
        "def f(x):\n    import wave, xml.sax.saxutils as s\n    from wave import WAVE_FORMAT_PCM\n"
        "    from numpy import polynomial\n"
        "    return wave.open, s.escape, wave.WAVE_FORMAT_PCM, polynomial.Polynomial"
    )
    program = f"""
import sys
from cascade_nb.fingerprint.keys import changed_parts, function_key
exec({source!r})
before = function_key(f, {{"x": 1}})
assert "wave" not in sys.modules and "numpy" not in sys.modules
f(1)
assert "wave" in sys.modules and "numpy" in sys.modules
assert changed_parts(before, function_key(f, {{"x": 1}})) == []
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_classes_of_compiled_metaclasses_have_a_fingerprint() -> None:
    np = pytest.importorskip("numpy")
    compiled = type(np.random.default_rng)
    assert values.fingerprint(compiled) == values.fingerprint(compiled)


def test_a_path_named_in_reads_is_no_risk(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a")
    source = IMPORTS + "def f(x): return pl.read_csv(json.loads(x))"
    assert key_of(source).risks
    assert not key_of(source, reads=[str(tmp_path / "a.csv")]).risks


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be changed here")
@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ("datetime.datetime.fromtimestamp(x)", True),
        ("datetime.datetime(2020, 1, x + 1).timestamp()", True),
        ("time.mktime((2020, 1, 1, 0, 0, x, 0, 0, 0))", True),
        ("localtime(x)", True),
        ("datetime.datetime(2020, 1, x + 1).isoformat()", False),
        ("x + 1", False),
    ],
)
def test_the_local_time_zone_counts_where_it_is_asked_for(
    body: str, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    try:
        for zone in ("UTC", "Asia/Tokyo"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            source = f"import datetime, time\nfrom time import localtime\ndef f(x): return {body}"
            keys.append(key_of(source, "{'x': 1}"))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (keys[0].digest != keys[1].digest) is counts
    if counts:
        change = describe_change(keys[0].account(), keys[1].account())
        assert change == "the local time zone changed"
