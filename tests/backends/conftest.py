from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.plain import as_store


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


@pytest.fixture(params=["memory", "disk"])
def backend(request: pytest.FixtureRequest) -> Any:
    """Each backend of ours; it has both faces and all optional protocols."""
    if request.param == "memory":
        return InMemoryCacheBackend()
    return request.getfixturevalue("disk")


@pytest.fixture(params=["memory", "disk", "plain"])
def store(request: pytest.FixtureRequest) -> Any:
    """Each inner face."""
    if request.param == "memory":
        return InMemoryCacheBackend()
    if request.param == "plain":
        return as_store(DictBackend())
    return request.getfixturevalue("disk")
