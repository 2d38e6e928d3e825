"""Records and contents in a store, verified: nothing comes from here that is not what it claims.

Each signer has a row of their own under a key: the first to come has the row of that name, others
lie beside it, so that people who do not believe each other do not take each other's place.

What has been verified is kept near, small and bounded, so that a repeated hit costs little more
than its key. It is used only while the store says that nothing in it has changed since.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from cascade_nb import content, provenance
from cascade_nb.backends.forgetting import FORGOTTEN, forget
from cascade_nb.content.cid import dag_cbor_cid
from cascade_nb.errors import BackendError, IntegrityError, logger
from cascade_nb.loop import in_thread
from cascade_nb.policies.belief import (
    ADOPTED,
    Claim,
    NotBelievedError,
    beside,
    claim_in,
    entry_of,
    judged_anew,
    warn_of_difference,
    why_not_believed,
)
from cascade_nb.policies.near import NEAR_BYTES, Near, Recent
from cascade_nb.policies.packing import Package, contents_of_cell
from cascade_nb.protocols import Bytes, KeepsBytes, Lists, Versions
from cascade_nb.provenance import Origin
from cascade_nb.records import Entry, Record

T = TypeVar("T")

# Hashing and decoding up to this many bytes takes less than a trip to a thread and back.
INLINE_BYTES = 256 * 1024
# A decoded value of one of these types may be handed out again and again.
_UNCHANGEABLE = frozenset({int, float, complex, bool, str, bytes, type(None)})
NO_VALUE: Any = object()


@dataclass(frozen=True, slots=True)
class _Look:
    """What one row has to say: a claim, if it holds one, and what is against it, if anything."""

    claim: Claim | None = None
    why: str = ""

    @property
    def good(self) -> bool:
        return self.claim is not None and not self.why


_NOTHING = _Look()


async def _nothing_against(_record: Record) -> str:
    return ""


class Shelf:
    """The records and contents of one store; its methods raise `BackendError` as the store does."""

    def __init__(self, store: KeepsBytes) -> None:
        self.store = store
        self._near = Near(store) if isinstance(store, Versions) else None
        # Of a store that has to be asked each time: own records by their envelopes, and values by
        # the CID of what they were decoded from. Of these, nothing can change.
        self._read: Recent[Claim] = Recent()
        self._values: Recent[Any] = Recent()
        # Rows beside others that this user was found not to have.
        self._absent: Recent[bool] = Recent()

    async def claim(
        self, key: str, why_not: Callable[[Record], Awaitable[str]] = _nothing_against
    ) -> Claim | None:
        """The best claim under `key`, if there is one: the user's own, else of one who is trusted.

        One row is read where that is the user's own; a second where it is not; and those of all
        who are trusted where neither will do.

        Args:
            key: what is claimed to have a result.
            why_not: says what is against a record that is believed, such as files that changed.

        Raises:
            NotBelievedError: there is none but of strangers, damaged, or such as `why_not` is
                against; the message says what would help.
        """
        first = await self._look(key, key, why_not)
        own = first.claim is not None and not first.claim.origin.signer
        if own and first.good:
            return first.claim
        mine = first if own else await self._beside(key, first, why_not)
        if mine.claim is not None and mine.good:
            if first.claim is not None:
                warn_of_difference(mine.claim.record, mine.claim.origin, first.claim)
            return mine.claim
        if first.good:
            return first.claim
        if first.why:
            for signer in provenance.trusted():
                other = await self._look(beside(key, signer), key, why_not)
                if other.good:
                    return other.claim
        if mine.why or first.why:
            raise NotBelievedError(mine.why or first.why)
        return None

    async def _beside(
        self, key: str, first: _Look, why_not: Callable[[Record], Awaitable[str]]
    ) -> _Look:
        """What this user's own row beside that of `key` has to say, in which `first` was found."""
        found = _NOTHING
        for place in self._own_places(key):
            # Only who was not served has a reason to have come back with a result since.
            if not first.why and self._absent.get(place):
                continue
            look = await self._look(place, key, why_not)
            if look.good:
                return look
            if look.claim is None:
                self._absent.put(place, True)
            elif not found.why:
                found = look
        return found

    async def _look(
        self, place: str, key: str, why_not: Callable[[Record], Awaitable[str]]
    ) -> _Look:
        try:
            claim = await self._at(place)
        except NotBelievedError as error:
            return _Look(why=str(error))
        if claim is None:
            return _NOTHING
        why = why_not_believed(claim)
        if not why and claim.record.key != key:
            why = "a record lies under another key than its own"
        return _Look(claim, why or await why_not(claim.record))

    async def _at(self, place: str) -> Claim | None:
        """The claim in a row, verified, whoever has signed it.

        Raises:
            NotBelievedError: there is something, and it is no claim.
        """
        near = self._near
        version = None if near is None else near.version()
        if near is not None:
            known: Claim | None = near.get(place, version)
            if known is not None:
                # The user may have changed their mind about others since.
                return judged_anew(known) if known.origin.signer else known
        envelope = await self.store.read_record(place)
        if envelope is None or envelope == FORGOTTEN:
            return None
        if near is None:
            claim = self._read_again(envelope, place)
        else:
            claim = claim_in(envelope, place, version)
        if claim is None:
            raise NotBelievedError("what is stored was not stored by you, or is damaged")
        if near is not None and len(envelope) <= NEAR_BYTES:
            near.put(place, version, claim)
        return claim

    def _read_again(self, envelope: bytes, place: str) -> Claim | None:
        """The claim in `envelope`; what is this user's own and came before is not taken apart."""
        known: Claim | None = self._read.get((place, envelope))
        if known is not None and provenance.unseal(envelope) is not None:
            return known
        claim = claim_in(envelope, place)
        if claim is not None and not claim.origin.signer and len(envelope) <= NEAR_BYTES:
            self._read.put((place, envelope), claim)
        return claim

    async def claim_of(self, record_cid: str) -> Claim | None:
        """The claim whose record has that CID, whoever has signed it.

        A stranger's as well, and an expired one: only its `origin` says what it is good for.
        """
        envelope = await self.store.read_record(ADOPTED + record_cid)
        if envelope and _holds(envelope, record_cid):
            return claim_in(envelope)
        if isinstance(self.store, Lists):
            async for _, listed in self.store.records():
                if _holds(listed, record_cid):
                    return claim_in(listed)
        return None

    async def content(self, cid: str, claim: Claim) -> Bytes:
        """The content named `cid` that `claim` leads to, writable unless it is small.

        Raises:
            IntegrityError: it is gone, or is not what its CID says.
        """
        near = self._near
        if near is not None:
            known: bytes | None = near.get(cid, claim.version)
            if known is not None:
                return known
        data = await self.store.read_content(cid)
        if data is None:
            raise IntegrityError(f"the content {cid} is gone")
        size = memoryview(data).nbytes
        if not await sized(size, content.verify, cid, data):
            raise IntegrityError(f"the content {cid} is not what its CID says")
        if near is None or size > NEAR_BYTES:
            return data
        kept = bytes(data)
        near.put(cid, claim.version, kept)
        return kept

    def value(self, claim: Claim) -> Any:
        """The value of a claim that `keep_value` was told of, or NO_VALUE."""
        if self._near is None:
            return self._values.get((claim.record.result, claim.origin.code), NO_VALUE)
        return self._near.get(_value_name(claim), claim.version, NO_VALUE)

    def keep_value(self, claim: Claim, value: Any) -> None:
        """Keep a decoded value near, if it is such that nobody can change it."""
        if type(value) not in _UNCHANGEABLE:
            return
        if self._near is not None:
            self._near.put(_value_name(claim), claim.version, value)
        elif claim.record.size <= NEAR_BYTES:
            self._values.put((claim.record.result, claim.origin.code), value)

    async def put(self, record: Record, package: Package) -> Entry:
        """Store content first, the record last, so that a record's content is always there.

        Raises:
            ConfigurationError: the key that was chosen to sign cannot.
        """
        signed = await in_thread(provenance.sign_record, record)
        for cid, pieces in package.contents.items():
            await self.store.write_content(cid, pieces)
        place, there = record.key, await self._standing(record.key)
        if there is not None and there.origin.signer:
            # Somebody may be served it, so it stays.
            warn_of_difference(signed, Origin(), there)
            place = beside(record.key, signed.producer)
        await self.store.write_record(
            place, provenance.seal(signed.to_bytes()), record.ttl, contents=tuple(package.contents)
        )
        self._absent.pop(place)
        if there is None:
            await self._clean_up(record.key)
        return entry_of(signed)

    async def _clean_up(self, key: str) -> None:
        """Remove own rows from when that of `key` was another's: none may outlive what is newer.

        The newer one is in the store by now, and served first, whatever fails here.
        """
        for older in self._own_places(key):
            if self._absent.get(older):
                continue
            try:
                await forget(self.store, older)
            except BackendError as error:
                logger.info("what may lie at %s was not removed: %s", older, error)

    def _own_places(self, key: str) -> list[str]:
        return [beside(key, own) for own in provenance.own_keys()]

    async def adopt(self, data: bytes) -> Entry:
        """Keep a record from elsewhere, whose contents are in the store by now.

        It is found by its own CID from then on; and under its key, unless a believed one lies
        there: this user's own comes before any other's.

        Raises:
            IntegrityError: it is no record, its signer has not signed it as it is, or its content
                is not there.
        """
        record, origin = provenance.judge_record(data)
        entry = entry_of(record)
        seal = provenance.seal_imported if origin.signer else provenance.seal
        envelope = seal(data)
        contents = await self._contents_of(record)
        now = time.time()
        good = not record.expired(now)
        left = record.created + record.ttl - now if record.ttl is not None and good else None
        await self.store.write_record(ADOPTED + entry.record_cid, envelope, left, contents=contents)
        place = await self._place_for_adopted(record, origin) if good else None
        if place is not None:
            await self.store.write_record(place, envelope, left, contents=contents)
            self._absent.pop(place)
        return entry

    async def _place_for_adopted(self, record: Record, origin: Origin) -> str | None:
        """Where a record from elsewhere is to lie under its key; None where there is no need."""
        for place in (record.key, beside(record.key, record.producer)):
            there = await self._standing(record.key, place)
            if there is None:
                return place
            warn_of_difference(record, origin, there)
            believed = not why_not_believed(there)
            if believed and (origin.signer or not there.origin.signer):
                return None
            if there.record.producer == record.producer:
                return place
        return None

    async def _standing(self, key: str, place: str = "") -> Claim | None:
        """The claim of `key` in a row, by default in its own, that somebody may be served."""
        try:
            claim = await self._at(place or key)
        except NotBelievedError:
            return None
        if claim is None or claim.record.key != key or claim.record.expired(time.time()):
            return None
        return claim

    async def _contents_of(self, record: Record) -> tuple[str, ...]:
        """The CIDs of all that a record leads to."""
        cids = [record.result]
        if record.kind == "cell":
            node = await self.store.read_content(record.result)
            if node is None or not content.verify(record.result, node):
                raise IntegrityError(f"the content {record.result} is gone or damaged")
            cids += contents_of_cell(node)
        return tuple(cids)

    async def drop(self, key: str) -> bool:
        """Remove what this user would be served under `key`; whether there was anything.

        That is their own; only where there is none, it is another's whom they trust.
        """
        dropped = False
        for place in (key, *self._own_places(key)):
            there = await self._standing(key, place)
            if there is None or not there.origin.signer:
                dropped = await forget(self.store, place) or dropped
        if dropped:
            return True
        for place in (key, *(beside(key, signer) for signer in provenance.trusted())):
            there = await self._standing(key, place)
            if there is not None and not why_not_believed(there):
                return await forget(self.store, place)
        return False

    async def discard(self, claim: Claim) -> bool:
        """Remove a claim that was found here and proved to be none; whether it was still there."""
        return await forget(self.store, claim.place)


def _value_name(claim: Claim) -> str:
    # What code has decoded is no value of one who is trusted with data.
    return f"value {claim.origin.code:d} {claim.record.result}"


def _holds(envelope: bytes, record_cid: str) -> bool:
    return dag_cbor_cid(provenance.bare(envelope)) == record_cid


async def sized(size: int, function: Callable[..., T], *args: Any) -> T:
    """Call `function`, which works on `size` bytes, here or, where that would hold up, a thread."""
    if size <= INLINE_BYTES:
        return function(*args)
    return await in_thread(function, *args)
