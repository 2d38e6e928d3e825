"""The policy that never has a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cascade_nb.policies.adapted import NoLock
from cascade_nb.protocols import Lock
from cascade_nb.tasks import Bypass, Miss, Outcome, Task


class NoCache:
    """Every task runs, each time it is asked for, and nothing is kept.

    Args:
        reason: what badges and reports give as the reason.
    """

    def __init__(self, reason: str = "NoCache") -> None:
        self._reason = reason

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    async def check(self, task_id: str, inputs: Mapping[str, Any]) -> None:
        """None: the task has to run."""

    async def save(self, task_id: str, inputs: Mapping[str, Any], output: Any) -> Any:
        """Keeps nothing; gives `output` back."""
        return output

    async def lookup(self, task: Task) -> Bypass:
        """A bypass rather than a miss: identical tasks need not wait for each other."""
        return Bypass(self._reason)

    async def lookup_again(self, task: Task, miss: Miss) -> Bypass:
        """As `lookup`."""
        return await self.lookup(task)

    async def keep(self, task: Task, miss: Miss, outcome: Outcome) -> None:
        """Keeps nothing."""

    async def try_lock(self, key: str) -> Lock:
        """Nothing to lock."""
        return NoLock()
