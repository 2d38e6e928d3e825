"""Claims that are found in a store: whose they are, and why one is believed or not."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Hashable
from dataclasses import dataclass, replace

from cascade_nb import provenance
from cascade_nb.content.cid import dag_cbor_cid
from cascade_nb.errors import IntegrityError, warn_once
from cascade_nb.protocols import Bytes
from cascade_nb.provenance import Origin
from cascade_nb.records import CLOCK_SKEW, Entry, Record
from cascade_nb.surface import trusting
from cascade_nb.wording import one_line

# Beside the records of results, a store keeps those that were brought there under their own CIDs.
ADOPTED = "record:"
_SHORT_DIGEST = 16


class NotBelievedError(IntegrityError):
    """What lies there is no answer: a stranger's, damaged, or true no more; it says why."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A verified record, what people see of it, and whose word it is.

    `place` is the row in which it was found, `version` the store's at that time.
    """

    record: Record
    entry: Entry
    origin: Origin
    place: str = ""
    version: Hashable | None = None


def claim_in(envelope: Bytes, place: str = "", version: Hashable | None = None) -> Claim | None:
    """The claim in an envelope from the row `place`; None where that is damaged."""
    judged = provenance.judge(envelope)
    if judged is None:
        return None
    record, origin = judged
    return Claim(record, entry_of(record), origin, place, version)


def judged_anew(claim: Claim) -> Claim:
    """`claim` with what its signer is trusted with by now."""
    return replace(claim, origin=provenance.origin_of(claim.record))


def entry_of(record: Record) -> Entry:
    """What people see of a record."""
    return Entry(
        key=record.key,
        cid=record.result,
        record_cid=dag_cbor_cid(record.to_bytes()),
        kind=record.kind,
        name=record.name,
        created=record.created,
        ttl=record.ttl,
        seconds=record.seconds,
        size=record.size,
        needs_code=record.needs_code,
        outputs=record.outputs,
        producer=record.producer,
    )


@functools.lru_cache(maxsize=256)
def _short_digest(signer: str) -> str:
    return hashlib.sha256(signer.encode()).hexdigest()[:_SHORT_DIGEST]


def beside(key: str, signer: str) -> str:
    """The row for what `signer` claims of `key` where the row `key` is somebody else's."""
    return f"{key}:{_short_digest(signer)}"


def places_of(entry: Entry) -> tuple[str, str, str]:
    """The rows in which a record may lie."""
    return entry.key, beside(entry.key, entry.producer), ADOPTED + entry.record_cid


def why_not_believed(claim: Claim) -> str:
    """Why this user does not take a claim's word; empty where they do."""
    origin, record = claim.origin, claim.record
    signer = one_line(origin.signer)
    if not origin.data:
        command = trusting(record.producer, code=record.needs_code)
        return f"stored by {signer}, who is not trusted; to be served it, run: {command}"
    if record.needs_code and not origin.code:
        return untrusted_code(claim, "loading it would run code")
    if signer and record.created > time.time() + CLOCK_SKEW:
        return f"stored by {signer}, and dated in the future"
    return ""


def untrusted_code(claim: Claim, why: str) -> str:
    """Why one who is trusted with data alone is not served what goes further, and what would."""
    return (
        f"stored by {one_line(claim.origin.signer)}, who is trusted with data only, and {why}; "
        f"to be served it, run: {trusting(claim.record.producer, code=True)}"
    )


def warn_of_difference(record: Record, origin: Origin, there: Claim) -> None:
    """Say so where two who are trusted claim different results of the same computation."""
    other = there.record
    # Code has no one encoding, and other files give other results.
    if other.needs_code or record.needs_code or other.reads != record.reads:
        return
    if record.result == other.result or origin.signer == there.origin.signer:
        return
    if not origin.data or why_not_believed(there):
        return
    mine, theirs = _possessive(origin), _possessive(there.origin)
    warn_once(
        f"{one_line(record.name, 60)} has two results: {record.result} is {mine}, {other.result} "
        f"is {theirs}; {theirs if origin.signer else mine} stays",
        ("two results", record.key),
    )


def _possessive(origin: Origin) -> str:
    return f"that of {one_line(origin.signer)}" if origin.signer else "yours"
