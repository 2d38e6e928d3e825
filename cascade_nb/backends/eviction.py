"""What goes when a disk store needs room: whole results, the least recently used first."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field

from cascade_nb.backends.objects import Objects
from cascade_nb.backends.rows import CONTENT, NOTE, RECORD, DamagedTableError, OnFile, Rows
from cascade_nb.errors import BackendError, ContentTooLargeError
from cascade_nb.units import human_size


@dataclass(slots=True)
class Removal:
    """What a transaction takes out of a store.

    Rows go at once and come back if the transaction fails; so files go at its very end, but
    before it ends, since then another writer may put the same content there anew.
    """

    rows: Rows
    objects: Objects
    freed: int = 0
    _files: list[str] = field(default_factory=list)

    def result(self, name: bytes) -> bool:
        """Remove a record with its note and what only it needs, or a content or note alone."""
        found = self._row(name)
        if name[:1] == RECORD:
            contents = self.rows.needs(name)
            self.rows.need(name, ())
            self.unneeded(contents)
            self._row(NOTE + name[1:])
        return found

    def take(self, name: bytes) -> None:
        """As `result`, for one that the table has just named."""
        if not self.result(name):
            raise DamagedTableError("a row cannot be removed")

    def unneeded(self, contents: set[bytes]) -> None:
        """Remove those contents that no record needs any more."""
        for content in contents:
            if not self.rows.is_needed(content):
                self._row(content)

    def finish(self) -> None:
        """Remove the files."""
        for cid in self._files:
            self.objects.remove(cid)

    def _row(self, name: bytes) -> bool:
        removed = self.rows.remove(name)
        if removed is None:
            return False
        if isinstance(removed, OnFile):
            self.freed += removed.size
            if name[:1] == CONTENT:
                self._files.append(name[1:].decode("ascii", "replace"))
        else:
            self.freed += removed
        return True


class Room:
    """How much a store may hold: its limit, and never the disk's last tenth."""

    def __init__(self, path: str, limit: int, rows: Rows) -> None:
        self._path = path
        self._limit = limit
        self._rows = rows

    def capacity(self) -> int:
        """Bytes of the largest result that fits, were all others to go."""
        held = self._rows.held()
        return max(0, min(self._limit, held + self._spare()))

    def check(self, size: int) -> None:
        """Raise `BackendError` for what would not fit into an empty store."""
        if size > self._limit:
            raise ContentTooLargeError(
                f"a result of {human_size(size)} is larger than the store {self._path} may be "
                f"({human_size(self._limit)})",
                server=self._path,
            )
        if size > self.capacity():
            raise BackendError(
                f"no room in the store {self._path}: it leaves the last tenth of the disk free",
                server=self._path,
            )

    def is_short(self, size: int) -> bool:
        """Whether something has to go before `size` more bytes come."""
        return self._shortage(size) > 0

    def make(self, size: int, removal: Removal, *, besides: bytes = b"") -> None:
        """Let results go until `size` more bytes fit; `besides` stays, and what it needs."""
        target = removal.freed + self._shortage(size)
        while removal.freed < target:
            name = self._rows.expired(besides) or self._rows.least_used(besides)
            if name is None:
                raise ContentTooLargeError(
                    f"no room for {human_size(size)} more in the store {self._path}",
                    server=self._path,
                )
            removal.take(name)

    def _shortage(self, size: int) -> int:
        return size - min(self._limit - self._rows.held(), self._spare())

    def _spare(self) -> int:
        usage = disk_usage(self._path)
        return usage.free - usage.total // 10


disk_usage: Callable[[str], shutil._ntuple_diskusage] = shutil.disk_usage
