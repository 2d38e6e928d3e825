"""The never-stale rule over processes: what a cached function depends on changes between two runs.

Each scenario is a folder with a `main.py` that defines a cached `answer`. A first process runs
them all, a second one must be served, then the files are edited, and a third one must get the
answers that hold now; or, where the edit is one that does not count, be served again. One process
runs many scenarios, since to start one takes longer than a scenario.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest


@dataclass(frozen=True)
class Scenario:
    """`main` and other files before, what is edited, and what `answer()` gives before and after."""

    name: str
    main: str
    files: dict[str, str]
    edits: dict[str, str | None]
    answers: tuple[Any, Any]

    def write(self, folder: Path, files: dict[str, str | None]) -> None:
        for name, content in files.items():
            path = folder / self.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is None:
                path.unlink()
            else:
                path.write_text(dedent(content))


SCENARIOS: list[Scenario] = []


def scenario(
    name: str,
    body: str,
    *,
    before: dict[str, str] | str = "",
    after: dict[str, str | None] | str,
    answers: tuple[Any, Any],
) -> None:
    """A text for `before` and `after` is the helper module `h`; `body` is main.py."""
    files = {"h.py": dedent(before)} if isinstance(before, str) else before
    edits: dict[str, str | None] = {"h.py": dedent(after)} if isinstance(after, str) else after
    main = "from cascade_nb import cached\n" + dedent(body)
    SCENARIOS.append(Scenario(name.replace(" ", "_"), main, files, edits, answers))


def through_helper(name: str, before: str, after: str, answers: tuple[Any, Any] = (4, 5)) -> None:
    """`answer` returns ``h.g(3)``."""
    body = """
        import h
        @cached
        def answer(): return h.g(3)
    """
    scenario(name, body, before=before, after=after, answers=answers)


def reading(
    name: str,
    body: str,
    answers: tuple[Any, Any] = ("one", "two"),
    before: dict[str, str] | None = None,
    after: dict[str, str | None] | None = None,
) -> None:
    """`answer` depends on a file."""
    before = {"d.txt": "one"} if before is None else before
    scenario(name, body, before=before, after=after or {"d.txt": "two"}, answers=answers)


# Code.

through_helper("helper", "def g(x): return x + 1", "def g(x): return x + 2")
through_helper("constant", "K = 1\ndef g(x): return x + K", "K = 2\ndef g(x): return x + K")
through_helper("type of a constant", "def g(x): return 1", "def g(x): return '1'", (1, "1"))
through_helper(
    "default", "D = 1\ndef g(x, d=D): return x + d", "D = 2\ndef g(x, d=D): return x + d"
)
through_helper(
    "closure",
    "def make(k): return lambda x: x + k\ng = make(1)",
    "def make(k): return lambda x: x + k\ng = make(2)",
)
through_helper(
    "two lambdas on a line",
    "f, g = lambda x: x + 2, lambda x: x + 1",
    "g, f = lambda x: x + 2, lambda x: x + 1",
)
through_helper(
    "partial",
    "import functools\ng = functools.partial(lambda k, x: x + k, 1)",
    "import functools\ng = functools.partial(lambda k, x: x + k, 2)",
)
through_helper(
    "state of a callable",
    "class A:\n  def __call__(self, x): return x + self.k\ng = A()\ng.k = 1",
    "class A:\n  def __call__(self, x): return x + self.k\ng = A()\ng.k = 2",
)
through_helper(
    "attribute of a function",
    "def g(x): return x + g.k\ng.k = 1",
    "def g(x): return x + g.k\ng.k = 2",
)
through_helper(
    "inner decorator",
    "def more(f): return lambda x: f(x) + 1\n@more\ndef g(x): return x",
    "def more(f): return lambda x: f(x) + 2\n@more\ndef g(x): return x",
)
through_helper(
    "registry",
    "R = {}\ndef keep(f): R['f'] = f\n@keep\ndef f(x): return x + 1\ndef g(x): return R['f'](x)",
    "R = {}\ndef keep(f): R['f'] = f\n@keep\ndef f(x): return x + 2\ndef g(x): return R['f'](x)",
)
through_helper(
    "base of a class",
    "class B:\n  k = 1\nclass C(B): pass\ndef g(x): return x + C().k",
    "class B:\n  k = 2\nclass C(B): pass\ndef g(x): return x + C().k",
)
through_helper(
    "default of a dataclass",
    "from dataclasses import dataclass\n@dataclass\nclass C:\n  k: int = 1\n"
    "def g(x): return x + C().k",
    "from dataclasses import dataclass\n@dataclass\nclass C:\n  k: int = 2\n"
    "def g(x): return x + C().k",
)
through_helper(
    "property",
    "class C:\n  @property\n  def k(self): return 1\ndef g(x): return x + C().k",
    "class C:\n  @property\n  def k(self): return 2\ndef g(x): return x + C().k",
)
through_helper(
    "cached helper",
    "from cascade_nb import cached\nK = 1\n@cached\ndef g(x): return x + K",
    "from cascade_nb import cached\nK = 2\n@cached\ndef g(x): return x + K",
)
through_helper(
    "registered with an ABC",
    "import abc\nclass I(abc.ABC): pass\nclass A: pass\ndef g(x): return isinstance(A(), I)",
    "import abc\nclass I(abc.ABC): pass\nclass A: pass\nI.register(A)\n"
    "def g(x): return isinstance(A(), I)",
    (False, True),
)
through_helper(
    "patterns that a class takes",
    "class P:\n  __match_args__ = ('x', 'y')\n  x, y = 4, 5\n"
    "def g(x):\n  match P():\n    case P(first): return first",
    "class P:\n  __match_args__ = ('y', 'x')\n  x, y = 4, 5\n"
    "def g(x):\n  match P():\n    case P(first): return first",
)
through_helper(
    "builtin of one's own",
    "import builtins\nbuiltins.of_ones_own = 4\ndef g(x): return of_ones_own",
    "import builtins\nbuiltins.of_ones_own = 5\ndef g(x): return of_ones_own",
)
scenario(
    "namespace of a module",
    "import h\n@cached\ndef answer(): return h.__dict__['K']",
    before="K = 1",
    after="K = 2",
    answers=(1, 2),
)
scenario(
    "star import",
    "from h import *\n@cached\ndef answer(): return K",
    before="K = 1",
    after="K = 2",
    answers=(1, 2),
)
scenario(
    "shadowed builtin",
    "from h import *\n@cached\ndef answer(): return len('a')",
    before="",
    after="def len(x): return 99",
    answers=(1, 99),
)
scenario(
    "monkeypatch",
    "import h, math\n@cached\ndef answer(): return math.sqrt(4)",
    before="",
    after="import math\nmath.sqrt = lambda x: 77",
    answers=(2, 77),
)
scenario(
    "reexport",
    "import p\n@cached\ndef answer(): return p.g()",
    before={"p/__init__.py": "from .impl import g", "p/impl.py": "def g(): return 1"},
    after={"p/impl.py": "def g(): return 2"},
    answers=(1, 2),
)
scenario(
    "import in the body",
    "@cached\ndef answer():\n  from p import impl\n  return impl.g()",
    before={"p/__init__.py": "", "p/impl.py": "def g(): return 1"},
    after={"p/impl.py": "def g(): return 2"},
    answers=(1, 2),
)
scenario(
    "callable with a state",
    """
    import h
    class Add:
        def __init__(self, k): self.k = k
        def __call__(self): return self.k
    answer = cached(Add(h.K))
    """,
    before="K = 1",
    after="K = 2",
    answers=(1, 2),
)
scenario(
    "method of an instance",
    """
    import h
    class Add:
        def __init__(self, k): self.k = k
        @cached
        def value(self): return self.k
    answer = lambda: Add(h.K).value()
    """,
    before="K = 1",
    after="K = 2",
    answers=(1, 2),
)

# Files.

reading("opened file", "@cached\ndef answer(): return open('d.txt').read()")
reading(
    "file of a call in it",
    """
    @cached
    def text(): return open('d.txt').read()
    @cached
    def answer(): return text()
    """,
)
reading(
    "file that appears",
    """
    @cached
    def answer():
        try: return open('d.txt').read()
        except OSError: return None
    """,
    (None, "two"),
    before={},
)
reading(
    "listed folder",
    "import os\n@cached\ndef answer(): return sorted(os.listdir('d'))",
    (["a"], ["a", "b"]),
    {"d/a": ""},
    {"d/b": ""},
)
reading(
    "one name in globbed folders",
    "import glob\n@cached\ndef answer(): return sorted(glob.glob('d/*/m'))",
    (["d/a/m"], ["d/a/m", "d/b/m"]),
    {"d/a/m": "", "d/b/x": ""},
    {"d/b/m": ""},
)
reading(
    "one name in folders globbed by a path",
    "import pathlib\n@cached\n"
    "def answer(): return sorted(map(str, pathlib.Path('d').glob('*/q/*')))",
    (["d/a/q/m"], ["d/a/q/m", "d/b/q/m"]),
    {"d/a/q/m": "", "d/b/x": ""},
    {"d/b/q/m": ""},
)
for way, path in {
    "constant": "'d.csv'",
    "global": "P",
    "attribute": "c.p",
    "item": "d['p'][0]",
    "class attribute": "C.p",
}.items():
    reading(
        f"native reader of a {way}",
        f"""
        import pyarrow.csv
        P, d = 'd.csv', {{'p': ['d.csv']}}
        class C: p = 'd.csv'
        c = C()
        c.p = 'd.csv'
        @cached
        def answer(): return pyarrow.csv.read_csv({path})['a'].to_pylist()
        """,
        ([1], [2]),
        {"d.csv": "a\n1\n"},
        {"d.csv": "a\n2\n"},
    )
for what, pattern in {"file": "d/a", "glob": "d/*", "folder": "d"}.items():
    reading(
        f"reads of a {what} by a helper",
        f"""
        import subprocess, warnings
        warnings.simplefilter("ignore")
        @cached(reads="{pattern}")
        def text(): return subprocess.check_output(["cat", "d/a"], text=True)
        @cached
        def answer(): return text()
        """,
        before={"d/a": "one"},
        after={"d/a": "two"},
    )

# Edits that do not count.

through_helper("comment", "def g(x): return x", "# why\n\ndef g(x):\n    return (x)  # so", (3, 3))
through_helper("docstring", "def g(x): return x", "def g(x):\n    'Why.'\n    return x", (3, 3))
through_helper("annotation", "def g(x): return x", "def g(x: int) -> int: return x", (3, 3))
through_helper("neighbours", "def g(x): return x", "U = 1\ndef u(): U\ndef g(x): return x", (3, 3))
through_helper(
    "order of a set",
    "S = {'a', 'b', 'c'}\ndef g(x): return len(S)",
    "S = {'c', 'b', 'a'}\ndef g(x): return len(S)",
    (3, 3),
)

_RUNNER = """
import importlib, json, math, os, sys, types
from cascade_nb import Report, cached, configure, engine

root, found = sys.argv[1], {}
for name in sorted(os.listdir(root)):
    folder = os.path.join(root, name)
    os.chdir(folder)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    known, undone = set(sys.modules), dict(vars(math))
    configure(store=os.path.join(sys.argv[2], name))
    statuses = []
    unsubscribe = engine().bus.subscribe(Report, lambda each: statuses.append(each.status.value))
    main = types.ModuleType("main")
    main.__file__ = os.path.join(folder, "main.py")
    sys.modules["main"] = main
    exec(compile(open("main.py").read(), main.__file__, "exec"), vars(main))
    found[name] = main.answer(), statuses[-1]
    unsubscribe()
    vars(math).update(undone)
    for module in set(sys.modules) - known:
        if folder in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
    sys.path.remove(folder)
print(json.dumps(found))
"""


def run(root: Path, stores: Path, seed: str) -> dict[str, Any]:
    """The answer and status of each scenario, in a new process; each has a store of its own."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _RUNNER, str(root), str(stores)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONHASHSEED": seed},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], ...]]:
    """What the three processes found."""
    base = tmp_path_factory.mktemp("stale")
    root, stores = base / "scenarios", base / "stores"
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "JUPYTER_DATA_DIR"):
            patch.setenv(variable, str(base / "home"))
        for each in SCENARIOS:
            each.write(root, {"main.py": each.main, **each.files})
        first, second = run(root, stores, "1"), run(root, stores, "2")
        for each in SCENARIOS:
            each.write(root, each.edits)
        yield first, second, run(root, stores, "3")


@pytest.mark.parametrize("case", SCENARIOS, ids=lambda case: case.name)
def test_what_changed_is_noticed_and_nothing_else(
    case: Scenario, runs: tuple[dict[str, Any], ...]
) -> None:
    first, second, third = (found[case.name] for found in runs)
    before, after = case.answers
    assert first == [before, "miss"]
    assert second == [before, "hit"]
    assert third == [after, "hit" if before == after else "miss"]
