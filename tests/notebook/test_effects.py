"""Effects on the session: seen, put back, or refused by name."""

from __future__ import annotations

import ast
import decimal
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from cascade_nb.notebook import effects

UNSEEDED = {"seeded": False}
CHANGES: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
    "variable": (lambda: os.environ.update(H6_A="1"), lambda: os.environ.get("H6_A")),
    "variable gone": (lambda: os.environ.pop("H6_B"), lambda: os.environ.get("H6_B")),
    "path": (lambda: sys.path.append("/h6"), lambda: sys.path.count("/h6")),
    "folder": (lambda: os.chdir(".."), os.getcwd),
    "filters": (
        lambda: warnings.simplefilter("ignore", DeprecationWarning),
        lambda: (warnings.filters[0][0], warnings.filters[0][2]),
    ),
    "level": (lambda: logging.getLogger("h6").setLevel(10), lambda: logging.getLogger("h6").level),
    "decimal": (
        lambda: setattr(decimal.getcontext(), "prec", 7),
        lambda: decimal.getcontext().prec,
    ),
    "pandas": (
        lambda: pd.set_option("display.max_rows", 3),
        lambda: pd.get_option("display.max_rows"),
    ),
    "numpy": (lambda: np.set_printoptions(precision=3), lambda: str(np.array([1 / 3]))),
    "errors": (lambda: np.seterr(over="raise"), lambda: np.geterr()["over"]),
    "polars": (
        lambda: pl.Config.set_float_precision(2).set_thousands_separator(True),
        lambda: str(pl.Series([1234.5678])),
    ),
    "polars, a variable": (
        lambda: pl.Config.set_tbl_rows(2),
        lambda: str(pl.Series(range(5))),
    ),
}


@pytest.fixture(autouse=True)
def session_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test changes is put back, by pytest and by the effects themselves."""
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    monkeypatch.setenv("H6_B", "2")
    monkeypatch.setattr(sys, "path", list(sys.path))


def _undo() -> None:
    os.environ.pop("H6_A", None)
    os.environ["H6_B"] = "2"
    sys.path[:] = [p for p in sys.path if p != "/h6"]
    os.chdir(Path(os.getcwd()) / "inner" if not os.getcwd().endswith("inner") else ".")
    logging.getLogger("h6").setLevel(0)
    decimal.getcontext().prec = 28
    pd.reset_option("display.max_rows")
    np.set_printoptions(precision=8)
    np.seterr(over="warn")
    pl.Config.restore_defaults()


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_and_put_back(name: str) -> None:
    change, look = CHANGES[name]
    with warnings.catch_warnings():
        watch = effects.Watch(**UNSEEDED)
        before = look()
        change()
        recorded, refusal = watch.changes()
        changed = look()
    assert refusal == ""
    assert changed != before
    _undo()
    assert effects.refused(recorded, **UNSEEDED) == ""
    with warnings.catch_warnings():
        effects.restore(recorded, **UNSEEDED)
        assert look() == changed
    _undo()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: os.environ.update(MY_API_KEY="x"), "it changes os.environ MY_API_KEY"),
        (lambda: setattr(sys, "stdin", object()), "it changes sys. stdin"),
    ],
)
def test_what_cannot_be_put_back_is_named(
    change: Callable[[], object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", sys.stdin)
    monkeypatch.setenv("MY_API_KEY", "y")
    watch = effects.Watch(**UNSEEDED)
    change()
    assert watch.changes() == ({}, reason)


def test_what_an_import_changes_is_none() -> None:
    watch = effects.Watch(**UNSEEDED)
    with watch.statement(ast.parse("import antigravity").body[0]):
        os.environ["H6_A"] = "by an import"
    assert watch.changes() == ({}, "")
    _undo()


def test_draws_hold_where_the_generators_stand_as_they_did() -> None:
    random.seed(1)
    watch = effects.Watch(seeded=True)
    drawn = random.random()
    recorded, _ = watch.changes()
    after = random.random()
    assert effects.refused(recorded, seeded=True) != ""
    assert effects.refused(recorded, seeded=False) == ""
    random.seed(1)
    assert effects.refused(recorded, seeded=True) == ""
    effects.restore(recorded, seeded=True)
    assert random.random() == after != drawn


def test_settings_that_are_not_the_defaults_count() -> None:
    assert effects.display_settings() == {}
    np.set_printoptions(precision=3)
    pd.set_option("display.max_rows", 3)
    assert effects.display_settings() == {
        "numpy print option precision": 3,
        "pandas option display.max_rows": 3,
    }
    _undo()
