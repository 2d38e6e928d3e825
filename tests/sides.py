"""The two sides of an example: one reader plays them both, two people run one each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

EXAMPLES = Path(__file__).parent.parent / "examples"
# The cell with which the second side begins, and the one for those who play both, by their ids.
_OTHER_SIDE, _PLAYING = "other-side", "play-bob"


def sides(name: str) -> tuple[list[Any], list[Any]]:
    """The cells of an example that the first and the second of two people run."""
    cells = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4).cells
    border = [cell.id for cell in cells].index(_OTHER_SIDE)
    return cells[:border], [cell for cell in cells[border:] if cell.id != _PLAYING]


def code(cells: list[Any]) -> dict[str, str]:
    """The sources of those cells that run, by id."""
    return {cell.id: cell.source for cell in cells if cell.cell_type == "code"}
