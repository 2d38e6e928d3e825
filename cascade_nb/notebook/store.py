"""The store of the session, as the verbs ask for it."""

from __future__ import annotations

from typing import Any

from cascade_nb.config import engine
from cascade_nb.errors import ConfigurationError


def session_store() -> Any:
    """What the session's engine keeps its results in.

    Raises:
        ConfigurationError: its policy keeps none.
    """
    store = getattr(engine().policy, "store", None)
    if store is None:
        raise ConfigurationError("the session's policy keeps nothing that could be listed")
    return store
