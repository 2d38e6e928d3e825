"""Make the README's pictures: the quickstart, run for the second time, and a team's two sides.

``python -m tests.lab.screenshot`` writes examples/quickstart.png and examples/team.png.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from tests.lab.browser import NotebookPage, Shown, open_notebook
from tests.lab.server import lab_server

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
TARGET = EXAMPLES / "quickstart.png"
SIDES_TARGET = EXAMPLES / "team.png"

_WIDTH, _HEIGHT = 1000, 1130
# The cell that the picture begins with.
_FIRST = "map of digits"
_COLOURS = 128
# The cell that both sides have, how much of each is shown, and what lies between them.
_COMMON = '--name "few colours"'
_GAP = 16


def take(folder: Path, target: Path) -> tuple[list[list[Shown]], list[list[Shown]]]:
    """Run the quickstart, restart, run it again, save the picture; gives both runs' outputs.

    The store and all that Jupyter keeps lie in `folder`.
    """
    with _opened("quickstart.ipynb", folder, {"CASCADE_STORE": str(folder / "store")}) as lab:
        lab.run_all()
        first = lab.outputs()
        lab.restart_and_run_all()
        second = lab.outputs()
        target.write_bytes(_small(_picture(lab)))
    return first, second


def take_sides(folder: Path, target: Path) -> list[list[Shown]]:
    """Run the team's notebook, save a picture of the cell that both have; gives its outputs."""
    home = folder / "home"
    home.mkdir()
    environment = {
        "HOME": str(home),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "CASCADE_TEAM_STORE": str(folder / "team"),
    }
    with _opened("team.ipynb", folder, environment) as lab:
        lab.run_all()
        outputs = lab.outputs()
        target.write_bytes(_small(_sides(lab)))
    return outputs


@contextmanager
def _opened(name: str, folder: Path, environment: dict[str, str]) -> Iterator[NotebookPage]:
    """An example, opened in a JupyterLab of its own."""
    root, state = folder / "root", folder / "state"
    root.mkdir()
    state.mkdir()
    shutil.copy(EXAMPLES / name, root)
    environment = {**environment, "MPLCONFIGDIR": str(folder / "matplotlib")}
    # The font cache first: the first to import matplotlib says that it makes one.
    subprocess.run(
        [sys.executable, "-c", "import matplotlib.pyplot"],
        env={**os.environ, **environment},
        check=True,
    )
    with (
        lab_server(root, state, environment) as server,
        open_notebook(server, name, folder / "profile", width=_WIDTH, height=_HEIGHT) as lab,
    ):
        yield lab


def _sides(lab: NotebookPage) -> bytes:
    """The cell of the one above the cell of the other."""
    lab.command("application:toggle-left-area")
    cells = lab.page.locator(".jp-Notebook .jp-CodeCell").filter(has_text=_COMMON)
    shots = []
    for number in range(2):
        cell = cells.nth(number)
        cell.scroll_into_view_if_needed()
        lab.settle()
        shots.append(Image.open(io.BytesIO(cell.screenshot())).convert("RGB"))
    height = sum(shot.height for shot in shots) + _GAP
    picture = Image.new("RGB", (max(shot.width for shot in shots), height), "white")
    picture.paste(shots[0], (0, 0))
    picture.paste(shots[1], (0, shots[0].height + _GAP))
    packed = io.BytesIO()
    picture.save(packed, "PNG")
    return packed.getvalue()


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
    """Write both."""
    for make, target in ((take, TARGET), (take_sides, SIDES_TARGET)):
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), target)
        print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
