"""The user's Ed25519 signing key, an OpenSSH key pair that is made when it is first needed.

`cryptography` takes 15 ms to import, so only what signs or verifies imports it.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cascade_nb.errors import logger, warn_once
from cascade_nb.provenance.strongbox import StrongboxError, folder, keep

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_NAME = "id_ed25519"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its public line, ``ssh-ed25519 AAAA...`` without a comment."""

    private: Ed25519PrivateKey = field(repr=False)
    public: str


def public_key() -> str:
    """The user's public key, ``ssh-ed25519 AAAA...``; it says nothing of user or machine."""
    return signing_key().public


def signing_key() -> SigningKey:
    """The user's signing key.

    Where none can be kept, one of this session serves, with one warning.
    """
    home = os.environ.get("JUPYTER_DATA_DIR")
    held = _held
    if held is None or held[0] != home:
        held = _hold(home)
    return held[1]


# The key as found while JUPYTER_DATA_DIR had the value beside it.
_held: tuple[str | None, SigningKey] | None = None
_session_key: SigningKey | None = None
_lock = threading.Lock()


def _hold(home: str | None) -> tuple[str | None, SigningKey]:
    global _held
    with _lock:
        if _held is None or _held[0] != home:
            _held = (home, _find())
        return _held


def _find() -> SigningKey:
    global _session_key
    try:
        key = _parse(keep(_NAME, _new_key))
        _write_public(key.public)
        return key
    except StrongboxError as error:
        warn_once(f"results of this session are signed by no lasting key: {error}", error.cause)
    if _session_key is None:
        _session_key = _parse(_new_key())
    return _session_key


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def _parse(pem: bytes) -> SigningKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        private = serialization.load_ssh_private_key(pem, password=None)
    except Exception as error:  # cryptography's range over half a dozen unrelated types
        raise _unfit("is damaged or has a passphrase, and is not used; delete it") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _unfit("is no Ed25519 key and is not used; delete it")
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return SigningKey(private, public.decode())


def _unfit(why: str) -> StrongboxError:
    path = folder() / _NAME
    return StrongboxError(f"{path} {why}", cause=path)


def _write_public(line: str) -> None:
    """Lay the public key beside the private one, for ssh-keygen and people to find."""
    path = folder() / f"{_NAME}.pub"
    if path.exists():
        return
    try:
        path.write_text(line + "\n", encoding="ascii")
    except OSError as error:
        logger.debug("%s cannot be written: %s", path, error)  # nothing of ours reads it
