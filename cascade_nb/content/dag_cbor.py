"""The links in a DAG-CBOR block, found by one strict walk over its bytes.

libipld decodes a link to bytes, which the block may hold as bytes too; and what it takes is more
than the one encoding that a tree has (ipld.io/specs/codecs/dag-cbor).
"""

from __future__ import annotations

import struct

from cascade_nb.content import cid as cids
from cascade_nb.errors import IntegrityError

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _SIMPLE = range(8)
_CID_TAG = 42
_CONSTANTS = (20, 21, 22)  # false, true, null
_DOUBLE = 27
_DEPTH_LIMIT = 256


def links(block: bytes) -> list[bytes]:
    """The binary CIDs that `block` links, in order, each as often as it does.

    Raises:
        IntegrityError: it is not DAG-CBOR, or not in its one canonical encoding.
    """
    return _Walk(block).links()


class _Walk:
    """One pass over a block; `_at` is where it stands."""

    def __init__(self, block: bytes) -> None:
        self._block = block
        self._at = 0
        self._found: list[bytes] = []
        # Of each open list or map: how many items are to come, and in a map the last key.
        self._open: list[_Open] = [_Open(1, is_map=False)]

    def links(self) -> list[bytes]:
        while self._open:
            container = self._open[-1]
            if not container.left:
                self._open.pop()
                continue
            container.left -= 1
            if container.is_map:
                self._key(container)
            self._item()
        if self._at != len(self._block):
            raise self._error("bytes follow it")
        return self._found

    def _item(self) -> None:
        kind, number, argument = self._head()
        if kind in (_BYTES, _TEXT):
            self._take(number, text=kind == _TEXT)
        elif kind in (_LIST, _MAP):
            # Each item has a byte at least: no promise is believed beyond that.
            if number > len(self._block) - self._at:
                raise self._error("it is cut")
            if len(self._open) > _DEPTH_LIMIT:
                raise self._error("it is nested too deeply")
            self._open.append(_Open(number, is_map=kind == _MAP))
        elif kind == _TAG:
            self._link(number)
        elif kind == _SIMPLE:
            self._constant(number, argument)

    def _key(self, container: _Open) -> None:
        kind, number, _ = self._head()
        if kind != _TEXT:
            raise self._error("a map has a key that is no text")
        key = self._take(number, text=True)
        order = (len(key), key)
        if container.last_key is not None and order <= container.last_key:
            raise self._error("the keys of a map are in disorder")
        container.last_key = order

    def _link(self, tag: int) -> None:
        if tag != _CID_TAG:
            raise self._error(f"it has a tag {tag}")
        kind, number, _ = self._head()
        binary = self._take(number) if kind == _BYTES else b""
        if not binary.startswith(b"\0"):
            raise self._error("a link is none")
        self._found.append(cids.read_all(binary[1:]))

    def _constant(self, number: int, argument: int) -> None:
        if argument == _DOUBLE:
            (value,) = struct.unpack(">d", number.to_bytes(8, "big"))
            if value - value != 0:
                raise self._error("it has a number that is not finite")
        elif argument not in _CONSTANTS:
            raise self._error(f"it has a constant {number}")

    def _take(self, size: int, *, text: bool = False) -> bytes:
        taken = self._block[self._at : self._at + size]
        if len(taken) != size:
            raise self._error("it is cut")
        self._at += size
        if text:
            try:
                taken.decode()
            except UnicodeDecodeError:
                raise self._error("it has a text that is not UTF-8") from None
        return taken

    def _head(self) -> tuple[int, int, int]:
        """The kind of the next item, its number, and how this was written."""
        (first,) = self._take(1)
        kind, argument = first >> 5, first & 0x1F
        if argument < 24:
            return kind, argument, argument
        if argument > 27:
            raise self._error("it has a length without end")
        size = 1 << argument - 24
        number = int.from_bytes(self._take(size), "big")
        smallest = 24 if size == 1 else 1 << 4 * size
        if number < smallest and kind != _SIMPLE:
            raise self._error("a number is written with more bytes than it needs")
        return kind, number, argument

    def _error(self, message: str) -> IntegrityError:
        return IntegrityError(f"not a DAG-CBOR block: {message}, at byte {self._at:,}")


class _Open:
    """A list or map whose items are being read."""

    __slots__ = ("is_map", "last_key", "left")

    def __init__(self, left: int, *, is_map: bool) -> None:
        self.left = left
        self.is_map = is_map
        self.last_key: tuple[int, bytes] | None = None
