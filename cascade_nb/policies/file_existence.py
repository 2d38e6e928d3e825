"""The policy of make: a task whose target file exists does not have to run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from cascade_nb.errors import ConfigurationError
from cascade_nb.loop import in_thread
from cascade_nb.wording import short_path


class FileExistenceCache:
    """A task is a hit while a file exists, whatever is in it; its value is the path, a `str`.

    Args:
        target_path: the path, or a callable that gets the mapping of inputs and gives the path.
    """

    def __init__(
        self,
        target_path: str | os.PathLike[str] | Callable[[Mapping[str, Any]], str | os.PathLike[str]],
    ) -> None:
        if not callable(target_path) and not isinstance(target_path, str | os.PathLike):
            raise ConfigurationError(
                f"target_path must be a path or a callable that gives one, not {target_path!r}"
            )
        self._target_path = target_path

    def __repr__(self) -> str:
        target = self._target_path
        shown = "..." if callable(target) else repr(short_path(os.fspath(target)))
        return f"{type(self).__name__}({shown})"

    async def check(self, task_id: str, inputs: Mapping[str, Any]) -> str | None:
        """The path where the file exists, else None."""
        target = self._target_path
        path = os.fspath(target(inputs) if callable(target) else target)
        # On a network file system even this may take its time.
        return path if await in_thread(os.path.exists, path) else None

    async def save(self, task_id: str, inputs: Mapping[str, Any], output: Any) -> Any:
        """Keeps nothing, as the task wrote the file itself; gives `output` back."""
        return output
