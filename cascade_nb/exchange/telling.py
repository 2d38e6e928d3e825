"""What people are told of what they share and take; each surface shows it in its own way."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from cascade_nb import catalog
from cascade_nb.catalog import Row, trusts
from cascade_nb.exchange.claims import CELL, is_shown
from cascade_nb.exchange.taking import Imported
from cascade_nb.policies.belief import Claim
from cascade_nb.protocols import Collected
from cascade_nb.provenance import Origin
from cascade_nb.records import Entry, Record
from cascade_nb.surface import trusting, typed
from cascade_nb.units import human_size
from cascade_nb.wording import one_line, plural, short_signer, text_table

_SHOWN_OUTPUTS = 6
_SHOWN_SIGNERS = 5
_LONGEST_NOTE = 600


def shared(claim: Claim, nodes: Sequence[str]) -> str:
    """A record's CID, what it contains, where it is pinned, and what the other side pastes."""
    cid = claim.entry.record_cid
    if nodes:
        where = f"pinned on {', '.join(nodes)}"
    else:
        where = f"in your store alone; for a file: {typed(f'export {cid} -o FILE.car')}"
    return "\n".join([cid, contains(claim.record), where, *_instructions([claim])])


def exported(claims: Sequence[Claim], path: str, size: int) -> str:
    """What a CAR file holds, and what the other side pastes."""
    lines = [f"{claim.entry.record_cid}  {contains(claim.record)}" for claim in claims]
    lines.append(f"written to {one_line(path)}, {human_size(size)}")
    name = shlex.quote(os.path.basename(path))
    return "\n".join([*lines, *_instructions(claims, typed(f"import {name}"))])


def imported(found: Imported) -> str:
    """What has come with a CAR file, whose it is, and what it would take to be served it."""
    signed = {claim.entry.record_cid: claim for claim in found.claims}
    lines = [_came(root, signed.get(root)) for root in found.roots]
    came = text_table(("name", "kind", "size", "from", "CID"), lines, right=("size",))
    refused = [(c.entry, c.origin) for c in signed.values() if not trusts(c.origin, c.entry)]
    return "\n".join([came, *_by_signer(refused), f"imported {plural(len(found.roots), 'root')}"])


def _came(root: str, claim: Claim | None) -> tuple[str, str, str, str, str]:
    if claim is None:
        return "", "content", "", "nobody has signed it", root
    record = claim.record
    kind = record.kind + ", code" * record.needs_code
    size, signer = human_size(record.size), short_signer(claim.origin.signer) or "you"
    return one_line(record.name, 40), kind, size, signer, root


def listed(served: Sequence[Row], others: Sequence[Row]) -> str:
    """A table of what this user would be served, and a line for each signer of what not.

    Of what is served anyway, it does not matter who has it, too.
    """
    known = {row.entry.key for row in served}
    lines = _by_signer((row.entry, row.origin) for row in others if row.entry.key not in known)
    if others and not served:
        return "\n".join(["nothing of yours is stored", *lines])
    entries = (row.entry for row in served)
    return "\n".join([catalog.table(entries, catalog.signers_of(served)), *lines])


def _by_signer(refused: Iterable[tuple[Entry, Origin]]) -> list[str]:
    """A line for each signer of results that this user is not served: how many, and what would."""
    signers: dict[tuple[str, bool], list[Entry]] = {}
    for entry, origin in refused:
        signers.setdefault((origin.signer, entry.needs_code), []).append(entry)
    lines = []
    for (signer, code), entries in list(signers.items())[:_SHOWN_SIGNERS]:
        are, them = ("is", "it") if len(entries) == 1 else ("are", "them")
        lines.append(
            f"{plural(len(entries), 'result')} of {one_line(signer)}"
            + ", stored as code," * code
            + f" {are} not trusted; to be served {them}, run: {_trusting(entries[0])}"
        )
    if len(signers) > _SHOWN_SIGNERS:
        lines.append(f"and others of {plural(len(signers) - _SHOWN_SIGNERS, 'signer')} more")
    return lines


def collected(done: Collected) -> str:
    """What collecting has removed, or what it would free."""
    said = f"removed {plural(done.removed, 'item')}, {human_size(done.freed)}"
    return f"{said}; {one_line(done.note, _LONGEST_NOTE)}" if done.note else said


def contains(record: Record) -> str:
    """A record in a line: name, kind, size and outputs."""
    if record.kind == CELL:
        named = [output for output in record.outputs if not is_shown(output.name)]
        shown = [f"{one_line(o.name, 40)} ({one_line(o.type, 60)})" for o in named]
    else:
        shown = [one_line(output.type, 60) for output in record.outputs]
    more = len(shown) - _SHOWN_OUTPUTS
    if more > 0:
        shown[_SHOWN_OUTPUTS:] = [f"{more} more"]
    what = "code, " if record.needs_code else ""
    return (
        f"{one_line(record.name, 60)}: {what}{record.kind}, {human_size(record.size)}"
        + f", {', '.join(shown)}" * bool(shown)
    )


def _instructions(claims: Sequence[Claim], *first: str) -> list[str]:
    """What the other side pastes to load what is claimed."""
    code = [_trusting(claim.record) for claim in claims if claim.record.needs_code]
    if code:
        said = "the other side pastes, if you are trusted to run code there:"
    else:
        said = "the other side pastes:"
    loads = [typed(f"load {claim.entry.record_cid}") for claim in claims]
    return [said, *first, *dict.fromkeys(code), *dict.fromkeys(loads)]


def _trusting(record: Record | Entry) -> str:
    """What to type to trust a record's signer with what it holds."""
    return trusting(record.producer, code=record.needs_code)


def as_data(claim: Claim, nodes: Sequence[str] = ()) -> dict[str, Any]:
    """A claim as plain data that JSON can hold."""
    return {
        "cid": claim.entry.record_cid,
        "result": claim.entry.cid,
        "name": claim.entry.name,
        "kind": claim.entry.kind,
        "size": claim.entry.size,
        "needs_code": claim.entry.needs_code,
        "signer": claim.origin.signer,
        "producer": claim.entry.producer,
        "pinned": list(nodes),
    }
