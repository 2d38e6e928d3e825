"""Content for tests: bytes under the CID that they have."""

from __future__ import annotations

import os

from cascade_nb.content.unixfs import file_cid

SMALL, MIDDLE, LARGE = 1_000, 100_000, 3_000_000


def content(size: int, fill: bytes | None = None) -> tuple[str, bytes]:
    data = os.urandom(size) if fill is None else fill * size
    return file_cid([data]), data
