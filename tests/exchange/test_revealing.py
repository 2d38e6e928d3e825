"""What a record reveals: short where it has many names in it, and all of it where that is asked."""

from __future__ import annotations

from dataclasses import replace

from cascade_nb.exchange.revealing import revealed
from cascade_nb.records import Reads
from tests.shelf import make_record

PARTS = ("code", "python", "argument n", "global K", "distribution numpy", "odd one")


def lines_of(told: str) -> dict[str, str]:
    return {line[:11].strip(): line[13:] for line in told.splitlines()}


def test_names_of_one_kind_share_a_line() -> None:
    many = {f"helper package.module.function_{n}": "d" for n in range(300)}
    files = {f"data/part-{n:03}.csv": "d" for n in range(500)}
    record = make_record("fit", parts={**dict.fromkeys(PARTS, "d"), **many})
    record = replace(record, reads=Reads(files=files), environment={"python": "3.11.9"})
    told = revealed(record)
    lines = lines_of(told)
    assert lines["name"] == "fit"
    assert lines["key"] == "code, python, odd one"
    assert lines["arguments"] == "n"
    assert lines["packages"] == "numpy"
    assert lines["helpers"].endswith(" and 297 more")
    assert lines["files read"].startswith("data/part-000.csv, data/part-001.csv")
    assert lines["files read"].endswith(" more")
    assert told.splitlines()[-1].strip() == "with --verbose, all of them"
    assert len(told.splitlines()) == 16
    assert max(map(len, told.splitlines())) <= 120

    every = revealed(record, verbose=True)
    for name in ("function_299", "data/part-499.csv", "numpy"):
        assert name in every
    assert len(every.splitlines()) == 9 + len(PARTS) + 300 + 500


def test_of_many_outputs_some_are_shown() -> None:
    record = make_record("cell", kind="cell")
    (output,) = record.outputs
    record = replace(record, outputs=tuple(replace(output, name=f"v{n}") for n in range(20)))
    assert "and 12 more" in revealed(record)
    assert "v19" not in revealed(record)
    assert "v19" in revealed(record, verbose=True)
