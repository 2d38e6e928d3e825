"""Records that were found in a far store, on their way to the nearer ones."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import libipld

from cascade_nb import provenance
from cascade_nb.content import dag_cbor
from cascade_nb.content.cid import DAG_CBOR, codec_of, parse, to_text
from cascade_nb.errors import BackendError, ContentTooLargeError, IntegrityError, warn_once
from cascade_nb.protocols import Bytes, KeepsBytes

T = TypeVar("T")


@dataclass(eq=False, slots=True)
class Arrival:
    """A record that was found far, until its contents have come near."""

    key: str
    envelope: bytes
    nearer: Sequence[KeepsBytes]
    root: str | None
    missing: set[str] = field(default_factory=set)
    contents: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, key: str, envelope: bytes, nearer: Sequence[KeepsBytes]) -> Arrival | None:
        """The arrival of what an envelope claims; None where it claims nothing that we know."""
        claim = _claim(envelope)
        if claim is None:
            return None
        if "data" in claim:  # a small value of the public face lies in its claim
            return cls(key, envelope, nearer, None)
        root = claim.get("result", claim.get("cid"))
        try:
            name = libipld.encode_cid(root) if isinstance(root, bytes) else root
        except ValueError:
            return None
        return cls(key, envelope, nearer, name, {name}) if isinstance(name, str) else None

    def note(self, cid: str, data: Bytes) -> None:
        """A content has come; a cell's node says which others are needed."""
        self.missing.discard(cid)
        self.contents.append(cid)
        if codec_of(parse(cid)) == DAG_CBOR:
            self.missing.update(_links(data).difference(self.contents))

    async def land(self) -> None:
        """All has come: the nearer stores get the record, for what is left of its ttl."""
        ttl = seconds_left(self.envelope)
        if ttl is not None and ttl <= 0:
            return
        for tier in self.nearer:
            write = tier.write_record(self.key, self.envelope, ttl, contents=self.contents)
            await tried(write, [])


def seconds_left(envelope: bytes) -> float | None:
    """How many seconds of its ttl an envelope has left; None where it has no ttl."""
    claim = _claim(envelope) or {}
    created, ttl = claim.get("created"), claim.get("ttl")
    if not isinstance(created, float) or not isinstance(ttl, int | float):
        return None
    return created + ttl - time.time()


async def tried(answer: Awaitable[T], failures: list[BackendError]) -> T | None:
    """The answer, or None and a failure more, which is warned of once."""
    try:
        return await answer
    except ContentTooLargeError as error:
        failures.append(error)  # as is known beforehand of a small store before a large one
    except BackendError as error:
        failures.append(error)
        warn_of(error)
    return None


def warn_of(error: BackendError) -> None:
    """Say once that a store fails, which others stand in for."""
    warn_once(f"a store is passed over: {error}", ("outage", error.server))


def _claim(envelope: bytes) -> dict[str, Any] | None:
    """What an envelope of ours or anybody's says, unverified."""
    try:
        tree = libipld.decode_dag_cbor(provenance.bare(envelope))
    except ValueError:
        return None
    return tree if isinstance(tree, dict) else None


def _links(node: Bytes) -> set[str]:
    """The CIDs that a cell's node links; none where it is damaged, which its reader finds."""
    try:
        return set(map(to_text, dag_cbor.links(bytes(node))))
    except IntegrityError:
        return set()
