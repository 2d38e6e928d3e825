"""What asks for the state of the process is reported, since no key holds it."""

from __future__ import annotations

import pytest

from cascade_nb.fingerprint.cells import analyse_cell
from cascade_nb.fingerprint.keys import Memo, cell_key, function_key
from cascade_nb.fingerprint.native.readers import Role, role_of
from cascade_nb.fingerprint.risks import UNSEEN_IN_QUERY
from tests.fingerprint.scenarios import key_of, run

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
    "pkgutil.iter_modules(x)",
    "importlib.util.find_spec(x)",
    "importlib.metadata.version('numpy')",
    "urllib.request.getproxies()",
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
    "f'{set(x)}'",
    "'%s %s' % (x, set(x))",
    "'{}'.format(set(x))",
    "functools.reduce(max, set(x))",
    "list(set().union(*x))",
    "list({i: set(i) for i in x}[3])",
    "[list(group) for group in [set(x), {3}]]",
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
    "f'{len(set(x))}'",
    "x.isin(list(set(x)))",
    "set().union(*set(x))",
    "{*set(x)}",
    "list(set())",
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


ORDER = "uses the order of a set, which is another in each process; sort it"
# Bodies of f(x), and what x is: the line of the order is the last.
TAKEN = [
    ("s = set()\n    for i in x: s.add(i)\n    return list(s)", "[1]"),
    ("s = set()\n    s |= {*x}\n    s.update(x)\n    return [i for i in s]", "[1]"),
    ("d = defaultdict(set)\n    d[1].add(x)\n    return list(d[1])", "1"),
    ("d = defaultdict(set)\n    return [list(v) for k, v in d.items()]", "1"),
    ("return [','.join(v) for v in {k: set(k) for k in x}.values()]", "['ab']"),
    ("return ','.join(x)", "{'a', 'b'}"),
    ("d = {}\n    d.setdefault(1, set()).add(x)\n    return list(d[1])", "'a'"),
    ("a, b = set(x), 1\n    return list(a)", "['a']"),
    ("s = set()\n    for w in x: s.add(w) if len(s) < 2 else 0", "{'a', 'b'}"),
    ("y = x | {1}\n    return list(y)", "{'a', 'b'}"),
    ("return x.pop()", "{'a', 'b'}"),
    ("return f'{x}'", "{'a', 'b'}"),
    ("return list(x['k'])", "{'k': {'a', 'b'}}"),
    ("return [list(s) for s in x]", "[{'a', 'b'}]"),
    ("return list(x)", "frozenset([('a', 1), ('b', 2)])"),
    ("return [w for w in W]", "1"),
    ("return list(CONFIG.words)", "1"),
    ("return list(Model(x).tags)", "'ab'"),
    ("return list(letters(x))", "'ab'"),
    ("s = letters(x)\n    return list(s)", "'ab'"),
    ("return list(inner_words())", "'ab'"),
]
UNTAKEN = [
    ("return list(x)", "['a', 'b']"),
    ("s = set(x)\n    s.update(w.upper() for w in W)\n    return s", "['a']"),
    ("s = set()\n    for w in W:\n     if w in x: s.add(w)\n    return s", "['a']"),
    ("for w in W:\n     if w not in x: raise ValueError(w)\n    return x", "['a']"),
    ("for w in W:\n     if w in x: return True\n    return False", "['a']"),
    ("d = {}\n    d.setdefault(1, set()).add(x)\n    return sorted(d[1])", "'a'"),
    ("return list(x)", "{1, 2, 3.5, (4, 5)}"),
    ("return list(x)", "{'a'}"),
    ("x = sorted(x)\n    return list(x)", "{'a', 'b'}"),
    ("return sorted(x), len(x), max(x), 'a' in x, x | W, {i for i in x}", "{'a', 'b'}"),
    ("return list(x)", "{'k': {'a', 'b'}}"),
    ("return [str(k) for k in x]", "{'k': {'a', 'b'}}"),
    ("if x - W: raise ValueError(f'unknown: {x - W}')", "{'a', 'b'}"),
    ("u = list(x)\n    u.sort()\n    return u", "{'a', 'b'}"),
    ("u = [i for i in set(x)]\n    u.sort()\n    return u", "['a', 'b']"),
    ("return list(numbers())", "1"),
    ("s = set()\n    return s or list(x)", "['a']"),
    ("return list(plain(x))", "'ab'"),
]
AROUND = """
from collections import defaultdict
from types import SimpleNamespace
W = {"a", "b"}
NUMBERS = {1, 2}
CONFIG = SimpleNamespace(words={"a", "b"})
class Model:
    def __init__(self, tags): self.tags = set(tags)
def letters(x): return {i for i in x}
def plain(x):
    if x: return x
    return set(x)
def numbers(): return list(NUMBERS)
def inner_words():
    inner = set(W)
    return inner
def f(x):
    """


@pytest.mark.parametrize(("body", "x"), TAKEN)
def test_the_order_of_a_set_is_a_risk(body: str, x: str) -> None:
    (risk,) = key_of(AROUND + body, f"{{'x': {x}}}").risks
    assert risk.message == ORDER
    assert risk.line == len((AROUND + body).splitlines())


@pytest.mark.parametrize(("body", "x"), UNTAKEN)
def test_what_takes_no_order_of_texts_is_none(body: str, x: str) -> None:
    assert key_of(AROUND + body, f"{{'x': {x}}}").risks == ()


def test_the_order_of_a_set_that_an_instance_holds_is_a_risk() -> None:
    source = """
class Model:
    def __init__(self, tags): self.tags = tags
    def all(self): return [tag for tag in self.tags]
def f(x): return x.all()
"""
    assert [risk.line for risk in key_of(source, "{'x': Model({'a', 'b'})}").risks] == [4]
    assert key_of(source, "{'x': Model(['a', 'b'])}").risks == ()


@pytest.mark.parametrize(
    "loop",
    [
        "if w > 'a': return w",
        "if w > x: return 1\n     return 2",
        "if len(s) < 2: s.add(w)",
        "if (y := w) > 'a': s.add(w)",
        "s.add(w); print(w)",
    ],
)
def test_a_loop_over_a_set_is_a_risk_unless_it_only_looks_or_fills(loop: str) -> None:
    source = f"def f(x):\n    s = set()\n    for w in set(x):\n     {loop}\n    return s"
    assert [risk.line for risk in key_of(source).risks] == [3]


def test_a_set_is_asked_for_at_each_key() -> None:
    namespace, memo = run("W = ['a', 'b']\ndef f(x): return [*W, *x]"), Memo()
    function = namespace["f"]
    assert function_key(function, {"x": ["a"]}, memo=memo).risks == ()
    assert len(function_key(function, {"x": {"a", "b"}}, memo=memo).risks) == 1
    namespace["W"] = {"a", "b"}
    assert len(function_key(function, {"x": ["a"]}, memo=memo).risks) == 1


def test_the_order_of_a_set_is_a_risk_in_a_cell() -> None:
    cell = analyse_cell("out = list(W)\nhere = {1, 2}\nother = list(here)")
    (risk,) = cell_key(cell, {"W": {"a", "b"}}).risks
    assert (risk.line, risk.message) == (1, ORDER)
    assert cell_key(cell, {"W": {1, 2}}).risks == ()


# What is a risk for its arguments, and what is none: line 3 of a function, after its imports.
GIVEN = [
    ("pandas", "pandas.Timestamp('now')", "reads the clock"),
    ("pandas", "pandas.to_datetime(['today'])", "reads the clock"),
    ("pandas", "pandas.date_range('2020-01-01', end='now')", "reads the clock"),
    ("pandas", "pandas.Timestamp(x)", None),
    ("pandas", "pandas.to_datetime('2020-01-01')", None),
    ("numpy", "numpy.datetime64('today')", "reads the clock"),
    ("numpy", "numpy.datetime64('2020-01-01')", None),
    ("time", "time.gmtime()", "reads the clock"),
    ("time", "time.gmtime(None)", "reads the clock"),
    ("time", "time.strftime('%Y')", "reads the clock"),
    ("time", "time.strftime('%Y', time.gmtime())", "reads the clock"),
    ("time", "time.strftime('%Y', time.gmtime(x))", None),
    ("polars", "polars.DataFrame(x).sample(3)", "draws random numbers without a seed"),
    ("polars", "polars.Series(x).sample(n=3, seed=None)", "draws random numbers without a seed"),
    ("polars", "polars.col('a').shuffle()", "draws random numbers without a seed"),
    ("polars", "polars.DataFrame(x).sample(3, seed=1)", None),
    ("polars", "polars.col('a').shuffle(seed=x)", None),
    ("polars", "(polars.set_random_seed(1), polars.DataFrame(x).sample(3))", None),
    ("polars", "(polars.DataFrame(x), x.sample([1], 1), x.shuffle([1]))", None),
    ("json", "x.sample(3)", None),
    ("argparse", "argparse.ArgumentParser().parse_args()", "reads the command line"),
    ("argparse", "argparse.ArgumentParser().parse_known_args()", "reads the command line"),
    ("argparse", "argparse.ArgumentParser().parse_args([])", None),
    ("json", "x.parse_args()", None),
]


@pytest.mark.parametrize(("module", "expression", "message"), GIVEN)
def test_arguments_tell_whether_a_call_is_a_risk(
    module: str, expression: str, message: str | None
) -> None:
    pytest.importorskip(module)
    key = key_of(f"import {module}\ndef f(x):\n    return {expression}")
    assert [(risk.line, risk.message) for risk in key.risks] == [(3, message)] * bool(message)


def test_polars_seeds_its_own_generator_alone() -> None:
    pytest.importorskip("polars")
    source = "import polars, random\ndef f(x): polars.set_random_seed(1); return random.random()"
    (risk,) = key_of(source).risks
    assert risk.name == "random.random"


@pytest.mark.parametrize(
    ("expression", "risky"),
    [
        ("[getattr(x, k) for k in ('real', 'imag')]", False),
        ("{k: getattr(x, k, None) for i in [1] for k in ['real', 'imag']}", False),
        ("[getattr(x, k) for k in ('real', str(x))]", True),
        ("[getattr(x, k) for k in ('real',) for k in x]", True),
        ("[(lambda k: getattr(x, k))(x) for k in ('real',)]", True),
        ("[getattr(x, k) for k in x]", True),
    ],
)
def test_names_of_attributes_may_be_literal_in_a_comprehension(
    expression: str, risky: bool
) -> None:
    key = key_of(f"def f(x): return {expression}")
    assert len(key.risks) == risky


def test_attributes_under_literal_names_are_reached() -> None:
    source = "class C:\n    a = 1\n    b = 2\ndef f(x): return [getattr(C, k) for k in ('a', 'b')]"
    assert key_of(source) != key_of(source.replace("b = 2", "b = 3"))


def test_what_is_said_of_a_line_is_said_once() -> None:
    source = "import time\ndef f(x): return time.time(), time.monotonic(), time.time_ns()"
    assert len(key_of(source).risks) == 1


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("datetime.datetime.now", "reads the clock"),
        ("time.time", "reads the clock"),
        ("uuid.uuid4", "draws random numbers without a seed"),
        ("random.random", "draws random numbers without a seed"),
        ("list", None),
        ("datetime.timedelta", None),
    ],
)
def test_what_makes_the_defaults_of_a_dataclass_may_be_a_risk(
    factory: str, message: str | None
) -> None:
    source = f"""
import datetime, random, time, uuid
from dataclasses import dataclass, field
@dataclass
class Event:
    when: object = field(default_factory={factory})
def f(x): return Event()
"""
    risks = key_of(source).risks
    assert [(risk.line, risk.message) for risk in risks] == [(7, message)] * bool(message)


def test_values_are_not_asked_whether_they_are_true() -> None:
    source = """
import numpy as np
class Model:
    def __init__(self, weights): self.weights, self.names = weights, {"a", "b"}
    def total(self): return [w for w in self.weights]
MODEL = Model(np.arange(3))
def f(x): return MODEL.total(), list(MODEL.weights), x.total()
"""
    assert not key_of(source, "{'x': Model(np.arange(4))}").risks
    (risk,) = key_of(source.replace("self.weights]", "self.names]")).risks
    assert risk.message == ORDER
