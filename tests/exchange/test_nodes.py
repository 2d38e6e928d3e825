"""Two people with an IPFS node each, and one who has a gateway and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np
import pytest

from cascade_nb import (
    BackendError,
    CacheWarning,
    DiskCacheBackend,
    IpfsCacheBackend,
    IpfsCachePolicy,
    UntrustedError,
    cached,
    engine,
    import_,
    load,
    share,
    trust,
    whoami,
)
from cascade_nb.content.cid import raw_cid
from cascade_nb.errors import CascadeError
from tests.exchange.test_archives import cell_package, pairs_of, root_of, write
from tests.exchange.users import User, make_user
from tests.servers.kubo import KuboNode, connected_nodes, kubo_node
from tests.servers.redis import redis_server

LARGE = np.arange(700_000.0)


@cached
async def table(n):
    return {"n": n, "large": LARGE[:n]}


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[KuboNode, KuboNode]]:
    with connected_nodes() as both:
        yield both


@pytest.fixture(scope="module")
def alone() -> Iterator[KuboNode]:
    with kubo_node() as node:
        yield node


@pytest.fixture
def ann(tmp_path) -> User:
    return make_user(tmp_path, "ann")


@pytest.fixture
def bob(tmp_path) -> User:
    return make_user(tmp_path, "bob")


def stores(person: User, node: KuboNode) -> list[str]:
    return [str(person.store), node.url.replace("http", "ipfs")]


async def test_what_one_shares_the_other_loads_over_two_nodes(ann, bob, nodes):
    anns, bobs = nodes
    with ann.acting(store=stores(ann, anns)):
        cid = await share(table(700_000))
        key = whoami()
        (entry,) = [await table.peek(700_000)]
    assert entry.record_cid == cid
    assert "table" in anns.pins()[cid]
    with bob.acting(store=stores(bob, bobs)):
        loaded = await load(cid)
        assert loaded["n"] == 700_000
        assert np.array_equal(loaded["large"], LARGE)
        assert not engine().policy.store.tiers[0].remote
        trust(key)
        assert (await table.peek(700_000)).record_cid == cid
    with bob.acting():
        assert np.array_equal((await load(cid))["large"], LARGE), "it is here by now"
        assert np.array_equal((await load(entry.cid))["large"], LARGE)


async def test_a_node_that_is_the_only_store_keeps_what_another_had(ann, bob, nodes):
    anns, bobs = nodes
    with ann.acting(store=stores(ann, anns)):
        cid = await share(["only", "here"])
    with bob.acting(store=stores(bob, bobs)[1:]):
        assert await load(cid) == ["only", "here"]
        record = await engine().policy.store.read_record(f"record:{cid}")
        assert record is not None


async def test_code_comes_only_from_whom_is_trusted_with_it(ann, bob, nodes):
    anns, bobs = nodes
    with ann.acting(store=stores(ann, anns)):
        cid, key = await share([lambda x: x + 1]), whoami()
    with bob.acting(store=stores(bob, bobs)):
        with pytest.raises(UntrustedError, match="code=True"):
            await load(cid)
        trust(key, code=True)
        assert (await load(cid))[0](1) == 2


async def test_a_gateway_is_enough_to_load_from(ann, bob, alone):
    with ann.acting(store=stores(ann, alone)):
        cid = await share(table(600_000))
        entry = await table.peek(600_000)
    with bob.acting(gateways=[alone.gateway]):
        assert (await load(cid))["n"] == 600_000
    alone.ask("pin/rm", cid)
    with bob.acting():
        assert (await load(entry.cid))["n"] == 600_000
    with bob.acting(store="memory://", gateways=[alone.gateway]):
        assert (await load(entry.cid))["n"] == 600_000
        with pytest.raises(CascadeError, match=r"nobody has|gateway"):
            await load(raw_cid(b"nowhere"))


async def test_progress_is_told_in_both_directions(ann, bob, alone):
    sent, came = [], []
    with ann.acting(store=stores(ann, alone)):
        value = {"x": LARGE[:400_000] + 0.5}
        cid = await share(value, progress=lambda done, total: sent.append(done))
    with bob.acting(gateways=[alone.gateway]):
        await load(cid, progress=lambda done, total: came.append(done))
    assert sent == sorted(sent)
    assert max(came) >= 3_200_000


async def test_forgetting_unpins_what_was_shared(ann, alone):
    from cascade_nb import catalog

    with ann.acting(store=stores(ann, alone)):
        cid = await share([1, 2, "for a while"])
        assert cid in alone.pins()
        await catalog.forget(engine().policy.store, cid)
        assert cid not in alone.pins()


async def test_a_dead_node_is_an_error_of_share(ann):
    with kubo_node() as node, ann.acting(store=stores(ann, node)):
        node.stop()
        with (
            pytest.warns(CacheWarning, match=r"passed over|node"),
            pytest.raises(BackendError, match=re.escape(node.url)),
        ):
            await share(["a"])


async def test_other_programs_read_what_was_shared(ann, alone, tmp_path):
    with ann.acting(store=stores(ann, alone)):
        cid = await share(["read by others"])
        entry = json.loads(ann.cascade("show", cid, "--json"))[0]
    record = json.loads(alone.ask("dag/get", cid))
    assert record["result"] == {"/": entry["cid"]}
    assert alone.ask("cat", entry["cid"]).startswith(b"tree/1\n")
    exported = tmp_path / "by-kubo.car"
    exported.write_bytes(alone.ask("dag/export", cid))
    assert cid in ann.cascade("import", str(exported))


def test_the_verbs_between_two_nodes(ann, bob, nodes):
    anns, bobs = nodes
    theirs = ["--store", anns.url.replace("http", "ipfs")]
    mine = ["--store", bobs.url.replace("http", "ipfs")]
    source = f"""
        configure(store={theirs[1]!r})
        print(await share([1, 2, 3, "by verbs"]))
    """
    cid = ann.run(source)
    told = ann.cascade("share", cid, *theirs)
    assert told.splitlines()[2] == f"pinned on {anns.url}"
    assert bob.cascade("load", cid, *mine).endswith("[1, 2, 3, 'by verbs']")
    assert bob.cascade("gc", *mine).startswith("removed ")


async def test_a_common_redis_is_enough_too(ann, bob):
    with redis_server() as server:
        with ann.acting(store=[str(ann.store), server.url]):
            cid, key = await share(table(9)), whoami()
        with bob.acting(store=server.url):
            assert (await load(cid))["n"] == 9
            assert await table.peek(9) is None
            trust(key)
            assert (await table.peek(9)).record_cid == cid


async def test_a_policy_of_two_backends_shares_what_is_near_and_what_is_far(ann, bob, alone):
    def policy(person):
        far = IpfsCacheBackend(DiskCacheBackend(person.home / "names"), alone.url)
        return IpfsCachePolicy(DiskCacheBackend(person.store), far, min_bytes="1MB")

    with ann.acting(policy=policy(ann)):
        small, large = await share(table(3)), await share(table(500_000))
        assert {small, large} <= set(alone.pins())
    with bob.acting(policy=policy(bob)):
        assert (await load(small))["n"] == 3
        assert (await load(large))["n"] == 500_000


async def test_cells_go_over_nodes(ann, bob, nodes, tmp_path):
    """A cell's node and its parts are pinned, found and verified like anything else."""
    anns, bobs = nodes
    with ann.acting(store=stores(ann, anns)):
        record, contents = cell_package({"a": LARGE[:300_000], "b": [1]})
        write(tmp_path / "cell.car", [root_of(record)], pairs_of(record, contents))
        (cid,) = await import_(tmp_path / "cell.car")
        assert await share(cid) == cid
    with bob.acting(store=stores(bob, bobs)):
        loaded = await load(cid)
        assert loaded["b"] == [1]
        assert np.array_equal(loaded["a"], LARGE[:300_000])
