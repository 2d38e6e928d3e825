"""How fast values become bytes and values again, against pickle 5 of the same ones.

The longest wait of another thread meanwhile shows whether anything holds the interpreter.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from cascade_nb.codecs import decode, encode
from tests.benchmarks.figures import say

REPEATS = 5
ROWS = 2_500_000


def fastest(work: Callable[[], object]) -> float:
    """The best of some runs, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) * 1e3


def longest_wait(work: Callable[[], object]) -> float:
    """For how long, in milliseconds, another thread does not get its turn during `work`."""
    ticks = [time.perf_counter()]
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            time.sleep(0.0005)
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    work()
    done.set()
    thread.join()
    return max(b - a for a, b in pairwise(ticks)) * 1e3


def values() -> dict[str, Any]:
    """What is measured: 200 MB of memory, and containers of a million elements."""
    source = np.random.default_rng(0)
    words = [f"word {number}" for number in range(1_000_000)]
    return {
        "array of 200 MB": source.random(ROWS * 10),
        "transposed array of 200 MB": source.random((10, ROWS)).T[::-1],
        "frame of 200 MB": pd.DataFrame(source.random((ROWS, 10)), columns=list("abcdefghij")),
        "bytes of 200 MB": source.bytes(ROWS * 80),
        "frame of 1M strings": pd.DataFrame({"a": words}),
        "list of 1M floats": source.random(1_000_000).tolist(),
        "list of 1M ints": list(range(1_000_000)),
        "list of 1M strings": words,
        "dict of 1M floats": dict(zip(words, source.random(1_000_000).tolist(), strict=True)),
        "100k small dicts": [
            {"a": number, "b": str(number), "c": None} for number in range(100_000)
        ],
    }


def main() -> None:
    """Print what each value takes, beside pickle's times."""
    for name, value in values().items():
        dumped = fastest(lambda value=value: encode(value))
        data = bytearray().join(encode(value).pieces)
        loaded = fastest(lambda data=data: decode(data, code=False))
        pickled = pickle.dumps(value, protocol=5)
        dump = fastest(lambda value=value: pickle.dumps(value, protocol=5))
        load = fastest(lambda pickled=pickled: pickle.loads(pickled))
        say(f"{name}: encode", dumped, f"ms, {dumped / dump:.2f} of pickle's")
        say(f"{name}: decode", loaded, f"ms, {loaded / load:.2f} of pickle's")
        say(f"{name}: size", len(data) / len(pickled), "of pickle's")
        if "200 MB" in name:
            say(
                f"{name}: wait, encoding",
                longest_wait(lambda value=value: encode(value)),
                "ms",
                limit=20,
            )
            waited = longest_wait(lambda data=data: decode(data, code=False))
            say(f"{name}: wait, decoding", waited, "ms", limit=50)


if __name__ == "__main__":
    main()
