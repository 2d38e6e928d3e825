from __future__ import annotations

import hashlib
import random
from array import array

import pytest

from cascade_nb.content.cid import parse, raw_cid, to_text
from cascade_nb.content.unixfs import (
    LEGACY_V1,
    UNIXFS_V0_2015,
    UNIXFS_V1_2025,
    Profile,
    blocks,
    file_cid,
)

PROFILES = (UNIXFS_V0_2015, LEGACY_V1, UNIXFS_V1_2025)

# Made by Kubo: what `ipfs add` gives under each of PROFILES.
GOLDEN = {
    0: (
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    ),
    1: (
        "QmcvWeZd8uQNcqsCmXvCdhX265hZNVK7E88dfK5ixrqGw3",
        "bafkreiai6jyyq7hji4d5varnkjr3vym5kum4wnqu4dno3rghzzo2w5dt6e",
        "bafkreiai6jyyq7hji4d5varnkjr3vym5kum4wnqu4dno3rghzzo2w5dt6e",
    ),
    262144: (
        "QmUzTRC8yhjYWkEFg5R39hpPxAyHkWKB2GDve96zTwVrC3",
        "bafkreifkkpyytmhuy7w5kdi2poxmlbr77irkz4fqfs4q7dxp42rhlbwyqy",
        "bafkreifkkpyytmhuy7w5kdi2poxmlbr77irkz4fqfs4q7dxp42rhlbwyqy",
    ),
    262145: (
        "QmYCvJqzLDVyshjc5KEWfCKM67fbMT1YmdwStXnJoVKXxf",
        "bafybeid44kizgims2w5dio3u5nhdak5zsnsw7e2bmvo5lg6tsouoxvxuti",
        "bafkreie43micyafeque7xwktsv5rtvyfm5r5d2jplwhukefs5ij6mmcg2i",
    ),
    1048577: (
        "QmTsJQ8n7M6b5zvsJnMfqLQXMQB4yUxVbdqL1z75R1tH8b",
        "bafybeicvtfpzaim6fbz5axz4wd7zqd3bap4ns2o6ejblsxw7ro3qj7nlyq",
        "bafybeig56vutieqcxvphgoi2mwuefgrl5quauxiuw7tdvjfxvxxxrghfvq",
    ),
    45613057: (
        "QmWcvNeGi8vohJXksQKJwyCFWaF2eyHkBA7NzUSqACX97N",
        "bafybeifjt5ohckaqgwsjy2ks45tl4pc2ia6lacenquapsvqifx5saf4dye",
        "bafybeigjhss7om5pb5b3x2afoswvcsxizutoxpurw3xgkx5xows2gm5edm",
    ),
}

THREE_LEVELS = {
    "QmQKh6Z7fvQiKZbRMFStrnHbyCSQB9gfAg6CH7imLvDnGK": Profile(
        name="small v0", cid_version=0, raw_leaves=False, chunk=16, links=174
    ),
    "bafybeih3uenczwgxkzdhuuq3vfriqe7ah5nvxypaasyvo5nazenoao5zve": Profile(
        name="small v1", cid_version=1, raw_leaves=True, chunk=16, links=174
    ),
}


def content(size: int) -> bytes:
    return hashlib.shake_128(b"ipfs-vector").digest(size)


@pytest.fixture(scope="module")
def large() -> bytes:
    return content(max(GOLDEN))


@pytest.mark.parametrize("size", GOLDEN)
def test_golden_cids(size: int, large: bytes) -> None:
    data = large[:size]
    assert tuple(file_cid([data], profile) for profile in PROFILES) == GOLDEN[size]


@pytest.mark.parametrize(("cid", "profile"), THREE_LEVELS.items())
def test_golden_cids_of_three_levels(cid: str, profile: Profile) -> None:
    assert file_cid([content(484433)], profile) == cid


@pytest.mark.parametrize("size", [1, 1000, 262145, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_how_the_bytes_are_cut_does_not_count(size: int, large: bytes) -> None:
    data = large[:size]
    whole = file_cid([data])
    rng = random.Random(size)
    for _ in range(5):
        cuts = sorted(rng.choices(range(size + 1), k=7))
        pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, size], strict=True)]
        assert file_cid(iter(pieces)) == whole
    on_borders = [memoryview(data)[i : i + (1 << 19)] for i in range(0, size, 1 << 19)]
    assert file_cid(on_borders) == whole
    assert file_cid([b"", *on_borders, b"", bytearray()]) == whole


def test_views_of_any_item_type_count_by_their_bytes() -> None:
    numbers = array("d", range(200_000))
    assert file_cid([memoryview(numbers)]) == file_cid([numbers.tobytes()])
    shaped = memoryview(bytes(24)).cast("B", (2, 3, 4))
    assert file_cid([shaped]) == file_cid([bytes(24)])


def test_no_bytes_are_one_empty_leaf() -> None:
    assert file_cid([]) == file_cid([b""]) == raw_cid(b"")
    assert [(cid, bytes(block)) for cid, block in blocks([])] == [(parse(raw_cid(b"")), b"")]


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)
@pytest.mark.parametrize("size", [0, 1, 262145, 1048577])
def test_blocks_hash_to_their_cids_and_end_in_the_root(
    profile: Profile, size: int, large: bytes
) -> None:
    built = list(blocks([large[: size // 2], large[size // 2 : size]], profile))
    assert to_text(built[-1][0]) == file_cid([large[:size]], profile)
    for cid, block in built:
        assert cid[-32:] == hashlib.sha256(block).digest()
    if profile.raw_leaves:
        leaves = [bytes(block) for cid, block in built if cid[1] == 0x55]
        assert b"".join(leaves) == large[:size]


def test_children_come_before_their_parents() -> None:
    profile = Profile(name="tiny", cid_version=1, raw_leaves=True, chunk=4, links=3)
    seen: list[bytes] = []
    for cid, block in blocks([content(4 * 3 * 3 * 3 + 1)], profile):
        if cid[1] == 0x70:
            held = [earlier for earlier in seen if earlier in bytes(block)]
            assert 1 <= len(set(held)) <= 3
        seen.append(cid)
    # 28 leaves, 10 nodes over them, 4 over those, 2, and the root
    assert len(seen) == 28 + 10 + 4 + 2 + 1


def test_one_block_is_held_by_reference() -> None:
    data = bytes(1000)
    ((_, block),) = blocks([data])
    assert isinstance(block, memoryview)
    assert block.obj is data
