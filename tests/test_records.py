from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import libipld
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade_nb.errors import IntegrityError
from cascade_nb.records import Output, Reads, Record

CID = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
NODE = "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"

RECORD = Record(
    kind="function",
    key="ab" * 32,
    result=CID,
    needs_code=False,
    name="fit",
    created=1_700_000_000.25,
    ttl=3600.0,
    seconds=2.5,
    size=100,
    outputs=(
        Output(name="value", cid=CID, fingerprint="cd" * 32, codec="tree/1", type="int", size=100),
    ),
    parts={"code": "01" * 32, "argument x": "02" * 32},
    reads=Reads(files={"data.csv": "03" * 32, "absent.csv": None}, folders={"images": "04" * 32}),
    environment={"python": "3.11", "numpy": "2.4"},
    producer="ssh-ed25519 AAAA",
    signature=b"SSHSIG",
)

# What each field may be changed to; every one of them has to be covered by the signature.
CHANGES: dict[str, Any] = {
    "kind": "cell",
    "key": "ac" * 32,
    "result": NODE,
    "needs_code": True,
    "name": "fit2",
    "created": 1_700_000_000.5,
    "ttl": None,
    "seconds": 2.0,
    "size": 101,
    "outputs": (),
    "parts": {"code": "01" * 32},
    "reads": Reads(files={"data.csv": "03" * 32}, folders={"images": "04" * 32}),
    "environment": {"python": "3.12", "numpy": "2.4"},
    "producer": "ssh-ed25519 AAAB",
}


def tree_of(record: Record) -> dict[str, Any]:
    tree: dict[str, Any] = libipld.decode_dag_cbor(record.to_bytes())
    return tree


def test_a_record_comes_back_equal() -> None:
    for record in (RECORD, replace(RECORD, ttl=None, outputs=(), reads=Reads(), signature=b"")):
        decoded = Record.from_bytes(record.to_bytes())
        assert decoded == record
        assert decoded.to_bytes() == record.to_bytes()


def test_the_encoding_of_format_1_is_pinned() -> None:
    # Records are signed and named by these bytes: they can never change under this format.
    assert RECORD.to_bytes().hex() == PINNED


PINNED = (
    "b0636b6579784061626162616261626162616261626162616261626162616261626162616261626162616261"
    "6261626162616261626162616261626162616261626162616261626374746cfb40ac200000000000646b696e"
    "646866756e6374696f6e646e616d65636669746473697a651864657061727473a264636f6465784030313031"
    "3031303130313031303130313031303130313031303130313031303130313031303130313031303130313031"
    "303130313031303130313031303130316a617267756d656e7420787840303230323032303230323032303230"
    "3230323032303230323032303230323032303230323032303230323032303230323032303230323032303230"
    "3230323032657265616473a26566696c6573a268646174612e63737678403033303330333033303330333033"
    "3033303330333033303330333033303330333033303330333033303330333033303330333033303330333033"
    "3033303330336a616273656e742e637376f667666f6c64657273a166696d6167657378403034303430343034"
    "3034303430343034303430343034303430343034303430343034303430343034303430343034303430343034"
    "30343034303430343034303466666f726d61740166726573756c74d82a582500015512202cf24dba5fb0a30e"
    "26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b98246763726561746564fb41d954fc40100000676f75"
    "747075747381a663636964d82a582500015512202cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e"
    "73043362938b9824646e616d656576616c75656473697a651864647479706563696e7465636f646563667472"
    "65652f316b66696e6765727072696e7478406364636463646364636463646364636463646364636463646364"
    "6364636463646364636463646364636463646364636463646364636463646364636463646364677365636f6e"
    "6473fb40040000000000006870726f6475636572707373682d656432353531392041414141697369676e6174"
    "757265465353485349476a6e656564735f636f6465f46b656e7669726f6e6d656e74a2656e756d707963322e"
    "3466707974686f6e64332e3131"
)


def test_numbers_are_floats_whatever_they_were() -> None:
    whole = replace(RECORD, created=1_700_000_000, ttl=60, seconds=2)
    assert whole.to_bytes() == replace(RECORD, created=1.7e9, ttl=60.0, seconds=2.0).to_bytes()


def test_the_signature_covers_every_other_field() -> None:
    assert {field.name for field in fields(Record)} == {*CHANGES, "signature"}
    signed = RECORD.signed_bytes()
    for name, value in CHANGES.items():
        assert replace(RECORD, **{name: value}).signed_bytes() != signed, name
    assert RECORD.with_signature(b"other").signed_bytes() == signed
    assert RECORD.with_signature(b"other") == replace(RECORD, signature=b"other")


def test_result_and_outputs_are_links() -> None:
    # A link is CBOR tag 42; pinning and exporting a record takes what it links.
    data = RECORD.to_bytes()
    link = b"\xd8\x2a\x58\x25\x00" + libipld.decode_multibase(CID)[1]
    assert data.count(link) == 2


def mutated(**changes: Any) -> bytes:
    tree = tree_of(RECORD)
    for name, value in changes.items():
        if value is ...:
            del tree[name]
        else:
            tree[name] = value
    data: bytes = libipld.encode_dag_cbor(tree)
    return data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"not a record",
        libipld.encode_dag_cbor([]),
        libipld.encode_dag_cbor({}),
        libipld.encode_dag_cbor({"format": 1}),
        RECORD.to_bytes()[:-1],
        RECORD.to_bytes() + b"\0",
        b"\x81" * 100_000,
        b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",
        mutated(format=2),
        mutated(format=True),
        mutated(extra=1),
        mutated(producer=...),
        mutated(key=1),
        mutated(key=None),
        mutated(size=1.0),
        mutated(size=True),
        mutated(created=1),
        mutated(ttl=60),
        mutated(needs_code=0),
        mutated(result=b"bytes"),
        mutated(result=CID),
        mutated(signature="text"),
        mutated(parts={"code": 1}),
        mutated(parts=[]),
        mutated(environment={"python": None}),
        mutated(reads={"files": {}}),
        mutated(reads={"files": {}, "folders": {}, "more": {}}),
        mutated(reads={"files": {"a": 1}, "folders": {}}),
        mutated(outputs=[{}]),
        mutated(outputs=[1]),
        mutated(outputs=[{**tree_of(RECORD)["outputs"][0], "size": "1"}]),
        mutated(outputs=[{**tree_of(RECORD)["outputs"][0], "more": 1}]),
    ],
    ids=repr,
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError) as caught:
        Record.from_bytes(data)
    assert "\n" not in str(caught.value)


def test_another_format_is_named() -> None:
    with pytest.raises(IntegrityError, match="a record of format 2; this reads 1"):
        Record.from_bytes(mutated(format=2))


def test_one_record_has_one_encoding() -> None:
    data = RECORD.to_bytes()
    size = b"dsize\x18\x64"
    assert size in data
    wasteful = data.replace(size, b"dsize\x19\x00\x64")
    assert libipld.decode_dag_cbor(wasteful) == libipld.decode_dag_cbor(data)
    with pytest.raises(IntegrityError, match="canonical"):
        Record.from_bytes(wasteful)


def test_bytes_in_place_of_a_link_are_refused() -> None:
    binary = libipld.decode_multibase(CID)[1]
    data = RECORD.to_bytes()
    link = b"fresult\xd8\x2a\x58\x25\x00" + binary
    assert link in data
    with pytest.raises(IntegrityError):
        Record.from_bytes(data.replace(link, b"fresult\x58\x24" + binary))


@given(st.binary(max_size=200))
def test_noise_raises_nothing_else(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        Record.from_bytes(data)


@given(st.integers(0, len(RECORD.to_bytes()) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_changes_the_record(place: int, flip: int) -> None:
    data = bytearray(RECORD.to_bytes())
    data[place] ^= flip
    try:
        decoded = Record.from_bytes(bytes(data))
    except IntegrityError:
        return
    assert decoded != RECORD
    assert decoded.to_bytes() == bytes(data)


def test_expiry() -> None:
    made, ttl = RECORD.created, 3600.0
    assert not RECORD.expired(made)
    assert not RECORD.expired(made + ttl - 1)
    assert RECORD.expired(made + ttl)
    assert RECORD.expired(made + 1e9)
    # a clock that differs a little, and one that was set back by far
    assert not RECORD.expired(made - 299)
    assert RECORD.expired(made - 301)
    assert not replace(RECORD, ttl=None).expired(made + 1e12)
    assert not replace(RECORD, ttl=None).expired(0)


def test_reads_merge_with_the_first_sight_kept() -> None:
    first = Reads(files={"a": "1", "b": None}, folders={"d": "1"})
    second = Reads(files={"a": "2", "c": "3"}, folders={"d": None, "e": "5"})
    both = first.merged(second)
    assert both == Reads(files={"a": "1", "b": None, "c": "3"}, folders={"d": "1", "e": "5"})
    assert both
    assert not Reads()
    assert Reads(folders={"d": None})
