from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from cascade_nb.fingerprint import origin
from cascade_nb.fingerprint.origin import Owner, owner_of_file, owner_of_module


@pytest.mark.parametrize(
    ("module", "owner"),
    [
        ("__main__", Owner.USER),
        ("builtins", Owner.STANDARD),
        ("sys", Owner.STANDARD),
        ("json", Owner.STANDARD),
        ("json.decoder", Owner.STANDARD),
        ("math", Owner.STANDARD),
        ("zoneinfo", Owner.STANDARD),
        ("importlib._bootstrap", Owner.STANDARD),
        ("blake3", Owner.INSTALLED),
        ("pytest", Owner.INSTALLED),
        ("cascade_nb", Owner.CASCADE),
        ("cascade_nb.fingerprint.origin", Owner.CASCADE),
        ("nowhere.to.be.found", Owner.USER),
        (__name__, Owner.USER),
    ],
)
def test_owner_of_module(module: str, owner: Owner) -> None:
    assert owner_of_module(module) is owner


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("{site}/numpy/__init__.py", Owner.INSTALLED),
        ("{prefix}/project/code.py", Owner.USER),
        ("/home/me/project/code.py", Owner.USER),
        ("/home/me/project/.venv/lib/python3.11/site-packages/a/b.py", Owner.INSTALLED),
        ("/usr/lib/python3/dist-packages/a.py", Owner.INSTALLED),
        ("/home/me/site_packages_of_mine/a.py", Owner.USER),
        ("{stdlib}/json/__init__.py", Owner.STANDARD),
        ("<frozen importlib._bootstrap>", Owner.STANDARD),
        ("<string>", Owner.USER),
        ("<ipython-input-3-abc>", Owner.USER),
        ("/tmp/ipykernel_17/123.py", Owner.USER),
        ("relative.py", Owner.USER),
    ],
)
def test_owner_of_file(path: str, owner: Owner) -> None:
    import sysconfig

    paths = sysconfig.get_paths()
    places = {"site": paths["purelib"], "prefix": sys.prefix, "stdlib": paths["stdlib"]}
    assert owner_of_file(path.format(**places)) is owner


def test_a_link_from_site_packages_is_an_editable_install(tmp_path: Path) -> None:
    project = tmp_path / "project" / "mine"
    project.mkdir(parents=True)
    (project / "a.py").touch()
    site = tmp_path / "lib" / "site-packages"
    site.mkdir(parents=True)
    (site / "mine").symlink_to(project)
    assert owner_of_file(str(site / "mine" / "a.py")) is Owner.USER
    # Not so where an installer links its files to its own cache.
    cache = tmp_path / "archive-v0" / "x"
    cache.mkdir(parents=True)
    (cache / "b.py").touch()
    (site / "b.py").symlink_to(cache / "b.py")
    assert owner_of_file(str(site / "b.py")) is Owner.INSTALLED


def test_distributions_of_modules() -> None:
    import importlib.metadata

    assert origin.distributions_of("numpy.linalg") == (
        ("numpy", importlib.metadata.version("numpy")),
    )
    assert origin.distributions_of("json") == ()
    assert origin.distributions_of("cascade_nb") == ()
    # Names that differ from that of the distribution.
    assert [name for name, _ in origin.distributions_of("dateutil")] == ["python-dateutil"]


PROGRAM = """
import sys
from cascade_nb.fingerprint.keys import function_key
def f(x): return {use}
import {module}
print(function_key(f, {{"x": 1}}).digest)
"""


def digest(module: str, use: str, path: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM).format(module=module, use=use)],
        env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout


def test_namespace_packages_are_followed(tmp_path: Path) -> None:
    (tmp_path / "space" / "inner").mkdir(parents=True)
    file = tmp_path / "space" / "inner" / "m.py"
    file.write_text("def g(x): return 1\n")
    before = digest("space.inner.m", "space.inner.m.g(x)", str(tmp_path))
    file.write_text("def g(x): return 2\n")
    assert before != digest("space.inner.m", "space.inner.m.g(x)", str(tmp_path))


def test_modules_in_zip_files_are_followed(tmp_path: Path) -> None:
    digests = set()
    for body in ("return 1", "return 1  # one", "return 2"):
        archive = tmp_path / "a.zip"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("m.py", f"def g(x): {body}\n")
        digests.add(digest("m", "m.g(x)", str(archive)))
    assert len(digests) == 2


def test_code_does_not_depend_on_where_the_project_lies(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "m.py").write_text("K = 1\ndef g(x): return K\n")
        digests.add(digest("m", "m.g(x)", str(folder)))
    assert len(digests) == 1


def test_a_file_edited_after_its_import_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "m.py"
    file.write_text("def g(x): return 1\n")
    program = f"""
import os, sys
sys.path.insert(0, {str(tmp_path)!r})
import m
def f(x): return m.g(x)
open({str(file)!r}, "w").write(sys.argv[1])
from cascade_nb.fingerprint.keys import function_key
print(function_key(f, {{"x": 1}}).parts["helper g"])
"""
    answers = []
    for text in ("def g(x): return 1\n", "def g(x): return 222\n"):
        file.write_text("def g(x): return 1\n")
        ran = subprocess.run(
            [sys.executable, "-B", "-c", program, text],
            capture_output=True,
            text=True,
            check=True,
            env=dict(os.environ),
        )
        answers.append(ran.stdout)
    unchanged, edited = answers
    # Without its source the function counts by its bytecode: a miss at worst, never the new text.
    file.write_text("def g(x): return 222\n")
    renewed = subprocess.run(
        [sys.executable, "-B", "-c", program, "def g(x): return 222\n"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert len({unchanged, edited, renewed}) == 3
