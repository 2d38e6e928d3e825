"""Signatures of records: OpenSSH's SSHSIG, so that ``ssh-keygen -Y verify`` can check them.

The namespace says what a signer vouches for, data or code, and is chosen by the record, so that a
signature over data never serves for code. (PROTOCOL.sshsig of OpenSSH; the blob without armour.)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import replace

from cascade_nb.provenance.keys import public_key, signing_key
from cascade_nb.records import Record

__all__ = ["public_key", "sign_record", "verify_signature"]

_DOMAIN = b"cascade-nb record 1\n"
_DATA, _CODE = b"data@cascade-nb", b"code@cascade-nb"
_ALGORITHM = b"ssh-ed25519"
_HASH = b"sha512"
_KEY_LENGTH = 32
_SIGNATURE_LENGTH = 64


def sign_record(record: Record) -> Record:
    """`record` with the user as its producer, and the user's signature over all of it."""
    key = signing_key()
    record = replace(record, producer=key.public, signature=b"")
    return record.with_signature(_blob(record, key.private.sign(_what_is_signed(record))))


def verify_signature(record: Record) -> bool:
    """Whether the key that `record` names as its producer has signed all of the record.

    Whether that producer is trusted is another question.
    """
    key = _producer_key(record)
    signature = record.signature[-_SIGNATURE_LENGTH:]
    # For Ed25519 every byte before the signature proper follows from the record.
    if key is None or record.signature != _blob(record, signature):
        return False

    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, _what_is_signed(record))
    except (InvalidSignature, ValueError):
        return False
    return True


def _what_is_signed(record: Record) -> bytes:
    digest = hashlib.sha512(_DOMAIN + record.signed_bytes()).digest()
    return b"SSHSIG" + b"".join(map(_string, (_namespace(record), b"", _HASH, digest)))


def _blob(record: Record, signature: bytes) -> bytes:
    """The SSHSIG blob that holds a raw `signature` by the record's producer."""
    public = base64.b64decode(record.producer.partition(" ")[2])
    field = _string(_ALGORITHM) + _string(signature)
    fields = (public, _namespace(record), b"", _HASH, field)
    return b"SSHSIG" + (1).to_bytes(4, "big") + b"".join(map(_string, fields))


def _namespace(record: Record) -> bytes:
    return _CODE if record.needs_code else _DATA


def _producer_key(record: Record) -> bytes | None:
    """The raw public key in a producer's line; None unless the line is exactly of our form."""
    algorithm, _, encoded = record.producer.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    key = blob[-_KEY_LENGTH:]
    exact = blob == _string(_ALGORITHM) + _string(key) and len(key) == _KEY_LENGTH
    # Base64 has spare bits: one key must not have several lines.
    exact = exact and base64.b64encode(blob).decode() == encoded
    return key if exact and algorithm == _ALGORITHM.decode() else None


def _string(content: bytes) -> bytes:
    """A string as SSH writes it (RFC 4251)."""
    return len(content).to_bytes(4, "big") + content
