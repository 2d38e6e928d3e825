"""The script behind the README's picture works, and the quickstart is a page full of hits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.lab import screenshot
from tests.lab.browser import Shown, chromium

pytestmark = pytest.mark.slow

_BADGE = re.compile(r"(hit|miss|bypass|failed|interrupted|off) · .* · ")


def _badges(cells: list[list[Shown]]) -> list[str]:
    return [found[1] for cell in cells for shown in cell if (found := _BADGE.match(shown.text))]


def test_the_second_run_is_all_hits_and_looks_the_same(tmp_path: Path) -> None:
    chromium()
    target = tmp_path / "quickstart.png"
    first, second = screenshot.take(tmp_path, target)
    assert len(_badges(first)) >= 4
    assert set(_badges(first)) == {"miss"}
    assert _badges(second) == ["hit"] * len(_badges(first))
    # The last cell is the session's panel, which tells of this very run.
    plain_first, plain_second = (
        [[shown for shown in cell if not _BADGE.match(shown.text)] for cell in cells[:-1]]
        for cells in (first, second)
    )
    assert plain_first == plain_second
    assert 0 < target.stat().st_size < 200_000


def test_both_sides_of_a_team_are_shown_with_their_badges(tmp_path: Path) -> None:
    chromium()
    target = tmp_path / "team.png"
    outputs = screenshot.take_sides(tmp_path, target)
    badges = [s.text for cell in outputs for s in cell if _BADGE.match(s.text)]
    hers, his = (text for text in badges if "few colours" in text)
    assert hers.startswith("miss")
    assert his.startswith("hit")
    assert "from Ann" in his
    assert 0 < target.stat().st_size < 200_000
