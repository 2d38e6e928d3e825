"""JupyterLab as a person sees it: a page in headless Chromium, driven by its own commands."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.lab.server import LabServer

_MILLISECONDS = 1000
_PATIENCE = 120 * _MILLISECONDS
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The height of menu, toolbar and status bar, in pixels.
_AROUND_CELLS = 160
# An output's part of the page, less what differs between two pages that look the same.
_READ_OUTPUTS = """
() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].map(cell =>
  [...cell.querySelectorAll('.jp-OutputArea-child')].map(child => {
    const output = child.querySelector('.jp-OutputArea-output') ?? child;
    const images = [...output.querySelectorAll('img')].map(image => image.src);
    return {
      prompt: child.querySelector('.jp-OutputPrompt')?.innerText.trim() ?? '',
      mime: output.getAttribute('data-mime-type') ?? '',
      text: output.innerText.trim(),
      images: images,
    };
  }))
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One output on the page: what stands there, and its pictures as data URLs."""

    prompt: str
    mime: str
    text: str
    images: tuple[str, ...]


def chromium() -> str:
    """The browser's path; where there is none, the test skips, or fails in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    message = "no Chromium here; install it, on Debian with: apt-get install chromium"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


class NotebookPage:
    """A notebook open in JupyterLab."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def run_all(self) -> None:
        """Run > Run All Cells, until every cell has run and the kernel is idle."""
        self.command("notebook:run-all-cells")
        self.wait_until_idle()

    def restart_and_run_all(self) -> None:
        """Kernel > Restart Kernel and Run All Cells, until every cell has run."""
        self.command("notebook:restart-run-all")
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        # Of the first run's numbers none is left once the second has begun.
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.jp-Notebook .jp-InputPrompt')]"
            ".some(prompt => /\\[[ *]\\]/.test(prompt.innerText))"
        )
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Return when no cell waits or runs any more, and outputs have stopped coming."""
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]"
            ".every(prompt => !prompt.innerText.includes('*'))",
            timeout=_PATIENCE,
        )
        self.page.get_by_text("| Idle").wait_for(timeout=_PATIENCE)
        self.settle()

    def settle(self) -> None:
        """Give the page time to draw: it does so after the kernel says idle, and no event tells."""
        self.page.wait_for_timeout(1 * _MILLISECONDS)

    def prompts(self) -> list[str]:
        """The code cells' numbers, such as ``[3]:``; a cell that did not run has ``[ ]:``."""
        found = self.page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt")
        return [text.replace("\xa0", " ").strip() for text in found.all_inner_texts()]

    def outputs(self) -> list[list[Shown]]:
        """What is shown under each code cell, in order."""
        return [
            [Shown(**{**output, "images": tuple(output["images"])}) for output in cell]
            for cell in self.page.evaluate(_READ_OUTPUTS)
        ]

    def picture(self, path: Path) -> None:
        """Save a screenshot of the whole notebook to `path`."""
        before = self.page.viewport_size or {"width": 1200, "height": 900}
        height = self.page.evaluate(
            "() => { const cells = [...document.querySelectorAll('.jp-Notebook .jp-Cell')]"
            ".map(cell => cell.getBoundingClientRect());"
            " return cells[cells.length - 1].bottom - cells[0].top }"
        )
        self.page.set_viewport_size({**before, "height": int(height) + _AROUND_CELLS})
        self.page.locator(".jp-Notebook .jp-Cell").first.evaluate(
            "cell => cell.scrollIntoView({ block: 'start' })"
        )
        self.settle()
        self.page.screenshot(path=str(path))
        self.page.set_viewport_size(before)

    def command(self, name: str) -> None:
        """Begin a command of JupyterLab's, by the name that its palette and menus use."""
        # Not awaited in the page: a command that asks something ends only when it is answered.
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name) }", name)


@contextmanager
def open_notebook(
    server: LabServer, notebook: str, profile: Path, *, width: int = 1200, height: int = 900
) -> Iterator[NotebookPage]:
    """Open `notebook` in a browser whose profile lies in `profile`; its kernel is connected."""
    executable = chromium()
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            headless=True,
            executable_path=executable,
            args=list(_FLAGS),
            viewport={"width": width, "height": height},
        )
        try:
            page = context.pages[0]
            page.set_default_timeout(_PATIENCE)
            page.goto(server.page_url(notebook))
            # "Idle" shows before the kernel connects; only the status bar's text tells.
            page.get_by_text("| Idle").wait_for()
            page.wait_for_timeout(1 * _MILLISECONDS)
            yield NotebookPage(page)
        finally:
            context.close()
