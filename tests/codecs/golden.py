"""Prints the digests of the encodings of all values: ``python -m tests.codecs.golden``.

`golden.json` holds them for format 1. They may never change: stored and shared results have these
bytes. A new kind of value is added to the file, no line of it is ever edited.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from cascade_nb.codecs import encode
from tests.codecs.values import ALL

PINNED = Path(__file__).with_name("golden.json")


def digest(name: str) -> str:
    """The digest of the encoding of a value."""
    return hashlib.sha256(b"".join(encode(ALL[name]()).pieces)).hexdigest()


if __name__ == "__main__":
    json.dump({name: digest(name) for name in ALL}, sys.stdout, indent=1)
