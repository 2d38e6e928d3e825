"""Memoization for Jupyter: cells and functions computed once, never stale, shared by CID.

In a notebook, ``%load_ext cascade_nb`` and ``%%cascade`` above a cell; in Python, `@cached`.
Names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Every public name and the module that defines it.
_HOMES = {
    "BackendError": "errors",
    "CacheBackend": "protocols",
    "CachePolicy": "protocols",
    "CacheWarning": "errors",
    "Call": "calls",
    "CascadeError": "errors",
    "CodecError": "errors",
    "ConfigurationError": "errors",
    "ContentCachePolicy": "policies.content",
    "DiskCacheBackend": "backends.disk",
    "Engine": "execution",
    "Entry": "records",
    "Event": "events",
    "Executor": "protocols",
    "Explanation": "tasks",
    "FileExistenceCache": "policies.file_existence",
    "FingerprintError": "errors",
    "GatewayBackend": "backends.gateway",
    "Hit": "tasks",
    "InMemoryCacheBackend": "backends.memory",
    "InMemoryStateBackend": "backends.state",
    "IntegrityError": "errors",
    "IpfsCacheBackend": "backends.ipfs",
    "IpfsCachePolicy": "policies.ipfs",
    "LocalExecutor": "executors.local",
    "MessageBus": "events",
    "NoCache": "policies.none",
    "RedisCacheBackend": "backends.redis",
    "Report": "tasks",
    "Retry": "tasks",
    "RunFinished": "events",
    "RunStarted": "events",
    "StaleRiskWarning": "errors",
    "StateBackend": "protocols",
    "Status": "tasks",
    "TaskEvent": "events",
    "TaskExecutionFinished": "events",
    "TaskExecutionStarted": "events",
    "TaskRetrying": "events",
    "TaskSkipped": "events",
    "TieredCacheBackend": "backends.tiered",
    "UntrustedError": "errors",
    "cached": "decorator",
    "configure": "config",
    "distrust": "provenance.trusting",
    "engine": "config",
    "export": "sharing",
    "import_": "sharing",
    "load": "sharing",
    "load_ipython_extension": "notebook",
    "register_fingerprint": "fingerprint",
    "share": "sharing",
    "trust": "provenance.trusting",
    "unload_ipython_extension": "notebook",
    "whoami": "provenance.keys",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if TYPE_CHECKING:
    from cascade_nb.backends.disk import DiskCacheBackend as DiskCacheBackend
    from cascade_nb.backends.gateway import GatewayBackend as GatewayBackend
    from cascade_nb.backends.ipfs import IpfsCacheBackend as IpfsCacheBackend
    from cascade_nb.backends.memory import InMemoryCacheBackend as InMemoryCacheBackend
    from cascade_nb.backends.redis import RedisCacheBackend as RedisCacheBackend
    from cascade_nb.backends.state import InMemoryStateBackend as InMemoryStateBackend
    from cascade_nb.backends.tiered import TieredCacheBackend as TieredCacheBackend
    from cascade_nb.calls import Call as Call
    from cascade_nb.config import configure as configure
    from cascade_nb.config import engine as engine
    from cascade_nb.decorator import cached as cached
    from cascade_nb.errors import BackendError as BackendError
    from cascade_nb.errors import CacheWarning as CacheWarning
    from cascade_nb.errors import CascadeError as CascadeError
    from cascade_nb.errors import CodecError as CodecError
    from cascade_nb.errors import ConfigurationError as ConfigurationError
    from cascade_nb.errors import FingerprintError as FingerprintError
    from cascade_nb.errors import IntegrityError as IntegrityError
    from cascade_nb.errors import StaleRiskWarning as StaleRiskWarning
    from cascade_nb.errors import UntrustedError as UntrustedError
    from cascade_nb.events import Event as Event
    from cascade_nb.events import MessageBus as MessageBus
    from cascade_nb.events import RunFinished as RunFinished
    from cascade_nb.events import RunStarted as RunStarted
    from cascade_nb.events import TaskEvent as TaskEvent
    from cascade_nb.events import TaskExecutionFinished as TaskExecutionFinished
    from cascade_nb.events import TaskExecutionStarted as TaskExecutionStarted
    from cascade_nb.events import TaskRetrying as TaskRetrying
    from cascade_nb.events import TaskSkipped as TaskSkipped
    from cascade_nb.execution import Engine as Engine
    from cascade_nb.executors.local import LocalExecutor as LocalExecutor
    from cascade_nb.fingerprint import register_fingerprint as register_fingerprint
    from cascade_nb.notebook import load_ipython_extension as load_ipython_extension
    from cascade_nb.notebook import unload_ipython_extension as unload_ipython_extension
    from cascade_nb.policies.content import ContentCachePolicy as ContentCachePolicy
    from cascade_nb.policies.file_existence import FileExistenceCache as FileExistenceCache
    from cascade_nb.policies.ipfs import IpfsCachePolicy as IpfsCachePolicy
    from cascade_nb.policies.none import NoCache as NoCache
    from cascade_nb.protocols import CacheBackend as CacheBackend
    from cascade_nb.protocols import CachePolicy as CachePolicy
    from cascade_nb.protocols import Executor as Executor
    from cascade_nb.protocols import StateBackend as StateBackend
    from cascade_nb.provenance.keys import whoami as whoami
    from cascade_nb.provenance.trusting import distrust as distrust
    from cascade_nb.provenance.trusting import trust as trust
    from cascade_nb.records import Entry as Entry
    from cascade_nb.sharing import export as export
    from cascade_nb.sharing import import_ as import_
    from cascade_nb.sharing import load as load
    from cascade_nb.sharing import share as share
    from cascade_nb.tasks import Explanation as Explanation
    from cascade_nb.tasks import Hit as Hit
    from cascade_nb.tasks import Report as Report
    from cascade_nb.tasks import Retry as Retry
    from cascade_nb.tasks import Status as Status
