"""The least that must work on any supported Python: no test runner, only the package itself.

Run by ``.ci/run`` in an environment that has nothing but ``cascade-nb[run]``.
"""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

_CELLS = (
    "%load_ext cascade_nb",
    "import asyncio",
    "%%cascade\nsquares = [n * n for n in range(4)]\nawait asyncio.sleep(0)\nprint(sum(squares))",
    "assert squares == [0, 1, 4, 9]",
)


def check_functions(folder: Path) -> None:
    """Plain and async functions are computed once."""
    import cascade_nb

    cascade_nb.configure(store=str(folder / "functions"))
    ran: list[str] = []

    @cascade_nb.cached(ignore=["ran"])
    def plain(n: int) -> int:
        ran.append("plain")
        return n + 1

    @cascade_nb.cached(ignore=["ran"])
    async def awaited(n: int) -> int:
        ran.append("awaited")
        return n + 2

    async def twice() -> list[int]:
        return [await awaited(1), await awaited(1)]

    assert [plain(1), plain(1)] == [2, 2]
    assert asyncio.run(twice()) == [3, 3]
    assert sorted(ran) == ["awaited", "plain"], ran


def check_notebook(folder: Path) -> None:
    """A notebook's second run in a fresh kernel hits."""
    path = folder / "smoke.ipynb"
    cells = [nbformat.v4.new_code_cell(source) for source in _CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    finished = subprocess.run(
        [sys.executable, "-m", "cascade_nb", "run", str(path), "--repeat", "2"],
        env={**os.environ, "CASCADE_STORE": str(folder / "cells")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr + finished.stdout
    assert "miss" in finished.stdout, finished.stdout
    assert "hit" in finished.stdout, finished.stdout


def main() -> None:
    """Check functions and a notebook, in temporary folders."""
    with tempfile.TemporaryDirectory() as folder:
        check_functions(Path(folder))
        check_notebook(Path(folder))
    print(f"smoke test passed on Python {platform.python_version()}")


if __name__ == "__main__":
    main()
