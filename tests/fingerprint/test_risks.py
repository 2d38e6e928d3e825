"""What asks for the state of the process is reported, since no key holds it."""

from __future__ import annotations

import pytest

from cascade_nb.fingerprint.risks import UNSEEN_IN_QUERY, of_name
from cascade_nb.fingerprint.scopes import CallForm
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
    source = "import polars as pl\ndef f(x): return pl.sql(x)"
    (risk,) = key_of(source).risks
    assert risk.message == UNSEEN_IN_QUERY
    assert of_name("duckdb.sql", call=CallForm.OTHER) == UNSEEN_IN_QUERY
