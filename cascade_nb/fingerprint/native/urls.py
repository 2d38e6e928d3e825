"""Texts that are URLs: of files here, which are paths, and of what lies elsewhere."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# One letter is a drive.
_SCHEME = re.compile(r"([^\W\d][\w+.-]+)://")
_FILE = re.compile(r"file:", re.IGNORECASE)


def is_remote(text: str) -> bool:
    """Whether a text is a URL of something that is not a local file."""
    scheme = _SCHEME.match(text)
    return scheme is not None and scheme[1].lower() != "file"


def local_paths(text: str) -> list[str]:
    """The paths that a text may stand for: a ``file:`` URL for that in it, as it is and decoded."""
    if not _FILE.match(text):
        return [text]
    try:
        parts = urlsplit(text)
    except ValueError:
        return []
    here = parts.netloc.lower() in ("", "localhost")
    path = parts.path if here else f"//{parts.netloc}{parts.path}"
    return sorted({found for found in (path, unquote(path)) if found and found != ":memory:"})
