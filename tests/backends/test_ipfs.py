"""Contents on a real IPFS node: what lies there, under which CIDs, pins and names."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator

import pytest

from cascade_nb.backends import ipfs, kubo, kubo_download, kubo_upload
from cascade_nb.backends.ipfs import IpfsCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.content import car, unixfs
from cascade_nb.content.cid import dag_cbor_cid, parse
from cascade_nb.content.unixfs import LEGACY_V1, UNIXFS_V0_2015, file_cid
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.protocols import Collects, Fetches, Publishes
from tests.backends.conftest import DictBackend
from tests.backends.contents import LARGE, MIDDLE, SMALL, content, recorded
from tests.servers.kubo import KuboNode, connected_nodes, kubo_node

MIB = 1 << 20
ADD = ["add", "-Q", "--cid-version=1", "--raw-leaves", "--chunker=size-1048576"]
ADD += ["--max-file-links=1024", "--pin=false"]


@pytest.fixture
def backend(kubo: KuboNode) -> IpfsCacheBackend:
    return IpfsCacheBackend(InMemoryCacheBackend(), kubo.url)


def over(node: KuboNode, backend: IpfsCacheBackend | None = None, **options) -> IpfsCacheBackend:
    """A backend on `node`, over a metadata store of its own or that of `backend`."""
    metadata = InMemoryCacheBackend() if backend is None else backend.metadata
    return IpfsCacheBackend(metadata, node.url, **options)


class Spy:
    """Counts what a backend asks of its node: (command, parameters)."""

    def __init__(self, backend: IpfsCacheBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        http = backend._client.http
        original = http.open

        def spied(method: str, path: str, **options):
            self.asked.append((path.removeprefix("api/v0/"), dict(options.get("parameters", ()))))
            return original(method, path, **options)

        monkeypatch.setattr(http, "open", spied)

    def count(self, command: str) -> int:
        return sum(asked == command for asked, _ in self.asked)


async def blocks_sent(backend: IpfsCacheBackend, monkeypatch, work) -> int:
    """How many blocks `work` sent to the node."""
    taken = []
    original = kubo.KuboClient.import_car

    async def counted(self, *args, **kwargs):
        taken.append(await original(self, *args, **kwargs))
        return taken[-1]

    with monkeypatch.context() as patch:
        patch.setattr(kubo.KuboClient, "import_car", counted)
        await work
    return sum(taken)


class TestContents:
    @pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1, 50 * MIB])
    async def test_they_have_the_cids_that_the_node_itself_would_give(self, kubo, backend, size):
        cid, data = content(size)
        assert kubo.run(*ADD, "--only-hash", given=data).decode().strip() == cid
        await backend.write_content(cid, [data[: size // 3], data[size // 3 :]])
        assert kubo.run("cat", cid) == data
        assert memoryview(await backend.read_content(cid)) == data
        assert kubo.pins()[cid].startswith("cascade-nb cache ")

    async def test_the_nodes_own_tools_read_what_we_wrote(self, kubo, backend):
        cid, data = content(LARGE)
        await backend.write_content(cid, [data])
        links = json.loads(kubo.run("dag", "get", cid))["Links"]
        assert sum(link["Tsize"] for link in links) == LARGE
        reader = car.Reader()
        blocks = dict(reader.feed(kubo.run("dag", "export", "--progress=false", cid)))
        reader.finish()
        assert blocks == {c: bytes(block) for c, block in unixfs.blocks([data])}
        stat = json.loads(kubo.ask("dag/stat", cid, progress="false"))
        assert stat["UniqueBlocks"] == len(blocks)

    @pytest.mark.parametrize("profile", [UNIXFS_V0_2015, LEGACY_V1], ids=lambda p: p.name)
    @pytest.mark.parametrize("size", [0, 262_144, 2_000_000])
    async def test_files_that_others_added_are_read_whatever_their_layout(
        self, kubo, backend, profile, size
    ):
        data = os.urandom(size)
        options = ["add", "-Q", f"--cid-version={profile.cid_version}", "--chunker=size-262144"]
        cid = kubo.run(*options, "--max-file-links=174", given=data).decode().strip()
        assert cid == file_cid([data], profile)
        assert memoryview(await backend.read_content(cid)) == data

    async def test_a_tree_of_three_levels_comes_as_one_stream(self, kubo, backend, monkeypatch):
        profile = unixfs.Profile(name="small", cid_version=1, raw_leaves=True, chunk=1000, links=10)
        for module in (unixfs, kubo_download):
            monkeypatch.setattr(module, "UNIXFS_V1_2025", profile)
        data = os.urandom(123_456)
        cid = file_cid([data], profile)
        monkeypatch.setattr(kubo_download, "file_cid", lambda pieces: file_cid(pieces, profile))
        monkeypatch.setattr(ipfs, "block_parts", lambda pieces: unixfs.block_parts(pieces, profile))
        await backend.write_content(cid, [data])
        spy = Spy(backend, monkeypatch)
        assert memoryview(await backend.read_content(cid)) == data
        assert [command for command, _ in spy.asked] == ["block/get", "cat"]

    async def test_a_cells_node_is_pinned_alone(self, kubo, backend):
        import libipld

        missing, _ = content(SMALL)
        node = libipld.encode_dag_cbor({"outputs": parse(missing)})
        cid = dag_cbor_cid(node)
        await backend.write_content(cid, [node[:3], node[3:]])
        assert json.loads(kubo.run("dag", "get", cid)) == {"outputs": {"/": missing}}
        listed = json.loads(kubo.ask("pin/ls", cid, type="direct", names="true"))["Keys"]
        assert listed[cid]["Name"].startswith("cascade-nb cache ")
        assert await backend.read_content(cid) == node
        await backend.write_record("key", b"envelope", None, contents=[cid])
        await backend.delete_record("key")
        assert cid not in kubo.pins()

    async def test_blocks_that_are_there_are_not_sent_again(self, backend, monkeypatch):
        data = bytearray(os.urandom(10 * MIB))
        cid = file_cid([data])

        async def sent(cid: str) -> int:
            return await blocks_sent(backend, monkeypatch, backend.write_content(cid, [data]))

        assert await sent(cid) == 11
        assert await sent(cid) == 0
        data[-1] ^= 1
        assert await sent(file_cid([data])) == 2

    async def test_a_block_that_goes_after_we_asked_for_it_is_sent_after_all(
        self, kubo, backend, monkeypatch
    ):
        cid, data = content(LARGE)

        async def always(self, cid):
            return True

        with monkeypatch.context() as patch:
            patch.setattr(kubo_upload.KuboClient, "has_block", always)
            await backend.write_content(cid, [data])
        assert kubo.run("cat", cid) == data

    async def test_what_is_pinned_but_incomplete_is_completed(self, kubo, backend):
        cid, data = content(LARGE)
        await backend.write_content(cid, [data])
        leaf = kubo.run("refs", cid).decode().split()[1]
        kubo.ask("pin/rm", cid)
        kubo.ask("block/rm", leaf)
        assert await backend.read_content(cid) is None
        await backend.write_content(cid, [data])
        assert memoryview(await backend.read_content(cid)) == data

    async def test_a_value_that_changes_on_its_way_is_not_stored(self, kubo, backend, monkeypatch):
        data = bytearray(os.urandom(4 * MIB))
        cid = file_cid([data])
        data[-1] ^= 1
        with pytest.raises(BackendError, match="a value changed while it was uploaded"):
            await backend.write_content(cid, [data])
        assert not await backend.has_content(cid)
        assert cid not in kubo.pins()

    async def test_progress_is_told(self, backend):
        told: list[tuple[int, int | None]] = []
        cid, data = content(LARGE)
        blocks = [(c, bytes(b)) for c, b in unixfs.blocks([data])]
        await backend.publish(
            cid, blocks, name="cascade-nb x", progress=lambda *now: told.append(now)
        )
        assert told[-1][0] == sum(len(block) for _, block in blocks)
        told.clear()
        await backend.fetch_content(cid, progress=lambda *now: told.append(now))
        assert told[-1] == (LARGE, LARGE)
        assert [done for done, _ in told] == sorted(done for done, _ in told)


class TestPins:
    async def test_they_are_named_after_the_metadata_store(self, kubo, backend):
        (one, a), (two, b), (three, c) = (content(SMALL) for _ in range(3))
        await backend.write_content(one, [a])
        await over(kubo, backend).write_content(two, [b])
        await over(kubo).write_content(three, [c])
        names = kubo.pins()
        assert names[one] == names[two] != names[three]

    async def test_pins_of_others_keep_their_names_and_stay(self, kubo, backend):
        cid, data = content(LARGE)
        assert kubo.run(*ADD, given=data).decode().strip() == cid
        kubo.ask("pin/add", cid, name="mine")
        await backend.write_content(cid, [data])
        await backend.write_record("key", b"envelope", None, contents=[cid])
        assert await backend.delete_record("key")
        await backend.clear()
        await backend.collect()
        assert kubo.pins()[cid] == "mine"

    async def test_a_forgotten_result_goes_with_the_garbage(self, kubo, backend):
        await backend.set("key", b"x" * MIDDLE)
        await backend.set("other", b"y" * MIDDLE)
        kubo.collect()
        assert await backend.get("key") == b"x" * MIDDLE
        assert await backend.delete_record("value:key")
        kubo.collect()
        assert await backend.get("key") is None
        assert await backend.get("other") == b"y" * MIDDLE

    async def test_what_two_keys_need_stays_until_both_are_gone(self, kubo, backend):
        cid, data = content(MIDDLE)
        for key in ("one", "two"):
            await backend.write_content(cid, [data])
            await backend.write_record(key, b"envelope", None, contents=[cid])
        await backend.delete_record("one")
        assert cid in kubo.pins()
        await backend.delete_record("two")
        assert cid not in kubo.pins()

    async def test_a_content_whose_record_is_still_to_come_stays(self, kubo, backend):
        cid, data = content(MIDDLE)
        await backend.write_content(cid, [data])
        await backend.write_record("old", b"envelope", None, contents=[cid])
        await backend.write_content(cid, [data])
        await backend.delete_record("old")
        assert cid in kubo.pins()
        await backend.write_record("new", b"envelope", None, contents=[cid])

    async def test_a_record_of_what_is_there_but_not_pinned_is_refused(self, kubo, backend):
        cid, data = content(MIDDLE)
        assert kubo.run(*ADD, given=data).decode().strip() == cid
        with pytest.raises(BackendError, match="parts of a result were gone"):
            await backend.write_record("key", b"envelope", None, contents=[cid])

    async def test_collecting_removes_pins_that_no_row_needs(self, kubo, backend, monkeypatch):
        (needed, a), (expired, b), (theirs, c) = (content(MIDDLE) for _ in range(3))
        for cid, data, ttl in ((needed, a, None), (expired, b, 0.01)):
            await backend.write_content(cid, [data])
            await backend.write_record(cid, b"envelope", ttl, contents=[cid])
        await over(kubo).write_content(theirs, [c])
        kubo.ask("pin/add", "bafkqaaa", name="cascade-nb cache of mine")
        await asyncio.sleep(0.02)
        assert (await backend.collect()).removed == 0, "it may be that its record is on its way"
        monkeypatch.setattr(ipfs, "_GRACE_SECONDS", -2 * 3600.0)
        collected = await backend.collect()
        assert (collected.removed, collected.freed) == (1, MIDDLE)
        assert "ipfs repo gc" in collected.note
        assert {needed, theirs, "bafkqaaa"} <= set(kubo.pins())
        assert expired not in kubo.pins()
        assert kubo.has(expired), "the garbage is the node's affair"

    async def test_collecting_tells_of_what_a_session_has_left(self, kubo):
        left, data = content(MIDDLE)
        await over(kubo).write_content(left, [data])
        store, _, _ = kubo.pins()[left].rpartition(" ")
        other = over(kubo)
        collected = await other.collect()
        assert (collected.removed, collected.freed) == (0, 0)
        assert collected.note.startswith("left alone: 1 pin of 1 other store (" + store + "), ")
        assert left in kubo.pins()
        await other.write_record("key", b"envelope", None, contents=[left])
        assert (await other.collect()).note == ""

    async def test_clearing_leaves_what_is_not_ours(self, kubo, backend):
        mine, theirs = content(MIDDLE), content(MIDDLE)
        other = over(kubo)
        await other.write_content(theirs[0], [theirs[1]])
        await other.write_record("key", b"envelope", None, contents=[theirs[0]])
        await backend.metadata.write_record("own", b"a result of the metadata store's", None)
        await backend.write_content(mine[0], [mine[1]])
        await backend.write_record("key", b"envelope", None, contents=[mine[0]])
        assert await backend.clear() == 1
        assert mine[0] not in kubo.pins()
        assert theirs[0] in kubo.pins()
        assert await backend.metadata.read_record("own") is not None

    async def test_over_a_store_that_cannot_list_pins_stay(self, kubo):
        backend = IpfsCacheBackend(DictBackend(), kubo.url)
        await backend.set("key", b"x" * MIDDLE)
        assert await backend.delete_record("value:key")
        assert await backend.get("key") is None
        assert not await backend.delete_record("value:key")
        assert any(name.startswith("cascade-nb") for name in kubo.pins().values())
        with pytest.raises(BackendError, match="cannot list"):
            await backend.collect()
        with pytest.raises(BackendError, match="cannot list"):
            await backend.size()


class TestPublishing:
    async def test_a_dag_is_taken_whole_and_pinned_by_name(self, kubo, backend):
        cid, data = content(LARGE)
        await backend.publish(cid, unixfs.blocks([data]), name="cascade-nb model")
        assert kubo.pins()[cid] == "cascade-nb model"
        assert kubo.run("cat", cid) == data
        assert await backend.unpublish(cid)
        assert not await backend.unpublish(cid)
        assert cid not in kubo.pins()

    async def test_a_dag_that_lacks_a_block_is_refused(self, kubo, backend):
        cid, data = content(LARGE)
        blocks = list(unixfs.blocks([data]))
        with pytest.raises(BackendError, match="does not pin what it was sent"):
            await backend.publish(cid, blocks[1:], name="cascade-nb model")
        assert cid not in kubo.pins()

    async def test_a_block_that_lies_is_refused(self, kubo, backend):
        cid, data = content(LARGE)
        blocks = list(unixfs.blocks([data]))
        blocks[0] = (blocks[0][0], b"a lie")
        with pytest.raises(BackendError):
            await backend.publish(cid, blocks, name="cascade-nb model")
        assert cid not in kubo.pins()

    async def test_a_pin_of_the_users_is_left_alone(self, kubo, backend):
        cid, data = content(LARGE)
        kubo.run(*ADD, given=data)
        kubo.ask("pin/add", cid, name="mine")
        await backend.publish(cid, unixfs.blocks([data]), name="cascade-nb model")
        assert kubo.pins()[cid] == "mine"
        assert not await backend.unpublish(cid)
        assert kubo.pins()[cid] == "mine"

    def test_it_says_what_it_can_do(self, backend):
        assert isinstance(backend, Fetches)
        assert isinstance(backend, Publishes)
        assert isinstance(backend, Collects)


class TestMetadata:
    async def test_the_ttl_is_on_the_row(self, kubo):
        class Spied(DictBackend):
            async def set(self, key, value, ttl=None):
                ttls.append(ttl)
                await super().set(key, value, ttl)

        ttls: list[float | None] = []
        backend = IpfsCacheBackend(Spied(), kubo.url)
        await backend.set("key", 1, ttl=60)
        assert ttls[-1] == 60
        assert await backend.get("key") == 1

    async def test_values_always_lie_on_the_node(self, kubo, backend):
        await backend.set("key", "a small value")
        row = await backend.metadata.read_record("~ipfs:value:key")
        assert b"a small value" not in row
        (cid,) = [cid for cid, name in kubo.pins().items() if name.startswith("cascade-nb")]
        assert b"a small value" in kubo.run("cat", cid)

    async def test_another_process_with_the_same_metadata_finds_them(self, kubo, backend):
        await backend.set("key", [1, 2])
        assert await over(kubo, backend).get("key") == [1, 2]
        assert await over(kubo).get("key") is None

    @pytest.mark.parametrize("row", [b"", b"rubbish", b"\xa0", b"\xa1ffoo\x01", b"\xf6"])
    async def test_a_row_that_is_none_is_a_miss(self, backend, row):
        await backend.set("key", 1)
        await backend.metadata.write_record("~ipfs:value:key", row, None)
        assert await backend.get("key") is None
        assert [item async for item in backend.records()] == []
        await backend.set("key", 2)
        assert await backend.get("key") == 2

    async def test_its_results_stay_apart_from_those_of_the_metadata_store(self, backend):
        await backend.metadata.set("key", "near")
        await backend.set("key", "far")
        assert await backend.metadata.get("key") == "near"
        assert await backend.get("key") == "far"

    async def test_a_content_under_a_wrong_cid_is_none(self, kubo, backend):
        await backend.set("key", "x" * MIDDLE)
        envelope = await backend.read_record("value:key")
        await backend.set("other", "y" * MIDDLE)
        await backend.write_record("value:other", envelope, None)
        assert await backend.get("other") is None


@pytest.fixture(scope="module")
def two() -> Iterator[tuple[KuboNode, KuboNode]]:
    with connected_nodes() as nodes:
        yield nodes


class TestNetwork:
    async def test_a_hit_may_come_from_the_node_next_door(self, two):
        ann = over(two[0])
        bob = over(two[1], ann)
        await ann.set("key", "x" * LARGE)
        assert await bob.get("key") == "x" * LARGE

    async def test_what_nobody_has_is_not_searched_for_long_nor_twice(self, two, monkeypatch):
        backend = over(two[0])
        cid, data = content(LARGE)
        spy = Spy(backend, monkeypatch)
        monkeypatch.setattr(ipfs, "_NETWORK_SECONDS", 0.1)
        assert await backend.read_content(cid) is None
        assert await backend.read_content(cid) is None
        online = [options for _, options in spy.asked if "offline" not in options]
        assert len(online) == 1
        await backend.write_content(cid, [data])
        assert memoryview(await backend.read_content(cid)) == data

    async def test_what_is_missing_here_comes_from_there(self, two):
        ann, bob = over(two[0]), over(two[1])
        cid, data = content(10 * MIB)
        for backend in (ann, bob):
            await backend.write_content(cid, [data])
        refs = two[1].run("refs", cid).decode().split()
        two[1].ask("pin/rm", cid)
        two[1].ask("block/rm", refs[4])
        two[1].ask("block/rm", refs[7])
        assert memoryview(await bob.read_content(cid)) == data

    async def test_fetching_gives_up_without_progress(self, two, monkeypatch):
        monkeypatch.setattr(ipfs, "PATIENCE_SECONDS", 0.3)
        with pytest.raises(BackendError, match=r"has sent nothing for 0\.3 s"):
            await over(two[0]).fetch_content(content(SMALL)[0])

    async def test_an_offline_node_says_at_once_that_it_has_nothing(self, backend):
        assert await backend.fetch_content(content(SMALL)[0]) is None

    async def test_nothing_is_announced(self, kubo, backend, monkeypatch):
        spy = Spy(backend, monkeypatch)
        cid, data = content(LARGE)
        await backend.write_content(cid, [data])
        await backend.publish(cid, unixfs.blocks([data]), name="cascade-nb x")
        told = [options for command, options in spy.asked if command in ("dag/import", "pin/add")]
        assert len(told) == 4
        for options in told:
            assert options["offline"] == "true"
            assert options["fast-provide-root"] == "false"
        assert not any("provide" in command for command, _ in spy.asked)


def allowed(secret: str, *commands: str) -> dict[str, dict[str, object]]:
    paths = [f"/api/v0/{command}" for command in commands] or ["/api/v0"]
    return {"team": {"AuthSecret": secret, "AllowedPaths": paths}}


class TestAccess:
    async def test_a_bearer_token_is_given_in_code_or_in_the_environment(self, monkeypatch):
        with kubo_node(authorizations=allowed("bearer:t0ken"), user="Bearer t0ken") as node:
            await over(node, token="t0ken").set("key", 1)
            monkeypatch.setenv("CASCADE_IPFS_TOKEN", "t0ken")
            backend = over(node)
            await backend.set("key", 2)
            assert await backend.get("key") == 2
            monkeypatch.setenv("CASCADE_IPFS_TOKEN", "wr0ng")
            backend = over(node)
            with recorded() as texts:
                await backend.set("key", 3)
                assert await backend.get("key") is None
            assert len(texts) == 1
            assert "refuses access" in texts[0]
            assert "wr0ng" not in texts[0] + repr(backend)

    async def test_a_user_in_the_url_needs_no_token(self, monkeypatch):
        monkeypatch.setenv("CASCADE_IPFS_TOKEN", "another nodes")
        with kubo_node(authorizations=allowed("basic:ann:p@ss")) as node:
            url = node.url.replace("http://", "http://ann:p%40ss@")
            backend = IpfsCacheBackend(InMemoryCacheBackend(), url)
            await backend.set("key", 1)
            assert await backend.get("key") == 1
            assert "p@ss" not in repr(backend) + backend.server

    async def test_what_is_refused_in_the_middle_of_an_upload_is_said(self):
        only = allowed("bearer:t0ken", "version", "pin/ls", "block/stat")
        cid, data = content(20 * MIB)
        with kubo_node(authorizations=only) as node:
            backend = over(node, token="t0ken")
            with pytest.raises(BackendError, match="refuses access"):
                await backend.write_content(cid, [data])
            with pytest.raises(BackendError, match="refuses access"):
                await backend.publish(cid, unixfs.blocks([data]), name="cascade-nb x")

    async def test_the_gateways_port_is_no_rpc(self, kubo):
        backend = IpfsCacheBackend(InMemoryCacheBackend(), kubo.gateway)
        with pytest.raises(BackendError, match="has no RPC of IPFS there"):
            await backend.read_content(content(SMALL)[0])

    @pytest.mark.parametrize("url", ["", "127.0.0.1:5001", "ipfs://127.0.0.1", 5001])
    def test_what_is_no_url_is_refused(self, url):
        with pytest.raises(ConfigurationError):
            IpfsCacheBackend(InMemoryCacheBackend(), url)

    def test_what_is_no_backend_is_refused(self):
        with pytest.raises(ConfigurationError):
            IpfsCacheBackend(object())
