"""Trustless gateways: an honest one, and one that lies in every way."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from cascade_nb import CacheWarning, codecs
from cascade_nb.backends import gateway as gateways
from cascade_nb.backends.gateway import GatewayBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.tiered import TieredCacheBackend, flat
from cascade_nb.content import car
from cascade_nb.content.cid import raw_cid, to_text
from cascade_nb.content.dag import record_blocks
from cascade_nb.content.unixfs import LEGACY_V1, UNIXFS_V0_2015, Profile, blocks, file_cid
from cascade_nb.errors import BackendError, ConfigurationError, IntegrityError
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.loop import run_sync
from cascade_nb.policies.packing import pack_value
from cascade_nb.protocols import CacheBackend, Fetches
from cascade_nb.provenance import sign_record
from cascade_nb.records import Reads, Record
from tests.content.dags import bomb, content, node, raw
from tests.servers.kubo import KuboNode, kubo_node
from tests.servers.lying import (
    Lie,
    LyingServer,
    Reply,
    broken_off,
    cut,
    cut_between_blocks,
    drip,
    endless,
    header_only,
    in_disorder,
    instead,
    is_car,
    lying_server,
    only,
    plain_bytes,
    redirect,
    silence,
    stall,
    status,
    wrong_bytes,
)

DATA = content(3 << 20)
CID = file_cid([DATA])
BLOCK_COUNT = 4


@pytest.fixture
def server() -> Iterator[LyingServer]:
    with lying_server() as server:
        server.put(blocks([DATA]))
        yield server


@pytest.fixture
def other() -> Iterator[LyingServer]:
    with lying_server() as server:
        server.put(blocks([DATA]))
        yield server


@pytest.fixture
def gateway(server: LyingServer) -> GatewayBackend:
    return GatewayBackend([server.url])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty seconds are short here."""
    monkeypatch.setattr(gateways, "PATIENCE_SECONDS", 0.6)


def test_it_is_a_backend_from_which_content_is_fetched(gateway: GatewayBackend) -> None:
    assert isinstance(gateway, CacheBackend)
    assert isinstance(gateway, Fetches)


async def test_a_file_comes_as_one_car(server: LyingServer, gateway: GatewayBackend) -> None:
    told: list[tuple[int, int | None]] = []
    data = await gateway.fetch_content(CID, progress=lambda *given: told.append(given))
    assert data == DATA
    assert not memoryview(data).readonly
    assert server.asked == [f"/ipfs/{CID}?car"]
    assert server.requests[-1].headers["Accept"].startswith("application/vnd.ipld.car; version=1")
    assert told[-1] == (len(DATA), len(DATA))
    assert await gateway.read_content(CID) == DATA


@pytest.mark.parametrize("profile", [UNIXFS_V0_2015, LEGACY_V1], ids=lambda p: p.name)
async def test_files_of_other_profiles_come_too(
    server: LyingServer, gateway: GatewayBackend, profile: Profile
) -> None:
    server.put(blocks([DATA], profile))
    assert await gateway.fetch_content(file_cid([DATA], profile)) == DATA


async def test_a_single_block_comes_as_such(server: LyingServer, gateway: GatewayBackend) -> None:
    cid, block = raw(b"small")
    server.put([(cid, block)])
    assert await gateway.fetch_content(to_text(cid)) == block
    assert server.asked == [f"/ipfs/{to_text(cid)}?raw"]


async def test_an_identity_asks_nobody(server: LyingServer, gateway: GatewayBackend) -> None:
    assert await gateway.fetch_content("bafkqaaa") == b""
    assert not server.requests


async def test_what_is_not_there_is_none(server: LyingServer, gateway: GatewayBackend) -> None:
    # A CAR of a missing root is a clean 200 with a header only.
    assert await gateway.fetch_content(file_cid([content(2 << 20)])) is None
    assert await gateway.fetch_content(raw_cid(b"nowhere")) is None
    assert await gateway.read_content(raw_cid(b"nowhere")) is None


def stored(server: LyingServer, value: object) -> str:
    pieces = codecs.encode(value, class_digest=fingerprint).pieces
    server.put(blocks(pieces))
    return file_cid(pieces)


async def test_get_gives_the_value_of_data(server: LyingServer, gateway: GatewayBackend) -> None:
    value = {"a": [1, 2.5, None], "b": b"x" * 2_000_000}
    cid = stored(server, value)
    assert await gateway.get(cid) == value
    assert await gateway.get(f"ipfs://{cid}") == value
    assert await gateway.get(f"/ipfs/{cid}") == value
    assert await gateway.get(raw_cid(b"nowhere")) is None
    with pytest.raises(ConfigurationError, match="is not a CID"):
        await gateway.get("no cid")


async def test_get_never_runs_code(server: LyingServer, gateway: GatewayBackend) -> None:
    pieces = codecs.encode(lambda: 1, class_digest=fingerprint).pieces
    assert bytes(pieces[0]).startswith(b"code/")
    assert await gateway.get(stored(server, lambda: 1)) is None
    cid, block = raw(b"tree/1\nnonsense")
    server.put([(cid, block)])
    assert await gateway.get(to_text(cid)) is None


async def test_get_follows_the_record_of_a_value(
    server: LyingServer, gateway: GatewayBackend
) -> None:
    package = pack_value([1, 2, 3])
    record = Record(
        kind="value",
        key="0" * 64,
        result=package.result,
        needs_code=package.needs_code,
        name="f",
        created=time.time(),
        ttl=None,
        seconds=1.0,
        size=package.size,
        outputs=package.outputs,
        parts={},
        reads=Reads(),
        environment={},
    )
    signed = sign_record(record).to_bytes()
    server.put(built := list(record_blocks(signed, package.contents)))
    assert await gateway.get(to_text(built[0][0])) == [1, 2, 3]
    forged = sign_record(record).with_signature(bytes(64)).to_bytes()
    server.put(built := list(record_blocks(forged, package.contents)))
    assert await gateway.get(to_text(built[0][0])) is None


async def test_set_stores_nothing_and_says_so_once(gateway: GatewayBackend) -> None:
    with pytest.warns(CacheWarning, match="stores nothing"):
        await gateway.set("a", 1)
    await gateway.set("b", 2, ttl=1.0)  # a second warning would be an error


# What still comes right, and what was asked beside the CAR.
HARMLESS: dict[str, tuple[Sequence[Lie], int]] = {
    "blocks in disorder, twice, with extra ones": ((in_disorder(raw(b"?"), raw(b"!")),), 0),
    "a CAR that is cut in a block": ((only(is_car, cut(0.6)),), 2),
    "a CAR that is cut between blocks": ((cut_between_blocks(2),), 2),
    "a CAR of nothing but a header": ((header_only,), 4),
    "a connection that breaks off": ((only(is_car, broken_off()),), 2),
    "no CARs": ((only(is_car, status(406)),), 4),
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_is_missing_is_asked_for_block_by_block(
    server: LyingServer, gateway: GatewayBackend, name: str
) -> None:
    server.lies, most = HARMLESS[name]
    assert await gateway.fetch_content(CID) == DATA
    assert sum(path.endswith("?raw") for path in server.asked) <= max(most, 0) + 1
    # It has not lied: it is asked again.
    assert await gateway.fetch_content(CID) == DATA


def compressed(reply: Reply) -> Reply:
    return replace(reply, headers={**reply.headers, "Content-Encoding": "br"})


LIES: dict[str, tuple[Sequence[Lie], str]] = {
    "wrong bytes": ((wrong_bytes,), "is not what its CID"),
    "wrong blocks": ((header_only, only(lambda r: not is_car(r), wrong_bytes)), "lies: a block"),
    "a page": ((plain_bytes(), instead(b"<html>" * 9)), "'text/html' in place of car"),
    "the file": ((plain_bytes("application/octet-stream"), instead(DATA)), "in place of car"),
    "a page as CAR": ((instead(b"<html>" * 99),), "no CAR"),
    "an endless page": ((instead(b""), endless(b"<html>" * 999)), "no CAR"),
    "an endless CAR": ((only(is_car, cut(0.1)), only(is_car, endless())), "no CAR"),
    "an endless block": (
        (header_only, only(lambda r: not is_car(r), endless())),
        "more than a block",
    ),
    "a block by another hash": (
        (in_disorder((b"\x01\x55\x1e\x20" + bytes(32), b"x")),),
        "not accepted",
    ),
    "a compressed stream": ((compressed,), "compresses"),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_liar_is_dropped_with_one_warning(
    server: LyingServer, gateway: GatewayBackend, name: str
) -> None:
    server.lies, match = LIES[name]
    with (
        pytest.warns(CacheWarning, match=r"not asked again in this session: it ") as caught,
        pytest.raises(IntegrityError, match=match) as raised,
    ):
        await gateway.fetch_content(CID)
    assert server.url in str(raised.value)
    assert len(caught) == 1
    server.lies = ()
    asked = len(server.requests)
    with pytest.raises(BackendError, match="not asked again"):
        await GatewayBackend([server.url]).fetch_content(CID)
    assert len(server.requests) == asked


@pytest.mark.parametrize("name", LIES)
async def test_the_next_gateway_stands_in_for_a_liar(
    server: LyingServer, other: LyingServer, name: str
) -> None:
    server.lies, _ = LIES[name]
    both = GatewayBackend([server.url, other.url])
    with pytest.warns(CacheWarning, match="not asked again"):
        assert await both.fetch_content(CID) == DATA
    asked = len(server.requests)
    assert await both.fetch_content(CID) == DATA
    assert len(server.requests) == asked


async def test_get_of_a_liar_is_none(server: LyingServer, gateway: GatewayBackend) -> None:
    cid = stored(server, list(range(100_000)))
    server.lies = (wrong_bytes,)
    with pytest.warns(CacheWarning, match="not asked again"):
        assert await gateway.get(cid) is None
    assert await gateway.get(cid) is None


async def test_what_one_gateway_has_of_a_file_another_need_not_send(
    server: LyingServer, other: LyingServer
) -> None:
    for cid, _ in list(blocks([DATA]))[1:3]:
        del server.blocks[cid]
        with pytest.raises(IntegrityError, match="is not complete"):
            await GatewayBackend([server.url]).fetch_content(CID)
    assert await GatewayBackend([server.url, other.url]).fetch_content(CID) == DATA


async def test_a_busy_gateway_is_asked_again(server: LyingServer, gateway: GatewayBackend) -> None:
    server.script = [
        (status(502),),
        (status(429, retry_after="0"),),
    ]
    assert await gateway.fetch_content(CID) == DATA
    assert len(server.asked) == 3


@pytest.mark.parametrize("code", [429, 502, 503, 504])
async def test_a_gateway_that_stays_busy_is_an_error(
    server: LyingServer, gateway: GatewayBackend, code: int
) -> None:
    server.lies = (status(code, retry_after="0"),)
    with pytest.raises(BackendError, match=f"answers {code}"):
        await gateway.fetch_content(CID)
    assert len(server.asked) == 3
    with pytest.warns(CacheWarning, match=f"answers {code}"):
        assert await gateway.get(CID) is None
    # It may be better off later.
    server.lies = ()
    assert await gateway.fetch_content(CID) == DATA


@pytest.mark.parametrize("code", [404, 410])
async def test_a_gateway_that_knows_nothing_is_a_none(
    server: LyingServer, gateway: GatewayBackend, code: int
) -> None:
    server.lies = (status(code),)
    assert await gateway.fetch_content(CID) is None


async def test_no_redirect_leads_to_another_host(
    server: LyingServer, other: LyingServer, gateway: GatewayBackend
) -> None:
    server.lies = (redirect(f"{other.url}/ipfs/{CID}?format=car"),)
    with pytest.raises(BackendError, match="answers 302"):
        await gateway.fetch_content(CID)
    assert not other.requests


async def test_a_redirect_at_home_is_followed(server: LyingServer, gateway: GatewayBackend) -> None:
    server.script = [(redirect(f"/ipfs/{CID}?format=car"),)]
    assert await gateway.fetch_content(CID) == DATA


async def test_a_black_hole_costs_a_second_once(
    server: LyingServer, other: LyingServer, gateway: GatewayBackend
) -> None:
    server.lies, server.dead = (silence,), True
    with pytest.raises(BackendError, match="does not answer"):
        await gateway.fetch_content(CID)
    asked = len(server.requests)
    with pytest.raises(BackendError, match="does not answer"):
        await gateway.fetch_content(CID)
    assert await GatewayBackend([server.url, other.url]).fetch_content(CID) == DATA
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("lies", "match"),
    [
        ((silence,), "nothing for"),
        ((stall(),), "nothing for"),
        ((drip(step=1, pause=0.05),), "next to nothing for"),
    ],
    ids=["silent", "stands still", "drips"],
)
async def test_who_brings_nothing_for_long_is_given_up(
    server: LyingServer,
    gateway: GatewayBackend,
    impatient: None,
    lies: Sequence[Lie],
    match: str,
) -> None:
    server.lies = lies
    with pytest.raises(BackendError, match=match):
        await gateway.fetch_content(CID)


async def test_slow_is_not_dead(
    server: LyingServer, gateway: GatewayBackend, impatient: None
) -> None:
    server.lies = (drip(step=200_000, pause=0.1),)
    assert await gateway.fetch_content(CID) == DATA


async def test_a_bomb_is_refused(server: LyingServer, gateway: GatewayBackend) -> None:
    built = bomb(5, leaf=bytes(100_000))
    server.put(built)
    with pytest.raises(IntegrityError, match="are accepted"):
        await gateway.fetch_content(to_text(built[0][0]))


async def test_what_is_no_file_is_no_lie(
    server: LyingServer, gateway: GatewayBackend, recwarn: pytest.WarningsRecorder
) -> None:
    folder = node([], kind=1)
    large = raw(bytes(3 << 20))
    foreign = node([(b"\x01\x55\x1e\x20" + bytes(32), 1)])
    server.put([folder, large, foreign, (root := node([(large[0], 3 << 20)]))])
    for cid, match in ((folder[0], "of type Directory"), (foreign[0], "not accepted")):
        with pytest.raises(IntegrityError, match=match):
            await gateway.fetch_content(to_text(cid))
    # More than a node would take, but as good as any.
    assert await gateway.fetch_content(to_text(root[0])) == bytes(3 << 20)
    assert not recwarn.list
    with pytest.raises(IntegrityError, match="not accepted"):
        await gateway.fetch_content("b" + to_text(b"\x01\x55\x1e\x20" + bytes(32))[1:])


async def test_extra_blocks_without_end_are_read_no_further(
    server: LyingServer, gateway: GatewayBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "_WASTE_BYTES", 1 << 20)
    cid, block = raw(bytes(100_000))
    server.lies = (only(is_car, endless(car.section_head(cid, len(block)) + block)),)
    root = list(blocks([DATA]))[-1]
    del server.blocks[root[0]]
    assert await gateway.fetch_content(CID) is None
    server.put([root])
    server.lies = (header_only, *server.lies)
    assert await gateway.fetch_content(CID) == DATA


@pytest.mark.parametrize(
    "urls", [[], "http://one", ["ftp://x"], ["http://host/?q"], ["http://:1/"]]
)
def test_urls_that_are_none_are_errors(urls: Sequence[str]) -> None:
    with pytest.raises(ConfigurationError):
        GatewayBackend(urls)


def test_plain_code_fetches_too(gateway: GatewayBackend) -> None:
    assert run_sync(gateway.fetch_content(CID)) == DATA
    assert run_sync(gateway.get(raw_cid(b"nowhere"))) is None


ALL_LIES: Sequence[Lie] = (
    *(lie for lies, _ in LIES.values() for lie in lies),
    *(lie for lies, _ in HARMLESS.values() for lie in lies),
    *(status(code, retry_after="0") for code in (400, 404, 429, 500, 502, 503, 504)),
    cut(0.3),
    cut(0.0),
    broken_off(0.0),
    drip(step=100_000, pause=0.001),
    stall(),
    silence,
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
@pytest.mark.filterwarnings("ignore::cascade_nb.CacheWarning")
async def test_whatever_gateways_do_the_content_is_right_or_there_is_an_error(
    server: LyingServer, other: LyingServer, impatient: None, seed: int
) -> None:
    rng = random.Random(seed)
    for each in (server, other):
        each.script = [rng.sample(ALL_LIES, rng.randint(0, 3)) for _ in range(12)]
        each.lies = rng.sample(ALL_LIES, rng.randint(0, 1))
    both = GatewayBackend([server.url, other.url])
    for _ in range(3):
        try:
            assert await both.fetch_content(CID) in (DATA, None)
        except (BackendError, IntegrityError):
            continue


async def test_no_password_is_shown(server: LyingServer) -> None:
    url = server.url.replace("//", "//ann:s3cret@")
    gateway = GatewayBackend([url])
    assert await gateway.fetch_content(CID) == DATA
    assert server.requests[-1].headers["Authorization"].startswith("Basic ")
    assert "s3cret" not in repr(gateway)
    server.lies = (wrong_bytes,)
    with (
        pytest.warns(CacheWarning) as caught,
        pytest.raises(IntegrityError) as raised,
    ):
        await gateway.fetch_content(CID)
    assert "s3cret" not in f"{caught[0].message} {raised.value}"


async def test_a_read_waits_for_a_second_where_a_fetch_is_patient(
    server: LyingServer, gateway: GatewayBackend
) -> None:
    server.lies = (stall(0.0),)
    with pytest.raises(BackendError, match="nothing for 1 s"):
        await gateway.read_content(CID)


@pytest.fixture(scope="module")
def kubo() -> Iterator[KuboNode]:
    with kubo_node() as node:
        yield node


ADDED_AS = {
    "unixfs-v0-2015": ("--cid-version=0", "--chunker=size-262144", "--max-file-links=174"),
    "legacy-v1": ("--cid-version=1", "--raw-leaves", "--chunker=size-262144"),
    "unixfs-v1-2025": (
        "--cid-version=1",
        "--raw-leaves",
        "--chunker=size-1048576",
        "--max-file-links=1024",
    ),
}


def added(kubo: KuboNode, data: bytes, folder: Path, profile: str = "unixfs-v1-2025") -> str:
    path = folder / "added"
    path.write_bytes(data)
    return kubo.run("add", "-Q", *ADDED_AS[profile], str(path)).decode().strip()


@pytest.mark.parametrize("profile", ADDED_AS)
async def test_a_real_gateway(kubo: KuboNode, profile: str, tmp_path: Path) -> None:
    cid = added(kubo, DATA, tmp_path, profile)
    gateway = GatewayBackend([kubo.gateway])
    assert await gateway.fetch_content(cid) == DATA
    assert await gateway.read_content(cid) == DATA


async def test_a_real_gateway_that_has_nothing_or_a_part(kubo: KuboNode, tmp_path: Path) -> None:
    gateway = GatewayBackend([kubo.gateway])
    data = content(5 << 20)
    assert await gateway.fetch_content(file_cid([data])) is None
    assert await gateway.fetch_content(raw_cid(b"nowhere")) is None
    *_, (root, block) = blocks([data])
    path = tmp_path / "block"
    path.write_bytes(block)
    kubo.run("block", "put", "--cid-codec=dag-pb", str(path))
    with pytest.raises(IntegrityError, match="is not complete"):
        await gateway.fetch_content(to_text(root))


async def test_a_value_from_a_real_gateway(kubo: KuboNode, tmp_path: Path) -> None:
    value = {"rows": list(range(1000)), "blob": bytes(2_500_000)}
    data = b"".join(codecs.encode(value, class_digest=fingerprint).pieces)
    cid = added(kubo, data, tmp_path)
    assert cid == file_cid([data])
    assert await GatewayBackend([kubo.gateway]).get(cid) == value


class TestBehindATier:
    async def test_what_a_cid_names_is_read_from_it(self, server, gateway):
        cid = stored(server, [1, 2.5, "x"])
        tiers = TieredCacheBackend(InMemoryCacheBackend(), gateway)
        assert await tiers.get(cid) == [1, 2.5, "x"]
        await tiers.set("key", 7)
        assert await tiers.get("key") == 7
        assert await tiers.get("no CID") is None

    async def test_a_record_finds_its_content_there(self, server, gateway):
        tiers = TieredCacheBackend(InMemoryCacheBackend(), gateway)
        assert bytes(await tiers.read_content(CID)) == DATA
        assert flat(tiers)[-1] is gateway

    async def test_a_dead_one_is_passed_over(self):
        dead = GatewayBackend(["http://127.0.0.1:9"])
        tiers = TieredCacheBackend(InMemoryCacheBackend(), dead)
        assert await tiers.read_content(CID) is None

    def test_alone_they_store_nothing(self, gateway):
        with pytest.raises(ConfigurationError, match="none of these"):
            TieredCacheBackend(gateway, gateway)
