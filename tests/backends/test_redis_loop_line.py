"""Short questions to a Redis server that are asked on the caller's loop, and what can go wrong."""

from __future__ import annotations

import asyncio
import datetime
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from cascade_nb import Engine, cached
from cascade_nb.backends import redis_loop_line
from cascade_nb.backends.redis import RedisCacheBackend
from cascade_nb.backends.redis_link import RedisLink
from cascade_nb.backends.redis_loop_line import LoopLine
from cascade_nb.policies.content import ContentCachePolicy
from tests.backends.contents import MIDDLE, SMALL, content, recorded
from tests.servers.redis import RedisServer, program, redis_server

KEY = "a" * 64


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that the test may stop and freeze."""
    with redis_server() as server:
        yield server


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_loop_line, "LOOK_SECONDS", 0.02)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on a fresh loop, as `asyncio.run` does."""
    module = asyncio if request.param == "asyncio" else pytest.importorskip("uvloop")

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=module.new_event_loop) as runner:
            return runner.run(coroutine)

    return run


async def warm(backend: RedisCacheBackend) -> LoopLine:
    """The running loop's line, which the second question borrows."""
    for _ in range(2):
        await backend.read_record("warm")
    return backend._link._loop_lines.here(backend._link._line)


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What links do in threads, but for the freeing of locks."""
    called: list[object] = []
    original = RedisLink._act

    def act(self: RedisLink, action: Any, patience: float) -> Any:
        if "evaluate" not in action.__qualname__:
            called.append(action)
        return original(self, action, patience)

    monkeypatch.setattr(RedisLink, "_act", act)
    return called


def test_a_hit_is_awaited_without_a_thread(run, redis_here, backend_on, in_threads):
    engine = Engine(policy=ContentCachePolicy(backend_on(redis_here)))

    @cached(engine=engine)
    async def doubled(text: str) -> list[str]:
        return [text * 2]

    async def main() -> None:
        for text in ("short", "x" * MIDDLE):
            assert await doubled(text) == [text * 2]
            await warm(engine.policy.store)
            in_threads.clear()
            assert await doubled(text) == [text * 2]
            assert in_threads == []
        assert doubled.stats.hits == 2

    run(main())


def test_one_loop_after_another_uses_the_same_store(run, redis_here, backend_on):
    backend = backend_on(redis_here)

    async def main() -> bytes | None:
        await backend.write_record(KEY, b"envelope", None)
        line = await warm(backend)
        found = await backend.read_record(KEY)
        assert not line.closed
        return found

    for _ in range(3):
        assert run(main()) == b"envelope"
        assert len(backend._link._loop_lines._lines) == 1


def test_loops_of_several_threads_use_the_same_store(run, redis_here, backend_on):
    backend = backend_on(redis_here)
    failures: list[BaseException] = []

    async def main(name: str) -> None:
        await backend.write_record(name, name.encode(), None)
        for _ in range(50):
            assert await backend.read_record(name) == name.encode()

    def work(name: str) -> None:
        try:
            run(main(name))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_each_of_many_questions_at_once_has_its_own_answer(run, redis_here, backend_on):
    backend = backend_on(redis_here)

    async def main() -> None:
        names = [str(number) for number in range(100)]
        for name in names:
            await backend.write_record(name, name.encode() * 500, None)
        await warm(backend)
        found = await asyncio.gather(*map(backend.read_record, names))
        assert found == [name.encode() * 500 for name in names]

    run(main())


async def test_a_loop_that_watches_no_sockets_asks_in_threads(
    redis_here, backend_on, in_threads, monkeypatch
):
    def refuse(*args: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    backend = backend_on(redis_here)
    await backend.write_record(KEY, b"envelope", None)
    in_threads.clear()
    for _ in range(2):
        assert await backend.read_record(KEY) == b"envelope"
    assert len(in_threads) == 2


@pytest.mark.parametrize("size", [SMALL, MIDDLE, 900_000])
def test_contents_of_any_size_come_whole(run, redis_here, backend_on, size):
    backend = backend_on(redis_here)
    cid, data = content(size)

    async def main() -> None:
        await backend.write_content(cid, [data])
        await warm(backend)
        assert await backend.read_content(cid) == data

    run(main())


async def test_what_is_of_another_type_is_nothing(redis_here, backend_on):
    backend = backend_on(redis_here)
    await backend.write_record(KEY, b"envelope", None)
    line = await warm(backend)
    eyes = redis_here.client()
    (name,) = eyes.keys("*")
    eyes.delete(name)
    eyes.rpush(name, "a", "list")
    with recorded() as texts:
        others = asyncio.gather(*(backend.read_record("absent") for _ in range(3)))
        assert await backend.read_record(KEY) is None
        assert await others == [None] * 3
    assert line.closed
    assert texts == []


def test_who_is_cancelled_leaves_the_line_to_the_others(run, server, backend_on, in_threads):
    backend = backend_on(server)

    async def main() -> None:
        for name in ("one", "two"):
            await backend.write_record(name, name.encode(), None)
        line = await warm(backend)
        in_threads.clear()
        server.signal(signal.SIGSTOP)
        one, two = (asyncio.create_task(backend.read_record(name)) for name in ("one", "two"))
        while len(line._waiting) < 2:
            await asyncio.sleep(0)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        server.signal(signal.SIGCONT)
        assert await two == b"two"
        assert await backend.read_record("one") == b"one"
        assert not line.closed
        assert in_threads == []

    run(main())


def test_cancelled_by_the_end_of_their_loop(run, server, backend_on):
    backend = backend_on(server)

    async def leave() -> None:
        await backend.write_record(KEY, b"envelope", None)
        line = await warm(backend)
        server.signal(signal.SIGSTOP)
        task = asyncio.create_task(backend.read_record(KEY))
        while not line._waiting:
            await asyncio.sleep(0)
        assert not task.done()

    run(leave())
    server.signal(signal.SIGCONT)
    assert run(backend.read_record(KEY)) == b"envelope"
    assert run(backend.read_record("absent")) is None


def test_a_server_that_is_silent_is_waited_for_once(run, server, backend_on, quick_looks):
    backend = backend_on(server)

    async def main() -> list[Any]:
        await backend.set("key", 1)
        await warm(backend)
        server.signal(signal.SIGSTOP)
        return await asyncio.gather(*(backend.get("key") for _ in range(5)))

    with recorded() as texts:
        assert run(main()) == [None] * 5
    assert len(texts) == 1
    assert "does not answer" in texts[0]


def test_a_loop_that_stood_still_takes_nobody_for_dead(run, redis_here, backend_on, quick_looks):
    backend = backend_on(redis_here)

    async def main() -> None:
        await backend.write_record(KEY, b"envelope", None)
        line = await warm(backend)
        asked = asyncio.create_task(backend.read_record(KEY))
        while not line._waiting:
            await asyncio.sleep(0)
        time.sleep(0.3)
        assert await asked == b"envelope"
        assert not line.closed

    run(main())


async def test_a_server_that_dies_while_it_is_asked(server, backend_on):
    backend = backend_on(server)
    await backend.set("key", 1)
    line = await warm(backend)
    server.signal(signal.SIGSTOP)
    asked = [asyncio.create_task(backend.get("key")) for _ in range(3)]
    while len(line._waiting) < 3:
        await asyncio.sleep(0)
    with recorded() as texts:
        server.stop()
        assert await asyncio.gather(*asked) == [None] * 3
    assert len(texts) == 1
    assert "cannot be reached" in texts[0]


async def test_a_line_that_was_cut_is_replaced_at_once(server, backend_on):
    backend = backend_on(server)
    line = await warm(backend)
    server.client().client_kill_filter(_type="normal", skipme=True)
    with recorded() as texts:
        await backend.write_record(KEY, b"envelope", None)
        assert await backend.read_record(KEY) == b"envelope"
        assert await warm(backend) is not line
    assert line.closed
    assert texts == []


async def test_a_line_that_nobody_uses_is_given_back(
    redis_here, backend_on, quick_looks, monkeypatch
):
    monkeypatch.setattr(redis_loop_line, "_UNUSED_LOOKS", 1)
    backend = backend_on(redis_here)
    line = await warm(backend)
    while not line.closed:
        await asyncio.sleep(0.01)
    lender = backend._link._line
    assert line._connection in lender._idle
    assert await backend.read_record(KEY) is None
    assert await asyncio.to_thread(lender.call, "PING") in (b"PONG", "PONG")


@contextmanager
def half_hearted(answer: bytes) -> Iterator[int]:
    """The port of a server that greets every client, and then says no more than `answer`."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while question := connection.recv(65536):
                if b"GET" not in question:
                    greeted = b"+PONG\r\n" if b"PING" in question else b"+OK\r\n"
                    connection.sendall(greeted * question.count(b"*"))
                else:
                    connection.sendall(answer)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_a_server_that_goes_silent_in_the_middle_holds_up_nobody(run, quick_looks):
    async def main(port: int) -> None:
        backend = RedisCacheBackend(redis.Redis(port=port))
        await asyncio.to_thread(backend._link._reached)
        asked = asyncio.create_task(backend.get("key"))
        steps = 0
        while not asked.done():
            await asyncio.sleep(0.01)
            steps += 1
        assert await asked is None
        assert steps > 3
        assert await backend.get("key") is None

    with half_hearted(b"$1000\r\nabc") as port, recorded() as texts:
        run(main(port))
    assert len(texts) == 1
    assert "does not answer" in texts[0]


@pytest.mark.parametrize("answer", [b"nonsense\r\n", b"$x\r\n", b"$3\r\nabc\r\n:5\r\n"])
async def test_what_is_no_answer_is_nothing(answer):
    with half_hearted(answer) as port, recorded() as texts:
        backend = RedisCacheBackend(redis.Redis(port=port))
        await asyncio.to_thread(backend._link._reached)
        assert await backend.get("key") is None
    assert len(texts) <= 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate for localhost, which signs itself, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cascade-nb test")])
    now = datetime.datetime.now(datetime.UTC)
    host = x509.DNSName("localhost")
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


@contextmanager
def encrypted_server(certificate: Path) -> Iterator[int]:
    """The port on which a server is reached that encrypts; skips the test where none does."""
    program()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--tls-port", str(port), "--tls-auth-clients", "no"]
    options += ["--tls-cert-file", str(certificate / "cert.pem")]
    options += ["--tls-key-file", str(certificate / "key.pem")]
    with ExitStack() as stack:
        try:
            stack.enter_context(redis_server(*options))
        except AssertionError:
            pytest.skip("this Redis server was built without TLS")
        yield port


@pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
def test_encrypted_lines(run, certificate, in_threads, kind):
    cid, data = content(300_000)

    async def main(backend: RedisCacheBackend) -> None:
        await backend.write_record(KEY, b"envelope", None)
        await backend.write_content(cid, [data])
        await warm(backend)
        in_threads.clear()
        for _ in range(3):
            assert await backend.read_record(KEY) == b"envelope"
            assert await backend.read_content(cid) == data
        assert in_threads == []

    with encrypted_server(certificate) as port:
        client = kind(port=port, ssl=True, ssl_ca_certs=str(certificate / "cert.pem"))
        backend = RedisCacheBackend(client)
        assert backend.server == f"rediss://localhost:{port}/0"
        run(main(backend))
