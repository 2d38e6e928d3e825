"""What `import cascade_nb` and `%load_ext cascade_nb` add to an IPython that already runs."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.figures import say

_PROCESSES = 7
_SCRIPT = """
import time
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.hist_file = ":memory:"
config.TerminalInteractiveShell.simple_prompt = True
shell = TerminalInteractiveShell.instance(config=config)
shell.run_cell("1 + 1")
began = time.perf_counter()
import cascade_nb
imported = time.perf_counter()
shell.run_line_magic("load_ext", "cascade_nb")
loaded = time.perf_counter()
print("figures", (imported - began) * 1e3, (loaded - began) * 1e3)
"""


def _once() -> tuple[float, float]:
    printed = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    ).stdout
    _, imported, loaded = printed.splitlines()[-1].split()
    return float(imported), float(loaded)


def main() -> None:
    """Print the least of several fresh processes; what else the machine does adds to each."""
    imports, loads = zip(*(_once() for _ in range(_PROCESSES)), strict=True)
    say("import cascade_nb", min(imports), "ms", limit=50)
    say("%load_ext cascade_nb", min(loads), "ms", limit=150)


if __name__ == "__main__":
    main()
