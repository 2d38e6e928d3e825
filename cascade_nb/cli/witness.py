"""What `cascade run` asks of the kernel that it runs a notebook in: the reports since last asked.

The runner imports this module in the kernel by a silent request, so that the notebook needs no
line for it and its outputs bear no trace.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from cascade_nb.config import on_engine_change
from cascade_nb.execution import Engine
from cascade_nb.tasks import Report

MIMETYPE = "application/vnd.cascade-nb.reports+json"
QUESTION = f"__import__({__name__!r}, fromlist=['witness']).witness.tell()"


@dataclass(frozen=True, slots=True)
class Testimony:
    """An answer to the runner, as the value of an expression that it has the kernel evaluate."""

    deeds: list[dict[str, Any]]

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {MIMETYPE: self.deeds}


class Witness:
    """Sums up what is reported on the session's bus, by what was run and what became of it."""

    def __init__(self) -> None:
        self._deeds: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._bus: Any = None

    def follow(self, engine: Engine) -> None:
        """Listen on the bus of `engine` too; to one bus once."""
        if engine.bus is not self._bus:
            self._bus = engine.bus
            engine.bus.subscribe(Report, self._note)

    def tell(self) -> Testimony:
        """What has been reported since last told, in the order of last occurrence."""
        with self._lock:
            deeds, self._deeds = self._deeds, {}
        return Testimony(list(deeds.values()))

    def _note(self, report: Report) -> None:
        place = (report.task_id, report.status.value)
        with self._lock:
            before = self._deeds.pop(place, None)
            self._deeds[place] = {
                "name": report.name,
                "kind": report.kind.value,
                "status": report.status.value,
                "runs": 1 + (before["runs"] if before else 0),
                "seconds": report.seconds + (before["seconds"] if before else 0.0),
                "saved": report.saved + (before["saved"] if before else 0.0),
                "reason": report.reason,
            }


witness = Witness()
on_engine_change(witness.follow)
