"""The cost of a key, beside a whole hit of diskcache.memoize, which checks nothing but arguments.

Run it by itself: ``python tests/benchmarks/bench_keys.py``. Medians of CPU time, in microseconds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable

import diskcache

from cascade_nb.fingerprint.cells import analyse_cell
from cascade_nb.fingerprint.keys import Memo, cell_key, function_key

TABLE = list(range(10))
RATE = 0.5


def scale(x: float) -> float:
    return x * RATE


def total(values: list[int]) -> int:
    return sum(values)


def f(x: int) -> float:
    return scale(total(TABLE)) + x


class Model:
    def __init__(self) -> None:
        self.a = 1

    def fit(self, x: int) -> float:
        return scale(x)

    def predict(self, x: int) -> float:
        return self.fit(x)


def g(x: int) -> float:
    return Model().predict(x)


CELL = """
a = scale(i0) + total([i1, i2])
b = [i3, i4, i5]
c = {i6: i7, i8: i9}
"""


def cost(call: Callable[[], object], number: int = 1000, repeat: int = 15) -> float:
    """Median CPU time of a call, in microseconds."""
    times = []
    for _ in range(repeat):
        start = time.process_time()
        for _ in range(number):
            call()
        times.append((time.process_time() - start) / number * 1e6)
    return statistics.median(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, diskcache.Cache(folder) as cache:
        memoized = cache.memoize()(f)
        memoized(3)
        peer = cost(lambda: memoized(3))
    cell = analyse_cell(CELL)
    namespace = {**globals(), **{f"i{n}": n for n in range(10)}}
    of_f, of_g = Memo(), Memo()
    ours = {
        "function with two helpers, a global list and a float": lambda: function_key(
            f, {"x": 3}, memo=of_f
        ),
        "function that uses a class": lambda: function_key(g, {"x": 3}, memo=of_g),
        "function that is walked for anew": lambda: function_key(f, {"x": 3}),
        "cell with ten small inputs": lambda: cell_key(cell, namespace),
    }
    print(f"{'diskcache.memoize, whole hit':55}{peer:8.1f}")
    for name, call in ours.items():
        taken = cost(call)
        print(f"{'key of a ' + name:55}{taken:8.1f}{taken / peer:8.2f} of it")


if __name__ == "__main__":
    main()
