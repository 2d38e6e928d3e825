"""The disk store beside the diskcache it is built on, and how long it holds up the loop."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import diskcache

from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.content.unixfs import file_cid
from cascade_nb.loop import run_sync
from tests.benchmarks.bench_loop import longest_stall
from tests.benchmarks.figures import say

_RECORD = os.urandom(1000)
_MIDDLE, _LARGE = 10_000_000, 200_000_000


def medians(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, repeats: int
) -> dict[str, float]:
    """Microseconds that each call takes, by the clock, as most of it is waiting for the disk."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            began = time.perf_counter()
            for _ in range(repeats):
                call()
            taken[name].append((time.perf_counter() - began) / repeats * 1e6)
    return {name: statistics.median(samples) for name, samples in taken.items()}


def compare(
    what: str, ours: Callable[[], object], theirs: Callable[[], object], **how: int
) -> None:
    """Print the ratio of our time to that of diskcache."""
    ours(), theirs()
    taken = medians({"ours": ours, "theirs": theirs}, **how)
    say(f"{what}, cascade-nb", taken["ours"], "us")
    say(f"{what}, diskcache", taken["theirs"], "us")
    say(f"{what}, cascade-nb / diskcache", taken["ours"] / taken["theirs"], "")


def main() -> None:
    """Print ratios of times, and the longest stall of the loop."""
    with tempfile.TemporaryDirectory() as folder:
        store = DiskCacheBackend(Path(folder) / "store")
        plain = diskcache.Cache(str(Path(folder) / "plain"), size_limit=1 << 40)
        numbers = itertools.cycle(map(str, range(1000)))
        often = {"rounds": 15, "repeats": 200}
        compare(
            "set of a 1 kB record",
            lambda: run_sync(store.write_record(next(numbers), _RECORD, None)),
            lambda: plain.set(next(numbers), _RECORD),
            **often,
        )
        compare(
            "get of a 1 kB record",
            lambda: run_sync(store.read_record("7")),
            lambda: plain.get("7"),
            **often,
        )
        data = os.urandom(_MIDDLE)
        cid = file_cid([data])
        seldom = {"rounds": 9, "repeats": 1}
        compare(
            "set of 10 MB",
            lambda: run_sync(store.write_content(cid, [data])),
            lambda: plain.set(cid, data),
            **seldom,
        )
        compare(
            "get of 10 MB",
            lambda: run_sync(store.read_content(cid)),
            lambda: plain.get(cid),
            **seldom,
        )
        asyncio.run(_stalls(store))
        plain.close()
        store.close()


async def _stalls(store: DiskCacheBackend) -> None:
    data = os.urandom(_LARGE)
    cid = file_cid([data])
    stall = await longest_stall(store.write_content(cid, [data]))
    say("stall of the loop, content of 200 MB stored", stall, "ms", limit=20)
    stall = await longest_stall(store.read_content(cid))
    say("stall of the loop, content of 200 MB read", stall, "ms", limit=20)


if __name__ == "__main__":
    main()
