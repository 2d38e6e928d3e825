"""CIDs: their text, their bytes, and those of single blocks.

Inside of this package a CID is its base32 text; bytes occur where blocks are built. libipld does
the text, but passes over what follows a CID and knows no URL: hence the checks here.
"""

from __future__ import annotations

import hashlib

import libipld

from cascade_nb.errors import ConfigurationError
from cascade_nb.protocols import Bytes

RAW = 0x55
DAG_PB = 0x70
DAG_CBOR = 0x71

_SHA2_256 = b"\x12\x20"
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
    codec = shift = 0
    for byte in binary[1:]:
        codec |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    return codec


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
