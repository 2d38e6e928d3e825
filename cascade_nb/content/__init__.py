"""From bytes to CIDs and blocks, and back to trust in them; pure functions of bytes."""

from cascade_nb.content.verification import verify

__all__ = ["verify"]
