from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.plain import as_store
from cascade_nb.backends.redis import RedisCacheBackend
from cascade_nb.backends.tiered import TieredCacheBackend
from cascade_nb.loop import run_sync
from tests.servers.kubo import KuboNode, kubo_node
from tests.servers.redis import RedisServer, redis_server


class DictBackend:
    """What somebody else's smallest backend looks like."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    async def get(self, key: str) -> Any | None:
        return self.kept.get(key)

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        self.kept[key] = value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def disk(folder: Path) -> Iterator[DiskCacheBackend]:
    backend = DiskCacheBackend(folder)
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def session_redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis_here(session_redis: RedisServer) -> RedisServer:
    """A Redis server, empty."""
    with session_redis.client() as client:
        client.flushall()
    return session_redis


@pytest.fixture(params=["plain", "asyncio"])
def backend_on(request):
    """Makes a backend of either client for a server."""

    def make(server: RedisServer, **options: object) -> RedisCacheBackend:
        plain = request.param == "plain"
        client = server.client(**options) if plain else server.asyncio_client(**options)
        return RedisCacheBackend(client)

    return make


@pytest.fixture
def redis_store(redis_here: RedisServer) -> RedisCacheBackend:
    return RedisCacheBackend(redis_here.client(decode_responses=True))


@pytest.fixture
def redis_asyncio_store(redis_here: RedisServer) -> RedisCacheBackend:
    return RedisCacheBackend(redis_here.asyncio_client())


@pytest.fixture(scope="session")
def session_kubo() -> Iterator[KuboNode]:
    with kubo_node() as node:
        yield node


@pytest.fixture
def kubo(session_kubo: KuboNode) -> KuboNode:
    """An IPFS node that is offline, and empty."""
    session_kubo.clean()
    return session_kubo


@pytest.fixture
def ipfs_over_memory(kubo: KuboNode) -> IpfsCacheBackend:
    return IpfsCacheBackend(InMemoryCacheBackend(), kubo.url)


@pytest.fixture
def ipfs_over_disk(kubo: KuboNode, disk: DiskCacheBackend) -> IpfsCacheBackend:
    return IpfsCacheBackend(disk, kubo.url)


@pytest.fixture
def ipfs_over_plain(kubo: KuboNode) -> IpfsCacheBackend:
    return IpfsCacheBackend(DictBackend(), kubo.url)


@pytest.fixture
def ipfs_over_redis(kubo: KuboNode, redis_store: RedisCacheBackend) -> IpfsCacheBackend:
    return IpfsCacheBackend(redis_store, kubo.url)


@pytest.fixture
def tiers(disk: DiskCacheBackend) -> TieredCacheBackend:
    return TieredCacheBackend(InMemoryCacheBackend(), disk)


@pytest.fixture
def tiers_to_redis(
    disk: DiskCacheBackend, redis_store: RedisCacheBackend
) -> Iterator[TieredCacheBackend]:
    tiers = TieredCacheBackend(disk, redis_store)
    yield tiers
    run_sync(tiers.flush())  # the server is the next test's


@pytest.fixture
def tiers_to_ipfs(disk: DiskCacheBackend, kubo: KuboNode) -> Iterator[TieredCacheBackend]:
    tiers = TieredCacheBackend(disk, IpfsCacheBackend(disk, kubo.url))
    yield tiers
    run_sync(tiers.flush())


OURS = [
    "memory",
    "disk",
    "tiers",
    "tiers_to_redis",
    "tiers_to_ipfs",
    "redis_store",
    "redis_asyncio_store",
    "ipfs_over_memory",
    "ipfs_over_disk",
]


@pytest.fixture(params=OURS)
def backend(request: pytest.FixtureRequest) -> Any:
    """Each backend of ours; it has both faces and the optional protocols."""
    if request.param == "memory":
        return InMemoryCacheBackend()
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[*OURS, "plain", "ipfs_over_plain", "ipfs_over_redis"])
def store(request: pytest.FixtureRequest) -> Any:
    """Each inner face."""
    if request.param == "memory":
        return InMemoryCacheBackend()
    if request.param == "plain":
        return as_store(DictBackend())
    return request.getfixturevalue(request.param)
