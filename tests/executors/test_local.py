"""Where bodies run: the caller's loop and thread, or pools on request."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from cascade_nb import ConfigurationError, Engine, LocalExecutor, cached


def squared(x: int) -> tuple[int, int]:
    return x * x, os.getpid()


def die() -> None:
    os._exit(3)


async def test_bodies_stay_with_their_caller_by_default() -> None:
    @cached(engine=Engine())
    def where(how: str) -> int:
        return threading.get_ident()

    assert where("plain") == await where.aio("awaited") == threading.get_ident()


async def test_threads_are_for_awaited_calls() -> None:
    executor = LocalExecutor(threads=2)
    both = threading.Barrier(2)

    @cached(engine=Engine(executor=executor), ignore=["both"])
    def where(name: str, wait: bool = True) -> int:
        if wait:
            both.wait(10)
        return threading.get_ident()

    engine = Engine(executor=executor)
    threads = await engine.run([where.aio("a"), where.aio("b")])
    assert len({*threads, threading.get_ident()}) == 3
    assert where("plain", wait=False) == threading.get_ident()
    executor.close()


async def test_a_worker_that_dies_fails_its_own_task_alone() -> None:
    executor = LocalExecutor(processes=1)
    engine = Engine(executor=executor)
    with pytest.raises(RuntimeError, match="abruptly"):
        await cached(engine=engine)(die).aio()
    value, process = await cached(engine=engine)(squared).aio(3)
    assert value == 9
    assert process != os.getpid()
    executor.close()


@pytest.mark.parametrize(
    "options",
    [{"threads": 0}, {"threads": True}, {"processes": 1.5}, {"threads": 1, "processes": 1}],
)
def test_bad_options_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"threads|processes"):
        LocalExecutor(**options)
