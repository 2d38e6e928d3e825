from __future__ import annotations

import hashlib
import mmap
import random
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_nb.content import car
from cascade_nb.content.assembly import DEPTH_LIMIT, FileAssembly
from cascade_nb.content.cid import DAG_CBOR, DAG_PB, RAW, parse, sha2_256_cid
from cascade_nb.content.unixfs import Profile, blocks
from cascade_nb.errors import IntegrityError
from tests.content.dags import (
    Block,
    bomb,
    content,
    dag_pb,
    field,
    link,
    node,
    raw,
    unixfs,
)
from tests.content.test_unixfs import GOLDEN, PROFILES, THREE_LEVELS

LIMIT = 64 << 20
TINY = Profile(name="tiny", cid_version=1, raw_leaves=True, chunk=4, links=3)
TINY_V0 = Profile(name="tiny v0", cid_version=0, raw_leaves=False, chunk=4, links=3)
X = raw(b"x")


def fed(root: bytes, given: Iterable[Block], *, limit: int = LIMIT) -> FileAssembly:
    assembly = FileAssembly(root, limit=limit)
    for cid, block in given:
        assembly.add(cid, block)
    return assembly


def through_car(text: str, built: Iterable[tuple[bytes, object]]) -> FileAssembly:
    """The file after a journey through a CAR, with the CID that Kubo gave it as its root."""
    reader = car.Reader()
    assembly = FileAssembly(parse(text), limit=LIMIT)
    for piece in car.write(parse(text), built):  # type: ignore[arg-type]
        for cid, block in reader.feed(piece):
            assembly.add(cid, block, verified=True)
    reader.finish()
    assert reader.roots == (parse(text),)
    return assembly


@pytest.mark.parametrize("size", GOLDEN)
def test_golden_files_come_back_through_a_car(size: int) -> None:
    data = content(size)
    for text, profile in zip(GOLDEN[size], PROFILES, strict=True):
        assembly = through_car(text, blocks([data], profile))
        assert assembly.complete
        assert assembly.data == data
        assert assembly.size == size
        assert not assembly.wanted


@pytest.mark.parametrize(("text", "profile"), THREE_LEVELS.items())
def test_golden_files_of_three_levels_come_back(text: str, profile: Profile) -> None:
    data = content(484433)
    assert through_car(text, blocks([data], profile)).data == data


@pytest.mark.parametrize("profile", [TINY, TINY_V0], ids=lambda p: p.name)
@pytest.mark.parametrize("seed", range(20))
def test_blocks_may_come_in_any_order_and_more_than_once(profile: Profile, seed: int) -> None:
    rng = random.Random(seed)
    data = rng.choice([content(200), bytes(333), b"abcd" * 50 + content(99)])
    built = [(cid, bytes(block)) for cid, block in blocks([data], profile)]
    built = [(cid if cid[0] == 1 else bytes((1, DAG_PB)) + cid, block) for cid, block in built]
    root = built[-1][0]
    stream = [*built, *built, *(raw(bytes((i, i))) for i in range(9))]
    rng.shuffle(stream)
    assembly = fed(root, stream)
    assert assembly.complete
    assert assembly.data == data


def test_what_is_wanted_is_told_and_can_be_fetched() -> None:
    data = content(4 * 9 + 1)
    store = {cid: bytes(block) for cid, block in blocks([data], TINY)}
    *_, (root, _) = blocks([data], TINY)
    assembly = FileAssembly(root, limit=LIMIT)
    assert assembly.size is None
    rounds = 0
    while assembly.wanted:
        assert not assembly.complete
        for cid in list(assembly.wanted):
            assert assembly.add(cid, store[cid])
        rounds += 1
    assert assembly.data == data
    assert rounds == 4


@pytest.mark.parametrize("codec", [RAW, DAG_CBOR])
def test_a_single_block_is_its_own_content(codec: int) -> None:
    data = content(1000)
    cid = sha2_256_cid(codec, hashlib.sha256(data).digest())
    assert fed(cid, [(cid, data)]).data == data
    with pytest.raises(IntegrityError, match="1,000 bytes; at most 999"):
        fed(cid, [(cid, data)], limit=999)


def test_identities_hold_their_blocks_themselves() -> None:
    assert FileAssembly(parse("bafkqaaa"), limit=0).data == b""
    inline = bytes((1, RAW, 0, 3)) + b"abc"
    root = node([(inline, 3), (X[0], 1), (inline, 3)])
    assert fed(root[0], [root, X]).data == b"abcxabc"
    within = unixfs(data=b"in", size=2)
    root = bytes((1, DAG_PB, 0, len(within) + 2)) + field(1, within)
    assert FileAssembly(root, limit=2).data == b"in"


def test_data_of_a_node_goes_before_its_children() -> None:
    leaf = node([(raw(b"b")[0], 1)], data=b"a")
    root = node([(leaf[0], 2), (raw(b"c")[0], 1)], data=b"_")
    assert fed(root[0], [root, leaf, raw(b"b"), raw(b"c")]).data == b"_abc"


def test_old_forms_are_read() -> None:
    body = unixfs(kind=0, data=b"old", size=3) + field(7, 0o644) + field(8, field(1, 99))
    leaf = dag_pb(field(1, body))
    data_first = dag_pb(field(1, unixfs(size=3, sizes=[3])) + field(2, link(leaf[0])))
    assert fed(data_first[0], [data_first, leaf]).data == b"old"


def test_an_incomplete_file_is_never_given() -> None:
    built = list(blocks([content(40)], TINY))
    root = built[-1][0]
    for left_out in range(len(built)):
        assembly = fed(root, [b for i, b in enumerate(built) if i != left_out])
        assert not assembly.complete
        with pytest.raises(IntegrityError, match=r"not complete: the block .* is missing"):
            _ = assembly.data
        assert assembly.add(*built[left_out])
        assert assembly.data == content(40)


def test_blocks_are_proven_unless_they_were() -> None:
    with pytest.raises(IntegrityError, match="is not what its CID"):
        fed(X[0], [(X[0], b"y")])
    assembly = FileAssembly(X[0], limit=1)
    with pytest.raises(IntegrityError, match="is not what its CID"):
        assembly.add(raw(b"other")[0], b"something")
    assert not assembly.complete


WRONG: dict[str, tuple[str, list[Block]]] = {
    "size of a raw child": ("by one account", [node([(X[0], 2)]), X]),
    "size of a node": (
        "by one account",
        [node([(node([(X[0], 1)])[0], 2)]), node([(X[0], 1)]), X],
    ),
    "two sizes for one child": ("by one account", [node([(X[0], 1), (X[0], 2)]), X]),
    "file size": ("that claim to be 9", [node([(X[0], 1)], size=9), X]),
    "missing file size": (
        "that claim to be 0",
        [dag_pb(field(1, field(1, 2) + field(2, b"data")))],
    ),
    "more sizes than links": ("0 links with 1", [dag_pb(field(1, unixfs(size=1, sizes=[1])))]),
    "fewer sizes than links": (
        "1 links with 0",
        [dag_pb(field(2, link(X[0])) + field(1, unixfs(size=0)))],
    ),
    "a name": (
        "has a name",
        [dag_pb(field(2, link(X[0], name=b"../x")) + field(1, unixfs(size=1, sizes=[1]))), X],
    ),
    "a directory": ("of type Directory", [node([], kind=1)]),
    "a shard": ("of type HAMTShard", [node([], kind=5)]),
    "an unknown type": ("of type 77", [node([], kind=77)]),
    "no type": ("of type nothing", [dag_pb(field(1, field(3, 0)))]),
    "no UnixFS": ("of type nothing", [dag_pb(b"")]),
    "a DAG-CBOR child": ("it links", [node([(sha2_256_cid(DAG_CBOR, bytes(32)), 1)])]),
    "a child with another hash": ("0x1e", [node([(b"\x01\x55\x1e\x20" + bytes(32), 1)])]),
    "a cut link": ("is cut", [dag_pb(field(2, b"\x0a\x24" + X[0][:-3]))]),
    "a cut CID": ("inside of a CID", [dag_pb(field(2, field(1, X[0][:-3])))]),
    "bytes after a CID": ("bytes follow", [dag_pb(field(2, field(1, X[0] + b"!")))]),
    "a link without CID": ("has no CID", [dag_pb(field(2, field(2, b"")))]),
    "a link in disorder": (
        "out of place",
        [dag_pb(field(2, field(3, 1) + field(1, X[0])))],
    ),
    "an unknown field": ("out of place", [dag_pb(field(3, b""))]),
    "an unknown UnixFS field": ("out of place", [dag_pb(field(1, unixfs(size=0) + field(6, 1)))]),
    "data twice": ("out of place", [dag_pb(field(1, unixfs(size=0)) * 2)]),
    "data between links": (
        "out of place",
        [dag_pb(field(2, link(X[0])) + field(1, b"") + field(2, link(X[0])))],
    ),
    "wire type": ("wire type 5", [dag_pb(b"\x0d" + bytes(4))]),
    "a cut message": ("is cut", [dag_pb(b"\x0a\x7f")]),
    "a huge length": ("is cut", [dag_pb(b"\x0a" + b"\xff" * 8 + b"\x7f")]),
    "a huge node": ("more than 2,097,152 bytes", [dag_pb(bytes(2_097_153))]),
    "garbage": ("wire type", [dag_pb(content(100))]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_contradicts_itself_is_refused(name: str) -> None:
    match, given = WRONG[name]
    with pytest.raises(IntegrityError, match=match) as caught:
        fed(given[0][0], given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "cid",
    [
        b"\x01\x55\x1e\x20" + bytes(32),  # BLAKE3
        b"\x01\x71\x12\x10" + bytes(16),  # a cut SHA2-256
        b"\x01\x78\x12\x20" + bytes(32),  # a codec that is not ours
        b"\x01\x55\x00\x81\x01" + bytes(129),  # a long identity
    ],
)
def test_cids_that_prove_nothing_are_refused(cid: bytes) -> None:
    with pytest.raises(IntegrityError):
        FileAssembly(cid, limit=LIMIT)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_file_that_repeats_itself_comes_from_few_blocks(levels: int) -> None:
    leaf = content(7)
    built = bomb(levels, fan=30, leaf=leaf)
    assert fed(built[0][0], built).data == leaf * 30**levels
    assert fed(built[0][0], built[::-1]).data == leaf * 30**levels


def test_a_bomb_is_refused_before_anything_is_set_aside() -> None:
    built = bomb(5)
    assert sum(len(block) for _, block in built) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError, match="at most 67,108,864 are accepted"):
            fed(built[0][0], built)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_bomb_of_no_bytes_ends() -> None:
    built = bomb(9, leaf=b"")
    assert fed(built[0][0], built).data == b""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_lying_size_takes_no_memory() -> None:
    size = 1 << 29
    root = node([(X[0], 1), (raw(b"never")[0], size - 1)])
    before = resident_bytes()
    assembly = fed(root[0], [root, X], limit=size)
    assert (assembly.received, assembly.size) == (1, size)
    assert resident_bytes() - before < 16 << 20


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_a_size_that_cannot_be_had_is_refused() -> None:
    size = 1 << 62
    root = node([(raw(b"never")[0], size)])
    with pytest.raises(IntegrityError, match="more than there is memory for"):
        fed(root[0], [root], limit=size)


def test_children_that_are_larger_than_said_are_refused_when_they_come() -> None:
    large = [raw(bytes((i,)) * 1_000_000) for i in range(5)]
    root = node([(X[0], 1), *((cid, 1) for cid, _ in large)])
    assembly = fed(root[0], [root])
    with pytest.raises(IntegrityError, match="1,000,000 by another"):
        assembly.add(*large[2])


def test_a_deep_chain_is_refused_from_either_end() -> None:
    chain = [X]
    for _ in range(20_000):
        chain.append(node([(chain[-1][0], 1)]))
    top = chain[DEPTH_LIMIT][0]
    assert fed(top, chain[: DEPTH_LIMIT + 1]).data == b"x"
    with pytest.raises(IntegrityError, match="nodes deep"):
        fed(chain[-1][0], chain)
    with pytest.raises(IntegrityError, match="nodes deep"):
        fed(chain[-1][0], chain[::-1])


def test_links_without_end_are_refused() -> None:
    empty = raw(b"")[0]
    nodes = [node([(empty, 0)] * 40_000, data=bytes((i,))) for i in range(2)]
    root = node([(cid, 1) for cid, _ in nodes])
    with pytest.raises(IntegrityError, match="too many links"):
        fed(root[0], [root, *nodes])


def test_blocks_that_nothing_links_are_held_only_while_there_is_room() -> None:
    root = node([(X[0], 1)])
    assembly = FileAssembly(root[0], limit=1)
    tracemalloc.start()
    try:
        for i in range(100):
            assert not assembly.add(*raw(bytes((i,)) * 1_000_000))
        assert tracemalloc.get_traced_memory()[1] < 68 << 20
    finally:
        tracemalloc.stop()
    assert assembly.add(*root)
    assert assembly.add(*X)
    assert assembly.data == b"x"


@st.composite
def broken_dags(draw: st.DrawFn) -> tuple[bytes, list[Block], bytes]:
    """The blocks of a small file, some of them edited and put under a CID that fits again."""
    data = draw(st.binary(max_size=150))
    built = list(blocks([data], draw(st.sampled_from((TINY, TINY_V0)))))
    built = [(c if c[0] == 1 else bytes((1, DAG_PB)) + c, bytes(b)) for c, b in built]
    renamed: dict[bytes, bytes] = {}
    edited: list[Block] = []
    for cid, block in built:
        for old, new in renamed.items():
            block = block.replace(old, new).replace(old[2:], new[2:])
        for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
            at = draw(st.integers(0, len(block)))
            block = block[:at] + draw(st.binary(max_size=3)) + block[at + draw(st.integers(0, 3)) :]
        renamed[cid] = cid[:4] + hashlib.sha256(block).digest()
        edited.append((renamed[cid], block))
    return edited[-1][0], draw(st.permutations(edited)), data


@given(broken_dags())
def test_whatever_comes_it_is_a_file_or_an_integrity_error(
    case: tuple[bytes, list[Block], bytes],
) -> None:
    root, given, data = case
    assembly = FileAssembly(root, limit=10_000)
    try:
        for cid, block in given:
            assembly.add(cid, block)
        result = assembly.data
    except IntegrityError:
        with pytest.raises(IntegrityError):
            _ = assembly.data
        return
    assert assembly.size == len(result) <= 10_000
    if len(data) > 0 and root == list(blocks([data], TINY))[-1][0]:
        assert result == data


@given(st.binary(max_size=120), st.sampled_from((RAW, DAG_PB, DAG_CBOR)))
def test_any_bytes_are_a_block_or_an_integrity_error(block: bytes, codec: int) -> None:
    cid = sha2_256_cid(codec, hashlib.sha256(block).digest())
    try:
        assert fed(cid, [(cid, block)]).data is not None
    except IntegrityError:
        assert codec == DAG_PB
