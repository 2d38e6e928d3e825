"""The seal on what this user's own stores hold: a MAC under a secret that never leaves home.

A store may lie where others can write. What does not carry the seal is nobody's, and is never
decoded.
"""

from __future__ import annotations

import hmac
import os
import secrets
from dataclasses import dataclass, field

from blake3 import blake3

from cascade_nb.errors import warn_once
from cascade_nb.protocols import Bytes
from cascade_nb.provenance.locks import ForkableLock
from cascade_nb.provenance.strongbox import StrongboxError, folder, keep

_LENGTH = 32
_SEAL = 32


def seal(record: Bytes, *, context: bytes = b"record") -> bytes:
    """`record` behind the MAC of the user's secret; `context` says what it is for.

    Where no secret can be kept, one of this session serves, with one warning.
    """
    return _mac(record, context) + record


def unseal(envelope: Bytes, *, context: bytes = b"record") -> bytes | None:
    """The record in an `envelope` that `seal` made for the same `context`, else None."""
    view = memoryview(envelope)
    if view.nbytes < _SEAL:
        return None
    record = bytes(view[_SEAL:])
    return record if hmac.compare_digest(_mac(record, context), view[:_SEAL]) else None


@dataclass(frozen=True, slots=True)
class _Held:
    """The secret as found while JUPYTER_DATA_DIR was `home`, and the keys made from it."""

    home: str | None
    secret: bytes = field(repr=False)
    keys: dict[bytes, bytes] = field(default_factory=dict, repr=False)

    def key(self, context: bytes) -> bytes:
        key = self.keys.get(context)
        if key is None:
            purpose = "cascade-nb 1 seal of " + context.hex()
            key = blake3(self.secret, derive_key_context=purpose).digest()
            self.keys[context] = key
        return key


_held: _Held | None = None
_session_secret: bytes | None = None
_lock = ForkableLock()


def _mac(record: Bytes, context: bytes) -> bytes:
    home = os.environ.get("JUPYTER_DATA_DIR")
    held = _held
    if held is None or held.home != home:
        held = _hold(home)
    return blake3(record, key=held.key(context)).digest()


def _hold(home: str | None) -> _Held:
    global _held
    with _lock.held():
        if _held is None or _held.home != home:
            _held = _Held(home, _find())
        return _held


def _find() -> bytes:
    global _session_secret
    try:
        secret = keep("secret", lambda: secrets.token_bytes(_LENGTH))
        if len(secret) != _LENGTH:
            path = folder() / "secret"
            raise StrongboxError(f"{path} is damaged and is not used; delete it", cause=path)
        return secret
    except StrongboxError as error:
        warn_once(f"results of this session will not be found by later ones: {error}", error.cause)
    if _session_secret is None:
        _session_secret = secrets.token_bytes(_LENGTH)
    return _session_secret
