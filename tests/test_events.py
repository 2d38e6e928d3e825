"""The bus delivers to types and base classes, plain and async, and no subscriber harms anybody."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from cascade_nb import ConfigurationError, Event, MessageBus, RunStarted, TaskSkipped
from cascade_nb.loop import run_sync


def skipped() -> TaskSkipped:
    return TaskSkipped(run_id="r", task_id="t", name="n")


async def test_base_classes_see_their_events_in_order() -> None:
    bus, seen = MessageBus(), []
    bus.subscribe(Event, lambda e: seen.append(("all", type(e).__name__)))
    bus.subscribe(TaskSkipped, lambda e: seen.append(("skipped", e.reason)))
    await bus.publish(RunStarted(run_id="r"))
    await bus.publish(skipped())
    assert seen == [("all", "RunStarted"), ("all", "TaskSkipped"), ("skipped", "CacheHit")]


async def test_async_subscribers_have_handled_it_when_publish_returns() -> None:
    bus, seen = MessageBus(), []

    async def slow(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    bus.subscribe(Event, slow)
    await bus.publish(skipped())
    assert len(seen) == 1


def test_async_subscribers_are_served_where_no_loop_runs() -> None:
    bus, seen = MessageBus(), []

    async def slow(event: Event) -> None:
        await asyncio.sleep(0)
        seen.append(event)

    bus.subscribe(Event, slow)
    run_sync(bus.publish(skipped()))
    assert len(seen) == 1


async def test_a_subscriber_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    bus, seen = MessageBus(), []

    def bad(event: Event) -> None:
        raise ValueError("mine")

    bus.subscribe(Event, bad)
    bus.subscribe(Event, seen.append)
    with caplog.at_level(logging.ERROR, "cascade_nb"):
        await bus.publish(skipped())
    assert len(seen) == 1
    assert "a subscriber of TaskSkipped failed" in caplog.text


@pytest.mark.parametrize(("kind", "callback"), [("Event", print), (None, print), (Event, 5)])
def test_what_cannot_be_subscribed_is_refused(kind: Any, callback: Any) -> None:
    with pytest.raises(ConfigurationError, match="subscri"):
        MessageBus().subscribe(kind, callback)


async def test_unsubscribing_ends_it_even_while_delivering() -> None:
    bus, seen = MessageBus(), []

    def once(event: Event) -> None:
        seen.append(event)
        unsubscribe()

    unsubscribe = bus.subscribe(Event, once)
    await bus.publish(skipped())
    await bus.publish(skipped())
    assert len(seen) == 1
    assert not bus.wants(Event)
