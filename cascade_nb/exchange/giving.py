"""What is given: a signed record that the store has, or one made for a value."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cascade_nb import __version__, catalog, codecs
from cascade_nb.backends.tiered import flat
from cascade_nb.content import cid as cids
from cascade_nb.content import verify
from cascade_nb.content.dag import record_blocks
from cascade_nb.errors import ConfigurationError, IntegrityError, UntrustedError
from cascade_nb.exchange.archives import Writer
from cascade_nb.exchange.claims import CELL, VALUE, is_node, parts_of
from cascade_nb.fingerprint.keys import key_from_parts
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.loop import in_thread
from cascade_nb.policies.belief import Claim, NotBelievedError
from cascade_nb.policies.packing import Package, pack_value
from cascade_nb.policies.shelf import Shelf
from cascade_nb.protocols import Bytes, Flushes, KeepsBytes, Lists, Progress, Publishes
from cascade_nb.records import Entry, Reads, Record
from cascade_nb.wording import one_line

_KEY = re.compile(r"[0-9a-fA-F]{64}")
# A node's user sees the names of its pins, and nodes take at most 255 bytes.
_PIN, _LONGEST_PIN_NAME = "cascade-nb shared", 50


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A value that no record claims so far, and what to call it."""

    value: Any
    name: str = ""


async def find(store: KeepsBytes, wanted: str) -> Claim | Unsigned:
    """What a key or a CID names: a record, by its own CID or that of its result.

    Of several records of one result, the user's own come first, then the newest. Where there is
    content of that CID but no record, its value is given.

    Raises:
        ConfigurationError: it is neither a key nor a CID, or the store has nothing of that name.
        UntrustedError: the content would run code, and nobody who is trusted says whose it is.
    """
    text = wanted.strip()
    if _KEY.fullmatch(text):
        return await _under_key(store, text.lower())
    try:
        cid = cids.normal(text)
    except ConfigurationError:
        raise ConfigurationError(
            f"{one_line(wanted, 60)!r} is neither a CID nor a key; share a text in a list"
        ) from None
    claim = await Shelf(store).claim_of(cid) if is_node(cid) else None
    claim = claim or await of_result(store, cid)
    if claim is not None:
        return claim
    content = None if is_node(cid) else await store.read_content(cid)
    if content is None or not await in_thread(verify, cid, content):
        raise ConfigurationError(f"the store has nothing under {cid}")
    return Unsigned(await _plain_value(cid, content))


async def find_for_people(store: KeepsBytes, wanted: str) -> Claim | Unsigned:
    """As `find`, by a name or the beginning of a CID or key as well; of one name the newest.

    Raises what `find` and `catalog.find` raise.
    """
    if is_identity(wanted):
        return await find(store, wanted)
    return await of_entry(store, (await catalog.find(store, wanted))[0])


async def cid_for_people(store: object, wanted: str) -> str:
    """`wanted` where it is a CID, else that of the newest record that it names in the store.

    Raises what `catalog.find` raises.
    """
    if is_identity(wanted, key=False):
        return wanted
    try:
        return (await catalog.find(store, wanted))[0].record_cid
    except ConfigurationError as error:
        shown = one_line(wanted, 60)
        raise ConfigurationError(f"{shown!r} is not a CID, and {error}") from None


async def claim(store: KeepsBytes, found: Claim | Unsigned) -> Claim:
    """What was found, signed by now; raises as `sign` does."""
    return found if isinstance(found, Claim) else await sign(store, found)


def record_of(found: Claim | Unsigned) -> Record:
    """The record that would be given, not yet signed where there was none; raises as `claimed`."""
    return found.record if isinstance(found, Claim) else claimed(found)[0]


async def of_entry(store: KeepsBytes, entry: Entry) -> Claim:
    """The record that `entry` was made from.

    Raises:
        ConfigurationError: the store has it no more.
    """
    shelf = Shelf(store)
    try:
        claim = await shelf.claim(entry.key)
    except IntegrityError:
        claim = None
    if claim is None or claim.entry.record_cid != entry.record_cid:
        claim = await shelf.claim_of(entry.record_cid)
    if claim is None:
        raise ConfigurationError(f"the store has no more of {one_line(entry.name, 60)!r}")
    return claim


async def of_result(store: KeepsBytes, cid: str, *, trusted: bool = False) -> Claim | None:
    """The best record of a result: the user's own, else that of the one who is trusted most."""
    if not isinstance(store, Lists):
        return None
    listed = await catalog.list_rows(store, having=cids.parse(cid))
    rows = [row for row in listed if row.entry.cid == cid]
    rows = [row for row in rows if row.trusted] if trusted else rows
    if not rows:
        return None
    best = max(rows, key=lambda row: (not row.origin.signer, row.trusted, row.entry.created))
    return await Shelf(store).claim_of(best.entry.record_cid)


async def sign(store: KeepsBytes, unsigned: Unsigned) -> Claim:
    """Store a value with a signed record of its own, unless there is one already.

    Raises:
        CodecError: it has no exact encoding.
        BackendError: the store does not take it.
    """
    record, package = await in_thread(claimed, unsigned)
    shelf = Shelf(store)
    try:
        known = await shelf.claim(record.key)
    except IntegrityError:
        known = None
    if (
        known is not None
        and not known.origin.signer
        and (known.record.result, known.record.name) == (record.result, record.name)
        and await store.has_content(record.result)
    ):
        return known
    return await of_entry(store, await shelf.put(record, package))


def claimed(unsigned: Unsigned) -> tuple[Record, Package]:
    """The record that says of a value no more than what it is, not yet signed, and its package.

    Its key is made of the value's fingerprint, or of its encoding's CID where it has none.

    Raises:
        CodecError: the value has no exact encoding.
    """
    package = pack_value(unsigned.value)
    (output,) = package.outputs
    digest = output.fingerprint or fingerprint(output.cid)
    parts = {"value": digest}
    record = Record(
        kind=VALUE,
        key=key_from_parts(parts).digest,
        result=package.result,
        needs_code=package.needs_code,
        name=unsigned.name or output.type.rpartition(".")[2],
        created=time.time(),
        ttl=None,
        seconds=0.0,
        size=package.size,
        outputs=package.outputs,
        parts=parts,
        reads=Reads(),
        environment={"python": platform.python_version(), "cascade-nb": __version__},
    )
    return record, package


async def publish(
    store: KeepsBytes, claim: Claim, *, progress: Progress | None = None
) -> list[str]:
    """Upload a record with all that it claims to every node of the store, and pin it there.

    Gives what the nodes are called; none where the store has none.

    Raises:
        BackendError: a node does not take and pin it.
        IntegrityError: content is gone from the store, or damaged.
    """
    if isinstance(store, Flushes):
        await store.flush()  # who shares a store has it there, too
    nodes = [part for part in flat(store) if isinstance(part, Publishes)]
    if not nodes:
        return []
    contents = await contents_of(store, claim)
    name = f"{_PIN} {one_line(claim.record.name, _LONGEST_PIN_NAME)}"
    for node in nodes:
        blocks = record_blocks(claim.record.to_bytes(), contents)
        await node.publish(claim.entry.record_cid, blocks, name=name, progress=progress)
    return [catalog.describe(node) for node in nodes]


async def export(store: KeepsBytes, claims: Sequence[Claim], path: str | os.PathLike[str]) -> None:
    """Write records with all that they claim to a CAR file, whose roots they are.

    Raises:
        ConfigurationError: the file cannot be written.
        IntegrityError: content is gone from the store, or damaged.
    """
    roots = list(dict.fromkeys(claim.entry.record_cid for claim in claims))
    writer = await in_thread(Writer, path, roots)
    try:
        for claim in claims:
            contents = await contents_of(store, claim)
            await in_thread(writer.add, record_blocks(claim.record.to_bytes(), contents))
        await in_thread(writer.finish)
    except BaseException:
        writer.discard()
        raise


async def contents_of(store: KeepsBytes, claim: Claim) -> dict[str, Sequence[Bytes]]:
    """All that a record claims, verified; raises `IntegrityError` where something is gone."""
    shelf, record = Shelf(store), claim.record
    result = await shelf.content(record.result, claim)
    contents: dict[str, Sequence[Bytes]] = {record.result: [result]}
    if record.kind == CELL:
        for cid in parts_of(result):
            contents[cid] = [await shelf.content(cid, claim)]
    return contents


def is_identity(text: str, *, key: bool = True) -> bool:
    """Whether `text` is a whole CID or, if that counts, a whole key."""
    try:
        cids.parse(text)
    except ConfigurationError:
        return key and bool(_KEY.fullmatch(text.strip()))
    return True


async def _under_key(store: KeepsBytes, key: str) -> Claim:
    try:
        claim = await Shelf(store).claim(key)
    except NotBelievedError as error:
        raise ConfigurationError(f"nothing of yours lies under {key}: {error}") from None
    if claim is None:
        raise ConfigurationError(f"the store has nothing under the key {key}")
    if claim.record.expired(time.time()):
        raise ConfigurationError(f"the ttl of {one_line(claim.record.name, 60)!r} has passed")
    return claim


async def _plain_value(cid: str, content: Bytes) -> Any:
    """The value of an encoding that nobody has signed; only of data, as code may be anybody's."""
    try:
        return await in_thread(codecs.decode, content, code=False, class_digest=fingerprint)
    except UntrustedError:
        raise UntrustedError(
            f"{cid} would have to run code, and no record in the store says whose it is"
        ) from None
