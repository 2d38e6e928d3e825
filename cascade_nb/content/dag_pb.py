"""dag-pb nodes and the UnixFS files in them, read strictly (ipfs/specs: dag-pb, UnixFS).

Both are protobuf messages that come from strangers: what a builder of files never writes is
refused, rather than understood in a way that another reader would not share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cascade_nb.content import cid as cids
from cascade_nb.content import varints
from cascade_nb.errors import IntegrityError

_VARINT, _BYTES = 0, 2  # wire types of protobuf
_RAW, _FILE = 0, 2  # types of a UnixFS node that have content
_TYPES = ("Raw", "Directory", "File", "Metadata", "Symlink", "HAMTShard")


@dataclass(frozen=True, slots=True)
class Node:
    """A dag-pb node: its links, as binary CIDs with names, and the data beside them."""

    links: tuple[tuple[bytes, bytes], ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class FileNode:
    """A node of a file: `data` of its own, then its children's, each a binary CID and a size."""

    size: int
    data: bytes
    children: tuple[tuple[bytes, int], ...]


def read_node(block: bytes) -> Node:
    """Decode a dag-pb block.

    Raises:
        IntegrityError: it is none.
    """
    links: list[tuple[bytes, bytes]] = []
    data: bytes | None = None
    ended = False
    for field, value in _fields(block):
        if field == 2 and isinstance(value, bytes) and not ended:
            links.append(_read_link(value))
        elif field == 1 and isinstance(value, bytes) and data is None:
            data = value
            # Data comes after all links, or, from old writers, before them.
            ended = bool(links)
        else:
            raise IntegrityError(f"not a dag-pb node: field {field} is out of place")
    return Node(tuple(links), data or b"")


def read_file(block: bytes) -> FileNode:
    """Decode a dag-pb block as a node of a UnixFS file.

    Raises:
        IntegrityError: it is none, or its sizes contradict each other.
    """
    node = read_node(block)
    fields = _read_unixfs(node.data)
    if any(name for _, name in node.links):
        raise IntegrityError("not a file: a link in it has a name")
    sizes = fields.block_sizes
    if len(sizes) != len(node.links):
        raise IntegrityError(f"not a file: {len(node.links)} links with {len(sizes)} sizes")
    size = len(fields.data) + sum(sizes)
    if fields.file_size != size:
        raise IntegrityError(f"not a file: {size:,} bytes that claim to be {fields.file_size:,}")
    return FileNode(
        size,
        fields.data,
        tuple((cid, size) for (cid, _), size in zip(node.links, sizes, strict=True)),
    )


def _read_link(message: bytes) -> tuple[bytes, bytes]:
    cid: bytes | None = None
    name = b""
    last = 0
    for field, value in _fields(message):
        if field <= last:
            raise IntegrityError(f"not a dag-pb link: field {field} is out of place")
        last = field
        if field == 1 and isinstance(value, bytes):
            cid = cids.read_all(value)
        elif field == 2 and isinstance(value, bytes):
            name = value
        elif not (field == 3 and isinstance(value, int)):
            # The third, the size of the tree below, is a hint that nobody can check.
            raise IntegrityError(f"not a dag-pb link: it has a field {field}")
    if cid is None:
        raise IntegrityError("not a dag-pb link: it has no CID")
    return cid, name


@dataclass(slots=True)
class _UnixFS:
    data: bytes = b""
    file_size: int = 0
    block_sizes: tuple[int, ...] = ()


def _read_unixfs(message: bytes) -> _UnixFS:
    read = _UnixFS()
    sizes: list[int] = []
    kind: int | None = None
    for field, value in _fields(message):
        if field == 1 and isinstance(value, int) and kind is None:
            kind = value
        elif field == 2 and isinstance(value, bytes) and not read.data:
            read.data = value
        elif field == 3 and isinstance(value, int):
            read.file_size = value
        elif field == 4 and isinstance(value, int):
            sizes.append(value)
        elif field not in (7, 8):
            # Mode and modification time may be there; a file has nothing else.
            raise IntegrityError(f"not a file: its UnixFS field {field} is out of place")
    if kind not in (_RAW, _FILE):
        shown = "nothing" if kind is None else _TYPES[kind] if kind < len(_TYPES) else str(kind)
        raise IntegrityError(f"not a file: a UnixFS node of type {shown}")
    read.block_sizes = tuple(sizes)
    return read


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: varints as numbers, the rest as bytes."""
    at = 0
    try:
        while at < len(message):
            key, at = varints.decode(message, at)
            if key & 7 == _VARINT:
                number, at = varints.decode(message, at)
                yield key >> 3, number
            elif key & 7 == _BYTES:
                size, at = varints.decode(message, at)
                if at + size > len(message):
                    raise varints.EndError("it ends inside of a field")
                yield key >> 3, message[at : at + size]
                at += size
            else:
                raise IntegrityError(f"wire type {key & 7} has no place in it")
    except varints.EndError as error:
        raise IntegrityError(f"a protobuf message is cut: {error}") from None
