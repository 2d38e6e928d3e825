"""Whether the files that a result was computed from are still what they were."""

from __future__ import annotations

import glob

from cascade_nb.files.audit import unobserved
from cascade_nb.files.places import found, working_folder
from cascade_nb.files.sight import look, names_digest
from cascade_nb.files.trees import tree_digest
from cascade_nb.records import Reads


def verify(reads: Reads) -> str | None:
    """Why `reads` no longer hold, naming the first path that differs; None where they all do.

    Reads files as long as it takes: call it off the loop.
    """
    if not reads:
        return None
    folder = working_folder()
    with unobserved():
        for path, before in reads.files.items():
            sight = look(found(path, folder))
            now = None if sight is None else sight.digest
            # A folder in the place of what was absent has appeared as well.
            if now != before or (sight is None and before is None):
                return f"file `{path}` {_what_happened(before, now, 'changed')}"
        for path, before in reads.folders.items():
            now = names_digest(found(path, folder))
            if (now is None or now != before) and glob.has_magic(path):
                # A pattern, and not a folder whose name looks like one.
                now = tree_digest(path, folder)
            if now != before:
                return f"folder `{path}` {_what_happened(before, now, 'has other names')}"
    return None


def _what_happened(before: str | None, now: str | None, otherwise: str) -> str:
    if before is None:
        return "has appeared"
    return "is gone" if now is None else otherwise
