"""The notebook room: ``%load_ext cascade_nb``."""

from __future__ import annotations

from typing import Any

_MAGICS = "CascadeMagics"


def load_ipython_extension(shell: Any) -> None:
    """Add `%%cascade` and `%cascade` to an IPython shell."""
    from cascade_nb.notebook import verbs
    from cascade_nb.notebook.magics import CascadeMagics
    from cascade_nb.surface import Surface, set_surface

    magics = CascadeMagics(shell)
    shell.register_magics(magics)
    magics.install()
    verbs.install(shell)
    set_surface(Surface.MAGIC)


def unload_ipython_extension(shell: Any) -> None:
    """Take them away again, and leave the shell as found."""
    from cascade_nb.notebook import verbs
    from cascade_nb.surface import Surface, set_surface

    magics = shell.magics_manager.registry.pop(_MAGICS, None)
    if magics is None:
        return
    verbs.uninstall(shell)
    set_surface(Surface.PYTHON)
    magics.remove()
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("cascade", None)
    if magics in shell.configurables:
        shell.configurables.remove(magics)
