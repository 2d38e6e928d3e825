"""How fast a file's CID is made: UnixFS against plain SHA2-256 of the same 200 MB."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

from cascade_nb.content.unixfs import blocks, file_cid

SIZE = 200_000_000
REPEATS = 5


def fastest(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    data = os.urandom(SIZE)
    plain = fastest(lambda: hashlib.sha256(data).digest())
    print(f"{'sha256':<24}{SIZE / plain / 1e9:6.2f} GB/s")
    pieces = [memoryview(data)[start : start + 700_000] for start in range(0, SIZE, 700_000)]
    for name, work in {
        "file_cid": lambda: file_cid([data]),
        "file_cid, cut pieces": lambda: file_cid(pieces),
        "blocks": lambda: sum(1 for _ in blocks([data])),
    }.items():
        seconds = fastest(work)
        print(f"{name:<24}{SIZE / seconds / 1e9:6.2f} GB/s{plain / seconds:8.2f} x sha256")


if __name__ == "__main__":
    main()
