"""A node that is dead, frozen, killed or damaged: the answer comes, one warning, nothing wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import cascade_nb
from cascade_nb.backends import ipfs, outages
from cascade_nb.backends.http import HttpClient
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.kubo_upload import Upload
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import BackendError
from tests.backends.contents import LARGE, MIDDLE, content, recorded
from tests.servers.kubo import KuboNode, kubo_node


@pytest.fixture
def node() -> Iterator[KuboNode]:
    """A node for one test, which may end badly."""
    with kubo_node() as node:
        yield node


@pytest.fixture
def backend(node: KuboNode) -> IpfsCacheBackend:
    return IpfsCacheBackend(InMemoryCacheBackend(), node.url)


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URL of each request that really goes out, pings left out."""
    seen: list[str] = []
    original = HttpClient._answered

    async def counted(self, request, watch):
        seen.append(request.url)
        return await original(self, request, watch)

    monkeypatch.setattr(HttpClient, "_answered", counted)
    return seen


@pytest.fixture
def doubled(backend: IpfsCacheBackend):
    """A cached function over the node."""
    cascade_nb.configure(store=backend)

    @cascade_nb.cached
    def doubled(text: str) -> str:
        return text * 2

    return doubled


def test_a_node_that_is_stopped_costs_one_request_and_one_warning(node, doubled, requests):
    node.stop()
    with recorded() as texts:
        assert [doubled(text) for text in "abcabc"] == ["aa", "bb", "cc"] * 2
    assert len(requests) == 1
    assert len(texts) == 1
    assert f"the IPFS node {node.url} cannot be reached: Connection refused" in texts[0]
    assert doubled.stats.bypasses == 6


def test_a_frozen_node_is_found_dead_by_a_ping(node, doubled, requests):
    doubled("warm")
    del requests[:]
    node.signal(signal.SIGSTOP)
    with recorded() as texts:
        assert [doubled(text) for text in "abcabc"] == ["aa", "bb", "cc"] * 2
    assert len(requests) == 1
    assert len(texts) == 1
    assert f"the IPFS node {node.url} does not answer" in texts[0]


async def test_the_public_face_never_fails(node, backend):
    await backend.set("key", 1)
    node.stop()
    with recorded() as texts:
        assert await backend.get("key") is None
        await backend.set("other", 2)
        assert await backend.get("other") is None
    assert len(texts) == 1


async def test_a_node_that_comes_back_is_found_beside_the_work(node, backend, monkeypatch):
    await backend.set("key", 1)
    node.stop()
    with recorded():
        assert await backend.get("key") is None
    node.start()
    with recorded():
        assert await backend.get("key") is None, "it is left alone for now"
    now = outages.time.monotonic() + 31
    monkeypatch.setattr(outages.time, "monotonic", lambda: now)
    with recorded():
        assert await backend.get("key") is None
    await asyncio.to_thread(backend._client.http._breaker._retry.join, 10)
    assert await backend.get("key") == 1


async def test_a_node_that_dies_during_an_upload(node, backend, monkeypatch):
    data = os.urandom(50_000_000)
    cid = file_cid([data])
    original, sent = Upload._batch, []

    async def fatal(self, iterator):
        sent.append(1)
        if len(sent) == 3:
            await asyncio.to_thread(node.kill)
        return await original(self, iterator)

    monkeypatch.setattr(Upload, "_batch", fatal)
    with pytest.raises(BackendError, match=r"cannot be reached|does not answer"):
        await backend.write_content(cid, [data])
    monkeypatch.undo()
    node.start()
    fresh = IpfsCacheBackend(backend.metadata, node.url)
    fresh._client.http._breaker.restored()
    await fresh.write_content(cid, [data])
    assert memoryview(await fresh.read_content(cid)) == data


async def test_a_node_that_freezes_during_an_upload(node, backend, monkeypatch):
    data = os.urandom(50_000_000)
    original, sent = Upload._batch, []

    async def fatal(self, iterator):
        sent.append(1)
        batch = await original(self, iterator)
        if len(sent) == 3:
            node.signal(signal.SIGSTOP)
        return batch

    monkeypatch.setattr(Upload, "_batch", fatal)
    with pytest.raises(BackendError, match="does not answer"):
        await backend.write_content(file_cid([data]), [data])


def test_garbage_that_was_collected_between_set_and_get(node, doubled, backend):
    text = "x" * MIDDLE
    doubled(text)
    for cid, name in node.pins().items():
        if name.startswith("cascade-nb"):
            node.ask("pin/rm", cid)
    node.collect()
    assert doubled(text) == text * 2
    assert (doubled.stats.hits, doubled.stats.misses) == (0, 2)
    assert doubled(text) == text * 2
    assert doubled.stats.hits == 1


def test_a_repository_that_was_lost_is_filled_again(node, doubled):
    text = "x" * LARGE
    doubled(text)
    node.clean()
    assert doubled(text) == text * 2
    assert doubled(text) == text * 2
    assert (doubled.stats.hits, doubled.stats.misses) == (1, 2)


def _damage(node: KuboNode, size: int) -> None:
    """Flip a byte in each block of the repository that has at least `size` bytes."""
    for path in Path(node.folder, "blocks").glob("*/*.data"):
        if path.stat().st_size >= size:
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
            data = bytearray(path.read_bytes())
            data[7] ^= 1
            path.write_bytes(data)


@pytest.mark.parametrize("size", [MIDDLE, LARGE])
def test_a_damaged_repository_gives_no_wrong_answer_and_is_repaired(node, doubled, size):
    text = os.urandom(size // 2).hex()
    doubled(text)
    _damage(node, 50_000)
    assert doubled(text) == text * 2
    assert doubled.stats.hits == 0
    assert doubled(text) == text * 2
    assert doubled.stats.hits == 1


async def test_pins_that_a_dead_node_keeps_are_collected_later(node, backend, monkeypatch):
    await backend.set("key", "x" * MIDDLE)
    node.stop()
    assert await backend.delete_record("value:key")
    node.start()
    backend._client.http._breaker.restored()
    monkeypatch.setattr(ipfs, "_GRACE_SECONDS", -7200.0)
    backend._written.clear()
    assert (await backend.collect()).removed == 1


async def test_what_lies_in_the_mutable_file_system_stays(node, backend):
    data = os.urandom(LARGE)
    node.run("files", "write", "--create", "/mine", given=data)
    cid, mine = content(MIDDLE)
    await backend.write_content(cid, [mine])
    await backend.clear()
    await backend.collect()
    node.collect()
    assert node.run("files", "read", "/mine") == data


def test_no_warning_shows_a_secret(node):
    node.stop()
    url = node.url.replace("//", "//hans:hush@")
    cascade_nb.configure(store=IpfsCacheBackend(InMemoryCacheBackend(), url))

    @cascade_nb.cached
    def one() -> int:
        return 1

    with recorded() as texts:
        assert one() == 1
    assert len(texts) == 1
    assert "hush" not in texts[0]
    assert "hans" not in texts[0]
