"""Which lines have changed, as an editor numbers them."""

from __future__ import annotations

import ast

import pytest

from cascade_nb.fingerprint.lines import changed_lines, lines_of

CODE = """
def fit(frame, rate):
    '''Fit it.'''
    options = {
        "rate": rate,
        "steps": 10,
    }
    for step in range(3):
        frame = frame * rate

    return frame.sum(), options
"""


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("10,", "20,", "line 6"),
        ("range(3)", "range(4)", "line 8"),
        ("* rate", "+ rate", "line 9"),
        ("frame.sum()", "frame.mean()", "line 11"),
        ("fit(frame, rate)", "fit(frame, rate, *more)", "line 2"),
        ('        "steps": 10,\n', "", "line 7"),
        ("\n    return", "\n    print(1)\n    return", "line 11"),
        ("\n    return frame.sum(), options", "", "line 9"),
        ("3", "30", "line 8"),
        ("rate", "pace", "lines 2, 5, 9"),
        ("frame", "data", "lines 2, 9, 11"),
        ("frame = frame * rate", "a = 1; b = 2; c = 3", "line 9"),
        ("    options", "    # a comment\n    options", ""),
        ("Fit it.", "Fit it well.", ""),
        ("return frame.sum(), options", "\n    ".join("wxyz"), "lines 11, 12, 13 and 1 more"),
    ],
)  # fmt: skip
def test_lines_that_differ(old: str, new: str, text: str) -> None:
    before, after = (lines_of(ast.parse(code)) for code in (CODE, CODE.replace(old, new)))
    assert changed_lines(before, after) == text


def test_where_there_is_no_source_nothing_is_said() -> None:
    lines = lines_of(ast.parse(CODE))
    assert changed_lines([], lines) == changed_lines(lines, []) == ""


def test_code_nested_deeply() -> None:
    deep = ast.parse("x = " + " + ".join(["1"] * 900))
    assert lines_of(deep) == lines_of(deep)
    assert len(lines_of(deep)) == 1
