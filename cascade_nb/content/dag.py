"""DAGs of blocks: what a block links, and all blocks that hold a record and its contents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cascade_nb.content import cid as cids
from cascade_nb.content import dag_cbor, dag_pb
from cascade_nb.content.cid import DAG_CBOR, DAG_PB, RAW
from cascade_nb.content.unixfs import Parts, block_parts
from cascade_nb.errors import IntegrityError
from cascade_nb.protocols import Bytes


def links(cid: bytes, block: bytes) -> list[bytes]:
    """The binary CIDs that a block links, in order; of version 0 as version 1, which is the same.

    Raises:
        IntegrityError: the block is not of its CID's codec, or the codec is none of raw, dag-pb and
            DAG-CBOR.
    """
    codec = cids.codec_of(cid)
    if codec == RAW:
        return []
    if codec == DAG_PB:
        return [link for link, _ in dag_pb.read_node(block).links]
    if codec == DAG_CBOR:
        return dag_cbor.links(block)
    raise IntegrityError(f"{cids.shown(cid)} is neither raw, dag-pb nor DAG-CBOR")


def record_blocks(
    record: bytes, contents: Mapping[str, Sequence[Bytes]]
) -> Iterator[tuple[bytes, Bytes]]:
    """Every block of a record's DAG, once, each before what it links: the record's own first.

    `contents` maps the CID of each result, output and recorded output to its pieces, whose bytes
    are copied only where a block lies across two of them.

    Raises:
        IntegrityError: a content is missing, or is not what its CID says; it names the CID.
    """
    root = cids.parse(cids.dag_cbor_cid(record))
    built: dict[bytes, Parts] = {root: [record]}
    seen: set[bytes] = set()
    todo = [root]
    while todo:
        cid = todo.pop()
        if cid in seen or cids.inlined(cid) is not None:
            continue
        seen.add(cid)
        if cid not in built:
            built.update(_content_parts(cid, contents))
        parts = built.pop(cid)
        block = parts[0] if len(parts) == 1 else b"".join(parts)
        yield cid, block
        if cids.codec_of(cid) != RAW:
            todo += reversed(links(cid, bytes(block)))


def _content_parts(cid: bytes, contents: Mapping[str, Sequence[Bytes]]) -> dict[bytes, Parts]:
    """The blocks of one content, by CID."""
    text = cids.to_text(cid)
    pieces = contents.get(text)
    if pieces is None:
        raise IntegrityError(f"the content {text} is missing")
    if cids.codec_of(cid) == DAG_CBOR:
        node = b"".join(pieces)
        built: dict[bytes, Parts] = {cids.parse(cids.dag_cbor_cid(node)): [node]}
    else:
        built = dict(block_parts(pieces))
    if cid not in built:
        raise IntegrityError(f"the content {text} is not what its CID says")
    return built
