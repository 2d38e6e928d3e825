"""A Call is a coroutine that may be awaited as often as wanted."""

from __future__ import annotations

import asyncio
import collections.abc
import gc

import pytest

from cascade_nb.calls import Call, calls_in, settle, with_values


class Counter:
    def __init__(self) -> None:
        self.runs = 0

    async def value(self) -> list[int]:
        self.runs += 1
        await asyncio.sleep(0)
        return [self.runs]

    def call(self) -> Call[list[int]]:
        return Call(self.value, "value")


def test_runs_nothing_until_awaited_and_complains_of_nothing() -> None:
    counter = Counter()
    call = counter.call()
    assert isinstance(call, collections.abc.Coroutine)
    assert repr(call) == "<Call of value, not awaited>"
    del call
    gc.collect()
    assert counter.runs == 0


def test_asyncio_run_takes_it() -> None:
    assert asyncio.run(Counter().call()) == [1]


async def test_every_await_gives_the_same_object() -> None:
    counter = Counter()
    call = counter.call()
    together = await asyncio.gather(
        call, call, asyncio.create_task(call), asyncio.wait_for(call, 5)
    )
    again = await call
    assert counter.runs == 1
    assert all(value is again for value in together)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(call)
    assert task.result() is again


async def test_errors_are_the_same_each_time() -> None:
    async def fail() -> None:
        raise KeyError("mine")

    call = Call(fail, "fail")
    with pytest.raises(KeyError) as first:
        await call
    with pytest.raises(KeyError) as second:
        await call
    assert first.value is second.value


async def test_a_cancelled_first_awaiter_leaves_it_to_the_next() -> None:
    started, release = asyncio.Event(), asyncio.Event()
    runs = []

    async def body() -> str:
        runs.append(1)
        started.set()
        await release.wait()
        return "done"

    call = Call(body, "body")
    first = asyncio.create_task(call)
    await started.wait()
    second = asyncio.create_task(call)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    release.set()
    assert await second == "done"
    assert len(runs) == 2


async def test_a_cancelled_waiter_does_not_cancel_the_run() -> None:
    release = asyncio.Event()

    async def body() -> str:
        await release.wait()
        return "done"

    call = Call(body, "body")
    first = asyncio.create_task(call)
    await asyncio.sleep(0)
    waiter = asyncio.create_task(call)
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    release.set()
    assert await first == "done"


async def test_calls_are_found_and_replaced_at_any_depth() -> None:
    counter = Counter()
    call, other = counter.call(), counter.call()
    shared = [call]
    value = {"a": [1, (other, {"b": shared})], "s": shared, "plain": [1, 2]}
    found = calls_in(value)
    assert {id(c) for c in found} == {id(call), id(other)}
    await settle(found)
    replaced = with_values(value)
    assert counter.runs == 2
    assert replaced["s"] is replaced["a"][1][1]["b"]
    assert replaced["s"] == [call.result()]
    assert replaced["plain"] is value["plain"]
    assert value["s"] == [call]


async def test_what_holds_no_call_stays_itself_and_cycles_end() -> None:
    kept = Counter().call()
    cycle: list[object] = [1]
    cycle.append(cycle)
    assert calls_in(cycle) == []
    assert with_values(cycle) is cycle
    cycle.append(kept)
    assert calls_in(cycle) == [kept]
    await settle([kept])
    replaced = with_values(cycle)
    assert replaced[1] is replaced
    assert replaced[2] == [1]


async def test_settle_runs_all_at_once_and_raises_the_first_error_unwrapped() -> None:
    both_run = asyncio.Barrier(2)
    cancelled = []

    async def wait() -> None:
        await both_run.wait()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    async def fail() -> None:
        await both_run.wait()
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        await asyncio.wait_for(settle([Call(wait, "wait"), Call(fail, "fail")]), 5)
    assert cancelled == [1]
