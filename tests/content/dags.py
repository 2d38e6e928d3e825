"""DAGs that no honest builder makes, byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cascade_nb.content.cid import DAG_PB, RAW, sha2_256_cid
from cascade_nb.content.varints import encode as varint

Block = tuple[bytes, bytes]


def content(size: int) -> bytes:
    return hashlib.shake_128(b"ipfs-vector").digest(size)


def raw(data: bytes) -> Block:
    return sha2_256_cid(RAW, hashlib.sha256(data).digest()), data


def dag_pb(data: bytes) -> Block:
    return sha2_256_cid(DAG_PB, hashlib.sha256(data).digest()), data


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def link(cid: bytes, *, name: bytes = b"", tree_size: int = 0) -> bytes:
    return field(1, cid) + field(2, name) + field(3, tree_size)


def unixfs(*, kind: int = 2, data: bytes = b"", size: int, sizes: Sequence[int] = ()) -> bytes:
    encoded = field(1, kind) + (field(2, data) if data else b"") + field(3, size)
    return encoded + b"".join(field(4, each) for each in sizes)


def node(
    children: Sequence[tuple[bytes, int]],
    *,
    data: bytes = b"",
    size: int | None = None,
    kind: int = 2,
) -> Block:
    """A file's node over children, each a CID and the size that the node gives it."""
    if size is None:
        size = len(data) + sum(each for _, each in children)
    links = b"".join(field(2, link(cid)) for cid, _ in children)
    body = unixfs(kind=kind, data=data, size=size, sizes=[each for _, each in children])
    return dag_pb(links + field(1, body))


def bomb(levels: int, *, fan: int = 1000, leaf: bytes = b"\0" * 1000) -> list[Block]:
    """A few small blocks that are `fan` to the power of `levels` leaves; the root first."""
    blocks = [raw(leaf)]
    size = len(leaf)
    for _ in range(levels):
        blocks.append(node([(blocks[-1][0], size)] * fan))
        size *= fan
    return blocks[::-1]
