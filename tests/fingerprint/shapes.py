"""Shapes of code that must all be told apart: each defines an `f` whose key is asked for.

``python -m tests.fingerprint.shapes pin`` writes the pinned fingerprints again: do so only
together with a new version of the normal form.
"""

from __future__ import annotations

import json
import pathlib
import sys

from cascade_nb.fingerprint.keys import digest_of, function_key
from tests.fingerprint.scenarios import run

PINNED = pathlib.Path(__file__).with_name("pinned_code.json")

# The same under every Python but for its number.
_OF_PYTHON = "python"

_FUNCTIONS = {
    "function": "def f(x): return x",
    "other name": "def g(x): return x\nf = g",
    "other argument": "def f(y): return y",
    "nothing": "def f(x): pass",
    "None": "def f(x): return None",
    "int": "def f(x): return 1",
    "float": "def f(x): return 1.0",
    "bool": "def f(x): return True",
    "text": "def f(x): return '1'",
    "bytes": "def f(x): return b'1'",
    "complex": "def f(x): return 1j",
    "ellipsis": "def f(x): return ...",
    "negative zero": "def f(x): return -0.0",
    "huge": "def f(x): return 10 ** 40",
    "surrogate": "def f(x): return '\\ud800'",
    "default": "def f(x=1): return x",
    "other default": "def f(x=2): return x",
    "default of another type": "def f(x=1.0): return x",
    "keyword": "def f(*, x): return x",
    "keyword default": "def f(*, x=1): return x",
    "positional": "def f(x, /): return x",
    "star": "def f(*x): return x",
    "stars": "def f(**x): return x",
    "every argument": "def f(a, /, b, *c, d, **e): return a, b, c, d, e",
    "lambda": "f = lambda x: x",
    "second of two lambdas": "f, g = lambda x: x + 1, lambda x: x + 2",
    "first of two lambdas": "g, f = lambda x: x + 1, lambda x: x + 2",
    "async": "async def f(x): return x",
    "await": "async def f(x): return await x",
    "generator": "def f(x): yield x",
    "yield from": "def f(x): yield from x",
    "async generator": "async def f(x): yield x",
    "recursion": "def f(x): return f(x - 1) if x else 0",
    "mutual recursion": "def g(x): return f(x)\ndef f(x): return g(x) if x else 0",
    "helper": "def g(x): return x + 1\ndef f(x): return g(x)",
    "helper of a helper": "def h(x): return x + 1\ndef g(x): return h(x)\ndef f(x): return g(x)",
    "inner function": "def f(x):\n  def g(): return x\n  return g()",
    "nonlocal": "def f(x):\n  def g():\n    nonlocal x\n    x = 1\n  g()\n  return x",
    "global": "k = 1\ndef f(x):\n  global k\n  k = x",
    "closure": "def make(k):\n  def f(x): return x + k\n  return f\nf = make(1)",
    "other closure": "def make(k):\n  def f(x): return x + k\n  return f\nf = make(2)",
    "empty closure": "def make():\n  def f(x): return k\n  return f\n  k = 1\nf = make()",
    "absent": "def f(x): return nowhere",
    "global int": "K = 1\ndef f(x): return K",
    "global text": "K = '1'\ndef f(x): return K",
    "global list": "K = [1]\ndef f(x): return K",
    "global of many": "K = {'a': [1, (2.5, None)], 'b': {3}}\ndef f(x): return K",
    "shared globals": "A = []\nB = A\ndef f(x): return A, B",
    "equal globals": "A = []\nB = []\ndef f(x): return A, B",
    "dotted": "import math\ndef f(x): return math.sin(x)",
    "other dotted": "import math\ndef f(x): return math.cos(x)",
    "import inside": "def f(x):\n  import math\n  return math.sin(x)",
    "from import inside": "def f(x):\n  from math import sin\n  return sin(x)",
    "environment": "import os\ndef f(x): return os.environ.get('CASCADE_TEST_OF_SHAPES')",
}

_BODIES = {
    "list": "return [x, 1]",
    "tuple": "return (x, 1)",
    "set": "return {x, 1}",
    "dict": "return {x: 1}",
    "merged dict": "return {**x, 'a': 1}",
    "spread": "return [*x, 1]",
    "comprehension": "return [a for a in x]",
    "filtered comprehension": "return [a for a in x if a]",
    "set comprehension": "return {a for a in x}",
    "dict comprehension": "return {a: a for a in x}",
    "generator expression": "return sum(a for a in x)",
    "nested comprehension": "return [b for a in x for b in a]",
    "comprehension in another": "return [[b for b in a] for a in x]",
    "sum": "return x + 1",
    "difference": "return x - 1",
    "difference the other way": "return 1 - x",
    "power": "return x ** 2",
    "matrix product": "return x @ x",
    "comparison": "return 1 < x",
    "chained comparison": "return 1 < x < 3",
    "and": "return x and 1",
    "or": "return x or 1",
    "not": "return not x",
    "inverted": "return ~x",
    "in": "return 1 in x",
    "not in": "return 1 not in x",
    "is": "return x is None",
    "condition": "return 1 if x else 2",
    "attribute": "return x.a",
    "other attribute": "return x.b",
    "item": "return x[0]",
    "slice": "return x[1:2]",
    "slice with a step": "return x[1:2:3]",
    "slices": "return x[1:2, ...]",
    "call": "return x()",
    "call with a keyword": "return x(a=1)",
    "call with stars": "return x(*x, **x)",
    "f-string": "return f'{x}'",
    "f-string with text": "return f'a{x}b'",
    "f-string with a format": "return f'{x:>10}'",
    "f-string with a nested format": "return f'{x:{x}}'",
    "f-string with a conversion": "return f'{x!r}'",
    "walrus": "return (y := x)",
    "inner lambda": "return lambda: x",
    "inner lambda with a default": "return lambda y=x: y",
    "assignment": "y = x\nreturn y",
    "two targets": "y = z = x\nreturn y, z",
    "unpacking": "y, z = x\nreturn y",
    "unpacking the rest": "y, *z = x\nreturn y",
    "augmented": "x += 1\nreturn x",
    "deletion": "del x[0]\nreturn x",
    "if": "if x:\n  return 1",
    "if and else": "if x:\n  return 1\nelse:\n  return 2",
    "for": "for a in x:\n  print(a)",
    "for and else": "for a in x:\n  break\nelse:\n  print(a)",
    "continue": "for a in x:\n  continue",
    "while": "while x:\n  x -= 1",
    "with": "with x:\n  return 1",
    "with as": "with x as y:\n  return y",
    "two in a with": "with x as y, y as z:\n  return z",
    "try": "try:\n  return 1 / x\nexcept ZeroDivisionError:\n  return 0",
    "try as": "try:\n  return 1 / x\nexcept ZeroDivisionError as e:\n  return e",
    "try of any": "try:\n  return 1 / x\nexcept:\n  return 0",
    "finally": "try:\n  return 1\nfinally:\n  print(x)",
    "try and else": "try:\n  x()\nexcept ValueError:\n  pass\nelse:\n  return 1",
    "except star": "try:\n  x()\nexcept* ValueError:\n  pass",
    "raise": "raise ValueError(x)",
    "raise from": "raise ValueError(x) from None",
    "assert": "assert x",
    "assert with words": "assert x, 'why'",
    "match": "match x:\n  case 1: return 2",
    "match or": "match x:\n  case 1 | 2: return 2",
    "match sequence": "match x:\n  case [a, *b]: return a, b",
    "match mapping": "match x:\n  case {'a': a, **b}: return a, b",
    "match class": "match x:\n  case complex(real=a): return a",
    "match as": "match x:\n  case (1 | 2) as a: return a",
    "match with a guard": "match x:\n  case a if a > 1: return a",
    "match singleton": "match x:\n  case None: return 1",
    "inner class": "class C:\n  a = x\nreturn C",
    "inner class with a base": "class C(list):\n  a = x\nreturn C",
    "eval": "return eval('x + 1')",
}

_ASYNC_BODIES = {
    "async for": "async for a in x:\n  print(a)",
    "async with": "async with x as y:\n  return y",
    "async comprehension": "return [a async for a in x]",
}

_USED = {
    "class": "class C: pass",
    "class with an attribute": "class C: a = 1",
    "class with a method": "class C:\n  def m(self): return 1",
    "class with another method": "class C:\n  def m(self): return 2",
    "class with a base": "class B: a = 1\nclass C(B): pass",
    "class with two bases": "class A: a = 1\nclass B: a = 2\nclass C(A, B): pass",
    "class with bases the other way": "class A: a = 1\nclass B: a = 2\nclass C(B, A): pass",
    "class of a builtin": "class C(list): pass",
    "class with slots": "class C: __slots__ = ('a',)",
    "class with a property": "class C:\n  @property\n  def p(self): return 1",
    "class with a setter": (
        "class C:\n  @property\n  def p(self): return 1\n  @p.setter\n  def p(self, v): self.q = v"
    ),
    "class with a static method": "class C:\n  @staticmethod\n  def m(self): return 1",
    "class with a class method": "class C:\n  @classmethod\n  def m(self): return 1",
    "class with super": (
        "class B:\n  def m(self): return 1\nclass C(B):\n  def m(self): return super().m()"
    ),
    "class with a private name": "class C:\n  __k = 1\n  def m(self): return self.__k",
    "class with a cached property": (
        "import functools\nclass C:\n  @functools.cached_property\n  def p(self): return 1"
    ),
    "class with a partial method": (
        "import functools\nclass C:\n  def m(self, a): return a\n"
        "  n = functools.partialmethod(m, 1)"
    ),
    "class with a dispatching method": (
        "import functools\nclass C:\n  @functools.singledispatchmethod\n"
        "  def m(self, a): return 0\n  @m.register\n  def _(self, a: int): return 1"
    ),
    "class with a descriptor": (
        "class D:\n  def __get__(self, i, o): return 1\nclass C:\n  a = D()"
    ),
    "class with a metaclass": "class M(type): k = 1\nclass C(metaclass=M): pass",
    "class told of": (
        "class B:\n  def __init_subclass__(cls, k): cls.k = k\nclass C(B, k=1): pass"
    ),
    "class under a decorator": "def d(cls):\n  cls.k = 1\n  return cls\n@d\nclass C: pass",
    "class from a factory": "C = type('C', (), {'z': 1})",
    "abstract class": (
        "import abc\nclass C(abc.ABC):\n  @abc.abstractmethod\n  def m(self): return 1"
    ),
    "class with patterns": "class C: __match_args__ = ('a', 'b')",
    "generic class": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass C(Generic[T]): pass"
    ),
    "protocol": "from typing import Protocol\nclass C(Protocol):\n  def m(self): ...",
    "typed dict": "from typing import TypedDict\nclass C(TypedDict):\n  a: int",
    "dataclass": "import dataclasses\n@dataclasses.dataclass\nclass C: a: int = 1",
    "dataclass of another type": (
        "import dataclasses\n@dataclasses.dataclass\nclass C: a: float = 1"
    ),
    "frozen dataclass": (
        "import dataclasses\n@dataclasses.dataclass(frozen=True)\nclass C: a: int = 1"
    ),
    "ordered dataclass": (
        "import dataclasses\n@dataclasses.dataclass(order=True)\nclass C: a: int = 1"
    ),
    "slotted dataclass": (
        "import dataclasses\n@dataclasses.dataclass(slots=True)\nclass C: a: int = 1"
    ),
    "dataclass with a factory": (
        "import dataclasses\n@dataclasses.dataclass\n"
        "class C: a: list = dataclasses.field(default_factory=list)"
    ),
    "namedtuple": "import collections\nC = collections.namedtuple('C', 'a b')",
    "namedtuple with a default": (
        "import collections\nC = collections.namedtuple('C', 'a b', defaults=[1])"
    ),
    "NamedTuple": "from typing import NamedTuple\nclass C(NamedTuple):\n  a: int\n  b: int",
    "enum": "import enum\nclass C(enum.Enum): A = 1",
    "enum of texts": "import enum\nclass C(enum.Enum): A = '1'",
    "int enum": "import enum\nclass C(enum.IntEnum): A = 1",
    "flag": "import enum\nclass C(enum.Flag): A = 1",
    "enum with auto": "import enum\nclass C(enum.Enum):\n  A = enum.auto()\n  B = enum.auto()",
    "enum with a method": "import enum\nclass C(enum.Enum):\n  A = 1\n  def m(self): return 1",
    "exception": "class C(ValueError): pass",
    "callable instance": "class D:\n  def __call__(self): return 1\nC = D()",
    "instance with a state": "class D:\n  def __init__(self): self.k = 1\nC = D()",
    "bound method": "class D:\n  def m(self): return 1\nC = D().m",
    "partial": "import functools\nC = functools.partial(int, '1')",
    "partial with a keyword": "import functools\nC = functools.partial(int, base=2)",
    "partial of one's own": "import functools\ndef g(a): return a\nC = functools.partial(g, 1)",
    "cached by functools": "import functools\n@functools.cache\ndef C(): return 1",
    "cached with a size": "import functools\n@functools.lru_cache(7)\ndef C(): return 1",
    "singledispatch": "import functools\n@functools.singledispatch\ndef C(a): return 0",
    "singledispatch with another": (
        "import functools\n@functools.singledispatch\ndef C(a): return 0\n"
        "@C.register(int)\ndef _(a): return 1"
    ),
    "context manager": "import contextlib\n@contextlib.contextmanager\ndef C(): yield 1",
    "wrapped": (
        "import functools\ndef d(g):\n  @functools.wraps(g)\n  def w(*a): return g(*a)\n"
        "  return w\n@d\ndef C(): return 1"
    ),
    "wrapped otherwise": (
        "import functools\ndef d(g):\n  @functools.wraps(g)\n  def w(*a): return [g(*a)]\n"
        "  return w\n@d\ndef C(): return 1"
    ),
    "function with an attribute": "def C(): return 1\nC.k = 1",
    "registry": "C = {'a': lambda: 1, 'b': lambda: 2}",
    "operator": "import operator\nC = operator.itemgetter(1)",
    "pattern": "import re\nC = re.compile('a')",
    "list of classes": "class A: pass\nclass B: pass\nC = [A, B]",
    "union": "C = int | str",
    "alias": "C = list[int]",
}


def shapes() -> dict[str, str]:
    """The source of every shape by its name."""
    found = dict(_FUNCTIONS)
    for name, body in (_BODIES | _ASYNC_BODIES).items():
        head = "async def" if name in _ASYNC_BODIES else "def"
        found[f"body: {name}"] = f"{head} f(x):\n  " + body.replace("\n", "\n  ")
    for name, source in _USED.items():
        found[f"used: {name}"] = f"{source}\ndef f(x): return C"
    return found


def fingerprint(source: str) -> str:
    """The key of `f` but for the number of Python."""
    parts = dict(function_key(run(source)["f"], {}).parts)
    del parts[_OF_PYTHON]
    return digest_of(parts)


def pinned() -> dict[str, str]:
    """The fingerprints, as this process finds them, of all shapes."""
    return {name: fingerprint(source) for name, source in shapes().items()}


if __name__ == "__main__":
    if sys.argv[1:] == ["pin"]:
        PINNED.write_text(json.dumps(pinned(), indent=1) + "\n")
    else:
        sys.stdout.write(json.dumps(pinned()))
