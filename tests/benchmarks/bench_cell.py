"""What a hit of a trivial cell adds to running a trivial cell, in a kernel, badge included."""

from __future__ import annotations

import os
import statistics
import tempfile
import time

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from tests.benchmarks.figures import say

_RUNS = 40


def _milliseconds(client: BlockingKernelClient, source: str) -> float:
    """The median time from asking until the kernel is idle again."""
    taken = []
    for _ in range(_RUNS):
        began = time.perf_counter()
        reply = client.execute_interactive(source, output_hook=lambda _: None, timeout=60)
        taken.append((time.perf_counter() - began) * 1e3)
        assert reply["content"]["status"] == "ok", reply["content"]
    return statistics.median(taken)


def main() -> None:
    """Print what a plain cell takes, and a hit."""
    with tempfile.TemporaryDirectory() as folder:
        manager, client = start_new_kernel(env={**os.environ, "CASCADE_STORE": folder})
        try:
            client.execute_interactive("%load_ext cascade_nb", timeout=60)
            client.execute_interactive("%%cascade\nx = 1", output_hook=lambda _: None, timeout=60)
            plain = _milliseconds(client, "x = 1")
            hit = _milliseconds(client, "%%cascade\nx = 1")
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
    say("a plain cell", plain, "ms")
    say("a trivial cell's hit, badge included", hit - plain, "ms more", limit=15)


if __name__ == "__main__":
    main()
