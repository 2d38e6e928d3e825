"""How a policy of two methods serves an engine that thinks in tasks."""

from __future__ import annotations

import uuid

from cascade_nb.arguments import called, refuse_class
from cascade_nb.errors import ConfigurationError, FingerprintError, logger, warn_once
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.loop import from_guest, in_thread
from cascade_nb.protocols import CachePolicy, Lock, TaskPolicy
from cascade_nb.tasks import Bypass, Hit, Miss, Outcome, Task


class NoLock:
    """The lock of a policy or store that has none: everybody gets it."""

    def release(self) -> None:
        """Nothing to free."""


class AdaptedPolicy:
    """A `CachePolicy` seen as a `TaskPolicy`; where it raises, the task just runs."""

    def __init__(self, policy: CachePolicy) -> None:
        self._policy = policy

    async def lookup(self, task: Task) -> Hit | Miss | Bypass:
        """What the policy's `check` says."""
        if not task.options.refresh:
            try:
                found = await from_guest(self._policy.check(task.id, task.inputs))
            except Exception as error:
                return self._failed("check", task, error)
            if isinstance(found, Hit):
                return found
            if found is not None:
                return Hit(found)
        return Miss(key=await _flight_key(task), reason=f"{type(self._policy).__name__} has none")

    async def lookup_again(self, task: Task, miss: Miss) -> Hit | Miss | Bypass:
        """Asks the policy again."""
        return await self.lookup(task)

    async def keep(self, task: Task, miss: Miss, outcome: Outcome) -> Bypass | None:
        """Hand the value to the policy's `save`."""
        try:
            await from_guest(self._policy.save(task.id, task.inputs, outcome.value))
        except Exception as error:
            return self._failed("save", task, error)
        return None

    async def try_lock(self, key: str) -> Lock:
        """A policy of two methods knows of no other process."""
        return NoLock()

    def _failed(self, method: str, task: Task, error: Exception) -> Bypass:
        name = type(self._policy).__name__
        logger.error("%s.%s failed for %s", name, method, task.name, exc_info=error)
        reason = f"{name}.{method} failed: {type(error).__name__}"
        warn_once(f"{task.name} was not cached: {reason}", (method, name, task.id, type(error)))
        return Bypass(reason)


def as_task_policy(policy: CachePolicy | TaskPolicy) -> TaskPolicy:
    """`policy` itself where it sees whole tasks, else adapted.

    Raises:
        ConfigurationError: it has neither the methods of the one nor of the other protocol, or is
            a class.
    """
    refuse_class("a policy", policy)
    if isinstance(policy, TaskPolicy):
        return policy
    if isinstance(policy, CachePolicy):
        return AdaptedPolicy(policy)
    raise ConfigurationError(
        f"a policy needs the methods check and save; {called(policy)} lacks them"
    )


async def _flight_key(task: Task) -> str:
    """What tells identical tasks under way; tasks without a fingerprint are all different."""
    try:
        return f"{task.id} {await in_thread(fingerprint, dict(task.inputs))}"
    except FingerprintError:
        return uuid.uuid4().hex
