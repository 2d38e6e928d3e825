"""How fast a CAR becomes a file again, every block proven, against plain SHA2-256 of its bytes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

from cascade_nb.content import car
from cascade_nb.content.assembly import FileAssembly
from cascade_nb.content.unixfs import blocks
from tests.benchmarks.figures import say

SIZE = 500_000_000
REPEATS = 3
# What a socket gives at a time.
CHUNK = 1 << 20


def fastest(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    data = os.urandom(SIZE)
    built = list(blocks([data]))
    root = built[-1][0]
    stream = memoryview(b"".join(car.write(root, [built[-1], *built[:-1]])))

    def read() -> None:
        reader = car.Reader()
        assembly = FileAssembly(root, limit=SIZE)
        for start in range(0, stream.nbytes, CHUNK):
            for cid, block in reader.feed(stream[start : start + CHUNK]):
                assembly.add(cid, block, verified=True)
        reader.finish()
        assert assembly.complete

    plain = fastest(lambda: hashlib.sha256(data).digest())
    taken = fastest(read)
    say("SHA2-256 of 500 MB", SIZE / plain / 1e9, "GB/s")
    say("a CAR of 500 MB into a file", SIZE / taken / 1e9, "GB/s")
    say("a CAR into a file against SHA2-256", taken / plain, "times", limit=2.0)


if __name__ == "__main__":
    main()
