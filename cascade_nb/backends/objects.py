"""The content files of a disk store, named by CID, and the drafts that become them.

A draft is written in its writer's own folder under ``partial/``, whose lock file the writer holds
for as long as it lives, so that what a dead writer left can be told from what is being written.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from cascade_nb.backends.buffers import blank
from cascade_nb.backends.locks import HeldLock, try_lock_file
from cascade_nb.backends.outages import discard
from cascade_nb.errors import BackendError
from cascade_nb.protocols import Bytes

# Smaller files are not synced: losing one to a power failure costs one computation.
_SYNC_BYTES = 1 << 20
_CID = re.compile(r"[a-z0-9]{8,256}", re.ASCII)


class Objects:
    """The content files under one folder, and one writer's drafts."""

    def __init__(self, folder: str) -> None:
        self._objects = os.path.join(folder, "objects")
        self._partial = os.path.join(folder, "partial")
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._session = os.path.join(self._partial, name)
        self._lock: HeldLock | None = None

    def path(self, cid: str) -> str:
        """Where the content lies; raises `BackendError` for what can be no CID."""
        if not _CID.fullmatch(cid):
            raise BackendError(f"not a CID: {cid!r}")
        # The end of a CID is evenly spread, its beginning the same for all.
        return os.path.join(self._objects, cid[-2:], cid)

    def read(self, cid: str, size: int) -> bytearray | memoryview | None:
        """The content, if the file is there and has that size."""
        try:
            with open(self.path(cid), "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != size:
                    return None
                buffer = blank(size)
                view = memoryview(buffer)
                position = 0
                while position < size:
                    count = file.readinto(view[position:])
                    if not count:
                        return None
                    position += count
                return buffer
        except FileNotFoundError:
            return None

    def has(self, cid: str, size: int) -> bool:
        """Whether a file of that size is there."""
        try:
            return os.stat(self.path(cid)).st_size == size
        except FileNotFoundError:
            return False

    def make_folder(self, path: str) -> None:
        """Make the folder that a content file is to lie in."""
        # One by one: os.makedirs gives its mode to the last alone.
        for folder in (self._objects, os.path.dirname(path)):
            with suppress(FileExistsError):
                os.mkdir(folder, 0o700)

    def remove(self, cid: str) -> None:
        """Remove the file, if it is there; what is no CID never has one."""
        if _CID.fullmatch(cid):
            with suppress(FileNotFoundError):
                os.unlink(self.path(cid))

    # Drafts.

    def begin_session(self) -> None:
        """Make this writer's folder; to be called while no other process collects leftovers."""
        os.makedirs(self._session, mode=0o700)
        self._lock = try_lock_file(f"{self._session}.lock")

    def end_session(self) -> None:
        """Give this writer's folder up; what is still in it is a leftover."""
        lock, self._lock = self._lock, None
        with suppress(OSError):
            os.rmdir(self._session)
        if lock is not None:
            lock.release()

    @contextmanager
    def draft(self, cid: str, pieces: Sequence[Bytes]) -> Iterator[Draft]:
        """A draft with all of `pieces` in it, to be published or else gone at the end."""
        self.path(cid)
        draft = Draft(self, os.path.join(self._session, f"{cid}.{secrets.token_hex(4)}"), cid)
        try:
            draft.write(pieces)
            yield draft
        finally:
            draft.discard()

    def retire(self) -> None:
        """Put all content files out of the way at once, and remove them beside the work."""
        trash = os.path.join(self._session, f"trash-{secrets.token_hex(4)}")
        try:
            if not os.listdir(self._objects):
                return
            os.rename(self._objects, trash)
        except FileNotFoundError:
            return
        threading.Thread(
            target=shutil.rmtree, args=(trash,), kwargs={"ignore_errors": True}, daemon=True
        ).start()

    def collect(self, settle: Callable[[str], None]) -> int:
        """Remove what dead writers left; how many there were.

        `settle` is given each CID whose file may have been put in place without being entered in
        the table. To be called while no other process begins a session.
        """
        dead = 0
        sessions = {name.removesuffix(".lock") for name in os.listdir(self._partial)}
        for session in sessions - {os.path.basename(self._session)}:
            folder = os.path.join(self._partial, session)
            lock = try_lock_file(f"{folder}.lock")
            if lock is None:
                continue
            try:
                self._bury(folder, settle)
                dead += 1
            finally:
                lock.release()
        return dead

    def _bury(self, session: str, settle: Callable[[str], None]) -> None:
        with suppress(FileNotFoundError):
            for name in os.listdir(session):
                cid, _, kind = name.partition(".")
                if kind.endswith(Draft.PUBLISHED) and _CID.fullmatch(cid):
                    settle(cid)
        shutil.rmtree(session, ignore_errors=True)


class Draft:
    """A content file that is not in its place yet."""

    PUBLISHED = ".published"

    def __init__(self, objects: Objects, path: str, cid: str) -> None:
        self._objects = objects
        self._path = path
        self._cid = cid

    def write(self, pieces: Sequence[Bytes]) -> None:
        """Write all of the content, to the medium itself where losing it would be a pity."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            size = 0
            for piece in pieces:
                view = memoryview(piece).cast("B")
                size += view.nbytes
                while view.nbytes:
                    view = view[file.write(view) :]
            if size > _SYNC_BYTES:
                os.fsync(descriptor)

    def publish(self) -> None:
        """Put the file in its place, replacing what is there.

        A mark stays until `settled`: killed before the table has the file, too, a writer leaves
        one that nobody would ever miss or remove.
        """
        os.close(os.open(self._path + self.PUBLISHED, os.O_CREAT | os.O_WRONLY, 0o600))
        place = self._objects.path(self._cid)
        try:
            os.replace(self._path, place)
        except FileNotFoundError:
            self._objects.make_folder(place)
            os.replace(self._path, place)

    def settled(self) -> None:
        """The table has the published file, or the file is gone."""
        discard(self._path + self.PUBLISHED)

    def discard(self) -> None:
        """Remove the draft, if it was not published."""
        discard(self._path)
