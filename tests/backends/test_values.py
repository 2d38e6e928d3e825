"""The public face: get and set of any value, on every backend, and never an error."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import sys
import threading
import time
import warnings
from decimal import Decimal

import pytest

from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import run_sync
from tests.backends.contents import recorded

np = pytest.importorskip("numpy")


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str]


VALUES = [
    0,
    True,
    2**100,
    -0.0,
    "text \ud800 é",
    b"bytes",
    [1, [2, {"three": {4}}]],
    (Decimal("1.0"), datetime.date(2024, 2, 29)),
    "x" * 1_000_000,
    [*range(100_000)],
    Point(1, ["a"]),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
async def test_any_value_comes_back_equal_and_of_its_type(backend, value):
    await backend.set("key", value)
    found = await backend.get("key")
    assert found == value
    assert type(found) is type(value)


async def test_arrays_small_and_large_come_back_writable(backend):
    for array in (np.arange(3.0), np.arange(1_000_000)):
        await backend.set("key", array)
        found = await backend.get("key")
        assert found.dtype == array.dtype
        assert (found == array).all()
        found[0] = 99
        assert (await backend.get("key"))[0] == 0


async def test_what_comes_back_is_fresh_each_time(backend):
    for size in (3, 100_000):
        value = [*range(size)]
        await backend.set("key", value)
        value.append("changed after it was stored")
        found = await backend.get("key")
        assert found == [*range(size)]
        found.clear()
        assert await backend.get("key") == [*range(size)]


async def test_functions_are_stored_as_code(backend):
    offset = 10
    await backend.set("key", lambda x: x + offset)
    assert (await backend.get("key"))(1) == 11


async def test_what_is_not_there_is_none_and_so_is_a_stored_none(backend):
    assert await backend.get("nothing") is None
    await backend.set("key", 1)
    await backend.set("key", None)
    assert await backend.get("key") is None


async def test_the_last_value_counts(backend):
    await backend.set("key", "x" * 100_000)
    await backend.set("key", 2)
    assert await backend.get("key") == 2
    assert await backend.size() < 1000, "the content of the first value stayed"


async def test_a_value_ends_with_its_ttl(backend):
    await backend.set("short", [1], ttl=0.05)
    await backend.set("long", [2], ttl=1000)
    await backend.set("numpy", [3], ttl=np.float64(1000))
    deadline = time.monotonic() + 5
    while await backend.get("short") is not None and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    assert await backend.get("short") is None
    assert await backend.get("long") == [2]
    assert await backend.get("numpy") == [3]


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), True, "7d", [], 10**400])
async def test_a_bad_ttl_is_named(backend, ttl):
    with pytest.raises(ConfigurationError, match="ttl must be a positive, finite number"):
        await backend.set("key", 1, ttl=ttl)
    assert await backend.get("key") is None


@pytest.mark.parametrize("key", [None, 1, b"key", ("a",)])
async def test_a_key_is_a_text(backend, key):
    with pytest.raises(ConfigurationError, match="a key must be a str"):
        await backend.get(key)
    with pytest.raises(ConfigurationError, match="a key must be a str"):
        await backend.set(key, 1)


async def test_any_text_is_a_key(backend):
    keys = ["", "\ud800", "\0", "é", "e\u0301", "k" * 10_000]
    for key in keys:
        await backend.set(key, [key])
    for key in keys:
        assert await backend.get(key) == [key]


class Unpicklable:
    def __reduce_ex__(self, protocol):
        raise RuntimeError("not me")


async def test_a_value_without_an_encoding_is_left_out_with_one_warning(backend):
    with recorded() as texts:
        await backend.set("lock", threading.Lock())
        await backend.set("lock again", threading.Lock())
        await backend.set("generator", (x for x in "ab"))
        await backend.set("own", [Unpicklable()])
    assert len(texts) == 3
    assert "_thread.lock" in texts[0]
    assert "generator" in texts[1]
    assert all("\n" not in text for text in texts)
    assert await backend.get("lock") is None


async def test_what_cannot_be_stored_leaves_nothing_of_what_was(backend):
    for earlier in ("old", "x" * 100_000):
        await backend.set("key", earlier)
        with recorded():
            await backend.set("key", threading.Lock())
        assert await backend.get("key") is None
        await backend.set("key", "new")
        assert await backend.get("key") == "new"


async def test_a_refusal_names_the_store_and_the_type_alone(backend):
    with recorded() as texts:
        await backend.set("secret-key", Telling())
    (text,) = texts
    assert repr(backend) in text
    assert f"{__name__}.Telling" in text
    assert "secret" not in text


class Telling:
    def __reduce_ex__(self, protocol):
        raise RuntimeError("secret-state")


async def test_a_value_of_a_class_that_has_changed_is_gone(backend, monkeypatch):
    await backend.set("key", Point(1, []))

    @dataclasses.dataclass
    class Changed:
        x: int
        tags: list[str]
        colour: str = "red"

    Changed.__qualname__, Changed.__module__ = Point.__qualname__, Point.__module__
    monkeypatch.setattr(sys.modules[Point.__module__], "Point", Changed)
    assert await backend.get("key") is None


async def test_a_value_lies_under_its_own_key_alone(backend):
    await backend.set("mine", "secret", ttl=1000)
    envelope = await backend.read_record("value:mine")
    await backend.write_record("value:yours", envelope, None)
    assert await backend.get("yours") is None
    await backend.write_record("value:mine", envelope[:-1] + b"\0", None)
    assert await backend.get("mine") is None


async def test_damaged_content_is_none(backend):
    if isinstance(backend, IpfsCacheBackend):
        pytest.skip("a node takes nothing under a CID that is not its own")
    await backend.set("key", "x" * 100_000)
    cid = await content_of(backend)
    await backend.write_content(cid, [b"y" * 100_000])
    assert await backend.get("key") is None
    await backend.set("key", "x" * 100_000)
    assert await backend.get("key") == "x" * 100_000


async def content_of(backend) -> str:
    import libipld

    from cascade_nb.provenance import unseal

    sealed = unseal(await backend.read_record("value:key"), context=b"value")
    return libipld.decode_dag_cbor(sealed)["cid"]


async def test_a_dead_medium_is_none_with_one_warning(backend, monkeypatch):
    async def fail(*_, **__):
        raise BackendError("the disk is gone", server="disk")

    for method in ("read_record", "write_record", "read_content", "write_content"):
        monkeypatch.setattr(backend, method, fail)
    with recorded() as texts:
        await backend.set("key", 1)
        await backend.set("key", "x" * 100_000)
        assert await backend.get("key") is None
    assert texts == ["values are not cached: the disk is gone"]


def test_it_works_from_plain_code(backend):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_sync(backend.set("key", np.arange(100_000)))
        assert run_sync(backend.get("key"))[-1] == 99_999


async def test_large_values_do_not_hold_up_the_loop(backend):
    """While 100 MB are stored and read, a ticker on the loop keeps ticking."""
    array = np.zeros(12_500_000)
    ticks = 0

    async def ticker():
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(ticker())
    await backend.set("key", array)
    stored = ticks
    assert (await backend.get("key")).shape == array.shape
    assert stored > 20
    assert ticks > stored + 5
    ticking.cancel()
