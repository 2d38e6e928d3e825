"""A Redis server with all that can be wrong with it, and what clients of it may look like."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster

from cascade_nb import Engine, cached
from cascade_nb.backends import outages
from cascade_nb.backends.redis import RedisCacheBackend, open_redis
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import run_sync
from cascade_nb.policies.content import ContentCachePolicy
from tests.backends.contents import LARGE, MIDDLE, SMALL, content, recorded
from tests.backends.test_processes import in_fork
from tests.servers.redis import RedisServer, programs, redis_server

KEY = "a" * 64
ROOT = Path(__file__).parents[2]
SECRET = "open-sesame-1234"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server that the test may stop, freeze and kill."""
    with redis_server() as server:
        yield server


def start(job: str, server: RedisServer, argument: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.backends.redis_worker", job, server.url, str(argument)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def connections(monkeypatch) -> list[str]:
    """One entry for each attempt to connect, from now on."""
    attempts: list[str] = []
    original = redis.connection.AbstractConnection.connect

    def connect(self):
        attempts.append(repr(type(self)))
        return original(self)

    monkeypatch.setattr(redis.connection.AbstractConnection, "connect", connect)
    return attempts


async def assert_answers_without(backend: RedisCacheBackend, *, says: str) -> None:
    """Calls through an engine come back, the backend's face is silent, and one line says why."""
    engine = Engine(policy=ContentCachePolicy(backend))
    runs: list[int] = []

    @cached(engine=engine, ignore=["runs"])
    def double(n: int) -> int:
        runs.append(n)
        return n * 2

    with recorded() as texts:
        assert await asyncio.gather(*(double.aio(n) for n in (1, 2, 3))) == [2, 4, 6]
        assert double(1) == 2
        await backend.set("key", 5)
        assert await backend.get("key") is None
    assert sorted(runs) == [1, 1, 2, 3]
    lines = [text for text in texts if says in text]
    assert [text.split(":")[0] for text in lines] == ["results are not cached"]
    assert not [text for text in texts if SECRET in text or "\n" in text]
    assert backend.server in lines[0]


class TestOutages:
    async def test_a_server_that_is_not_there(self, server, backend_on, monkeypatch):
        server.stop()
        backend = backend_on(server)
        attempts = connections(monkeypatch)
        await assert_answers_without(backend, says="cannot be reached (Connection refused)")
        assert len(attempts) == 1

    async def test_a_server_that_goes_away(self, server, backend_on, monkeypatch):
        backend = backend_on(server)
        await backend.set("key", 1)
        assert await backend.get("key") == 1
        server.stop()
        attempts = connections(monkeypatch)
        await assert_answers_without(backend, says="cannot be reached")
        assert len(attempts) <= 6, "at most a second look for each of the calls at once"

    async def test_a_server_that_is_silent_from_the_start(self, server, backend_on, monkeypatch):
        server.signal(signal.SIGSTOP)
        backend = backend_on(server)
        attempts = connections(monkeypatch)
        begun = time.monotonic()
        await assert_answers_without(backend, says="does not answer")
        assert len(attempts) == 1
        assert time.monotonic() - begun < 4, "it was waited for more than once"

    async def test_a_silent_server_is_waited_for_once_by_all_backends(
        self, server, backend_on, monkeypatch
    ):
        server.signal(signal.SIGSTOP)
        attempts = connections(monkeypatch)
        await assert_answers_without(backend_on(server), says="does not answer")
        another = backend_on(server, password="another entrance")
        assert await backend_on(server).get("key") is None
        assert len(attempts) == 1
        assert another._link is not backend_on(server)._link

    async def test_a_server_that_falls_silent_and_comes_back(self, server, backend_on, monkeypatch):
        backend = backend_on(server)
        await backend.set("key", 1)
        server.signal(signal.SIGSTOP)
        await assert_answers_without(backend, says="does not answer")
        server.signal(signal.SIGCONT)
        now = time.monotonic() + outages.FIRST_RETRY_SECONDS
        monkeypatch.setattr(outages.time, "monotonic", lambda: now)
        assert await backend.get("key") is None
        backend._link._breaker._retry.join(5)
        assert await backend.get("key") == 1

    async def test_a_server_that_was_started_anew_is_no_outage(self, server, backend_on):
        backend = backend_on(server)
        await backend.set("key", 1)
        server.stop()
        server.start()
        with recorded() as texts:
            assert await backend.get("key") is None
            await backend.set("key", 2)
            assert await backend.get("key") == 2
        assert texts == []

    async def test_a_server_that_dies_in_the_middle_of_a_write(self, server, backend_on):
        backend = backend_on(server)
        cid, _ = content(SMALL)
        eyes = server.client()

        def kill_once_it_is_under_way() -> None:
            while not eyes.keys("*content*"):
                time.sleep(0.001)
            server.stop()

        killer = threading.Thread(target=kill_once_it_is_under_way)
        killer.start()
        with pytest.raises(BackendError, match="cannot be reached"):
            await backend.write_content(cid, [b"x" * (1 << 20)] * 2000)
        killer.join()

    async def test_a_writer_that_dies_leaves_no_content(self, server, backend_on):
        cid, data = content(LARGE)
        writer = start("write", server, cid)
        eyes = server.client()
        while not eyes.keys("*content*"):
            time.sleep(0.001)
        writer.kill()
        writer.communicate()
        backend = backend_on(server)
        assert not await backend.has_content(cid)
        assert await backend.read_content(cid) is None
        (name,) = eyes.keys("*content*")
        assert eyes.pttl(name) > 0, "it would stay for good"
        await backend.write_content(cid, [data])
        assert await backend.read_content(cid) == data

    async def test_a_full_server_keeps_what_it_has(self, backend_on):
        with redis_server("--maxmemory", "20mb") as server:
            backend = backend_on(server)
            engine = Engine(policy=ContentCachePolicy(backend))

            @cached(engine=engine)
            def blob(size: int) -> bytes:
                return b"x" * size

            assert len(await blob.aio(100_000)) == 100_000
            with recorded() as texts:
                assert len(await blob.aio(50_000_000)) == 50_000_000
                assert len(await blob.aio(50_000_001)) == 50_000_001
            assert len(texts) == 1
            assert "is full: it has reached its maxmemory and evicts nothing" in texts[0]
            assert len(await blob.aio(100_000)) == 100_000
            assert blob.stats.hits == 1
            assert len(server.client().keys("*content*")) == 1

    async def test_what_a_server_evicts_is_a_miss(self, backend_on):
        with redis_server("--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru") as server:
            backend = backend_on(server)
            engine = Engine(policy=ContentCachePolicy(backend))

            @cached(engine=engine)
            def blob(n: int) -> bytes:
                return b"%07d" % n * 100_000

            with recorded() as texts:
                for _ in range(2):
                    for n in range(30):
                        assert await blob.aio(n) == b"%07d" % n * 100_000
            assert blob.stats.misses > 30
            assert texts == []
            await blob.aio(29)
            for name in server.client().keys("*content*"):
                server.client().delete(name)
            assert await blob.aio(29) == b"%07d" % 29 * 100_000

    @pytest.mark.parametrize("password", [None, SECRET + "x"])
    async def test_a_wrong_password_is_not_shown(self, backend_on, monkeypatch, password):
        with redis_server("--requirepass", SECRET) as server:
            options = {} if password is None else {"username": SECRET, "password": password}
            backend = backend_on(server, **options)
            attempts = connections(monkeypatch)
            says = "refuses the user name or password"
            await assert_answers_without(backend, says=says)
            assert len(attempts) == 1
            assert SECRET not in repr(backend)
            good = RedisCacheBackend(server.client(password=SECRET))
            await good.set("key", 1)
            assert await good.get("key") == 1

    async def test_a_replica_serves_and_takes_nothing(self, server, backend_on):
        server.client().config_set("repl-diskless-sync-delay", 0)
        primary = backend_on(server)
        await primary.set("there", 1)
        with redis_server("--replicaof", f"127.0.0.1 {server.port}") as replica:
            eyes = replica.client()
            while not eyes.keys("*"):
                time.sleep(0.01)
            backend = backend_on(replica)
            with recorded() as texts:
                assert await backend.get("there") == 1
                await backend.set("key", "x" * 100_000)
                await backend.set("key", 1)
                assert await backend.get("there") == 1
            assert [
                text for text in texts if "is a read-only replica: name its primary" in text
            ] == texts
            assert len(texts) == 1

    async def test_a_user_without_rights(self, server, backend_on):
        server.client().execute_command("ACL", "SETUSER", "ann", "on", ">pw", "~other:*", "+@all")
        backend = backend_on(server, username="ann", password="pw")
        await assert_answers_without(backend, says="does not let this user do that (NOPERM)")

    async def test_a_server_that_cannot_save(self, server, backend_on, tmp_path):
        eyes = server.client()
        eyes.config_set("save", "1 1")
        shutil.rmtree(server.folder)
        eyes.set("x", 1)
        eyes.bgsave()
        while eyes.info("persistence")["rdb_last_bgsave_status"] == "ok":
            time.sleep(0.01)
        os.mkdir(server.folder)
        backend = backend_on(server)
        with recorded() as texts:
            await backend.set("key", 1)
        assert len(texts) == 1
        assert "cannot save to its own disk (MISCONF)" in texts[0]


class Planted:
    ran = False

    def __reduce__(self):
        return setattr, (Planted, "ran", True)


class TestForeignBytes:
    @pytest.mark.parametrize(
        "planted",
        [
            b"",
            b"cascade1",
            b"\x80\x04.",
            pickle.dumps(Planted()),
            b"cascade1" + b"\xff" * 16,
            b"x" * 99,
        ],
    )
    async def test_they_are_nothing_and_are_never_executed(self, redis_here, backend_on, planted):
        backend = backend_on(redis_here)
        await backend.set("key", "x" * 100_000)
        eyes = redis_here.client()
        for name in eyes.keys("*"):
            eyes.set(name, planted)
        with recorded() as texts:
            assert await backend.get("key") is None
            assert await backend.read_record("value:key") is None
            assert [item async for item in backend.records()] == []
            assert await backend.size() == 0
            await backend.set("key", "y" * 100_000)
            assert await backend.get("key") == "y" * 100_000
        assert texts == []
        assert not Planted.ran

    async def test_keys_of_other_types_are_replaced(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        await backend.set("key", "x" * 3_000_000)
        eyes = redis_here.client()
        for name in eyes.keys("*"):
            eyes.delete(name)
            eyes.rpush(name, "a", "list")
        assert await backend.get("key") is None
        await backend.set("key", "x" * 3_000_000)
        assert await backend.get("key") == "x" * 3_000_000

    @pytest.mark.parametrize(
        "head", [b"99999999999999 3", b"3000024 9999999", b"-1 1", b"x", b"5 3"]
    )
    async def test_a_lying_head_is_nothing(self, redis_here, backend_on, head):
        backend = backend_on(redis_here)
        cid, data = content(LARGE)
        await backend.write_content(cid, [data])
        eyes = redis_here.client()
        eyes.hset(eyes.keys("*content*")[0], "head", head)
        assert await backend.read_content(cid) is None

    async def test_lying_chunks_are_nothing(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        cid, data = content(LARGE)
        eyes = redis_here.client()
        for chunk in (b"", data):
            await backend.write_content(cid, [data])
            eyes.hset(eyes.keys("*content*")[0], "1", chunk)
            assert await backend.read_content(cid) is None
        eyes.hdel(eyes.keys("*content*")[0], "1")
        assert not await backend.has_content(cid)
        assert await backend.read_content(cid) is None

    async def test_rows_of_a_newer_format_stay(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        await backend.write_record(KEY, b"envelope", None)
        eyes = redis_here.client()
        (name,) = eyes.keys("*")
        eyes.set(name, b"cascade2" + b"?" * 40)
        assert await backend.read_record(KEY) is None
        with pytest.raises(BackendError, match="a newer cascade-nb"):
            await backend.write_record(KEY, b"envelope", None)
        assert not await backend.delete_record(KEY)
        assert eyes.get(name).startswith(b"cascade2")


class TestKeeping:
    async def test_all_keys_begin_with_the_prefix_and_only_they_are_cleared(self, redis_here):
        eyes = redis_here.client()
        prefix = "we[ird]*?^\\:"
        backend = RedisCacheBackend(redis_here.client(), prefix=prefix)
        other = RedisCacheBackend(redis_here.asyncio_client(), prefix="we[ird]*?")
        eyes.set("weird", "somebody else's")
        await backend.set("key", "x" * 100_000)
        await other.set("key", "x" * 50_000)
        lock = await backend.try_lock(KEY)
        names = eyes.keys("*")
        assert all(name.startswith((prefix.encode(), b"we[ird]*?", b"weird")) for name in names)
        assert [key async for key, _ in backend.records()] == ["value:key"]
        assert await backend.clear() == 1
        assert await other.get("key") == "x" * 50_000
        assert eyes.get("weird") == b"somebody else's"
        assert await backend.try_lock(KEY) is None
        lock.release()

    async def test_contents_end_with_the_records_that_need_them(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        eyes = redis_here.client()
        cid, data = content(MIDDLE)
        await backend.write_content(cid, [data])
        (name,) = eyes.keys("*content*")
        assert 0 < eyes.ttl(name) <= 24 * 3600
        await backend.write_record("week", b"1", 7 * 24 * 3600.0, contents=(cid,))
        for kept in eyes.keys("*content*") + eyes.keys("*needed*"):
            assert eyes.ttl(kept) == -1 or eyes.ttl(kept) > 7 * 24 * 3600
        assert eyes.ttl(name) > 7 * 24 * 3600
        await backend.write_record("ever", b"2", None, contents=(cid,))
        assert eyes.ttl(name) == -1
        await backend.write_content(cid, [data])
        await backend.write_record("minute", b"3", 60.0, contents=(cid,))
        assert eyes.ttl(name) == -1
        await backend.delete_record("ever")
        await backend.delete_record("minute")
        assert await backend.has_content(cid)
        await backend.delete_record("week")
        assert eyes.keys("*") == []

    async def test_expired_and_evicted_records_need_nothing(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        cid, data = content(MIDDLE)
        await backend.write_content(cid, [data])
        for number in range(40):
            await backend.write_record(f"gone {number}", b"1", None, contents=(cid,))
        await backend.write_record("last", b"2", None, contents=(cid,))
        eyes = redis_here.client()
        for name in eyes.keys("*record:gone*"):
            eyes.delete(name)
        await backend.delete_record("last")
        assert eyes.keys("*") == []

    async def test_pieces_of_all_sizes_are_put_together_in_order(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        cid, data = content(8_000_000)
        chance, pieces, position = random.Random(1), [], 0
        while position < len(data):
            size = chance.choice([0, 1, 10, 100_000, 524_288, 600_000, 1 << 20, 2_500_000])
            pieces.append(memoryview(data)[position : position + size])
            position += size
        await backend.write_content(cid, pieces)
        assert await backend.read_content(cid) == data

    async def test_a_ttl_of_any_size_is_kept(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        await backend.write_record("tiny", b"1", 1e-9)
        await backend.write_record("huge", b"2", 1e300)
        assert await backend.read_record("huge") == b"2"

    async def test_a_small_result_comes_in_one_trip(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        cid, data = content(SMALL)
        await backend.write_content(cid, [data])
        await backend.write_record(KEY, b"1", None, contents=(cid,))
        other = backend_on(redis_here)
        eyes = redis_here.client()
        eyes.config_resetstat()
        assert await other.read_record(KEY) == b"1"
        assert await other.read_content(cid) == data
        reads = {"cmdstat_get", "cmdstat_hmget"}
        assert reads & eyes.info("commandstats").keys() == {"cmdstat_get"}
        assert await other.read_content(cid) == data
        assert eyes.info("commandstats")["cmdstat_hmget"]["calls"] == 1


class TestClients:
    async def test_the_users_client_is_not_touched(self, redis_here):
        client = redis_here.client(decode_responses=True, socket_timeout=77, client_name="mine")
        before = dict(client.connection_pool.connection_kwargs)
        backend = RedisCacheBackend(client)
        await backend.set("key", b"\xff")
        assert await backend.get("key") == b"\xff"
        assert client.connection_pool.connection_kwargs == before
        assert (
            client.connection_pool._created_connections == 0
            if hasattr(client.connection_pool, "_created_connections")
            else True
        )
        client.set("text", "é")
        assert client.get("text") == "é"

    async def test_the_database_is_the_clients(self, redis_here):
        await RedisCacheBackend(redis_here.client(db=3)).set("key", 1)
        assert redis_here.client(db=3).dbsize() == 1
        assert redis_here.client().dbsize() == 0

    async def test_unix_sockets(self, tmp_path):
        path = tmp_path / "socket"
        with redis_server("--unixsocket", str(path)):
            for client in (
                redis.Redis(unix_socket_path=str(path)),
                redis.asyncio.Redis(unix_socket_path=str(path)),
            ):
                backend = RedisCacheBackend(client)
                await backend.set("key", 1)
                assert await backend.get("key") == 1
                assert backend.server == f"unix://{path}?db=0"
            assert await open_redis(f"unix://{path}?db=0").get("key") == 1

    @pytest.mark.parametrize(
        "kind", [redis.cluster.RedisCluster, redis.asyncio.cluster.RedisCluster]
    )
    async def test_clusters(self, kind):
        with redis_server("--cluster-enabled", "yes") as server:
            eyes = server.client()
            eyes.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            while b"cluster_state:ok" not in eyes.execute_command("CLUSTER", "INFO"):
                time.sleep(0.01)
            client = kind(host="127.0.0.1", port=server.port, decode_responses=True)
            backend = RedisCacheBackend(client)
            for value in ("x" * 3_000_000, [1, 2], "x" * 20_000):
                await backend.set("key", value)
                assert await backend.get("key") == value
            lock = await backend.try_lock(KEY)
            assert lock is not None
            assert await backend.try_lock(KEY) is None
            lock.release()
            assert len([item async for item in backend.records()]) == 1
            cid, data = content(MIDDLE)
            await backend.write_content(cid, [data])
            await backend.write_record("one", b"1", None, contents=(cid,))
            assert await backend.delete_record("one")
            assert not await backend.has_content(cid)
            assert await backend.clear() == 1
            assert eyes.keys("*content*") == []
            assert f":{server.port}/" in backend.server
            closing = client.close() if kind is redis.cluster.RedisCluster else client.aclose()
            if closing is not None:
                await closing

    @pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
    async def test_clients_that_cannot_be_copied_are_called_as_they_are(self, redis_here, kind):
        class Odd(redis.Connection if kind is redis.Redis else redis.asyncio.Connection):
            pass

        module = redis if kind is redis.Redis else redis.asyncio
        pool = module.ConnectionPool(connection_class=Odd, port=redis_here.port)
        client = kind(connection_pool=pool)
        backend = RedisCacheBackend(client)
        await backend.set("key", "x" * 3_000_000)
        assert await backend.get("key") == "x" * 3_000_000
        assert len([item async for item in backend.records()]) == 1
        lock = await backend.try_lock(KEY)
        assert await backend.try_lock(KEY) is None
        lock.release()
        deadline = time.monotonic() + 5
        while (again := await backend.try_lock(KEY)) is None and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        assert again is not None
        again.release()
        await asyncio.to_thread(again.freed.wait, 5)
        closing = pool.disconnect()
        if closing is not None:
            await closing

    @pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
    async def test_one_that_is_called_as_it_is_and_falls_silent_is_given_up(self, server, kind):
        class Odd(redis.Connection if kind is redis.Redis else redis.asyncio.Connection):
            pass

        module = redis if kind is redis.Redis else redis.asyncio
        pool = module.ConnectionPool(connection_class=Odd, port=server.port, socket_timeout=None)
        backend = RedisCacheBackend(kind(connection_pool=pool))
        await backend.set("key", 1)
        assert await backend.get("key") == 1
        server.signal(signal.SIGSTOP)
        await assert_answers_without(backend, says="does not answer")
        server.signal(signal.SIGCONT)
        backend._link._breaker._retry_at = 0.0
        assert await backend.get("key") is None
        await asyncio.to_thread(backend._link._breaker._retry.join, 5)
        assert await backend.get("key") == 1
        closing = pool.disconnect()
        if closing is not None:
            await closing

    def test_one_that_decodes_and_cannot_be_copied_is_refused(self):
        class Odd(redis.Connection):
            pass

        pool = redis.ConnectionPool(connection_class=Odd, decode_responses=True)
        with pytest.raises(ConfigurationError, match="without decode_responses"):
            RedisCacheBackend(redis.Redis(connection_pool=pool))

    @pytest.mark.parametrize("wrong", [None, f"redis://:{SECRET}@host", {}, 3])
    def test_what_is_no_client_is_refused_and_not_shown(self, wrong):
        with pytest.raises(ConfigurationError, match="takes a client") as caught:
            RedisCacheBackend(wrong)
        assert SECRET not in str(caught.value)

    def test_a_missing_package_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "redis", None)
        with pytest.raises(ConfigurationError, match=r"pip install 'cascade-nb\[redis\]'"):
            open_redis("redis://localhost")

    @pytest.mark.parametrize("name", programs())
    async def test_each_kind_of_server_will_do(self, name, backend_on):
        with redis_server(path=programs()[name]) as server:
            backend = backend_on(server)
            for value in (1, "x" * 3_000_000):
                await backend.set("key", value)
                assert await backend.get("key") == value
            lock = await backend.try_lock(KEY)
            assert await backend.try_lock(KEY) is None
            lock.release()
            assert await backend.try_lock(KEY) is not None
            assert await backend.clear() == 1


class TestUrls:
    async def test_a_url_names_server_database_and_prefix(self, redis_here):
        backend = open_redis(f"redis://127.0.0.1:{redis_here.port}/2?prefix=ours:")
        await backend.set("key", 1)
        assert redis_here.client(db=2).keys("*") == [b"ours:record:value:key"]
        assert repr(backend) == f"RedisCacheBackend('redis://127.0.0.1:{redis_here.port}/2')"

    def test_credentials_are_not_shown(self):
        backend = open_redis(f"rediss://ann:{SECRET}@host.example:1234/5?ssl_cert_reqs=none")
        assert repr(backend) == "RedisCacheBackend('rediss://host.example:1234/5')"
        assert open_redis(f"redis://:{SECRET}@[::1]").server == "redis://[::1]:6379/0"

    @pytest.mark.parametrize(
        "url",
        [
            f"redis://ann:{SECRET}@host:port/0",
            f"redis://ann:{SECRET}@host:99999/0",
            f"redis://ann:{SECRET}@host/zero",
            f"redis://ann:{SECRET}@host/0?size=1GB",
            f"redis://ann:{SECRET}@host/0?db=x",
            f"redis://ann:{SECRET}@host/0?password={SECRET}",
            f"redis://ann:{SECRET}@host/0?protocol=x",
            f"redis://ann:{SECRET}@[::1/0",
            f"http://ann:{SECRET}@host/0",
        ],
    )
    def test_a_wrong_one_is_one_line_without_credentials(self, url):
        with pytest.raises(ConfigurationError) as caught:
            open_redis(url)
        assert SECRET not in str(caught.value)
        assert "\n" not in str(caught.value)


class TestSeveralProcesses:
    def test_a_computation_runs_once(self, redis_here):
        leader = start("compute", redis_here, 1)
        assert leader.stdout.readline() == "running\n"
        others = [start("compute", redis_here, 1) for _ in range(2)]
        assert [other.communicate(timeout=30)[0] for other in others] == ["result 42\n"] * 2
        assert leader.communicate()[0] == "result 42\n"

    def test_a_killed_leader_of_another_machine_is_followed_within_five_seconds(
        self, redis_here, tmp_path, monkeypatch
    ):
        leader = start("compute", redis_here, 60)
        monkeypatch.setenv("TMPDIR", str(tmp_path))  # where processes of one machine meet
        assert leader.stdout.readline() == "running\n"
        waiter = start("compute", redis_here, 0)
        eyes = redis_here.client()
        (name,) = eyes.keys("*lock*")
        time.sleep(1.5)  # past the first renewal
        assert eyes.pttl(name) > 2000
        leader.kill()
        died = time.monotonic()
        assert waiter.stdout.readline() == "running\n"
        assert time.monotonic() - died < 5
        assert waiter.communicate(timeout=30)[0] == "result 42\n"
        leader.communicate()

    def test_a_killed_leader_of_this_machine_is_followed_at_once(self, redis_here):
        leader = start("compute", redis_here, 60)
        assert leader.stdout.readline() == "running\n"
        waiter = start("compute", redis_here, 0)
        eyes = redis_here.client()
        (name,) = eyes.keys("*lock*")
        leader.kill()
        leader.communicate()
        eyes.persist(name)  # It would never end by itself.
        assert waiter.communicate(timeout=30)[0] == "running\nresult 42\n"

    def test_a_holder_that_stood_still_notices_that_its_lock_is_gone(self, redis_here):
        holder = start("hold", redis_here, KEY)
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        backend = RedisCacheBackend(redis_here.client())
        deadline = time.monotonic() + 10
        while (lock := run_sync(backend.try_lock(KEY))) is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert lock is not None
        holder.send_signal(signal.SIGCONT)
        assert holder.communicate(timeout=10)[0] == "lost\n"
        assert run_sync(backend.try_lock(KEY)) is None, "it freed what was another's"
        assert not lock.is_lost
        lock.release()

    def test_a_lock_is_free_when_its_holder_ends(self, redis_here):
        code = (
            "import redis, sys; from cascade_nb.loop import run_sync\n"
            "from cascade_nb.backends.redis import RedisCacheBackend\n"
            "backend = RedisCacheBackend(redis.Redis.from_url(sys.argv[1]))\n"
            "run_sync(backend.try_lock('x')).release()\n"
        )
        subprocess.run([sys.executable, "-c", code, redis_here.url], check=True)
        assert redis_here.client().keys("*lock*") == []

    def test_a_forked_child_and_its_parent_go_on(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        run_sync(backend.set("key", 1))
        lock = run_sync(backend.try_lock(KEY))

        def work() -> None:
            lock.release()
            assert run_sync(backend.get("key")) == 1
            assert run_sync(backend.try_lock(KEY)) is None
            other = run_sync(backend.try_lock("other"))
            other.release()
            assert other.freed.wait(5)
            run_sync(backend.set("child", 2))

        assert in_fork(work) == 0
        assert run_sync(backend.get("child")) == 2
        assert run_sync(backend.get("key")) == 1
        lock.release()

    def test_forks_while_threads_are_at_work(self, redis_here, backend_on):
        backend = backend_on(redis_here)
        run_sync(backend.set("key", 1))
        stop = threading.Event()
        failures: list[BaseException] = []

        def busy() -> None:
            try:
                while not stop.is_set():
                    run_sync(backend.set("key", 1))
                    lock = run_sync(backend.try_lock(KEY))
                    if lock is not None:
                        lock.release()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(5):

                def work(name: str = f"child {number}") -> None:
                    run_sync(backend.set(name, name))
                    assert run_sync(backend.get(name)) == name

                assert in_fork(work) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == []
