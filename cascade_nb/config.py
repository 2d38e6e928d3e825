"""The session's engine: from URLs, environment and defaults to frozen `Settings` to an Engine."""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cascade_nb.errors import ConfigurationError, logger, warn_once
from cascade_nb.events import MessageBus
from cascade_nb.protocols import CacheBackend, CachePolicy, Executor, StateBackend, TaskPolicy
from cascade_nb.units import parse_size

if TYPE_CHECKING:
    from cascade_nb.execution import Engine

STORE_VARIABLE = "CASCADE_STORE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the session's engine is made of.

    `store` is a URL, a path, or a backend; None stands for CASCADE_STORE or the default store.
    """

    store: str | os.PathLike[str] | CacheBackend | None = None
    executor: Executor | None = None
    policy: CachePolicy | TaskPolicy | None = None
    bus: MessageBus | None = None
    state: StateBackend | None = None
    enabled: bool = True


_lock = threading.RLock()
_settings = Settings()
_engine: Engine | None = None
_bus = MessageBus()
_backend: tuple[Any, CacheBackend] | None = None
_listeners: list[Callable[[Engine], None]] = []


def settings() -> Settings:
    """The settings that the session's engine has, or will have once it is needed."""
    return _settings


def configure(**changes: Any) -> Engine:
    """Set the session's engine up; a later call changes only what it names.

    Args:
        **changes: fields of `Settings`:
            `store`, where results go: ``memory://``, a path, ``disk:///path?size=20GB``, or a
            backend; `executor`, where bodies run, such as ``LocalExecutor(threads=4)``; `policy`,
            a `CachePolicy` to use in place of the content cache over `store`; `bus`, the
            `MessageBus` that events go to; `state`, a `StateBackend` that is told the state of
            each task; `enabled`, where False looks up and stores nothing.

    Raises:
        ConfigurationError: a name or value is not valid; the session stays as it was.
    """
    global _settings, _engine
    unknown = set(changes) - set(Settings.__dataclass_fields__)
    if unknown:
        known = ", ".join(Settings.__dataclass_fields__)
        raise ConfigurationError(f"no setting {sorted(unknown)[0]!r}; there are: {known}")
    with _lock:
        wanted = replace(_settings, **changes)
        if not isinstance(wanted.enabled, bool):
            raise ConfigurationError(f"enabled is True or False, not {wanted.enabled!r}")
        made = _make_engine(wanted)
        _settings, _engine = wanted, made
    _announce(made)
    return made


def engine() -> Engine:
    """The session's engine; made at the first call, from CASCADE_STORE or the default store.

    Where that is no store it is warned of, and nothing is cached: computations go on.
    """
    global _engine
    made = _engine
    if made is not None:
        return made
    with _lock:
        if _engine is not None:
            return _engine
        try:
            made = _make_engine(_settings)
        except ConfigurationError as error:
            from cascade_nb.policies.none import NoCache

            named = os.environ.get(STORE_VARIABLE)
            reason = f"{STORE_VARIABLE} is wrong: {error}" if named else str(error)
            warn_once(f"nothing is cached: {reason}", (STORE_VARIABLE, str(error)))
            made = _make_engine(replace(_settings, policy=NoCache(reason)))
        _engine = made
    _announce(made)
    return made


def on_engine_change(callback: Callable[[Engine], None]) -> Callable[[], None]:
    """Call `callback` with the session's engine now, where there is one, and with each new one.

    Gives what ends it.
    """
    _listeners.append(callback)
    if _engine is not None:
        callback(_engine)
    return lambda: _listeners.remove(callback) if callback in _listeners else None


def reset() -> None:
    """Forget all settings, as in a new session."""
    global _settings, _engine, _backend, _bus
    with _lock:
        _settings, _engine, _backend, _bus = Settings(), None, None, MessageBus()


def open_store(store: str | os.PathLike[str] | CacheBackend | None = None) -> CacheBackend:
    """The backend that `store` names; nothing on disk is touched before its first use.

    Raises:
        ConfigurationError: its scheme or an option is not known.
    """
    if store is None:
        store = os.environ.get(STORE_VARIABLE) or default_store()
    if isinstance(store, list | tuple):
        if len(store) != 1:
            raise ConfigurationError(f"one store is what this version takes, not {len(store)}")
        return open_store(store[0])
    if isinstance(store, os.PathLike):
        return _disk(Path(store), {})
    if not isinstance(store, str):
        if isinstance(store, CacheBackend):
            return store
        raise ConfigurationError(
            f"a store is a URL, a path or an object with async get and set, not {store!r}"
        )
    scheme, separator, _ = store.partition("://")
    if not separator:
        return _disk(_checked_path(store), {})
    url = urlsplit(store)
    # Messages show no more of a URL than this: the rest may be a name and password.
    shown = f"{scheme}://"
    options = _options_of(shown, url.query)
    if scheme == "memory":
        from cascade_nb.backends.memory import InMemoryCacheBackend

        _refuse_options(shown, options)
        if url.netloc or url.path:
            raise ConfigurationError("a store in memory has no name: write memory://")
        return InMemoryCacheBackend()
    if scheme == "disk":
        if not url.path:
            raise ConfigurationError(f"store {shown} names no folder: write disk:///path")
        return _disk(_path_of(url.netloc, url.path), options)
    raise ConfigurationError(
        f"store scheme {scheme!r} is not known; use memory://, a path, or disk:///path?size=20GB"
    )


def default_store() -> Path:
    """The folder for results in the user's cache folder, as the platform has it.

    Raises:
        ConfigurationError: the user has no home.
    """
    if sys.platform == "darwin":
        caches = "~/Library/Caches"
    elif sys.platform == "win32":
        caches = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    else:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return _expanded(caches) / "cascade-nb"


def _make_engine(wanted: Settings) -> Engine:
    # Settings are looked at long before an engine is needed, which brings much along.
    from cascade_nb.execution import Engine
    from cascade_nb.policies.adapted import as_task_policy

    policy = wanted.policy
    if policy is None:
        from cascade_nb.policies.content import ContentCachePolicy

        policy = ContentCachePolicy(_session_backend(wanted.store))
    else:
        policy = as_task_policy(policy)
    return Engine(
        executor=wanted.executor,
        # Subscribers stay subscribed when a store or an executor changes.
        bus=wanted.bus or _bus,
        policy=policy,
        state=wanted.state,
        enabled=wanted.enabled,
    )


def _session_backend(store: Any) -> CacheBackend:
    """The backend of the session, kept while its setting stays: a store in memory must not end."""
    global _backend
    name = os.environ.get(STORE_VARIABLE) if store is None else store
    if _backend is None or _backend[0] != name:
        _backend = (name, open_store(store))
    return _backend[1]


def _disk(path: Path, options: dict[str, str]) -> CacheBackend:
    from cascade_nb.backends.disk import DiskCacheBackend

    size = options.pop("size", None)
    _refuse_options(f"disk://{path}", options)
    if size is None:
        return DiskCacheBackend(path)
    return DiskCacheBackend(path, size=parse_size(size, what="size"))


def _checked_path(text: str) -> Path:
    """The folder that a plain path names."""
    if not text.strip():
        raise ConfigurationError("a store needs a name: memory://, a path, or disk:///path")
    if re.match(r"[a-z]{2,}:/", text):
        scheme = text.partition(":")[0]
        raise ConfigurationError(f"{scheme}:/ begins neither a path nor a URL: write {scheme}://")
    return _expanded(text)


def _expanded(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigurationError(
            f"there is no home folder for {text!r}: name a store with {STORE_VARIABLE}"
        ) from error


def _path_of(netloc: str, path: str) -> Path:
    text = unquote(path)
    # disk://~/results and disk:///~/results both mean the home folder.
    if netloc == "~":
        text = "~" + text
    elif text.startswith("/~/"):
        text = text[1:]
    elif netloc:
        raise ConfigurationError("a disk store has no host: write disk:///path, with three slashes")
    return _expanded(text)


def _options_of(store: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in options:
            raise ConfigurationError(f"store {store} has the option {name!r} more than once")
        options[name] = value
    return options


def _refuse_options(store: str, options: dict[str, str]) -> None:
    if options:
        raise ConfigurationError(f"store {store} has no option {sorted(options)[0]!r}")


def _announce(made: Engine) -> None:
    for callback in list(_listeners):
        try:
            callback(made)
        except Exception:
            logger.exception("a listener of configure() failed")
