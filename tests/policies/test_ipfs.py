"""Small contents near, large ones on a real node, and records that say where."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import cascade_nb
from cascade_nb import ConfigurationError, IpfsCacheBackend, IpfsCachePolicy
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.provenance import unseal
from cascade_nb.records import Record
from tests.backends.contents import content, recorded
from tests.servers.kubo import KuboNode, kubo_node

LIMIT = 10_000


@pytest.fixture(scope="module")
def shared_node() -> Iterator[KuboNode]:
    with kubo_node() as node:
        yield node


@pytest.fixture
def node(shared_node: KuboNode) -> KuboNode:
    shared_node.clean()
    return shared_node


@pytest.fixture
def near() -> InMemoryCacheBackend:
    return InMemoryCacheBackend()


@pytest.fixture
def policy(near: InMemoryCacheBackend, node: KuboNode) -> IpfsCachePolicy:
    far = IpfsCacheBackend(InMemoryCacheBackend(), node.url)
    return IpfsCachePolicy(near, far, min_bytes=LIMIT)


@pytest.fixture
def repeated(policy: IpfsCachePolicy) -> Any:
    cascade_nb.configure(policy=policy)

    @cascade_nb.cached
    def repeated(letter: str, times: int) -> str:
        return letter * times

    return repeated


async def records_of(store: Any) -> list[Record]:
    return [Record.from_bytes(unseal(envelope)) async for _, envelope in store.records()]


def pinned(node: KuboNode) -> set[str]:
    return {cid for cid, name in node.pins().items() if name.startswith("cascade-nb")}


async def test_small_results_stay_near(repeated, near, node):
    assert [repeated("a", 10), repeated("a", 10)] == ["a" * 10] * 2
    assert repeated.stats.hits == 1
    assert not pinned(node)
    (record,) = await records_of(near)
    assert "content" not in record.environment
    assert await near.has_content(record.result)


async def test_large_results_go_to_the_node_and_the_record_says_so(repeated, near, node):
    assert [repeated("a", LIMIT), repeated("a", LIMIT)] == ["a" * LIMIT] * 2
    assert repeated.stats.hits == 1
    (record,) = await records_of(near)
    assert record.environment["content"] == "ipfs"
    assert pinned(node) == {record.result}
    assert not await near.has_content(record.result)
    assert await near.size() < LIMIT


async def test_with_a_limit_of_nothing_all_goes_to_the_node(near, node):
    far = IpfsCacheBackend(InMemoryCacheBackend(), node.url)
    cascade_nb.configure(policy=IpfsCachePolicy(near, far, min_bytes=0))

    @cascade_nb.cached
    def number() -> int:
        return 1

    assert number() == number() == 1
    (record,) = await records_of(near)
    assert record.environment["content"] == "ipfs"
    assert record.result in pinned(node)
    assert not await near.has_content(record.result)
    assert number.stats.hits == 1


async def test_the_other_side_of_the_metadata_has_all_of_it(policy, node):
    (small, a), (large, b) = content(10), content(LIMIT)
    for cid, data in ((small, a), (large, b)):
        await policy.store.write_content(cid, [data])
    assert pinned(node) == {large}
    await policy.store.write_record("key", b"envelope", None, contents=[small, large])
    assert pinned(node) == {small, large}
    metadata = policy.store.tiers[1].metadata
    colleague = IpfsCachePolicy(InMemoryCacheBackend(), IpfsCacheBackend(metadata, node.url)).store
    assert await colleague.read_record("key") == b"envelope"
    assert [await colleague.read_content(cid) for cid in (small, large)] == [a, b]
    assert await colleague.tiers[0].read_record("key") == b"envelope", "it came near"


async def test_forgetting_unpins(repeated, near, node):
    repeated("a", LIMIT)
    assert pinned(node)
    assert await repeated.forget("a", LIMIT)
    assert not pinned(node)
    assert await records_of(near) == []
    repeated("a", LIMIT)
    assert repeated.stats.misses == 2


async def test_it_stays_useful_while_the_node_is_down(near, tmp_path):
    with kubo_node() as node:
        far = IpfsCacheBackend(DiskCacheBackend(tmp_path / "rows"), node.url)
        cascade_nb.configure(policy=IpfsCachePolicy(near, far, min_bytes="10kB"))

        @cascade_nb.cached
        def repeated(times: int) -> str:
            return "a" * times

        repeated(LIMIT)
        node.stop()
        with recorded() as texts:
            assert [repeated(10), repeated(10)] == ["a" * 10] * 2
            assert repeated(LIMIT) == "a" * LIMIT
            assert repeated(LIMIT + 1) == "a" * (LIMIT + 1)
        assert repeated.stats.hits == 1
        assert len(texts) == 1


def test_its_nodes_are_found_by_those_who_share(policy):
    from cascade_nb.backends.tiered import flat

    assert [type(part).__name__ for part in flat(policy.store)] == [
        "InMemoryCacheBackend",
        "IpfsCacheBackend",
    ]


@pytest.mark.parametrize("min_bytes", [-1, "much", None])
def test_a_limit_that_is_none_is_refused(min_bytes):
    near = InMemoryCacheBackend()
    with pytest.raises(ConfigurationError, match="min_bytes"):
        IpfsCachePolicy(near, near, min_bytes=min_bytes)
