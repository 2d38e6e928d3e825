import os
import re
import signal
import subprocess
import sys
import time

import pytest

from cascade_nb.cli import main
from cascade_nb.cli.notebooks import read
from tests.cli.test_notebooks import save

CACHED_CELL = """%%cascade --name squares
import time
time.sleep(0.2)
squares = [n * n for n in range(4)]
print('computed')"""
FUNCTION = """from cascade_nb import cached

@cached
def double(n):
    import time
    time.sleep(0.1)
    return 2 * n
"""


@pytest.fixture
def cascade(capsys, tmp_path, monkeypatch):
    """Run the command in this process, in a folder with a store of its own."""
    monkeypatch.setenv("CASCADE_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)

    def cascade(*arguments):
        code = main(list(map(str, arguments)))
        said = capsys.readouterr()
        return code, said.out, said.err

    return cascade


def test_a_plain_notebook_gets_the_outputs_of_a_plain_run(cascade, tmp_path):
    (tmp_path / "sub").mkdir()
    path = save(
        tmp_path / "sub" / "n.ipynb",
        "# where\nimport os, sys\nprint(os.path.basename(os.getcwd()), sys.executable)",
        "",
        "1 + 1",
        "sorted(n for n in dir() if 'cascade' in n), [n for n in sys.modules if 'click' in n]",
        kernelspec={"name": "no-such-kernel", "display_name": "?", "language": "python"},
    )
    before = path.read_text()
    code, out, err = cascade("run", path, "-o", "out.ipynb")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert re.fullmatch(r"\[1/3\] ran +took .*s +import os, sys", lines[0])
    assert re.fullmatch(r"\[2/3\] ran +took .*s +1 \+ 1", lines[1])
    assert re.fullmatch(
        r"run 1: .*s; cells: 0 hits, 0 misses, 0 bypasses, 3 plain; saved 0 s", lines[3]
    )
    assert lines[4:] == ["wrote out.ipynb"]
    assert path.read_text() == before
    first, _, third, last = read(tmp_path / "out.ipynb").cells
    assert first.outputs[0].text == f"sub {sys.executable}\n"
    assert (third.execution_count, third.outputs[0].data["text/plain"]) == (2, "2")
    assert last.outputs[0].data["text/plain"] == "([], [])"
    assert "execution" not in first.metadata


def test_a_failing_cell_is_told_and_nothing_is_written(cascade, tmp_path):
    path = save(tmp_path / "n.ipynb", "x = 1", "y = 2\nx / 0", "print('never')")
    code, out, err = cascade("run", path, "-o", "out.ipynb")
    assert code == 1
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["[1/3]", "ran"],
        ["[2/3]", "failed"],
    ]
    assert "----> 2 x / 0" in err
    assert err.endswith("cascade: n.ipynb, cell 2/3: ZeroDivisionError: division by zero\n")
    assert os.listdir(tmp_path) == ["n.ipynb"]


def test_a_kernel_that_dies_is_told(cascade, tmp_path):
    path = save(tmp_path / "n.ipynb", "import os; os._exit(3)")
    code, _, err = cascade("run", path)
    assert code == 1
    assert err.splitlines()[-1].startswith("cascade: n.ipynb, cell 1/1: the kernel died")


def test_cells_and_functions_are_told_and_compared_over_runs(cascade, tmp_path):
    path = save(
        tmp_path / "n.ipynb",
        "%load_ext cascade_nb",
        CACHED_CELL,
        FUNCTION,
        "[double(n) for n in (1, 1, 2)]",
    )
    code, out, err = cascade("run", path, "--repeat", "2", "--inplace")
    assert (code, err) == (0, "")
    first, second = out.split("run 2 of 2\n")
    assert re.search(r"\[2/4\] miss +took \d+ ms +squares", first)
    assert re.search(r"\[4/4\] ran .*double 2 misses.*\]", first)
    assert re.search(r"\[4/4\] ran .*double 1 hit.*\]", first)
    assert "cells: 0 hits, 1 miss, 0 bypasses, 3 plain; functions: 1 hit, 2 misses" in first
    assert re.search(r"\[2/4\] hit +saved \d+ ms +squares", second)
    assert "[double 3 hits]" in second
    assert "cells: 1 hit, 0 misses, 0 bypasses, 3 plain; functions: 3 hits; saved" in second
    assert re.search(
        r"^run 1 .*, run 2 .*: the last is \d+\.\d times as fast as the first$", out, re.M
    )
    cells = read(path).cells
    assert [o.get("text") for o in cells[1].outputs] == ["computed\n"]
    assert cells[3].outputs[0].data["text/plain"] == "[2, 2, 4]"
    assert "cascade" not in "".join(map(str, cells[1].outputs))


def test_the_store_is_meant_from_where_the_command_is_typed(cascade, tmp_path):
    (tmp_path / "sub").mkdir()
    path = save(tmp_path / "sub" / "n.ipynb", "import os\nprint(os.environ['CASCADE_STORE'])")
    assert cascade("run", path, "-o", "out.ipynb", "--store", "here")[0] == 0
    assert read(tmp_path / "out.ipynb").cells[0].outputs[0].text == f"{tmp_path / 'here'}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.ipynb"], "no such file: no.ipynb"),
        (
            ["n.ipynb", "-o", "x", "--inplace"],
            "-o and --inplace exclude each other; give one of them",
        ),
        (["n.ipynb", "-o", "no/x.ipynb"], "there is no folder "),
        (["n.ipynb", "--repeat", "0"], "Invalid value for '--repeat'"),
        (["n.ipynb", "--store", "ftp://x"], "store scheme 'ftp' is not known"),
        ([], "Missing argument 'NOTEBOOK'"),
    ],
)
def test_nonsense_is_told_before_a_kernel_starts(cascade, tmp_path, arguments, message):
    save(tmp_path / "n.ipynb", "1")
    code, out, err = cascade("run", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"cascade: {message}")
    assert len(err.splitlines()) == 1


def test_a_missing_extra_is_named(cascade, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, err = cascade("run", save(tmp_path / "n.ipynb", "1"))
    assert code == 2
    assert err == "cascade: `cascade run` needs nbclient: pip install 'cascade-nb[run]'\n"


def test_an_interrupt_ends_the_kernel_and_the_run(tmp_path):
    path = save(
        tmp_path / "n.ipynb",
        "import os, time\nopen('pid', 'w').write(str(os.getpid()))",
        "os.rename('pid', 'up')\ntime.sleep(600)",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "cascade_nb", "run", str(path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (tmp_path / "up").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.strip()) == (130, "cascade: interrupted")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "up").read_text()), 0)
