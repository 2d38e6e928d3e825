"""Making a running event loop re-entrant, so that plain code in a cell can wait on it."""

from __future__ import annotations

import asyncio


def make_reentrant(loop: asyncio.AbstractEventLoop) -> bool:
    """Let ``loop.run_until_complete`` be called while `loop` runs; False where it cannot be."""
    try:
        import nest_asyncio2 as nest
    except ImportError:
        import nest_asyncio as nest
    try:
        nest.apply(loop)
    except ValueError:
        return False
    return True
