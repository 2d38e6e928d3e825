"""Other ways to run cells than a kernel of today: older parts, and a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel


@pytest.fixture(scope="module")
def older_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A kernel that has nest-asyncio 1.6 alone."""
    folder = tmp_path_factory.mktemp("older")
    (folder / "sitecustomize.py").write_text("import sys\nsys.modules['nest_asyncio2'] = None\n")
    kernel = Kernel(
        folder, HOME=str(folder), CASCADE_STORE=str(folder / "s"), PYTHONPATH=str(folder)
    )
    kernel.run("%load_ext cascade_nb")
    yield kernel
    kernel.close()


@pytest.mark.parametrize("above", ["", "%%time\n"], ids=["top level", "below %%time"])
def test_nest_asyncio_alone_loses_no_queued_cell(older_kernel: Kernel, above: str) -> None:
    cell = "import asyncio\nawait asyncio.sleep(0.3)\nprint('body')"
    ran = older_kernel.run_all(
        [f"{above}%%cascade --refresh\n{cell}", *(f"print({n})" for n in range(4))]
    )
    assert [r.status for r in ran] == ["ok"] * 5
    assert "body" in ran[0].stdout
    assert [r.stdout for r in ran[1:]] == ["0\n", "1\n", "2\n", "3\n"]
    assert older_kernel.value("hasattr(type(__import__('asyncio')), '_nest_deferred')") == "False"


_TERMINAL = """\
%load_ext cascade_nb
import asyncio
_r = get_ipython().run_cell("%%cascade --name t\\nprint('body')\\nx = [1]\\nx")
_r = get_ipython().run_cell("%%cascade --name a\\ny = await asyncio.sleep(0, 'slept')\\nprint(y)")
_r = get_ipython().run_cell("%%cascade --name r\\nprint(asyncio.run(asyncio.sleep(0, 'ran')))")
_r = get_ipython().run_cell("%%cascade --name f\\n1 / 0")
print("out is", _, x, y)
"""


def test_a_terminal_replays_as_it_ran(tmp_path: Path) -> None:
    options = ("--simple-prompt", "--no-banner", "--colors=NoColor")
    outputs = []
    for _ in range(2):
        finished = subprocess.run(
            [sys.executable, "-m", "IPython", *options],
            input=_TERMINAL,
            env={**os.environ, "CASCADE_STORE": str(tmp_path / "store")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        outputs.append(finished.stdout + finished.stderr)
    first, second = outputs
    for word in ("miss · t", "miss · a", "miss · r", "failed · f", "body", "slept", "ran"):
        assert word in first
    for word in ("hit · t", "hit · a", "hit · r", "failed · f", "body", "slept", "ran"):
        assert word in second
    for output in outputs:
        assert "Out[3]: [1]" in output
        assert "out is [1] [1] slept" in output
        assert "ZeroDivisionError" in output
        assert "cascade_nb" not in output.replace("%load_ext cascade_nb", "")
