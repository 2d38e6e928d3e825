"""Contents to and from an IPFS node, beside `curl` on the same requests, in turn.

`curl` sends a CAR that lies ready on disk, and reads into nothing; we build the DAG, ask what is
there, pin by name, and prove every byte that comes back.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.content import car, unixfs
from cascade_nb.content.cid import to_text
from cascade_nb.loop import run_sync
from tests.benchmarks.bench_loop import longest_stall
from tests.benchmarks.figures import say
from tests.servers.kubo import KuboNode, found_program, kubo_node

# Bytes, and how often each is measured.
_SIZES = {"1 kB": (1_000, 15), "10 MB": (10_000_000, 9), "500 MB": (500_000_000, 5)}
_LARGE, _HUGE = 200_000_000, 1_000_000_000


def main() -> None:
    """Print times for both, their ratios, the stall of the loop, and the memory of an upload."""
    if found_program() is None or shutil.which("curl") is None:
        print("left out: it takes Kubo's `ipfs` (or Go, to build it) and `curl`")
        return
    with tempfile.TemporaryDirectory() as folder, kubo_node() as node:
        # First, while no memory has been used and given back.
        _memory(node)
        node.clean()
        asyncio.run(_stalls(node))
        node.clean()
        for name, (size, rounds) in _SIZES.items():
            _compare(node, Path(folder) / "ready.car", name, size, rounds)
            node.clean()


def _compare(node: KuboNode, ready: Path, name: str, size: int, rounds: int) -> None:
    taken: dict[str, list[float]] = {}

    def time_of(what: str, call: Callable[[], object]) -> None:
        began = time.perf_counter()
        call()
        taken.setdefault(what, []).append(time.perf_counter() - began)

    for _ in range(rounds):
        store = IpfsCacheBackend(InMemoryCacheBackend(), node.url)
        run_sync(store.has_content("bafkqaaa"))  # connected, as in a session
        # Each its own bytes: what is there already would not be sent.
        theirs, ours = os.urandom(size), os.urandom(size)
        blocks = list(unixfs.blocks([theirs]))
        with ready.open("wb") as file:
            file.writelines(car.write(blocks[-1][0], blocks))
        their_cid, our_cid = to_text(blocks[-1][0]), unixfs.file_cid([ours])
        del blocks, theirs
        form = ("-F", f"file=@{ready}")
        time_of("curl up", partial(_curl, node, "dag/import?pin-roots=true", *form))
        time_of("up", partial(_run, store.write_content, our_cid, [ours]))
        time_of("curl down", partial(_curl, node, f"cat?arg={their_cid}"))
        time_of("down", partial(_run, store.read_content, our_cid))
        for cid in (their_cid, our_cid):
            node.ask("pin/rm", cid)
        node.collect()
    middle = {what: statistics.median(seconds) for what, seconds in taken.items()}
    for what, limit in (("up", 1.3), ("down", 1.5)):
        say(f"curl, {name} {what}", middle[f"curl {what}"] * 1e3, "ms")
        say(f"ours, {name} {what}", middle[what] * 1e3, "ms")
        say(f"ratio, {name} {what}", middle[what] / middle[f"curl {what}"], "", limit=limit)


def _run(function: Callable[..., Coroutine[Any, Any, object]], *arguments: object) -> None:
    run_sync(function(*arguments))


def _curl(node: KuboNode, path: str, *options: str) -> None:
    command = ["curl", "-sS", "-f", "-X", "POST", *options, "-o", os.devnull]
    subprocess.run([*command, f"{node.url}/api/v0/{path}"], check=True)


async def _stalls(node: KuboNode) -> None:
    store = IpfsCacheBackend(InMemoryCacheBackend(), node.url)
    data = os.urandom(_LARGE)
    cid = unixfs.file_cid([data])
    with tempfile.NamedTemporaryFile() as ready:
        blocks = list(unixfs.blocks([os.urandom(_LARGE)]))
        ready.writelines(car.write(blocks[-1][0], blocks))
        del blocks
        form = ("-F", f"file=@{ready.name}")
        by_curl = asyncio.to_thread(_curl, node, "dag/import?pin-roots=true", *form)
        stall = await longest_stall(by_curl)
    say("stall of the loop while curl sends 200 MB, for comparison", stall, "ms")
    stall = await longest_stall(store.write_content(cid, [data]))
    say("stall of the loop, 200 MB up", stall, "ms", limit=20)
    stall = await longest_stall(store.read_content(cid))
    say("stall of the loop, 200 MB down", stall, "ms", limit=20)


def _memory(node: KuboNode) -> None:
    """The most memory that an upload of 1 GB takes beside the value."""
    if not sys.platform.startswith("linux"):
        return
    store = IpfsCacheBackend(InMemoryCacheBackend(), node.url)
    part = os.urandom(_HUGE // 10)
    value = b"".join(bytes([n]) + part for n in range(10))
    cid = unixfs.file_cid([value])
    before = most = _resident()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.005):
            most = max(most, _resident())

    watching = threading.Thread(target=watch)
    watching.start()
    run_sync(store.write_content(cid, [value]))
    done.set()
    watching.join()
    say("memory of an upload of 1 GB, beside it", (most - before) / 1e6, "MB", limit=200)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
