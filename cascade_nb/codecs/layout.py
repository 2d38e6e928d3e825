r"""How an encoding lies in bytes: a head, a structure, and blocks of raw memory.

=======  ==================================================================================
offset   content
=======  ==================================================================================
0        the codec's name and a newline, 7 bytes: ``tree/1\n`` or ``code/1\n``
7        1 where decoding can run code, else 0
8        size of the structure, u64
16       number of blocks, u64
24       size of each block, u64 each
then     the structure
then     the blocks in order, without gaps but for zeros before one of `ALIGNED_FROM` bytes or
         more, which begins at a multiple of `ALIGNMENT`
=======  ==================================================================================

All numbers are little-endian. Large blocks are aligned, so that a reader can use them where they
lie; small ones are cheaper to copy than to pad.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from cascade_nb.errors import CodecError
from cascade_nb.protocols import Bytes

TREE = "tree/1"
CODE = "code/1"
ALIGNMENT = 64
ALIGNED_FROM = 1024

_HEAD = struct.Struct("<7sBQQ")
_JOINED_BELOW = 4096  # pieces smaller than this are copied together

Block = Sequence[Bytes]


def join(
    codec: str, needs_code: bool, structure: Iterable[Bytes], blocks: Sequence[Block]
) -> tuple[Bytes, ...]:
    """The pieces whose concatenation is the encoding; large memory in `blocks` is not copied."""
    parts = list(structure)
    sizes = [sum(_size(piece) for piece in block) for block in blocks]
    gather = _Gather()
    gather.add(_HEAD.pack(f"{codec}\n".encode(), needs_code, sum(map(_size, parts)), len(blocks)))
    gather.add(struct.pack(f"<{len(sizes)}Q", *sizes))
    for part in parts:
        gather.add(part)
    for size, block in zip(sizes, blocks, strict=True):
        gather.add(bytes(_padding(gather.position, size)))
        for piece in block:
            gather.add(piece)
    return gather.pieces()


def split(data: Bytes) -> tuple[str, bool, memoryview, list[memoryview]]:
    """Codec, whether it can run code, structure and blocks, as views of `data`.

    Raises:
        CodecError: `data` is not laid out like this, to the last byte.
    """
    view = memoryview(data).cast("B")
    if len(view) < _HEAD.size:
        raise CodecError("damaged encoding: it ends within its head")
    name, needs_code, structure_size, count = _HEAD.unpack_from(view)
    codec = _CODECS.get(name)
    if codec is None:
        raise CodecError(f"not an encoding of this version: it begins with {name!r}")
    if needs_code > 1 or count > (len(view) - _HEAD.size) // 8:
        raise CodecError("damaged encoding: its head is wrong")
    position = _HEAD.size + 8 * count
    sizes = struct.unpack_from(f"<{count}Q", view, _HEAD.size)
    structure = _cut(view, position, structure_size)
    position += structure_size
    blocks = []
    for size in sizes:
        padding = _padding(position, size)
        if any(_cut(view, position, padding)):
            raise CodecError("damaged encoding: there is something between its blocks")
        blocks.append(_cut(view, position + padding, size))
        position += padding + size
    if position != len(view):
        raise CodecError(f"damaged encoding: {len(view) - position} bytes too many")
    return codec, bool(needs_code), structure, blocks


_CODECS = {f"{codec}\n".encode(): codec for codec in (TREE, CODE)}


def _cut(view: memoryview, start: int, size: int) -> memoryview:
    if size > len(view) - start:
        raise CodecError(f"damaged encoding: {size - (len(view) - start)} bytes are missing")
    return view[start : start + size]


def _padding(position: int, size: int) -> int:
    return -position % ALIGNMENT if size >= ALIGNED_FROM else 0


def _size(piece: Bytes) -> int:
    return piece.nbytes if isinstance(piece, memoryview) else len(piece)


class _Gather:
    """Collects pieces, small ones copied together, large ones as they are."""

    def __init__(self) -> None:
        self.position = 0
        self._pieces: list[Bytes] = []
        self._small = bytearray()

    def add(self, piece: Bytes) -> None:
        size = _size(piece)
        self.position += size
        if size < _JOINED_BELOW:
            self._small += piece
        else:
            self._flush()
            self._pieces.append(piece)

    def pieces(self) -> tuple[Bytes, ...]:
        self._flush()
        return tuple(self._pieces)

    def _flush(self) -> None:
        if self._small:
            self._pieces.append(self._small)
            self._small = bytearray()
