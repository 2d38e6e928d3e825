"""Kernels that tests of one module share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.notebook.kernel import Kernel


@pytest.fixture(scope="module")
def shared_kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for a module, with the extension loaded and a store of its own."""
    folder: Path = tmp_path_factory.mktemp("kernel")
    kernel = Kernel(folder, HOME=str(folder), CASCADE_STORE=str(folder / "store"))
    kernel.run("%load_ext cascade_nb")
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(shared_kernel: Kernel) -> Kernel:
    """The shared kernel, with a clean namespace and an empty store."""
    shared_kernel.run("%reset -f", "%cascade on", "%cascade clear")
    return shared_kernel
