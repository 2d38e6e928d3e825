"""The rows in which records lie on a Redis server.

A mark, when it was written, the envelope's size, the envelope, and a map of the contents that the
record needs, with those themselves that are small.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import libipld

_MARK = b"cascade1"
_HEAD = struct.Struct(">8sQQ")
HEAD_BYTES = _HEAD.size


class Row(NamedTuple):
    """A record, in its envelope, and what else its row says."""

    envelope: bytes
    tail: bytes

    @property
    def contents(self) -> list[str]:
        """The CIDs of what the record needs."""
        return list(self._tree())

    def riders(self) -> dict[str, bytes]:
        """The small contents that lie in the row itself."""
        return {cid: data for cid, data in self._tree().items() if isinstance(data, bytes)}

    def _tree(self) -> dict[str, Any]:
        if not self.tail:
            return {}
        try:
            tree = libipld.decode_dag_cbor(self.tail)
        except Exception:
            return {}
        return tree if isinstance(tree, dict) else {}


def packed_row(envelope: bytes, cids: Sequence[str], riders: dict[str, bytes]) -> bytes:
    """A row that is written now."""
    head = _HEAD.pack(_MARK, time.time_ns(), len(envelope))
    tail = libipld.encode_dag_cbor({cid: riders.get(cid) for cid in cids}) if cids else b""
    return b"".join((head, envelope, tail))


def head_of(data: Any) -> tuple[int, int] | None:
    """When a row of ours was written, and the size of its envelope."""
    if not isinstance(data, bytes) or len(data) < HEAD_BYTES:
        return None
    mark, written, size = _HEAD.unpack_from(data)
    return (written, size) if mark == _MARK else None


def row_in(data: Any) -> Row | None:
    """A row of ours; None for whatever else may lie there."""
    head = head_of(data)
    if head is None or HEAD_BYTES + head[1] > len(data):
        return None
    end = HEAD_BYTES + head[1]
    return Row(data[HEAD_BYTES:end], data[end:])


def is_newer(data: Any) -> bool:
    """Whether it is a row that a later format has."""
    return isinstance(data, bytes) and re.match(rb"cascade[2-9]", data) is not None
