"""What whoever gets a record learns, told before anybody does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from cascade_nb.exchange.claims import CELL
from cascade_nb.records import Record
from cascade_nb.units import human_seconds, human_size
from cascade_nb.wording import one_line

# How long a line of names may become, and how many outputs have a line, where not all is asked for.
_LONGEST_LINE, _MOST_OUTPUTS = 88, 8
_MORE = " more"
# What the parts of a key are, by the first word of their labels, and what they are called here.
_KINDS = {
    "argument": "arguments",
    "global": "globals",
    "closure": "closures",
    "default": "defaults",
    "helper": "helpers",
    "class": "classes",
    "attribute": "attributes",
    "environment": "variables",
    "distribution": "packages",
}


def revealed(record: Record, *, verbose: bool = False) -> str:
    """All that whoever gets a record learns, in lines of a label and a text.

    Names of one kind share a line, which ends in how many more there are; `verbose` has a line for
    each of them.
    """
    lines = [
        ("name", one_line(record.name)),
        ("kind", record.kind + (", stored as code" if record.needs_code else "")),
        ("size", human_size(record.size)),
        ("created", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.created))),
        ("took", human_seconds(record.seconds)),
        ("ttl", "none" if record.ttl is None else human_seconds(record.ttl)),
        ("signer", one_line(record.producer) or "your public key, as `whoami` gives it"),
        ("environment", ", ".join(f"{name} {text}" for name, text in record.environment.items())),
        *_outputs(record, verbose),
    ]
    if record.kind == CELL:
        lines.append(("shown", "what the cell printed and displayed, its figures included"))
    for label, names in _grouped(record).items():
        if verbose:
            lines += _below(label, map(one_line, names))
        else:
            lines.append((label, _together(names)))
    if any(text.endswith(_MORE) for _, text in lines):
        lines.append(("", "with --verbose, all of them"))
    width = max(len(label) for label, _ in lines)
    return "\n".join(f"{label:<{width}}  {one_line(text)}".rstrip() for label, text in lines)


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


def _outputs(record: Record, verbose: bool) -> list[tuple[str, str]]:
    told = [
        f"{one_line(o.name, 40)}: {one_line(o.type, 60)}, {human_size(o.size)}, {o.cid}"
        for o in record.outputs
    ]
    more = len(told) - _MOST_OUTPUTS
    if more > 0 and not verbose:
        told[_MOST_OUTPUTS:] = [f"and {more:,}{_MORE}"]
    return _below("outputs", told)


def _grouped(record: Record) -> dict[str, list[str]]:
    """The names that a record has in it, by what they are names of."""
    kinds: dict[str, list[str]] = {kind: [] for kind in ("key", *_KINDS.values())}
    for part in record.parts:
        kind, _, name = part.partition(" ")
        if name and kind in _KINDS:
            kinds[_KINDS[kind]].append(name)
        else:
            kinds["key"].append(part)
    kinds["files read"] = [*record.reads.files, *record.reads.folders]
    return {kind: names for kind, names in kinds.items() if names}


def _together(names: Sequence[str]) -> str:
    """As many of `names` as fit into a line, and how many others there are."""
    line = ""
    for count, name in enumerate(names):
        longer = f"{line}, {one_line(name, 60)}" if line else one_line(name, 60)
        if line and len(longer) > _LONGEST_LINE:
            return f"{line} and {len(names) - count:,}{_MORE}"
        line = longer
    return line


def _below(label: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    return [("" if index else label, text) for index, text in enumerate(texts)]
