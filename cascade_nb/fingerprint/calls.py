"""Calls of which only the arguments tell whether they are a risk."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from cascade_nb.fingerprint.orders import called
from cascade_nb.fingerprint.risks import ARGUMENTS, CLOCK, DRAW, Risk

# What takes the name of a moment, and whose it is.
_MOMENTS = {
    **dict.fromkeys(("Timestamp", "to_datetime", "DatetimeIndex", "Period"), "pandas"),
    **dict.fromkeys(("date_range", "bdate_range", "period_range"), "pandas"),
    "datetime64": "numpy",
}
_NOW = frozenset({"now", "today"})
_PARSING = frozenset({"parse_args", "parse_known_args"})
# Arguments of methods that are called as polars' are, and draw from another generator.
_OTHERS = frozenset({"k", "counts", "random_state"})
# How many arguments these have where they are given the time, and do not ask for it.
_TIMED = {"gmtime": 1, "asctime": 1, "strftime": 2}


def risk_of_call(node: ast.Call) -> Risk | None:
    """What is risky about a call, where the package is reached whose it would be."""
    name = called(node)
    message, package = "", ""
    if name in _MOMENTS and any(_is_now(value) for value in _values(node)):
        message, package = CLOCK, _MOMENTS[name]
    elif isinstance(node.func, ast.Attribute) and _draws_from_polars(name, node):
        message, package = DRAW, "polars"
    elif name in _PARSING and not node.args and not node.keywords:
        message, package = ARGUMENTS, "argparse"
    if not message:
        return None
    return Risk(line=node.lineno, name=name, message=message, package=package)


def is_given_the_time(node: ast.Call) -> bool:
    """Whether a function of `time` that may ask the clock is told the time instead."""
    last = node.args[-1] if node.args else None
    asks = isinstance(last, ast.Starred) or (isinstance(last, ast.Constant) and last.value is None)
    return _TIMED.get(called(node)) == len(node.args) and not asks


def _draws_from_polars(name: str, node: ast.Call) -> bool:
    """Whether it is ``frame.sample(3)`` or ``series.shuffle()``; the seed may be None."""
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    seed = given.pop("seed", None)
    if isinstance(seed, ast.expr) and not (isinstance(seed, ast.Constant) and seed.value is None):
        return False
    if name == "sample":
        return len(node.args) <= 1 and _OTHERS.isdisjoint(given) and None not in given
    return name == "shuffle" and not node.args and not given


def _values(node: ast.Call) -> Iterator[ast.expr]:
    for value in (*node.args, *(keyword.value for keyword in node.keywords)):
        yield from value.elts if isinstance(value, ast.List | ast.Tuple) else (value,)


def _is_now(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and str(node.value).lower() in _NOW
