"""The states of tasks, kept in memory."""

from __future__ import annotations


class InMemoryStateBackend:
    """Keeps the last state of each task of this process; safe to use from any thread."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    async def get_state(self, task_id: str) -> str | None:
        """The last state of the task, or None where none was set."""
        return self._states.get(task_id)

    async def set_state(self, task_id: str, state: str) -> None:
        """Keep `state` as the task's last one."""
        self._states[task_id] = state
