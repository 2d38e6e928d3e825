"""A backend of two methods in the place of a store, well-behaved and not."""

from __future__ import annotations

import pytest

from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.plain import PlainStore, as_store
from cascade_nb.backends.state import InMemoryStateBackend
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.protocols import Forgets, KeepsNotes, Lists, Locks, StateBackend
from tests.backends.conftest import DictBackend
from tests.backends.contents import SMALL, content


def test_what_keeps_bytes_is_left_as_it_is():
    backend = InMemoryCacheBackend()
    assert as_store(backend) is backend
    assert isinstance(as_store(DictBackend()), PlainStore)


def test_it_promises_nothing_that_it_cannot_do():
    for protocol in (Forgets, KeepsNotes, Lists, Locks):
        assert not isinstance(as_store(DictBackend()), protocol)


@pytest.mark.parametrize("backend", [None, {}, "memory://", object()])
def test_what_is_no_backend_is_refused_by_name(backend):
    with pytest.raises(ConfigurationError, match=type(backend).__name__):
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
