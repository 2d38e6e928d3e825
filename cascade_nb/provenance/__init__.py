"""Whose results are believed: the user's own by a secret, all others by their signature."""

from cascade_nb.provenance.judging import (
    Origin,
    bare,
    judge,
    judge_record,
    origin_of,
    seal,
    seal_imported,
)
from cascade_nb.provenance.keys import own_keys, whoami
from cascade_nb.provenance.public_keys import fingerprint_of
from cascade_nb.provenance.secret import unseal
from cascade_nb.provenance.signing import DetachedSignature, detached, sign_record
from cascade_nb.provenance.trusting import distrust, trust, trusted

__all__ = [
    "DetachedSignature",
    "Origin",
    "bare",
    "detached",
    "distrust",
    "fingerprint_of",
    "judge",
    "judge_record",
    "origin_of",
    "own_keys",
    "seal",
    "seal_imported",
    "sign_record",
    "trust",
    "trusted",
    "unseal",
    "whoami",
]
