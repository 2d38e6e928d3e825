"""The tools that judge how the code is written, as tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "--no-cache"), ("ruff", "format", "--check", "--no-cache"), ("mypy",)],
    ids=lambda command: " ".join(word for word in command if word != "--no-cache"),
)
def test_is_content(command: tuple[str, ...]) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", *command], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
