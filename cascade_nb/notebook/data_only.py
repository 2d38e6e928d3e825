"""What a stored cell may not do to a session whose user trusts its signer with data only.

Values are theirs to give; which names they go to is for the cell's own source to say. A search
path, an environment variable, or a function in place of another one would decide what code runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from cascade_nb.fingerprint.cells import CellCode
from cascade_nb.notebook.bindings import shown_names
from cascade_nb.notebook.effects import SURFACES

_GENERATORS = frozenset(surface.name for surface in SURFACES if surface.generator)
# More values beside Out[n] than any cell shows.
_MOST_SHOWN = 10_000


def overstepped(code: CellCode, recorded: Mapping[str, Any], *, puts_generators: bool) -> str:
    """What of the recorded effects goes too far, as a verb phrase; empty where nothing does.

    `puts_generators` tells whether the state of random generators would be restored.
    """
    try:
        session = set(recorded["session"])
        # A state that is not put back is passed over.
        changed = session if puts_generators else session - _GENERATORS
        if changed:
            return f"it changes {min(map(str, changed))}"
        return _overstepped_names(code, recorded["names"])
    except (KeyError, TypeError, ValueError):
        return "the record of what it did is damaged"


def names_beyond(code: CellCode, names: Iterable[str]) -> list[str]:
    """Those of `names` that the cell does not have in its source."""
    return sorted(set(names) - code.reads - code.writes - code.deletes)


def _overstepped_names(code: CellCode, plan: Mapping[str, Any]) -> str:
    if type(plan["shown"]) is not int or plan["shown"] > _MOST_SHOWN:
        raise ValueError(plan["shown"])
    touched = {*plan["bound"], *plan["constants"], *plan["deleted"], *plan["in_place"]}
    named = plan["references"].keys() - set(shown_names(plan["shown"]))
    beyond = names_beyond(code, touched | named)
    if beyond:
        return f"it changes {beyond[0]}, which its source does not"
    for name, (kind, *where) in plan["references"].items():
        if kind == "name":
            allowed = not names_beyond(code, where[:1])
        elif kind == "module":
            allowed = where[0] in sys.modules
        else:
            allowed = kind == "closed file"
        if not allowed:
            return f"it makes {name} another name of {where[-1]}"
    return ""
