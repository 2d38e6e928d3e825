# ruff: noqa: E501 - a case is a line

from __future__ import annotations

import ast
import linecache
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cascade_nb.fingerprint.code import CodeFacts, facts_of
from cascade_nb.fingerprint.source import find_source
from tests.fingerprint.scenarios import Modules, run


def facts(source: str, name: str = "f") -> CodeFacts:
    return facts_of(run(textwrap.dedent(source))[name].__code__)


def uses(found: CodeFacts) -> set[str]:
    """The dotted names of all uses."""
    roots = (*found.roots, *found.frees)
    return {use.text for root in roots for use in root.uses} | {
        f"import {use.text}" for use in found.imports
    }


def without_source(function: Callable[..., Any]) -> Any:
    """A copy of the function's code that no source leads to."""
    return function.__code__.replace(co_filename="<nowhere>")


USES = [
    ("def f(x): return a.b.c + x.d", "a.b.c"),
    ("def f(x): y = x; return y + z", "z"),
    ("def f(x):\n    def g(y): return x + y + h\n    return g", "h"),
    ("def f(x): return [a + b for a in c if d]", "b c d"),
    ("def f(x): return [x for x in x]", ""),
    ("def f(x): return lambda y=a: y + b", "a b"),
    ("def f(x):\n    class C(a):\n        b = c\n        d = b\n        def m(self): return b + e\n",
     "a c b e __name__"),
    ("def f(x):\n    import a.b, c as d\n    return a.b.g(d.h)", "import a.b.g import c.h import a.b import c"),
    ("def f(x):\n    from a import b as c\n    return c.d", "import a.b import a.b.d"),
    ("def f(x):\n    from ..a import b", "import ..a.b"),
    ("def f(x):\n    global a\n    a = 1", "a"),
    ("def f(x):\n    try: a\n    except B as e: e\n", "a B"),
    ("def f(x):\n    with a as b: b", "a"),
    ("def f(x):\n    match x:\n        case A(b=C.d, c=e): return e", "A C.d"),
    ("def f(x): return getattr(a, 'b')", "a.b getattr"),
    ("def f(x): return eval('x + a')", "eval a"),
    ("def f(x): return x.query('a > @b')", "b"),
    ("def f(x): return x.eval('a > b')", ""),
    ("def f(x): return pd.eval('a > b')", "pd.eval a b"),
    ("def f(x): return globals()['a']", "a"),
    ("def f(x): return (y := a) + y", "a"),
    ("def f(x): return [y for z in x if (y := z)] + y", ""),
    ("a = b = int\ndef f(x: a) -> b:\n    y: c = 1\n    return y", ""),
    ("def deco(g): return g\na = int\n@deco\ndef f(x: a) -> None: pass", "a"),
    ("def f(*a, b=1, **c): return a, b, c", ""),
    ("def f(x):\n    a.b = x\n    c[d] = x\n    del e.g", "a.b c d e.g"),
    ("def f(x):\n    x += a\n    async def g():\n        async for y in b: await c(y)", "a b c"),
]  # fmt: skip


@pytest.mark.parametrize(("source", "names"), USES)
def test_uses(source: str, names: str) -> None:
    expected = set()
    words = iter(names.split())
    for word in words:
        expected.add(f"import {next(words)}" if word == "import" else word)
    assert uses(facts(source)) == expected


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(x): return a.b.c + len(x.d)", {"a.b.c", "len"}),
        ("def f(x):\n    def g(y): return x + y + h.i\n    return g", {"h.i"}),
        ("def f(x): return [a(y) for y in x]", {"a"}),
        ("def f(x):\n    global a\n    a = 1", {"a"}),
        ("def f(x):\n    from a.b import c\n    return c", {"import a.b.c", "import a.b"}),
        ("def f(x):\n    from ..a import b", {"import ..a.b", "import ..a"}),
    ],
)
def test_uses_in_bytecode(source: str, names: set[str]) -> None:
    function = run(source)["f"]
    assert uses(facts_of(without_source(function))) == names


def test_closures_are_told_from_globals() -> None:
    made = run("def make(a):\n    def f(x): return a.b + c\n    return f\nf = make(1)")["f"]
    for code in (made.__code__, without_source(made)):
        found = facts_of(code)
        assert [root.name for root in found.frees] == ["a"]
        assert [root.name for root in found.roots] == ["c"]


def test_bytecode_counts_where_there_is_no_source() -> None:
    first, same, other = (
        facts_of(without_source(run(source)["f"])).digest
        for source in ("def f(x): return x + 1", "\n\ndef f(x):\n  return x + 1", "def f(x): return x + 2")
    )  # fmt: skip
    assert first == same
    assert first != other


def test_bytecode_risks_and_environment() -> None:
    found = facts_of(
        without_source(run("import os\ndef f(x): return os.environ['A'], eval(x)")["f"])
    )
    assert found.environment == ("A",)
    assert [risk.name for risk in found.risks] == ["eval"]


def test_an_outdated_text_is_not_believed() -> None:
    namespace = run("def f(x): return x + 1")
    function = namespace["f"]
    filename = function.__code__.co_filename
    text = "def f(x): return x + 2\n"
    linecache.cache[filename] = (len(text), None, [text], filename)
    digest = facts_of(function.__code__).digest
    assert digest != facts("def f(x): return x + 2").digest
    assert digest == facts_of(without_source(function)).digest


def test_a_file_that_was_edited_below_is_still_believed(tmp_path: Path) -> None:
    source = "def f(x): return x + 1\n"
    with Modules(tmp_path, {"m.py": source}):
        import m  # type: ignore[import-not-found]

        (tmp_path / "m.py").write_text("# a new first line\n\n" + source)
        assert facts_of(m.f.__code__).digest == facts(source).digest


def test_lambdas_on_one_line_are_told_apart() -> None:
    namespace = run("a, b, c = lambda x: x + 1, lambda x: x + 2, lambda x: lambda y: x")
    digests = {facts_of(namespace[name].__code__).digest for name in "abc"}
    assert len(digests) == 3
    assert facts_of(namespace["a"].__code__).digest == facts("f = lambda x: (x + 1)").digest
    inner = namespace["c"](1).__code__
    assert facts_of(inner).digest not in digests


def test_equal_lambdas_are_equal_wherever_they_stand() -> None:
    namespace = run("a = [lambda x: x + 1]; b = (lambda x:\n   x + 1  # one\n)")
    one, other = (facts_of(f.__code__).digest for f in (namespace["a"][0], namespace["b"]))
    assert one == other


def test_cells_with_magics_have_source() -> None:
    pytest.importorskip("IPython")
    from IPython.core.inputtransformer2 import TransformerManager

    def cell(text: str) -> CodeFacts:
        plain = TransformerManager().transform_cell(text)  # type: ignore[no-untyped-call]
        filename = f"<cell {hash(text)}>"
        linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
        namespace: dict[str, Any] = {"__name__": "__main__", "get_ipython": lambda: None}
        exec(compile(plain.partition("\n")[2], filename, "exec"), namespace)
        return facts_of(namespace["f"].__code__)

    one = cell("%matplotlib inline\ndef f(x):  # one\n    return x\n")
    assert one.digest == facts("def f(x):\n    return x").digest


def test_top_level_await_in_a_cell_does_not_hide_its_functions() -> None:
    text = "import asyncio\ndef f(x): return x\nawait asyncio.sleep(0)\n"
    filename = "<awaiting>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    import ast
    import types

    module = compile(text, filename, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    code = next(c for c in module.co_consts if isinstance(c, types.CodeType))
    assert facts_of(code).digest == facts("def f(x): return x").digest


def test_a_cell_that_is_compiled_by_statements_does_not_hide_its_functions() -> None:
    # As IPython does it: calls of what a text itself imports are compiled in another way.
    source, filename = "import json\ndef f(x): return json.dumps(x)\n", "<by statements>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {}
    for statement in ast.parse(source).body:
        exec(compile(ast.Module([statement], []), filename, "exec"), namespace)
    assert find_source(namespace["f"].__code__) is not None


def test_private_names_mean_what_they_mean_in_their_class() -> None:
    source = "class {}:\n    def m(self): return self.__a, __K\nf = {}.m"
    one, other = (facts(source.format(name, name)) for name in ("A", "B"))
    assert one.digest != other.digest
    assert uses(one) == {"_A__K"}


def test_future_annotations_change_nothing_without_effect() -> None:
    source = "def f(x: int): return x"
    assert facts(source).digest == facts("from __future__ import annotations\n" + source).digest


def test_deeply_nested_code_has_facts() -> None:
    source = "def f(x): return " + " + ".join(["x"] * 3000) + " + a"
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1500)
    try:
        code = run(source)["f"].__code__
    except RecursionError:
        pytest.skip("this Python does not compile it")
    finally:
        sys.setrecursionlimit(limit)
    assert "a" in uses(facts_of(code))


def test_facts_are_found_once() -> None:
    function = run("def f(x): return x")["f"]
    assert facts_of(function.__code__) is facts_of(function.__code__)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return 1", "return 1.0"),
        ("return 'ab', 'c'", "return 'a', 'bc'"),
        ("return [[1], 2]", "return [[1, 2]]"),
        ("return x.y", "return x[y]"),
        ("return x if y else z", "return y if x else z"),
        ("return f'{x!r}'", "return f'{x!s}'"),
        ("return f'{x:1}'", "return f'{x:2}'"),
        ("return {**x}", "return {x: x}"),
        ("return x < y < z", "return x < y and z"),
        ("return x and y and z", "return x and (y or z)"),
        ("return -1", "return +1"),
        ("return 'a' 'b'", "return 'a', 'b'"),
        ("return b'a'", "return 'a'"),
        ("return 1e300", "return 1e301"),
        ("return 10 ** 30", "return 10 ** 31"),
        ("return ..., None", "return None, ..."),
        ("try: a\n    except B: c", "try: a\n    except C: c"),
        ("try: a\n    except* B: c", "try: a\n    except B: c"),
        ("for a in b: c", "while b: c"),
        ("with a as b: c", "with a: c"),
        ("def g(x=1): return x", "def g(x=2): return x"),
        ("def g(x, /): return x", "def g(x): return x"),
        ("def g(*, x): return x", "def g(x): return x"),
        ("def g(*x): return x", "def g(**x): return x"),
        ("@a\n    def g(x): return x", "def g(x): return x"),
        ("class C:\n        a: int = 1", "class C:\n        a: str = 1"),
        ("class C(a): pass", "class C(metaclass=a): pass"),
        ("yield x", "return x"),
        ("yield x", "yield from x"),
        ("a, *b = x", "*a, b = x"),
        ("global a; a = x", "a = x"),
        ("del a", "a"),
        ("assert x, 'a'", "assert x, 'b'"),
        ("import a as b", "import b as a"),
        ("from a import b", "from .a import b"),
    ],
)  # fmt: skip
def test_different_code_has_different_digests(one: str, other: str) -> None:
    pair = [facts(f"def f(x, y=0, z=0):\n    {body}\n").digest for body in (one, other)]
    assert pair[0] != pair[1]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return x", "'''doc'''\n    return x"),
        ("return x", "1\n    return x"),
        ("return 'ab'", "return 'a' 'b'"),
        ("return 255", "return 0xFF"),
        ("return x", "return (x)"),
        ("y = x", "y: int = x"),
        ("def g(y): return y", "def g(y: int) -> int: return y"),
        ("class C: pass", "class C:\n        '''doc'''\n        pass"),
        ("return u'a'", "return 'a'"),
        ("return x", "return x  # type: ignore"),
    ],
)
def test_spelling_does_not_count(one: str, other: str) -> None:
    pair = [facts(f"def f(x):\n    {body}\n").digest for body in (one, other)]
    assert pair[0] == pair[1]


# These are part of every key: they stay the same under every Python and in every version of ours.
PINNED = {
    "def f(x): return x + 1": "74b6b54db75691749d9d0f4aa03cf42ebb1710d73dd20d319d69ce56f42c5c17",
    "f = lambda x, *a, k=1, **q: {x: a, **q}": "e0247e6fff2f6a58f9bcf212e0a767ce53ea0c6603a306ab98fa7d490951b3a3",
    "async def f(x):\n    async with x as y:\n        return [await z async for z in y]": "2528edbeb341202937958b8ac518e2208dad4c80676c7a62db611ce20b6da39a",
    "def f(x):\n    match x:\n        case {'a': [1, *_]} | str(): return f'{x!r:>{3}}'": "502d4310f1e35249bcebed65e274c4bac60e6fa5a6105537c4ed9a3d99086d5b",
    "def f(x):\n    class C(x, k=1):\n        a: int = 1\n        __b = 2\n    return C": "2783547afbb52286315e8fa06c729e617d3036ea44d62b874cb76c4c81e92553",
    "def f(x):\n    try: return 1.5, 2j, b'a', None, ..., True, 10 ** 20\n    except* E as e: pass": "36a84646f359c3ca5cbfd3990f6ab070790e0de5127e1b49ddb45334fb909138",
}


@pytest.mark.parametrize("source", PINNED)
def test_pinned_digests(source: str) -> None:
    assert facts(source).digest == PINNED[source]
