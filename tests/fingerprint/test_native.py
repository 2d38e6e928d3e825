"""What native readers are given: told beforehand where it can be, and a risk at its line if not."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from cascade_nb import StaleRiskWarning, cached, configure
from cascade_nb.fingerprint.cells import analyse_cell
from cascade_nb.fingerprint.keys import Key, cell_key, function_key
from cascade_nb.fingerprint.native.computation import Computed, Given
from cascade_nb.fingerprint.native.queries import attached, paths_in
from cascade_nb.fingerprint.native.readers import Role, role_of
from cascade_nb.fingerprint.native.urls import is_remote, local_paths
from tests.fingerprint.scenarios import key_of, run

pytest.importorskip("polars")

HEAD = """
import asyncio, datetime, functools, glob, io, itertools, json, os, sqlite3, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import pandas as pd, polars as pl
DATA = Path("data"); NAMES = ["a.csv", "b.csv"]; CONFIG = {"train": {"path": "a.csv"}}
READERS = {"csv": pl.read_csv}
load = lambda p, **options: pl.read_csv(p, **options)
def twice(path): return load(path)
class Store:
    def __init__(self, root): self.root = Path(root)
    @property
    def first(self): return pl.read_csv(self.root / "a.csv")
    def load(self, name): return self.read(self.root / f"{name}.csv")
    def read(self, path): return pl.read_csv(path)
class Frames:
    def __init__(self, paths): self.paths = paths
    def __iter__(self): return map(pl.read_csv, self.paths)
    def __enter__(self): return pl.read_csv(self.paths[0])
    def __exit__(self, *error): pass
STORE = Store("data")
def names(*numbers):
    for number in numbers: yield f"{number}.csv"
def fill(paths, path): paths.append(path)
def logged(function):
    @functools.wraps(function)
    def inner(*args, **kwargs): return function(*args, **kwargs)
    return inner
logging = logged(lambda p: pl.read_csv(p))
"""
# What is given in each, where x is 3.
TOLD = {
    "load('a.csv')": {"a.csv"},
    "twice(path='a.csv')": {"a.csv"},
    "load(f'd{x}.csv')": {"d3.csv"},
    "load('d' + str(x) + '.csv', separator=',')": {"d3.csv"},
    "load('%s-%03d.csv' % ('d', x))": {"d-003.csv"},
    "load('{}/{name}.csv'.format('d', name=x))": {"d/3.csv"},
    "load(DATA / 'a.csv')": {"data/a.csv"},
    "load(os.path.join(DATA, 'x', 'a.csv'))": {"data/x/a.csv"},
    "load(DATA.joinpath('a').with_suffix('.csv'))": {"data/a.csv"},
    "load(CONFIG['train']['path'])": {"a.csv"},
    "[load(p) for p in NAMES]": {"a.csv", "b.csv"},
    "[load(DATA / p) for p in NAMES if p]": {"data/a.csv", "data/b.csv"},
    "[load(f'd{i}.csv') for i in range(2)]": {"d0.csv", "d1.csv"},
    "pl.concat(map(load, (f'd{i}.csv' for i in range(2))))": {"d0.csv", "d1.csv"},
    "list(ThreadPoolExecutor().map(load, names(1, 2)))": {"1.csv", "2.csv"},
    "ThreadPoolExecutor().submit(load, 'a.csv')": {"a.csv"},
    "asyncio.to_thread(load, 'a.csv')": {"a.csv"},
    "READERS['csv'](f'e{x}.csv')": {"e3.csv"},
    "getattr(pl, 'read_csv')('a.csv')": {"a.csv"},
    "functools.partial(pl.read_csv, separator=';')('a.csv')": {"a.csv"},
    "logging('a.csv')": {"a.csv"},
    "STORE.load('a')": {"data/a.csv"},
    "Store('d').load(x)": {"d/3.csv"},
    "Store('d').first": {"d/a.csv"},
    "list(Frames(NAMES))": {"a.csv", "b.csv"},
    "[load(p) for p in sorted(glob.glob('d/*.csv'))]": {"d/*.csv"},
    "[load(p) for p in DATA.rglob('*.csv')]": {"data/**/*.csv"},
    "[load(f'd/{n}') for n in os.listdir('d')]": {"d/*"},
    "load(max(DATA.glob('*.csv')))": {"data/*.csv"},
    "load(datetime.date(2024, 1, x).strftime('%Y%m%d.csv'))": {"20240103.csv"},
    "load(os.environ.get('NO_SUCH_VARIABLE', 'a.csv'))": {"a.csv"},
    "load('file:///a%20b.csv')": {"/a b.csv", "/a%20b.csv"},
    "load(io.BytesIO(b''))": set(),
    "load(open('a.csv', 'rb'))": set(),
    "load(Path(tempfile.mkdtemp()) / 'a.parquet')": set(),
    "pd.read_csv(json.loads(x))": set(),
    "sqlite3.connect(':memory:').execute(\"attach 'file:a.db?mode=ro' as o\")": {"a.db"},
}
COMPUTED = [
    "load(json.loads(x))",
    "twice(path=json.loads(x))",
    "load(p := json.loads(x))",
    "load('d' + json.loads(x))",
    "load(DATA / json.loads(x))",
    "[load(p) for p in json.loads(x)]",
    "list(map(load, json.loads(x)))",
    "list(ThreadPoolExecutor().map(load, json.loads(x)))",
    "pd.Series(NAMES).map(load)",
    "pd.Series(NAMES).apply(load, by_row='compat')",
    "READERS['csv'](json.loads(x))",
    "functools.partial(pl.read_csv, separator=';')(json.loads(x))",
    "logging(json.loads(x))",
    "STORE.load(json.loads(x))",
    "Store(json.loads(x)).load('a')",
    "list(Frames(json.loads(x)))",
    "load(open('latest').read())",
    "load(load('index.csv')['path'][0])",
    "pl.sql(json.loads(x))",
    "sqlite3.connect(':memory:').execute('attach ' + json.loads(x))",
]


def given(key: Key) -> set[str]:
    return {str(text) for text in key.texts() if isinstance(text, Given)}


@pytest.mark.parametrize("expression", TOLD)
def test_what_can_be_told_is_given_and_no_risk(expression: str) -> None:
    key = key_of(f"{HEAD}def f(x):\n    return {expression}")
    assert given(key) == TOLD[expression]
    assert key.risks == ()


@pytest.mark.parametrize("expression", COMPUTED)
def test_what_cannot_is_a_risk_at_the_line_of_the_call(expression: str) -> None:
    line = HEAD.count("\n") + 2
    (risk,) = key_of(f"{HEAD}def f(x):\n    return {expression}").risks
    assert risk.line == line
    assert "reads=[...]" in risk.message


def body_key(body: str) -> Key:
    return key_of(f"{HEAD}def f(x):\n    " + body.replace("\n", "\n    "))


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ("p = 'd'\np = os.path.join(p, 'a.csv')\nreturn load(p)", {"d/a.csv"}),
        ("p = 'a.csv'\nload(p)\np = json.loads(x)", {"a.csv"}),
        ("if x: p = 'a.csv'\nelse: p = 'b.csv'\nload(p)", {"a.csv", "b.csv"}),
        ("for k, p in {'a': 'a.csv'}.items(): load(p)", {"a.csv"}),
        (
            "paths = []\nfor i in range(2): paths.append(f'{i}.csv')\nload(paths)",
            {"0.csv", "1.csv"},
        ),
        ("paths = []\nfill(paths, 'a.csv')\nload(paths[0])", {"a.csv"}),
        ("def inner(p=NAMES[0]): return load(p)\nreturn inner()", {"a.csv"}),
        ("with Frames(NAMES) as frame: return frame", {"a.csv", "b.csv"}),
        ("from polars import read_csv as rc\nreturn rc('a.csv')", {"a.csv"}),
        ("options = {'source': 'a.csv'}\nreturn pl.read_csv(**options)", {"a.csv"}),
    ],
)
def test_names_are_followed_through_a_body(body: str, paths: set[str]) -> None:
    key = body_key(body)
    # Of a list, any item may be the one.
    assert given(key) == paths or given(key) == paths - {"b.csv"}
    assert key.risks == ()


@pytest.mark.parametrize(
    "body",
    [
        "p = 'a.csv'\ndef inner():\n    nonlocal p\n    p = json.loads(x)\ninner()\nreturn load(p)",
        "i = 1\nwhile i < 3:\n    load(f'{i}.csv')\n    i += 1",
        "paths = []\nfill(paths, json.loads(x))\nreturn load(paths)",
        "store = Store('d')\nstore.root = json.loads(x)\nreturn store.first",
        "with Frames(json.loads(x)) as frame: return frame",
    ],
)
def test_what_changes_on_the_way_is_a_risk(body: str) -> None:
    (risk,) = body_key(body).risks
    assert "reads=[...]" in risk.message


def test_what_is_ignored_is_neither_given_nor_a_risk() -> None:
    key = key_of(f"{HEAD}def f(x): return load(x)", "{'x': 'a.csv'}", ignore=frozenset({"x"}))
    assert given(key) == set()
    assert key.risks == ()


def test_a_url_elsewhere_is_a_risk_of_the_network() -> None:
    for reader in ("pl.read_csv", "pd.read_csv"):
        source = f"{HEAD}def f(x): return {reader}('https://example.org/a.csv')"
        (risk,) = key_of(source).risks
        assert risk.message == "may read from the network"


def test_methods_that_nobody_calls_are_no_risk() -> None:
    source = f"{HEAD}def f(x): return x.root"
    assert key_of(source, "{'x': STORE}").risks == ()


def test_a_cached_function_records_by_itself_what_it_reads() -> None:
    source = f"""{HEAD}
from cascade_nb import cached
@cached
def inner(path): return pl.read_csv(path)
def f(x): return inner(json.loads(x))
"""
    assert key_of(source).risks == ()


def test_classes_of_a_cell_are_followed() -> None:
    namespace = run(HEAD)
    source = """
class Local:
    suffix = ".csv"
    def __init__(self, root): self.root = root
    def load(self, name): return pl.read_csv(f"{self.root}/{name}{self.suffix}")
found = Local("d").load('a')
"""
    key = cell_key(analyse_cell(source), namespace)
    assert given(key) == {"d/a.csv"}
    assert key.risks == ()
    (risk,) = cell_key(analyse_cell(source.replace("'a'", "json.loads(it)")), namespace).risks
    assert risk.line == 6


@pytest.mark.parametrize(
    ("source", "risks"),
    [
        ("def f(x): return load('a.csv')", 0),
        ("def f(x): return load(f'{x}.csv')", 1),
        ("def f(x): return load(DATA / 'a.csv')", 1),
        ("def f(x): return load('a.csv').height * x + 1", 0),
    ],
)
def test_bytecode_without_source_tells_whether_paths_are_made(source: str, risks: int) -> None:
    namespace: dict[str, object] = {"__name__": "__main__"}
    exec(f"{HEAD}{source}", namespace)
    key = function_key(namespace["f"], {"x": 3})
    assert len(key.risks) == risks
    assert "a.csv" not in source or "a.csv" in given(key)


def test_code_in_values_has_risks_unless_nobody_names_it() -> None:
    source = """
import time
class Clock:
    def now(self): return time.time()
    def stop(self): return 0
CLOCKS = {"a": Clock()}
"""
    (risk,) = key_of(f"{source}def f(x): return CLOCKS['a'].now()").risks
    assert (risk.line, risk.name) == (4, "time.time")
    assert key_of(f"{source}def f(x): return CLOCKS['a'].stop()").risks == ()


def test_sql_names_files_and_frames() -> None:
    assert set(paths_in("select * from 'a.csv', read_json('b') where n = 'c'")) == {"a.csv", "b"}
    assert attached("ATTACH DATABASE 'a.db' AS o") == ["a.db"]
    assert attached("attach ? as o") is None
    source = f"{HEAD}FRAME = pl.DataFrame()\ndef f(x): return pl.sql('select * from FRAME')"
    assert len(key_of(source).risks) == 1
    assert key_of(source.replace("return pl.sql", "FRAME; return pl.sql")).risks == ()


def test_urls_of_files_are_paths() -> None:
    assert local_paths("a.csv") == ["a.csv"]
    assert local_paths("file:a.db?mode=ro") == ["a.db"]
    assert local_paths("FILE://localhost/a") == ["/a"]
    assert is_remote("s3://a/b")
    assert not is_remote("file:///a")
    assert not is_remote("C://a")


def test_readers_are_known_by_their_homes() -> None:
    assert role_of("pyarrow._csv.read_csv") is Role.READER
    assert role_of("h5py._hl.files.File") is Role.READER
    assert role_of("zipfile.File") is None
    assert role_of("_duckdb.DuckDBPyConnection.execute") is Role.QUERY


def test_patterns_are_escaped_where_they_are_joined(tmp_path: Path) -> None:
    folder = tmp_path / "[a]"
    key = key_of(
        f"{HEAD}def f(x): return [load(p) for p in Path(x).glob('*.csv')]",
        f"{{'x': {str(folder)!r}}}",
    )
    assert given(key) == {f"{glob.escape(str(folder))}/*.csv"}


@pytest.mark.parametrize(
    ("expression", "is_computed"),
    [
        ("load('a.csv')", False),
        ("load(DATA / 'a.csv')", False),
        ("load(os.path.join('data', 'deep', NAMES[0]))", False),
        ("load('data/' + NAMES[0])", False),
        ("[load(name) for name in NAMES]", False),
        ("load(f'd{x}.csv')", True),
        ("load(DATA / f'{x}.csv')", True),
        ("load('d' + str(x) + '.csv')", True),
    ],
)
def test_a_path_that_nothing_names_is_computed(expression: str, is_computed: bool) -> None:
    key = key_of(f"{HEAD}def f(x): return {expression}", "{'x': 3}")
    assert given(key)
    assert any(isinstance(text, Computed) for text in key.texts()) is is_computed


def test_a_computed_path_is_told_once_and_kept_track_of(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    configure(store="memory://")
    Path("d3.csv").write_text("a\n1\n")
    load = cached(run(f"{HEAD}def f(x): return load(f'd{{x}}.csv')['a'].to_list()")["f"])
    with pytest.warns(StaleRiskWarning, match=r"computed path, such as `d3.csv`.*reads=") as told:
        assert load(3) == [1]
    Path("d3.csv").write_text("a\n2\n")
    assert load(3) == [2]
    assert len(told) == 1
