"""The IPFS store on a node that lies: nothing unproven comes out, and the answer is computed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

import cascade_nb
from cascade_nb.backends import ipfs, kubo, outages
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.content.cid import parse, raw_cid, to_text
from cascade_nb.errors import BackendError, CascadeError, IntegrityError
from tests.backends.contents import LARGE, MIDDLE, content, recorded
from tests.content.dags import bomb
from tests.servers.lying import (
    Lie,
    LyingServer,
    Reply,
    broken_off,
    cut,
    endless,
    instead,
    lying_server,
    only,
    plain_bytes,
    redirect,
    stall,
    status,
    wrong_bytes,
)


@pytest.fixture
def server() -> Iterator[LyingServer]:
    with lying_server() as server:
        yield server


@pytest.fixture
def backend(server: LyingServer) -> IpfsCacheBackend:
    return IpfsCacheBackend(InMemoryCacheBackend(), server.url)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cascade_nb.backends.http._FIRST_PAUSE_SECONDS", 0.001)


def is_file(reply: Reply) -> bool:
    """Whether it is the answer to ``cat``."""
    return "X-Content-Length" in reply.headers


LIES: dict[str, Sequence[Lie]] = {
    "wrong bytes": [wrong_bytes],
    "wrong bytes in the stream alone": [only(is_file, wrong_bytes)],
    "cut short under a clean 200": [cut()],
    "cut short in the stream alone": [only(is_file, cut())],
    "nothing at all": [cut(0)],
    "broken off": [broken_off()],
    "too much": [endless()],
    "another answer": [instead(b"<html>please log in</html>")],
    "another type": [plain_bytes(), wrong_bytes],
    "no right": [status(403)],
    "no such thing": [status(404)],
    "a failure": [status(500)],
    "busy": [status(503)],
    "not now": [status(429, retry_after="3600")],
    "elsewhere": [redirect("http://127.0.0.1:1/")],
}


async def test_a_page_of_another_server_is_told_in_a_few_plain_words(server, backend):
    page = (
        b"<!DOCTYPE html><html><head><title>Sign in</title><style>p { color: red }</style>"
        b"<script>steal()</script></head>\n<body><p>" + b"Please wait. " * 100
    )

    def wrong_server(reply):
        return replace(reply, status=500, body=page)

    server.lies = [wrong_server]
    with recorded() as texts:
        await backend.set("key", b"x" * MIDDLE)
    assert len(texts) == 1
    said = texts[0].partition("(500): ")[2]
    assert said.startswith("Sign in Please wait. Please")
    assert len(said) <= 80
    assert not set("<>{}") & set(texts[0])


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("size", [MIDDLE, LARGE])
async def test_a_lie_is_no_content(server, backend, name, size):
    cid, data = content(size)
    await backend.write_content(cid, [data])
    assert memoryview(await backend.read_content(cid)) == data
    server.lies = LIES[name]
    for read in (backend.read_content, backend.fetch_content):
        try:
            found = await read(cid)
        except CascadeError:
            continue
        assert found is None or memoryview(found) == data
    server.lies = ()
    assert memoryview(await backend.read_content(cid)) == data


@pytest.mark.parametrize("name", LIES)
def test_the_answer_comes_whatever_the_node_says(server, backend, name):
    cascade_nb.configure(store=backend)

    @cascade_nb.cached
    def doubled(text: str) -> str:
        return text * 2

    text = os.urandom(LARGE // 4).hex()
    doubled(text)
    server.lies = LIES[name]
    with recorded() as texts:
        assert [doubled(text), doubled(text), doubled("a")] == [text * 2, text * 2, "aa"]
    assert len(texts) <= 1
    server.lies = ()
    with recorded():
        assert doubled(text) == text * 2


async def test_a_stream_that_stands_still_is_given_up(server, backend, monkeypatch):
    cid, data = content(LARGE)
    await backend.write_content(cid, [data])
    monkeypatch.setattr(ipfs, "PATIENCE_SECONDS", 0.3)
    server.lies = [only(is_file, stall())]
    with pytest.raises(BackendError, match="has sent nothing"):
        await backend.fetch_content(cid)


async def test_a_hit_waits_for_a_stream_that_stands_still_once(server, backend, monkeypatch):
    monkeypatch.setattr(ipfs, "HIT_PATIENCE_SECONDS", 0.3)
    cascade_nb.configure(store=backend)

    @cascade_nb.cached
    async def doubled(text: str) -> str:
        return text * 2

    texts = [os.urandom(LARGE // 4).hex() for _ in range(3)]
    for text in texts:
        await doubled(text)
    server.lies = [only(is_file, stall())]
    server.requests.clear()
    with recorded() as warned:
        assert [await doubled(text) for text in texts] == [text * 2 for text in texts]
    assert [path for path in server.asked if path.endswith("/cat")] == ["/api/v0/cat"]
    assert len(warned) == 1
    assert "has sent nothing for 0.3 s" in warned[0]
    assert doubled.stats.bypasses == 3

    # Whoever asks for as long as there is progress is not told of that.
    server.lies = ()
    (cid,) = {entry.cid for entry in [await doubled(texts[0]).entry()] if entry is not None}
    assert memoryview(await backend.fetch_content(cid)).nbytes > LARGE
    backend._hits._retry_at = 0.0
    with recorded():
        await doubled(texts[0])
    await asyncio.to_thread(backend._hits._retry.join, 10)
    assert await doubled(texts[0]) == texts[0] * 2
    assert doubled.stats.hits == 1


async def test_a_node_that_still_stalls_is_left_alone_for_longer(server, backend, monkeypatch):
    monkeypatch.setattr(ipfs, "HIT_PATIENCE_SECONDS", 0.3)
    cid, data = content(LARGE)
    await backend.write_content(cid, [data])
    server.lies = [only(is_file, stall())]
    for _ in range(2):
        with pytest.raises(BackendError, match="has sent nothing"):
            await backend.read_content(cid)
    backend._hits._retry_at = 0.0
    with pytest.raises(BackendError, match="has sent nothing"):
        await backend.read_content(cid)
    await asyncio.to_thread(backend._hits._retry.join, 10)
    assert backend._hits._pause == 2 * outages.FIRST_RETRY_SECONDS


async def test_a_pin_that_fails_under_a_clean_200_is_an_error(server, backend):
    reply = b'{"Root":{"Cid":{"/":"bafk"},"PinErrorMsg":"no\\nroom"}}\n{"Stats":{"BlockCount":4}}\n'
    imports = only(lambda reply: b"BlockCount" in reply.body, instead(reply))
    server.lies = [imports]
    cid, data = content(LARGE)
    with pytest.raises(BackendError, match="does not pin what it was sent: no room"):
        await backend.write_content(cid, [data])


@pytest.mark.parametrize("body", [b"", b"{}", b"null\n[]\n", b'{"Stats":{"BlockCount":3}}'])
async def test_an_import_that_does_not_end_well_is_an_error(server, backend, body):
    server.lies = [only(lambda reply: b"BlockCount" in reply.body, instead(body))]
    cid, data = content(LARGE)
    with pytest.raises(BackendError, match=r"did not finish|took 3 of"):
        await backend.write_content(cid, [data])


async def test_what_a_bomb_promises_is_not_set_aside(server, backend):
    parts = bomb(6)
    server.put(parts)
    with pytest.raises(IntegrityError, match=r"more than this machine|too many|at most"):
        await backend.fetch_content(to_text(parts[0][0]))


async def test_a_block_that_is_no_file_is_an_error(server, backend):
    cid, _ = content(LARGE)
    server.put([(parse(cid), b"rubbish")])
    with pytest.raises(IntegrityError):
        await backend.fetch_content(cid)


async def test_an_answer_of_any_length_is_cut(server, backend, monkeypatch):
    monkeypatch.setattr(kubo, "SECTION_LIMIT", 1000)
    data = os.urandom(5000)
    cid = raw_cid(data)
    server.put([(parse(cid), data)])
    with pytest.raises(CascadeError, match="larger than a block may be"):
        await backend.fetch_content(cid)
