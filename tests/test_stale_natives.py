"""The never-stale rule for readers in native code, over processes: nothing tells what they open.

As in `test_stale`, a first process runs all scenarios, a second one must be served, then files are
edited, and a third one must get the answers that hold now. Each is run as a cached function, as a
cached generator and as a cell.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from cascade_nb import StaleRiskWarning, cached
from cascade_nb.errors import forget_warnings
from cascade_nb.fingerprint.cells import analyse_cell
from cascade_nb.fingerprint.keys import cell_key
from cascade_nb.fingerprint.texts import Given

pl = pytest.importorskip("polars")
pytest.importorskip("pyarrow")


@dataclass(frozen=True)
class Scenario:
    """Files before, what is edited, and what `body` leaves in `found` before and after."""

    body: str
    answers: tuple[Any, Any]
    setup: str = ""
    files: dict[str, str] = field(default_factory=dict)
    edits: dict[str, str | None] = field(default_factory=dict)


HEAD = "import os\nimport polars as pl\nimport pyarrow.csv as pc\nimport pyarrow.dataset as ds\n"
TRY = """
try: found = pl.read_csv({path})['a'].to_list()
except OSError: found = None
"""
TRY_ARROW = """
try: found = pc.read_csv({path})['a'].to_pylist()
except OSError: found = None
"""
ONE, TWO = "a\n1\n", "a\n2\n"
TREE = {"d/x=1/p.csv": ONE, "d/x=2/p.csv": TWO}
LOAD = "def load(path, **options): return pl.read_csv(path)['a'].to_list()"

SCENARIOS: dict[str, Scenario] = {
    "absent": Scenario(TRY_ARROW.format(path="'d.csv'"), (None, [1]), edits={"d.csv": ONE}),
    "absent, no suffix": Scenario(TRY.format(path="'d'"), (None, [1]), edits={"d": ONE}),
    "absent, a global": Scenario(
        TRY_ARROW.format(path="P"), (None, [1]), "P = 'd.csv'", edits={"d.csv": ONE}
    ),
    "absent folder that appears": Scenario(
        TRY.format(path="'d'"), (None, [1]), edits={"d/p.csv": ONE}
    ),
    "absent, of a parameter": Scenario(
        "try: found = load('n/d.csv')\nexcept OSError: found = None",
        (None, [1]),
        LOAD,
        edits={"n/d.csv": ONE},
    ),
    "absent, a word of a parameter": Scenario(
        "try: found = load('word')\nexcept OSError: found = None",
        (None, [1]),
        LOAD,
        edits={"word": ONE},
    ),
    "absent, reader of the module's own name": Scenario(
        "try: found = rc('d.csv')['a'].to_list()\nexcept OSError: found = None",
        (None, [1]),
        "from polars import read_csv as rc",
        edits={"d.csv": ONE},
    ),
    "absent, renamed reader": Scenario(
        "from pyarrow.csv import read_csv as get\nread = get\n"
        "try: found = read('d.csv')['a'].to_pylist()\nexcept OSError: found = None",
        (None, [1]),
        edits={"d.csv": ONE},
    ),
    "absent, mapped": Scenario(
        "try: found = [each['a'].to_pylist() for each in map(pc.read_csv, ['d.csv'])]\n"
        "except OSError: found = None",
        (None, [[1]]),
        edits={"d.csv": ONE},
    ),
    "folder, other content": Scenario(
        "found = sorted(pl.read_csv('d/')['a'])",
        ([1, 2], [2, 3]),
        "",
        {"d/a": ONE, "d/b": TWO},
        {"d/a": "a\n3\n"},
    ),
    "folder, another file": Scenario(
        "found = sorted(pl.read_csv('d')['a'])", ([1], [1, 2]), "", {"d/a": ONE}, {"d/b": TWO}
    ),
    "folder, a file less": Scenario(
        "found = ds.dataset('d', format='csv').to_table()['a'].to_pylist()",
        ([1, 2], [1]),
        "",
        {"d/a": ONE, "d/b": TWO},
        {"d/b": None},
    ),
    "dataset, deep content": Scenario(
        "import pyarrow.dataset\n"
        "found = sorted(pyarrow.dataset.dataset('d', format='csv').to_table()['a'].to_pylist())",
        ([1, 2], [1, 5]),
        "",
        TREE,
        {"d/x=2/p.csv": "a\n5\n"},
    ),
    "dataset, deep file": Scenario(
        "found = sorted(ds.dataset(D, format='csv').to_table()['a'].to_pylist())",
        ([1, 2], [1, 2, 2]),
        "D = 'd'",
        TREE,
        {"d/x=3/p.csv": TWO},
    ),
    "folder of a parameter": Scenario(
        "found = sorted(load('d'))", ([1], [1, 2]), LOAD, {"d/a": ONE}, {"d/b": TWO}
    ),
    "pattern, another file": Scenario(
        "found = sorted(pl.read_csv('d/*.csv')['a'])",
        ([1], [1, 2]),
        "",
        {"d/a.csv": ONE},
        {"d/b.csv": TWO},
    ),
    "pattern here, other content": Scenario(
        "found = sorted(pl.read_csv(P)['a'])",
        ([1], [2]),
        "P = '*.csv'",
        {"a.csv": ONE},
        {"a.csv": TWO},
    ),
    "pattern of deep files": Scenario(
        "found = sorted(pl.read_csv('d/**/p.csv')['a'])",
        ([1, 2], [1, 2, 2]),
        "",
        TREE,
        {"d/x=1/y/p.csv": TWO},
    ),
    "pattern of nothing": Scenario(
        "try: found = pl.read_csv('d/*.csv')['a'].to_list()\nexcept Exception: found = None",
        (None, [1]),
        "",
        {},
        {"d/b.csv": ONE},
    ),
    # Paths that are computed of constants and inputs, on their way to a reader.
    "computed, through a helper": Scenario(
        "found = load('d' + str(N) + '.csv')",
        ([1], [2]),
        f"N = 1\n{LOAD}",
        {"d1.csv": ONE},
        {"d1.csv": TWO},
    ),
    "joined": Scenario(
        "found = load(os.path.join(D, 'a.csv')) + load(Path(D) / 'b' / 'c.csv')",
        ([1, 2], [2, 2]),
        f"from pathlib import Path\nD = 'd'\n{LOAD}",
        {"d/a.csv": ONE, "d/b/c.csv": TWO},
        {"d/a.csv": TWO},
    ),
    "a loop over numbers": Scenario(
        "found = [load(f'd{i}.csv') for i in range(2)]",
        ([[1], [2]], [[1], [1]]),
        LOAD,
        {"d0.csv": ONE, "d1.csv": TWO},
        {"d1.csv": ONE},
    ),
    "a method of an instance": Scenario(
        "found = STORE.load('a')",
        ([1], [2]),
        "class Store:\n"
        "    def __init__(self, root): self.root = root\n"
        "    def load(self, name): return pl.read_csv(f'{self.root}/{name}.csv')['a'].to_list()\n"
        "STORE = Store('d')",
        {"d/a.csv": ONE},
        {"d/a.csv": TWO},
    ),
    "a reader in a dict": Scenario(
        "found = READERS['csv'](f'e{N}.csv')['a'].to_list()",
        ([1], [2]),
        "N = 1\nREADERS = {'csv': pl.read_csv}",
        {"e1.csv": ONE},
        {"e1.csv": TWO},
    ),
    "a pool's map": Scenario(
        "found = load_all([f'{i}.csv' for i in range(2)])",
        ([[1], [2]], [[1], [1]]),
        f"from multiprocessing.pool import ThreadPool\n{LOAD}\n"
        "def load_all(paths):\n"
        "    with ThreadPool(2) as pool: return pool.map(load, paths)",
        {"0.csv": ONE, "1.csv": TWO},
        {"1.csv": ONE},
    ),
    "found by glob": Scenario(
        "import glob\nfound = [load(path) for path in sorted(glob.glob('d/*.csv'))]",
        ([[1]], [[1], [2]]),
        LOAD,
        {"d/a.csv": ONE},
        {"d/b.csv": TWO},
    ),
    "listed and joined": Scenario(
        "found = [load(f'd/{name}') for name in sorted(os.listdir('d'))]",
        ([[1]], [[2]]),
        LOAD,
        {"d/a.csv": ONE},
        {"d/a.csv": TWO},
    ),
    "a URL of a file": Scenario(
        "found = pl.scan_csv(U).collect()['a'].to_list()",
        ([1], [2]),
        "U = 'file://' + os.path.abspath('a b.csv')",
        {"a b.csv": ONE},
        {"a b.csv": TWO},
    ),
    # What makes no difference.
    "pattern, another name": Scenario(
        "found = sorted(pl.read_csv('d/*.csv')['a'])",
        ([1], [1]),
        "",
        {"d/a.csv": ONE},
        {"d/b.txt": TWO},
    ),
    "a word that is a folder": Scenario(
        "found = pl.DataFrame({'d': [1]})['d'].to_list() + pl.read_csv('c')['a'].to_list()",
        ([1, 1], [1, 1]),
        "",
        {"d/a": ONE, "c": ONE},
        {"d/b": TWO},
    ),
    "a path that no reader is given": Scenario(
        "found = len('out.csv') + len(pl.read_csv('c'))", (8, 8), "", {"c": ONE}, {"out.csv": TWO}
    ),
    "written natively": Scenario(
        "pl.DataFrame({'a': [1]}).write_parquet('o.parquet')\n"
        "found = pl.read_parquet('o.parquet')['a'].to_list()",
        ([1], [1]),
    ),
    "written natively, of a parameter": Scenario(
        "pl.DataFrame({'a': [1]}).write_csv('o.csv')\nfound = load('o.csv')", ([1], [1]), LOAD
    ),
    "a folder written natively": Scenario(
        "import pyarrow as pa\n"
        "ds.write_dataset(pa.table({'a': [1]}), 'o', format='parquet')\n"
        "found = pl.read_parquet('o')['a'].to_list()",
        ([1], [1]),
    ),
    "an empty folder filled natively": Scenario(
        "pl.DataFrame({'a': [1]}).write_parquet('o/p.parquet')\n"
        "found = pl.read_parquet('o/*.parquet')['a'].to_list()",
        ([1], [1]),
        "os.makedirs('o', exist_ok=True)",
    ),
    "beside a pattern, written natively": Scenario(
        "pl.read_csv('d/*.csv').write_parquet('d/o.parquet')\n"
        "found = pl.read_parquet('d/o.parquet')['a'].to_list()",
        ([1], [1]),
        "",
        {"d/a.csv": ONE},
    ),
}


def as_function(each: Scenario) -> str:
    body = indent(each.body.strip() + "\nreturn found", "    ")
    return f"{HEAD}{each.setup}\n@cached\ndef compute():\n{body}\nanswer = compute"


def as_generator(each: Scenario) -> str:
    body = indent(each.body.strip() + "\nyield found", "    ")
    return f"{HEAD}{each.setup}\n@cached\ndef items():\n{body}\nanswer = lambda: list(items())[0]"


def as_cell(each: Scenario) -> str:
    return (
        f"shell.run_cell({HEAD + each.setup!r}).raise_error()\n"
        f"shell.run_cell({'%%cascade' + chr(10) + each.body.strip()!r}).raise_error()\n"
        "answer = lambda: shell.user_ns['found']"
    )


WAYS: dict[str, Callable[[Scenario], str]] = {
    "function": as_function,
    "generator": as_generator,
    "cell": as_cell,
}

_RUNNER = """
import json, os, sys, types, warnings
warnings.simplefilter("ignore")
from cascade_nb import Report, configure, engine
from IPython.core.interactiveshell import InteractiveShell
import contextlib, io

root, found = sys.argv[1], {}
shell = InteractiveShell.instance(history_length=0) if sys.argv[3] == "cell" else None
for name in sorted(os.listdir(root)):
    os.chdir(os.path.join(root, name))
    configure(store=os.path.join(sys.argv[2], name))
    if shell is not None:
        shell.reset(new_session=True)
        with contextlib.suppress(Exception):
            shell.extension_manager.load_extension("cascade_nb")
    statuses = []
    engine().bus.subscribe(Report, lambda each: statuses.append(each.status.value))
    main = types.ModuleType("main")
    main.__file__ = os.path.abspath("main.py")
    main.shell = shell
    sys.modules["main"] = main
    source = "from cascade_nb import cached\\n" + open("main.py").read()
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(source, main.__file__, "exec"), vars(main))
        answer = main.answer()
    found[name] = answer, statuses[-1:]
print(json.dumps(found))
"""


def run(way: str, root: Path, stores: Path) -> dict[str, Any]:
    """The answer and status of each scenario, in a new process; each has a store of its own."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", _RUNNER, str(root), str(stores), way],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "POLARS_MAX_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write(folder: Path, files: dict[str, str | None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_text(content)


@pytest.fixture(scope="module", params=WAYS)
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[dict[str, Any], ...]]:
    """What the three processes found."""
    base = tmp_path_factory.mktemp("natives")
    root, stores, way = base / "scenarios", base / "stores", request.param
    with pytest.MonkeyPatch.context() as patch:
        for variable in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "JUPYTER_DATA_DIR"):
            patch.setenv(variable, str(base / "home"))
        patch.setenv("IPYTHONDIR", str(base / "home" / "ipython"))
        for name, each in SCENARIOS.items():
            write(root / name, {**each.files, "main.py": WAYS[way](each)})
        first, second = run(way, root, stores), run(way, root, stores)
        for name, each in SCENARIOS.items():
            write(root / name, each.edits)
        yield first, second, run(way, root, stores)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_changed_is_noticed_and_nothing_else(
    name: str, runs: tuple[dict[str, Any], ...]
) -> None:
    first, second, third = (found[name] for found in runs)
    before, after = SCENARIOS[name].answers
    assert first == [before, ["miss"]]
    assert second == [before, ["hit"]]
    assert third == [after, ["hit" if before == after else "miss"]]


def test_a_folder_that_is_too_wide_is_reported_unless_reads_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"a.csv": ONE})
    where = "."

    def read() -> list[int]:
        return pl.read_csv(where)["a"].to_list()

    with pytest.warns(StaleRiskWarning, match=r"is given `\.`, .* name what it reads in reads="):
        assert cached(read)() == [1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forget_warnings()
        assert cached(read, reads="*.csv")() == [1]


@pytest.mark.parametrize(
    ("body", "given"),
    {
        "pl.read_csv('a')": {"a"},
        "pl.read_csv(source='a', separator=';')": {"a"},
        "pl.read_csv(Path('a'))": {"a"},
        "pl.read_csv('https://a/b.csv')": set(),
        "pl.scan_parquet(['a', 'b'])": {"a", "b"},
        "p = 'a'; q = p; pl.read_csv(q if q else 'b')": {"a", "b"},
        "[pl.read_csv(p) for p in ('a', 'b')]": {"a", "b"},
        "partial(pl.read_csv, 'a')()": {"a"},
        "read = pl.read_csv; read('a')": {"a"},
        "pl.read_csv(G)": {"g.csv"},
        "pl.read_csv(P)": {"word"},
        "pl.read_csv(H['x'])": {"h/", "*.txt"},
        "pl.read_csv(f()); 'a.csv'": set(),
        "print('a.csv')": set(),
        "pl.DataFrame({'a.csv': [1]})": set(),
        "f(lambda p: pl.read_csv(p)); f('a.csv'); f('word'); f('.csv'); f('/')": {"a.csv", "word"},
        "readers = {'csv': pl.read_csv}; readers['csv']('b.csv')": {"b.csv"},
    }.items(),
)
def test_what_a_native_reader_is_given(body: str, given: set[str]) -> None:
    names = {
        "pl": pl,
        "G": "g.csv",
        "P": Path("word"),
        "Path": Path,
        "partial": partial,
        "H": {"x": ["h/", "*.txt"], "word": "word"},
    }
    found = cell_key(analyse_cell(body), names).texts()
    assert {text for text in found if isinstance(text, Given)} == given
    assert len(set(found)) == len(found)
