"""What people are told of what they share and take; each surface shows it in its own way."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cascade_nb.exchange.claims import CELL, is_shown
from cascade_nb.exchange.taking import Imported
from cascade_nb.policies.belief import Claim
from cascade_nb.protocols import Collected
from cascade_nb.records import Record
from cascade_nb.units import human_seconds, human_size
from cascade_nb.wording import one_line, plural

_SHOWN_OUTPUTS = 6


def shared(claim: Claim, nodes: Sequence[str], *, command: str) -> str:
    """A record's CID, what it contains, where it is, and what the other side pastes.

    Args:
        claim: what is shared.
        nodes: what it is pinned on.
        command: how the surface's verbs begin, such as ``%cascade``.
    """
    cid = claim.entry.record_cid
    if nodes:
        where = f"pinned on {', '.join(nodes)}"
    else:
        where = f"in your store alone; for a file: {command} export {cid} -o FILE.car"
    return "\n".join([cid, contains(claim.record), where, *_instructions([claim], command)])


def exported(claims: Sequence[Claim], path: str, size: int, *, command: str) -> str:
    """What a CAR file holds, and what the other side pastes."""
    lines = [f"{claim.entry.record_cid}  {contains(claim.record)}" for claim in claims]
    lines.append(f"written to {one_line(path)}, {human_size(size)}")
    name = shlex.quote(os.path.basename(path))
    return "\n".join([*lines, *_instructions(claims, command, f"{command} import {name}")])


def imported(found: Imported, *, command: str) -> str:
    """What has come with a CAR file, whose it is, and what it would take to be served it."""
    signed = {claim.entry.record_cid: claim for claim in found.claims}
    lines = []
    for root in found.roots:
        claim = signed.get(root)
        if claim is None:
            lines.append(f"{root}  content that nobody has signed")
            continue
        by = one_line(claim.origin.signer) or "you"
        lines.append(f"{root}  {contains(claim.record)}, by {by}")
        code = claim.record.needs_code
        if not claim.origin.data or (code and not claim.origin.code):
            lines.append(
                f"  to be served it: {trusting(claim.record, command)}"
                + ("" if code else f"; to load it: {command} load {root}")
            )
    return "\n".join([*lines, f"imported {plural(len(found.roots), 'root')}"])


def collected(done: Collected) -> str:
    """What collecting has removed, or what it would free."""
    said = f"removed {plural(done.removed, 'item')}, {human_size(done.freed)}"
    return f"{said}; {one_line(done.note)}" if done.note else said


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


def _instructions(claims: Sequence[Claim], command: str, *first: str) -> list[str]:
    """What the other side pastes to load what is claimed."""
    code = [trusting(claim.record, command) for claim in claims if claim.record.needs_code]
    if code:
        said = "the other side pastes, if you are trusted to run code there:"
    else:
        said = "the other side pastes:"
    loads = [f"{command} load {claim.entry.record_cid}" for claim in claims]
    return [said, *first, *dict.fromkeys(code), *dict.fromkeys(loads)]


def trusting(record: Record, command: str) -> str:
    """The command that trusts a record's signer with what it holds."""
    return f"{command} trust '{record.producer}'" + " --code" * record.needs_code


def revealed(record: Record) -> list[tuple[str, str]]:
    """All that whoever gets a record learns, in lines of a label and a text."""
    lines = [
        ("name", one_line(record.name)),
        ("kind", record.kind + (", stored as code" if record.needs_code else "")),
        ("size", human_size(record.size)),
        ("created", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.created))),
        ("took", human_seconds(record.seconds)),
        ("ttl", "none" if record.ttl is None else human_seconds(record.ttl)),
        ("signer", one_line(record.producer) or "your public key, as `whoami` gives it"),
        ("environment", _pairs(record.environment)),
    ]
    lines += _listed(
        "output",
        (
            f"{one_line(o.name, 40)}: {one_line(o.type, 60)}, {human_size(o.size)}, {o.cid}"
            for o in record.outputs
        ),
    )
    if record.kind == CELL:
        lines.append(("shown", "what the cell printed and displayed, its figures included"))
    lines += _listed("key part", map(one_line, record.parts))
    reads = {**record.reads.files, **record.reads.folders}
    lines += _listed("file read", map(one_line, reads))
    return lines


def as_lines(labelled: Sequence[tuple[str, str]]) -> str:
    """Labelled texts below each other."""
    width = max((len(label) for label, _ in labelled), default=0)
    return "\n".join(f"{label:<{width}}  {text}".rstrip() for label, text in labelled)


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


def revealed_data(record: Record) -> dict[str, Any]:
    """What `revealed` lists as plain data that JSON can hold."""
    return {
        "name": record.name,
        "kind": record.kind,
        "needs_code": record.needs_code,
        "size": record.size,
        "created": record.created,
        "seconds": record.seconds,
        "ttl": record.ttl,
        "producer": record.producer,
        "environment": dict(record.environment),
        "outputs": [
            {"name": o.name, "type": o.type, "size": o.size, "cid": o.cid} for o in record.outputs
        ],
        "parts": list(record.parts),
        "reads": [*record.reads.files, *record.reads.folders],
    }


def _listed(label: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    return [("" if index else label, text) for index, text in enumerate(texts)]


def _pairs(mapping: Mapping[str, str]) -> str:
    return ", ".join(f"{one_line(k, 40)} {one_line(v, 60)}" for k, v in mapping.items())
