"""Settings of libraries are inputs of the functions that use them, where not the defaults."""

from __future__ import annotations

import contextlib
import decimal
import json
import locale
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn  # type: ignore[import-untyped]

from cascade_nb import cached
from cascade_nb.decorator import Cached
from cascade_nb.fingerprint import settings
from cascade_nb.fingerprint.keys import changed_parts, key_from_parts
from cascade_nb.notebook import effects
from cascade_nb.policies.shelf import INLINE_BYTES

VALUES = np.array([1.23456789, 2.0])
FRAME = pd.DataFrame({"a": [1.23456789]})


def printed() -> str:
    return str(VALUES)


def through_helper() -> str:
    return printed() + "!"


def divided() -> str:
    try:
        return str(np.divide(1.0, np.zeros(1)))
    except FloatingPointError:
        return "raised"


def shown() -> str:
    return FRAME.to_string()


def third() -> str:
    return str(decimal.Decimal(1) / 3)


def third_of(number: decimal.Decimal) -> str:
    return str(number / 3)


def coloured() -> Any:
    return matplotlib.rcParams["lines.linewidth"]


def configured() -> Any:
    return sklearn.get_config()["transform_output"]


def formatted() -> str:
    return f"{1.5:n}"


def unconcerned() -> int:
    return len(json.dumps([1]))


@contextlib.contextmanager
def _locale() -> Iterator[None]:
    known = subprocess.run(["locale", "-a"], capture_output=True, text=True).stdout.split()
    other = next((name for name in known if name not in ("C", "POSIX")), None)
    if other is None:
        pytest.skip("no other locale is installed")
    before = locale.setlocale(locale.LC_NUMERIC)
    locale.setlocale(locale.LC_NUMERIC, other)
    yield
    locale.setlocale(locale.LC_NUMERIC, before)


State = Callable[[], contextlib.AbstractContextManager[Any]]
CASES: dict[str, tuple[Callable[[], Any], State]] = {
    "printed": (printed, lambda: np.printoptions(precision=3)),
    "by a helper": (through_helper, lambda: np.printoptions(precision=3)),
    "errors": (divided, lambda: np.errstate(divide="raise")),
    "pandas": (shown, lambda: pd.option_context("display.precision", 2)),
    "decimal": (third, lambda: decimal.localcontext(prec=5)),
    "rcParams": (coloured, lambda: matplotlib.rc_context({"lines.linewidth": 7})),
    "sklearn": (configured, lambda: sklearn.config_context(transform_output="pandas")),
    "locale": (formatted, _locale),
}


def status_of(function: Cached[..., Any], *args: Any) -> tuple[Any, str]:
    misses, hits = function.stats.misses, function.stats.hits
    value = function(*args)
    if function.stats.hits > hits:
        return value, "hit"
    return value, "miss" if function.stats.misses > misses else "other"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_settings_are_inputs(name: str) -> None:
    plain, changed = CASES[name]
    function = cached(plain)
    assert status_of(function) == (plain(), "miss")
    with changed():
        assert status_of(function) == (plain(), "miss")
        assert status_of(function) == (plain(), "hit")
    assert status_of(function) == (plain(), "hit")


async def test_reason_is_in_the_users_words() -> None:
    function = cached(printed)
    function()
    with np.printoptions(precision=3):
        assert (await function.explain()).reason == "settings of numpy changed"
        function()
    with np.printoptions(precision=4):
        assert (await function.explain()).reason.startswith("settings of numpy changed: ")


def test_decimal_context_counts_for_arguments() -> None:
    function = cached(third_of)
    one = decimal.Decimal(1)
    with decimal.localcontext(prec=5):
        assert status_of(function, one) == ("0.33333", "miss")
    assert status_of(function, one) == (third_of(one), "miss")


def test_settings_of_libraries_that_are_not_reached_do_not_count() -> None:
    function = cached(unconcerned)
    function()
    with np.printoptions(precision=3), decimal.localcontext(prec=5):
        assert status_of(function)[1] == "hit"


def test_settings_changed_and_restored_inside_are_no_change() -> None:
    def careful() -> str:
        with np.printoptions(precision=2):
            return str(VALUES)

    function = cached(careful)
    assert status_of(function) == ("[1.23 2.  ]", "miss")
    assert status_of(function) == ("[1.23 2.  ]", "hit")


async def test_function_that_changes_settings_is_not_stored() -> None:
    def careless() -> str:
        np.set_printoptions(precision=2)
        return str(VALUES)

    function = cached(careless)
    with np.printoptions(), pytest.warns(UserWarning, match="changed its settings of numpy"):
        function()
    assert "first run" in (await function.explain()).reason


def test_library_loaded_by_the_run_is_no_change() -> None:
    was = key_from_parts({})
    known = key_from_parts({}, settled=frozenset({"numpy"}))
    now = key_from_parts({"settings of numpy": "00"}, settled=frozenset({"numpy"}))
    assert changed_parts(was, now) == []
    assert changed_parts(known, now) == ["settings of numpy"]


def test_no_setting_differs_from_the_defaults_in_a_fresh_session() -> None:
    source = "import pandas, matplotlib, sklearn, decimal, locale\n" + dedent(
        """
        from cascade_nb.fingerprint import settings
        print(settings.all_changed(), end="")
        """
    )
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "{}", done.stderr


_BEGUN_OTHERWISE = """
from cascade_nb.fingerprint import settings
from cascade_nb.notebook import effects
watch = effects.Watch(seeded=False)
import pandas, sklearn
print(settings.all_changed())
print(*watch.changes())
"""


@pytest.mark.parametrize(
    ("variable", "label", "value"),
    [
        ("PANDAS_FUTURE_INFER_STRING=0", "pandas option future.infer_string", False),
        ("PANDAS_FUTURE_PYTHON_SCALARS=1", "pandas option future.python_scalars", True),
        ("PANDAS_COPY_ON_WRITE=warn", "pandas option mode.copy_on_write", "warn"),
        ("SKLEARN_ASSUME_FINITE=1", "sklearn setting assume_finite", True),
    ],
)
def test_defaults_from_the_environment_are_none(variable: str, label: str, value: Any) -> None:
    name, _, text = variable.partition("=")
    environment = {**os.environ, "LC_ALL": "C", name: text}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _BEGUN_OTHERWISE],
        capture_output=True,
        text=True,
        env=environment,
    )
    found, changes = done.stdout.splitlines()
    assert (found, done.stderr) == (str({label: value}), "")
    # Where a cell loads the library, that is none of the cell's doing.
    assert label.rpartition(" ")[0] not in changes


async def test_settings_of_a_thread_go_along_where_a_large_input_is_hashed() -> None:
    @cached
    def scaled(data: Any) -> Any:
        return sklearn.get_config()["assume_finite"], len(data)

    data = np.zeros(INLINE_BYTES)
    small = data[:1]
    plain, plain_small = scaled.key(data), scaled.key(small)
    assert await scaled.aio(data) == (False, len(data))
    with sklearn.config_context(assume_finite=True):
        assert plain_small != scaled.key(small)
        assert await scaled.aio(data) == (True, len(data))
        assert await scaled.aio(data) == (True, len(data))
    assert scaled.stats.misses == 2
    assert scaled.key(data) == plain


def test_settings_changed_in_place_are_seen() -> None:
    assert settings.PARAMETERS.changed() == {}
    families = matplotlib.rcParams["font.family"]
    families.append("serif")
    try:
        assert list(settings.PARAMETERS.changed()) == ["rcParams font.family"]
    finally:
        families.remove("serif")
    assert settings.PARAMETERS.changed() == {}


def test_cells_take_them_from_the_same_place() -> None:
    with np.errstate(divide="raise"), decimal.localcontext(prec=5):
        assert effects.display_settings() == {
            "numpy error handling divide": "raise",
            "the decimal context's prec": 5,
        }


_PROGRAM = """
import sys, warnings
import numpy as np
from cascade_nb import cached
exec(sys.argv[1])
VALUES = np.array([1.23456789, 2.0])
@cached
def printed():
    return str(VALUES)
print(printed(), printed.stats.hits)
"""


def test_settings_hold_over_processes(tmp_path: Path) -> None:
    program = tmp_path / "main.py"
    program.write_text(_PROGRAM)

    def answer(setting: str) -> str:
        command = [sys.executable, str(program), setting]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    rounded = "np.set_printoptions(precision=2)"
    assert answer("") == "[1.23456789 2.        ] 0"
    assert answer(rounded) == "[1.23 2.  ] 0"
    assert answer("") == "[1.23456789 2.        ] 1"
    assert answer(rounded) == "[1.23 2.  ] 1"


def test_numpy_tells_that_somebody_has_seeded_it() -> None:
    done = subprocess.run([sys.executable, "-c", _SEEDING], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True", "True", "another", "same"], done.stderr


_SEEDING = """
import numpy as np
from cascade_nb.notebook import effects
surface = next(each for each in effects.SURFACES if each.name == "numpy.random")
print(surface.is_seeded())
np.random.seed(1)
print(surface.is_seeded())
watch = effects.Watch(seeded=False)
drawn = np.random.rand()
recorded, _ = watch.changes()
print(surface.is_seeded())
np.random.seed(2)
print("another" if effects.refused(recorded, seeded=False) else "same")
np.random.seed(1)
print("another" if effects.refused(recorded, seeded=False) else "same")
"""


def test_settings_of_polars_count() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1.23456789]})

    @cached
    def as_text() -> str:
        return str(frame) + pl.__name__

    plain = as_text.key()
    with pl.Config(float_precision=2):
        assert as_text.key() != plain
    assert as_text.key() == plain
