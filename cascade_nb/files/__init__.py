"""The files that a computation reads: seen while it runs, checked before it is served again."""

from cascade_nb.files.recorder import Recorder, inherit
from cascade_nb.files.sight import content_digest, names_digest
from cascade_nb.files.trees import is_too_wide
from cascade_nb.files.verification import verify

__all__ = ["Recorder", "content_digest", "inherit", "is_too_wide", "names_digest", "verify"]
