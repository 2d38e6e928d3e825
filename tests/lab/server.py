"""A JupyterLab server of a test's own: a free port, temporary folders, no trace afterwards."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_SECONDS = 60

# What a fresh JupyterLab would do that a test cannot use, by settings file.
_SETTINGS: dict[str, dict[str, object]] = {
    # The news toast lies over the page, and asks the network.
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # Cells out of sight are left out of the page otherwise, and a page of nothing ends it.
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {
        "windowingMode": "none",
        "scrollPastEnd": False,
    },
    # A blinking cursor makes two screenshots differ.
    "@jupyterlab/codemirror-extension/plugin.jupyterlab-settings": {
        "defaultConfig": {"cursorBlinkRate": 0}
    },
}


@dataclass(frozen=True, slots=True)
class LabServer:
    """A running server; `root` is the folder whose notebooks it opens."""

    base_url: str
    token: str
    root: Path

    def page_url(self, notebook: str) -> str:
        """Where JupyterLab shows `notebook` (a path under `root`), alone in a fresh workspace."""
        return f"{self.base_url}/lab/tree/{notebook}?token={self.token}&reset"


@contextmanager
def lab_server(
    root: Path, state: Path, environment: Mapping[str, str] | None = None
) -> Iterator[LabServer]:
    """Serve `root`; all that Jupyter keeps lies in `state`. Kernels get `environment` too."""
    port, token = _free_port(), secrets.token_hex(16)
    server = LabServer(base_url=f"http://127.0.0.1:{port}", token=token, root=root)
    with (state / "lab.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser"),
                "--ip=127.0.0.1",
                f"--ServerApp.port={port}",
                "--ServerApp.port_retries=0",
                f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={root}",
                "--ServerApp.terminals_enabled=False",
                "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                "--LabApp.expose_app_in_browser=True",
            ],
            env={**os.environ, **_folders(state), **(environment or {})},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_it_answers(server, process, state / "lab.log")
        yield server
    finally:
        # SIGTERM has the server shut its kernels down as well.
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _folders(state: Path) -> dict[str, str]:
    settings = state / "settings"
    for name, content in _SETTINGS.items():
        file = settings / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return {
        "JUPYTER_CONFIG_DIR": str(state / "config"),
        "JUPYTER_DATA_DIR": str(state / "data"),
        "JUPYTER_RUNTIME_DIR": str(state / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(state / "workspaces"),
        "IPYTHONDIR": str(state / "ipython"),
    }


def _wait_until_it_answers(server: LabServer, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{server.base_url}/api?token={server.token}", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
