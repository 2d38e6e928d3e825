from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_nb.content import dag_cbor
from cascade_nb.content.assembly import FileAssembly
from cascade_nb.content.cid import (
    DAG_CBOR,
    DAG_PB,
    dag_cbor_cid,
    parse,
    raw_cid,
    sha2_256_cid,
)
from cascade_nb.content.dag import links, record_blocks
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import IntegrityError
from cascade_nb.policies.packing import pack_cell, pack_value
from cascade_nb.records import Output, Reads, Record
from cascade_nb.tasks import CellResult
from tests.content.dags import content, dag_pb, field, link, node, raw

A, B = raw(b"a")[0], raw(b"b")[0]


def record(result: str, outputs: Sequence[Output] = ()) -> bytes:
    return Record(
        kind="function",
        key="0" * 64,
        result=result,
        needs_code=False,
        name="f",
        created=0.0,
        ttl=None,
        seconds=1.0,
        size=1,
        outputs=tuple(outputs),
        parts={},
        reads=Reads(),
        environment={},
        signature=bytes(64),
    ).to_bytes()


def test_links_of_each_codec() -> None:
    assert links(A, b"a") == []
    cid, block = node([(A, 1), (B, 1), (A, 1)])
    assert links(cid, block) == [A, B, A]
    version_0 = b"\x12\x20" + bytes(32)
    folder = dag_pb(field(2, link(version_0, name=b"file")) + field(1, field(1, 1)))
    assert links(*folder) == [bytes((1, DAG_PB)) + version_0]
    tree = {"b": [A, {"c": B}], "a": b"not a link", "z": None, "deep": [[[[A]]]]}
    assert links(sha2_256_cid(DAG_CBOR, bytes(32)), libipld.encode_dag_cbor(tree)) == [A, B, A]
    with pytest.raises(IntegrityError, match="neither raw, dag-pb nor DAG-CBOR"):
        links(b"\x01\x78\x12\x20" + bytes(32), b"")
    with pytest.raises(IntegrityError, match="not a dag-pb"):
        links(cid, b"\x18\x01")


def test_bytes_that_look_like_a_cid_are_no_link() -> None:
    assert dag_cbor.links(b"\x58\x24" + A) == []
    assert dag_cbor.links(b"\xd8\x2a\x58\x25\x00" + A) == [A]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.binary(max_size=30)
    | st.sampled_from((A, B)),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=40,
)


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sum(map(leaves, value))
    return value in (A, B)


@given(values)
def test_all_that_libipld_encodes_is_walked(value: Any) -> None:
    assert len(dag_cbor.links(libipld.encode_dag_cbor(value))) == leaves(value)


@given(st.binary(max_size=60))
def test_any_bytes_have_links_or_are_an_integrity_error(block: bytes) -> None:
    try:
        found = dag_cbor.links(block)
    except IntegrityError:
        return
    assert all(b"\0" + cid in block for cid in found)
    assert libipld.encode_dag_cbor(libipld.decode_dag_cbor(block)) == block


@given(values, st.data())
def test_an_edited_block_is_canonical_or_refused(value: Any, data: st.DataObject) -> None:
    block = libipld.encode_dag_cbor(value)
    at = data.draw(st.integers(0, len(block)))
    drop = data.draw(st.integers(0, 2))
    block = block[:at] + data.draw(st.binary(max_size=2)) + block[at + drop :]
    try:
        dag_cbor.links(block)
    except IntegrityError:
        return
    assert libipld.encode_dag_cbor(libipld.decode_dag_cbor(block)) == block


@pytest.mark.parametrize(
    ("block", "match"),
    [
        (b"", "cut"),
        (b"\x00\x00", "bytes follow"),
        (b"\x18\x17", "more bytes than it needs"),
        (b"\x19\x00\xff", "more bytes than it needs"),
        (b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff", "more bytes than it needs"),
        (b"\x9f\xff", "without end"),
        (b"\x82\x00", "cut"),
        (b"\x9b" + b"\xff" * 8, "cut"),
        (b"\x5b" + b"\xff" * 8, "cut"),
        (b"\xc1\x00", "tag 1"),
        (b"\xd8\x2a\x00", "a link is none"),
        (b"\xd8\x2a\x42\x01\x55", "a link is none"),
        (b"\xd8\x2a\x43\x00\x01\x55", "inside of"),
        (b"\xf7", "constant"),
        (b"\xf9\x00\x00", "constant"),
        (b"\xfb\x7f\xf8" + bytes(6), "not finite"),
        (b"\xfb\x7f\xf0" + bytes(6), "not finite"),
        (b"\x61\xff", "UTF-8"),
        (b"\xa1\x00\x00", "no text"),
        (b"\xa2\x61b\x00\x61a\x00", "disorder"),
        (b"\xa2\x62aa\x00\x61b\x00", "disorder"),
        (b"\xa2\x61a\x00\x61a\x00", "disorder"),
        (b"\x81" * 100_000, "too deeply"),
    ],
)
def test_what_is_not_canonical_is_refused(block: bytes, match: str) -> None:
    with pytest.raises(IntegrityError, match=match):
        dag_cbor.links(block)


def walked(
    data: bytes, contents: Mapping[str, Sequence[Any]]
) -> tuple[list[bytes], dict[bytes, bytes]]:
    built = [(cid, bytes(block)) for cid, block in record_blocks(data, contents)]
    order = [cid for cid, _ in built]
    assert len(order) == len(set(order))
    for cid, block in built:
        assert cid[4:] == hashlib.sha256(block).digest()
    linked = {parse(dag_cbor_cid(data))}
    for cid, block in built:
        assert cid in linked, "a block comes before what links it"
        linked.update(links(cid, block))
    assert linked == set(order)
    return order, dict(built)


def test_a_value_with_its_record() -> None:
    package = pack_value(content(3 << 20))
    data = record(package.result, package.outputs)
    order, built = walked(data, package.contents)
    assert order[0] == parse(dag_cbor_cid(data))
    assert order[1] == parse(package.result)
    assembly = FileAssembly(parse(package.result), limit=1 << 30)
    for cid, block in built.items():
        assembly.add(cid, block)
    assert assembly.data == b"".join(package.contents[package.result])


def test_a_cell_with_its_record() -> None:
    result = CellResult(outputs={"a": [1], "b": content(2 << 20)}, displays=[], effects={})
    package = pack_cell(result, {})
    data = record(package.result, package.outputs)
    order, _ = walked(data, package.contents)
    assert order[1] == parse(package.result)
    assert {parse(cid) for cid in package.contents} <= set(order)


def test_equal_contents_and_chunks_come_once() -> None:
    zeros = bytes(3 << 20)
    cid, other = file_cid([zeros]), file_cid([zeros[:-1]])
    tree = libipld.encode_dag_cbor({"all": [parse(cid), parse(other), parse(cid)]})
    order, _ = walked(tree, {cid: [zeros], other: [zeros[:-1]]})
    assert len(order) == 1 + 2 + 2  # the chunk of the first is in the second, too


def test_what_is_missing_or_damaged_is_named() -> None:
    cid = file_cid([content(2 << 20)])
    with pytest.raises(IntegrityError, match=f"{cid} is missing"):
        list(record_blocks(record(cid), {}))
    with pytest.raises(IntegrityError, match=f"{cid} is not what its CID says"):
        list(record_blocks(record(cid), {cid: [content(2 << 20)[:-1]]}))
    inner = libipld.encode_dag_cbor([])
    with pytest.raises(IntegrityError, match="is not what its CID says"):
        list(record_blocks(record(dag_cbor_cid(inner)), {dag_cbor_cid(inner): [b"\xa0"]}))


def test_pieces_are_not_copied() -> None:
    data = bytearray(16 << 20)
    cid = file_cid([b"head", data])
    tracemalloc.start()
    try:
        for _, block in record_blocks(record(cid), {cid: [b"head", data]}):
            del block
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()


def test_a_small_content_is_one_raw_block() -> None:
    order, built = walked(record(raw_cid(b"x")), {raw_cid(b"x"): [memoryview(b"x")]})
    assert order[1:] == [parse(raw_cid(b"x"))]
    assert built[order[1]] == b"x"
