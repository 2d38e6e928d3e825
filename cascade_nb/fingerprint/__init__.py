"""From code and values to a key and its reasons.

`cascade_nb.fingerprint.values` has the fingerprints of values, `cascade_nb.fingerprint.keys` the
keys of calls and cells made of them. Names are handed on lazily, as nothing is needed at import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cascade_nb.fingerprint.values import (
        BudgetExceeded,
        Walked,
        fingerprint,
        register_fingerprint,
        shared_objects,
        sharing,
        walk,
    )

__all__ = [
    "BudgetExceeded",
    "Walked",
    "fingerprint",
    "register_fingerprint",
    "shared_objects",
    "sharing",
    "walk",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("cascade_nb.fingerprint.values"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
