"""``python -m tests.benchmarks``: every benchmark, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run all ``bench_*.py`` beside this file; how many of them broke."""
    broken = 0
    for script in sorted(Path(__file__).parent.glob("bench_*.py")):
        print(f"# {script.stem}", flush=True)
        finished = subprocess.run(
            [sys.executable, "-m", f"tests.benchmarks.{script.stem}"], check=False
        )
        broken += finished.returncode != 0
    return broken


if __name__ == "__main__":
    sys.exit(main())
