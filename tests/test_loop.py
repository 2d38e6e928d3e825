"""One coroutine under a loop and driven by hand: the same answers, and the right place to run."""

from __future__ import annotations

import asyncio
import threading

import pytest

from cascade_nb.loop import (
    driven_by_hand,
    here,
    in_thread,
    on_background,
    on_loop,
    pause,
    run_sync,
)


async def everything() -> dict[str, object]:
    async def theirs() -> int:
        await asyncio.sleep(0)
        return threading.get_ident()

    await pause(0)
    return {
        "by_hand": driven_by_hand(),
        "here": await here(threading.get_ident),
        "driven_inside_here": await here(driven_by_hand),
        "thread": await in_thread(threading.get_ident),
        "loop": await on_loop(theirs()),
    }


def test_without_a_loop_everything_but_their_awaitable_stays_in_this_thread() -> None:
    seen = run_sync(everything())
    me = threading.get_ident()
    assert seen["by_hand"] is True
    assert seen["here"] == me
    assert seen["driven_inside_here"] is False
    assert seen["thread"] == me
    assert seen["loop"] != me


async def test_on_a_loop_only_in_thread_leaves_it() -> None:
    seen = await everything()
    me = threading.get_ident()
    assert seen["by_hand"] is False
    assert seen["here"] == me
    assert seen["thread"] != me
    assert seen["loop"] == me


async def test_inside_a_running_loop_their_awaitables_belong_to_it() -> None:
    others_ran = asyncio.Event()

    async def other() -> None:
        others_ran.set()

    background = asyncio.create_task(other())
    seen = run_sync(everything())
    me = threading.get_ident()
    assert seen["loop"] == me
    assert seen["thread"] != me
    assert others_ran.is_set()
    await background


def test_errors_come_out_of_every_effect_unchanged() -> None:
    class OurError(Exception):
        pass

    def fail() -> None:
        raise OurError

    async def fail_later() -> None:
        raise OurError

    async def catching() -> int:
        caught = 0
        for attempt in (lambda: here(fail), lambda: in_thread(fail), lambda: on_loop(fail_later())):
            try:
                await attempt()
            except OurError:
                caught += 1
        await here(fail)
        return caught

    with pytest.raises(OurError):
        run_sync(catching())


def test_user_code_may_start_a_loop_of_its_own() -> None:
    async def engine() -> int:
        return await here(lambda: asyncio.run(asyncio.sleep(0, 7)))

    assert run_sync(engine()) == 7


def test_driving_nests() -> None:
    async def inner() -> int:
        return await in_thread(lambda: 3)

    async def outer() -> int:
        return await here(lambda: run_sync(inner())) + await in_thread(lambda: 1)

    assert run_sync(outer()) == 4


def test_a_future_that_nobody_waits_for_is_an_error_not_a_hang() -> None:
    async def naive() -> None:
        await asyncio.get_running_loop().create_future()

    async def inside() -> None:
        with pytest.raises(RuntimeError, match="outside of a loop"):
            run_sync(naive())

    asyncio.run(inside())


def test_a_hundred_threads_drive_at_once() -> None:
    results: list[object] = []

    def work() -> None:
        results.append(run_sync(everything())["by_hand"])

    threads = [threading.Thread(target=work) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 100


def _stops() -> None:
    raise STOPPED


STOPPED = StopIteration(3)


async def test_a_plain_function_may_raise_stop_iteration() -> None:
    with pytest.raises(StopIteration) as caught:
        run_sync(here(_stops))
    assert caught.value is STOPPED
    assert caught.value.__context__ is None
    # As with any coroutine:
    with pytest.raises(RuntimeError, match="StopIteration: 3") as awaited:
        await here(_stops)
    assert awaited.value.__cause__ is STOPPED


async def _thread_of_the_loop() -> int:
    await asyncio.sleep(0)
    return threading.get_ident()


async def test_all_callers_share_one_loop_in_the_background() -> None:
    async def both() -> set[int]:
        return {await on_background(_thread_of_the_loop()) for _ in range(2)}

    awaited = await both()
    by_hand_inside = run_sync(both())
    by_hand_outside = await asyncio.to_thread(run_sync, both())
    assert awaited == by_hand_inside == by_hand_outside
    assert len(awaited) == 1
    assert threading.get_ident() not in awaited


async def test_what_waits_on_the_background_loop_can_be_cancelled() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    waiting = asyncio.create_task(on_background(endless()))
    await asyncio.to_thread(begun.wait)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await asyncio.to_thread(cancelled.wait, 10)
