"""The server that lies, where it is told no lie: what is asked of it is answered as Kubo does."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from cascade_nb.backends.gateway import GatewayBackend
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.content.unixfs import blocks, file_cid
from tests.content.dags import content, raw
from tests.servers.lying import LyingServer, in_disorder, lying_server, only, status, wrong_bytes

DATA = content(3 << 20)


def ask(server: LyingServer, path: str, method: str = "POST") -> bytes:
    request = urllib.request.Request(server.url + path, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read()


async def test_an_ipfs_store_keeps_values_in_it() -> None:
    with lying_server() as server:
        store = IpfsCacheBackend(InMemoryCacheBackend(), server.url)
        await store.set("a", DATA)
        assert await store.get("a") == DATA
        assert len(server.blocks) == 5  # what lies around the bytes makes one more chunk
        ((cid, (kind, name)),) = server.pins.items()
        assert kind == "recursive"
        assert name.startswith("cascade-nb")
        assert await GatewayBackend([server.url]).get(cid) == DATA
        assert await store.delete_record("value:a")
        assert not server.pins


async def test_lies_are_told_one_after_the_other() -> None:
    with lying_server(in_disorder(raw(b"?")), wrong_bytes) as server:
        server.put(blocks([DATA]))
        server.script = [(), (only(lambda reply: reply.status == 200, status(418)),)]
        path = f"/ipfs/{file_cid([DATA])}?format=car"
        honest = ask(server, path, "GET")
        with pytest.raises(urllib.error.HTTPError, match="418"):
            ask(server, path, "GET")
        lied = ask(server, path, "GET")
        assert len(lied) > 2 * len(DATA) > len(honest)
        assert json.loads(ask(server, "/api/v0/version"))["Version"]
        assert len(server.asked) == 3
