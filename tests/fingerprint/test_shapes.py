from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fingerprint import shapes


@pytest.mark.parametrize("seed", ["0", "1", "7"])
def test_fingerprints_of_code_are_pinned_in_every_process(seed: str) -> None:
    output = subprocess.run(
        [sys.executable, "-m", "tests.fingerprint.shapes"],
        env={**os.environ, "PYTHONHASHSEED": seed},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
    ).stdout
    assert json.loads(output) == json.loads(shapes.PINNED.read_text())


def test_every_two_shapes_of_code_differ() -> None:
    known: dict[str, str] = {}
    for name, digest in shapes.pinned().items():
        assert digest not in known, f"{name} and {known[digest]}"
        known[digest] = name
    assert len(known) >= 60


def test_layout_makes_no_difference_to_any_shape() -> None:
    for name, source in shapes.shapes().items():
        apart = ast.unparse(ast.parse(source)).replace("\n", "  # so\n\n")
        assert shapes.fingerprint(apart) == shapes.fingerprint(source), name
