"""Whether bytes are what a CID names."""

from __future__ import annotations

import hashlib

from cascade_nb.content.cid import (
    DAG_CBOR,
    DAG_PB,
    RAW,
    codec_of,
    inlined,
    parse,
    sha2_256_cid,
    shown,
    to_text,
)
from cascade_nb.content.unixfs import file_cid
from cascade_nb.errors import IntegrityError
from cascade_nb.protocols import Bytes


def verify(cid: str, data: Bytes) -> bool:
    """Whether `data` is the content that `cid` names.

    Content is the block itself for raw and DAG-CBOR, and the file for dag-pb, whose DAG is built
    anew by the profile unixfs-v1-2025; any other profile, codec or hash function is a no.
    """
    binary = parse(cid)
    codec = codec_of(binary)
    if codec in (RAW, DAG_CBOR):
        return binary == sha2_256_cid(codec, hashlib.sha256(data).digest())
    return codec == DAG_PB and to_text(binary) == file_cid([data])


def check_block(cid: bytes, block: Bytes) -> None:
    """Raise `IntegrityError` unless `block` is the one that the binary CID of version 1 names.

    Hashes are SHA2-256, or the block itself up to 128 bytes; the rest is refused.
    """
    within = inlined(cid)
    if within is None:
        within, block = cid[-32:], hashlib.sha256(block).digest()
    if within != block:
        raise IntegrityError(f"a block is not what its CID {shown(cid)} says")
