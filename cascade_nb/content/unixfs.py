"""Files as UnixFS DAGs: the CID that ``ipfs add`` would give, and the blocks to upload.

Layout and encodings are those of boxo's balanced builder (ipfs/specs, UnixFS; dag-pb). Built
here, so that a CID depends on no node's version or configuration.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from cascade_nb.content.cid import DAG_PB, RAW, sha2_256_cid, to_text
from cascade_nb.content.varints import encode as varint
from cascade_nb.protocols import Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a file is cut and linked: bytes per leaf, links per node, raw or dag-pb leaves."""

    name: str
    cid_version: int
    raw_leaves: bool
    chunk: int
    links: int


UNIXFS_V0_2015 = Profile(
    name="unixfs-v0-2015", cid_version=0, raw_leaves=False, chunk=256 << 10, links=174
)
LEGACY_V1 = Profile(name="legacy-v1", cid_version=1, raw_leaves=True, chunk=256 << 10, links=174)
UNIXFS_V1_2025 = Profile(
    name="unixfs-v1-2025", cid_version=1, raw_leaves=True, chunk=1 << 20, links=1024
)


Parts: TypeAlias = list[Bytes]  # a block, not joined


def file_cid(pieces: Iterable[Bytes], profile: Profile = UNIXFS_V1_2025) -> str:
    """The CID of the file that `pieces` make when put together.

    Pieces are streamed and never joined or copied, whatever their size; the interpreter is free
    for other threads while a large one is hashed.
    """
    root = b""
    for cid, _ in block_parts(pieces, profile):
        root = cid
    return to_text(root)


def blocks(
    pieces: Iterable[Bytes], profile: Profile = UNIXFS_V1_2025
) -> Iterator[tuple[bytes, Bytes]]:
    """Each block of the file's DAG under its binary CID: children first, the root last.

    Equal chunks give equal blocks, as often as they occur. At most one chunk and one pending list
    of links per level of the tree are held at a time.
    """
    for cid, parts in block_parts(pieces, profile):
        yield cid, parts[0] if len(parts) == 1 else b"".join(parts)


def block_parts(
    pieces: Iterable[Bytes], profile: Profile = UNIXFS_V1_2025
) -> Iterator[tuple[bytes, Parts]]:
    """As `blocks`, but each block in the parts that it lies in, so that nothing is copied."""
    levels: list[list[_Child]] = [[]]
    for chunk in _chunks(pieces, profile.chunk):
        leaf, block = _leaf(chunk, profile)
        yield leaf.cid, block
        yield from _append(leaf, levels, 0, profile)
    level = 0
    while level < len(levels) - 1 or len(levels[level]) > 1:
        node, block = _node(levels[level], profile)
        yield node.cid, block
        yield from _append(node, levels, level + 1, profile)
        level += 1


@dataclass(frozen=True, slots=True)
class _Child:
    cid: bytes
    tree_size: int  # bytes of all blocks below and including it
    file_size: int


def _append(
    child: _Child, levels: list[list[_Child]], level: int, profile: Profile
) -> Iterator[tuple[bytes, Parts]]:
    """Add to the pending children of a level; a full node is closed only to make room."""
    if level == len(levels):
        levels.append([])
    if len(levels[level]) == profile.links:
        node, block = _node(levels[level], profile)
        yield node.cid, block
        levels[level] = []
        yield from _append(node, levels, level + 1, profile)
    levels[level].append(child)


def _chunks(pieces: Iterable[Bytes], size: int) -> Iterator[list[memoryview]]:
    """Views that make up `size` bytes, the last ones fewer; one empty chunk for no bytes."""
    chunk: list[memoryview] = []
    room = size
    for piece in pieces:
        view = memoryview(piece)
        if not view.nbytes:
            continue
        view = view.cast("B")
        # A full chunk waits until more comes: an empty one must never follow it.
        while view.nbytes > room:
            if room:
                chunk.append(view[:room])
            yield chunk
            chunk, view, room = [], view[room:], size
        chunk.append(view)
        room -= view.nbytes
    yield chunk


def _leaf(chunk: list[memoryview], profile: Profile) -> tuple[_Child, Parts]:
    size = sum(view.nbytes for view in chunk)
    if profile.raw_leaves:
        block: Parts = [*chunk] or [b""]
        return _Child(_block_cid(RAW, block, profile), size, size), block
    data_head = b"\x08\x02" + (b"\x12" + varint(size) if size else b"")
    data_tail = b"\x18" + varint(size)
    data_size = len(data_head) + size + len(data_tail)
    block = [b"\x0a" + varint(data_size) + data_head, *chunk, data_tail]
    tree_size = sum(len(part) for part in block)
    return _Child(_block_cid(DAG_PB, block, profile), tree_size, size), block


def _node(children: list[_Child], profile: Profile) -> tuple[_Child, Parts]:
    encoded = bytearray()
    for child in children:
        link = (
            b"\x0a" + varint(len(child.cid)) + child.cid
            + b"\x12\x00\x18" + varint(child.tree_size)
        )  # fmt: skip
        encoded += b"\x12" + varint(len(link)) + link
    file_size = sum(child.file_size for child in children)
    data = b"\x08\x02\x18" + varint(file_size)
    data += b"".join(b"\x20" + varint(child.file_size) for child in children)
    encoded += b"\x0a" + varint(len(data)) + data
    block: Parts = [bytes(encoded)]
    tree_size = len(encoded) + sum(child.tree_size for child in children)
    return _Child(_block_cid(DAG_PB, block, profile), tree_size, file_size), block


def _block_cid(codec: int, block: Parts, profile: Profile) -> bytes:
    digest = hashlib.sha256()
    for part in block:
        digest.update(part)
    cid = sha2_256_cid(codec, digest.digest())
    return cid if profile.cid_version else cid[2:]
