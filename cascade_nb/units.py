"""Sizes and durations as people type them and as people read them, in one place."""

from __future__ import annotations

import datetime
import math
import re

from cascade_nb.errors import ConfigurationError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)


def parse_duration(duration: float | str | datetime.timedelta, *, what: str = "duration") -> float:
    """Seconds in `duration`: a number of them, a timedelta, or a text like 90s, 15m, 12h, 7d.

    Args:
        duration: What the user gave.
        what: The option it was given for, to be named in the error.

    Raises:
        ConfigurationError: it is none of these, a text without a unit, or not positive and finite.
    """
    seconds = math.nan
    if isinstance(duration, datetime.timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, str):
        match = _QUANTITY.fullmatch(duration)
        if match is not None and not match[2]:
            # Whether seconds or days were meant is for the user to say.
            with_units = ", ".join(f'"{match[1]}{unit}"' for unit in _SECONDS)
            raise ConfigurationError(f'{what} "{match[1]}" has no unit: {with_units}')
        seconds = _quantity(duration, _SECONDS)
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        seconds = _as_float(duration)
    if not 0 < seconds < math.inf:
        raise ConfigurationError(
            f"{what} must be positive and finite, as seconds, a timedelta, "
            f'or a text like "90s", "15m", "12h", "7d", not {duration!r}'
        )
    return seconds


def parse_size(size: float | str, *, what: str = "size", least: int = 1) -> int:
    """Bytes in `size`: a number of them, or a text like 500MB, 20GB (of 1000) or 1GiB (of 1024).

    Args:
        size: What the user gave.
        what: The option it was given for, to be named in the error.
        least: How many there have to be.

    Raises:
        ConfigurationError: it is neither, or not finite, or less than `least`.
    """
    count = math.nan
    if isinstance(size, str):
        count = _quantity(size, _BYTES)
    elif isinstance(size, int | float) and not isinstance(size, bool):
        count = _as_float(size)
    if not least <= count < math.inf:
        wanted = "positive" if least else "0 or more"
        raise ConfigurationError(
            f'{what} must be {wanted}, as bytes or a text like "500MB", "20GB", not {size!r}'
        )
    return int(count)


def human_size(size: float) -> str:
    """`size` bytes in two or three figures: 0 B, 999 B, 1.2 kB, 35 MB, 20 GB."""
    amount = float(size)
    if amount < 999.5:
        return f"{amount:.0f} B"
    units = ["kB", "MB", "GB", "TB", "PB"]
    amount /= 1000
    while amount >= 999.5 and len(units) > 1:
        amount /= 1000
        del units[0]
    return f"{_figures(amount)} {units[0]}"


def human_seconds(seconds: float) -> str:
    """A duration in two or three figures: 0 s, 0.4 ms, 12 ms, 1.2 s, 59 s, 2 min 5 s, 3 d 4 h."""
    if seconds < 0.00005:
        return "0 s"
    if seconds < 0.9995:
        return f"{_figures(seconds * 1000)} ms"
    if seconds < 59.5:
        return f"{_figures(seconds)} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(whole, 60, "min", "s")
    if round(whole / 60) < 24 * 60:
        return _two(round(whole / 60), 60, "h", "min")
    return _two(round(whole / 3600), 24, "d", "h")


def _quantity(text: str, units: dict[str, float] | dict[str, int]) -> float:
    """The number in `text` times its unit; NaN where it is no such text."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return math.nan
    number, unit = match.groups()
    return float(number) * units.get(unit.lower(), math.nan)


def _as_float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _figures(amount: float) -> str:
    return f"{amount:.1f}" if amount < 9.95 else f"{amount:.0f}"


def _two(count: int, large: int, large_name: str, small_name: str) -> str:
    head, rest = divmod(count, large)
    return f"{head} {large_name} {rest} {small_name}" if rest else f"{head} {large_name}"
