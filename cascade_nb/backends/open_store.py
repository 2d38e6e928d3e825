"""A disk store that this process has open. Every method blocks; most want a thread."""

from __future__ import annotations

import itertools
import os
import sqlite3
import time
from collections.abc import Sequence

from filelock import FileLock

from cascade_nb.backends.buffers import length
from cascade_nb.backends.eviction import Removal, Room
from cascade_nb.backends.folder import prepare
from cascade_nb.backends.locks import FileLocks, guard
from cascade_nb.backends.objects import Draft, Objects
from cascade_nb.backends.outages import discard, parts_gone
from cascade_nb.backends.rows import CONTENT, DATABASE, NOTE, RECORD, OnFile, Rows
from cascade_nb.errors import logger, warn_once
from cascade_nb.protocols import Bytes, Lock

# Content up to this size lies in a row, larger content in a file.
ROW_BYTES = 32 * 1024
# Uses are noted in one write, this often.
_FLUSH_SECONDS = 10.0
_GUARD_SECONDS = 20.0


# What a database says when it is busy, full or out of reach, rather than damaged.
_OUTAGES = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_AUTH,
    }
)


# Tells one opening of a store from any other in this process.
_numbers = itertools.count()


class OpenStore:
    """Table, content files and locks of one store, open in this process until a fork or the end.

    Raises:
        BackendError, OSError, sqlite3.Error: it cannot be opened.
    """

    # Records are listed in steps of so many.
    PAGE = 64

    def __init__(self, path: str, limit: int) -> None:
        prepare(path)
        self.path = path
        self.number = next(_numbers)
        self._pid = os.getpid()
        self._used: dict[bytes, float] = {}
        self._flushed = time.monotonic()
        self.objects = Objects(path)
        self._locks = FileLocks(os.path.join(path, "locks"))
        with self._guarded():
            self.rows = _open_rows(path)
            self._room = Room(path, limit, self.rows)
            self.objects.begin_session()
            if self.rows.is_new:
                # Content that no table knows of is counted by nobody.
                self.objects.retire()
            self.objects.collect(self._settle)
        self._remove_expired()
        self._locks.sweep()

    def close(self) -> None:
        """Note the last uses and let go of everything. Does nothing in a forked child."""
        if self._pid != os.getpid():
            return
        self._pid = -1
        if self._used:
            self.rows.be_quick()
            self.flush()
        self.rows.close()
        self.objects.end_session()

    # Reading.

    def read(self, name: bytes) -> bytes | OnFile | None:
        """The row of that name, even if other processes have to be waited for."""
        return self.rows.read_patiently(name)

    def used(self, name: bytes) -> bool:
        """Remember that the row was used; whether it is time to `flush`."""
        self._used[name] = time.time()
        return time.monotonic() - self._flushed > _FLUSH_SECONDS

    def flush(self) -> None:
        """Note in the table what was used, for other processes and for later."""
        try:
            with self.rows.transaction():
                self._note_uses()
        except (sqlite3.Error, OSError) as error:
            logger.info("uses of the store %s were not noted: %s", self.path, error)

    def records(self) -> list[int]:
        """The numbers of all records, newest first."""
        return self.rows.numbers(RECORD)

    def page(self, numbers: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """The (key, envelope) of those records that are still there."""
        return [(name[1:], value) for name, value in self.rows.at(numbers)]

    def size(self) -> int:
        """Bytes of everything in the store."""
        return self.rows.held()

    def capacity(self) -> int:
        """Bytes of the largest result that can be stored."""
        return self._room.capacity()

    # Writing.

    def write_record(
        self, key: bytes, envelope: bytes, ttl: float | None, contents: Sequence[str]
    ) -> None:
        """Store a record whose contents are all there, and what it replaces removed."""
        record = RECORD + key
        names = [CONTENT + cid.encode("ascii") for cid in dict.fromkeys(contents)]
        self._room.check(len(envelope))
        with self.rows.transaction():
            self._note_uses()
            sizes = self.rows.sizes([record, *names])
            if not all(name in sizes for name in names):
                raise parts_gone(self.path)
            removal = Removal(self.rows, self.objects)
            before = self.rows.needs(record)
            self.rows.need(record, names)
            removal.unneeded(before)
            grown = len(envelope) - sizes.get(record, 0)
            self._room.make(grown, removal, besides=record)
            self.rows.write(record, envelope, ttl, root=True)
            removal.finish()

    def write_note(self, key: bytes, note: bytes) -> None:
        """Store a note, which goes with the record of that key, or by itself if there is none."""
        name, record = NOTE + key, RECORD + key
        self._room.check(len(note))
        with self.rows.transaction():
            self._note_uses()
            sizes = self.rows.sizes([name, record])
            removal = Removal(self.rows, self.objects)
            grown = len(note) - sizes.get(name, 0)
            self._room.make(grown, removal, besides=name)
            alone = not self.rows.sizes([record])
            self.rows.write(name, note, None, root=alone)
            removal.finish()

    def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store content in a row or a file, by its size."""
        size = length(pieces)
        self.objects.path(cid)
        self._room.check(size)
        if size <= ROW_BYTES:
            self._enter(cid, size, b"".join(pieces))
            return
        if self._room.is_short(size):
            # Room is made before the bytes come, not only before they count.
            self._collect()
            with self.rows.transaction():
                self._note_uses()
                removal = Removal(self.rows, self.objects)
                self._room.make(size, removal, besides=CONTENT + cid.encode("ascii"))
                removal.finish()
        with self.objects.draft(cid, pieces) as draft:
            try:
                self._enter(cid, size, OnFile(size), draft)
            except BaseException:
                self._settle(cid)
                draft.settled()
                raise
            draft.settled()

    def _enter(
        self, cid: str, size: int, value: bytes | OnFile, draft: Draft | None = None
    ) -> None:
        name = CONTENT + cid.encode("ascii")
        with self.rows.transaction():
            self._note_uses()
            removal = Removal(self.rows, self.objects)
            grown = size - self.rows.sizes([name]).get(name, 0)
            self._room.make(grown, removal, besides=name)
            self.rows.write(name, value, None, root=not self.rows.is_needed(name))
            removal.finish()
            if draft is not None:
                draft.publish()

    # Removing.

    def delete(self, key: bytes) -> bool:
        """Remove a record and what only it needs."""
        with self.rows.transaction():
            removal = Removal(self.rows, self.objects)
            found = removal.result(RECORD + key)
            removal.finish()
        return found

    def clear(self) -> int:
        """Remove everything that no other process is just writing; how many records there were."""
        with self.rows.transaction():
            count = self.rows.count(RECORD)
            self.rows.remove_all()
            self.objects.retire()
        self._used.clear()
        self._collect()
        self._locks.sweep()
        _remove_broken(self.path)
        return count

    def try_lock(self, key: str) -> Lock | None:
        """The lock on a key among all processes."""
        return self._locks.try_lock(key)

    def replace_damaged(self, error: BaseException | None) -> None:
        """Set the table aside if the error says that it is damaged; a new one comes next."""
        if is_damage(error):
            with self._guarded():
                if self.rows.is_in_place():
                    _set_aside(self.path)

    def _note_uses(self) -> None:
        uses, self._used = self._used, {}
        self._flushed = time.monotonic()
        self.rows.touch(uses)

    def _remove_expired(self) -> None:
        try:
            with self.rows.transaction():
                removal = Removal(self.rows, self.objects)
                while (name := self.rows.expired()) is not None:
                    removal.take(name)
                removal.finish()
        except (sqlite3.Error, OSError) as error:
            logger.info("expired results stay in the store %s: %s", self.path, error)

    def _settle(self, cid: str) -> None:
        """Remove a file that the table does not know of."""
        name = CONTENT + cid.encode("ascii")
        with self.rows.transaction():
            if not self.rows.sizes([name]):
                self.objects.remove(cid)

    def _collect(self) -> None:
        with self._guarded():
            self.objects.collect(self._settle)

    def _guarded(self) -> FileLock:
        return guard(os.path.join(self.path, "locks", "guard"), _GUARD_SECONDS)


def is_damage(error: BaseException | None) -> bool:
    """Whether a database error says that the file is no database of ours, rather than an outage."""
    if not isinstance(error, sqlite3.Error) or isinstance(error, sqlite3.ProgrammingError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    return code is None or code & 0xFF not in _OUTAGES


def is_busy(error: BaseException | None) -> bool:
    """Whether another process kept the database for longer than anybody waits."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _open_rows(path: str) -> Rows:
    """The table, or a new one where it is damaged; to be called within the guard."""
    try:
        return Rows(path)
    except (OSError, sqlite3.Error) as error:
        if not is_damage(error):
            raise
    except Exception as error:
        # diskcache trusts the settings that it finds, and stumbles over planted ones.
        logger.warning("the table of %s does not open: %r", path, error)
    _set_aside(path)
    return Rows(path)


def _set_aside(path: str) -> None:
    _remove_broken(path)
    database = os.path.join(path, DATABASE)
    aside = f"{database}.broken-{time.strftime('%Y%m%d-%H%M%S')}"
    os.replace(database, aside)
    for suffix in ("-wal", "-shm"):
        discard(database + suffix)
    warn_once(
        f"the table of the store {path} was damaged; it was moved to {os.path.basename(aside)} "
        "and a new one begun: its results will be computed again",
        ("damaged", path),
    )


def _remove_broken(path: str) -> None:
    for name in os.listdir(path):
        if name.startswith(f"{DATABASE}.broken-"):
            discard(os.path.join(path, name))
