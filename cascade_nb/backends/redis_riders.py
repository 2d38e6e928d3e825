"""Small contents that ride in the row of a record, so that both come in one trip."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

# Up to this size a content rides, and up to so much in each row.
RIDING_BYTES, _RIDING_TOTAL_BYTES = 8 * 1024, 32 * 1024
_MOST_KEPT = 64


class Riders:
    """Small contents on their way into a row, or out of one that was just read.

    Bounded; and by CID, so that none of them is ever wrong. Each step is one of the interpreter's:
    there is no lock that a fork could leave behind.
    """

    def __init__(self) -> None:
        self._written: OrderedDict[str, bytes] = OrderedDict()
        self._came: OrderedDict[str, bytes] = OrderedDict()

    def wrote(self, cid: str, data: bytes) -> None:
        """A content was written, whose record is to come."""
        _enter(self._written, cid, data)

    def written(self, cids: Sequence[str]) -> dict[str, bytes]:
        """Those of `cids` that were just written, as far as they fit into a row."""
        riders: dict[str, bytes] = {}
        room = _RIDING_TOTAL_BYTES
        for cid in cids:
            data = self._written.get(cid)
            if data is not None and len(data) <= room:
                riders[cid] = data
                room -= len(data)
        return riders

    def came(self, riders: dict[str, bytes]) -> None:
        """A row was read in which these lie."""
        for cid, data in riders.items():
            _enter(self._came, cid, data)

    def pop(self, cid: str) -> bytes | None:
        """The content, if it has just come; it is given once."""
        return self._came.pop(cid, None)

    def forget(self, cid: str) -> None:
        """What lies on the server is changed."""
        self._came.pop(cid, None)
        self._written.pop(cid, None)

    def clear(self) -> None:
        """Forget all."""
        self._came.clear()
        self._written.clear()


def _enter(table: OrderedDict[str, bytes], cid: str, data: bytes) -> None:
    table[cid] = data
    if len(table) > _MOST_KEPT:
        table.popitem(last=False)
