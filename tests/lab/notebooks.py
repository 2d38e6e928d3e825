"""Notebooks made of cell sources."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nbformat


def write_notebook(path: Path, sources: Iterable[str]) -> None:
    """Write a notebook of code cells that JupyterLab opens without asking for a kernel."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in sources],
        metadata={
            "kernelspec": {
                "display_name": "Python 3 (ipykernel)",
                "language": "python",
                "name": "python3",
            }
        },
    )
    nbformat.write(notebook, path)
