"""The session's engine: from settings, environment and defaults to an `Engine`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cascade_nb.arguments import called, why_no_address
from cascade_nb.errors import ConfigurationError, logger, warn_once
from cascade_nb.events import MessageBus
from cascade_nb.protocols import CacheBackend, CachePolicy, Executor, StateBackend, TaskPolicy
from cascade_nb.stores import STORE_VARIABLE, Store, open_store, place_of

if TYPE_CHECKING:
    from cascade_nb.execution import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the session's engine is made of.

    `store` is a URL, a path, a backend, or a list of them, nearest first; None stands for
    CASCADE_STORE or the default store. `gateways` are URLs of trustless IPFS gateways to load
    from; `signing_key` is the path of an OpenSSH private key, None for one of our own.
    """

    store: Store | Sequence[Store] | None = None
    gateways: tuple[str, ...] = ()
    signing_key: str | os.PathLike[str] | None = None
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
            `store`, where results go: ``memory://``, a path, ``disk:///path?size=20GB``,
            ``disk://`` (the default store), ``redis://host:6379/0``,
            ``ipfs://127.0.0.1:5001?metadata=redis://host``, a backend, or a list of these, nearest
            first; `gateways`, a list of URLs of trustless IPFS gateways that `load` may ask;
            `signing_key`, the path of an OpenSSH Ed25519 key to sign with in
            place of one made for the purpose; `executor`, where bodies run, such as
            ``LocalExecutor(threads=4)``; `policy`, a `CachePolicy` to use in place of the content
            cache over `store`: to name a store later drops it; `bus`, the `MessageBus` that events
            go to; `state`, a `StateBackend` that is told the state of each task; `enabled`, where
            False looks up and stores nothing.

    Raises:
        ConfigurationError: a name or value is not valid; the session stays as it was.
    """
    global _settings, _engine
    unknown = set(changes) - set(Settings.__dataclass_fields__)
    if unknown:
        known = ", ".join(Settings.__dataclass_fields__)
        raise ConfigurationError(f"no setting {sorted(unknown)[0]!r}; there are: {known}")
    with _lock:
        wanted = replace(_settings, **_one_of_store_and_policy(changes))
        wanted = replace(wanted, gateways=_checked_gateways(wanted.gateways))
        if not isinstance(wanted.enabled, bool):
            raise ConfigurationError(f"enabled is True or False, not {wanted.enabled!r}")
        made = _make_engine(wanted)
        if "signing_key" in changes:
            _sign_with(wanted.signing_key)
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
        if _settings.signing_key is not None:
            _sign_with(None)
        _settings, _engine, _backend, _bus = Settings(), None, None, MessageBus()


def _one_of_store_and_policy(changes: dict[str, Any]) -> dict[str, Any]:
    """`changes`, in which to name a store drops the policy of an earlier call."""
    store, policy = changes.get("store"), changes.get("policy")
    if policy is not None and store is not None and getattr(policy, "store", None) is not store:
        raise ConfigurationError(
            "a policy keeps its own store: name it there, as in ContentCachePolicy(backend), "
            "or name the store alone"
        )
    return {"policy": None, **changes} if "store" in changes else changes


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
    """The backend of the session, kept while its place stays: a store in memory must not end."""
    global _backend
    place = place_of(store)
    if _backend is None or _backend[0] != place:
        _backend = (place, open_store(store))
    return _backend[1]


def _sign_with(path: str | os.PathLike[str] | None) -> None:
    from cascade_nb.provenance import keys

    keys.use(path)


def _checked_gateways(urls: Any) -> tuple[str, ...]:
    wanted = "gateways are URLs like https://gateway.example"
    if not isinstance(urls, str | Iterable | None):
        raise ConfigurationError(f"{wanted}, not {called(urls)}")
    given = (urls,) if isinstance(urls, str) else tuple(urls or ())
    for url in given:
        if not isinstance(url, str):
            raise ConfigurationError(f"{wanted}, not {called(url)}")
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise ConfigurationError(f"{wanted}; {why_no_address(url)}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            shown = "that" if "@" in url else f"{url!r}"
            raise ConfigurationError(f"{wanted}, not {shown}")
    return given


def _announce(made: Engine) -> None:
    for callback in list(_listeners):
        try:
            callback(made)
        except Exception:
            logger.exception("a listener of configure() failed")
