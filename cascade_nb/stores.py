"""From the URLs of stores to the backends that they name."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from cascade_nb.arguments import called, options_in, refuse_class, why_no_address
from cascade_nb.errors import ConfigurationError
from cascade_nb.protocols import CacheBackend
from cascade_nb.units import parse_size

STORE_VARIABLE = "CASCADE_STORE"
_KNOWN = (
    "memory://, a path, disk:///path?size=20GB, disk:// for the default one, redis://host:6379/0 "
    "or ipfs://127.0.0.1:5001"
)
_IPFS_PORT = 5001

_MEMORY = "memory://"
_CACHE_VARIABLES = ("XDG_CACHE_HOME", "LOCALAPPDATA")

Store: TypeAlias = str | os.PathLike[str] | CacheBackend


def open_store(store: Store | Sequence[Store] | None = None) -> CacheBackend:
    """The backend that `store` names; nothing is touched or connected to before its first use.

    Args:
        store: a URL, a path, a backend, or a list of them, nearest first; several URLs may stand
            in one text, with spaces between. ``disk://`` is the default store, None stands for
            CASCADE_STORE or that.

    Raises:
        ConfigurationError: a scheme or an option is not known, or an extra is not installed.
    """
    if store is None:
        store = os.environ.get(STORE_VARIABLE) or default_store()
    if isinstance(store, str):
        parts = store.split()
        # A path may have spaces in it; a list has a scheme in each part.
        store = parts if len(parts) > 1 and all("://" in part for part in parts) else store
    if isinstance(store, list | tuple):
        return _tiers(store)
    if isinstance(store, str) and _is_ipfs(store):
        return _ipfs(store, None)
    return _plain(store)


def place_of(store: Any) -> object:
    """What the places that `store` names depend on: two with equal answers are the same place."""
    if store is None:
        store = os.environ.get(STORE_VARIABLE)
    name = tuple(store) if isinstance(store, list) else store
    if name == _MEMORY:
        return name
    # What lies in the user's home lies elsewhere once that has changed.
    return name, os.path.expanduser("~"), *map(os.environ.get, _CACHE_VARIABLES)


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


def _tiers(stores: Sequence[Store]) -> CacheBackend:
    if not stores:
        raise ConfigurationError("a list of stores needs at least one store in it")
    opened: list[CacheBackend | None] = [
        None if isinstance(store, str) and _is_ipfs(store) else _plain(store) for store in stores
    ]
    # Where nothing else is said, a node's mapping lies where it outlasts the session.
    others = [backend for backend in opened if backend is not None]
    lasting = [backend for backend in others if getattr(backend, "lasting", False)]
    metadata = next(iter(lasting or others), None)
    tiers = [
        _ipfs(str(store), metadata) if backend is None else backend
        for store, backend in zip(stores, opened, strict=True)
    ]
    if len(tiers) == 1:
        return tiers[0]
    from cascade_nb.backends.tiered import TieredCacheBackend

    return TieredCacheBackend(*tiers)


def _plain(store: Any) -> CacheBackend:
    """Any store but a node of IPFS, which needs another one."""
    if isinstance(store, os.PathLike):
        return _disk(Path(store), {})
    if not isinstance(store, str):
        refuse_class("a store", store)
        if isinstance(store, CacheBackend):
            return store
        raise ConfigurationError(
            f"a store is a URL, a path or an object with get and set, not {called(store)}"
        )
    scheme, separator, _ = store.partition("://")
    if not separator:
        return _disk(_checked_path(store), {})
    if scheme in ("redis", "rediss", "unix"):
        from cascade_nb.backends.redis import open_redis

        return open_redis(store)
    url = _split(store)
    # Messages show no more of a URL than this: the rest may be a name and password.
    shown = f"disk://{url.path}" if scheme == "disk" else f"{scheme}://"
    options = options_in(shown, url.query)
    if scheme == "memory":
        from cascade_nb.backends.memory import InMemoryCacheBackend

        _refuse_options(shown, options)
        if url.netloc or url.path:
            raise ConfigurationError("a store in memory has no name: write memory://")
        return InMemoryCacheBackend()
    if scheme == "disk":
        if not url.netloc and not url.path:
            return _disk(default_store(), options)
        if not url.path:
            raise ConfigurationError(
                f"store {shown} names no folder: write disk:///path, or {shown} for the default one"
            )
        return _disk(_path_of(url.netloc, url.path), options)
    raise ConfigurationError(f"store scheme {scheme!r} is not known; use {_KNOWN}")


def _is_ipfs(store: str) -> bool:
    return store.startswith(("ipfs://", "ipfs+https://"))


def _ipfs(store: str, metadata: CacheBackend | None) -> CacheBackend:
    url = _split(store)
    shown = f"{url.scheme}://"
    options = options_in(shown, url.query)
    named = options.pop("metadata", None)
    if "token" in options:
        raise ConfigurationError(
            f"a token does not belong in a URL, which gets printed; store {shown} takes it from "
            "CASCADE_IPFS_TOKEN"
        )
    _refuse_options(shown, options)
    if not url.hostname:
        raise ConfigurationError(f"store {shown} names no node: write ipfs://127.0.0.1:5001")
    if named is not None:
        if _is_ipfs(named):
            raise ConfigurationError(f"the metadata of {shown} cannot lie in IPFS itself")
        metadata = _plain(named)
    scheme = "https" if url.scheme == "ipfs+https" else "http"
    user, at, address = url.netloc.rpartition("@")
    if url.port is None and scheme == "http":
        address = f"{address.removesuffix(':')}:{_IPFS_PORT}"
    node = f"{scheme}://{user}{at}{address}{url.path}"
    from cascade_nb.backends.ipfs import IpfsCacheBackend

    return IpfsCacheBackend(_plain(default_store()) if metadata is None else metadata, node)


def _split(store: str) -> SplitResult:
    try:
        url = urlsplit(store)
        _ = url.port
    except ValueError:
        scheme = store.partition("://")[0]
        raise ConfigurationError(
            f"store {scheme}://... is not valid: {why_no_address(store)}"
        ) from None
    return url


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


def _refuse_options(store: str, options: dict[str, str]) -> None:
    if options:
        raise ConfigurationError(f"store {store} has no option {sorted(options)[0]!r}")
