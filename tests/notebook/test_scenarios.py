"""Every scenario, plain in one kernel, cached in another, and cached again in a new session."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from tests.notebook.kernel import Kernel, Ran
from tests.notebook.scenarios import SCENARIOS, Scenario


@dataclass(frozen=True, slots=True)
class Seen:
    """One scenario in one session: the cell itself, and what it left behind."""

    ran: Ran
    left: str


def _play(kernel: Kernel, *, cached: bool) -> dict[str, Seen]:
    kernel.run("%load_ext cascade_nb" if cached else "pass")
    seen = {}
    for scenario in SCENARIOS:
        _, ran = kernel.run_all([scenario.before, scenario.cell(cached=cached)])
        seen[scenario.name] = Seen(ran, kernel.value(scenario.check))
    return seen


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Seen]]:
    """By session (plain, first, second), what was seen of each scenario."""
    folder = tmp_path_factory.mktemp("scenarios")
    home = {"HOME": str(folder), "CASCADE_STORE": str(folder / "store")}
    found = {}
    kernel = Kernel(folder, **home)
    try:
        found["plain"] = _play(kernel, cached=False)
        for session in ("first", "second"):
            kernel.restart()
            found[session] = _play(kernel, cached=True)
    finally:
        kernel.close()
    return found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_a_cached_cell_is_like_a_plain_one(
    scenario: Scenario, sessions: dict[str, dict[str, Seen]]
) -> None:
    plain = sessions["plain"][scenario.name]
    for session, status in (("first", scenario.first), ("second", scenario.second)):
        seen = sessions[session][scenario.name]
        assert (session, seen.ran.badge) == (session, status), seen.ran.badge_text
        assert seen.ran.status == plain.ran.status
        assert seen.left == plain.left
        assert _comparable(seen.ran) == _comparable(plain.ran)


def _comparable(ran: Ran) -> list[dict[str, Any]]:
    return [
        {key: _neutral(value) for key, value in output.items()}
        for output in ran.shown
        if not re.search("(StaleRisk|Cache)Warning", str(output.get("text")))
    ]


def _neutral(value: Any) -> Any:
    """Without what differs from process to process."""
    if isinstance(value, dict):
        return {k: _neutral(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_neutral(v) for v in value]
    if isinstance(value, str):
        value = re.sub(r"\x1b\[[0-9;]*m", "", value)
        value = re.sub(r"ipykernel_\d+/\d+\.py|\d+\.py(?=, line)", "cell.py", value)
        value = re.sub(r"[%#]%cascade", "cascade", value)
        value = re.sub(r"[0-9a-f]{32}", "model", value)
        value = re.sub(r"Wall time: .*|CPU times: .*|0x[0-9a-f]+", "…", value)
    return value
