from __future__ import annotations

import libipld
import pytest

from cascade_nb.content.cid import (
    DAG_CBOR,
    DAG_PB,
    RAW,
    codec_of,
    dag_cbor_cid,
    normal,
    parse,
    raw_cid,
    sha2_256_cid,
    to_text,
)
from cascade_nb.errors import ConfigurationError

CID = "bafybeicvtfpzaim6fbz5axz4wd7zqd3bap4ns2o6ejblsxw7ro3qj7nlyq"
BINARY = libipld.decode_multibase(CID)[1]


@pytest.mark.parametrize("base", "bBcCvVtThkKzZfF079mMuU")
def test_every_multibase_is_read_and_base32_given_back(base: str) -> None:
    text = libipld.encode_multibase(base, BINARY)
    assert parse(text) == BINARY
    assert normal(text) == CID


@pytest.mark.parametrize("form", ["ipfs://{}", "/ipfs/{}", "ipfs://{}/", " {}\n", "{}"])
def test_the_forms_that_people_paste(form: str) -> None:
    assert normal(form.format(CID)) == CID


def test_version_0_becomes_the_version_1_of_the_same_block() -> None:
    v0 = "QmTsJQ8n7M6b5zvsJnMfqLQXMQB4yUxVbdqL1z75R1tH8b"
    binary = parse(v0)
    assert binary[:4] == b"\x01\x70\x12\x20"
    assert to_text(binary[2:]) == v0
    assert normal(f"ipfs://{v0}") == to_text(binary)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "b",
        "hello",
        "a text with spaces",
        "π",
        "\ud800",
        CID[:-1],
        CID + "a",
        CID + "/file.txt",
        "/ipns/" + CID,
        "ipfs://" + "/ipfs/" + CID,
        "https://example.org/ipfs/" + CID,
        "f" + BINARY.hex() + "00",
        "f" + BINARY.hex()[:-2],
        "f02" + BINARY.hex()[2:],
        "f8100" + BINARY.hex()[2:],
        "f01f000" + BINARY.hex()[4:],
        "f1220" + "00" * 32,
        "z" + "QmTsJQ8n7M6b5zvsJnMfqLQXMQB4yUxVbdqL1z75R1tH8b",
        "QmTsJQ8n7M6b5zvsJnMfqLQXMQB4yUxVbdqL1z75R1tH80",
        "QmTsJQ8n7M6b5zvsJnMfqLQXMQB4yUxVbdqL1z75R1tH",
        "x" * 100_000,
    ],
    ids=ascii,
)
def test_what_is_no_cid_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    message = str(caught.value)
    assert "is not a CID" in message
    assert "\n" not in message
    assert len(message) < 400


def test_no_two_texts_in_base32_name_one_cid() -> None:
    # The last letter carries padding bits, which must be zero.
    for last in "rstvwx":
        with pytest.raises(ConfigurationError):
            parse(CID[:-1] + last)


def test_bytes_that_are_no_cid_have_no_text() -> None:
    with pytest.raises(ConfigurationError, match="not a CID"):
        to_text(bytes(32))


def test_cids_of_single_blocks() -> None:
    assert raw_cid(b"hello") == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
    # the empty map, as every DAG-CBOR library names it
    assert dag_cbor_cid(b"\xa0") == "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua"
    for codec in (RAW, DAG_PB, DAG_CBOR):
        assert codec_of(sha2_256_cid(codec, bytes(32))) == codec
    assert codec_of(parse("f01f0011220" + "00" * 32)) == 0xF0
