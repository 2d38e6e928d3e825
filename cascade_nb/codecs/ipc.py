"""What an Arrow IPC stream from anybody must not have, looked for before a library reads it.

Compressed buffers can unfold a thousandfold, as rows without data can, and pieces added to a
dictionary are joined before anybody has validated them. Extension types would run what a session
has registered for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cascade_nb.errors import CodecError

EXTENSION = b"ARROW:extension:name"

# Rows that need no bit of data each, as those of nothing but nulls.
_FREE_ROWS = 1 << 20

_CONTINUES = 0xFFFFFFFF
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
# Fields of the flatbuffers Message, RecordBatch and DictionaryBatch, in the order of their schema.
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_ROWS, _NODES, _BUFFERS, _COMPRESSION = 0, 1, 2, 3
_BATCH_OF_DICTIONARY, _IS_DELTA = 1, 2


def check(stream: memoryview) -> None:
    """Raise `CodecError` unless the stream is plain: schema, dictionaries and batches as they are.

    What lies in the buffers is for the library to verify.
    """
    position = 0
    while True:
        mark, size = struct.unpack_from("<Ii", stream, position)
        position += 8
        if mark != _CONTINUES or size < 0:
            raise CodecError("damaged encoding: no Arrow stream")
        if size == 0:
            break
        message = _Table.root(stream[position : position + size])
        _check_message(message)
        position += size + message.number(_BODY_LENGTH, "<q")
        if not 0 < position <= len(stream):
            raise CodecError("damaged encoding: an Arrow stream is cut")
    if position != len(stream):
        raise CodecError("damaged encoding: something follows an Arrow stream")


def _check_message(message: _Table) -> None:
    kind = message.number(_HEADER_TYPE, "<B")
    if kind == _SCHEMA:
        if EXTENSION in bytes(message.data):
            raise CodecError("the encoding has an Arrow extension type")
        return
    batch = message.table(_HEADER)
    if kind == _DICTIONARY and batch is not None:
        if batch.number(_IS_DELTA, "<B"):
            raise CodecError("the encoding has an Arrow dictionary in pieces")
        batch = batch.table(_BATCH_OF_DICTIONARY)
    elif kind != _BATCH:
        raise CodecError("damaged encoding: an unknown message in an Arrow stream")
    if batch is None or batch.table(_COMPRESSION) is not None:
        raise CodecError("the encoding has compressed Arrow buffers")
    body = message.number(_BODY_LENGTH, "<q")
    most = _FREE_ROWS + 8 * body
    rows = [batch.number(_ROWS, "<q"), *(length for length, _ in batch.pairs(_NODES))]
    if not all(0 <= count <= most for count in rows):
        raise CodecError("the encoding has more rows of Arrow data than it has data")
    if not all(
        start >= 0 <= size and start + size <= body for start, size in batch.pairs(_BUFFERS)
    ):
        raise CodecError("damaged encoding: an Arrow buffer lies outside of its batch")


class _Table:
    """A table of a flatbuffer."""

    def __init__(self, data: memoryview, position: int) -> None:
        self.data = data
        self._position = position
        self._fields = position - self._unpack("<i", position)
        self._end = self._unpack("<H", self._fields)

    @classmethod
    def root(cls, data: memoryview) -> _Table:
        """The table that a flatbuffer is."""
        (position,) = struct.unpack_from("<I", data)
        return cls(data, position)

    def number(self, field: int, form: str) -> int:
        """The number in a field, 0 where it is left out."""
        place = self._place(field)
        return 0 if place is None else self._unpack(form, place)

    def table(self, field: int) -> _Table | None:
        """The table that a field refers to, if there is one."""
        place = self._place(field)
        return None if place is None else _Table(self.data, place + self._unpack("<I", place))

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """The pairs of numbers in a vector."""
        place = self._place(field)
        if place is None:
            return
        start = place + self._unpack("<I", place)
        for at in range(start + 4, start + 4 + 16 * self._unpack("<I", start), 16):
            yield self._unpack("<q", at), self._unpack("<q", at + 8)

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        offset = self._unpack("<H", self._fields + entry) if entry < self._end else 0
        return self._position + offset if offset else None

    def _unpack(self, form: str, position: int) -> int:
        if position < 0:  # would count from the end
            raise CodecError("damaged encoding: a broken message in an Arrow stream")
        number: int = struct.unpack_from(form, self.data, position)[0]
        return number
