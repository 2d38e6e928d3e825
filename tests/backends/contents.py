"""Content for tests: bytes under the CID that they have."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from cascade_nb.content.unixfs import file_cid

SMALL, MIDDLE, LARGE = 1_000, 100_000, 3_000_000


def content(size: int, fill: bytes | None = None) -> tuple[str, bytes]:
    data = os.urandom(size) if fill is None else fill * size
    return file_cid([data]), data


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The texts of all warnings given within, once it is over."""
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    texts.extend(str(warning.message) for warning in caught)
