"""The line that tells how far something has come; time is what the test says."""

import io

import pytest

from cascade_nb import meter
from cascade_nb.meter import Meter


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(meter.time, "monotonic", lambda: Clock.now)
    return Clock


def test_what_is_over_within_a_second_shows_nothing(clock):
    stream = io.StringIO()
    with Meter("loading", stream) as told:
        clock.now += 0.9
        told(1, 2)
    assert stream.getvalue() == ""


def test_a_line_is_overwritten_and_taken_away(clock):
    stream = io.StringIO()
    with Meter("loading", stream) as told:
        clock.now += 1.5
        told(2_000_000, 10_000_000)
        told(3_000_000, 10_000_000)
        clock.now += 0.3
        told(40, None)
    first, second, last, end = stream.getvalue().split("\r")[1:]
    assert first == "loading: 2.0 MB of 10 MB"
    assert second.rstrip() == "loading: 40 B"
    assert len(second) == len(first)
    assert last.strip() == end == ""
    assert len(last) >= len(second.rstrip())
