"""What people are told of what lies in their store, and of what has come."""

from __future__ import annotations

import pytest

from cascade_nb.catalog import Row
from cascade_nb.exchange import telling
from cascade_nb.provenance import Origin
from cascade_nb.surface import Surface, on_surface, trusting
from tests.shelf import make_entry

OWN, STRANGER = Origin(), Origin("SHA256:stranger", data=False, code=False)
COLLEAGUE = Origin("ann (SHA256:known)", data=True, code=False)


def row(name: str, origin: Origin, **changes: object) -> Row:
    entry = make_entry(name, **changes)
    return Row(place=entry.key, entry=entry, origin=origin)


def told(served: list[Row], others: list[Row]) -> list[str]:
    with on_surface(Surface.SHELL):
        return telling.listed(served, others).splitlines()


def test_where_nothing_is_it_says_so() -> None:
    assert told([], []) == ["nothing is stored"]


def test_a_line_for_each_whose_results_are_not_served() -> None:
    stranger = {"producer": "ssh-ed25519 AAAAstranger"}
    others = [
        row("a", STRANGER, **stranger),
        row("b", STRANGER, **stranger),
        row("c", COLLEAGUE, producer="ssh-ed25519 AAAAann", needs_code=True),
    ]
    lines = [
        "2 results of SHA256:stranger are not trusted; "
        "to be served them, run: cascade trust 'ssh-ed25519 AAAAstranger'",
        "1 result of ann (SHA256:known), stored as code, is not trusted; "
        "to be served it, run: cascade trust 'ssh-ed25519 AAAAann' --code",
    ]
    assert told([], others) == ["nothing of yours is stored", *lines]
    table = told([row("mine", OWN)], others)
    assert table[1].startswith("mine")
    assert table[2:] == lines


def test_what_is_served_anyway_is_not_counted() -> None:
    mine, theirs, more = row("a", OWN), row("a", STRANGER), row("b", STRANGER)
    assert told([mine], [theirs]) == told([mine], [])
    assert told([mine], [theirs, more])[-1].startswith("1 result of SHA256:stranger is not trusted")


def test_of_many_signers_some_are_shown() -> None:
    others = [
        row("x", Origin(f"SHA256:{n}", data=False, code=False), producer=f"ssh-ed25519 {n}")
        for n in range(9)
    ]
    *_, last = lines = told([], others)
    assert len(lines) == 7
    assert last == "and others of 4 signers more"


@pytest.mark.parametrize(
    ("surface", "command"),
    [
        (Surface.PYTHON, "trust('ssh-ed25519 AAAA', code=True)"),
        (Surface.MAGIC, "%cascade trust 'ssh-ed25519 AAAA' --code"),
        (Surface.SHELL, "cascade trust 'ssh-ed25519 AAAA' --code"),
    ],
    ids=["python", "magic", "shell"],
)
def test_what_would_trust_is_typed_as_there(surface: Surface, command: str) -> None:
    with on_surface(surface):
        assert trusting("ssh-ed25519 AAAA", code=True) == command
        less = command.replace(", code=True", "").replace(" --code", "")
        assert trusting("ssh-ed25519 AAAA") == less
