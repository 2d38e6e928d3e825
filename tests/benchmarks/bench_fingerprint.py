"""Fingerprints of large values beside one-thread BLAKE3 over the same bytes, and `joblib.hash`.

joblib hashes a pickle, which tells neither sharing from equality nor the order of axes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pandas as pd
from blake3 import blake3

from cascade_nb.fingerprint.values import fingerprint
from tests.benchmarks.figures import cpu_microseconds, say

ROWS = 1_000_000


def array() -> Any:
    """200 MB of random floats."""
    return np.random.default_rng(0).random(25_000_000)


def frame() -> Any:
    """A million rows of six kinds of columns."""
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "number": np.arange(ROWS),
            "float": generator.random(ROWS),
            "text": [f"name {index}" for index in range(ROWS)],
            "category": pd.Categorical(generator.choice(["a", "b", "c"], ROWS)),
            "time": pd.date_range("2020", periods=ROWS, freq="s"),
            "object": pd.Series([f"x{index % 100}" for index in range(ROWS)], dtype=object),
        }
    )


def seconds(*calls: Callable[[], object], rounds: int = 5) -> list[float]:
    """The median time of each call, made in turn so that what else runs meets all of them."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [statistics.median(times) for times in taken]


def main() -> None:
    """Print the ratios, and what small values cost."""
    large = array()
    content = memoryview(large).cast("B")
    ours, plain = seconds(lambda: fingerprint(large), lambda: blake3(content).digest())
    say("fingerprint, 200 MB of floats", ours * 1000, "ms")
    say("fingerprint, to one-thread BLAKE3's time", ours / plain, "times", limit=1.25)
    others: dict[str, Callable[[], Any]] = {
        "frame of 1M rows": frame,
        "list of 1M ints": lambda: list(range(ROWS)),
        "dict of 200k tuples": lambda: {
            str(index): (index, float(index), "x") for index in range(200_000)
        },
    }
    for name, make in others.items():
        value = make()
        ours, theirs = seconds(
            lambda value=value: fingerprint(value),  # type: ignore[misc]
            lambda value=value: joblib.hash(value),  # type: ignore[misc]
            rounds=3,
        )
        say(f"fingerprint, {name}", ours * 1000, "ms")
        say(f"fingerprint, {name}, to joblib.hash's time", ours / theirs, "times", limit=0.5)
    small = {"int": 1, "text": "a", "list": [1, 2, 3], "dict": {"a": 1, "b": [1.0]}}
    costs = cpu_microseconds(
        {name: lambda value=value: fingerprint(value) for name, value in small.items()}
    )
    for name, cost in costs.items():
        say(f"fingerprint, small {name}", cost, "us")


if __name__ == "__main__":
    main()
