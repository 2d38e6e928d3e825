"""A verified hit over Redis, beside what cannot be had for less: its key, and a plain `get`.

The bytes that the plain client gets are those of a row of the store's. Where the caller has a loop,
its client is asyncio's; a plain one called in a thread, as it has to be there, is shown too.
"""

from __future__ import annotations

import asyncio
import statistics
import warnings
from collections.abc import Awaitable, Callable

import cascade_nb
from cascade_nb.backends.redis import RedisCacheBackend
from tests.benchmarks.figures import say, wall_samples
from tests.servers.redis import RedisServer, redis_server

FACTORS = [2, 3, 5, 7, 11]
# Many short rows: some of them have the machine to themselves.
REPEATS, ROUNDS = 10, 300


def scaled(n: int) -> int:
    return sum(n * factor for factor in FACTORS)


def small(n: int) -> int:
    return scaled(n) + 1


async def small_awaited(n: int) -> int:
    return scaled(n) + 1


def measure(server: RedisServer) -> dict[str, list[float]]:
    """Microseconds of keys, plain gets, and hits in plain code and on a loop, in each round."""
    client = server.client()
    ours = cascade_nb.cached(
        small, engine=cascade_nb.Engine(policy=_policy(RedisCacheBackend(client)))
    )
    loop = asyncio.new_event_loop()
    awaited_client = server.asyncio_client()
    engine = cascade_nb.Engine(policy=_policy(RedisCacheBackend(awaited_client)))
    ours_awaited = cascade_nb.cached(small_awaited, engine=engine)
    assert ours(3) == ours(3) == 85
    (row,) = client.keys("*record:*")
    client.set("plain", client.get(row))

    def in_a_row(call: Callable[[], Awaitable[object]]) -> Callable[[], object]:
        async def row() -> None:
            for _ in range(REPEATS):
                await call()

        return lambda: loop.run_until_complete(row())

    def again(call: Callable[[], object]) -> Callable[[], object]:
        def row() -> None:
            for _ in range(REPEATS):
                call()

        return row

    calls = {
        "key": again(lambda: ours.key(3)),
        "get": again(lambda: client.get("plain")),
        "hit": again(lambda: ours(3)),
        "get, awaited": in_a_row(lambda: awaited_client.get("plain")),
        "get, in a thread": in_a_row(lambda: asyncio.to_thread(client.get, "plain")),
        "hit, awaited": in_a_row(lambda: ours_awaited(3)),
        "hit, aio": in_a_row(lambda: ours.aio(3)),
    }
    try:
        for call in calls.values():
            call()
        costs = wall_samples(calls, each=REPEATS, rounds=ROUNDS)
        assert ours.stats.misses == ours_awaited.stats.misses == 1, "a hit was measured"
    finally:
        loop.run_until_complete(awaited_client.aclose())
        loop.close()
        client.close()
    return costs


def _policy(backend: RedisCacheBackend) -> cascade_nb.ContentCachePolicy:
    return cascade_nb.ContentCachePolicy(backend)


def main() -> None:
    """Print what a hit costs and how that stands to a plain client."""
    with warnings.catch_warnings(), redis_server() as server:
        warnings.simplefilter("ignore")
        samples = measure(server)
    # The least is what it takes where nobody else is at work.
    for what, figure in (("median", statistics.median), ("least", min)):
        costs = {name: figure(taken) for name, taken in samples.items()}
        for name, cost in costs.items():
            say(f"Redis {name}, {what}", cost, "us")
        plain = costs["key"] + costs["get"]
        awaited = costs["key"] + costs["get, awaited"]
        say(f"Redis hit, to key and get, {what}", costs["hit"] / plain, "times", limit=1.5)
        for hit in ("hit, awaited", "hit, aio"):
            name = f"Redis {hit}, to key and awaited get, {what}"
            say(name, costs[hit] / awaited, "times", limit=1.5)


if __name__ == "__main__":
    main()
