"""CAR: many blocks in one stream (ipld.io/specs/transport/car); version 1 written, 1 and 2 read.

A CAR proves nothing about being whole: a cut between two blocks leaves a valid one. Who reads it
has to walk the DAG from the root that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum, auto

from cascade_nb.content import cid as cids
from cascade_nb.content import varints
from cascade_nb.content.verification import check_block
from cascade_nb.errors import IntegrityError
from cascade_nb.protocols import Bytes

# What go-car reads at most, too.
HEADER_LIMIT = 32 << 20
SECTION_LIMIT = 8 << 20

_PRAGMA_V2 = bytes.fromhex("0aa16776657273696f6e02")
_HEADER_V2_BYTES = 40
_HEAD_V1 = b"\xa2\x65roots"
_TAIL_V1 = b"\x67version\x01"
_STEP = 1 << 20


def write(root: bytes, blocks: Iterable[tuple[bytes, Bytes]]) -> Iterator[Bytes]:
    """The pieces of a CAR of version 1 that holds `blocks` by binary CID; blocks are not copied."""
    yield header([root])
    for cid, block in blocks:
        yield section_head(cid, memoryview(block).nbytes)
        yield block


def header(roots: Iterable[bytes]) -> bytes:
    """What a CAR of version 1 with these roots, binary CIDs, begins with."""
    links = [b"\xd8\x2a" + _cbor_head(2, len(root) + 1) + b"\0" + root for root in roots]
    encoded = _HEAD_V1 + _cbor_head(4, len(links)) + b"".join(links) + _TAIL_V1
    return varints.encode(len(encoded)) + encoded


def section_head(cid: bytes, size: int) -> bytes:
    """What goes before a block of `size` bytes in a CAR."""
    return varints.encode(len(cid) + size) + cid


class _Awaited(Enum):
    """What the reader expects next."""

    FIRST_HEADER = auto()
    V2_HEADER = auto()
    INNER_HEADER = auto()
    SECTION = auto()
    NOTHING = auto()


class Reader:
    """Takes a CAR as it comes and gives its blocks, each proven by its CID before it is given out.

    CIDs of version 0 are given as the version 1 that names the same block. Memory is held for what
    has come, never for what a length promises; a section has at most 8 MiB.
    """

    def __init__(self) -> None:
        self.roots: tuple[bytes, ...] | None = None  # once the header has come
        self._pending = bytearray()
        self._offset = 0  # of the first pending byte in the stream
        self._awaited = _Awaited.FIRST_HEADER
        self._data_at = 0
        self._data_end: int | None = None  # known in version 2 only

    def feed(self, chunk: Bytes) -> Iterator[tuple[bytes, bytes]]:
        """The (binary CID, block) pairs that `chunk` completes; to be exhausted before the next.

        Raises:
            IntegrityError: the stream is no CAR, or a block in it is not what its CID says; it
                tells the offset in the stream.
        """
        view = memoryview(chunk).cast("B")
        for start in range(0, view.nbytes, _STEP):
            self._pending += view[start : start + _STEP]
            yield from self._blocks()

    def finish(self) -> None:
        """Tell that the stream has ended.

        Raises:
            IntegrityError: it was cut inside of the header, of a block, or, in version 2, at all.
        """
        if self._awaited is _Awaited.NOTHING:
            return
        at_border = self._awaited is _Awaited.SECTION and not self._pending
        if not at_border or self._data_end is not None:
            missing = "a header" if self._awaited is not _Awaited.SECTION else "a section"
            raise self._error(f"it ends where {missing} should go on", len(self._pending))

    def _blocks(self) -> Iterator[tuple[bytes, bytes]]:
        """Take what is complete off the pending bytes."""
        at = 0
        try:
            while True:
                try:
                    at, pair = self._step(at)
                except varints.EndError:
                    return
                except IntegrityError as error:
                    raise self._error(str(error), at) from None
                if pair is not None:
                    yield pair
        finally:
            del self._pending[:at]
            self._offset += at

    def _step(self, at: int) -> tuple[int, tuple[bytes, bytes] | None]:
        """Read one thing at `at`: where it ends, and the block that it is. Raises `EndError`."""
        match self._awaited:
            case _Awaited.FIRST_HEADER:
                head = bytes(self._pending[: len(_PRAGMA_V2)])
                if head == _PRAGMA_V2:
                    self._awaited = _Awaited.V2_HEADER
                    return len(_PRAGMA_V2), None
                return self._header(at), None
            case _Awaited.V2_HEADER:
                return self._header_v2(at), None
            case _Awaited.INNER_HEADER:
                return self._inner_header(at)
            case _Awaited.SECTION:
                return self._section(at)
            case _Awaited.NOTHING:
                # An index, or whatever follows the data of version 2.
                if at == len(self._pending):
                    raise varints.EndError
                return len(self._pending), None

    def _header_v2(self, at: int) -> int:
        end = at + _HEADER_V2_BYTES
        if len(self._pending) < end:
            raise varints.EndError
        fields = self._pending[at + 16 : end]
        start, size = (int.from_bytes(fields[i : i + 8], "little") for i in (0, 8))
        if start < len(_PRAGMA_V2) + _HEADER_V2_BYTES or size == 0:
            raise IntegrityError("its header of version 2 is none: no data, or within the header")
        self._data_at, self._data_end = start, start + size
        self._awaited = _Awaited.INNER_HEADER
        return end

    def _inner_header(self, at: int) -> tuple[int, None]:
        padding = self._data_at - (self._offset + at)
        if padding > 0:
            skipped = min(padding, len(self._pending) - at)
            if not skipped:
                raise varints.EndError
            return at + skipped, None
        return self._header(at), None

    def _header(self, at: int) -> int:
        start, end = self._extent(at, HEADER_LIMIT, "header")
        self.roots = _roots(bytes(self._pending[start:end]))
        self._awaited = _Awaited.SECTION
        return self._ended(end)

    def _section(self, at: int) -> tuple[int, tuple[bytes, bytes]]:
        start, end = self._extent(at, SECTION_LIMIT, "section")
        section = memoryview(self._pending)[start:end]
        try:
            cid, block_at = cids.read(section)
            block = bytes(section[block_at:])
        except varints.EndError as error:
            raise IntegrityError(str(error)) from None
        finally:
            # The pending bytes cannot change while a view of them is about.
            section.release()
        check_block(cid, block)
        return self._ended(end), (cid, block)

    def _extent(self, at: int, limit: int, what: str) -> tuple[int, int]:
        """From where to where the next header or section goes, once all of it has come."""
        size, start = varints.decode(self._pending, at)
        if not size:
            raise IntegrityError(f"a {what} of no bytes")
        if size > limit:
            raise IntegrityError(f"a {what} of {size:,} bytes; at most {limit:,} are read")
        end = start + size
        if self._data_end is not None and self._offset + end > self._data_end:
            raise IntegrityError(f"a {what} goes beyond the data of version 2")
        if len(self._pending) < end:
            raise varints.EndError
        return start, end

    def _ended(self, end: int) -> int:
        if self._data_end is not None and self._offset + end == self._data_end:
            self._awaited = _Awaited.NOTHING
        return end

    def _error(self, message: str, at: int) -> IntegrityError:
        return IntegrityError(f"a CAR is broken at byte {self._offset + at:,}: {message}")


def _roots(encoded: bytes) -> tuple[bytes, ...]:
    """The roots in a header of version 1, whose encoding, DAG-CBOR, has one form only.

    Read here: decoded as any tree, 32 MiB of it could take gigabytes.
    """
    if not (encoded.startswith(_HEAD_V1) and encoded.endswith(_TAIL_V1)):
        raise IntegrityError("its header is none of version 1 or 2")
    at, end = len(_HEAD_V1), len(encoded) - len(_TAIL_V1)
    count, at = _read_cbor_head(4, encoded, at)
    roots: list[bytes] = []
    while at < end and len(roots) < count:
        if encoded[at : at + 2] != b"\xd8\x2a":
            break
        size, at = _read_cbor_head(2, encoded, at + 2)
        if encoded[at : at + 1] != b"\0" or at + size > end:
            break
        roots.append(_root(encoded[at + 1 : at + size]))
        at += size
    if at != end or len(roots) != count:
        raise IntegrityError("its header does not hold the roots that it promises")
    return tuple(roots)


def _root(binary: bytes) -> bytes:
    try:
        return cids.read_all(binary)
    except varints.EndError as error:
        raise IntegrityError(f"a root is cut: {error}") from None


def _cbor_head(kind: int, number: int) -> bytes:
    if number < 24:
        return bytes((kind << 5 | number,))
    size = 1 if number < 1 << 8 else 2 if number < 1 << 16 else 4
    return bytes((kind << 5 | 24 + size.bit_length() - 1,)) + number.to_bytes(size, "big")


def _read_cbor_head(kind: int, data: bytes, at: int) -> tuple[int, int]:
    first = data[at] if at < len(data) else 0
    number, end = first & 0x1F, at + 1
    if 24 <= number <= 26:
        size = 1 << number - 24
        number, end = int.from_bytes(data[end : end + size], "big"), end + size
    if first >> 5 != kind or data[at:end] != _cbor_head(kind, number):
        raise IntegrityError("its header is not DAG-CBOR")
    return number, end
