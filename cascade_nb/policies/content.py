"""The default policy: a key for what is asked, a signed record, and content by CID."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from cascade_nb import __version__, files
from cascade_nb.backends.plain import as_store
from cascade_nb.errors import (
    BackendError,
    CodecError,
    ConfigurationError,
    ContentTooLargeError,
    FingerprintError,
    IntegrityError,
    StaleRiskWarning,
    UntrustedError,
    logger,
    warn_once,
)
from cascade_nb.fingerprint import settings
from cascade_nb.fingerprint.changes import Account, describe_change
from cascade_nb.fingerprint.keys import Key
from cascade_nb.fingerprint.texts import Computed, Given
from cascade_nb.fingerprint.values import BudgetExceeded, fingerprint
from cascade_nb.loop import here, in_thread
from cascade_nb.policies.adapted import NoLock
from cascade_nb.policies.belief import Claim, NotBelievedError, untrusted_code
from cascade_nb.policies.packing import (
    Package,
    contents_of_cell,
    effects_of_cell,
    pack_cell,
    pack_value,
    unpack_cell,
    unpack_value,
)
from cascade_nb.policies.shelf import INLINE_BYTES, NO_VALUE, Shelf, sized
from cascade_nb.policies.task_keys import bare_task, changed_inputs, key_of
from cascade_nb.protocols import Bytes, CacheBackend, KeepsNotes, Lock, Locks
from cascade_nb.records import Entry, Record
from cascade_nb.tasks import (
    Bypass,
    CellResult,
    Explanation,
    Hit,
    Miss,
    Outcome,
    Status,
    Task,
    TaskKind,
)
from cascade_nb.units import parse_duration
from cascade_nb.wording import part_repr

T = TypeVar("T")

# In a record's environment: the global random generators that the run drew from, unseen.
_DRAWS = "draws"
# What of a key a note says, in the order of an account.
_NOTED = ("parts", "previews", "lines")


class ContentCachePolicy:
    """Serves results by the content of all that they depend on.

    Args:
        backend: where records and content go; an object with only `get` and `set` will do.
        ttl: how long results are served where a task says nothing, in seconds or as "12h".
    """

    def __init__(self, backend: CacheBackend, ttl: Any = None) -> None:
        self.store = as_store(backend)
        self._shelf = Shelf(self.store)
        self.ttl = None if ttl is None else parse_duration(ttl)
        self._locks = self.store if isinstance(self.store, Locks) else None
        self._notes = self.store if isinstance(self.store, KeepsNotes) else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({part_repr(self.store)})"

    # The public protocol: inputs that are all there is to the key.

    async def check(self, task_id: str, inputs: Mapping[str, Any]) -> Any | None:
        """The value saved for the same task and equal inputs; a `Hit` for a stored None."""
        found = await self.lookup(bare_task(task_id, inputs))
        if not isinstance(found, Hit):
            return None
        return found if found.value is None else found.value

    async def save(self, task_id: str, inputs: Mapping[str, Any], output: Any) -> Any:
        """Store `output` for the task and its inputs; gives it back."""
        task = bare_task(task_id, inputs, refresh=True)
        found = await self.lookup(task)
        if isinstance(found, Miss):
            await self.keep(task, found, Outcome(value=output, seconds=0.0))
        return output

    # What the engine uses: whole tasks.

    async def lookup(self, task: Task) -> Hit | Miss | Bypass:
        """A hit where a record of ours claims a result that is all there and still holds."""
        try:
            key = await _within_budget(key_of, task)
        except FingerprintError as error:
            warn_once(f"{task.name} runs uncached: {error}", ("fingerprint", task.id, error.path))
            return Bypass(str(error))
        for risk in key.risks:
            warn_once(
                f"{task.name}, line {risk.line}: {risk.message}",
                ("risk", task.id, risk.line, risk.name),
                StaleRiskWarning,
            )
        if task.options.refresh:
            return _miss(task, key, "refresh asked for")
        return await self._find(task, key)

    async def lookup_again(self, task: Task, miss: Miss) -> Hit | Miss | Bypass:
        """As `lookup`, under the key that is known."""
        if task.options.refresh:
            return miss
        return await self._find(task, miss.state)

    async def keep(self, task: Task, miss: Miss, outcome: Outcome) -> Entry | Bypass:
        """Store an outcome; of one that cannot be stored, what was to be refreshed is gone, too."""
        key: Key = miss.state
        kept = await self._kept(task, key, outcome)
        if isinstance(kept, Bypass):
            if task.options.refresh:
                await self._drop(key)
            return kept
        _warn_of_draws(task, _drawn_from(key, outcome))
        await self._write_note(task, key)
        return kept

    async def _kept(self, task: Task, key: Key, outcome: Outcome) -> Entry | Bypass:
        try:
            changed = await _within_budget(changed_inputs, task, key)
            if changed:
                warn_once(
                    f"{task.name} changed its {changed} in place: its result was not cached",
                    ("mutation", task.id, changed),
                )
                return Bypass(f"it changed its {changed} in place")
            if task.kind is TaskKind.CELL and "bypass" in outcome.value.effects:
                return Bypass(outcome.value.effects["bypass"])
            package = await _within_budget(_pack, task, outcome)
            return await self._shelf.put(self._record(task, key, outcome, package), package)
        except (ConfigurationError, CodecError, FingerprintError, ContentTooLargeError) as error:
            warn_once(f"the result of {task.name} was not cached: {error}", ("keep", task.id))
            return Bypass(str(error))
        except BackendError as error:
            return self._outage(error)

    async def try_lock(self, key: str) -> Lock | None:
        """The store's lock; where it has none or fails, no other process is asked."""
        if self._locks is None:
            return NoLock()
        try:
            return await self._locks.try_lock(key)
        except BackendError as error:
            self._outage(error)
            return NoLock()

    async def find_entry(self, task: Task) -> Entry | None:
        """The entry that a lookup would serve, without loading its content.

        Raises:
            FingerprintError: the task has no key.
        """
        found = await self._judge(task, await _within_budget(key_of, task))
        return found if isinstance(found, Entry) else None

    async def forget(self, task: Task) -> bool:
        """Drop the record of the task, and content that no other record needs.

        Raises:
            FingerprintError: the task has no key.
        """
        return await self._drop(await _within_budget(key_of, task))

    async def _drop(self, key: Key) -> bool:
        try:
            return await self._shelf.drop(key.digest)
        except BackendError as error:
            self._outage(error)
            return False

    async def explain(self, task: Task) -> Explanation:
        """What a lookup would say, and why.

        Raises:
            FingerprintError: the task has no key.
        """
        key = await _within_budget(key_of, task)
        found = await self._judge(task, key)
        if isinstance(found, Entry):
            return Explanation(Status.HIT, "stored, and nothing that it depends on has changed")
        return Explanation(Status.MISS, found, tuple(found.split("; ")))

    async def _judge(self, task: Task, key: Key) -> Entry | str:
        """The entry of a record that holds, or why there is none."""
        try:
            claim = await self._shelf.claim(key.digest, partial(_why_not, task))
        except BackendError as error:
            return self._outage(error).reason
        except NotBelievedError as error:
            return str(error)
        return await self._why_new(task, key) if claim is None else claim.entry

    async def _find(self, task: Task, key: Key) -> Hit | Miss | Bypass:
        try:
            claim = await self._shelf.claim(key.digest, partial(_why_not, task))
            if claim is None:
                return _miss(task, key, await self._why_new(task, key))
            return await self._served(claim, task, key)
        except BackendError as error:
            return self._outage(error)
        except NotBelievedError as error:
            return _miss(task, key, str(error))

    async def _served(self, claim: Claim, task: Task, key: Key) -> Hit | Miss:
        try:
            value = await self._load(claim, task)
        except CodecError as error:
            return _miss(task, key, f"the stored result does not load here: {error}")
        except UntrustedError as error:
            return _miss(task, key, untrusted_code(claim, str(error)))
        except IntegrityError as error:
            logger.warning("dropped a damaged result of %s: %s", task.name, error)
            await self._shelf.discard(claim)
            return _miss(task, key, "the stored result was damaged")
        _warn_of_draws(task, claim.record.environment.get(_DRAWS, "").split())
        return Hit(value, claim.entry, claim.record.reads, claim.origin.signer)

    async def _load(self, claim: Claim, task: Task) -> Any:
        """The result that is claimed.

        Raises:
            IntegrityError: content is missing or is not what its CID says.
            CodecError: it does not decode in this session.
            UntrustedError: it would run code, with which its signer is not trusted.
        """
        record, code = claim.record, claim.origin.code
        value = self._shelf.value(claim)
        if value is not NO_VALUE:
            return value
        data = await self._shelf.content(record.result, claim)
        if task.kind is TaskKind.FUNCTION:
            value = await sized(record.size, partial(unpack_value, data, code=code))
            self._shelf.keep_value(claim, value)
            return value
        parts = {cid: await self._shelf.content(cid, claim) for cid in contents_of_cell(data)}
        return await _restored(task, record.size, data, parts, code=code)

    def _record(self, task: Task, key: Key, outcome: Outcome, package: Package) -> Record:
        environment = {"python": platform.python_version(), "cascade-nb": __version__}
        drawn_from = _drawn_from(key, outcome)
        if drawn_from:
            environment[_DRAWS] = " ".join(drawn_from)
        return Record(
            kind="value" if task.kind is TaskKind.FUNCTION else "cell",
            key=key.digest,
            result=package.result,
            needs_code=package.needs_code,
            name=task.name,
            created=time.time(),
            ttl=self.ttl if task.options.ttl is None else task.options.ttl,
            seconds=outcome.seconds,
            size=package.size,
            outputs=package.outputs,
            parts=key.parts,
            reads=outcome.reads,
            environment=environment,
        )

    def _outage(self, error: BackendError) -> Bypass:
        warn_once(f"results are not cached: {error}", ("outage", error.server))
        return Bypass(str(error))

    # Why a task is new, in the user's words: what differs from the last one of the same name.

    async def _why_new(self, task: Task, key: Key) -> str:
        earlier = await self._read_note(task)
        if earlier is None:
            return "first run"
        if earlier.parts == key.parts:
            return "its result is no longer stored: expired, evicted or forgotten"
        return describe_change(earlier, key.account())

    async def _read_note(self, task: Task) -> Account | None:
        if self._notes is None:
            return None
        try:
            note = await self._notes.read_note(_note_key(task))
            if note is not None:
                tree = json.loads(note)
                return Account(*(dict(tree[name]) for name in _NOTED))
        except BackendError as error:
            self._outage(error)
        except (ValueError, KeyError, TypeError):
            logger.info("an unreadable note on %s was passed over", task.name)
        return None

    async def _write_note(self, task: Task, key: Key) -> None:
        if self._notes is None:
            return
        account = key.account()
        tree = {name: dict(getattr(account, name)) for name in _NOTED}
        try:
            await self._notes.write_note(_note_key(task), json.dumps(tree).encode())
        except BackendError as error:
            self._outage(error)


def _drawn_from(key: Key, outcome: Outcome) -> list[str]:
    """The global random generators that a run drew from though nothing in its code says so."""
    return sorted(outcome.moved - key.generators)


def _warn_of_draws(task: Task, generators: Sequence[str]) -> None:
    for generator in generators:
        warn_once(
            f"{task.name}: what it calls draws numbers from the global generator of"
            f" {generator}, whose state is not in the key; pass random_state=, or a generator,"
            " or seed it inside",
            ("draws", task.id, generator),
            StaleRiskWarning,
        )


def _miss(task: Task, key: Key, reason: str) -> Miss:
    candidates = [path for path in key.texts() if _may_be_file(path)]
    wide = {path for path in candidates if isinstance(path, Given) and files.is_too_wide(path)}
    if "reads" not in key.parts:
        for path in sorted(wide):
            warn_once(
                f"a native reader is given `{path}`, which is too much to look through;"
                " name what it reads in reads=[...]",
                ("too wide", path),
                StaleRiskWarning,
            )
        computed = [path for path in candidates if isinstance(path, Computed)]
        if computed:
            warn_once(
                f"{task.name} gives a native reader a computed path, such as `{computed[0]}`:"
                " what was foreseen is kept track of; name the rest in reads=[...]",
                ("computed path", task.id),
                StaleRiskWarning,
            )
    left = tuple(path for path in candidates if path not in wide)
    return Miss(key=key.digest, reason=reason, candidates=left, state=key)


def _may_be_file(path: str) -> bool:
    """Whether `path` is a regular file, or what a native reader may be given, whatever it is."""
    try:
        return isinstance(path, Given) or os.path.isfile(path)
    except ValueError:
        return False  # A text that no path can be, such as one with a lone surrogate.


async def _why_not(task: Task, record: Record) -> str:
    """Why a good record is no answer to this task now; empty where it is one."""
    now, ttl = time.time(), task.options.ttl
    if record.expired(now) or (ttl is not None and now >= record.created + ttl):
        return "its ttl has passed"
    if record.reads:
        return await in_thread(files.verify, record.reads) or ""
    return ""


async def _restored(
    task: Task, size: int, node: Bytes, parts: Mapping[str, Bytes], *, code: bool
) -> CellResult:
    """A cell's result, back in the session: its definitions first, so that values find them.

    Raises:
        CodecError: it does not decode, or does not hold in this session.
        UntrustedError: it would run code, and no `code` may run.
    """
    session = task.subject.restoration
    why = await here(lambda: session.prepare(effects_of_cell(node, parts), code=code))
    if not why:
        try:
            result = await sized(size, partial(unpack_cell, node, parts, task.inputs, code=code))
        except BaseException:
            session.abandon()
            raise
        why = await here(lambda: session.restore(result))
    if why:
        raise CodecError(why)
    return result


async def _within_budget(function: Callable[..., T], *args: Any) -> T:
    """Call `function` here while it is quick, else in a thread."""
    try:
        return function(*args, budget=INLINE_BYTES)
    except BudgetExceeded:
        with settings.carried():
            return await in_thread(function, *args, budget=None)


def _pack(task: Task, outcome: Outcome, *, budget: int | None) -> Package:
    if task.kind is TaskKind.CELL:
        if budget is not None:
            raise BudgetExceeded
        return pack_cell(outcome.value, task.inputs)
    try:
        return pack_value(
            outcome.value, value_fingerprint=fingerprint(outcome.value, budget=budget)
        )
    except FingerprintError:
        if budget is not None:
            raise BudgetExceeded from None
        return pack_value(outcome.value, value_fingerprint="")


def _note_key(task: Task) -> str:
    """Tasks of one name are told apart by their code's name alone: it is the code that changes."""
    subject = task.id.partition("@")[0] if task.kind is TaskKind.FUNCTION else task.name
    return f"latest {task.kind.value} {subject}"
