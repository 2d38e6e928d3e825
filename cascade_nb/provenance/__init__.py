"""Whose results are believed: the user's own by a secret, all others by their signature."""

from cascade_nb.provenance.keys import public_key
from cascade_nb.provenance.secret import seal, unseal
from cascade_nb.provenance.signing import sign_record, verify_signature

__all__ = ["public_key", "seal", "sign_record", "unseal", "verify_signature"]
