"""What importing costs is kept low by what it leaves alone; figures are in the benchmarks."""

from __future__ import annotations

import subprocess
import sys

HEAVY = frozenset(
    {
        "aiohttp",
        "cryptography",
        "distributed",
        "ipywidgets",
        "matplotlib",
        "numpy",
        "pandas",
        "polars",
        "pyarrow",
        "redis",
        "scipy",
        "torch",
    }
)


def _modules_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after `code`."""
    script = f"{code}\nimport sys\nprint(*sorted({{m.partition('.')[0] for m in sys.modules}}))"
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return set(finished.stdout.split())


def test_import_leaves_heavy_modules_alone() -> None:
    assert not _modules_after("import cascade_nb") & {*HEAVY, "diskcache", "IPython"}


def test_loading_the_extension_leaves_heavy_modules_alone() -> None:
    shell = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from traitlets.config import Config\n"
        "config = Config()\n"
        "config.HistoryManager.hist_file = ':memory:'\n"
        "shell = InteractiveShell.instance(config=config)\n"
    )
    before = _modules_after(shell)
    after = _modules_after(f"{shell}shell.run_line_magic('load_ext', 'cascade_nb')")
    assert not (after - before) & HEAVY
