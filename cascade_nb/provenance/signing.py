"""Signatures of records: OpenSSH's SSHSIG, so that ``ssh-keygen -Y verify`` can check them.

The namespace says what a signer vouches for, data or code, and is chosen by the record, so that a
signature over data never serves for code. (PROTOCOL.sshsig of OpenSSH; the blob without armour.)
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, replace

from cascade_nb.provenance.keys import signing_key
from cascade_nb.provenance.public_keys import ALGORITHM, raw_key, string
from cascade_nb.records import Record

DATA, CODE = "data@cascade-nb", "code@cascade-nb"

_DOMAIN = b"cascade-nb record 1\n"
_HASH = b"sha512"
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
    key = raw_key(record.producer)
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


@dataclass(frozen=True, slots=True)
class DetachedSignature:
    """A record's signature as ``ssh-keygen -Y verify`` wants it, in three parts.

    With `armored` in a file ``record.sig``, and in ``allowed_signers`` a line of the signer's::

        ssh-keygen -Y verify -f allowed_signers -I ann -n NAMESPACE -s record.sig < MESSAGE
    """

    namespace: str
    message: bytes
    armored: str


def detached(record: Record) -> DetachedSignature:
    """The signature of `record` and what it is over, for people to check without us.

    The message is the line ``cascade-nb record 1`` and the record's block without its field
    ``signature``: canonical DAG-CBOR of all the rest.
    """
    body = base64.encodebytes(record.signature).decode()
    return DetachedSignature(
        namespace=_namespace(record).decode(),
        message=_message(record),
        armored=f"-----BEGIN SSH SIGNATURE-----\n{body}-----END SSH SIGNATURE-----\n",
    )


def _message(record: Record) -> bytes:
    return _DOMAIN + record.signed_bytes()


def _what_is_signed(record: Record) -> bytes:
    digest = hashlib.sha512(_message(record)).digest()
    return b"SSHSIG" + b"".join(map(string, (_namespace(record), b"", _HASH, digest)))


def _blob(record: Record, signature: bytes) -> bytes:
    """The SSHSIG blob that holds a raw `signature` by the record's producer."""
    public = base64.b64decode(record.producer.partition(" ")[2])
    field = string(ALGORITHM.encode()) + string(signature)
    fields = (public, _namespace(record), b"", _HASH, field)
    return b"SSHSIG" + (1).to_bytes(4, "big") + b"".join(map(string, fields))


def _namespace(record: Record) -> bytes:
    return (CODE if record.needs_code else DATA).encode()
