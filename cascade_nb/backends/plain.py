"""How a backend of two methods serves as a store of records and content."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cascade_nb.backends.buffers import as_bytes, joined
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import from_guest, in_thread
from cascade_nb.protocols import Bytes, CacheBackend, KeepsBytes


class PlainStore:
    """A `CacheBackend` seen as `KeepsBytes`: it is given bytes, under keys that say what they are.

    Whatever it raises is a `BackendError`; whatever it gives that is not bytes is nothing.
    """

    def __init__(self, backend: CacheBackend) -> None:
        self._backend = backend
        self._name = type(backend).__name__

    def __repr__(self) -> str:
        return f"{self._name}(...)"

    async def read_record(self, key: str) -> bytes | None:
        """The envelope under `key`, if the backend still has it."""
        found = await self._get(f"record:{key}")
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

    async def _get(self, key: str) -> Bytes | None:
        with self._mapped("get"):
            found = await from_guest(self._backend.get(key))
        return found if isinstance(found, bytes | bytearray | memoryview) else None

    async def _set(self, key: str, data: bytes, ttl: float | None) -> None:
        with self._mapped("set"):
            await from_guest(self._backend.set(key, data, ttl))

    @contextmanager
    def _mapped(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Its text is left out: it is somebody else's and may hold an address or a password.
            message = f"{self._name}.{method} failed: {type(error).__name__}"
            raise BackendError(message, server=self._name) from error


def as_store(backend: CacheBackend | KeepsBytes) -> KeepsBytes:
    """`backend` itself where it keeps bytes, else adapted.

    Raises:
        ConfigurationError: it lacks `get` and `set`.
    """
    if isinstance(backend, KeepsBytes):
        return backend
    if isinstance(backend, CacheBackend):
        return PlainStore(backend)
    raise ConfigurationError(
        f"a backend needs the async methods get and set; {type(backend).__name__} lacks them"
    )
