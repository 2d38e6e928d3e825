"""Openers for scipy's sparse arrays and matrices; imported when scipy's first type is met."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import scipy.sparse

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.kinds import Opened, derived

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker

# What holds the content in each format; the flags that scipy caches beside it say nothing more.
_PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "bsr": ("data", "indices", "indptr"),
    "coo": ("data", "coords"),
    "dia": ("data", "offsets"),
    "lil": ("data", "rows"),
}


@derived(scipy.sparse.sparray, scipy.sparse.spmatrix)
def _sparse(value: Any, walker: Walker) -> Opened:
    if value.format == "dok":
        return b"dok", (type(value), value.shape, value.dtype, tuple(value.items()))
    if value.format not in _PARTS:
        raise FingerprintError(f"no fingerprint is known for the sparse format {value.format}")
    parts = (getattr(value, name) for name in _PARTS[value.format])
    return value.format.encode(), (type(value), value.shape, *parts)
