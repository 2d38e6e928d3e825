"""The contracts between the rooms. Each public one is as small as it can be.

`CacheBackend`, `CachePolicy`, `Executor` and `StateBackend` are what other people implement: an
object with only those methods works. The protocols below them are optional and found by
`isinstance`; their methods raise `BackendError` when the medium fails, and suspend only through
`cascade_nb.loop`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from cascade_nb.records import Entry
from cascade_nb.tasks import Bypass, Explanation, Hit, Miss, Outcome, Task

Bytes: TypeAlias = bytes | bytearray | memoryview
# Told of bytes that have come or gone so far, and of how many there are to be, where that is known.
Progress: TypeAlias = Callable[[int, int | None], None]


@runtime_checkable
class CacheBackend(Protocol):
    """Keeps values under keys."""

    async def get(self, key: str) -> Any | None:
        """The value stored under `key`, or None."""

    async def set(self, key: str, value: Any, ttl: float | None = None) -> None:
        """Store `value` under `key`, for `ttl` seconds or for good."""


@runtime_checkable
class CachePolicy(Protocol):
    """Decides whether a task has to run, and what becomes of its output."""

    async def check(self, task_id: str, inputs: Mapping[str, Any]) -> Any | None:
        """None where the task has to run, else its value, or a `Hit` (for a value of None)."""

    async def save(self, task_id: str, inputs: Mapping[str, Any], output: Any) -> Any:
        """Keep `output`. An error here is logged and never fails the task."""


@runtime_checkable
class Executor(Protocol):
    """Runs one task's body somewhere."""

    async def execute(self, task: Task) -> Any:
        """The value of ``task.call()``, awaited where it is awaitable; its exceptions unchanged."""


@runtime_checkable
class StateBackend(Protocol):
    """Keeps the state of tasks for whoever watches a run."""

    async def get_state(self, task_id: str) -> str | None:
        """The last state of the task: Running, Skipped, Succeeded, Failed or Cancelled."""

    async def set_state(self, task_id: str, state: str) -> None:
        """Keep `state` as the task's last one. An error here is logged and never fails the task."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of a store's rubbish: things removed, and bytes that this freed or will free."""

    removed: int
    freed: int
    note: str = ""


class Lock(Protocol):
    """A lock that is held; it is free at once when its process dies."""

    def release(self) -> None:
        """Free the lock. Releasing twice is harmless."""


@runtime_checkable
class TaskPolicy(Protocol):
    """A policy that sees the whole task; the engine prefers this to `CachePolicy`."""

    async def lookup(self, task: Task) -> Hit | Miss | Bypass:
        """What is known of `task`. Raises nothing but what interrupts."""

    async def lookup_again(self, task: Task, miss: Miss) -> Hit | Miss | Bypass:
        """As `lookup`, for one who had to wait: under the key of `miss`, not computed again."""

    async def keep(self, task: Task, miss: Miss, outcome: Outcome) -> Entry | Bypass | None:
        """Keep the outcome of a task that `lookup` called a miss.

        Gives the entry, None where it is kept but there is none to show, or why it is not kept.
        """

    async def try_lock(self, key: str) -> Lock | None:
        """The lock on `key` among all processes that share the store; None while another has it."""


@runtime_checkable
class Inspects(Protocol):
    """A policy that can tell of a task's result, and drop it, without running or loading it.

    All raise `FingerprintError` where the task has no key.
    """

    async def find_entry(self, task: Task) -> Entry | None:
        """The entry that a lookup would serve."""

    async def forget(self, task: Task) -> bool:
        """Drop what is stored for the task; whether there was anything."""

    async def explain(self, task: Task) -> Explanation:
        """What a lookup would say, and why."""


@runtime_checkable
class KeepsBytes(Protocol):
    """A store's inner face: records by key and content by CID, both as bytes.

    Records are small, content may be of any size. What is read may be damaged or foreign: the
    reader verifies. Every method raises `BackendError` where the medium fails.
    """

    async def read_record(self, key: str) -> bytes | None:
        """The envelope stored under `key`; None where there is none or its ttl has passed."""

    async def write_record(
        self, key: str, envelope: bytes, ttl: float | None, *, contents: Sequence[str] = ()
    ) -> None:
        """Store an envelope, replacing an older one, for `ttl` seconds or for good.

        `contents` are the CIDs that the record needs: they stay and go with it. A store that
        evicts raises `ContentTooLargeError` where one of them had to go before all were there.
        """

    async def read_content(self, cid: str) -> bytearray | memoryview | None:
        """The content named `cid` in a writable buffer that is the caller's alone, or None."""

    async def write_content(self, cid: str, pieces: Sequence[Bytes]) -> None:
        """Store the concatenation of `pieces` under `cid`; on return it is all there.

        What was there is replaced, so that writing again repairs damaged content.

        Raises:
            ContentTooLargeError: it can never fit; nothing was evicted for it.
        """

    async def has_content(self, cid: str) -> bool:
        """Whether the content is there; also counts as a use of it."""


@runtime_checkable
class Forgets(Protocol):
    """A store from which things can be removed."""

    async def delete_record(self, key: str) -> bool:
        """Remove a record and what only it needs; whether there was one."""

    async def clear(self) -> int:
        """Remove everything; how many records there were."""


@runtime_checkable
class Lists(Protocol):
    """A store whose records can be listed."""

    def records(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every (key, envelope) that is not expired, newest first."""

    async def size(self) -> int:
        """Bytes of records and content in the store."""


@runtime_checkable
class Locks(Protocol):
    """A store that can lock keys among the processes that share it."""

    async def try_lock(self, key: str) -> Lock | None:
        """The lock, or None while another holder has it; never waits."""


@runtime_checkable
class Versions(Protocol):
    """A store that can tell at once whether anything in it may have changed."""

    def version(self) -> Hashable | None:
        """What differs from every earlier answer once a record or content has changed.

        Takes microseconds and never waits; None where that is not possible just now.
        """


@runtime_checkable
class KeepsNotes(Protocol):
    """A store on this machine that keeps small notes beside records, such as previews.

    Notes never leave the machine: they may hold short reprs of the user's values.
    """

    async def read_note(self, key: str) -> bytes | None:
        """The note on the record under `key`, or None."""

    async def write_note(self, key: str, note: bytes) -> None:
        """Store the note; it goes when the record goes."""


@runtime_checkable
class Fetches(Protocol):
    """A source from which content may take long to come: a node, or a gateway."""

    async def fetch_content(
        self, cid: str, *, progress: Progress | None = None
    ) -> bytearray | memoryview | None:
        """As `read_content`, but waits for the network as long as bytes keep coming.

        What comes is verified block by block. None where the source does not have it.

        Raises:
            BackendError: the source fails, or nothing has come for 30 s.
            IntegrityError: what came is not what the CID says, or not all of it.
        """


@runtime_checkable
class Publishes(Protocol):
    """A store from which others can fetch what is pinned in it, by CID alone."""

    async def publish(
        self,
        root: str,
        blocks: Iterable[tuple[bytes, Bytes]],
        *,
        name: str,
        progress: Progress | None = None,
    ) -> None:
        """Take all `blocks`, by binary CID, and pin the DAG under `root` with `name`.

        Raises:
            BackendError: it does not take and pin all of them.
        """

    async def unpublish(self, root: str) -> bool:
        """Unpin `root`; whether it was pinned."""


@runtime_checkable
class Flushes(Protocol):
    """A store that writes in the background."""

    async def flush(self) -> None:
        """Wait until all that was written has arrived, or cannot for now."""


@runtime_checkable
class Collects(Protocol):
    """A store that can be rid of what nothing needs any more."""

    async def collect(self) -> Collected:
        """Remove what is of no use; never what is somebody else's."""
