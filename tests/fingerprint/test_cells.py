from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.cells import CellCode, analyse_cell
from cascade_nb.fingerprint.changes import describe_change
from cascade_nb.fingerprint.keys import cell_key
from tests.fingerprint.scenarios import Modules, run

MAGIC_TIME = "get_ipython().run_cell_magic('time', '', {!r})\n"


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The cell; what it reads (builtins left out); what it binds; what it deletes; what is conditional.
NAMES = [
    ("x = y", "y", "x", "", ""),
    ("x = 1\nz = x + y", "y", "x z", "", ""),
    ("x += 1", "x", "x", "", ""),
    ("df['a'] = 1\nlst.append(x)\no.a.b = 2", "df lst x o", "", "", ""),
    ("print(x := y)\nx", "y", "x", "", ""),
    ("[a for a in b if (c := a)]\nc", "b c", "c", "", "c"),
    ("[m.x for a in b if a and (m := a)]", "b", "m", "", ""),
    ("if a and (m := b):\n    m", "a b", "m", "", ""),
    ("if not a or not (m := b):\n    raise E\nm", "a b E", "m", "", ""),
    ("if not a or not (m := b):\n    pass\nm", "a b m", "m", "", "m"),
    ("a and (m := b)\nm", "a b m", "m", "", "m"),
    ("(m := a) and b\nm", "a b", "m", "", ""),
    ("(m := a) if b else (m := c)\nm", "a b c", "m", "", ""),
    ("0 if b else (m := c)\nm", "b c m", "m", "", "m"),
    ("[a for a in a]", "a", "", "", ""),
    ("{k: v for k, v in p for q in r(k)}", "p r", "", "", ""),
    ("a, (b, *c), d.e, f[g] = h", "d f g h", "a b c", "", ""),
    ("for i in s:\n    t = i\nelse:\n    u = i", "s i", "i t u", "", "i"),
    ("for i in [1, 2]:\n    t = i\nprint(t)", "", "i t", "", ""),
    ("for i in range(3):\n    t = i\ny = i, t", "range", "i t y", "", ""),
    ("for i in range(1, 1):\n    t = i\ny = i", "range i", "i t y", "", "i"),
    ("for i in range(n):\n    t = i\ny = i", "range n i", "i t y", "", "i"),
    ("def range(n): return ()\nfor i in range(3): pass\ni", "i", "range i", "", "i"),
    ("for i, (a, b) in enumerate(zip('ab', [1])): pass\ni, b", "enumerate zip", "i a b", "", ""),
    ("for k, v in {'a': 1}.items(): pass\nk", "", "k v", "", ""),
    ("for k in {**s}: pass\nk", "s k", "k", "", "k"),
    ("for i in [*s]: pass\ni", "s i", "i", "", "i"),
    ("for i in [1, 2]:\n    if c: break\n    t = i\ni, t", "c t", "i t", "", "t"),
    ("for i in [1, 2]:\n    if c: continue\n    t = i\ni, t", "c t", "i t", "", "t"),
    ("for i in s:\n    if c:\n        t = i\n        break\nelse:\n    t = 0\nt",
     "c s", "i t", "", ""),
    ("while True:\n    x = f()\n    if x: break\nx", "f", "x", "", ""),
    ("while True:\n    if c: break\n    x = f()\nx", "c f x", "x", "", "x"),
    ("while not (x := f()):\n    pass\nx", "f", "x", "", ""),
    ("for i in s:\n    while True:\n        break\n    else:\n        continue\n    t = 1\nt",
     "s t", "i t", "", "t"),
    ("if a:\n    if b: raise E\n    else: raise F\nelse:\n    x = 1\nx", "a b E F", "x", "", ""),
    ("try:\n    x = 1\nexcept E:\n    raise\nfinally:\n    z = 0\nx, z", "E", "x z", "", ""),
    ("with suppress(E):\n    raise F\nx = y", "suppress E F y", "x", "", ""),
    ("with quiet(E):\n    while True: raise F\nx = y", "quiet E F y", "x", "", ""),
    ("for i in s:\n    print(acc)\n    acc = i", "s acc", "i acc", "", ""),
    ("if c:\n    x = 1\nprint(x)", "c x", "x", "", "x"),
    ("if c:\n    x = 1\nelse:\n    x = 2\nprint(x)", "c", "x", "", ""),
    ("if c:\n    x = 1\nelse:\n    raise SystemExit\nprint(x)", "c", "x", "", ""),
    ("while c:\n    x = 1\nx", "c x", "x", "", "x"),
    ("with open(p) as f:\n    x = f.read()\nx", "p", "f x", "", ""),
    ("with suppress(E):\n    x = 1\nx", "suppress E x", "x", "", "x"),
    ("try:\n    x = 1\nexcept E as e:\n    print(e)\nx", "E x", "x e", "e", "x"),
    ("try:\n    x = 1\nexcept E:\n    x = 2\nx", "E", "x", "", ""),
    ("try:\n    x = 1\nfinally:\n    y = 2\ny", "", "x y", "", ""),
    ("try:\n    model\nexcept NameError:\n    model = train()", "model train", "model", "", ""),
    ("match p:\n    case {'a': q, **r}: s = q\n    case [u, *v]: s = u\n    case w: s = w\ns",
     "p", "q r s u v w", "", ""),
    ("match p:\n    case Point(x=0): s = 1\ns", "p Point s", "s", "", "s"),
    ("del x", "", "", "x", "x"),
    ("x = 1\ndel x", "", "x", "x", ""),
    ("x = 1\ndel x\nx", "x", "x", "x", "x"),
    ("del x[0], y.z", "x y", "", "", ""),
    ("import a.b\nimport c as d\nfrom e import f as g\na.x, d.y, g", "", "a d g", "", ""),
    ("global x\nx = 1", "", "x", "", ""),
    ("def f(a=k) -> r:\n    return g(a) + h", "k", "f", "", ""),
    ("def f():\n    return g\nf()", "g", "f", "", ""),
    ("def f():\n    return x\nx = 1\nf()", "", "f x", "", ""),
    ("def f():\n    return x\ndef g():\n    return f()\ng()", "x", "f g", "", ""),
    ("def f():\n    global n\n    n = 1\nf()\nn", "n", "f n", "", "n"),
    ("@d\ndef f():\n    return g", "d g", "f", "", ""),
    ("x = lambda a: a + b", "b", "x", "", ""),
    ("class C(B, metaclass=M):\n    k = j\n    def m(self):\n        return k + q",
     "B M j k q", "C", "", ""),
    ("class C:\n    k = j\n    l = k\n    def m(self):\n        return q", "j", "C", "", ""),
    ("class C:\n    def m(self):\n        return q\nC().m()", "q", "C", "", ""),
    ("x: int = y\nz: w", "y", "x", "", ""),
    ("async def f():\n    return g\nawait f()", "g", "f", "", ""),
    ("async for i in s:\n    pass\nasync with m as n:\n    pass", "s m", "i n", "", ""),
    ("eval('x + 1'); exec('y = z')", "x z", "", "", ""),
    ("df.query('a > @k')", "df k", "", "", ""),
    ("f'{x!r:>{w}} {{y}}'", "x w", "", "", ""),
    ("_x = __y", "__y", "_x", "", ""),
    ("get_ipython().system('ls {x} $y')", "x y", "", "", ""),
    ("z = get_ipython().getoutput('ls {x[0]}')", "x", "z", "", ""),
    ("get_ipython().run_line_magic('time', 'k = g(1)')", "g", "k", "", ""),
    ("get_ipython().run_line_magic('timeit', '-n 3 k = g(1)')", "g", "", "", ""),
    (MAGIC_TIME.format("a = b\n"), "b", "a", "", ""),
    ("get_ipython().run_cell_magic('capture', 'out', 'a = b')", "b", "a out", "", ""),
    (MAGIC_TIME.format("get_ipython().run_cell_magic('capture', '', 'a = b')"), "b", "a", "", ""),
    ("get_ipython().run_line_magic('matplotlib', 'inline')", "", "", "", ""),
]  # fmt: skip
BUILTINS = names("print open SystemExit NameError eval exec __name__")


@pytest.mark.parametrize(("source", "reads", "writes", "deletes", "conditional"), NAMES)
def test_names(source: str, reads: str, writes: str, deletes: str, conditional: str) -> None:
    code = analyse_cell(source)
    assert code.reads - BUILTINS == names(reads)
    assert code.writes == names(writes)
    assert code.deletes == names(deletes)
    assert code.conditional == names(conditional)


def test_a_builtin_may_be_another_in_the_namespace() -> None:
    source = "for i in range(3): pass\ni"
    assert "i" not in analyse_cell(source, shadowed={"i": 1}).reads
    assert "i" in analyse_cell(source, shadowed={"range": tuple}).conditional


def test_syntax_errors_are_raised_unchanged() -> None:
    with pytest.raises(SyntaxError):
        analyse_cell("x = = 1")


def test_cells_that_are_nested_too_deeply_have_no_key() -> None:
    with pytest.raises(FingerprintError, match="nested too deeply"):
        analyse_cell("y = " + " + ".join(["x"] * 2000))


def test_definitions_are_imports_functions_classes_and_setup_magics() -> None:
    source = (
        "import a\nfrom b import c\ndef f(): pass\nasync def g(): pass\nclass C: pass\n"
        "get_ipython().run_line_magic('matplotlib', 'inline')\nx = 1\n"
        "get_ipython().run_line_magic('time', 'y = 1')\n"
    )
    code = analyse_cell(source)
    assert [node.lineno for node in code.definitions] == [1, 2, 3, 4, 5, 6]
    assert not code.only_definitions
    assert analyse_cell("import a\ndef f(): pass\npass").only_definitions
    assert not analyse_cell("import a\na").only_definitions


def test_the_tree_is_that_of_the_source() -> None:
    source = MAGIC_TIME.format("a = 1\n")
    assert ast.dump(analyse_cell(source).tree) == ast.dump(ast.parse(source))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1  # a", "x = 1  # b"),
        ("x=1", "x = 1\n\n"),
        ("def f():\n    'one'\n    return 1", "def f():\n    'two'\n    return 1"),
        ("'''A title.'''\nx = 1", "'''Another.'''\nx = 1"),
        ("def f(a: int): return a", "def f(a): return a"),
        ("x: int = 1", "x = 1"),
        ("x = 'a'", 'x = "a"'),
        (MAGIC_TIME.format("a = 1  # a\n"), MAGIC_TIME.format("a = 1  # b\n")),
    ],
)
def test_edits_without_effect_keep_the_digest(one: str, other: str) -> None:
    assert analyse_cell(one).digest == analyse_cell(other).digest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1", "x = '1'"),
        ("f(x)", "f(x);"),
        ("f(x)", "f(x); # shown"),
        ("1", "2"),
        ("a = 1\nb = 2", "b = 2\na = 1"),
        ("class C:\n    a: int", "class C:\n    a: float"),
        ("def f(a: int): pass\nf.__annotations__", "def f(a: str): pass\nf.__annotations__"),
        ("def f(a=1): return a", "def f(a=2): return a"),
        ("@a\ndef f(): pass", "@b\ndef f(): pass"),
        (MAGIC_TIME.format("a = 1\n"), MAGIC_TIME.format("a = 2\n")),
    ],
)
def test_other_edits_change_the_digest(one: str, other: str) -> None:
    assert analyse_cell(one).digest != analyse_cell(other).digest


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("get_ipython().system('ls')", "runs another program"),
        ("get_ipython().run_cell_magic('bash', '', 'ls')", "runs another program"),
        ("get_ipython().run_line_magic('run', 'x.py')", "runs another program"),
        ("get_ipython().run_line_magic('strange', 'x')", "a magic cannot be followed"),
        ("globals()[x]", "globals are looked up under computed names"),
        ("exec(x)", "code is computed and cannot be followed"),
    ],
)
def test_risks(source: str, message: str) -> None:
    assert [risk.message for risk in analyse_cell(source).risks] == [message]
    assert analyse_cell("x = 1\n" + source).risks[0].line == 2


def test_star_imports_are_flagged(tmp_path: Path) -> None:
    code = analyse_cell("from math import *\nx = sin(y)")
    assert code.star_imports == ("math",)
    assert code.reads == {"y"}
    assert "cos" in code.writes
    assert "sin" in analyse_cell("from not_loaded_yet import *\nx = sin(y)").reads


def test_magics_of_raw_cells_are_transformed() -> None:
    pytest.importorskip("IPython")
    import IPython  # noqa: F401 - only where it is loaded are there magics

    code = analyse_cell("%matplotlib inline\n!ls {x}\ny = !echo $z\n%time k = g(1)\nawait h()")
    assert code.reads == {"x", "z", "g", "h"}
    assert code.writes == {"y", "k"}


# Keys of cells

SESSION = """
import math
x = 1
data = [1, 2]
alias = data
def helper(a):
    return a + x
class Model:
    k = 1
"""


def key(source: str, session: str = SESSION, **options: Any) -> Any:
    return cell_key(analyse_cell(source), run(session), **options)


CELL = "y = helper(data[0])\nm = Model()"


def test_a_cells_key_follows_what_it_reads() -> None:
    parts = key(CELL).parts
    assert {"code", "helper helper", "global data", "global x", "class Model"} <= parts.keys()
    assert key(CELL).digest == key(CELL + "  # comment").digest


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("x = 1", "x = 2", "global `x` changed: 1 -> 2"),
        ("[1, 2]", "[1, 3]", "global `data` changed: [1, 2] -> [1, 3]"),
        ("a + x", "a - x", "helper `helper` changed (line 7)"),
        ("k = 1", "k = 2", "attribute `Model.k` changed: 1 -> 2"),
    ],
)
def test_a_change_of_what_is_read_changes_the_key(before: str, after: str, says: str) -> None:
    one, other = key(CELL), key(CELL, SESSION.replace(before, after))
    assert one.digest != other.digest
    assert describe_change(one.account(), other.account()) == says


def test_what_is_not_read_does_not_count() -> None:
    assert key("y = x").digest == key("y = x", SESSION.replace("[1, 2]", "[3]")).digest


def test_aliases_count() -> None:
    cell = "y = data, alias"
    assert key(cell).digest != key(cell, SESSION.replace("= data", "= [1, 2]")).digest


def test_absent_names_count() -> None:
    absent = key("y = later")
    assert "absent later" in absent.parts
    assert absent.digest != key("y = later", SESSION + "later = 1").digest


def test_existence_of_deleted_and_conditional_names_counts() -> None:
    for cell in ("del gone", "if x > 5:\n    gone = 1\nprint(gone)"):
        assert key(cell).digest != key(cell, SESSION + "gone = 1").digest


def test_names_that_the_cell_binds_first_do_not_count() -> None:
    cell = "t = x\nprint(t)"
    assert key(cell).digest == key(cell, SESSION + "t = 5").digest
    cell = "for t in range(3):\n    pass\nprint(t)"
    assert key(cell).digest == key(cell, SESSION + "t = 5").digest
    cell = "for t in data:\n    pass\nprint(t)"
    assert key(cell).digest != key(cell, SESSION + "t = 5").digest


def test_options_of_a_cell_key() -> None:
    cell = "y = data, x"
    whole = key(cell).digest
    assert key(cell, version="1").digest != whole
    assert key(cell, extra={"display": {"precision": 3}}).digest != whole
    assert key(cell, extra={}).digest == whole
    ignoring = frozenset({"data"})
    one = key(cell, ignore=ignoring)
    assert one.digest == key(cell, SESSION.replace("[1, 2]", "object()"), ignore=ignoring).digest
    assert "global data" not in one.previews()
    only = frozenset({"x"})
    assert "global data" not in key(cell, inputs=only).parts
    assert "global x" in key(cell, inputs=only).parts


def test_what_has_no_fingerprint_is_named() -> None:
    with pytest.raises(FingerprintError, match=r"global lock.*ignore=\['lock'\]"):
        key("y = lock", "import threading\nlock = threading.Lock()")


def test_modules_are_followed_to_what_is_used(tmp_path: Path) -> None:
    with Modules(tmp_path, {"m.py": "K = 1\nL = 2\n"}):
        digest = key("y = m.K", "import m").digest
        assert digest == key("y = m.K", "import m; m.L = 3").digest
        assert digest != key("y = m.K", "import m; m.K = 3").digest


def test_imports_of_the_cell_itself_are_followed(tmp_path: Path) -> None:
    files = {"m.py": "K = 1\nL = 2\ndef g(): return K\n"}
    digests = set()
    for number, change in enumerate(("", "K = 5", "L = 5")):
        folder = tmp_path / str(number)
        folder.mkdir()
        with Modules(folder, {"m.py": files["m.py"] + change}):
            digests.add(key("from m import g\ny = g()", "").digest)
    assert len(digests) == 2


def test_random_draws_are_risks_unless_seeded() -> None:
    session = "import random"
    assert key("random.random()", session).risks
    assert not key("random.seed(1)\nrandom.random()", session).risks


def test_analysis_is_immutable() -> None:
    code = analyse_cell("x = 1")
    assert isinstance(code, CellCode)
    with pytest.raises(AttributeError):
        code.source = ""  # type: ignore[misc]


@pytest.mark.parametrize(
    ("source", "is_risk"),
    [
        ("y = locals().get('q')", True),
        ("y = 'q' in dir()", True),
        ("y = vars()['q']", True),
        ("y = get_ipython().user_ns['q']", True),
        ("y = dir(data)", False),
        ("def f():\n    a = 1\n    return locals()\ny = f()", False),
    ],
)
def test_a_cell_that_asks_for_names_as_texts(source: str, is_risk: bool) -> None:
    assert bool(key(source).risks) is is_risk
