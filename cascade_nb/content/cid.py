"""CIDs: their text, their bytes, and those of single blocks.

Inside of this package a CID is its base32 text; bytes occur where blocks are built. libipld does
the text, but passes over what follows a CID and knows no URL: hence the checks here.
"""

from __future__ import annotations

import hashlib

import libipld

from cascade_nb.content import varints
from cascade_nb.errors import ConfigurationError, IntegrityError
from cascade_nb.protocols import Bytes

RAW = 0x55
DAG_PB = 0x70
DAG_CBOR = 0x71

_SHA2_256 = b"\x12\x20"
_IDENTITY = 0x00
_LONGEST_DIGEST = 128
_PREFIXES = ("ipfs://", "/ipfs/")
_V0_LENGTH = 46


def parse(text: str) -> bytes:
    """The binary CID that `text` names, in any multibase, as ``ipfs://CID`` or ``/ipfs/CID``.

    A CID of version 0 is given as the version 1 that names the same block.

    Raises:
        ConfigurationError: `text` is no CID, or has more than a CID in it.
    """
    bare = text.strip()
    for prefix in _PREFIXES:
        if bare.startswith(prefix):
            bare = bare.removeprefix(prefix).removesuffix("/")
            break
    if bare.startswith("Qm") and len(bare) == _V0_LENGTH:
        return bytes((1, DAG_PB)) + _exact(_from_multibase("z" + bare, text), text)
    binary = _exact(_from_multibase(bare, text), text)
    if binary[0] != 1:
        raise _no_cid(text)  # version 0 has no multibase form
    return binary


def to_text(binary: bytes) -> str:
    """The base32 text of a binary CID; of version 0 the base58 text, its only one.

    Raises:
        ConfigurationError: `binary` is no CID.
    """
    try:
        text: str = libipld.encode_cid(binary)
    except ValueError:
        raise _no_cid(binary.hex()) from None
    return text


def normal(text: str) -> str:
    """The base32 text of the CID that `text` names; `parse` says what is taken and raised."""
    return to_text(parse(text))


def codec_of(binary: bytes) -> int:
    """The multicodec of a binary CID of version 1, such as `RAW`."""
    return varints.decode(binary, 1)[0]


def read(data: Bytes, at: int = 0) -> tuple[bytes, int]:
    """The binary CID at `at` in `data`, and where it ends; one of version 0 as its version 1.

    Raises:
        EndError: the data ends before the CID does.
        IntegrityError: there is none of version 0 or 1.
    """
    if data[at : at + 2] == _SHA2_256:
        return bytes((1, DAG_PB)) + _cut(data, at, at + 34), at + 34
    version, end = varints.decode(data, at)
    if version != 1:
        raise IntegrityError(f"no CID: its version would be {version}")
    _, end = varints.decode(data, end)
    _, end = varints.decode(data, end)
    size, end = varints.decode(data, end)
    if size > _LONGEST_DIGEST:
        raise IntegrityError(f"no CID: its digest would have {size} bytes")
    return _cut(data, at, end + size), end + size


def read_all(data: Bytes) -> bytes:
    """The binary CID that `data` is; raises `IntegrityError` where it is none, or more."""
    binary, end = read(data)
    if end != len(data):
        raise IntegrityError("no CID: bytes follow it")
    return binary


def inlined(binary: bytes) -> bytes | None:
    """The block that a CID of version 1 holds in itself (identity); None where it is a hash.

    Raises:
        IntegrityError: it is neither a SHA2-256 nor an identity of at most 128 bytes: no other
            proves its block.
    """
    _, at = varints.decode(binary, 1)
    if binary.startswith(_SHA2_256, at) and len(binary) == at + 34:
        return None
    function, at = varints.decode(binary, at)
    _, at = varints.decode(binary, at)
    if function != _IDENTITY:
        raise IntegrityError(f"{shown(binary)} has a hash (0x{function:x}) that is not accepted")
    if len(binary) - at > _LONGEST_DIGEST:
        raise IntegrityError(f"{shown(binary)} holds more than {_LONGEST_DIGEST} bytes in itself")
    return binary[at:]


def shown(binary: bytes) -> str:
    """The text of a binary CID for a message, whatever it is."""
    try:
        text = to_text(binary)
    except ConfigurationError:
        text = binary.hex()
    return text if len(text) <= 80 else text[:77] + "..."


def _cut(data: Bytes, start: int, end: int) -> bytes:
    if len(data) < end:
        raise varints.EndError("it ends inside of a CID")
    return bytes(data[start:end])


def sha2_256_cid(codec: int, digest: bytes) -> bytes:
    """The binary CID of version 1 of a block that has `codec` (below 128) and this SHA2-256."""
    return bytes((1, codec)) + _SHA2_256 + digest


def raw_cid(data: Bytes) -> str:
    """The CID of `data` as one raw block."""
    return to_text(sha2_256_cid(RAW, hashlib.sha256(data).digest()))


def dag_cbor_cid(data: Bytes) -> str:
    """The CID of `data` as one DAG-CBOR block."""
    return to_text(sha2_256_cid(DAG_CBOR, hashlib.sha256(data).digest()))


def _from_multibase(text: str, shown: str) -> bytes:
    try:
        base, binary = libipld.decode_multibase(text)
        proper = libipld.encode_multibase(base, binary)
    except ValueError:
        raise _no_cid(shown) from None
    # Stray padding bits and mixed case decode to the same bytes.
    if proper != text:
        raise _no_cid(shown)
    return bytes(binary)


def _exact(binary: bytes, shown: str) -> bytes:
    """`binary`, if it is a CID and nothing else."""
    try:
        text = libipld.encode_cid(binary)
    except ValueError:
        raise _no_cid(shown) from None
    # Bytes after the CID and wasteful varints are lost on the way.
    if libipld.decode_multibase(text if binary[0] == 1 else "z" + text)[1] != binary:
        raise _no_cid(shown)
    return binary


def _no_cid(text: str) -> ConfigurationError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return ConfigurationError(f"{shown!r} is not a CID")
