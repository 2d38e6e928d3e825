"""CAR files: results and the records that claim them, written whole and read only if complete."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from cascade_nb import provenance
from cascade_nb.content import car, verify
from cascade_nb.content import cid as cids
from cascade_nb.content.assembly import FileAssembly
from cascade_nb.content.memory import most_bytes
from cascade_nb.errors import ConfigurationError, IntegrityError
from cascade_nb.exchange.claims import check_contents, check_form, is_record, parts_of
from cascade_nb.protocols import Bytes
from cascade_nb.records import Record

_READ_BYTES = 1 << 20
_SHOWN_MISSING = 3


@dataclass(frozen=True, slots=True)
class Archive:
    """What a CAR file holds of its roots, all of it verified.

    `records` maps the CID of each record to its bytes, `needs` the CID of each root that is no
    record to the contents that belong to it; `contents` are all contents by CID.
    """

    roots: tuple[str, ...]
    records: Mapping[str, bytes]
    needs: Mapping[str, tuple[str, ...]]
    contents: Mapping[str, Bytes]


class Writer:
    """Writes a CAR of version 1 beside `path`, and puts it there once it is whole.

    Its methods wait for the disk. A block that has been written is not written again.

    Raises:
        ConfigurationError: the file cannot be written; it names the path. So do its methods.
    """

    def __init__(self, path: str | os.PathLike[str], roots: Iterable[str]) -> None:
        self._target = Path(path).expanduser()
        self._written: set[bytes] = set()
        with _mapped(self._target, "written"):
            if self._target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            descriptor, draft = tempfile.mkstemp(
                dir=self._target.parent, prefix=f".{self._target.name}."
            )
            self._draft = Path(draft)
            self._file = os.fdopen(descriptor, "wb")
        # In memory so far; what the disk has no room for shows later.
        self._file.write(car.header([cids.parse(root) for root in roots]))

    def add(self, blocks: Iterable[tuple[bytes, Bytes]]) -> None:
        """Write those of `blocks` that are not there yet."""
        with _mapped(self._target, "written"):
            for cid, block in blocks:
                if cid not in self._written:
                    self._written.add(cid)
                    self._file.write(car.section_head(cid, memoryview(block).nbytes))
                    self._file.write(block)

    def finish(self) -> None:
        """Put the file in its place, whole."""
        with _mapped(self._target, "written"):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.chmod(self._draft, 0o666 & ~_umask())
            os.replace(self._draft, self._target)

    def discard(self) -> None:
        """Leave what is at `path` alone, and no trace."""
        with suppress(OSError):
            self._file.close()
        self._draft.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> Archive:
    """All that the roots of a CAR file lead to, from whatever order; other blocks are ignored.

    The file is read again as long as that brings anything that is needed: what need not be kept
    is not held, and in a file like ours all comes in one pass.

    Raises:
        ConfigurationError: the file cannot be read.
        IntegrityError: it is no CAR of version 1 or 2, a block is not what its CID says, something
            is missing, or is larger than it claims to be; it names what, and the file.
    """
    source = Path(path).expanduser()
    try:
        with _mapped(source, "read"), open(source, "rb") as file:
            gathering = _Gathering()
            while gathering.pass_over(_pairs(file, gathering.begin)):
                file.seek(0)
            return gathering.archive()
    except IntegrityError as error:
        raise IntegrityError(f"{source} was not imported: {error}") from None


def _pairs(
    file: BinaryIO, begin: Callable[[tuple[bytes, ...]], None]
) -> Iterator[tuple[bytes, bytes]]:
    """The blocks in a CAR; `begin` is told its roots before the first of them."""
    reader = car.Reader()
    begun = False
    while chunk := file.read(_READ_BYTES):
        for pair in reader.feed(chunk):
            if not begun and reader.roots is not None:
                begin(reader.roots)
                begun = True
            yield pair
    reader.finish()
    if not begun and reader.roots is not None:
        begin(reader.roots)


@dataclass(slots=True)
class _Gathering:
    """Takes the blocks that are wanted and finds in them which others are."""

    roots: tuple[bytes, ...] = ()
    records: dict[str, bytes] = field(default_factory=dict)
    contents: dict[str, Bytes] = field(default_factory=dict)
    _room: int = field(default_factory=most_bytes)
    # Single blocks that say what else is wanted, with what is to be done with them.
    _nodes: dict[bytes, Callable[[bytes], None]] = field(default_factory=dict)
    _files: dict[bytes, FileAssembly] = field(default_factory=dict)
    _progress: bool = False

    def begin(self, roots: tuple[bytes, ...]) -> None:
        """Want the roots; in later passes that has been said."""
        if self.roots:
            return
        if not roots:
            raise IntegrityError("it names no root")
        self.roots = tuple(dict.fromkeys(roots))
        for root in self.roots:
            self._want(root, self._take_root, self._room)

    def pass_over(self, pairs: Iterable[tuple[bytes, bytes]]) -> bool:
        """Take what is wanted of all `pairs`; whether another pass may bring more."""
        self._progress = False
        for cid, block in pairs:
            self._offer(cid, block)
        return self._progress and bool(self._nodes or self._files)

    def archive(self) -> Archive:
        """What was found, if it is all there; raises `IntegrityError` where it is not."""
        missing = [*self._nodes, *(cid for file in self._files.values() for cid in file.wanted)]
        if missing:
            shown = ", ".join(cids.shown(cid) for cid in missing[:_SHOWN_MISSING])
            more = f" and {len(missing) - _SHOWN_MISSING} more"
            raise IntegrityError(
                f"it lacks the block{'s' * (len(missing) > 1)} {shown}"
                + more * (len(missing) > _SHOWN_MISSING)
            )
        texts = tuple(map(cids.to_text, self.roots))
        for cid, content in self.contents.items():
            if not verify(cid, content):
                raise IntegrityError(
                    f"{cid} is a file that is cut in another way than is kept here"
                )
        for data in self.records.values():
            check_contents(Record.from_bytes(data), self.contents)
        needs = {root: self._belonging(root) for root in texts if root not in self.records}
        return Archive(texts, self.records, needs, self.contents)

    def _belonging(self, root: str) -> tuple[str, ...]:
        if cids.codec_of(cids.parse(root)) != cids.DAG_CBOR:
            return (root,)
        return (root, *parts_of(self.contents[root]))

    def _offer(self, cid: bytes, block: bytes) -> None:
        take = self._nodes.pop(cid, None)
        if take is not None:
            self._progress = True
            take(block)
        for root, file in list(self._files.items()):
            if cid in file.wanted:
                self._progress = True
                file.add(cid, block, verified=True)
                if file.complete:
                    self.contents[cids.to_text(root)] = self._files.pop(root).data

    def _want(self, cid: bytes, take: Callable[[bytes], None], limit: int) -> None:
        text = cids.to_text(cid)
        if text in self.contents or cid in self._files or cid in self._nodes:
            return
        if cids.codec_of(cid) == cids.DAG_CBOR:
            self._nodes[cid] = take
            within = cids.inlined(cid)
            if within is not None:
                self._offer(cid, within)
        else:
            file = FileAssembly(cid, limit=limit)
            if file.complete:  # a CID that holds its block in itself
                self.contents[text] = file.data
            else:
                self._files[cid] = file

    def _take_root(self, block: bytes) -> None:
        if not is_record(block):
            self._take_node(block, self._room)
            return
        record, _ = provenance.judge_record(block)
        check_form(record)
        self._room -= record.size
        if self._room < 0:
            raise IntegrityError("its records claim to have more than memory is")
        self.records[cids.dag_cbor_cid(block)] = block
        result = cids.parse(record.result)
        self._want(result, lambda node: self._take_node(node, record.size), record.size)

    def _take_node(self, block: bytes, limit: int) -> None:
        self.contents[cids.dag_cbor_cid(block)] = block
        for part in parts_of(block):
            self._want(cids.parse(part), self._take_root, limit)


@contextmanager
def _mapped(path: Path, verb: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"{path} cannot be {verb}: {reason}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
