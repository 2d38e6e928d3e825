"""A verified hit of a small function on disk, beside those of joblib.Memory and diskcache.

joblib compares the function's source and the arguments; diskcache.memoize compares the arguments
alone. Ours also covers the helper and the global, and verifies the record.
"""

from __future__ import annotations

import asyncio
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import diskcache
import joblib

import cascade_nb
from tests.benchmarks.figures import cpu_microseconds, say

FACTORS = [2, 3, 5, 7, 11]


def scaled(n: int) -> int:
    return sum(n * factor for factor in FACTORS)


def small(n: int) -> int:
    return scaled(n) + 1


async def small_awaited(n: int) -> int:
    return scaled(n) + 1


def measure(folder: Path) -> dict[str, float]:
    """CPU microseconds of a hit of ``small(3)``, by library."""
    cascade_nb.configure(store=str(folder / "cascade"))
    ours = cascade_nb.cached(small)
    ours_awaited = cascade_nb.cached(small_awaited)
    memory = joblib.Memory(folder / "joblib", verbose=0).cache(small)
    cache = diskcache.Cache(str(folder / "diskcache"))
    memoized: Callable[[int], int] = cache.memoize()(small)
    loop = asyncio.new_event_loop()
    repeats = 400

    async def awaited_in_a_row() -> None:
        for _ in range(repeats):
            await ours_awaited(3)

    try:
        loop.run_until_complete(awaited_in_a_row())
        for call in (ours, memory, memoized):
            assert call(3) == call(3) == 85
        costs = cpu_microseconds(
            {
                "cascade": lambda: ours(3),
                "joblib": lambda: memory(3),
                "diskcache": lambda: memoized(3),
            },
            repeats=repeats,
        )
        awaited = cpu_microseconds(
            {"row": lambda: loop.run_until_complete(awaited_in_a_row())}, repeats=1
        )
        costs["cascade awaited"] = awaited["row"] / repeats
        assert ours.stats.misses == 1, "a hit was measured"
    finally:
        loop.close()
        cache.close()
    return costs


def main() -> None:
    """Print what a hit costs and how that stands to the others."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        costs = measure(Path(folder))
    for name, cost in costs.items():
        say(f"hit, {name}", cost, "us")
    say("hit, to joblib.Memory's", costs["cascade"] / costs["joblib"], "times", limit=0.5)
    say("hit, to diskcache.memoize's", costs["cascade"] / costs["diskcache"], "times")


if __name__ == "__main__":
    main()
