"""A backend of two methods in the place of a store, well-behaved and not."""

from __future__ import annotations

import asyncio

import pytest

from cascade_nb import Engine, cached
from cascade_nb.arguments import called
from cascade_nb.backends import outages, plain
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.plain import PlainStore, as_store
from cascade_nb.backends.state import InMemoryStateBackend
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import run_sync
from cascade_nb.policies.content import ContentCachePolicy
from cascade_nb.protocols import Forgets, KeepsNotes, Lists, Locks, StateBackend
from tests.backends.conftest import DictBackend
from tests.backends.contents import SMALL, content, recorded


def test_what_keeps_bytes_is_left_as_it_is():
    backend = InMemoryCacheBackend()
    assert as_store(backend) is backend
    assert isinstance(as_store(DictBackend()), PlainStore)


def test_it_promises_nothing_that_it_cannot_do():
    for protocol in (Forgets, KeepsNotes, Lists, Locks):
        assert not isinstance(as_store(DictBackend()), protocol)


@pytest.mark.parametrize("backend", [None, {}, "memory://", object()])
def test_what_is_no_backend_is_refused_by_name(backend):
    with pytest.raises(ConfigurationError, match=called(backend)):
        as_store(backend)


async def test_records_and_contents_do_not_meet():
    backend = DictBackend()
    store = as_store(backend)
    await store.write_record("same", b"record", 5.0)
    await store.write_content("same", [b"con", b"tent"])
    assert backend.kept == {"record:same": b"record", "content:same": b"content"}
    assert await store.read_record("same") == b"record"
    assert await store.read_content("same") == b"content"


@pytest.mark.parametrize("foreign", ["text", 7, [b"bytes"], {"a": 1}])
async def test_what_is_not_bytes_is_nothing(foreign):
    backend = DictBackend()
    cid, _ = content(SMALL)
    backend.kept = {"record:key": foreign, f"content:{cid}": foreign}
    store = as_store(backend)
    assert await store.read_record("key") is None
    assert await store.read_content(cid) is None
    assert not await store.has_content(cid)


class PlainDict:
    """Somebody's backend whose methods are no coroutines."""

    def __init__(self):
        self.kept = {}

    def get(self, key):
        return self.kept.get(key)

    def set(self, key, value, ttl=None):
        self.kept[key] = value


async def test_methods_that_are_plain_functions_will_do():
    store = as_store(PlainDict())
    assert await store.read_record("key") is None
    await store.write_record("key", b"envelope", None)
    assert await store.read_record("key") == b"envelope"
    await store.write_content("cid", [b"con", b"tent"])
    assert await store.read_content("cid") == b"content"


def test_they_will_do_in_plain_code_too():
    store = as_store(PlainDict())
    run_sync(store.write_record("key", b"envelope", None))
    assert run_sync(store.read_record("key")) == b"envelope"


class Failing:
    async def get(self, key):
        raise ConnectionError("redis://user:password@host")

    async def set(self, key, value, ttl=None):
        raise ConnectionError("redis://user:password@host")


async def test_whatever_it_raises_is_an_outage_without_its_secrets():
    store = as_store(Failing())
    cid, data = content(SMALL)
    for action, method in (
        (store.read_record("key"), "get"),
        (store.write_record("key", b"1", None), "set"),
        (store.read_content(cid), "get"),
        (store.write_content(cid, [data]), "set"),
        (store.has_content(cid), "get"),
    ):
        with pytest.raises(BackendError) as caught:
            await action
        assert str(caught.value) == f"Failing.{method} failed: ConnectionError"
        assert caught.value.server == "Failing"


class Hanging(DictBackend):
    """Answers nothing of what it is asked for as long as `hangs`."""

    hangs = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def get(self, key):
        self.asked.append(key)
        if self.hangs:
            await asyncio.Event().wait()
        return await super().get(key)

    async def set(self, key, value, ttl=None):
        self.asked.append(key)
        if self.hangs:
            await asyncio.Event().wait()
        await super().set(key, value, ttl)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "HIT_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(plain, "PATIENCE_SECONDS", 0.05)


@pytest.mark.usefixtures("impatient")
class TestHanging:
    def test_it_holds_a_computation_up_once(self):
        backend = Hanging()

        @cached(engine=Engine(policy=ContentCachePolicy(backend)))
        def double(n: int) -> int:
            return n * 2

        with recorded() as texts:
            assert [double(n) for n in (1, 2, 3)] == [2, 4, 6]
        assert len(backend.asked) == 1
        assert len(texts) == 1
        assert "Hanging has not answered for" in texts[0]

    async def test_all_who_wait_at_once_are_released(self):
        backend = Hanging()

        @cached(engine=Engine(policy=ContentCachePolicy(backend)))
        async def double(n: int) -> int:
            return n * 2

        with recorded() as texts:
            assert await asyncio.gather(*map(double, range(5))) == [0, 2, 4, 6, 8]
        assert len(texts) == 1
        assert double.stats.bypasses == 5

    async def test_one_that_takes_nothing_is_given_up_as_well(self):
        store = as_store(Hanging())
        with pytest.raises(BackendError, match="has not answered"):
            await store.write_record("key", b"1", None)
        with pytest.raises(BackendError, match="has not answered"):
            await store.read_record("key")
        assert len(store._backend.asked) == 1

    async def test_it_is_tried_again_beside_the_work_on_the_same_loop(self, monkeypatch):
        backend = Hanging()
        store = as_store(backend)
        loops: list[object] = []
        backend.kept["record:key"] = b"1"

        async def read() -> bytes | None:
            try:
                return await store.read_record("key")
            except BackendError:
                return None

        async def get(key: str) -> object:
            loops.append(asyncio.get_running_loop())
            return backend.kept.get(key)

        assert await read() is None
        assert await read() is None
        store._breaker._retry_at = 0.0
        assert await read() is None
        await asyncio.to_thread(store._breaker._retry.join, 5)
        assert await read() is None, "it hangs still"
        assert store._breaker._pause == 2 * outages.FIRST_RETRY_SECONDS
        monkeypatch.setattr(backend, "get", get)
        store._breaker._retry_at = 0.0
        assert await read() is None
        await asyncio.to_thread(store._breaker._retry.join, 5)
        assert await read() == b"1"
        assert loops == [asyncio.get_running_loop()] * 2

    async def test_an_error_of_its_own_is_no_silence(self):
        class Late(DictBackend):
            async def get(self, key):
                raise TimeoutError

        store = as_store(Late())
        for _ in range(2):
            with pytest.raises(BackendError, match=r"Late.get failed: TimeoutError"):
                await store.read_record("key")

    async def test_who_is_cancelled_is_cancelled(self):
        store = as_store(Hanging())
        task = asyncio.create_task(store.read_record("key"))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_states_are_kept():
    backend = InMemoryStateBackend()
    assert isinstance(backend, StateBackend)
    assert await backend.get_state("task") is None
    await backend.set_state("task", "Running")
    await backend.set_state("task", "Succeeded")
    assert await backend.get_state("task") == "Succeeded"


async def test_a_backend_is_given_plain_bytes():
    backend = DictBackend()
    pieces = [b"ab", bytearray(b"cd"), memoryview(bytearray(b"efgh")).cast("H")]
    await as_store(backend).write_content("cid", pieces)
    assert backend.kept == {"content:cid": b"abcdefgh"}
    assert type(backend.kept["content:cid"]) is bytes
