"""Whose word a record is, and what it is good for: asked anew each time a record is read."""

from __future__ import annotations

from dataclasses import dataclass

from cascade_nb.errors import IntegrityError
from cascade_nb.protocols import Bytes
from cascade_nb.provenance import secret
from cascade_nb.provenance.allowed import standing_of
from cascade_nb.provenance.keys import is_own
from cascade_nb.provenance.public_keys import fingerprint_of
from cascade_nb.provenance.signing import verify_signature
from cascade_nb.records import Record

# The seal on a record of somebody else's whose signature has been verified.
_IMPORTED = b"imported"
_SEAL = 32


@dataclass(frozen=True, slots=True)
class Origin:
    """Who computed a result, and what their word is good for right now.

    `signer` is empty where that was this user, else a name with the fingerprint of a key, as in
    "ann (SHA256:...)", or the fingerprint alone. `data` and `code` say what they are trusted with.
    """

    signer: str = ""
    data: bool = True
    code: bool = True


_OWN = Origin()


def judge(envelope: Bytes) -> tuple[Record, Origin] | None:
    """The record in an envelope from a store, and whose it is; None where it is damaged.

    This user's seal is enough; what carries another seal has to carry a good signature.
    """
    data = secret.unseal(envelope)
    try:
        if data is not None:
            return Record.from_bytes(data), _OWN
        data = secret.unseal(envelope, context=_IMPORTED)
        if data is not None:
            record = Record.from_bytes(data)
            return record, origin_of(record)
        return judge_record(bare(envelope))
    except IntegrityError:
        return None


def bare(envelope: Bytes) -> bytes:
    """The bytes of the record that an envelope would hold, as yet nobody's."""
    return bytes(memoryview(envelope)[_SEAL:])


def judge_record(data: bytes) -> tuple[Record, Origin]:
    """A record that came in no envelope, from a file or the network, and whose it is.

    Raises:
        IntegrityError: it is no record, or its signer has not signed it as it is.
    """
    record = Record.from_bytes(data)
    if not verify_signature(record):
        raise IntegrityError("a record's signature is not its signer's")
    return record, origin_of(record)


def origin_of(record: Record) -> Origin:
    """Whose a record is whose signature is known to be good."""
    producer = record.producer
    if is_own(producer):
        return _OWN
    standing, digest = standing_of(producer), fingerprint_of(producer)
    named = standing.name and standing.name != digest
    signer = f"{standing.name} ({digest})" if named else digest
    return Origin(signer, standing.data, standing.code)


def seal(record: bytes) -> bytes:
    """The envelope for a record that this user has signed."""
    return secret.seal(record)


def seal_imported(record: bytes) -> bytes:
    """The envelope for a record of somebody else's, once `judge_record` has taken it."""
    return secret.seal(record, context=_IMPORTED)
