import datetime

import pytest

from cascade_nb.errors import ConfigurationError
from cascade_nb.units import human_seconds, human_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (90, 90.0),
        (0.5, 0.5),
        ("90s", 90.0),
        ("15m", 900.0),
        ("12h", 43200.0),
        ("7d", 604800.0),
        (" 1.5 H ", 5400.0),
        (datetime.timedelta(minutes=2), 120.0),
    ],
)
def test_durations_are_read(given, seconds):
    assert parse_duration(given) == seconds


@pytest.mark.parametrize(
    "given",
    [
        0, -1, float("nan"), float("inf"), 10**400, True, None, [], "", "s", "7 days", "-7d", "0s",
        "1e999", "nan", "inf", "7d7h", "٣s", "9" * 400 + "d", datetime.timedelta(0),
    ],
)  # fmt: skip
def test_other_durations_are_refused_by_name(given):
    with pytest.raises(ConfigurationError) as caught:
        parse_duration(given, what="ttl")
    message = str(caught.value)
    assert message.startswith("ttl must be positive")
    assert message.endswith(f"not {given!r}")
    assert "\n" not in message
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("given", ["7", " 7 ", "7."])
def test_a_duration_without_a_unit_is_refused_with_those_there_are(given):
    number = given.strip()
    with pytest.raises(ConfigurationError) as caught:
        parse_duration(given, what="ttl")
    units = f'"{number}s", "{number}m", "{number}h", "{number}d"'
    assert str(caught.value) == f'ttl "{number}" has no unit: {units}'


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (1, 1),
        ("1b", 1),
        ("500MB", 500_000_000),
        ("20GB", 20_000_000_000),
        ("1.5 kB", 1500),
        ("1GiB", 2**30),
        ("2tb", 2_000_000_000_000),
        ("4096", 4096),
    ],
)
def test_sizes_are_read(given, count):
    assert parse_size(given) == count


@pytest.mark.parametrize("given", [0, -5, True, None, "", "GB", "20 gigs", "0GB", "-1MB", "0.4"])
def test_other_sizes_are_refused_by_name(given):
    with pytest.raises(ConfigurationError, match=r"^size must be positive.*not ") as caught:
        parse_size(given)
    assert repr(given) in str(caught.value)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1240, "1.2 kB"),
        (9949, "9.9 kB"),
        (9960, "10 kB"),
        (999_400, "999 kB"),
        (999_600, "1.0 MB"),
        (35_200_000, "35 MB"),
        (20_000_000_000, "20 GB"),
        (5e18, "5000 PB"),
    ],
)
def test_sizes_are_written_in_few_figures(size, text):
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.00001, "0 s"),
        (0.0004, "0.4 ms"),
        (0.012, "12 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1.0 s"),
        (1.24, "1.2 s"),
        (42, "42 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3599.7, "1 h"),
        (3780, "1 h 3 min"),
        (86399, "1 d"),
        (100 * 3600, "4 d 4 h"),
    ],
)
def test_durations_are_written_in_few_figures(seconds, text):
    assert human_seconds(seconds) == text
