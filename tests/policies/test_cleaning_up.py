"""What is removed after a result was stored must not undo that it was stored."""

from __future__ import annotations

from pathlib import Path

from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.redis import RedisCacheBackend
from cascade_nb.backends.tiered import TieredCacheBackend
from cascade_nb.decorator import cached
from cascade_nb.errors import BackendError
from cascade_nb.execution import Engine
from cascade_nb.policies.content import ContentCachePolicy
from cascade_nb.protocols import CacheBackend
from cascade_nb.tasks import Report, Status
from tests.backends.contents import recorded
from tests.servers.redis import redis_server


class KeepsForGood(InMemoryCacheBackend):
    """Stores, and fails to remove."""

    async def delete_record(self, key: str) -> bool:
        raise BackendError("nothing can be removed", server="disk")


def statuses(backend: CacheBackend) -> list[Status]:
    """Of two runs of one function over `backend`."""
    engine = Engine(policy=ContentCachePolicy(backend))
    seen: list[Status] = []
    engine.bus.subscribe(Report, lambda report: seen.append(report.status))

    @cached(engine=engine)
    def make() -> bytes:
        return b"x" * 200_000

    assert make() == make()
    return seen


def test_a_store_that_cannot_remove_still_stores() -> None:
    with recorded() as texts:
        assert statuses(KeepsForGood()) == [Status.MISS, Status.HIT]
    assert texts == []


def test_a_dead_server_behind_a_disk_makes_no_bypass(tmp_path: Path) -> None:
    with redis_server() as server:
        client = server.client()
    store = TieredCacheBackend(DiskCacheBackend(tmp_path), RedisCacheBackend(client))
    with recorded() as texts:
        assert statuses(store) == [Status.MISS, Status.HIT]
    assert len(texts) == 1
    assert "passed over" in texts[0]
