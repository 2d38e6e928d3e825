"""The user's Ed25519 signing key: an OpenSSH key pair made when it is first needed, or one chosen.

`cryptography` takes 15 ms to import, so only what signs or verifies imports it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cascade_nb.arguments import checked_path
from cascade_nb.errors import ConfigurationError, logger, warn_once
from cascade_nb.provenance.locks import ForkableLock
from cascade_nb.provenance.strongbox import StrongboxError, folder, keep

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_NAME = "id_ed25519"
_CHOICE = "CASCADE_SIGNING_KEY"
# More than any private key's file.
_LARGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key and its public line, ``ssh-ed25519 AAAA...`` without a comment."""

    private: Ed25519PrivateKey = field(repr=False)
    public: str


def use(path: str | os.PathLike[str] | None) -> None:
    """Sign with the OpenSSH private key in the file `path` from now on.

    Without one, as if none had been chosen: with that which the environment names in
    ``CASCADE_SIGNING_KEY``, else with a key of our own.

    Raises:
        ConfigurationError: the file holds no Ed25519 key without a passphrase.
    """
    global _chosen
    if path is not None:
        path = checked_path("signing_key is the path of an OpenSSH private key", path)
    chosen = None if path is None else os.path.abspath(os.path.expanduser(path))
    if chosen is not None:
        _choose(chosen)
    _chosen = chosen


def whoami() -> str:
    """The public key that signs what you store: a line ``ssh-ed25519 AAAA...`` to give to others.

    It says nothing of user or machine. Who trusts it is served your results.

    Raises:
        ConfigurationError: the key that was chosen cannot be used.
    """
    return signing_key().public


def signing_key() -> SigningKey:
    """The user's signing key.

    Where none can be kept, one of this session serves, with one warning.

    Raises:
        ConfigurationError: the key that was chosen cannot be used.
    """
    asked = _asked()
    held = _held
    if held is None or held[0] != asked:
        held = _hold(asked)
    return held[1]


def own_keys() -> list[str]:
    """This user's public keys: the one that signs, and the one that we made.

    Makes none: somebody who has never stored anything has no key.
    """
    keys: list[str] = []
    if _chosen_path() is not None:
        # What cannot sign has signed nothing.
        with suppress(ConfigurationError):
            keys.append(signing_key().public)
    try:
        made = _own_public()
    except StrongboxError:
        made = None
    return keys if made is None or made in keys else [*keys, made]


def is_own(public: str) -> bool:
    """Whether `public` is a key of this user's."""
    return public in own_keys()


# The file that `use` was told of.
_chosen: str | None = None
# The key as found while the environment was the one beside it.
_held: tuple[tuple[str | None, str | None], SigningKey] | None = None
# Likewise, where our own key pair lies or would lie, and its public key.
_own: tuple[str | None, str, str | None] | None = None
_session_key: SigningKey | None = None
_lock = ForkableLock()


def _asked() -> tuple[str | None, str | None]:
    """What decides which key signs: where our own lies, and the file that was chosen instead."""
    return os.environ.get("JUPYTER_DATA_DIR"), _chosen_path()


def _chosen_path() -> str | None:
    if _chosen is not None:
        return _chosen
    return os.environ.get(_CHOICE) or None


def _hold(asked: tuple[str | None, str | None]) -> tuple[tuple[str | None, str | None], SigningKey]:
    global _held
    with _lock.held():
        if _held is None or _held[0] != asked:
            chosen = asked[1]
            _held = (asked, _find() if chosen is None else _choose(os.path.expanduser(chosen)))
        return _held


def _own_public() -> str | None:
    """The public key of the pair that we made; None where there is none yet."""
    global _own
    home, own = os.environ.get("JUPYTER_DATA_DIR"), _own
    if own is None or own[0] != home:
        own = _own = (home, str(folder() / _NAME), None)
    if own[2] is None and os.path.exists(own[1]):
        own = _own = (home, own[1], _own_key().public)
    if own[2] is None and _session_key is not None:
        return _session_key.public
    return own[2]


def _choose(path: str) -> SigningKey:
    """The key in a file of the user's."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_LARGEST)
    except FileNotFoundError:
        raise ConfigurationError(
            f"the signing key {path} does not exist; `ssh-keygen -t ed25519` makes one"
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(f"the signing key {path} cannot be read ({why})") from error
    if content.startswith(b"ssh-"):
        raise ConfigurationError(f"{path} is a public key; name the private one beside it")
    # As ssh: who may read another user's key file at all has been allowed to.
    if sys.platform != "win32" and status.st_uid == os.getuid() and status.st_mode & 0o077:
        raise ConfigurationError(
            f"the signing key {path} is open to others; make it yours alone (chmod 600)"
        )
    try:
        return _parse(content)
    except _UnfitKeyError as error:
        raise ConfigurationError(
            f"the signing key {path} {error} and cannot sign here; name another one, or none: "
            "then a key of cascade-nb's own signs"
        ) from error


def _find() -> SigningKey:
    """Our own key, made if there is none."""
    global _session_key
    try:
        key = _own_key()
        _write_public(key.public)
        return key
    except StrongboxError as error:
        warn_once(f"results of this session are signed by no lasting key: {error}", error.cause)
    if _session_key is None:
        _session_key = _parse(_new_key())
    return _session_key


def _own_key() -> SigningKey:
    path = folder() / _NAME
    try:
        return _parse(keep(_NAME, _new_key))
    except _UnfitKeyError as error:
        raise StrongboxError(f"{path} {error} and is not used; delete it", cause=path) from error


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


class _UnfitKeyError(Exception):
    """A private key cannot sign for us; the message is a verb phrase that says why."""


def _parse(content: bytes) -> SigningKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        private = serialization.load_ssh_private_key(content, password=None)
    except TypeError as error:
        raise _UnfitKeyError("has a passphrase") from error
    except Exception as error:  # cryptography's range over half a dozen unrelated types
        raise _UnfitKeyError("is damaged, or no OpenSSH private key,") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise _UnfitKeyError("is no Ed25519 key")
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return SigningKey(private, public.decode())


def _write_public(line: str) -> None:
    """Lay the public key beside the private one, for ssh-keygen and people to find."""
    path = folder() / f"{_NAME}.pub"
    if path.exists():
        return
    try:
        path.write_text(line + "\n", encoding="ascii")
    except OSError as error:
        logger.debug("%s cannot be written: %s", path, error)  # nothing of ours reads it
