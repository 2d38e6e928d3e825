"""Make the README's picture: the quickstart in JupyterLab, run for the second time.

``python -m tests.lab.screenshot`` writes examples/quickstart.png.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.lab.browser import NotebookPage, Shown, open_notebook
from tests.lab.server import lab_server

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TARGET = EXAMPLES / "quickstart.png"

_WIDTH, _HEIGHT = 1000, 1130
# The cell that the picture begins with.
_FIRST = "map of digits"
_COLOURS = 128


def take(folder: Path, target: Path) -> tuple[list[list[Shown]], list[list[Shown]]]:
    """Run the quickstart, restart, run it again, save the picture; gives both runs' outputs.

    The store and all that Jupyter keeps lie in `folder`.
    """
    root, state = folder / "root", folder / "state"
    root.mkdir()
    state.mkdir()
    shutil.copy(EXAMPLES / "quickstart.ipynb", root)
    environment = {
        "CASCADE_STORE": str(folder / "store"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
    }
    # The font cache first: the first to import matplotlib says that it makes one.
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.pyplot"],
        env={**os.environ, **environment},
        check=True,
    )
    with (
        lab_server(root, state, environment) as server,
        open_notebook(
            server, "quickstart.ipynb", folder / "profile", width=_WIDTH, height=_HEIGHT
        ) as lab,
    ):
        lab.run_all()
        first = lab.outputs()
        lab.restart_and_run_all()
        second = lab.outputs()
        target.write_bytes(_small(_picture(lab)))
    return first, second


def _picture(lab: NotebookPage) -> bytes:
    """The part of the notebook that shows most, without the file browser beside it."""
    lab.command("application:toggle-left-area")
    cell = lab.page.locator(".jp-Notebook .jp-CodeCell").filter(has_text=_FIRST).first
    cell.evaluate("cell => cell.scrollIntoView({ block: 'start' })")
    lab.settle()
    return lab.page.screenshot()


def _small(picture: bytes) -> bytes:
    """The same picture in as few colours as it can do with."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    packed = io.BytesIO()
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def main() -> None:
    """Write examples/quickstart.png."""
    with tempfile.TemporaryDirectory() as folder:
        take(Path(folder), TARGET)
    print(f"{TARGET.name}: {TARGET.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
