"""The longest time that the event loop stands still while 200 MB are stored, and read back."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import cascade_nb
from tests.benchmarks.figures import say

_BYTES = 200_000_000
_TICK = 0.001


def _values() -> dict[str, Any]:
    random = np.random.default_rng(0)
    array = random.random(_BYTES // 8)
    frame = pd.DataFrame(array.reshape(-1, 10).copy(), columns=list("abcdefghij"))
    return {"array": array, "frame": frame, "bytes": array.tobytes()}


async def longest_stall(work: Awaitable[Any]) -> float:
    """Milliseconds that a task which wakes every millisecond was kept waiting at most."""
    longest, done = 0.0, asyncio.Event()

    async def tick() -> None:
        nonlocal longest
        while not done.is_set():
            slept = time.perf_counter()
            await asyncio.sleep(_TICK)
            longest = max(longest, time.perf_counter() - slept - _TICK)

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.05)
    longest = 0.0
    await work
    done.set()
    await ticking
    return longest * 1e3


async def _measure() -> None:
    box: dict[str, Any] = {}

    @cascade_nb.cached(ignore=["box"])
    async def stored(name: str) -> Any:
        return box[name]

    say("stall of the loop with no work", await longest_stall(asyncio.sleep(1)), "ms")
    box.update(_values())
    for name in box:
        stall = await longest_stall(stored(name))
        assert stored.stats.misses == 1 + list(box).index(name), "it was stored"
        say(f"stall of the loop, 200 MB of {name} stored", stall, "ms", limit=20)
    for name in box:
        stall = await longest_stall(stored(name))
        say(f"stall of the loop, 200 MB of {name} read", stall, "ms", limit=20)


def main() -> None:
    """Print the longest stall for each kind of value."""
    with tempfile.TemporaryDirectory() as folder:
        cascade_nb.configure(store=str(Path(folder) / "store"))
        asyncio.run(_measure())


if __name__ == "__main__":
    main()
