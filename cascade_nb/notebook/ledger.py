"""The ledger: what the cache did for each cell and function of this session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from cascade_nb.events import MessageBus
from cascade_nb.notebook.badge import shown_entry
from cascade_nb.tasks import Report, Status, TaskKind
from cascade_nb.units import human_seconds, human_size
from cascade_nb.wording import one_line, plural, short_cid, text_table, time_spent

NOTHING_YET = "no cached cell or function has run in this session"
# A session that makes functions in a loop must not grow without end.
_MOST_ROWS = 2000

_session: Ledger | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of one cell or function, last and in all.

    `seconds` is what its last run took, `saved` what its last hit saved; `cid` and `size` (bytes)
    are of its last result, None where that run left none.
    """

    task_id: str
    name: str
    kind: TaskKind
    status: Status
    reason: str
    cid: str | None
    size: int | None
    seconds: float
    saved: float
    runs: int

    @property
    def spent(self) -> str:
        """What its last run saved or took, for people."""
        return time_spent(self.status, seconds=self.seconds, saved=self.saved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The session's sums; `bytes` is the size of the results in its rows, each counted once."""

    hits: int = 0
    misses: int = 0
    bypasses: int = 0
    seconds_saved: float = 0.0
    bytes: int = 0

    def __str__(self) -> str:
        return (
            f"{plural(self.hits, 'hit')}, {plural(self.misses, 'miss')}, "
            f"{plural(self.bypasses, 'bypass')}; saved {human_seconds(self.seconds_saved)}; "
            f"results of {human_size(self.bytes)}"
        )


class Ledger:
    """Keeps a row for each cell and function that reports on a bus, from any thread.

    `changes` counts the reports taken in, so that who shows the rows knows whether to look again.
    """

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._totals = Totals()
        self._lock = threading.Lock()
        self._unsubscribe: Callable[[], None] | None = None
        self.changes = 0

    def follow(self, bus: MessageBus | None) -> None:
        """Take in the reports on `bus` from now on, and those of no other; None ends it."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._unsubscribe = bus.subscribe(Report, self.enter) if bus is not None else None

    def enter(self, report: Report) -> None:
        """Take in one report; its row becomes the last one."""
        entry = shown_entry(report)
        with self._lock:
            before = self._rows.pop(report.task_id, None)
            self._rows[report.task_id] = Row(
                task_id=report.task_id,
                name=report.name,
                kind=report.kind,
                status=report.status,
                reason="" if report.status is Status.HIT else report.reason,
                cid=entry.cid if entry else None,
                size=entry.size if entry else None,
                seconds=report.seconds,
                saved=report.saved,
                runs=1 + (before.runs if before else 0),
            )
            if len(self._rows) > _MOST_ROWS:
                del self._rows[next(iter(self._rows))]
            self._totals = replace(
                self._totals,
                hits=self._totals.hits + (report.status is Status.HIT),
                misses=self._totals.misses + (report.status is Status.MISS),
                bypasses=self._totals.bypasses + (report.status is Status.BYPASS),
                seconds_saved=self._totals.seconds_saved + report.saved,
            )
            self.changes += 1

    def rows(self) -> list[Row]:
        """The rows, that which ran last first."""
        with self._lock:
            return list(reversed(self._rows.values()))

    def totals(self) -> Totals:
        """The sums over the whole session."""
        with self._lock:
            sizes = {row.cid: row.size or 0 for row in self._rows.values() if row.cid}
            return replace(self._totals, bytes=sum(sizes.values()))


def session() -> Ledger:
    """The ledger of this session, which follows its engine from the first call on."""
    global _session
    if _session is None:
        from cascade_nb.config import on_engine_change

        _session = ledger = Ledger()
        on_engine_change(lambda engine: ledger.follow(engine.bus))
    return _session


def as_text(ledger: Ledger) -> str:
    """The session as plain text: totals, then a line for each row."""
    rows = [
        (
            row.status.value,
            one_line(row.name, 40),
            row.kind.value,
            short_cid(row.cid) if row.cid else "",
            "" if row.size is None else human_size(row.size),
            row.spent,
            str(row.runs),
            one_line(row.reason, 60),
        )
        for row in ledger.rows()
    ]
    if not rows:
        return NOTHING_YET
    header = ("status", "name", "kind", "CID", "size", "time", "runs", "reason")
    return f"{ledger.totals()}\n\n{text_table(header, rows, right=('size', 'runs'))}"
