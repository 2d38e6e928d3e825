"""Copies of installed modules in a working folder: what an edit of them does to keys.

Edits of whatever ran are missed, and neither those without effect nor those of what nobody names.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.study.cases import CASES, Case
from tests.study.survey import states_of, survey

_QUICK = {"mixin"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(each, id=each.name, marks=() if each.name in _QUICK else pytest.mark.slow)
        for each in CASES
    ],
)
def test_edits_count_where_the_function_can_reach_and_nowhere_else(
    case: Case, tmp_path: Path
) -> None:
    found = survey(case, tmp_path, most=8)
    assert found.counted["ran"] > 0
    assert found.stale == []
    assert found.needless == []
    for seed in ("1", "7"):
        with states_of(case, tmp_path, seed=seed) as states:
            assert states.key({})["key"] == found.key
