"""The session's engine: what `configure` changes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cascade_nb import (
    CacheWarning,
    ConfigurationError,
    ContentCachePolicy,
    InMemoryCacheBackend,
    LocalExecutor,
    MessageBus,
    NoCache,
    Report,
    Status,
    cached,
    configure,
    engine,
)


def statuses() -> list[Status]:
    seen: list[Status] = []
    engine().bus.subscribe(Report, lambda report: seen.append(report.status))
    return seen


def test_a_later_call_changes_only_what_it_names(tmp_path: Path) -> None:
    bus, executor = MessageBus(), LocalExecutor(threads=1)
    made = configure(store="memory://", bus=bus, executor=executor)
    seen = statuses()

    @cached
    def double(x: int) -> int:
        return 2 * x

    assert (made.bus, made.executor, engine()) == (bus, executor, made)
    double(1)
    assert configure(executor=LocalExecutor()).bus is bus
    double(1)
    configure(store=tmp_path / "store")
    double(1)
    configure(enabled=False)
    double(1)
    configure(enabled=True)
    double(1)
    assert seen == [Status.MISS, Status.HIT, Status.MISS, Status.OFF, Status.HIT]


def test_of_store_and_policy_the_one_named_later_counts(tmp_path: Path) -> None:
    never, memory = NoCache(), InMemoryCacheBackend()
    assert configure(store=memory, policy=None).policy.store is memory
    assert configure(policy=never).policy is never
    assert configure(executor=LocalExecutor()).policy is never
    assert configure(store=tmp_path).policy.store.path == str(tmp_path)
    assert configure(policy=never).policy is never
    assert configure(policy=None).policy.store.path == str(tmp_path)
    assert configure(policy=never).policy is never
    assert isinstance(configure(store=None).policy, ContentCachePolicy)


def test_of_store_and_policy_one_is_named_in_one_call() -> None:
    before = configure(store="memory://")
    for store in ("memory://", InMemoryCacheBackend()):
        for policy in (NoCache(), ContentCachePolicy(InMemoryCacheBackend())):
            with pytest.raises(ConfigurationError, match="a policy keeps its own store"):
                configure(store=store, policy=policy)
    assert engine() is before
    backend = InMemoryCacheBackend()
    policy = ContentCachePolicy(backend)
    assert configure(store=backend, policy=policy).policy is policy


@pytest.mark.parametrize(
    ("setting", "culprit"),
    [
        ({"store": "ftp://host"}, "'ftp'"),
        ({"store": "disk://~"}, "names no folder"),
        ({"store": "disk:/folder"}, "disk://"),
        ({"store": "disk:///folder?siz=3"}, "'siz'"),
        ({"store": "disk:///folder?size=much"}, "'much'"),
        ({"store": "disk:///folder?size=1MB&size=2MB"}, "option 'size' more than once"),
        ({"store": "disk://host/folder"}, "no host"),
        ({"store": "memory://name"}, "no name"),
        ({"store": ""}, "needs a name"),
        ({"store": "~nobody-of-this-name/store"}, "no home folder"),
        ({"store": 5}, "not an int"),
        ({"store": []}, "at least one store"),
        ({"store": ["memory://", "ftp://host"]}, "'ftp'"),
        ({"store": "memory:// ftp://host"}, "'ftp'"),
        ({"store": "ipfs://"}, "names no node"),
        ({"store": "ipfs://host:port"}, "not 'port'"),
        ({"store": "ipfs://host?metadata=ipfs://other"}, "cannot lie in IPFS"),
        ({"store": "ipfs://host?token=secret"}, "CASCADE_IPFS_TOKEN"),
        ({"store": "ipfs://host?size=1GB"}, "'size'"),
        ({"gateways": ["gateway.example"]}, "'gateway.example'"),
        ({"gateways": ["ftp://user:secret@host"]}, "not that"),
        ({"signing_key": "/no/such/key"}, "/no/such/key"),
        ({"sture": "memory://"}, "'sture'"),
        ({"executor": 5}, "executor"),
        ({"policy": object()}, "object"),
        ({"bus": "bus"}, "MessageBus"),
        ({"state": 5}, "state"),
        ({"enabled": "no"}, "'no'"),
    ],
)
def test_a_bad_setting_is_one_line_and_changes_nothing(
    setting: dict[str, Any], culprit: str
) -> None:
    before = engine()
    with pytest.raises(ConfigurationError) as caught:
        configure(**setting)
    assert culprit in str(caught.value)
    assert "\n" not in str(caught.value)
    assert engine() is before


@pytest.mark.parametrize(
    "url",
    [
        "disk://me:sesame@host/folder",
        "disk:///folder?token=sesame",
        "memory://me:sesame@host",
        "redi://me:sesame@host",
        "redis:/me:sesame@host",
    ],
)
def test_a_bad_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configure(store=url)
    assert "sesame" not in str(caught.value)


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_STORE", str(tmp_path / "named"))
    monkeypatch.chdir(tmp_path)

    @cached
    def one() -> int:
        return 1

    assert one() == 1
    assert [path.name for path in tmp_path.iterdir()] == ["named"]


def test_without_a_home_the_answer_comes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(path: Path) -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "expanduser", homeless)

    @cached
    def one() -> int:
        return 1

    with pytest.warns(CacheWarning, match="no home folder"):
        assert one() == 1


def test_a_bad_store_in_the_environment_costs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_STORE", "ftp://host/store")

    @cached
    def one() -> int:
        return 1

    with pytest.warns(CacheWarning, match="CASCADE_STORE is wrong: store scheme 'ftp'"):
        assert one() == 1
    seen = statuses()
    assert one() == 1
    configure(store=InMemoryCacheBackend())
    assert one() == 1
    assert seen == [Status.BYPASS, Status.MISS]


@pytest.mark.parametrize("store", ["disk://", ["disk://", "memory://"]], ids=["alone", "in a list"])
def test_the_default_store_has_a_name(store: Any, own_home: Path) -> None:
    configure(store=store)
    assert cached(lambda: 1)() == 1
    assert (own_home / ".cache" / "cascade-nb").is_dir()


def test_the_environment_may_name_the_default_store_too(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CASCADE_STORE", "memory:// disk://?size=1GB")
    _, disk = engine().policy.store.tiers  # type: ignore[union-attr]
    assert disk.path == str(own_home / ".cache" / "cascade-nb")
    assert disk.limit == 10**9


def test_a_store_at_home_follows_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    homes = [tmp_path / "first", tmp_path / "second"]
    paths = []
    for home in homes:
        monkeypatch.setenv("HOME", str(home))
        paths.append(configure(store="~/results").policy.store.path)  # type: ignore[union-attr]
    assert paths == [str(home / "results") for home in homes]
    kept = configure(store="memory://").policy.store  # type: ignore[union-attr]
    monkeypatch.setenv("HOME", str(homes[0]))
    assert configure(enabled=True).policy.store is kept  # type: ignore[union-attr]
