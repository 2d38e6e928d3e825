"""Identical streams at one time: one runs and the others replay it, unless waiting is in vain."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cascade_nb import Report, RunFinished, Status, cached, configure, engine, flights


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> Path:
    configure(store=tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def never_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow the machine, no consumer counts as resting where a test does not want it."""
    monkeypatch.setattr(flights, "REST_LIMIT", math.inf)


@pytest.fixture
def soon_rests(never_rests: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "REST_LIMIT", 0.0)
    monkeypatch.setattr(flights, "LOOK_EVERY", 0.01)


@pytest.fixture
def reports() -> list[Report]:
    seen: list[Report] = []
    engine().bus.subscribe(Report, seen.append)
    return seen


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released each time somebody finds a flight under way."""
    found = threading.Semaphore(0)
    wait = flights.Flight.wait

    async def noted(flight: flights.Flight) -> flights.Landing:
        found.release()
        return await wait(flight)

    monkeypatch.setattr(flights.Flight, "wait", noted)
    return found


async def until(semaphore: threading.Semaphore, times: int = 1) -> None:
    for _ in range(times):
        assert await asyncio.to_thread(semaphore.acquire, timeout=30)


class Counting:
    """Cached streams of 0, 1, 2 that count their runs."""

    def __init__(self) -> None:
        runs: list[int] = []
        self.runs = runs

        @cached(ignore=["runs"])
        def plain(n: int) -> Iterator[int]:
            runs.append(n)
            # A `range` could be sent nothing.
            yield from (i for i in range(n))

        @cached(ignore=["runs"])
        async def asynchronous(n: int) -> AsyncIterator[int]:
            runs.append(n)
            for i in range(n):
                yield i

        self.plain, self.asynchronous = plain, asynchronous

    async def all_of(self, n: int) -> list[int]:
        return [i async for i in self.asynchronous(n)]


@pytest.fixture
def counting() -> Counting:
    return Counting()


# One runs.


async def test_coroutines_run_once(counting: Counting, reports: list[Report]) -> None:
    assert await asyncio.gather(*(counting.all_of(3) for _ in range(20))) == [[0, 1, 2]] * 20
    assert counting.runs == [3]
    assert [report.status for report in reports] == [Status.MISS] + [Status.HIT] * 19


def test_threads_run_once(
    counting: Counting, reports: list[Report], waiting: threading.Semaphore
) -> None:
    leader = counting.plain(3)
    assert next(leader) == 0
    with ThreadPoolExecutor(8) as pool:
        waiters = [pool.submit(lambda: list(counting.plain(3))) for _ in range(8)]
        for _ in waiters:
            assert waiting.acquire(timeout=30)
        assert list(leader) == [1, 2]
        assert [waiter.result(30) for waiter in waiters] == [[0, 1, 2]] * 8
    assert counting.runs == [3]
    assert [report.status for report in reports] == [Status.MISS] + [Status.HIT] * 8


async def test_a_waiter_gets_fresh_items_and_the_return_value(
    waiting: threading.Semaphore,
) -> None:
    @cached
    def boxes() -> Generator[list[int], None, str]:
        yield [1]
        return "end"

    def whole() -> tuple[list[list[int]], str]:
        items, stream = [], boxes()
        while True:
            try:
                items.append(next(stream))
            except StopIteration as stop:
                return items, stop.value

    leader = boxes()
    first = next(leader)
    waiter = asyncio.create_task(asyncio.to_thread(whole))
    await until(waiting)
    assert list(leader) == []
    items, end = await waiter
    assert (items, end) == ([[1]], "end")
    assert items[0] is not first


# The leader ends otherwise.


async def test_waiters_get_the_leaders_exception(waiting: threading.Semaphore) -> None:
    runs: list[int] = []
    ended: list[str] = []
    engine().bus.subscribe(RunFinished, lambda event: ended.append(event.status))

    @cached(ignore=["runs", "waiting"])
    async def fail() -> AsyncIterator[int]:
        runs.append(1)
        yield 1
        await until(waiting, 3)
        raise ValueError("mine")

    async def consume() -> None:
        async for _ in fail():
            pass

    outcomes = await asyncio.gather(*(consume() for _ in range(4)), return_exceptions=True)
    assert [repr(outcome) for outcome in outcomes] == ["ValueError('mine')"] * 4
    assert runs == [1]
    assert ended == ["Failed"] * 4


async def test_a_cancelled_leader_costs_one_more_run(waiting: threading.Semaphore) -> None:
    runs: list[int] = []
    started, release = asyncio.Event(), asyncio.Event()

    @cached(ignore=["runs", "started", "release"])
    async def slow() -> AsyncIterator[int]:
        runs.append(1)
        yield 1
        started.set()
        await release.wait()
        yield 2

    async def consume() -> list[int]:
        return [i async for i in slow()]

    leader = asyncio.create_task(consume())
    await started.wait()
    waiters = [asyncio.create_task(consume()) for _ in range(5)]
    await until(waiting, 5)
    leader.cancel()
    release.set()
    assert await asyncio.gather(*waiters) == [[1, 2]] * 5
    assert len(runs) == 2


def throw_into(stream: Any) -> None:
    with pytest.raises(ValueError, match="mine"):
        stream.throw(ValueError("mine"))


@pytest.mark.parametrize(
    "leave",
    [
        lambda stream: stream.close(),
        lambda stream: stream.send(7),
        throw_into,
    ],
    ids=["close", "send", "throw"],
)
def test_a_consumer_that_leaves_or_takes_part_lets_another_lead(
    leave: Callable[[Any], Any], counting: Counting, waiting: threading.Semaphore
) -> None:
    leader = counting.plain(3)
    next(leader)
    with ThreadPoolExecutor(3) as pool:
        waiters = [pool.submit(lambda: list(counting.plain(3))) for _ in range(3)]
        for _ in waiters:
            assert waiting.acquire(timeout=30)
        leave(leader)
        assert [waiter.result(30) for waiter in waiters] == [[0, 1, 2]] * 3
    assert counting.runs == [3, 3]


def test_a_leader_that_is_forgotten_lets_another_lead(
    counting: Counting, waiting: threading.Semaphore
) -> None:
    leader: Any = counting.plain(3)
    next(leader)
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(lambda: list(counting.plain(3)))
        assert waiting.acquire(timeout=30)
        del leader
        assert waiter.result(30) == [0, 1, 2]


def test_where_it_cannot_be_stored_each_runs_by_itself(waiting: threading.Semaphore) -> None:
    @cached
    def iterators() -> Iterator[Iterator[int]]:
        yield iter([1, 2])

    leader = iterators()
    next(leader)
    with ThreadPoolExecutor(1) as pool:
        waiter = pool.submit(lambda: [list(each) for each in iterators()])
        assert waiting.acquire(timeout=30)
        with pytest.warns(match="was not cached"):
            list(leader)
        assert waiter.result(30) == [[1, 2]]


# Waiting would be in vain.


def test_streams_consumed_in_turn_do_not_wait(counting: Counting) -> None:
    turns = zip(counting.plain(3), counting.plain(3), counting.plain(3), strict=True)
    assert list(turns) == [(0, 0, 0), (1, 1, 1), (2, 2, 2)]
    assert counting.runs == [3, 3, 3]
    assert list(counting.plain(3)) == [0, 1, 2]
    assert counting.runs == [3, 3, 3]


async def test_a_stream_inside_its_like_in_one_task_does_not_wait(counting: Counting) -> None:
    pairs = [(i, j) async for i in counting.asynchronous(2) async for j in counting.asynchronous(2)]
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1)]


async def test_a_body_that_asks_for_its_own_stream_does_not_wait() -> None:
    depth: list[int] = []

    @cached(ignore=["depth"])
    async def again() -> AsyncIterator[int]:
        depth.append(1)
        if len(depth) < 3:

            async def inner() -> list[int]:
                return [i async for i in again()]

            await asyncio.create_task(inner())
        yield 1

    assert [i async for i in again()] == [1]
    assert len(depth) == 3


def test_streams_whose_bodies_need_each_other_do_not_wait_in_a_circle(
    waiting: threading.Semaphore,
) -> None:
    @cached(ignore=["two"])
    def one() -> Iterator[int]:
        yield 1
        yield next(two())

    @cached(ignore=["one"])
    def two() -> Iterator[int]:
        yield next(one()) + 1

    leader = one()
    assert next(leader) == 1
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(lambda: list(two()))
        assert waiting.acquire(timeout=30)
        assert list(leader) == [2]
        assert other.result(30) == [2]


def test_a_consumer_that_rests_is_not_waited_for(soon_rests: None, counting: Counting) -> None:
    leader = counting.plain(3)
    next(leader)
    with ThreadPoolExecutor(2) as pool:
        waiters = [pool.submit(lambda: list(counting.plain(3))) for _ in range(2)]
        assert [waiter.result(30) for waiter in waiters] == [[0, 1, 2]] * 2
    # It can go on all the same.
    assert list(leader) == [1, 2]


async def test_an_async_consumer_that_rests_is_not_waited_for(
    soon_rests: None, counting: Counting
) -> None:
    leader = counting.asynchronous(3)
    assert await anext(leader) == 0
    # The consumer waits for its own waiter, in another task.
    assert await asyncio.create_task(counting.all_of(3)) == [0, 1, 2]
    assert [i async for i in leader] == [1, 2]
    assert counting.runs == [3, 3]


def test_a_body_at_work_does_not_rest(
    waiting: threading.Semaphore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = threading.Semaphore(0)
    rests_for = flights.Lead.rests_for

    def noted(lead: flights.Lead) -> float:
        looks.release()
        return rests_for(lead)

    monkeypatch.setattr(flights.Lead, "rests_for", noted)
    monkeypatch.setattr(flights, "LOOK_EVERY", 0.01)
    runs: list[int] = []

    @cached(ignore=["runs", "waiting", "looks", "monkeypatch"])
    def slow() -> Iterator[int]:
        runs.append(1)
        yield 1
        work()
        yield 2

    def work() -> None:
        with monkeypatch.context() as now:
            now.setattr(flights, "REST_LIMIT", 0.0)
            assert waiting.acquire(timeout=30)
            for _ in range(3):
                assert looks.acquire(timeout=30)

    leader = slow()
    next(leader)
    with ThreadPoolExecutor(2) as pool:
        rest = pool.submit(lambda: list(leader))
        waiter = pool.submit(lambda: list(slow()))
        assert rest.result(30) == [2]
        assert waiter.result(30) == [1, 2]
    assert runs == [1]


def test_the_watcher_goes_with_the_last_stream(soon_rests: None, counting: Counting) -> None:
    list(counting.plain(3))
    for thread in threading.enumerate():
        if thread.name == "cascade-nb rests":
            thread.join(30)
            assert not thread.is_alive()


# Processes.

SCRIPT = """
    import os, pathlib, sys, threading
    from cascade_nb import Report, RunStarted, cached, configure, engine, flights
    configure(store=sys.argv[1])
    role, limit = sys.argv[2], float(sys.argv[3])
    flights.REST_LIMIT, flights.LOOK_EVERY = limit, 0.01

    def tell(*words):
        print(*words, flush=True)

    @cached(ignore=["role", "tell", "sys", "os"])
    def count(n):
        tell("run")
        yield 0
        if role == "computes":
            tell("computing")
            sys.stdin.readline()
        yield from range(1, n)

    engine().bus.subscribe(RunStarted, lambda event: tell("asks"))
    engine().bus.subscribe(Report, lambda report: tell(report.status.value))
"""
CONSUME = """
    tell(list(count(3)))
"""


def start(source: str, *args: object) -> subprocess.Popen[str]:
    code = textwrap.dedent(SCRIPT) + textwrap.dedent(source)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def heard(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return [process.stdout.readline().rstrip("\n") for _ in range(count)]


def ended(process: subprocess.Popen[str], told: str = "") -> list[str]:
    out, err = process.communicate(told, timeout=60)
    assert process.returncode == 0, err
    return out.splitlines()


def test_processes_run_once(store: Path) -> None:
    leader = start(CONSUME, store, "computes", "inf")
    assert heard(leader, 3) == ["asks", "run", "computing"]
    waiter = start(CONSUME, store, "waits", "inf")
    assert heard(waiter, 1) == ["asks"]
    assert ended(leader, "\n") == ["miss", "[0, 1, 2]"]
    assert ended(waiter) == ["hit", "[0, 1, 2]"]


def test_a_killed_leader_costs_one_more_run(store: Path) -> None:
    leader = start(CONSUME, store, "computes", "inf")
    assert heard(leader, 3) == ["asks", "run", "computing"]
    waiter = start(CONSUME, store, "waits", "inf")
    assert heard(waiter, 1) == ["asks"]
    leader.kill()
    leader.communicate()
    assert ended(waiter) == ["run", "miss", "[0, 1, 2]"]


def test_a_consumer_that_rests_in_another_process_is_not_waited_for(store: Path) -> None:
    resting = """
        stream = count(3)
        tell(next(stream))
        sys.stdin.readline()
        tell(list(stream))
    """
    leader = start(resting, store, "rests", "0")
    assert heard(leader, 3) == ["asks", "run", "0"]
    waiter = start(CONSUME, store, "waits", "0")
    assert ended(waiter) == ["asks", "run", "miss", "[0, 1, 2]"]
    assert ended(leader, "\n") == ["miss", "[1, 2]"]


@pytest.mark.skipif(not hasattr(sys, "getdlopenflags"), reason="the platform has no fork")
def test_a_forked_child_does_not_wait_for_what_only_its_parent_can_do(store: Path) -> None:
    forking = """
        stream = count(3)
        next(stream)
        child = os.fork()
        if child == 0:
            # Not in the thread that the stream was consumed in.
            thread = threading.Thread(target=lambda: tell(list(count(3))))
            thread.start()
            thread.join()
            os._exit(0)
        os.waitpid(child, 0)
        tell(list(stream))
    """
    said = ["asks", "run", "asks", "run", "miss", "[0, 1, 2]", "miss", "[1, 2]"]
    assert ended(start(forking, store, "forks", "0")) == said


async def test_refresh_runs_the_body_to_its_end_and_stores_what_it_yields() -> None:
    runs = []

    @cached(ignore=["runs"])
    def plain(n: int) -> Any:
        runs.append("plain")
        yield from range(n)
        return "end"

    @cached(ignore=["runs"])
    async def asynchronous(n: int) -> Any:
        runs.append("async")
        for i in range(n):
            yield i

    assert list(plain(3)) == [0, 1, 2]
    again = await plain.refresh(3)
    assert runs == ["plain", "plain"]
    assert [next(again), next(again), next(again)] == [0, 1, 2]
    with pytest.raises(StopIteration) as stopped:
        next(again)
    assert stopped.value.value == "end"
    assert list(plain(3)) == [0, 1, 2]
    assert [i async for i in await asynchronous.refresh(2)] == [0, 1]
    assert [i async for i in asynchronous(2)] == [0, 1]
    assert runs == ["plain", "plain", "async"]
    assert (plain.stats.misses, plain.stats.hits) == (2, 1)
