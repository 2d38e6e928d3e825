import pytest

from cascade_nb.cli.progress import Tally, cell_line, compared, first_words


def deed(status, name="fit", kind="function", runs=1, saved=0.0, reason=""):
    return {
        "name": name,
        "kind": kind,
        "status": status,
        "runs": runs,
        "seconds": 3.2,
        "saved": saved,
        "reason": reason,
    }


@pytest.mark.parametrize(
    ("deeds", "failed", "line"),
    [
        ([], False, "ran          took 12 ms      import this"),
        ([], True, "failed       took 12 ms      import this"),
        ([deed("hit", kind="cell", saved=9)], False, "hit          saved 9.0 s     fit"),
        (
            [deed("miss", kind="cell", reason="first run\nof this code")],
            False,
            "miss         took 3.2 s      fit (first run of this code)",
        ),
        (
            [deed("hit", "inner", "cell"), deed("miss", "outer", "cell")],
            False,
            "miss         took 3.2 s      outer",
        ),
        ([deed("hit", kind="cell", saved=9)], True, "failed       took 12 ms      import this"),
        ([deed("failed", kind="cell")], True, "failed       took 3.2 s      fit"),
        (
            [deed("miss", runs=2), deed("hit"), deed("failed", "load", runs=2)],
            False,
            "ran          took 12 ms      import this [fit 2 misses, fit 1 hit, load 2 failed]",
        ),
    ],
)
def test_a_cell_has_one_line(deeds, failed, line):
    assert cell_line(deeds, source="# c\nimport this", seconds=0.012, failed=failed) == line


def test_a_run_is_summed_up():
    tally = Tally(seconds=34.0)
    tally.note([deed("hit", kind="cell", saved=9.0), deed("hit", runs=3, saved=1.0)], failed=False)
    tally.note([deed("miss")], failed=False)
    tally.note([deed("off", kind="cell")], failed=False)
    tally.note([], failed=True)
    assert str(tally) == (
        "34 s; cells: 1 hit, 0 misses, 0 bypasses, 1 off, 1 failed, 1 plain; "
        "functions: 3 hits, 1 miss; saved 10 s"
    )


def test_a_plain_run_has_no_functions_to_tell_of():
    tally = Tally(seconds=1.0)
    tally.note([], failed=False)
    assert str(tally) == "1.0 s; cells: 0 hits, 0 misses, 0 bypasses, 1 plain; saved 0 s"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("# why\n\n  x = 1 # y\ny", "x = 1 # y"),
        ("# only a comment", "# only a comment"),
        ("x" * 60, "x" * 49 + "…"),
        ("", ""),
    ],
)
def test_cells_without_a_name_go_by_their_first_line(source, name):
    assert first_words(source) == name


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([34.0, 2.0], "run 1 34 s, run 2 2.0 s: the last is 17.0 times as fast as the first"),
        ([1.0, 1.0, 2.0], "run 1 1.0 s, run 2 1.0 s, run 3 2.0 s: the last is 0.5 times as fast"),
    ],
)
def test_times_are_compared(times, told):
    assert compared(times).startswith(told)
