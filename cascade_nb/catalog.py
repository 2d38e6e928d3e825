"""What a store holds, as people ask for it: listed, found by name, CID or key, forgotten."""

from __future__ import annotations

import dataclasses
import difflib
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cascade_nb import provenance
from cascade_nb.backends.tiered import flat
from cascade_nb.content import cid as cids
from cascade_nb.errors import ConfigurationError
from cascade_nb.policies.belief import entry_of, places_of
from cascade_nb.protocols import Collected, Collects, Forgets, Lists, Publishes
from cascade_nb.provenance import Origin
from cascade_nb.records import Entry
from cascade_nb.units import human_seconds, human_size
from cascade_nb.wording import one_line, plural, short_cid, text_table

# A prefix must say something: every CID of ours begins with seven characters that are the same.
_SHORTEST_KEY = 4
_SHORTEST_CID = 8
_SHOWN_CANDIDATES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The part of a store that holds one kind of result; `size` in bytes, `seconds` computed."""

    entries: int = 0
    size: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """How much a store holds.

    `bytes` is what records and content take up in it, `seconds` what the results that it holds
    took to compute, `kinds` both for functions and cells apart.
    """

    entries: int
    bytes: int
    seconds: float
    kinds: Mapping[str, Share] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One record in a store: the key it lies under, what people see of it, and whose it is."""

    place: str
    entry: Entry
    origin: Origin

    @property
    def trusted(self) -> bool:
        """Whether this user would be served it."""
        return trusts(self.origin, self.entry)


def trusts(origin: Origin, entry: Entry) -> bool:
    """Whether the word of `origin` is good for a result."""
    return origin.data and (origin.code or not entry.needs_code)


async def list_rows(store: object, *, having: bytes = b"") -> list[Row]:
    """The records in `store`, newest first; each once for each key that it lies under.

    What is damaged, expired, or lies under a key that is not its own is left out.

    Args:
        store: A store that can be listed.
        having: Bytes that a record has in it, such as a binary CID; others are not looked at.

    Raises:
        ConfigurationError: the store cannot be listed.
        BackendError: the store cannot be read.
    """
    now = time.time()
    rows = []
    async for place, envelope in _lists(store).records():
        if having not in envelope:
            continue
        judged = provenance.judge(envelope)
        if judged is None or judged[0].expired(now):
            continue
        record, origin = judged
        entry = entry_of(record)
        if place in places_of(entry):
            rows.append(Row(place=place, entry=entry, origin=origin))
    return rows


async def list_sides(store: object) -> tuple[list[Row], list[Row]]:
    """The records in `store` that this user would be served, and all others, each once.

    What is damaged or expired is among neither. Raises what `list_rows` raises.
    """
    # An adopted record lies under its own CID, too.
    rows = {row.entry.record_cid: row for row in await list_rows(store)}.values()
    return [row for row in rows if row.trusted], [row for row in rows if not row.trusted]


async def served_rows(store: object) -> list[Row]:
    """The records in `store` that this user would be served, as `list_sides`, newest first."""
    return (await list_sides(store))[0]


async def list_entries(store: object) -> list[Entry]:
    """The results in `store` that this user would be served, as `served_rows`."""
    return [row.entry for row in await served_rows(store)]


def _entries(rows: Iterable[Row]) -> list[Entry]:
    return list({row.entry.record_cid: row.entry for row in rows}.values())


async def find(store: object, wanted: str) -> list[Entry]:
    """The results that `wanted` names: all of one name, or all of one CID, or that of one key.

    Args:
        store: A store that can be listed.
        wanted: A name, of a result or else of a variable that a cell bound; a CID, of the result
            or its record, in any form; a key; or the beginning of a CID or key.

    Raises:
        ConfigurationError: nothing goes by this, or a beginning fits more than one.
        BackendError: the store cannot be read.
    """
    return _choose_rows(await list_rows(store), wanted)


async def find_rows(store: object, wanted: str) -> list[Row]:
    """As `find`, with whose each result is."""
    rows = await list_rows(store)
    by_cid = {row.entry.record_cid: row for row in rows}
    return [by_cid[entry.record_cid] for entry in _choose_rows(rows, wanted)]


def _choose_rows(rows: Collection[Row], wanted: str) -> list[Entry]:
    """What `wanted` names among the trusted, else among all: a CID is a CID, whoever signed."""
    trusted, every = _entries(row for row in rows if row.trusted), _entries(rows)
    try:
        return choose(trusted, wanted)
    except ConfigurationError:
        if len(every) == len(trusted):
            raise
    try:
        return choose(every, wanted)
    except ConfigurationError:
        return choose(trusted, wanted)


def choose(entries: Collection[Entry], wanted: str) -> list[Entry]:
    """Those of `entries` that `wanted` names, as `find` does."""
    named = [entry for entry in entries if entry.name == wanted] or [
        entry
        for entry in entries
        if entry.kind == "cell" and any(output.name == wanted for output in entry.outputs)
    ]
    return named or _identified(entries, wanted)


def _identified(entries: Collection[Entry], wanted: str) -> list[Entry]:
    """Those of `entries` that have the CID or key `wanted`, or one that begins with it."""
    text = _canonical(wanted)
    lookups: tuple[tuple[Callable[[Entry], str], int], ...] = (
        (lambda entry: entry.cid, _SHORTEST_CID),
        (lambda entry: entry.record_cid, _SHORTEST_CID),
        (lambda entry: entry.key, _SHORTEST_KEY),
    )
    found = [
        (identity(entry), entry)
        for identity, shortest in lookups
        for entry in entries
        if len(text) >= shortest and identity(entry).startswith(text)
    ]
    if not found:
        raise ConfigurationError(_unknown(entries, wanted))
    distinct = list({entry.record_cid: entry for _, entry in found}.values())
    if len(distinct) > 1 and len({identity for identity, _ in found}) > 1:
        raise ConfigurationError(_ambiguous(distinct, wanted))
    return distinct


async def forget(store: object, wanted: str) -> list[Entry]:
    """Remove the results that `wanted` names, as for `find`; gives those that were removed.

    What others have stored goes only where none of the user's own is meant, and what those have who
    are not trusted only by CID or key. What was pinned on IPFS nodes to share it is unpinned.
    """
    if not isinstance(store, Forgets):
        raise ConfigurationError(f"nothing can be removed from {describe(store)}")
    rows = await list_rows(store)
    unwanted = {entry.record_cid: entry for entry in _unwanted(rows, wanted)}
    removed = {
        row.entry.record_cid
        for row in rows
        if row.entry.record_cid in unwanted and await store.delete_record(row.place)
    }
    for node in flat(store):
        if isinstance(node, Publishes):
            for cid in removed:
                await node.unpublish(cid)
    return [entry for cid, entry in unwanted.items() if cid in removed]


def _unwanted(rows: Collection[Row], wanted: str) -> list[Entry]:
    trusted = _entries(row for row in rows if row.trusted)
    for entries in (_entries(row for row in rows if not row.origin.signer), trusted):
        with suppress(ConfigurationError):
            return choose(entries, wanted)
    with suppress(ConfigurationError):
        return _identified(_entries(rows), wanted)
    return choose(trusted, wanted)


def signers_of(rows: Iterable[Row]) -> dict[str, str]:
    """Who computed each result, by record CID; the user's own have an empty name."""
    return {row.entry.record_cid: row.origin.signer for row in rows}


async def clear(store: object) -> int:
    """Remove everything from `store`; gives how many results there were."""
    if not isinstance(store, Forgets):
        raise ConfigurationError(f"nothing can be removed from {describe(store)}")
    return await store.clear()


async def collect(store: object) -> Collected:
    """Remove what nothing needs from every part of `store` that does not do so by itself.

    Raises:
        BackendError: one of them fails.
    """
    done = [await part.collect() for part in flat(store) if isinstance(part, Collects)]
    if not done:
        note = f"{describe(store)} removes what nothing needs by itself"
        return Collected(removed=0, freed=0, note=note)
    return Collected(
        removed=sum(each.removed for each in done),
        freed=sum(each.freed for each in done),
        note="; ".join(each.note for each in done if each.note),
    )


async def stats(store: object) -> Stats:
    """How much `store` holds. Raises what `list_entries` raises."""
    entries = await list_entries(store)
    kinds: dict[str, list[Entry]] = {}
    for entry in entries:
        kinds.setdefault(entry.kind, []).append(entry)
    return Stats(
        entries=len(entries),
        bytes=await _lists(store).size(),
        seconds=sum(entry.seconds for entry in entries),
        kinds={
            kind: Share(
                entries=len(members),
                size=sum(entry.size for entry in members),
                seconds=sum(entry.seconds for entry in members),
            )
            for kind, members in sorted(kinds.items())
        },
    )


def table(entries: Iterable[Entry], signers: Mapping[str, str] | None = None) -> str:
    """A text table of `entries`, a line each; `signers` names those of others, by record CID."""
    now = time.time()
    signers = {cid: signer for cid, signer in (signers or {}).items() if signer}
    header = ("name", "kind", "CID", "size", "took", "age", "ttl", *["from"] * bool(signers))
    rows = [
        (
            one_line(entry.name, 40),
            entry.kind,
            short_cid(entry.cid),
            human_size(entry.size),
            human_seconds(entry.seconds),
            human_seconds(max(0, round(now - entry.created))),
            "" if entry.ttl is None else human_seconds(entry.ttl),
            *[one_line(signers.get(entry.record_cid, ""), 40)] * bool(signers),
        )
        for entry in entries
    ]
    if not rows:
        return "nothing is stored"
    return text_table(header, rows, right=("size", "took", "age", "ttl"))


def details(entry: Entry, signer: str = "") -> str:
    """All there is to say of one result, in lines of "label  text"; `signer` of another's."""
    lines = [
        ("name", one_line(entry.name)),
        ("kind", entry.kind + (", stored as code" if entry.needs_code else "")),
        ("CID", entry.cid),
        ("record", entry.record_cid),
        ("key", entry.key),
        ("size", human_size(entry.size)),
        ("took", human_seconds(entry.seconds)),
        ("created", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.created))),
        ("ttl", "none" if entry.ttl is None else human_seconds(entry.ttl)),
        ("producer", one_line(entry.producer) or "not signed"),
        *[("from", one_line(signer))] * bool(signer),
    ]
    lines += [
        (
            "output" if index == 0 else "",
            f"{one_line(output.name, 40)}: {one_line(output.type, 60)}, "
            f"{human_size(output.size)}, {output.cid}",
        )
        for index, output in enumerate(entry.outputs)
    ]
    return "\n".join(f"{label:<8}  {text}" for label, text in lines)


def summary(held: Stats) -> str:
    """`held` in a line, and one for each kind of result."""
    lines = [
        f"{plural(held.entries, 'result')}, {human_size(held.bytes)}; "
        f"{human_seconds(held.seconds)} of computing are kept"
    ]
    lines += [
        f"  {plural(share.entries, kind)}: {human_size(share.size)}, {human_seconds(share.seconds)}"
        for kind, share in held.kinds.items()
    ]
    return "\n".join(lines)


def as_data(described: Row | Stats | Collected) -> dict[str, Any]:
    """The same as plain data that JSON can hold."""
    if isinstance(described, Row):
        return {**dataclasses.asdict(described.entry), "signer": described.origin.signer}
    return dataclasses.asdict(described)


def describe(store: object) -> str:
    """What `store` is called in a message; a server by its URL, without credentials."""
    server = getattr(store, "server", "")
    text = server if server and isinstance(server, str) else repr(store)
    return type(store).__name__ if text.startswith("<") else one_line(text, 120)


def _lists(store: object) -> Lists:
    if not isinstance(store, Lists):
        raise ConfigurationError(f"what is in {describe(store)} cannot be listed")
    return store


def _canonical(wanted: str) -> str:
    """`wanted` as CIDs and keys are written here, where it is one of them or its beginning."""
    try:
        return cids.normal(wanted)
    except ConfigurationError:
        beginning = wanted.strip().removeprefix("ipfs://").removeprefix("/ipfs/")
        return beginning.removesuffix("…").lower()


def _unknown(entries: Collection[Entry], wanted: str) -> str:
    shown = one_line(wanted, 60)
    names = {entry.name for entry in entries}
    close = difflib.get_close_matches(wanted, names, n=_SHOWN_CANDIDATES, cutoff=0.5)
    if not entries:
        return f"nothing is stored, so nothing goes by {shown!r}"
    if not close:
        return f"nothing stored goes by {shown!r}; `ls` lists what there is"
    return f"nothing stored goes by {shown!r}; close: {', '.join(one_line(n, 40) for n in close)}"


def _ambiguous(entries: Collection[Entry], wanted: str) -> str:
    named = [f"{one_line(entry.name, 40)} ({short_cid(entry.cid)})" for entry in entries]
    more = len(named) - _SHOWN_CANDIDATES
    shown = ", ".join(named[:_SHOWN_CANDIDATES]) + (f" and {more} more" if more > 0 else "")
    return f"{one_line(wanted, 60)!r} fits {len(named)} results: {shown}"
