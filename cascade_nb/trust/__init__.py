"""Whose results are believed: the user's own by a secret, all others by their signature."""

from cascade_nb.trust.keys import public_key
from cascade_nb.trust.secret import seal, unseal
from cascade_nb.trust.signing import sign_record, verify_signature

__all__ = ["public_key", "seal", "sign_record", "unseal", "verify_signature"]
