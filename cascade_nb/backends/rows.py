"""The table of a disk store: records, notes and small contents, in diskcache's database.

diskcache writes the rows and keeps count of their bytes. Left alone it would also unpickle what a
row tells it to, follow a row's file name to anywhere, evict ten rows when it likes, keep a
connection per thread, and hang in forked children. So its `Disk` is replaced by one that knows
bytes only, its eviction is off, and there are two connections per process, both closed at a fork:
one that writes, and one that reads, so that a read waits for no writer.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import diskcache

from cascade_nb.backends.base import CLOCK_SLACK_SECONDS

DATABASE = "cache.db"

# The first byte of a row's key says what the row is.
RECORD, NOTE, CONTENT = b"r", b"n", b"c"

# A root is what goes as a whole when room is needed: a record, or what no record needs.
_ROOT = "root"

_RAW, _BINARY = 1, 2  # modes of diskcache's: bytes in the row, bytes in a file

_SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 1 << 62,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_journal_mode": "wal",
    "sqlite_synchronous": 1,
    "sqlite_cache_size": 1 << 11,
    # A database that is mapped kills the process when it is truncated.
    "sqlite_mmap_size": 0,
}

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS Needs (record BLOB, content BLOB,"
    " PRIMARY KEY (record, content)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS Needs_content ON Needs (content)",
    f"CREATE INDEX IF NOT EXISTS Cache_roots ON Cache (access_time) WHERE tag = '{_ROOT}'",
)

_READ = (
    "SELECT mode, filename, value, size, store_time, expire_time"
    " FROM Cache WHERE key = ? AND raw = 1"
)

# A write that has to wait for other processes does so for this long.
_PATIENCE_SECONDS = 10.0
# A read never waits for a writer, but for a moment where another process recovers the database.
_IMPATIENCE_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class OnFile:
    """The value of a row whose `size` bytes lie in a file beside the database."""

    size: int


class DamagedTableError(sqlite3.DatabaseError):
    """The database opens, but holds what nothing here has written."""


class _BytesOnly(diskcache.Disk):  # type: ignore[misc]
    """Puts bytes into rows, and nothing else anywhere."""

    def __init__(self, directory: str, **_: object) -> None:
        super().__init__(directory)

    def put(self, key: bytes) -> tuple[memoryview, bool]:
        return memoryview(key), True

    def get(self, key: object, raw: object) -> Any:
        raise NotImplementedError("rows are read by Rows alone")

    def store(
        self, value: bytes | OnFile, read: bool, key: object = None
    ) -> tuple[int, int, None, memoryview | None]:
        if isinstance(value, OnFile):
            return value.size, _BINARY, None, None
        return len(value), _RAW, None, memoryview(value)

    def fetch(self, mode: object, filename: object, value: object, read: object) -> Any:
        raise NotImplementedError("rows are read by Rows alone")

    def filename(self, key: object = None, value: object = None) -> Any:
        raise NotImplementedError("rows have no files")

    def remove(self, file_path: object) -> None:
        """Remove nothing: a row with a file name is not ours, and neither is the file."""


class _Cache(diskcache.Cache):  # type: ignore[misc]
    """diskcache's table, written through one connection for all threads, one thread at a time."""

    # Before __init__, which connects.
    _connection: sqlite3.Connection | None = None

    def __init__(self, folder: str) -> None:
        super().__init__(folder, timeout=_PATIENCE_SECONDS, disk=_BytesOnly, **_SETTINGS)
        # diskcache makes an attribute of every setting it finds; none may hide a method.
        for name in set(vars(self)) & set(dir(diskcache.Cache)):
            delattr(self, name)

    @property
    def _con(self) -> sqlite3.Connection:
        if self._connection is None:
            # Not with its timeout, which is 0 while it opens and other processes may be at it.
            path = os.path.join(self._directory, DATABASE)
            self._connection = _connect(path, _PATIENCE_SECONDS)
        return self._connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Rows:
    """The open table; its methods may be called in any thread, and block while they write.

    Rows are named by a kind and a key. Changes are made within `transaction`, which shuts out all
    other writers, those of other processes too. `is_new` says that it was made just now.
    """

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, DATABASE)
        self.writing = threading.RLock()
        self.reading = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._readers = 0
        self._version = 0
        self._version_seen = 0.0
        self._changes = 0
        self._last_seen = 0.0
        # Created with these rights before SQLite does: it gives them to its other files.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        self._cache = _Cache(folder)
        try:
            self.is_new = not self._sql(
                "SELECT 1 FROM sqlite_master WHERE name = 'Needs'"
            ).fetchall()
            with self.transaction():
                for statement in _SCHEMA:
                    self._sql(statement)
            # A table of the right name may have the wrong columns.
            self.read_patiently(b"")
            self.held()
        except BaseException:
            self.close()
            raise
        status = os.stat(self.path)
        self._file = (status.st_dev, status.st_ino)

    def is_in_place(self, *, within: float = 0.0) -> bool:
        """Whether the file that is open here is the one that others would open.

        An answer that is at most `within` seconds old will do; a new one takes 3 us.
        """
        now = time.monotonic()
        if now - self._last_seen <= within:
            return True
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        if (status.st_dev, status.st_ino) != self._file:
            return False
        self._last_seen = now
        return True

    def close(self) -> None:
        """Close both connections; they open again when they are used."""
        with self.writing, self.reading:
            self.let_go()

    def let_go(self) -> None:
        """Close both connections, for one who holds both locks."""
        self._cache.close()
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    # Reading without waiting for a writer.

    def read(self, name: bytes) -> bytes | OnFile | None:
        """What the row holds; None where there is none, it has expired, or it is not of our kind.

        Raises:
            sqlite3.OperationalError: busy for a moment; `read_patiently` waits.
        """
        with self.reading:
            return _value(self._select(_READ, (name,)))

    def numbers(self, kind: bytes) -> list[int]:
        """The row numbers of a kind that have not expired, newest first."""
        now = time.time()
        with self.reading:
            rows = self._select(
                "SELECT rowid FROM Cache WHERE key >= ? AND key < ? AND raw = 1"
                " AND (expire_time IS NULL OR expire_time > ?)"
                " ORDER BY store_time DESC, rowid DESC",
                (kind, _after(kind), now),
            )
        return [number for (number,) in rows]

    def at(self, numbers: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """The (name, value) of those rows, in that order, which still have a value."""
        marks = ",".join("?" * len(numbers))
        with self.reading:
            rows = self._select(
                "SELECT rowid, key, mode, filename, value, size, store_time, expire_time"  # noqa: S608 - marks alone
                f" FROM Cache WHERE rowid IN ({marks}) AND raw = 1",
                tuple(numbers),
            )
        found = {
            number: (_checked_name(name), _value([columns])) for number, name, *columns in rows
        }
        ordered = [found[number] for number in numbers if number in found]
        return [(name, value) for name, value in ordered if isinstance(value, bytes)]

    def version(self, *, within: float = 0.0) -> tuple[int, int, int]:
        """What is another after each change that any process has made.

        Of changes by other processes, an answer that is at most `within` seconds old will do.

        Raises:
            sqlite3.Error: as for `read`.
        """
        now = time.monotonic()
        with self.reading:
            if now - self._version_seen > within:
                ((self._version,),) = self._select("PRAGMA data_version", ())
                self._version_seen = now
            # SQLite counts anew for each connection.
            return self._readers, self._version, self._changes

    # Reading with the writer's eyes; for threads only, as it waits for other writers.

    def read_patiently(self, name: bytes) -> bytes | OnFile | None:
        """As `read`, by the connection that waits."""
        with self.writing:
            return _value(self._sql(_READ, (name,)).fetchall())

    def held(self) -> int:
        """Bytes that all rows hold, those on file included."""
        with self.writing:
            ((size,),) = self._sql("SELECT value FROM Settings WHERE key = 'size'").fetchall()
        if type(size) is not int:
            raise DamagedTableError("the count of bytes is no number")
        return size

    def count(self, kind: bytes) -> int:
        """How many rows of a kind there are."""
        with self.writing:
            ((count,),) = self._sql(
                "SELECT count(*) FROM Cache WHERE key >= ? AND key < ?", (kind, _after(kind))
            ).fetchall()
        return int(count)

    # Writing, within a transaction.

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes made within are made at its end, or none of them."""
        with self.writing:
            self._changes += 1
            try:
                with self._cache.transact():
                    yield
                # Who looked while it was under way has seen what was before it.
                self._changes += 1
            except (sqlite3.Error, diskcache.Timeout) as error:
                # A transaction that could not end would leave the connection unusable.
                self._cache.close()
                if isinstance(error.__context__, sqlite3.Error):
                    # The first error says why: SQLite undoes some transactions itself, and then
                    # will not roll them back; and to diskcache every one that begins late is busy.
                    raise error.__context__ from None
                raise

    def write(self, name: bytes, value: bytes | OnFile, ttl: float | None, *, root: bool) -> None:
        """Put a row in place of an older one; a root may go when room is needed."""
        self._cache.set(name, value, expire=ttl, tag=_ROOT if root else None)

    def sizes(self, names: Sequence[bytes]) -> dict[bytes, int]:
        """Bytes of each of those rows that is there."""
        found = {}
        for name in names:
            for (size,) in self._sql("SELECT size FROM Cache WHERE key = ? AND raw = 1", (name,)):
                found[name] = int(size)
        return found

    def is_needed(self, content: bytes) -> bool:
        """Whether a record needs the content."""
        rows = self._sql("SELECT 1 FROM Needs WHERE content = ? LIMIT 1", (content,))
        return rows.fetchone() is not None

    def needs(self, record: bytes) -> set[bytes]:
        """The contents that the record needs."""
        rows = self._sql("SELECT content FROM Needs WHERE record = ?", (record,))
        return {_checked_name(content) for (content,) in rows}

    def need(self, record: bytes, contents: Sequence[bytes]) -> None:
        """Let the record need these contents alone; they and its note go with it."""
        self._sql("DELETE FROM Needs WHERE record = ?", (record,))
        for content in set(contents):
            self._sql("INSERT INTO Needs VALUES (?, ?)", (record, content))
        for name in (*contents, NOTE + record[1:]):
            self._sql("UPDATE Cache SET tag = NULL WHERE key = ? AND raw = 1", (name,))

    def remove(self, name: bytes) -> OnFile | int | None:
        """Remove a row: its bytes, or where they lie; None where there was none."""
        columns = "SELECT mode, size FROM Cache WHERE key = ? AND raw = 1"
        row = self._sql(columns, (name,)).fetchone()
        if row is None:
            return None
        self._sql("DELETE FROM Cache WHERE key = ? AND raw = 1", (name,))
        mode, size = row
        return OnFile(int(size)) if mode == _BINARY else int(size)

    def remove_all(self) -> None:
        """Remove every row, also those that are not of our making."""
        self._sql("DELETE FROM Cache")
        self._sql("DELETE FROM Needs")

    def touch(self, uses: dict[bytes, float]) -> None:
        """Note when rows were last used, in seconds since the epoch."""
        for name, used in uses.items():
            self._sql(
                "UPDATE Cache SET access_time = max(access_time, ?) WHERE key = ? AND raw = 1",
                (used, name),
            )

    def expired(self, besides: bytes = b"") -> bytes | None:
        """A row whose time is over."""
        return self._first(
            "SELECT key FROM Cache WHERE expire_time <= ? AND raw = 1 AND key != ? LIMIT 1",
            (time.time(), besides),
        )

    def least_used(self, besides: bytes) -> bytes | None:
        """The root that has not been used for longest."""
        return self._first(
            f"SELECT key FROM Cache WHERE tag = '{_ROOT}' AND raw = 1 AND key != ?"  # noqa: S608
            " ORDER BY access_time LIMIT 1",
            (besides,),
        )

    def be_quick(self) -> None:
        """Wait for other writers no longer than a second from now on."""
        with self.writing:
            self._sql("PRAGMA busy_timeout = 1000")

    def _first(self, query: str, arguments: tuple[Any, ...]) -> bytes | None:
        row = self._sql(query, arguments).fetchone()
        return None if row is None else _checked_name(row[0])

    def _sql(self, query: str, arguments: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self._cache._con.execute(query, arguments)
        return cursor

    def _select(self, query: str, arguments: tuple[Any, ...]) -> list[Any]:
        if self._reader is None:
            self._reader = _connect(self.path, _IMPATIENCE_SECONDS)
            self._readers += 1
            self._reader.execute("PRAGMA query_only = 1")
        return self._reader.execute(query, arguments).fetchall()


def _connect(path: str, timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=timeout, isolation_level=None, check_same_thread=False
    )
    for pragma, value in _SETTINGS.items():
        if pragma.startswith("sqlite_") and pragma != "sqlite_journal_mode":
            connection.execute(f"PRAGMA {pragma.removeprefix('sqlite_')} = {value}")
    # What a planted database brings along is not to be trusted with functions.
    connection.execute("PRAGMA trusted_schema = 0")
    return connection


def _checked_name(name: object) -> bytes:
    if type(name) is not bytes:
        raise DamagedTableError("a row's name is not bytes")
    return name


def _value(rows: Sequence[Sequence[Any]]) -> bytes | OnFile | None:
    """What a row's columns say, if they are such as are written here."""
    if len(rows) != 1:
        return None
    mode, filename, value, size, stored, expires = rows[0]
    if filename is not None:
        return None
    if expires is not None and not _is_current(stored, expires):
        return None
    if mode == _RAW and type(value) is bytes:
        return value
    if mode == _BINARY and value is None and type(size) is int:
        return OnFile(size)
    return None


def _is_current(stored: object, expires: object) -> bool:
    # A clock that was set back makes both sides doubtful; what is doubtful is not there.
    if not (isinstance(stored, float) and isinstance(expires, float)):
        return False
    return stored - CLOCK_SLACK_SECONDS <= time.time() < expires


def _after(kind: bytes) -> bytes:
    return bytes([kind[0] + 1])
