"""One of several processes on one Redis server; `python -m tests.backends.redis_worker JOB ...`."""

from __future__ import annotations

import asyncio
import sys
import time

import redis

import cascade_nb
from cascade_nb.backends.redis import RedisCacheBackend
from cascade_nb.loop import run_sync


def compute(backend: RedisCacheBackend, seconds: str) -> None:
    """Call a cached function, and say whether its body ran here."""
    engine = cascade_nb.Engine(policy=cascade_nb.ContentCachePolicy(backend))

    def slow(n: int) -> int:
        print("running", flush=True)
        time.sleep(float(seconds))
        return n * 2

    # What is counted, printed and slept through here is no input.
    function = cascade_nb.cached(slow, engine=engine, version="1", ignore=["seconds"])
    print("result", function(21), flush=True)


def hold(backend: RedisCacheBackend, key: str) -> None:
    """Hold a lock until killed, and say when it is lost."""
    lock = run_sync(backend.try_lock(key))
    assert lock is not None
    print("held", flush=True)
    while not lock.is_lost:
        time.sleep(0.05)
    print("lost", flush=True)


def write(backend: RedisCacheBackend, cid: str) -> None:
    """Write content without end."""
    print("writing", flush=True)
    pieces = [b"x" * (1 << 20)] * 2000
    asyncio.run(backend.write_content(cid, pieces))


if __name__ == "__main__":
    job, url, argument = sys.argv[1:]
    jobs = {"compute": compute, "hold": hold, "write": write}
    jobs[job](RedisCacheBackend(redis.Redis.from_url(url)), argument)
