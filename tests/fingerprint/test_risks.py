"""What asks for the state of the process is reported, since no key holds it."""

from __future__ import annotations

import pytest

from cascade_nb.fingerprint.native.readers import Role, role_of
from cascade_nb.fingerprint.risks import UNSEEN_IN_QUERY
from tests.fingerprint.scenarios import key_of

ASKING = [
    "sys.getrecursionlimit()",
    "sys.getswitchinterval()",
    "sys.flags.optimize",
    "sys.stdin.isatty()",
    "threading.stack_size()",
    "socket.getdefaulttimeout()",
    "socket.gethostname()",
    "os.getcwd()",
    "os.path.abspath('x')",
    "os.path.expanduser('~')",
    "pathlib.Path.cwd()",
    "pathlib.Path.home()",
    "pathlib.Path('a').cwd()",
    "pathlib.Path('a').resolve()",
    "pathlib.Path(x).absolute()",
    "pathlib.Path(x).home()",
    "pathlib.Path('~').expanduser()",
    "pathlib.Path(x).stat()",
    "os.path.abspath(x)",
    "os.path.realpath('a')",
    "os.cpu_count()",
    "os.umask(0)",
    "multiprocessing.cpu_count()",
    "locale.getlocale()",
    "time.tzname",
    "time.process_time()",
    "gc.isenabled()",
    "platform.system()",
    "platform.uname().node",
    "getpass.getuser()",
    "tempfile.gettempdir()",
    "warnings.filters",
    "logging.root.level",
    "random.getstate()",
]
# By value in the key, or the same wherever the key is.
SILENT = [
    "time.timezone",
    "sys.executable",
    "sys.version_info",
    "sys.maxsize",
    "os.path.join('a', 'b')",
    "logging.getLogger('a')",
    "locale.LC_ALL",
    "threading.Lock()",
    "os.path.abspath('/a')",
    "os.path.dirname(os.path.abspath(__file__))",
    "os.path.expanduser('a')",
    "pathlib.Path(__file__).resolve().parent",
    "pathlib.Path('/a', 'b').absolute()",
]
# What differs from process to process.
VARYING = [
    "id(x)",
    "hash(x)",
    "hash('a') % 8",
    "object.__repr__(x)",
    "list(set(x))",
    "', '.join({'a', 'b'})",
    "[i for i in set(x) - {1}]",
    "next(iter({str(i) for i in x}))",
    "(names := set(x)) and list(names)",
    "str({'a', 'b'})",
    "[*frozenset(x)]",
    "tuple({}.keys() & x.keys())",
]
STEADY = [
    "hash(3)",
    "id(x) == id(3)",
    "{id(i): i for i in x}",
    "sorted(set(x))",
    "sorted(list(set(x)))",
    "sum(i for i in set(x))",
    "{i for i in set(x)}",
    "list({1, 2})",
    "list(set(range(3)))",
    "set(x) & {1}",
    "list(x)",
    "{i.resolve() for i in x}",
]


@pytest.mark.parametrize("expression", ASKING)
def test_state_of_the_process_is_a_risk(expression: str) -> None:
    module = expression.partition(".")[0]
    (risk,) = key_of(f"import {module}\ndef f(x):\n    return {expression}").risks
    assert risk.line == 3


@pytest.mark.parametrize("expression", ASKING)
def test_imported_by_name_it_is_one_too(expression: str) -> None:
    module, _, rest = expression.partition(".")
    name = rest.partition(".")[0].partition("(")[0]
    key = key_of(f"from {module} import {name}\ndef f(x):\n    return {rest}")
    # What is no function counts by its value then.
    assert key.risks or f"global {name}" in key.parts


@pytest.mark.parametrize("expression", SILENT)
def test_what_the_key_holds_is_no_risk(expression: str) -> None:
    module = expression.partition(".")[0]
    assert key_of(f"import {module}\ndef f(x):\n    return {expression}").risks == ()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return id(x)", "asks for an address, which is another in each process"),
        ("return hash(x)", "asks for a hash, which for texts is another in each process"),
        ("id = 3; return id", None),
        ("return len({P(1), P(2)})", None),
    ],
)
def test_addresses_and_hashes_differ_between_processes(body: str, message: str | None) -> None:
    hashed = (
        "class P:\n def __init__(self, a): self.a = a\n def __hash__(self): return hash(self.a)"
    )
    key = key_of(f"{hashed}\ndef f(x): {body}")
    assert [risk.message for risk in key.risks] == ([] if message is None else [message])


def test_sql_may_name_files() -> None:
    source = "import json, polars as pl\ndef f(x): return pl.sql(json.loads(x))"
    (risk,) = key_of(source).risks
    assert risk.message == UNSEEN_IN_QUERY
    assert role_of("duckdb.sql") is role_of("_duckdb.DuckDBPyConnection.execute") is Role.QUERY


@pytest.mark.parametrize("expression", VARYING)
def test_what_differs_between_processes_is_a_risk(expression: str) -> None:
    (risk,) = key_of(f"def f(x):\n    return {expression}").risks
    assert risk.line == 2
    assert "another in each process" in risk.message


@pytest.mark.parametrize("expression", STEADY)
def test_what_is_the_same_in_each_process_is_none(expression: str) -> None:
    assert key_of(f"def f(x):\n    return {expression}").risks == ()


def test_hash_methods_are_made_of_hashes() -> None:
    source = "class C:\n    def __hash__(self): return hash(('a', 1))\ndef f(x): return C()"
    assert key_of(source).risks == ()
    assert len(key_of(source.replace("__hash__", "digest")).risks) == 1


def test_a_path_that_is_placed_by_an_assignment_is_no_risk() -> None:
    source = """
import os
def f(x):
    here = os.path.dirname(__file__)
    return os.path.abspath(os.path.join(here, "a"))
"""
    assert key_of(source).risks == ()
    moved = source.replace("return", "here = x; return")
    assert [risk.line for risk in key_of(moved).risks] == [5]
