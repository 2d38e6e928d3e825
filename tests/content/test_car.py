from __future__ import annotations

import hashlib
import tracemalloc

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_nb.content import car, varints
from cascade_nb.content.cid import DAG_CBOR, DAG_PB, RAW, sha2_256_cid
from cascade_nb.content.unixfs import UNIXFS_V0_2015, blocks
from cascade_nb.errors import IntegrityError

PRAGMA = bytes.fromhex("0aa16776657273696f6e02")


def raw(data: bytes) -> tuple[bytes, bytes]:
    return sha2_256_cid(RAW, hashlib.sha256(data).digest()), data


BLOCKS = [raw(b""), raw(b"one"), raw(bytes(300)), raw(b"x" * 200_000)]
ROOT = BLOCKS[1][0]
CAR = b"".join(car.write(ROOT, BLOCKS))


def version_2(
    inner: bytes, *, padding: int = 0, index: bytes = b"", size: int | None = None
) -> bytes:
    start = 51 + padding
    fields = (start, len(inner) if size is None else size, start + len(inner) if index else 0)
    head = bytes(16) + b"".join(number.to_bytes(8, "little") for number in fields)
    return PRAGMA + head + bytes(padding) + inner + index


def read(stream: bytes, step: int | None = None) -> tuple[car.Reader, list[tuple[bytes, bytes]]]:
    reader = car.Reader()
    found: list[tuple[bytes, bytes]] = []
    for start in range(0, len(stream), step or max(1, len(stream))):
        found += reader.feed(stream[start : start + step] if step else stream)
    reader.finish()
    return reader, found


def test_the_bytes_are_those_of_the_specification() -> None:
    cid, block = raw(b"hello")
    stream = b"".join(car.write(cid, [(cid, block)]))
    header = libipld.encode_dag_cbor({"roots": [cid], "version": 1})
    section = cid + block
    assert stream == bytes((len(header),)) + header + bytes((len(section),)) + section
    assert car.header([]) == b"\x11" + libipld.encode_dag_cbor({"roots": [], "version": 1})
    many = [raw(bytes((i,)))[0] for i in range(200)] * 2
    encoded = libipld.encode_dag_cbor({"roots": many, "version": 1})
    assert car.header(many) == varints.encode(len(encoded)) + encoded


@pytest.mark.parametrize("step", [1, 7, 64, 4096, None])
@pytest.mark.parametrize(
    "stream",
    [CAR, version_2(CAR), version_2(CAR, padding=1413, index=b"\x80\x08 an index" * 99)],
    ids=["v1", "v2", "v2 with padding and an index"],
)
def test_what_was_written_is_read_however_it_is_cut(stream: bytes, step: int | None) -> None:
    if step == 1:
        stream = stream.replace(CAR, short := b"".join(car.write(ROOT, BLOCKS[:3])))
        if stream.startswith(PRAGMA):
            stream = version_2(short, padding=3)
    reader, found = read(stream, step)
    assert reader.roots == (ROOT,)
    assert found == BLOCKS[: len(found)]
    assert len(found) >= 3


def test_blocks_are_written_by_reference_and_roots_need_not_be_there() -> None:
    data = bytes(1000)
    pieces = list(car.write(ROOT, [raw(data)]))
    assert pieces[-1] is data
    reader, found = read(b"".join(car.write(ROOT, [])))
    assert (reader.roots, found) == ((ROOT,), [])
    assert read(car.header([]))[0].roots == ()


def test_version_0_is_given_as_version_1() -> None:
    ((cid, block),) = blocks([b"x"], UNIXFS_V0_2015)
    assert len(cid) == 34
    reader, found = read(b"".join(car.write(cid, [(cid, block)])))
    assert reader.roots == (bytes((1, DAG_PB)) + cid,)
    assert found == [(bytes((1, DAG_PB)) + cid, block)]


def test_an_identity_is_proven_by_itself() -> None:
    cid = bytes((1, RAW, 0, 3)) + b"abc"
    assert read(b"".join(car.write(cid, [(cid, b"abc")])))[1] == [(cid, b"abc")]


def test_a_cut_between_blocks_is_for_the_reader_of_the_dag_to_find() -> None:
    assert len(read(b"".join(car.write(ROOT, BLOCKS[:2])))[1]) == 2


@pytest.mark.parametrize("stream", [CAR, version_2(CAR)], ids=["v1", "v2"])
def test_a_cut_anywhere_else_is_found(stream: bytes) -> None:
    ends = {len(b"".join(car.write(ROOT, BLOCKS[:n]))) for n in range(len(BLOCKS) + 1)}
    borders = ends if stream is CAR else {len(stream)}
    for cut in [*range(700), len(stream) - 1]:
        if cut not in borders:
            with pytest.raises(IntegrityError, match="broken at byte"):
                read(stream[:cut], 97)


BLAKE3 = b"\x01\x55\x1e\x20" + bytes(32)
WRONG = [
    ("a flipped byte", CAR[:-1] + b"y", "is not what its CID"),
    ("BLAKE3", car.header([]) + car.section_head(BLAKE3, 1) + b"x", "0x1e"),
    (
        "a short SHA2",
        car.header([]) + car.section_head(b"\x01\x55\x12\x10" + bytes(16), 0),
        "not accepted",
    ),
    (
        "a long identity",
        car.header([]) + car.section_head(b"\x01\x55\x00\x81\x01", 129) + bytes(129),
        "digest would have 129",
    ),
    ("version 3", car.header([]) + b"\x02\x03\x55", "version would be 3"),
    ("an endless digest", car.header([]) + b"\x04\x01\x55\x00\x05", "inside of a CID"),
    ("a section of nothing", car.header([]) + b"\0", "of no bytes"),
    ("a huge section", car.header([]) + varints.encode(1 << 40), "at most 8,388,608"),
    ("a huge header", varints.encode(1 << 40), "at most 33,554,432"),
    ("an endless length", b"\xff" * 11, "more than ten bytes"),
    ("a wasteful length", b"\x81\0", "more bytes than it needs"),
    ("text", b"<html>404 not found</html>" * 9, "none of version"),
    ("version 3 of CAR", bytes.fromhex("0aa16776657273696f6e03"), "none of version"),
    ("v2 in v2", version_2(version_2(CAR)), "none of version"),
    ("v2 without data", version_2(CAR, size=0), "no data"),
    ("v2 cut by its size", version_2(CAR, size=len(CAR) - 1), "beyond the data"),
    ("v2 within its header", PRAGMA + bytes(16) + b"\x05" + bytes(23), "within the header"),
]


@pytest.mark.parametrize(("stream", "match"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_is_wrong_is_named(stream: bytes, match: str) -> None:
    with pytest.raises(IntegrityError, match=match) as caught:
        read(stream, 1000)
    assert "\n" not in str(caught.value)


def _header(cbor: bytes) -> bytes:
    return varints.encode(len(cbor)) + cbor


@pytest.mark.parametrize(
    "cbor",
    [
        libipld.encode_dag_cbor({"roots": [1], "version": 1}),
        libipld.encode_dag_cbor({"roots": [], "version": 2}),
        libipld.encode_dag_cbor({"version": 1}),
        b"\xa2\x65roots\x9a\xff\xff\xff\xff\x67version\x01",
        b"\xa2\x65roots\x9b" + b"\xff" * 8 + b"\x67version\x01",
        b"\xa2\x65roots\x98\x01\xd8\x2a\x58\x25\0" + ROOT + b"\x67version\x01",
        b"\xa2\x65roots\x81\xd8\x2a\x58\x24\0" + ROOT[:-1] + b"\x67version\x01",
        b"\xa2\x65roots\x81\xd8\x2a\x58\x26\0" + ROOT + b"!\x67version\x01",
        b"\xa2\x65roots\x81\xd8\x2a\x58\x25\1" + ROOT + b"\x67version\x01",
        b"\xa2\x65roots\x81\xd8\x2a\x58\xff\0" + ROOT + b"\x67version\x01",
        b"\xa2\x65roots\x82\xd8\x2a\x58\x25\0" + ROOT + b"\x67version\x01",
        b"\xa2\x65roots\x67version\x01",
        b"\x80" * 3000,
    ],
)
def test_a_header_in_any_other_form_is_refused(cbor: bytes) -> None:
    with pytest.raises(IntegrityError, match="byte 0: "):
        read(_header(cbor))


def test_a_promise_of_much_takes_no_memory() -> None:
    tracemalloc.start()
    try:
        for head in (
            varints.encode(32 << 20) + b"\xa2\x65roots\x9a\0\xff\xff\xff",
            car.header([ROOT]) + varints.encode(8 << 20),
            version_2(CAR, size=1 << 60)[: 51 + 60],
            version_2(CAR)[:27] + (1 << 50).to_bytes(8, "little") + b"\1" * 16,
        ):
            reader = car.Reader()
            assert not list(reader.feed(head))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_follows_the_data_of_version_2_is_not_held() -> None:
    reader = car.Reader()
    assert list(reader.feed(version_2(CAR))) == BLOCKS
    tracemalloc.start()
    try:
        for _ in range(50):
            assert not list(reader.feed(bytes(100_000)))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    reader.finish()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A CAR with a few bytes changed, dropped, put in or repeated."""
    blocks = [raw(draw(st.binary(max_size=80))) for _ in range(draw(st.integers(0, 5)))]
    kind = draw(st.sampled_from((RAW, DAG_PB, DAG_CBOR)))
    stream = b"".join(car.write(sha2_256_cid(kind, bytes(32)), blocks))
    if draw(st.booleans()):
        stream = version_2(stream, padding=draw(st.integers(0, 9)), index=draw(st.binary()))
    edited = bytearray(stream)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(edited)))
        length = draw(st.integers(0, 12))
        edited[at : at + length] = draw(st.binary(max_size=12))
    return bytes(edited)


@given(st.one_of(st.binary(max_size=300), damaged()), st.integers(1, 400))
def test_whatever_comes_nothing_unproven_goes_out(stream: bytes, step: int) -> None:
    reader = car.Reader()
    try:
        for start in range(0, len(stream), step):
            for cid, block in reader.feed(stream[start : start + step]):
                if cid[2] == 0x12:
                    assert cid[4:] == hashlib.sha256(block).digest()
                else:
                    assert cid.endswith(block)
                assert block in stream
        reader.finish()
    except IntegrityError as error:
        assert str(error)  # noqa: PT017 - one error is right, and so is none
