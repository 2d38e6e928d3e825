"""What people give where something else was meant: one line that names it and the way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

import cascade_nb
from cascade_nb import (
    ConfigurationError,
    ContentCachePolicy,
    DiskCacheBackend,
    Engine,
    GatewayBackend,
    InMemoryCacheBackend,
    IpfsCacheBackend,
    LocalExecutor,
    MessageBus,
    NoCache,
    RedisCacheBackend,
    TieredCacheBackend,
    cached,
    configure,
    distrust,
    export,
    import_,
    trust,
)
from cascade_nb.arguments import called, why_no_address
from cascade_nb.wording import a


def number() -> int:
    return 1


def memory() -> InMemoryCacheBackend:
    return InMemoryCacheBackend()


CLASSES: dict[str, tuple[Callable[[], Any], str]] = {
    "engine policy": (lambda: Engine(policy=NoCache), "NoCache()"),  # type: ignore[arg-type]
    "engine executor": (lambda: Engine(executor=LocalExecutor), "LocalExecutor()"),  # type: ignore[arg-type]
    "engine bus": (lambda: Engine(bus=MessageBus), "MessageBus()"),  # type: ignore[arg-type]
    "content policy": (
        lambda: ContentCachePolicy(InMemoryCacheBackend),  # type: ignore[arg-type]
        "InMemoryCacheBackend()",
    ),
    "tier": (
        lambda: TieredCacheBackend(memory(), DiskCacheBackend),  # type: ignore[arg-type]
        "DiskCacheBackend(...)",
    ),
    "metadata": (
        lambda: IpfsCacheBackend(InMemoryCacheBackend),  # type: ignore[arg-type]
        "InMemoryCacheBackend()",
    ),
    "redis": (lambda: RedisCacheBackend(redis.Redis), "Redis()"),
    "session policy": (lambda: configure(policy=NoCache), "NoCache()"),
    "session store": (lambda: configure(store=DiskCacheBackend), "DiskCacheBackend(...)"),
    "session stores": (
        lambda: configure(store=["memory://", InMemoryCacheBackend]),
        "InMemoryCacheBackend()",
    ),
    "session executor": (lambda: configure(executor=LocalExecutor), "LocalExecutor()"),
    "function": (
        lambda: cached(policy=NoCache)(number),  # type: ignore[call-overload]
        "NoCache()",
    ),
}


@pytest.mark.parametrize("place", CLASSES)
def test_a_class_in_place_of_an_instance_is_refused(place: str) -> None:
    give, instance = CLASSES[place]
    with pytest.raises(ConfigurationError) as caught:
        give()
    assert str(caught.value).endswith(f" cannot be a class; give an instance: {instance}")


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "gateways": (lambda given: configure(gateways=given), "gateways are URLs like"),
    "signing_key": (lambda given: configure(signing_key=given), "signing_key is the path"),
    "store": (lambda given: configure(store=given), "a store is a URL, a path or an object"),
    "policy": (lambda given: configure(policy=given), "a policy needs the methods"),
    "trust": (trust, "a key is a line `ssh-ed25519 AAAA...` or the path"),
    "distrust": (distrust, "a key is a line `ssh-ed25519 AAAA...` or the path"),
    "import_": (lambda given: asyncio.run(import_(given)), "import_ reads the path of a CAR"),
    "export": (lambda given: asyncio.run(export([1], given)), "export writes to the path of a"),
    "Engine": (lambda given: Engine(policy=given), "a policy needs the methods"),
    "ContentCachePolicy": (ContentCachePolicy, "a backend needs the methods get and set"),
    "RedisCacheBackend": (RedisCacheBackend, "RedisCacheBackend takes a client"),
    "ignore": (lambda given: cached(ignore=given), "ignore is a list of names"),
    "reads": (lambda given: cached(reads=given), "reads takes paths and globs"),
}


@pytest.mark.parametrize("place", WRONG)
def test_a_number_is_refused_in_one_line(place: str) -> None:
    give, message = WRONG[place]
    with pytest.raises(ConfigurationError) as caught:
        give(3)
    assert message in str(caught.value)
    assert "an int" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["trust", "distrust", "import_", "export"])
def test_bytes_and_none_are_no_paths(place: str) -> None:
    give, message = WRONG[place]
    for given, name in ((None, "None"), (b"x", "a bytes")):
        with pytest.raises(ConfigurationError, match=f"not {name}$") as caught:
            give(given)
        assert message in str(caught.value)


def test_gateways_are_a_list() -> None:
    with pytest.raises(ConfigurationError, match="a list of at least one URL"):
        GatewayBackend(3)  # type: ignore[arg-type]
    for url in ("http://[::1", "http://h:99999", "http://ann:secret@h:99999"):
        with pytest.raises(ConfigurationError) as caught:
            configure(gateways=[url])
        assert "secret" not in str(caught.value)


def test_paths_may_be_pathlibs(tmp_path: Path) -> None:
    file = tmp_path / "result.car"
    keys = tmp_path / "keys"
    keys.write_text(cascade_nb.whoami())
    cid = asyncio.run(export([1], file))
    assert asyncio.run(import_(file)) == [cid]
    assert trust(keys)
    configure(store=tmp_path / "store")


def test_the_port_that_is_wrong_is_named() -> None:
    for url in ("redis://h:99999", "ipfs://h:99999/", "redis://[::1]:99999/0"):
        with pytest.raises(ConfigurationError, match="a number up to 65535, not '99999'"):
            configure(store=url)
    with pytest.raises(ConfigurationError, match=r"IPFS node .* 65535, not 'abc'"):
        IpfsCacheBackend(memory(), "http://h:abc")


@pytest.mark.parametrize("url", ["redis://u:123456/x@h", "redis://u:pw@h:99999", "x://[::1"])
def test_what_may_be_a_password_is_not_shown(url: str) -> None:
    assert why_no_address(url) == "its host or port cannot be read"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("disk:///x?size=1GB&size=2GB", "disk:///x has the option 'size' more than once"),
        ("redis://h/0?prefix=a&prefix=b", "redis://h/0 has the option 'prefix' more than once"),
        ("ipfs://h?metadata=a&metadata=b", "has the option 'metadata' more than once"),
    ],
)
def test_an_option_that_is_repeated_is_named(url: str, shown: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configure(store=url)
    assert shown in str(caught.value)


def test_nouns_have_their_articles() -> None:
    assert [a(noun) for noun in ("list", "int", "IPFS node", "UUID")] == [
        "a list",
        "an int",
        "an IPFS node",
        "a UUID",
    ]
    assert [called(value) for value in (None, 3, Engine, [])] == [
        "None",
        "an int",
        "the class Engine",
        "a list",
    ]
