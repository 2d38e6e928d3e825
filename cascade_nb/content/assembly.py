"""From blocks, in whatever order they come, back to the file that a CID names.

Nothing is believed but hashes: what a node says of sizes is held against what comes, and against
limits before anything is set aside for it. Any layout is read, not only the one we write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cascade_nb.content import cid as cids
from cascade_nb.content.cid import DAG_CBOR, DAG_PB, RAW
from cascade_nb.content.dag_pb import FileNode, read_file
from cascade_nb.content.memory import blank
from cascade_nb.content.verification import check_block
from cascade_nb.errors import IntegrityError
from cascade_nb.protocols import Bytes

DEPTH_LIMIT = 64
# What Kubo takes at most. Links take many times the room of their bytes.
_NODE_LIMIT = 2 << 20
# A chunk has thousands of bytes; a DAG that is nearly all links is made to cost its reader.
_LINKS_FREE = 1 << 16
_BYTES_PER_LINK = 256
# Of blocks that no link has asked for yet: what may be held, and what each takes beside its bytes.
_HELD_BYTES = 64 << 20
_HELD_EACH = 256
_STEP = 4 << 20


@dataclass(frozen=True, slots=True)
class _Due:
    """What comes next in the file: the content of `cid`, `depth` nodes below the root."""

    cid: bytes
    depth: int


@dataclass(frozen=True, slots=True)
class _End:
    """The end of the content of `cid`, which began at `start`."""

    cid: bytes
    start: int


class FileAssembly:
    """Makes the content of a CID out of its blocks.

    The content is the file for dag-pb, of any profile, and the block itself for raw and DAG-CBOR.
    Blocks that come in the order of the file are put down at once; those ahead of it are held, as
    are 64 MiB of those that no link has asked for yet. Memory is taken as bytes come.

    Args:
        cid: a binary CID of version 1.
        limit: how many bytes the content may have.

    Raises:
        IntegrityError: the CID's codec or hash function is none of ours.
    """

    def __init__(self, cid: bytes, *, limit: int) -> None:
        self.size: int | None = None  # of the content, once its root has come
        self._cid = cid
        self._limit = limit
        self._links = 0
        self._data: bytearray | memoryview = bytearray()
        self._at = 0  # up to where it is filled
        self._due: list[_Due | _End] = [_Due(cid, 0)]  # the next one last
        self._sizes: dict[bytes, int | None] = {}  # what its parents say of each linked block
        self._missing: dict[bytes, None] = {}
        # Linked, and here, but not yet put down: content, and nodes.
        self._here: dict[bytes, bytes | FileNode] = {}
        # Here, but not linked so far.
        self._held: dict[bytes, bytes] = {}
        self._held_bytes = 0
        # Where what has been put down lies: a part that occurs again is copied from there.
        self._spans: dict[bytes, tuple[int, int]] = {}
        if cids.codec_of(cid) not in (RAW, DAG_PB, DAG_CBOR):
            raise IntegrityError(f"{cids.shown(cid)} is neither raw, dag-pb nor DAG-CBOR")
        self._want([(cid, None)])
        self._advance()

    @property
    def wanted(self) -> Collection[bytes]:
        """The CIDs of the blocks that are known to be missing, those found first in front."""
        return self._missing.keys()

    @property
    def received(self) -> int:
        """Bytes of the content that are put down, from its beginning on."""
        return self._at

    @property
    def complete(self) -> bool:
        """Whether all of the content is there."""
        return not self._due

    @property
    def data(self) -> bytearray | memoryview:
        """The content, which is the caller's from now on.

        Raises:
            IntegrityError: it is not complete; it names what is missing.
        """
        if self._due:
            first = next(iter(self._missing), self._cid)
            more = f" and {len(self._missing) - 1} more" if len(self._missing) > 1 else ""
            raise IntegrityError(
                f"{cids.shown(self._cid)} is not complete: "
                f"the block {cids.shown(first)}{more} is missing"
            )
        return self._data

    def add(self, cid: bytes, block: Bytes, *, verified: bool = False) -> bool:
        """Take a block, proven by its CID unless it has been `verified`; whether it was wanted.

        Raises:
            IntegrityError: it is not what its CID says; or the DAG is no file, contradicts itself,
                or goes beyond a limit. The assembly is of no more use then.
        """
        wanted = cid in self._missing
        if not wanted and (cid in self._sizes or cid in self._held):
            return False
        if not verified:
            check_block(cid, block)
        if wanted:
            del self._missing[cid]
            self._want(self._arrived(cid, block))
            self._advance()
        elif self._held_bytes + len(block) + _HELD_EACH <= _HELD_BYTES:
            self._held[cid] = bytes(block)
            self._held_bytes += len(block) + _HELD_EACH
        return wanted

    def _want(self, links: Iterable[tuple[bytes, int | None]]) -> None:
        """Ask for linked blocks and, where they are here already, for what these link."""
        todo = list(links)[::-1]
        while todo:
            cid, size = todo.pop()
            if cid in self._sizes:
                self._check_size(cid, size)
                continue
            self._sizes[cid] = size
            block = cids.inlined(cid)
            if block is None:
                block = self._held.pop(cid, None)
                self._held_bytes -= 0 if block is None else len(block) + _HELD_EACH
            if block is None:
                self._missing[cid] = None
            else:
                todo += self._arrived(cid, block)[::-1]

    def _arrived(self, cid: bytes, block: Bytes) -> tuple[tuple[bytes, int], ...]:
        """Keep a linked block until it is due; what it links itself."""
        is_node = cids.codec_of(cid) == DAG_PB
        if is_node and len(block) > _NODE_LIMIT:
            raise IntegrityError(f"{cids.shown(cid)} is a node of more than {_NODE_LIMIT:,} bytes")
        content = read_file(bytes(block)) if is_node else bytes(block)
        size = len(content) if isinstance(content, bytes) else content.size
        self._check_size(cid, size)
        if cid == self._cid:
            if size > self._limit:
                raise IntegrityError(
                    f"{cids.shown(cid)} has {size:,} bytes; at most {self._limit:,} are accepted"
                )
            self._begin(size)
        self._here[cid] = content
        if isinstance(content, bytes):
            return ()
        self._links += len(content.children)
        if self._links > _LINKS_FREE + (self.size or 0) // _BYTES_PER_LINK:
            raise IntegrityError(f"{cids.shown(self._cid)} has too many links for its size")
        for child, _ in content.children:
            if cids.codec_of(child) not in (RAW, DAG_PB):
                raise IntegrityError(f"not a file: it links {cids.shown(child)}")
        return content.children

    def _begin(self, size: int) -> None:
        self.size = size
        try:
            # Of a large one, pages are taken as they are written: a lie costs nothing.
            self._data = blank(size)
        except (OSError, MemoryError, OverflowError, ValueError):
            raise IntegrityError(
                f"{cids.shown(self._cid)} has {size:,} bytes, more than there is memory for"
            ) from None

    def _check_size(self, cid: bytes, size: int | None) -> None:
        """Compare what is said of a linked block, or is the case, with what was said before."""
        said = self._sizes[cid]
        if said is not None and said != size:
            raise IntegrityError(
                f"not a file: {cids.shown(cid)} has {said:,} bytes by one account, "
                f"{size:,} by another"
            )

    def _advance(self) -> None:
        """Put down what is due and here."""
        while self._due:
            due = self._due[-1]
            if isinstance(due, _End):
                self._spans[due.cid] = (due.start, self._at - due.start)
            elif due.cid in self._spans:
                start, size = self._spans[due.cid]
                for at in range(start, start + size, _STEP):
                    self._append(memoryview(self._data)[at : min(at + _STEP, start + size)])
            elif due.cid not in self._here:
                return
            else:
                self._put_down(due)
                continue
            self._due.pop()

    def _put_down(self, due: _Due) -> None:
        content = self._here.pop(due.cid)
        self._due[-1] = _End(due.cid, self._at)
        if isinstance(content, bytes):
            self._append(content)
            return
        if due.depth == DEPTH_LIMIT:
            raise IntegrityError(f"{cids.shown(self._cid)} is more than {DEPTH_LIMIT} nodes deep")
        self._append(content.data)
        self._due += [_Due(cid, due.depth + 1) for cid, _ in reversed(content.children)]

    def _append(self, content: Bytes) -> None:
        end = self._at + len(content)
        memoryview(self._data)[self._at : end] = content
        self._at = end
