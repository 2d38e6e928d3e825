"""`@cached` as its users meet it: over a store on disk, in one process and in several."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade_nb import (
    CacheWarning,
    Call,
    ConfigurationError,
    DiskCacheBackend,
    Entry,
    FingerprintError,
    Report,
    StaleRiskWarning,
    Status,
    cached,
    configure,
    engine,
)


@pytest.fixture(autouse=True)
def store(tmp_path: Path) -> Path:
    configure(store=tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def reports() -> list[Report]:
    seen: list[Report] = []
    engine().bus.subscribe(Report, seen.append)
    return seen


def run_script(source: str, *args: str) -> str:
    """Run a script in a new process; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source), *args],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Kinds of functions.


def test_plain_functions_stay_plain() -> None:
    @cached
    def double(x: int, *, by: int = 2) -> int:
        """Twice."""
        runs.append(1)
        return x * by

    runs: list[int] = []
    double_ignoring = cached(ignore=["runs"])(double.__wrapped__)
    assert double_ignoring(4) == double_ignoring(x=4) == double_ignoring(4, by=2) == 8
    assert len(runs) == 1
    assert double.__doc__ == "Twice."
    assert double.__name__ == "double"
    assert str(inspect.signature(double)) == "(x: 'int', *, by: 'int' = 2) -> 'int'"
    assert not asyncio.iscoroutinefunction(double)


async def test_async_functions_give_calls() -> None:
    @cached
    async def double(x: int) -> list[int]:
        return [2 * x]

    call = double(4)
    assert isinstance(call, Call)
    assert await call == [8]
    assert await call is await call
    assert await double(4) is not await double(4)
    assert asyncio.iscoroutinefunction(double)
    assert inspect.iscoroutinefunction(double) or sys.version_info < (3, 12)
    assert (double.stats.misses, double.stats.hits) == (1, 2)


async def test_the_awaitable_form_of_a_plain_function() -> None:
    @cached
    def double(x: int) -> int:
        return 2 * x

    assert await double.aio(4) == 8
    assert double(4) == 8
    assert (double.stats.misses, double.stats.hits) == (1, 1)


def test_wrong_arguments_are_complained_of_at_the_call() -> None:
    @cached
    async def double(x: int) -> int:
        return 2 * x

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        double()  # type: ignore[call-arg]


class Model:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    @cached
    def scaled(self, x: int) -> int:
        return self.factor * x

    @cached
    async def later(self, x: int) -> int:
        return self.factor * x

    @staticmethod
    @cached
    def fixed(x: int) -> int:
        return x + 1

    @classmethod
    @cached
    def named(cls, x: int) -> str:
        return f"{cls.__name__}{x}"

    @cached
    @staticmethod
    def wrapped_static(x: int) -> int:
        return x + 2


def test_methods_see_the_state_of_their_instance() -> None:
    model = Model(2)
    assert model.scaled(5) == 10
    model.factor = 3
    assert model.scaled(5) == 15
    assert Model(3).scaled(5) == 15
    assert asyncio.run(model.later(5)) == 15
    assert Model.scaled(Model(2), 5) == 10
    assert (Model.scaled.stats.misses, Model.scaled.stats.hits) == (2, 2)
    assert model.scaled.key(5) == Model.scaled.key(model, 5)


def test_static_and_class_methods() -> None:
    assert Model.fixed(1) == Model(1).fixed(1) == 2
    assert Model.named(1) == Model(1).named(1) == "Model1"
    assert Model.wrapped_static(1) == Model(9).wrapped_static(1) == 3


def test_partials_lambdas_and_callables() -> None:
    class Adder:
        def __init__(self, n: int) -> None:
            self.n = n

        def __call__(self, x: int) -> int:
            return x + self.n

    adder = Adder(1)
    add = cached(adder)
    assert add(1) == 2
    adder.n = 5
    assert add(1) == 6
    assert cached(functools.partial(lambda a, b: a - b, 10))(3) == 7
    pair = [cached(lambda x: x + 1), cached(lambda x: x + 2)]
    assert [f(1) for f in pair] == [2, 3]


def test_generators_stream_then_replay() -> None:
    steps: list[int] = []

    @cached(ignore=["steps"])
    def count(n: int) -> Iterator[int]:
        for i in range(n):
            steps.append(i)
            yield i
        return "end"

    first = count(3)
    assert inspect.isgenerator(first)
    assert next(first) == 0
    assert steps == [0]
    assert list(first) == [1, 2]

    def whole() -> Iterator[int]:
        returned = yield from count(3)
        assert returned == "end"

    assert list(whole()) == [0, 1, 2]
    assert steps == [0, 1, 2]
    assert (count.stats.misses, count.stats.hits) == (1, 1)


def test_a_generator_left_early_stores_nothing(reports: list[Report]) -> None:
    @cached
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    for _ in count(3):
        break
    gc.collect()
    assert reports[-1].status is Status.INTERRUPTED
    assert list(count(3)) == [0, 1, 2]
    assert reports[-1].status is Status.MISS


def test_an_item_changed_after_it_was_yielded_is_not_stored(reports: list[Report]) -> None:
    @cached
    def boxes() -> Iterator[list[int]]:
        yield [1]
        yield [2]

    for box in boxes():
        box.append(0)
    assert reports[-1].status is Status.BYPASS
    assert list(boxes()) == [[1], [2]]


def test_numbers_too_long_to_spell_out(reports: list[Report]) -> None:
    @cached
    def same(x: int) -> int:
        return x

    assert same(10**5000) == same(10**5000) == 10**5000
    assert same(10**5001) == 10**5001
    assert [r.status for r in reports] == [Status.MISS, Status.HIT, Status.MISS]


def test_an_item_of_which_no_change_would_be_seen_is_not_stored(reports: list[Report]) -> None:
    @cached
    def iterators() -> Iterator[Iterator[int]]:
        yield iter([1, 2])

    for _ in range(2):
        assert [next(each) for each in iterators()] == [1]
    assert [report.status for report in reports] == [Status.BYPASS, Status.BYPASS]


def test_a_consumer_that_takes_part_in_a_replay_gets_the_body(reports: list[Report]) -> None:
    @cached
    def echo() -> Iterator[Any]:
        try:
            heard = yield 1
            yield heard
        except ValueError:
            yield "caught"
        return "end"

    assert list(echo()) == [1, None]
    sending: Any = echo()
    assert (next(sending), sending.send(7)) == (1, 7)
    with pytest.raises(StopIteration, match="end"):
        next(sending)
    throwing: Any = echo()
    assert (next(throwing), throwing.throw(ValueError())) == (1, "caught")
    throwing.close()
    assert list(echo()) == [1, None]
    assert [report.status.value for report in reports] == [
        *("miss", "hit", "bypass", "hit", "interrupted", "hit"),
    ]


async def test_a_consumer_that_takes_part_in_an_async_replay_gets_the_body() -> None:
    @cached
    async def echo() -> AsyncIterator[Any]:
        heard = yield 1
        yield heard

    assert [item async for item in echo()] == [1, None]
    sending: Any = echo()
    assert (await anext(sending), await sending.asend(7)) == (1, 7)
    assert [item async for item in sending] == []
    assert [item async for item in echo()] == [1, None]


async def test_async_generators() -> None:
    steps: list[int] = []

    @cached(ignore=["steps"])
    async def count(n: int) -> AsyncIterator[int]:
        for i in range(n):
            steps.append(i)
            yield i

    assert [i async for i in count(3)] == [0, 1, 2]
    assert inspect.isasyncgen(count(3))
    assert [i async for i in count(3)] == [0, 1, 2]
    assert steps == [0, 1, 2]
    assert (count.stats.hits, count.stats.misses) == (1, 1)


# Results.


def test_none_is_a_result_and_values_are_fresh() -> None:
    runs: list[int] = []

    @cached(ignore=["runs"])
    def nothing() -> None:
        runs.append(1)

    @cached
    def box() -> list[int]:
        return [1]

    assert nothing() is nothing() is None
    assert len(runs) == 1
    box()
    box().append(2)
    assert box() == [1]


def test_a_changed_argument_is_noticed_and_not_stored(reports: list[Report]) -> None:
    @cached
    def push(items: list[int]) -> int:
        items.append(1)
        return len(items)

    with pytest.warns(CacheWarning, match="push changed its argument `items` in place"):
        assert push([]) == 1
    assert push([]) == 1
    assert [r.status for r in reports] == [Status.BYPASS] * 2


def test_what_cannot_be_fingerprinted_is_a_bypass_that_names_the_way_out(
    reports: list[Report],
) -> None:
    @cached
    def use(client: Any) -> int:
        return 1

    with pytest.warns(CacheWarning, match=r"client.*ignore=\['client'\]"):
        assert use(threading.Lock()) == 1
    assert reports[-1].status is Status.BYPASS
    ignoring = cached(ignore=["client"])(use.__wrapped__)
    assert ignoring(threading.Lock()) == ignoring(threading.Lock()) == 1
    assert ignoring.stats.hits == 1
    with pytest.raises(FingerprintError):
        use.key(threading.Lock())


def test_a_result_that_cannot_be_stored_is_still_the_answer(reports: list[Report]) -> None:
    @cached
    def make() -> Any:
        return threading.Lock()

    with pytest.warns(CacheWarning, match="the result of .*make was not cached"):
        assert make() is not None
    assert reports[-1].status is Status.BYPASS


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


HERE = Point(1)


def test_classes_of_results_are_the_sessions_own() -> None:
    @cached
    def point() -> Point:
        return Point(3)

    point()
    again = point()
    assert type(again) is Point
    assert again.x == 3


# Options and inspection.


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "soon", "5 parsecs", True])
def test_a_bad_ttl_is_refused_when_decorating(ttl: Any) -> None:
    with pytest.raises(ValueError, match="ttl must be positive and finite"):
        cached(ttl=ttl)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cached(3), "@cached takes a function, not 3"),
        (lambda: cached(Point), "@cached takes a function, not a class"),
        (lambda: cached(ignore="client"), r"ignore is a list of names: ignore=\['client'\]"),
        (lambda: cached(ignore=["a b"]), "ignore takes names .*, not 'a b'"),
        (lambda: cached(ignore=["x.y"])(lambda x: x), r"not 'x.y', .* one: ignore=\['x'\]"),
        (lambda: cached(ignore=["HERE.y"])(lambda: HERE), "not 'HERE.y', which is a part of one"),
        (lambda: cached(version=2), "version must be a str, not 2"),
        (lambda: cached(retry=3), "retry must be a Retry"),
        (lambda: cached(policy=object()), "a policy needs the methods check and save"),
        (lambda: cached(cached(lambda: 1)), "is cached already"),
    ],
)
def test_bad_options_get_one_line(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_ttl_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    @cached(ttl="90s")
    def one() -> int:
        return 1

    one()
    import time

    later = time.time() + 91
    monkeypatch.setattr(time, "time", lambda: later)
    assert "expired" in str(asyncio.run(one.explain()))
    one()
    assert one.stats.misses == 2


async def test_version_is_part_of_the_key_and_name_is_not() -> None:
    def one() -> int:
        return 1

    keys = {cached(one).key(), cached(name="other")(one).key(), cached(version="1")(one).key()}
    assert len(keys) == 2


def test_functions_of_one_name_are_told_of_one_by_one() -> None:
    def made(text: str) -> Callable[[], str]:
        namespace: dict[str, Any] = {"__name__": __name__}
        source = f"import subprocess\ndef load(): return subprocess.getoutput({text!r})"
        exec(source, namespace)
        function: Callable[[], str] = cached(namespace["load"])
        return function

    for text in ("echo a", "echo b"):
        with pytest.warns(StaleRiskWarning, match="load, line 2"):
            assert made(text)() == text[-1]


async def test_a_refresh_whose_result_cannot_be_stored_leaves_no_older_one() -> None:
    results = iter([1, threading.Lock()])

    @cached(ignore=["results"])
    def next_result() -> object:
        return next(results)

    assert next_result() == 1
    with pytest.warns(CacheWarning, match="was not cached"):
        assert await next_result.refresh() is not None
    assert await next_result.peek() is None


async def test_peek_refresh_forget_explain(reports: list[Report]) -> None:
    factor = 2

    @cached(name="times two")
    async def double(x: int) -> int:
        return factor * x

    assert await double.peek(4) is None
    assert str(await double.explain(4)) == "miss: first run"
    assert await double(4) == 8
    entry = await double.peek(4)
    assert isinstance(entry, Entry)
    assert entry.key == double.key(4)
    assert entry.cid.startswith("bafk")
    assert (entry.name, entry.outputs[0].type) == ("times two", "int")
    assert (await double.explain(4)).status is Status.HIT
    assert await double.refresh(4) == 8
    assert [r.status for r in reports] == [Status.MISS, Status.MISS]
    factor = 3
    assert str(await double.explain(4)) == "miss: closure `factor` changed: 2 -> 3"
    factor = 2
    assert await double.forget(4) is True
    assert await double.forget(4) is False
    assert await double.peek(4) is None


async def test_equal_results_have_equal_cids() -> None:
    @cached
    def one() -> dict[str, Any]:
        return {"a": [1, 2.5, None]}

    @cached
    def other(x: int) -> dict[str, Any]:
        return {"a": [1, 2.5, None]}

    one()
    other(1)
    first, second = await one.peek(), await other.peek(1)
    assert first is not None
    assert second is not None
    assert first.cid == second.cid
    assert first.key != second.key


def test_cached_functions_can_be_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(Model.scaled)) is Model.scaled


# Calls among arguments, and once.


async def test_a_downstream_hit_sees_upstream_values() -> None:
    @cached
    async def load(n: int) -> list[int]:
        return list(range(n))

    @cached
    def total(values: Any) -> int:
        return sum(values["x"])

    assert total({"x": load(4)}) == 6
    assert total({"x": load(4)}) == 6
    assert total({"x": [0, 1, 2, 3]}) == 6
    assert (total.stats.misses, total.stats.hits) == (1, 2)
    with pytest.raises(FingerprintError, match="has to be awaited first"):
        total.key({"x": load(4)})


def test_two_processes_run_once(store: Path, tmp_path: Path) -> None:
    source = """
        import sys, time, pathlib
        from cascade_nb import cached, configure
        configure(store=sys.argv[1])
        log = pathlib.Path(sys.argv[2])

        @cached(ignore=["log"])
        def slow(x):
            with log.open("a") as file:
                file.write("run\\n")
            time.sleep(1.0)
            return x

        print(slow(7))
    """
    log = tmp_path / "log"
    command = [sys.executable, "-c", textwrap.dedent(source), str(store), str(log)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in outputs] == ["7\n"] * 3, outputs
    assert log.read_text() == "run\n"


def test_a_killed_leader_is_noticed_at_once(store: Path, tmp_path: Path) -> None:
    source = """
        import sys, time, pathlib, os
        from cascade_nb import cached, configure
        configure(store=sys.argv[1])

        @cached(ignore=["pathlib", "os", "time", "sys"])
        def slow(x):
            flag = pathlib.Path(sys.argv[2])
            if not flag.exists():
                flag.touch()
                print("leading", flush=True)
                time.sleep(600)
            return x

        print(slow(7))
    """
    command = [sys.executable, "-c", textwrap.dedent(source), str(store), str(tmp_path / "flag")]
    leader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE)
    assert leader.stdout is not None
    assert leader.stdout.readline() == "leading\n"
    waiter = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.PIPE)
    leader.kill()
    leader.communicate()
    out, err = waiter.communicate(timeout=60)
    assert out == "7\n", err


def test_results_outlive_the_process(store: Path) -> None:
    source = """
        import sys
        from cascade_nb import cached, configure
        configure(store=sys.argv[1])

        def helper(x):
            return x + OFFSET

        OFFSET = int(sys.argv[2])

        @cached
        def work(x):
            return {"value": helper(x)}

        print(work(1), work.stats.hits)
    """
    assert run_script(source, str(store), "5") == "{'value': 6} 0\n"
    assert run_script(source, str(store), "5") == "{'value': 6} 1\n"
    assert run_script(source, str(store), "7") == "{'value': 8} 0\n"


# Faults.


def test_a_file_where_the_store_should_be(tmp_path: Path, reports: list[Report]) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("mine")
    configure(store=blocked)

    @cached
    def one() -> int:
        return 1

    with pytest.warns(CacheWarning, match="blocked"):
        assert one() == 1
    assert one() == 1
    assert reports[-1].status is Status.BYPASS
    assert blocked.read_text() == "mine"


async def test_damaged_content_is_computed_again(store: Path, reports: list[Report]) -> None:
    import numpy as np

    @cached
    def array() -> np.ndarray:
        return np.arange(100_000.0)

    array()
    (content,) = [p for p in (store / "objects").rglob("*") if p.is_file()]
    data = bytearray(content.read_bytes())
    data[500_000] ^= 1
    content.chmod(0o600)
    content.write_bytes(data)
    assert array().sum() == np.arange(100_000.0).sum()
    assert reports[-1].status is Status.MISS
    assert "damaged" in reports[-1].reason
    array()
    assert reports[-1].status is Status.HIT


async def test_an_edited_file_is_a_miss(tmp_path: Path, reports: list[Report]) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1,2")

    @cached
    def read(path: str) -> str:
        with open(path) as file:
            return file.read()

    assert read(str(data)) == read(str(data)) == "1,2"
    assert reports[-1].status is Status.HIT
    data.write_text("3,4")
    assert read(str(data)) == "3,4"
    assert "data.csv" in reports[-1].reason


def test_off_looks_up_and_stores_nothing(reports: list[Report]) -> None:
    runs: list[int] = []

    @cached(ignore=["runs"])
    def one() -> int:
        runs.append(1)
        return 1

    configure(enabled=False)
    assert one() + one() == 2
    assert len(runs) == 2
    configure(enabled=True)
    one()
    assert [r.status for r in reports] == [Status.OFF, Status.OFF, Status.MISS]


@pytest.mark.parametrize(
    ("store", "message"),
    [
        ("s3://bucket", "store scheme 's3' is not known"),
        ("disk:///x?sise=3", "has no option 'sise'"),
        ("disk:///x?size=lots", "size must be positive"),
        (3, "a store is a URL, a path or an object"),
    ],
)
def test_bad_stores_get_one_line_and_change_nothing(store: Any, message: str) -> None:
    before = engine()
    with pytest.raises(ConfigurationError, match=message):
        configure(store=store)
    assert engine() is before


def test_a_backend_of_two_methods_serves() -> None:
    class Two:
        def __init__(self) -> None:
            self.kept: dict[str, Any] = {}

        async def get(self, key: str) -> Any | None:
            await asyncio.sleep(0)
            return self.kept.get(key)

        async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
            self.kept[key] = value

    configure(store=Two())

    @cached
    def one() -> list[int]:
        return [1]

    assert one() == one() == [1]
    assert one.stats.hits == 1


def test_the_store_is_the_one_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_STORE", str(tmp_path / "named"))
    configure(store=None)

    @cached
    def one() -> int:
        return 1

    one()
    assert (tmp_path / "named").is_dir()
    store = engine().policy.store  # type: ignore[union-attr]
    assert isinstance(store, DiskCacheBackend)


async def test_a_backend_of_two_methods_forgets_too() -> None:
    class Plain:
        def __init__(self) -> None:
            self.kept: dict[str, Any] = {}

        async def get(self, key: str) -> Any | None:
            return self.kept.get(key)

        async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
            self.kept[key] = value

    configure(store=Plain())

    @cached
    def one() -> int:
        return 1

    one()
    assert await one.forget()
    assert await one.peek() is None
    assert not await one.forget()
    one()
    one()
    assert (one.stats.misses, one.stats.hits) == (2, 1)
