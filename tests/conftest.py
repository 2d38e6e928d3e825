"""Every test has a home of its own: no secret, store or setting of the user's is touched."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cascade_nb import errors
from tests.recalled import check_recalled_keys


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, empty and the test's own; subprocesses and kernels inherit it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / ".local" / "share"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(home / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    for name in ("STORE", "IPFS_TOKEN", "SIGNING_KEY", "TEAM_STORE"):
        monkeypatch.delenv(f"CASCADE_{name}", raising=False)
    return home


@pytest.fixture(autouse=True)
def fresh_session(own_home: Path) -> Iterator[None]:
    """No engine, setting or "warned once" of an earlier test."""
    errors.forget_warnings()
    _reset_config()
    yield
    _reset_config()


@pytest.fixture(autouse=True)
def recalled_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of a key is what a walk would find."""
    check_recalled_keys(monkeypatch)


def _reset_config() -> None:
    # Where it was never imported, there is nothing to reset, and much not to import.
    config = sys.modules.get("cascade_nb.config")
    if config is not None:
        config.reset()
    # Another test's dead server may have had the port that this one's live server has.
    http = sys.modules.get("cascade_nb.backends.http")
    if http is not None:
        http._breakers.clear()
    redis_link = sys.modules.get("cascade_nb.backends.redis_link")
    if redis_link is not None:
        redis_link._links.clear()
