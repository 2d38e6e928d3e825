"""Small results near, large ones on IPFS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cascade_nb.backends.arrivals import seconds_left, tried
from cascade_nb.backends.buffers import length
from cascade_nb.backends.tiered import TieredCacheBackend
from cascade_nb.errors import BackendError
from cascade_nb.fingerprint.keys import Key
from cascade_nb.policies.content import ContentCachePolicy
from cascade_nb.policies.packing import Package
from cascade_nb.protocols import Bytes, CacheBackend
from cascade_nb.records import Record
from cascade_nb.tasks import Outcome, Task
from cascade_nb.units import parse_size
from cascade_nb.wording import part_repr

# In a record's environment: where its contents lie, if not beside it.
PLACE, IPFS = "content", "ipfs"


class IpfsCachePolicy(ContentCachePolicy):
    """As `ContentCachePolicy`, over two backends: contents go to one or the other by their size.

    Records lie in `local`. One whose contents went to IPFS says so: its environment has
    ``content: ipfs``. It lies in `ipfs`, too, with all that it needs, so that whoever shares that
    backend's metadata finds it.

    Args:
        local: where small contents go.
        ipfs: where large ones go, such as an `IpfsCacheBackend`.
        min_bytes: the size from which on contents are large, as a number or a text like "10MB";
            with 0, all go to IPFS.
        ttl: how long results are served where a task says nothing, in seconds or as "12h".

    Raises:
        ConfigurationError: an argument is not valid.
    """

    def __init__(
        self,
        local: CacheBackend,
        ipfs: CacheBackend,
        *,
        min_bytes: int | str = "1MB",
        ttl: Any = None,
    ) -> None:
        self.min_bytes = parse_size(min_bytes, what="min_bytes", least=0)
        store = _BySize(local, ipfs, self.min_bytes)
        super().__init__(store, ttl)
        self._tiers = store.tiers

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(part_repr, self._tiers))})"

    def _record(self, task: Task, key: Key, outcome: Outcome, package: Package) -> Record:
        record = super()._record(task, key, outcome, package)
        if all(length(pieces) < self.min_bytes for pieces in package.contents.values()):
            return record
        return replace(record, environment={**record.environment, PLACE: IPFS})


class _BySize(TieredCacheBackend):
    """Two tiers, of which each has contents of its own; the near one has all records."""

    def __init__(self, near: CacheBackend, far: CacheBackend, min_bytes: int) -> None:
        super().__init__(near, far)
        self._min_bytes = min_bytes

    async def read_record(self, key: str) -> bytes | None:
        """The envelope from the near tier, or from the far one, as others may have left it."""
        near, far = self.tiers
        envelope = await near.read_record(key)
        if envelope is not None:
            return envelope
        # A node that is down is no reason to keep nothing near.
        envelope = await tried(far.read_record(key), [])
        if envelope is not None:
            ttl = seconds_left(envelope)
            if ttl is None or ttl > 0:
                await tried(near.write_record(key, envelope, ttl), [])
        return envelope

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store content in the tier for its size."""
        near, far = self.tiers
        tier = near if length(pieces) < self._min_bytes else far
        await tier.write_content(cid, pieces)

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope near; in the far tier, too, if it needs contents of that one."""
        near, far = self.tiers
        self._changes += 1
        small = [cid for cid in contents if await near.has_content(cid)]
        if len(small) < len(contents):
            for cid in small:
                data = await near.read_content(cid)
                if data is not None:
                    await far.write_content(cid, [data])
            await far.write_record(key, envelope, ttl, contents=contents)
        await near.write_record(key, envelope, ttl, contents=small)

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content, from where it is; what is far does not come near."""
        failures: list[BackendError] = []
        for tier in self.tiers:
            data = await tried(tier.read_content(cid), failures)
            if data is not None:
                return data
        if failures:
            raise failures[-1]
        return None
