"""The shell command `cascade`.

Exit codes: 0 done, 1 something failed (a cell, a disk), 2 the command line makes no sense,
130 interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `cascade` with `arguments`, by default those of the process; gives the exit code."""
    # The kernels of `cascade run` import a module of this package and have no use for click.
    from cascade_nb.cli.commands import execute
    from cascade_nb.surface import Surface, on_surface

    with on_surface(Surface.SHELL):
        return execute(arguments)
