"""What `cascade run` says of cells and runs, made of what the witness in the kernel tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cascade_nb.tasks import Status
from cascade_nb.units import human_seconds
from cascade_nb.wording import one_line, plural, time_spent

# Said of a cell without a magic of ours.
PLAIN = "ran"
_COUNTED = ("hit", "miss", "bypass")

Deed = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What the cache did in one run; `saved` and `seconds` (the whole run) are in seconds."""

    cells: dict[str, int] = field(default_factory=dict)
    functions: dict[str, int] = field(default_factory=dict)
    saved: float = 0.0
    seconds: float = 0.0

    def note(self, deeds: Iterable[Deed], *, failed: bool) -> None:
        """Count one cell: its deeds, or that it ran plain where none of them is a cell's."""
        plain = True
        for deed in deeds:
            counts = self.functions
            if deed["kind"] == "cell":
                counts, plain = self.cells, False
            counts[deed["status"]] = counts.get(deed["status"], 0) + deed["runs"]
            self.saved += deed["saved"]
        if plain:
            status = Status.FAILED.value if failed else PLAIN
            self.cells[status] = self.cells.get(status, 0) + 1

    def __str__(self) -> str:
        cells = {**dict.fromkeys(_COUNTED, 0), **self.cells}
        plain = cells.pop(PLAIN, 0)
        said = [
            human_seconds(self.seconds),
            f"cells: {_counts(cells)}, {plain} plain",
            f"functions: {_counts(self.functions)}" if self.functions else "",
            f"saved {human_seconds(self.saved)}",
        ]
        return "; ".join(filter(None, said))


def cell_line(deeds: Sequence[Deed], *, source: str, seconds: float, failed: bool) -> str:
    """The line of one cell.

    Args:
        deeds: What cells and functions did in it; of several cells the last is the outermost.
        source: Its source, which names it where no `%%cascade` does.
        seconds: How long it took.
        failed: Whether it raised.
    """
    cells = [deed for deed in deeds if deed["kind"] == "cell"]
    status, name = (Status.FAILED.value if failed else PLAIN), first_words(source)
    spent = f"took {human_seconds(seconds)}"
    if cells and not (failed and cells[-1]["status"] in _COUNTED):
        deed = cells[-1]
        ended = Status(deed["status"])
        status = ended.value
        spent = time_spent(ended, seconds=deed["seconds"], saved=deed["saved"])
        name = one_line(deed["name"], 60)
        if deed["reason"] and ended is not Status.HIT:
            name += f" ({one_line(deed['reason'], 80)})"
    return f"{status:<11}  {spent:<14}  {name}{_functions(deeds)}"


def compared(times: Sequence[float]) -> str:
    """The seconds of each run, and how the last stands to the first, in a line."""
    told = ", ".join(f"run {n} {human_seconds(t)}" for n, t in enumerate(times, start=1))
    return f"{told}: the last is {times[0] / max(times[-1], 1e-9):.1f} times as fast as the first"


def first_words(source: str) -> str:
    """A name for a cell that has none: its first line that is no comment."""
    lines = [line.strip() for line in source.splitlines()]
    code = [line for line in lines if line and not line.startswith("#")]
    return one_line(next(iter(code or lines), ""), 50)


def _functions(deeds: Iterable[Deed]) -> str:
    """What cached functions did in a cell, as the end of its line."""
    told = [
        f"{one_line(deed['name'], 40)} {_count(deed['status'], deed['runs'])}"
        for deed in deeds
        if deed["kind"] == "function"
    ]
    return f" [{', '.join(told)}]" if told else ""


def _counts(counts: dict[str, int]) -> str:
    usual = {status: counts[status] for status in _COUNTED if status in counts}
    return ", ".join(_count(status, count) for status, count in {**usual, **counts}.items())


def _count(status: str, count: int) -> str:
    return plural(count, status) if status in _COUNTED else f"{count} {status}"
