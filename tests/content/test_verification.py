from __future__ import annotations

import libipld
import pytest

from cascade_nb.content import verify
from cascade_nb.content.cid import dag_cbor_cid, parse, raw_cid
from cascade_nb.content.unixfs import LEGACY_V1, UNIXFS_V0_2015, file_cid
from cascade_nb.errors import ConfigurationError

LARGE = bytes(range(256)) * 5000


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=len)
def test_files_verify_by_the_profile_of_the_house(data: bytes) -> None:
    cid = file_cid([data])
    assert verify(cid, data)
    assert verify(cid, memoryview(bytearray(data)))
    assert not verify(cid, data + b"\0")
    if data:
        flipped = bytearray(data)
        flipped[len(data) // 2] ^= 1
        assert not verify(cid, flipped)
        assert not verify(cid, data[:-1])


def test_blocks_verify_by_their_codec() -> None:
    block = libipld.encode_dag_cbor({"a": 1})
    assert verify(dag_cbor_cid(block), block)
    assert not verify(dag_cbor_cid(block), block + b"\0")
    assert verify(raw_cid(LARGE), LARGE)
    assert verify("f" + parse(raw_cid(b"x")).hex(), b"x")


@pytest.mark.parametrize("profile", [UNIXFS_V0_2015, LEGACY_V1], ids=lambda p: p.name)
def test_files_of_other_profiles_do_not(profile: object) -> None:
    assert not verify(file_cid([LARGE], profile), LARGE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "cid",
    [
        "bafkqaaa",  # identity
        "f01551e20" + "00" * 32,  # BLAKE3
        "f0155122100" + "00" * 32,  # a SHA2-256 of 33 bytes
        "f01551210" + "00" * 16,  # a cut one
        "f017812 20".replace(" ", "") + "00" * 32,  # a codec that is not ours
    ],
)
def test_other_hashes_and_codecs_are_a_no(cid: str) -> None:
    assert not verify(cid, b"")


def test_a_text_that_is_no_cid_is_an_error() -> None:
    with pytest.raises(ConfigurationError):
        verify("nonsense", b"")
