"""What the README tells people to type works: commands, code, options, verbs."""

from __future__ import annotations

import json
import os
import pwd
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cascade_nb.cli.commands import commands
from cascade_nb.notebook import verbs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def _command_lines() -> list[str]:
    return [line for block in _blocks("sh") for line in block.splitlines()]


RUN_COMMAND, TEST_COMMAND = _command_lines()[:2]


_SESSION = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

config = Config()
config.HistoryManager.hist_file = ":memory:"
shell = InteractiveShell.instance(config=config)
for block in json.loads(sys.argv[1]):
    shell.run_cell(block, store_history=True).raise_error()
"""


def test_the_python_blocks_make_one_session(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", _SESSION, json.dumps(_blocks("python"))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stderr
    assert "Warning" not in finished.stdout + finished.stderr
    assert "1.000 of the flowers are recognised" in finished.stdout
    assert re.search(r"^hit\b", finished.stdout, re.MULTILINE), "explain() says hit"


@pytest.mark.parametrize("line", [line for line in _command_lines() if line.startswith("cascade ")])
def test_a_shell_command_parses(line: str) -> None:
    _, verb, *rest = shlex.split(line)
    commands.commands[verb].make_context(verb, rest)


def test_the_verbs_and_options_of_the_magics_exist() -> None:
    line = README[README.index("`%cascade` alone") :].partition("\n\n")[0]
    named = {word.split()[0] for word in re.findall(r"`(?:%cascade )?([a-z]+(?: [A-Z]+)?)`", line)}
    assert named == set(verbs.VERBS)

    from cascade_nb.notebook.magics import CascadeMagics

    paragraph = README[README.index("Options go on the first line") :].partition("\n\n")[0]
    options = set(re.findall(r"`(--[a-z-]+)", paragraph))
    assert options == set(re.findall(r"(--[a-z-]+)", CascadeMagics.cascade.parser.format_help()))
    assert "store" in CascadeMagics.class_trait_names(config=True)


def test_ci_runs_the_test_command_that_stands_here() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    function = re.search(r"^test_command\(\) \{\n.*?^\}$", script, re.DOTALL | re.MULTILINE)
    assert function is not None
    printed = subprocess.run(
        ["bash", "-c", f"{function[0]}\ntest_command"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed == f"{TEST_COMMAND}\n"
    assert "pytest" in TEST_COMMAND


def test_pictures_and_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).is_file(), target
    for picture in ("quickstart.png", "team.png"):
        assert (ROOT / "examples" / picture).stat().st_size < 200_000


@pytest.mark.slow
def test_the_run_command_as_typed_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, tracked.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_bytes((ROOT / name).read_bytes())
    environment = {
        **os.environ,
        "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}",
        # The home is the test's own; what pip has fetched before still serves.
        "PIP_CACHE_DIR": str(Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache" / "pip"),
        "CASCADE_STORE": str(tmp_path / "store"),
    }
    finished = subprocess.run(
        ["bash", "-euc", RUN_COMMAND],
        cwd=clone,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    first, second = re.findall(r"^run \d: (.*)$", finished.stdout, re.MULTILINE)
    assert "0 hits" in first
    assert "0 misses" in second
    assert "0 bypasses" in first
    assert "0 bypasses" in second
