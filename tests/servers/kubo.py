"""A Kubo node of the test's own: on free ports of this machine, with a repository that goes.

The program `ipfs` is taken from PATH. Where there is none but there is Go, it is built once, from
the Go module proxy, into a cache folder of the user's. The node talks to nobody but this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from filelock import FileLock

VERSION = "v0.42.0"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
# Of the user who runs the tests, noted before a test has a home of its own: Go's caches are there.
_USERS = dict(os.environ)
_BUILDS = Path(_USERS.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cascade-nb-tests"


@cache
def found_program() -> str | None:
    """The path of `ipfs`, built if need be; None where it cannot be."""
    return shutil.which("ipfs") or _built()


def program() -> str:
    """The path of `ipfs`; where there is none, skips the test, or fails it in CI."""
    found = found_program()
    if found is None:
        message = f"no IPFS node: put Kubo's `ipfs` ({VERSION}) on PATH, or install Go 1.26"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def _built() -> str | None:
    go = shutil.which("go")
    if go is None:
        return None
    folder = _BUILDS / f"kubo-{VERSION}"
    binary = folder / "bin" / "ipfs"
    folder.mkdir(parents=True, exist_ok=True)
    # Several workers of pytest-xdist may want it at once: one builds.
    with FileLock(folder / "lock"):
        if not binary.exists():
            _build(go, folder)
    return str(binary)


def _build(go: str, folder: Path) -> None:
    """Build Kubo; `go install` of a version is refused, for its go.mod excludes others."""
    scratch = folder / "module"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    environment = {**_USERS, "GOBIN": str(folder / "new"), "GOFLAGS": ""}
    package = "github.com/ipfs/kubo/cmd/ipfs"
    for arguments in (
        ["mod", "init", "scratch"],
        ["get", "-tool", f"{package}@{VERSION}"],
        ["install", package],
    ):
        ran = subprocess.run(
            [go, *arguments], cwd=scratch, env=environment, capture_output=True, text=True
        )
        if ran.returncode:
            pytest.fail(f"go {arguments[0]} failed: {ran.stderr[-2000:]}")
    # Under its name only once it is whole.
    os.replace(folder / "new", folder / "bin")


class KuboNode:
    """A node that runs, to be stopped, frozen, killed and started again on the same ports.

    Args:
        folder: where its repository lies.
        online: whether it has a swarm, on this machine, so that it can be connected to others.
        authorizations: ``API.Authorizations`` in its configuration.
    """

    def __init__(
        self,
        folder: str,
        *,
        online: bool = False,
        authorizations: dict[str, Any] | None = None,
        user: str = "",
    ) -> None:
        self.program = program()
        self.folder = folder
        self.online = online
        # `user:password@` or a token for the test's own requests.
        self._user = user
        self.api_port, self.gateway_port, self.swarm_port = _free_ports(3)
        self.url = f"http://127.0.0.1:{self.api_port}"
        self.gateway = f"http://127.0.0.1:{self.gateway_port}"
        self._process: subprocess.Popen[bytes] | None = None
        self.run("init", "--empty-repo", "--profile=test")
        self._configure(authorizations)
        self.start()

    def _configure(self, authorizations: dict[str, Any] | None) -> None:
        path = Path(self.folder) / "config"
        config = json.loads(path.read_text())
        swarm = [f"/ip4/127.0.0.1/tcp/{self.swarm_port}"] if self.online else []
        config["Addresses"].update(
            API=f"/ip4/127.0.0.1/tcp/{self.api_port}",
            Gateway=f"/ip4/127.0.0.1/tcp/{self.gateway_port}",
            Swarm=swarm,
        )
        config["Bootstrap"] = []
        config["AutoConf"] = {"Enabled": False}
        config["Routing"] = {"Type": "none"}
        config["Provide"] = {"Enabled": False}
        config["Discovery"]["MDNS"]["Enabled"] = False
        config["Gateway"]["NoFetch"] = not self.online
        # Entries with their defaults "auto" would ask a server on the internet.
        config["DNS"] = {"Resolvers": {}}
        config["Routing"]["DelegatedRouters"] = []
        config["Ipns"] = {**config.get("Ipns", {}), "DelegatedPublishers": []}
        if authorizations is not None:
            config["API"]["Authorizations"] = authorizations
        path.write_text(json.dumps(config))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [self.program, "daemon", *([] if self.online else ["--offline"])]
        log = Path(self.folder) / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env=self._environment
            )
        deadline = time.monotonic() + _START_SECONDS
        while not _listens(self.api_port) or not _listens(self.gateway_port):
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "the node did not start"
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send a signal to the node's process."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, frozen or not; its repository stays."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """End it in order."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "IPFS_PATH": self.folder, "IPFS_TELEMETRY": "off"}

    def run(self, *arguments: str, given: bytes | None = None) -> bytes:
        """What the program `ipfs` prints, asked for this node; it has to succeed."""
        ran = subprocess.run(
            [self.program, *arguments], input=given, capture_output=True, env=self._environment
        )
        assert ran.returncode == 0, ran.stderr.decode()
        return ran.stdout

    def ask(self, command: str, *arguments: str, **options: str) -> bytes:
        """What the node answers, asked by nothing of ours; it has to succeed."""
        query = urlencode([*(("arg", argument) for argument in arguments), *options.items()])
        request = urllib.request.Request(f"{self.url}/api/v0/{command}?{query}", method="POST")
        if self._user:
            request.add_header("Authorization", self._user)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{command}: {error.code} {error.read().decode()}") from None

    def pins(self) -> dict[str, str]:
        """The name of each pin, by CID."""
        listed = json.loads(self.ask("pin/ls", names="true", type="all")).get("Keys", {})
        return {
            cid: pin.get("Name", "") for cid, pin in listed.items() if pin["Type"] != "indirect"
        }

    def has(self, cid: str) -> bool:
        """Whether the block lies in the repository."""
        try:
            self.ask("block/stat", cid, offline="true")
        except AssertionError:
            return False
        return True

    def collect(self) -> None:
        """Collect the garbage."""
        self.ask("repo/gc")

    def clean(self) -> None:
        """Leave it as empty as it began."""
        for kind in ("recursive", "direct"):
            listed = json.loads(self.ask("pin/ls", type=kind)).get("Keys", {})
            cids: Sequence[str] = list(listed)
            for start in range(0, len(cids), 50):
                recursive = str(kind == "recursive").lower()
                self.ask("pin/rm", *cids[start : start + 50], recursive=recursive)
        self.collect()

    def connect(self, other: KuboNode) -> None:
        """Connect two nodes that are online."""
        peer = json.loads(other.ask("id"))["ID"]
        self.ask("swarm/connect", f"/ip4/127.0.0.1/tcp/{other.swarm_port}/p2p/{peer}")


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def kubo_node(**options: Any) -> Iterator[KuboNode]:
    """A node, for as long as the block lasts; the arguments are those of `KuboNode`."""
    with tempfile.TemporaryDirectory(prefix="cascade-kubo", ignore_cleanup_errors=True) as folder:
        node = KuboNode(folder, **options)
        try:
            yield node
        finally:
            node.stop()


@contextmanager
def connected_nodes() -> Iterator[tuple[KuboNode, KuboNode]]:
    """Two nodes that know each other and nobody else."""
    with kubo_node(online=True) as one, kubo_node(online=True) as two:
        one.connect(two)
        yield one, two
