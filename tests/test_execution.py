"""The engine over policies of two methods: order, events, retries; and nothing fails a task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from cascade_nb import (
    CacheWarning,
    ConfigurationError,
    Engine,
    Event,
    FileExistenceCache,
    Hit,
    NoCache,
    Report,
    Retry,
    RunFinished,
    RunStarted,
    Status,
    TaskExecutionFinished,
    TaskExecutionStarted,
    TaskRetrying,
    TaskSkipped,
    cached,
)
from cascade_nb.backends.state import InMemoryStateBackend


class DictPolicy:
    """Only `check` and `save`, and a log of what was called when."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.log: list[str] = []

    async def check(self, task_id: str, inputs: Mapping[str, Any]) -> Any | None:
        self.log.append("check")
        await asyncio.sleep(0)
        return self.kept.get(repr((task_id, dict(inputs))))

    async def save(self, task_id: str, inputs: Mapping[str, Any], output: Any) -> Any:
        self.log.append("save")
        await asyncio.sleep(0)
        self.kept[repr((task_id, dict(inputs)))] = output
        return output


def engine_with(policy: Any) -> tuple[Engine, list[Event], list[Report]]:
    engine, events, reports = Engine(policy=policy), [], []
    engine.bus.subscribe(Event, events.append)
    engine.bus.subscribe(Report, reports.append)
    return engine, events, reports


async def test_check_then_start_then_save_then_skip() -> None:
    policy = DictPolicy()
    engine, events, reports = engine_with(policy)

    @cached(engine=engine)
    async def double(x: int) -> int:
        policy.log.append("body")
        return 2 * x

    assert await double(4) == 8
    assert policy.log == ["check", "body", "save"]
    assert await double(4) == 8
    assert policy.log[3:] == ["check"]
    assert [type(e) for e in events] == [
        RunStarted,
        TaskExecutionStarted,
        TaskExecutionFinished,
        RunFinished,
        RunStarted,
        TaskSkipped,
        RunFinished,
    ]
    finished = events[2]
    assert isinstance(finished, TaskExecutionFinished)
    assert (finished.status, finished.result_preview, finished.error) == ("Succeeded", "8", None)
    assert len({e.run_id for e in events[:4]}) == 1
    assert events[0].run_id != events[4].run_id
    assert [r.status for r in reports] == [Status.MISS, Status.HIT]


def test_plain_functions_go_the_same_way_without_a_loop() -> None:
    policy = DictPolicy()
    engine, events, _ = engine_with(policy)

    @cached(engine=engine)
    def double(x: int) -> int:
        return 2 * x

    assert (double(4), double(4)) == (8, 8)
    assert [type(e).__name__ for e in events][4:] == ["RunStarted", "TaskSkipped", "RunFinished"]


class PlainPolicy:
    """Somebody's policy and state backend, whose methods are no coroutines."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.states: list[str] = []

    def check(self, task_id: str, inputs: Mapping[str, Any]) -> Any | None:
        return self.kept.get(task_id)

    def save(self, task_id: str, inputs: Mapping[str, Any], output: Any) -> Any:
        self.kept[task_id] = output

    def get_state(self, task_id: str) -> str | None:
        return self.states[-1]

    def set_state(self, task_id: str, state: str) -> None:
        self.states.append(state)


async def test_a_policy_whose_methods_are_plain_functions_will_do() -> None:
    guest: Any = PlainPolicy()
    engine = Engine(policy=guest, state=guest)
    reports: list[Report] = []
    engine.bus.subscribe(Report, reports.append)

    @cached(engine=engine)
    async def double() -> int:
        return 2

    assert (await double(), await double()) == (2, 2)
    assert [r.status for r in reports] == [Status.MISS, Status.HIT]
    assert guest.states == ["Running", "Succeeded", "Skipped"]


async def test_a_stored_none_is_a_hit_through_Hit() -> None:  # noqa: N802
    class NonePolicy(DictPolicy):
        async def check(self, task_id: str, inputs: Mapping[str, Any]) -> Any | None:
            return Hit(None)

    engine, events, _ = engine_with(NonePolicy())

    @cached(engine=engine)
    async def never() -> None:
        raise AssertionError

    assert await never() is None
    assert isinstance(events[1], TaskSkipped)


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError("no disk"), "OSError"),
        # As clients do whose connection is torn down.
        (asyncio.CancelledError(), "RuntimeError"),
    ],
)
@pytest.mark.parametrize("method", ["check", "save"])
async def test_a_policy_that_raises_never_fails_the_task(
    method: str, error: BaseException, shown: str
) -> None:
    class Broken(DictPolicy):
        pass

    async def broken(*args: Any) -> None:
        raise error

    setattr(Broken, method, broken)
    engine, events, reports = engine_with(Broken())

    @cached(engine=engine)
    async def answer() -> int:
        return 42

    with pytest.warns(CacheWarning, match=f"Broken.{method} failed: {shown}"):
        assert await answer() == 42
    assert await answer() == 42
    assert [r.status for r in reports] == [Status.BYPASS] * 2
    finished = [e for e in events if isinstance(e, TaskExecutionFinished)]
    assert [e.status for e in finished] == ["Succeeded"] * 2


class WordlessError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("x" * 5000), "ValueError: " + "x" * 987 + "…"),
        (ValueError("x\n y"), "ValueError: x y"),
        (WordlessError(), "WordlessError"),
    ],
    ids=["long", "lines", "wordless"],
)
async def test_an_error_is_told_shortly(error: Exception, told: str) -> None:
    engine, events, reports = engine_with(DictPolicy())

    @cached(engine=engine)
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        await fail()
    (finished,) = [e for e in events if isinstance(e, TaskExecutionFinished)]
    assert finished.error == reports[0].reason == told


async def test_exceptions_come_out_unchanged_and_are_not_kept() -> None:
    policy = DictPolicy()
    engine, events, reports = engine_with(policy)
    mine = KeyError("mine")

    @cached(engine=engine)
    async def fail() -> None:
        raise mine

    for _ in range(2):
        with pytest.raises(KeyError) as caught:
            await fail()
        assert caught.value is mine
    assert policy.kept == {}
    finished = [e for e in events if isinstance(e, TaskExecutionFinished)]
    assert [(e.status, e.error) for e in finished] == [("Failed", "KeyError: 'mine'")] * 2
    assert [e.status for e in events if isinstance(e, RunFinished)] == ["Failed"] * 2
    assert {r.status for r in reports} == {Status.FAILED}


async def test_retry_counts_all_attempts_and_tells_of_each() -> None:
    engine, events, _ = engine_with(DictPolicy())
    attempts = []

    @cached(engine=engine, retry=Retry(max_attempts=3, delay=0.001, backoff=2))
    async def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("again")
        return 1

    assert await flaky() == 1
    retries = [e for e in events if isinstance(e, TaskRetrying)]
    assert [(r.attempt, r.delay, r.error) for r in retries] == [
        (1, 0.001, "ValueError: again"),
        (2, 0.002, "ValueError: again"),
    ]
    assert sum(isinstance(e, TaskExecutionStarted) for e in events) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_attempts": True},
        {"delay": "1s"},
        {"delay": -1},
        {"delay": float("inf")},
        {"backoff": 0},
        {"backoff": None},
    ],
)
def test_a_bad_retry_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Retry(**wrong)


async def test_cancellation_is_told_and_not_kept() -> None:
    policy = DictPolicy()
    engine, events, reports = engine_with(policy)
    started = asyncio.Event()

    @cached(engine=engine)
    async def forever() -> None:
        started.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(forever())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    finished = next(e for e in events if isinstance(e, TaskExecutionFinished))
    assert (finished.status, finished.error) == ("Cancelled", None)
    assert reports[0].status is Status.INTERRUPTED
    assert policy.kept == {}


async def test_a_hundred_identical_coroutines_run_once() -> None:
    policy = DictPolicy()
    engine, _, reports = engine_with(policy)
    runs = []

    @cached(engine=engine)
    async def slow(x: int) -> int:
        runs.append(x)
        await asyncio.sleep(0.01)
        return x

    assert await asyncio.gather(*(slow(1) for _ in range(100))) == [1] * 100
    assert runs == [1]
    assert [r.status for r in reports].count(Status.HIT) == 99


def test_twenty_threads_run_once() -> None:
    engine, _, _ = engine_with(DictPolicy())
    runs, results = [], []
    ready = threading.Barrier(20)
    release = threading.Event()

    @cached(engine=engine)
    def slow(x: int) -> int:
        runs.append(x)
        release.wait(10)
        return x

    def work() -> None:
        ready.wait()
        results.append(slow(1))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    release.set()
    for thread in threads:
        thread.join()
    assert results == [1] * 20
    assert runs == [1]


async def test_waiters_get_the_leaders_exception() -> None:
    engine, _, _ = engine_with(DictPolicy())
    runs = []

    @cached(engine=engine)
    async def fail() -> None:
        runs.append(1)
        await asyncio.sleep(0.01)
        raise ValueError("mine")

    outcomes = await asyncio.gather(*(fail() for _ in range(10)), return_exceptions=True)
    assert all(isinstance(outcome, ValueError) for outcome in outcomes)
    assert len(runs) == 1


async def test_a_cancelled_leader_costs_one_more_run() -> None:
    engine, _, _ = engine_with(DictPolicy())
    runs = []
    started, release = asyncio.Event(), asyncio.Event()

    @cached(engine=engine)
    async def slow() -> int:
        runs.append(1)
        started.set()
        await release.wait()
        return 5

    leader = asyncio.create_task(slow())
    await started.wait()
    waiters = [asyncio.create_task(slow()) for _ in range(20)]
    await asyncio.sleep(0.01)
    leader.cancel()
    release.set()
    assert await asyncio.gather(*waiters) == [5] * 20
    assert len(runs) == 2


async def test_recursion_under_one_key_does_not_deadlock() -> None:
    engine, _, _ = engine_with(DictPolicy())
    depth = []

    @cached(engine=engine)
    async def again() -> int:
        depth.append(1)
        return 1 if len(depth) > 2 else await again()

    assert await asyncio.wait_for(again(), 10) == 1


async def test_a_plain_call_inside_the_loop_does_not_wait_for_what_lies_under_it() -> None:
    engine, _, _ = engine_with(DictPolicy())
    runs = []

    @cached(engine=engine)
    async def slow() -> int:
        runs.append(1)
        await asyncio.sleep(0)
        return plain()

    @cached(engine=engine)
    def plain() -> int:
        runs.append(2)
        return 7

    assert await asyncio.wait_for(asyncio.gather(slow(), slow()), 10) == [7, 7]


async def test_nested_calls_are_one_run() -> None:
    engine, events, _ = engine_with(DictPolicy())

    @cached(engine=engine)
    async def inner() -> int:
        return 1

    @cached(engine=engine)
    async def outer() -> int:
        return 1 + await inner()

    assert await outer() == 2
    assert len({e.run_id for e in events}) == 1
    assert sum(isinstance(e, RunStarted) for e in events) == 1


async def test_calls_among_arguments_are_awaited_first_and_at_once() -> None:
    engine, events, _ = engine_with(DictPolicy())
    both = asyncio.Barrier(2)

    @cached(engine=engine)
    async def part(x: int) -> int:
        await both.wait()
        return x

    @cached(engine=engine)
    async def whole(parts: dict[str, Any]) -> int:
        return sum(parts["all"])

    assert await asyncio.wait_for(whole({"all": [part(1), part(2)]}), 10) == 3
    assert sum(isinstance(e, RunStarted) for e in events) == 1


async def test_a_list_of_calls_runs_at_once_in_one_run() -> None:
    engine, events, _ = engine_with(DictPolicy())
    both = asyncio.Barrier(2)

    @cached
    async def part(x: int) -> int:
        await both.wait()
        return x

    shared = part(1)
    assert await asyncio.wait_for(engine.run([shared, part(2), shared]), 10) == [1, 2, 1]
    names = [type(e).__name__ for e in events]
    assert (names[0], names[-1]) == ("RunStarted", "RunFinished")
    assert names.count("RunStarted") == names.count("RunFinished") == 1
    assert names.count("TaskExecutionStarted") == 2
    assert await engine.run(shared) == 1
    assert await engine.run([]) == []


async def test_run_is_by_its_own_engine_and_so_is_what_bodies_call() -> None:
    engine, events, _ = engine_with(DictPolicy())
    other, others, _ = engine_with(DictPolicy())

    @cached
    def inner(x: int) -> int:
        return x

    @cached
    async def outer(x: int) -> int:
        return inner(x)

    @cached(engine=other)
    async def elsewhere(x: int) -> int:
        return x

    assert await engine.run(outer(elsewhere(1))) == 1
    assert [e.name.rpartition(".")[2] for e in events if isinstance(e, TaskExecutionStarted)] == [
        "outer",
        "inner",
    ]
    assert sum(isinstance(e, TaskExecutionStarted) for e in others) == 1


async def test_run_raises_what_a_call_raises() -> None:
    engine, events, _ = engine_with(DictPolicy())

    @cached
    async def fail() -> None:
        raise ValueError("no")

    @cached
    async def succeed() -> int:
        return 1

    with pytest.raises(ValueError, match="no"):
        await engine.run([succeed(), fail()])
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "Failed"


@pytest.mark.parametrize("wrong", [5, "call", None, [5]])
async def test_run_takes_calls_alone(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="Call"):
        await Engine().run(wrong)


async def test_a_file_that_exists_is_a_hit_whatever_is_in_it(tmp_path: Any) -> None:
    policy = FileExistenceCache(lambda inputs: tmp_path / f"{inputs['name']}.txt")
    engine, _, reports = engine_with(policy)

    @cached(engine=engine)
    async def write(name: str) -> str:
        (tmp_path / f"{name}.txt").write_text("made")
        return "fresh"

    assert await write("a") == "fresh"
    (tmp_path / "a.txt").write_text("other")
    assert await write("a") == str(tmp_path / "a.txt")
    assert [r.status for r in reports] == [Status.MISS, Status.HIT]


async def test_no_cache_always_runs() -> None:
    engine, events, _ = engine_with(NoCache())
    runs = []

    @cached(engine=engine)
    async def body() -> int:
        runs.append(1)
        return len(runs)

    assert [await body(), await body()] == [1, 2]
    assert not any(isinstance(e, TaskSkipped) for e in events)


async def test_a_disabled_engine_looks_up_and_stores_nothing() -> None:
    policy = DictPolicy()
    engine = Engine(policy=policy, enabled=False)

    @cached(engine=engine)
    async def body() -> int:
        return 1

    assert await body() == 1
    assert policy.log == []


async def test_the_state_backend_is_told_each_state() -> None:
    state = InMemoryStateBackend()
    engine = Engine(policy=DictPolicy(), state=state)
    seen: list[Any] = []

    @cached(engine=engine)
    async def body() -> int:
        seen.append(await state.get_state(task_ids[0]))
        return 1

    task_ids: list[str] = []
    engine.bus.subscribe(TaskExecutionStarted, lambda e: task_ids.append(e.task_id))
    await body()
    assert seen == ["Running"]
    assert await state.get_state(task_ids[0]) == "Succeeded"
    await body()
    assert await state.get_state(task_ids[0]) == "Skipped"


def test_an_object_that_is_no_policy_is_named() -> None:
    with pytest.raises(ConfigurationError, match="object lacks them"):
        Engine(policy=object())  # type: ignore[arg-type]


async def test_previews_are_at_most_100_characters() -> None:
    engine, events, _ = engine_with(DictPolicy())

    class Rude:
        def __repr__(self) -> str:
            raise ValueError

    @cached(engine=engine)
    async def long() -> str:
        return "x" * 1000

    @cached(engine=engine)
    async def rude() -> Rude:
        return Rude()

    await long()
    await rude()
    previews = [e.result_preview for e in events if isinstance(e, TaskExecutionFinished)]
    assert all(0 < len(p) <= 100 for p in previews)
