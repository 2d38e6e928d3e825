"""How a backend of two methods serves as a store of records and content."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from cascade_nb.arguments import called, refuse_class
from cascade_nb.backends.buffers import as_bytes, joined
from cascade_nb.backends.outages import Breaker
from cascade_nb.backends.silence import HIT_PATIENCE_SECONDS, PATIENCE_SECONDS, StalledError
from cascade_nb.errors import BackendError, ConfigurationError, logger
from cascade_nb.loop import from_guest, in_thread, run_sync
from cascade_nb.protocols import Bytes, CacheBackend, KeepsBytes

T = TypeVar("T")

# A loop that was stopped answers nobody.
_TRY_SECONDS = 60.0


class PlainStore:
    """A `CacheBackend` seen as `KeepsBytes`: it is given bytes, under keys that say what they are.

    Whatever it raises is a `BackendError`; whatever it gives that is not bytes is nothing. A record
    is waited for as long as a hit is worth, content, whose progress nobody sees, for as long as
    anybody's; then the backend is left alone, but for a try beside the work now and then. One that
    does not await what it waits for cannot be given up.
    """

    def __init__(self, backend: CacheBackend) -> None:
        self._backend = backend
        self._name = type(backend).__name__
        self._breaker = Breaker(self._try_again)
        # The loop on which it was last awaited: its connections may belong to that.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stalled = ("", 0.0)

    def __repr__(self) -> str:
        return f"{self._name}(...)"

    async def read_record(self, key: str) -> bytes | None:
        """The envelope under `key`, if the backend still has it."""
        found = await self._get(f"record:{key}", HIT_PATIENCE_SECONDS)
        return None if found is None else bytes(found)

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope; how long the backend keeps contents is its own affair."""
        await self._set(f"record:{key}", envelope, ttl)

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """A writable copy of the content."""
        found = await self._get(f"content:{cid}")
        return None if found is None else await in_thread(joined, [found])

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store the content as one bytes object."""
        data = await in_thread(as_bytes, pieces)
        await self._set(f"content:{cid}", data, None)

    async def has_content(self, cid: str) -> bool:
        """Whether the backend has the content; there is no way to ask but to read it."""
        return await self._get(f"content:{cid}") is not None

    async def _get(self, key: str, patience: float = PATIENCE_SECONDS) -> Bytes | None:
        self._breaker.check()
        found = await self._answered("get", self._backend.get, key, patience=patience)
        return found if isinstance(found, bytes | bytearray | memoryview) else None

    async def _set(self, key: str, data: bytes, ttl: float | None) -> None:
        self._breaker.check()
        await self._answered("set", self._backend.set, key, data, ttl, patience=PATIENCE_SECONDS)

    async def _answered(
        self,
        name: str,
        method: Callable[..., Awaitable[T]],
        key: str,
        *more: Any,
        patience: float,
    ) -> T:
        try:
            answer = method(key, *more)
            waits = inspect.isawaitable(answer)
            return await from_guest(self._within(patience, answer) if waits else answer)
        except StalledError as error:
            self._stalled = key, patience
            self._breaker.tripped(error)
            raise
        except Exception as error:
            # Its text is left out: it is somebody else's and may hold an address or a password.
            message = f"{self._name}.{name} failed: {type(error).__name__}"
            raise BackendError(message, server=self._name) from error

    async def _within(self, patience: float, answer: Awaitable[T]) -> T:
        self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(patience) as deadline:
                return await answer
        except TimeoutError as error:
            if not deadline.expired():
                raise
            message = f"{self._name} has not answered for {patience:g} s"
            raise StalledError(message, server=self._name) from error

    def _try_again(self) -> None:
        """Ask anew for what was not answered, on the loop on which that was asked."""
        key, patience = self._stalled
        asking = self._answered("get", self._backend.get, key, patience=patience)
        try:
            if self._loop is not None and self._loop.is_running():
                asyncio.run_coroutine_threadsafe(asking, self._loop).result(_TRY_SECONDS)
            else:
                run_sync(asking)
        except StalledError as error:
            self._breaker.tripped(error)
            raise
        except (BackendError, CancelledError, TimeoutError) as error:
            logger.debug("%s does not stall any more: %r", self._name, error)


def as_store(backend: CacheBackend | KeepsBytes) -> KeepsBytes:
    """`backend` itself where it keeps bytes, else adapted.

    Raises:
        ConfigurationError: it lacks `get` and `set`, or is a class.
    """
    refuse_class("a backend", backend)
    if isinstance(backend, KeepsBytes):
        return backend
    if isinstance(backend, CacheBackend):
        return PlainStore(backend)
    raise ConfigurationError(
        f"a backend needs the methods get and set; {called(backend)} lacks them"
    )
