"""How the benchmarks measure and print: one line per figure, with the limit that it should keep."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping


def say(name: str, value: float, unit: str, *, limit: float | None = None) -> None:
    """Print one figure; a value above its limit is marked, but fails nothing."""
    line = f"{name}: {value:.3g} {unit}".rstrip()
    if limit is not None:
        verdict = "ok" if value <= limit else "OVER"
        line += f" (at most {limit:g}: {verdict})"
    print(line, flush=True)


def cpu_microseconds(
    calls: Mapping[str, Callable[[], object]], *, rounds: int = 15, repeats: int = 400
) -> dict[str, float]:
    """What each call costs in CPU time: the median over `rounds` of batches taken in turn.

    In turn, so that what else the machine does meets all of them, and ratios can be trusted.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            gc.collect()
            began = time.process_time()
            for _ in range(repeats):
                call()
            taken[name].append((time.process_time() - began) / repeats * 1e6)
    return {name: statistics.median(samples) for name, samples in taken.items()}


def wall_microseconds(
    calls: Mapping[str, Callable[[], object]], *, each: int, rounds: int = 15
) -> dict[str, float]:
    """What one of the `each` repeats within each call takes by the clock, others waited for.

    The median over `rounds`, taken in turn.
    """
    taken = wall_samples(calls, each=each, rounds=rounds)
    return {name: statistics.median(samples) for name, samples in taken.items()}


def wall_samples(
    calls: Mapping[str, Callable[[], object]], *, each: int, rounds: int
) -> dict[str, list[float]]:
    """As `wall_microseconds`, of each round."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    # Not in each round, the first call of which would find cold caches.
    gc.collect()
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - began) / each * 1e6)
    return taken
