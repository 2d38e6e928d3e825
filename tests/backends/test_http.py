"""The HTTP client against a server that behaves as told, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from email.utils import format_datetime, localtime

import pytest
from aiohttp import web

from cascade_nb.backends import http, outages, silence
from cascade_nb.backends.http import BrokenOffError, HttpClient
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import on_background


class Scripted:
    """Answers as `routes` say, and keeps what it was asked: (method, path, query, headers)."""

    def __init__(self) -> None:
        self.routes: dict[str, object] = {}
        self.seen: list[tuple[str, str, str, dict[str, str]]] = []
        self.let_go = threading.Event()
        self.connections: set[object] = set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._thread.start()
        self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.connections.add(request.transport)
        self.seen.append((request.method, request.path, request.query_string, request.headers))
        answer = self.routes.get(request.path, web.Response(status=404))
        if isinstance(answer, list):
            answer = answer.pop(0)
        if callable(answer):
            answer = await answer(request)
        return answer

    def asked(self, path: str) -> int:
        return sum(seen[1] == path for seen in self.seen)

    async def silent(self, request: web.Request) -> web.Response:
        """Answer once the test lets it."""
        while not self.let_go.is_set():
            await asyncio.sleep(0.01)
        return web.Response(text="at last")

    def stop(self) -> None:
        self.let_go.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join(10)


@pytest.fixture
def server() -> Iterator[Scripted]:
    server = Scripted()
    server.routes["/base/ping"] = answer_ok
    yield server
    server.stop()


async def answer_ok(request: web.Request) -> web.Response:
    return web.Response(text="ok")


@pytest.fixture
def client(server: Scripted) -> HttpClient:
    return made(server.port)


def made(port: int, **options: object) -> HttpClient:
    return HttpClient(
        f"http://127.0.0.1:{port}/base", what="IPFS node", ping=("GET", "ping"), **options
    )


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def ask(client: HttpClient, path: str = "x", method: str = "POST", **options: object):
    return await on_background(client.ask(method, path, **options))


async def test_an_answer_is_given_whatever_its_status(server, client):
    server.routes["/base/x"] = [
        web.Response(text="fine", headers={"X-Note": "1"}),
        web.Response(status=403, text="not\nyou"),
    ]
    answer = await ask(client, parameters=[("arg", "a/b"), ("arg", "c")])
    assert (answer.status, answer.body, answer.headers["x-note"]) == (200, b"fine", "1")
    assert server.seen[0][:3] == ("POST", "/base/x", "arg=a/b&arg=c")
    answer = await ask(client)
    assert (answer.status, answer.text) == (403, "not you")


async def test_a_node_does_not_take_it_for_a_browser_or_for_itself(server, client):
    await ask(client)
    headers = server.seen[0][3]
    assert headers["User-Agent"].startswith("cascade-nb/")
    assert headers["Accept-Encoding"] == "identity"
    assert not {"Origin", "Referer", "Authorization", "Cookie"} & set(headers)


async def test_connections_are_kept(server, client):
    server.routes["/base/x"] = answer_ok
    for _ in range(5):
        await ask(client)
    assert len(server.connections) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_busy_server_is_asked_again(server, client, status, monkeypatch):
    monkeypatch.setattr(http, "_FIRST_PAUSE_SECONDS", 0.001)
    server.routes["/base/x"] = [web.Response(status=status), web.Response(text="now")]
    assert (await ask(client)).body == b"now"


async def test_a_server_that_stays_busy_is_asked_three_times(server, client, monkeypatch):
    monkeypatch.setattr(http, "_FIRST_PAUSE_SECONDS", 0.001)
    server.routes["/base/x"] = [web.Response(status=503) for _ in range(9)]
    assert (await ask(client)).status == 503
    assert server.asked("/base/x") == 3


@pytest.mark.parametrize(
    "wait", ["0", "0.01", pytest.param(format_datetime(localtime()), id="a date")]
)
async def test_it_waits_for_as_long_as_it_is_told(server, client, wait):
    busy = web.Response(status=429, headers={"Retry-After": wait})
    server.routes["/base/x"] = [busy, web.Response(text="now")]
    assert (await ask(client)).body == b"now"


async def test_it_does_not_wait_for_an_hour(server, client):
    busy = web.Response(status=429, headers={"Retry-After": "3600"})
    server.routes["/base/x"] = [busy, web.Response(text="now")]
    assert (await ask(client)).status == 429
    assert server.asked("/base/x") == 1


async def test_what_is_sent_is_sent_again_from_its_beginning(server, client):
    got = []

    async def take(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response(status=503 if len(got) == 1 else 200, headers={"Retry-After": "0"})

    async def pieces():
        yield b"one"
        yield memoryview(bytearray(b"two"))

    server.routes["/base/x"] = take
    assert (await ask(client, body=pieces)).status == 200
    assert got == [b"onetwo"] * 2


async def test_what_goes_wrong_while_a_body_is_made_is_said(server, client):
    made = []

    async def pieces():
        made.append(1)
        yield b"one"
        raise BackendError("no more of it")

    async def take(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    server.routes["/base/x"] = take
    with pytest.raises(BackendError, match="no more of it"):
        await ask(client, body=pieces)
    assert made == [1]


async def test_no_more_than_the_limit_is_read(server, client):
    server.routes["/base/x"] = web.Response(body=b"x" * 3_000_000)
    assert (await ask(client, limit=1000)).body == b"x" * 1000


async def test_compressed_bodies_are_not_unpacked(server, client):
    server.routes["/base/x"] = web.Response(body=b"raw", headers={"Content-Encoding": "gzip"})
    assert (await ask(client)).body == b"raw"


class TestDeath:
    async def test_a_refused_connection_is_told_once_and_then_spared(self):
        client = made(unused_port())
        with pytest.raises(BackendError, match="cannot be reached: Connection refused"):
            await ask(client)

        async def never(*args: object, **kwargs: object) -> object:
            raise AssertionError("it was asked again")

        client._answered = never
        with pytest.raises(BackendError, match="cannot be reached"):
            await ask(client)

    async def test_another_client_of_it_is_spared_too(self):
        port = unused_port()
        first, second = made(port), made(port)
        with pytest.raises(BackendError):
            await ask(first)
        assert second._breaker is first._breaker
        del first
        gc.collect()
        with pytest.raises(BackendError, match="cannot be reached"):
            second._breaker.check()

    async def test_a_server_that_takes_no_ping_is_dead(self, server, client):
        server.routes["/base/x"] = server.routes["/base/ping"] = server.silent
        with pytest.raises(BackendError, match="does not answer"):
            await ask(client)
        with pytest.raises(BackendError, match="does not answer"):
            await ask(client)
        assert server.asked("/base/x") == 1
        assert server.asked("/base/ping") == 1

    async def test_many_requests_at_once_share_a_ping(self, server, client):
        server.routes["/base/x"] = server.routes["/base/ping"] = server.silent
        found = await asyncio.gather(*(ask(client) for _ in range(8)), return_exceptions=True)
        assert {type(error) for error in found} == {BackendError}
        assert server.asked("/base/ping") == 1

    async def test_a_slow_server_that_answers_pings_is_waited_for(
        self, server, client, monkeypatch
    ):
        monkeypatch.setattr(silence, "LOOK_SECONDS", 0.01)

        async def count(request: web.Request) -> web.Response:
            if server.asked("/base/ping") == 3:
                server.let_go.set()
            return web.Response(status=500)

        server.routes["/base/ping"] = count
        server.routes["/base/x"] = server.silent
        assert (await ask(client)).body == b"at last"

    async def test_a_living_server_without_progress_is_given_up(self, server, client):
        server.routes["/base/x"] = server.silent
        with pytest.raises(BackendError, match=r"has sent nothing for 0\.1 s"):
            await ask(client, patience=0.1)
        server.routes["/base/x"] = answer_ok
        assert (await ask(client)).status == 200

    async def test_silence_in_the_middle_of_a_body_counts(self, server, client):
        async def half(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"half")
            await server.silent(request)
            return response

        server.routes["/base/x"], server.routes["/base/ping"] = half, server.silent
        with pytest.raises(BackendError, match="does not answer"):
            await ask(client)

    async def test_time_that_we_take_does_not_count(self, server, client, monkeypatch):
        monkeypatch.setattr(silence, "LOOK_SECONDS", 0.01)
        server.routes["/base/x"] = answer_ok
        server.routes["/base/ping"] = server.silent

        async def slow():
            await asyncio.sleep(0.3)
            yield b"x"

        async def read() -> bytes:
            async with client.open("POST", "x", body=slow) as stream:
                await asyncio.sleep(0.3)
                return await stream.read()

        assert await on_background(read()) == b"ok"
        assert server.asked("/base/ping") == 0

    async def test_a_deadline_of_the_callers_is_the_callers(self, server, client):
        server.routes["/base/x"] = server.silent

        async def hurried() -> None:
            async with asyncio.timeout(0.05):
                await client.ask("POST", "x")

        with pytest.raises(TimeoutError):
            await on_background(hurried())
        client._breaker.check()

    async def test_it_is_tried_again_beside_the_work(self, server, client, monkeypatch):
        now = 1000.0
        monkeypatch.setattr(outages.time, "monotonic", lambda: now)
        client._dead()
        now += 31
        with pytest.raises(BackendError):
            await ask(client)
        await asyncio.to_thread(client._breaker._retry.join, 5)
        assert (await ask(client)).status == 404


class TestBrokenConnections:
    async def test_it_is_tried_once_more_on_a_new_one(self, server, client):
        broken = []

        async def cut(request: web.Request) -> web.Response:
            if not broken:
                broken.append(request.transport)
                request.transport.abort()
            return web.Response(text="fine")

        server.routes["/base/x"] = cut
        assert (await ask(client)).body == b"fine"
        assert server.asked("/base/x") == 2

    async def test_a_living_server_that_breaks_off_is_not_dead(self, server, client):
        async def cut(request: web.Request) -> web.Response:
            request.transport.abort()
            return web.Response()

        server.routes["/base/x"] = cut
        with pytest.raises(BrokenOffError, match="broke off"):
            await ask(client)
        server.routes["/base/x"] = answer_ok
        assert (await ask(client)).status == 200

    async def test_a_body_that_is_cut_is_an_error(self, server, client):
        async def cut(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "100"})
            await response.prepare(request)
            await response.write(b"half")
            request.transport.abort()
            return response

        server.routes["/base/x"] = cut
        with pytest.raises(BrokenOffError):
            await ask(client)


class TestRedirects:
    async def test_it_follows_to_the_same_host(self, server, client):
        server.routes["/base/x"] = web.Response(status=301, headers={"Location": "/y?a=1"})
        server.routes["/y"] = web.Response(text="there")
        assert (await ask(client, method="GET")).body == b"there"
        assert server.seen[-1][2] == "a=1"

    async def test_it_follows_no_circle(self, server, client):
        server.routes["/base/x"] = [
            web.Response(status=302, headers={"Location": "/base/x"}) for _ in range(9)
        ]
        assert (await ask(client, method="GET")).status == 302
        assert server.asked("/base/x") == 4

    @pytest.mark.parametrize(
        "where", ["http://localhost:{port}/y", "http://127.0.0.1:1/y", "http://u:p@127.0.0.1/", ""]
    )
    async def test_it_goes_to_no_other(self, server, client, where):
        server.routes["/base/x"] = web.Response(
            status=302, headers={"Location": where.format(port=server.port)} if where else {}
        )
        answer = await ask(client, method="GET" if where else "POST")
        assert answer.status == 302
        assert server.asked("/y") == 0


class TestSecrets:
    async def test_a_token_is_sent_and_never_shown(self, server):
        client = made(server.port, token="s3cret")
        await ask(client)
        assert server.seen[0][3]["Authorization"] == "Bearer s3cret"
        assert "s3cret" not in repr(client)

    async def test_a_user_in_the_url_is_sent_and_never_shown(self, server):
        url = f"http://hans:p%40ss@127.0.0.1:{server.port}/base/"
        client = HttpClient(url, what="IPFS node", ping=("GET", "ping"))
        await ask(client)
        assert server.seen[0][1] == "/base/x"
        assert server.seen[0][3]["Authorization"] == "Basic aGFuczpwQHNz"
        assert client.shown == f"http://127.0.0.1:{server.port}/base"
        server.stop()
        with pytest.raises(BackendError) as caught:
            await ask(client)
        assert "hans" not in str(caught.value) + repr(client) + caught.value.server
        assert "p@ss" not in str(caught.value) + repr(client)

    @pytest.mark.parametrize(
        "url",
        [
            "", "127.0.0.1:5001", "ftp://u:hush@h", "http://", "http://u:hush@h:0", "http://h:x",
            "http://u:hush@h/?q", "http://h/#f", "http://u:hush@h/a b", "http://h/\n", None, 5001,
        ],
    )  # fmt: skip
    def test_what_is_no_url_is_refused(self, url):
        with pytest.raises(ConfigurationError) as caught:
            HttpClient(url, what="IPFS node", ping=("GET", ""))
        assert "hush" not in str(caught.value)

    @pytest.mark.parametrize("token", ["", "hush hush", "hush\nX-Evil: 1", "hüsh", 7])
    def test_what_is_no_token_is_refused(self, token):
        with pytest.raises(ConfigurationError) as caught:
            made(1, token=token)
        assert "hush" not in str(caught.value)

    def test_two_ways_to_authorize_are_one_too_many(self):
        with pytest.raises(ConfigurationError, match="both a token and a user"):
            HttpClient("http://u:p@h", what="IPFS node", ping=("GET", ""), token="t")


def test_sessions_are_closed_at_exit_without_a_word(server):
    program = f"""
import asyncio
from cascade_nb.backends.http import HttpClient
from cascade_nb.loop import on_background, run_sync
client = HttpClient("http://127.0.0.1:{server.port}/base", what="node", ping=("GET", "ping"))
print(run_sync(on_background(client.ask("GET", "ping"))).text)
dropped = HttpClient("http://127.0.0.1:{server.port}/base", what="node", ping=("GET", "ping"))
run_sync(on_background(dropped.ask("GET", "ping")))
del dropped
"""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == ("ok\n", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
async def test_a_forked_child_has_connections_of_its_own(server, client):
    server.routes["/base/x"] = answer_ok
    await ask(client)
    program = """
import os, sys, warnings
from cascade_nb.backends.http import HttpClient
from cascade_nb.loop import on_background, run_sync
client = HttpClient(sys.argv[1], what="node", ping=("GET", "ping"))
ask = lambda: run_sync(on_background(client.ask("GET", "x"))).status
assert ask() == 200
child = os.fork()
if child == 0:
    os._exit(0 if ask() == 200 else 1)
assert os.waitpid(child, 0)[1] == 0
assert ask() == 200
"""
    with contextlib.suppress(ValueError):
        server.seen.clear()
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, client.shown],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
