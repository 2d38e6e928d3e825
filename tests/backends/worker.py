"""One of several processes that use a store at once; `python -m tests.backends.worker JOB ...`."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time

from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.content import verify
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import BackendError

SIZES = [500, 20_000, 60_000, 1_500_000]


def data_of(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


async def store_one(backend: DiskCacheBackend, key: str, *, size: int | None = None) -> None:
    """A record under `key` that names its contents, as the policy writes it."""
    size = random.Random(key).choice(SIZES) if size is None else size
    data = data_of(key, size)
    cid = file_cid([data])
    await backend.write_content(cid, [data[: size // 2], data[size // 2 :]])
    await backend.write_record(key, cid.encode(), None, contents=(cid,))


async def check_one(backend: DiskCacheBackend, key: str, record: bytes) -> bool:
    """Whether all that the record names is there; fails if it is not what its CID says."""
    cid = record.decode()
    data = await backend.read_content(cid)
    if data is None:
        return False
    assert verify(cid, data), f"{key}: damaged content was served"
    return True


async def fill(folder: str, name: str, count: int, start: int) -> None:
    """Store `count` results, and say so for each once it is stored."""
    backend = DiskCacheBackend(folder)
    for number in range(start, start + count):
        key = f"{name}-{number}"
        await store_one(backend, key)
        print(key, flush=True)


async def churn(folder: str, name: str, count: int, limit: int) -> None:
    """Store, read and remove under a limit that makes everybody evict all the time."""
    backend = DiskCacheBackend(folder, size=limit)
    chance = random.Random(name)
    for _ in range(count):
        key = f"key-{chance.randrange(40)}"
        action = chance.random()
        try:
            if action < 0.5:
                await store_one(backend, key, size=chance.choice(SIZES[:3]))
            elif action < 0.9:
                record = await backend.read_record(key)
                if record is not None:
                    await check_one(backend, key, record)
            else:
                await backend.delete_record(key)
        except BackendError as error:
            # Another process may evict a content before its record is there.
            if "parts of a result were gone" not in str(error):
                raise
        assert await backend.size() <= limit
    print("done", flush=True)


async def hold(folder: str, key: str, fork: bool) -> None:
    """Hold a lock until killed; if asked, with a living child that was forked meanwhile."""
    backend = DiskCacheBackend(folder)
    lock = await backend.try_lock(key)
    assert lock is not None
    child = os.fork() if fork else 0
    if fork and child == 0:
        time.sleep(60)
        os._exit(0)
    print(f"held {child}", flush=True)
    time.sleep(60)


if __name__ == "__main__":
    job, folder, *arguments = sys.argv[1:]
    jobs = {
        "fill": lambda name, count, start: fill(folder, name, int(count), int(start)),
        "churn": lambda name, count, limit: churn(folder, name, int(count), int(limit)),
        "hold": lambda key, fork: hold(folder, key, fork == "fork"),
    }
    asyncio.run(jobs[job](*arguments))
