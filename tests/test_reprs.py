"""What `configure(...)` shows as the last line of a cell: one line, the same each time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cascade_nb import configure
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.execution import Engine
from cascade_nb.executors.local import LocalExecutor
from cascade_nb.policies.file_existence import FileExistenceCache
from cascade_nb.policies.ipfs import IpfsCachePolicy
from cascade_nb.policies.none import NoCache


@dataclass
class Guest:
    """A backend of somebody else's, whose repr tells too much."""

    password: str = "s3cret"

    async def get(self, key: str) -> Any:
        return None

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        pass


def test_the_default() -> None:
    assert repr(configure()) == (
        "Engine(policy=ContentCachePolicy(DiskCacheBackend('~/.cache/cascade-nb')), "
        "executor=LocalExecutor())"
    )


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("memory://", "InMemoryCacheBackend()"),
        (Guest(), "Guest(...)"),
        (
            ["memory://", "disk:///srv/common"],
            "TieredCacheBackend(InMemoryCacheBackend(), DiskCacheBackend('/srv/common'))",
        ),
        ("redis://u:s3cret@host/1", "RedisCacheBackend('redis://host:6379/1')"),
        (
            "ipfs://u:s3cret@host?metadata=memory://",
            "IpfsCacheBackend(InMemoryCacheBackend(), 'http://host:5001')",
        ),
    ],
    ids=["memory", "guest", "tiers", "redis", "ipfs"],
)
def test_the_store(store: Any, shown: str) -> None:
    assert repr(configure(store=store)) == (
        f"Engine(policy=ContentCachePolicy({shown}), executor=LocalExecutor())"
    )


def test_other_parts(tmp_path: Path) -> None:
    engine = Engine(
        executor=LocalExecutor(threads=4), policy=FileExistenceCache("~/model.bin"), enabled=False
    )
    assert repr(engine) == (
        "Engine(policy=FileExistenceCache('~/model.bin'), executor=LocalExecutor(threads=4), "
        "enabled=False)"
    )
    assert repr(FileExistenceCache(lambda inputs: "x")) == "FileExistenceCache(...)"
    assert repr(NoCache("for a test")) == "NoCache()"
    node = IpfsCacheBackend(InMemoryCacheBackend())
    policy = IpfsCachePolicy(DiskCacheBackend(Path.home() / "near"), node)
    assert repr(policy) == f"IpfsCachePolicy(DiskCacheBackend('~/near'), {node!r})"
