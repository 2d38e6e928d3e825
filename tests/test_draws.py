"""A run shows that it drew from a global generator, though no code that is read says so."""

from __future__ import annotations

import asyncio
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from cascade_nb import StaleRiskWarning, cached, configure
from cascade_nb.errors import forget_warnings
from cascade_nb.fingerprint.generators import Moves

FRAME = pd.DataFrame({"a": range(100)})


@pytest.fixture(autouse=True)
def store() -> None:
    configure(store="memory://")
    forget_warnings()


@contextmanager
def warned() -> Iterator[list[str]]:
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
    for warning in caught:
        assert warning.category is StaleRiskWarning
        found.append(str(warning.message))


def sampled(frame: Any) -> Any:
    return frame.sample(3)


def sampled_by_seed(frame: Any) -> Any:
    return frame.sample(3, random_state=0)


def seeded(frame: Any) -> Any:
    np.random.seed(0)
    return frame.sample(3)


def drawn_and_said(frame: Any) -> Any:
    return frame.iloc[np.random.permutation(3)]


def split(frame: Any) -> Any:
    return train_test_split(frame)


async def sampled_later(frame: Any) -> Any:
    await asyncio.sleep(0)
    return frame.sample(3)


def stream(frame: Any) -> Iterator[Any]:
    yield 1
    yield frame.sample(3)


NUMPY = (
    "what it calls draws numbers from the global generator of numpy.random, whose state is not in"
    " the key; pass random_state=, or a generator, or seed it inside"
)


@pytest.mark.parametrize("body", [sampled, split, sampled_later, stream])
def test_a_draw_in_a_library_is_told_of_once(body: Callable[..., Any]) -> None:
    function = cached(body)

    def run() -> None:
        if body is sampled_later:
            asyncio.run(function(FRAME))
        elif body is stream:
            list(function(FRAME))
        else:
            function(FRAME)

    with warned() as found:
        run()
        run()
        asyncio.run(_refreshed(function))
    assert found == [f"{body.__qualname__}: {NUMPY}"]
    assert function.stats.hits == 1


async def _refreshed(function: Any) -> None:
    made = await function.refresh(FRAME)
    if isinstance(made, Iterator):
        list(made)


@pytest.mark.parametrize("body", [sampled_by_seed, seeded])
def test_a_seed_inside_settles_it(body: Callable[..., Any]) -> None:
    with warned() as found:
        cached(body)(FRAME)
    assert found == []


def test_a_draw_that_is_read_is_told_of_by_its_line_alone() -> None:
    with warned() as found:
        cached(drawn_and_said)(FRAME)
    (message,) = found
    assert message.endswith("draws random numbers without a seed")


def test_one_that_calls_one_that_draws_draws_too() -> None:
    inner = cached(sampled)

    @cached
    def outer(frame: Any) -> Any:
        return inner(frame)

    with warned() as found:
        outer(FRAME)
    assert [message.partition(":")[0].rpartition(".")[2] for message in found] == [
        "sampled",
        "outer",
    ]


def test_calls_of_one_function_beside_each_other_are_judged() -> None:
    function = cached(sampled_later)

    async def all_at_once() -> None:
        await asyncio.gather(*[function(FRAME[n:]) for n in range(3)])

    with warned() as found:
        asyncio.run(all_at_once())
    assert found == [f"sampled_later: {NUMPY}"]


def test_what_runs_beside_another_one_is_not_blamed_for_it() -> None:
    one, other = Moves("one"), Moves("other")
    started, drawn = threading.Event(), threading.Event()

    def beside() -> None:
        with other:
            started.set()
            drawn.wait(10)

    thread = threading.Thread(target=beside)
    with one:
        thread.start()
        started.wait(10)
        np.random.rand()
        drawn.set()
        thread.join()
    assert one.found == other.found == set()
    with one:
        np.random.rand()
        random.random()
    assert one.found == {"numpy.random", "random"}


def test_another_kind_of_generator_can_be_told_too() -> None:
    old = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.Philox(1))
    try:
        with Moves("still") as still:
            pass
        with Moves("moved") as moved:
            np.random.rand()
    finally:
        np.random.set_bit_generator(old)
    assert (still.found, moved.found) == (set(), {"numpy.random"})


def test_a_hit_in_a_later_session_is_told_of_too() -> None:
    function = cached(sampled)
    with warned():
        function(FRAME)
    forget_warnings()  # as in another process
    with warned() as found:
        function(FRAME)
    assert function.stats.hits == 1
    assert len(found) == 1
