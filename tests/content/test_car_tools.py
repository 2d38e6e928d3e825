"""Other people's tools read the CARs that are written here, and theirs are read."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from cascade_nb.content import car
from cascade_nb.content.assembly import FileAssembly
from cascade_nb.content.cid import parse, to_text
from cascade_nb.content.dag import record_blocks
from cascade_nb.content.unixfs import LEGACY_V1, UNIXFS_V0_2015, UNIXFS_V1_2025, Profile, blocks
from cascade_nb.policies.packing import pack_value
from tests.content.dags import content
from tests.content.test_dag import record
from tests.servers.kubo import KuboNode, kubo_node

_PACKAGE = "ipfs-car@3.1.0"
# Found before a test has a home of its own.
_BUILDS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cascade-nb-tests"
_NPM_CACHE = Path.home() / ".npm"
DATA = content(3_000_000)
PROFILES = (UNIXFS_V0_2015, LEGACY_V1, UNIXFS_V1_2025)

Tool = Callable[..., str]


@pytest.fixture(scope="session")
def ipfs_car() -> Tool:
    """npm's `ipfs-car`, installed once for the user who runs the tests."""
    npm = shutil.which("npm")
    if npm is None:
        message = "no npm: install Node.js 20 with npm, from which the test takes ipfs-car"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    folder = _BUILDS / _PACKAGE
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "node_modules" / ".bin" / "ipfs-car"
    with FileLock(folder / "lock"):
        if not program.exists():
            options = ["--no-audit", "--no-fund", "--ignore-scripts", "--cache", str(_NPM_CACHE)]
            ran = subprocess.run(
                [npm, "install", *options, _PACKAGE], cwd=folder, capture_output=True, text=True
            )
            assert ran.returncode == 0, ran.stderr

    def run(*arguments: str) -> str:
        ran = subprocess.run([str(program), *arguments], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    return run


@pytest.fixture(scope="module")
def kubo() -> Iterator[KuboNode]:
    with kubo_node() as node:
        yield node


def written(path: Path, profile: Profile) -> str:
    """A CAR of `DATA`; its root."""
    built = list(blocks([DATA], profile))
    root = built[-1][0]
    path.write_bytes(b"".join(car.write(root, reversed(built))))
    return to_text(root)


def file_in(path: Path) -> bytes:
    """The file that the one root of a CAR names."""
    reader = car.Reader()
    found = list(reader.feed(path.read_bytes()))
    reader.finish()
    assert reader.roots is not None
    (root,) = reader.roots
    assembly = FileAssembly(root, limit=1 << 30)
    for cid, block in found:
        assembly.add(cid, block, verified=True)
    return bytes(assembly.data)


@pytest.mark.slow
@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)
def test_ipfs_car_reads_what_we_write(ipfs_car: Tool, tmp_path: Path, profile: Profile) -> None:
    path = tmp_path / "ours.car"
    root = written(path, profile)
    assert ipfs_car("roots", str(path)).split() == [root]
    listed = ipfs_car("blocks", str(path)).split()
    assert [parse(cid) for cid in listed] == [
        parse(to_text(cid)) for cid, _ in reversed(list(blocks([DATA], profile)))
    ]
    ipfs_car("unpack", str(path), "--output", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == DATA


@pytest.mark.slow
def test_ipfs_car_reads_a_record_and_its_contents(ipfs_car: Tool, tmp_path: Path) -> None:
    package = pack_value(DATA)
    data = record(package.result, package.outputs)
    built = list(record_blocks(data, package.contents))
    path = tmp_path / "record.car"
    path.write_bytes(b"".join(car.write(built[0][0], built)))
    assert ipfs_car("roots", str(path)).split() == [to_text(built[0][0])]
    assert ipfs_car("blocks", str(path)).split() == [to_text(cid) for cid, _ in built]
    ipfs_car("unpack", str(path), "--root", package.result, "--output", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"".join(package.contents[package.result])


@pytest.mark.slow
def test_we_read_what_ipfs_car_writes(ipfs_car: Tool, tmp_path: Path) -> None:
    source, path = tmp_path / "file", tmp_path / "theirs.car"
    source.write_bytes(DATA)
    ipfs_car("pack", str(source), "--no-wrap", "--output", str(path))
    assert file_in(path) == DATA


@pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)
def test_kubo_reads_what_we_write_and_the_other_way(
    kubo: KuboNode, tmp_path: Path, profile: Profile
) -> None:
    path = tmp_path / "ours.car"
    root = written(path, profile)
    kubo.run("dag", "import", str(path))
    assert kubo.run("cat", root) == DATA
    exported = tmp_path / "theirs.car"
    exported.write_bytes(kubo.run("dag", "export", root))
    assert file_in(exported) == DATA


def test_kubo_reads_a_record_and_its_contents(kubo: KuboNode, tmp_path: Path) -> None:
    package = pack_value(DATA)
    data = record(package.result, package.outputs)
    built = list(record_blocks(data, package.contents))
    root = to_text(built[0][0])
    path = tmp_path / "record.car"
    path.write_bytes(b"".join(car.write(built[0][0], built)))
    kubo.run("dag", "import", str(path))
    assert kubo.run("block", "get", root) == data
    assert kubo.run("dag", "get", f"{root}/name").strip() == b'"f"'
    exported = kubo.run("dag", "export", root)
    reader = car.Reader()
    assert {cid for cid, _ in reader.feed(exported)} == {cid for cid, _ in built}
