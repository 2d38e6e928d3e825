"""Public keys as one line of text, ``ssh-ed25519 AAAA...``: each key has exactly one such line."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib

from cascade_nb.errors import ConfigurationError

ALGORITHM = "ssh-ed25519"
_KEY_LENGTH = 32


def raw_key(line: str) -> bytes | None:
    """The 32 bytes of the key in `line`; None unless the line is exactly of our form."""
    algorithm, _, encoded = line.partition(" ")
    blob = _decoded(encoded)
    # Base64 has spare bits: one key must not have several lines.
    exact = blob is not None and base64.b64encode(blob).decode() == encoded
    return blob[-_KEY_LENGTH:] if blob is not None and exact and algorithm == ALGORITHM else None


def line_of(encoded: str) -> str | None:
    """The line of an Ed25519 key in base64, written in whatever way; None where it is none."""
    blob = _decoded(encoded)
    return None if blob is None else f"{ALGORITHM} {base64.b64encode(blob).decode()}"


@functools.lru_cache(maxsize=256)
def fingerprint_of(line: str) -> str:
    """The fingerprint that ``ssh-keygen -l`` shows of a public key's line: ``SHA256:...``.

    Raises:
        ConfigurationError: the line is no Ed25519 public key.
    """
    words = line.split()
    blob = _decoded(words[1]) if len(words) > 1 and words[0] == ALGORITHM else None
    if blob is None:
        raise ConfigurationError(f"not an {ALGORITHM} public key: {line!r:.80}")
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return "SHA256:" + digest.rstrip("=")


def string(content: bytes) -> bytes:
    """A string as SSH writes it (RFC 4251)."""
    return len(content).to_bytes(4, "big") + content


def _decoded(encoded: str) -> bytes | None:
    """The key blob in base64, if it is one of an Ed25519 key."""
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    key = blob[-_KEY_LENGTH:]
    is_ours = len(key) == _KEY_LENGTH and blob == string(ALGORITHM.encode()) + string(key)
    return blob if is_ours else None
