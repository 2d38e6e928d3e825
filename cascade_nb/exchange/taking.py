"""What is taken: loaded by its CID from wherever it is, or imported from a CAR file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cascade_nb import provenance
from cascade_nb.backends.base import ValueFace
from cascade_nb.backends.tiered import flat
from cascade_nb.content import cid as cids
from cascade_nb.content import verify
from cascade_nb.errors import (
    BackendError,
    CodecError,
    FingerprintError,
    IntegrityError,
    UntrustedError,
    logger,
    warn_once,
)
from cascade_nb.exchange import archives, giving
from cascade_nb.exchange.archives import Archive
from cascade_nb.exchange.claims import (
    check_contents,
    check_form,
    is_node,
    is_record,
    is_shown,
    parts_of,
)
from cascade_nb.exchange.sources import Sources
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.loop import in_thread
from cascade_nb.policies.belief import Claim, entry_of, places_of
from cascade_nb.policies.packing import unpack_cell, unpack_value
from cascade_nb.policies.shelf import Shelf
from cascade_nb.protocols import Bytes, Forgets, KeepsBytes, Progress
from cascade_nb.provenance import secret
from cascade_nb.records import Record
from cascade_nb.surface import trusting
from cascade_nb.tasks import CellResult
from cascade_nb.wording import one_line

# Content of which the store has no record stays by a row that says nothing but that it is wanted.
_WANTED = "content:"
_SHOWN_TYPES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a CID led to: a value, or what a cell left behind; `claim` is None where nobody signed.

    The value of a cell is a dict of the names that it bound.
    """

    value: Any
    claim: Claim | None
    cell: CellResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """The roots of a CAR file, and the claims among them."""

    roots: tuple[str, ...]
    claims: tuple[Claim, ...]


async def load(
    store: KeepsBytes,
    cid: str,
    *,
    gateways: Sequence[str] = (),
    inputs: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Loaded:
    """The value that the CID of a record or of a result leads to; what was fetched is kept.

    Args:
        store: the user's.
        cid: in any multibase, or as ``ipfs://CID`` or ``/ipfs/CID``.
        gateways: URLs of trustless gateways, asked last.
        inputs: what a session has under names; a cell whose outputs share memory with its inputs
            is loaded with those of them that are what they were.
        progress: told of bytes that come from afar.

    Raises:
        ConfigurationError: `cid` is none.
        UntrustedError: it would run code of somebody who is not trusted with that; nothing of it
            was decoded.
        IntegrityError: what came is not what the CIDs say, or a record is not its signer's.
        CodecError: it does not decode in this session.
        BackendError: nobody has it, or nothing has come for 30 s.
    """
    wanted = cids.normal(cid)
    loading = _Loading(store, Sources(store, gateways), progress)
    claim = await _known(store, wanted) or await loading.claim(wanted)
    if claim is None:
        contents = await loading.contents(wanted)
        try:
            loaded = await _decoded(None, wanted, contents, _Inputs({}, {}))
        except UntrustedError:
            claim = await giving.of_result(store, wanted)
            raise _untrusted(claim) if claim is not None else _unsigned(wanted) from None
        await loading.keep_bare(wanted, contents)
        return loaded
    check_form(claim.record)
    if claim.record.needs_code and not claim.origin.code:
        raise _untrusted(claim)
    contents = await loading.contents(claim.record.result)
    await in_thread(check_contents, claim.record, contents)
    await loading.keep(claim, contents)
    usable = _Inputs(inputs or {}, claim.record.parts)
    return await _decoded(claim, claim.record.result, contents, usable)


async def import_(store: KeepsBytes, path: str | os.PathLike[str]) -> Imported:
    """Keep all that the roots of a CAR file lead to; or, where anything is wrong, nothing.

    Raises:
        ConfigurationError: the file cannot be read.
        IntegrityError: something in it is missing or is not what it claims to be.
        BackendError: the store does not take it.
    """
    archive = await in_thread(archives.read, path)
    # Only with its record, or its row, does content count as kept.
    for cid, data in archive.contents.items():
        await store.write_content(cid, [data])
    shelf = Shelf(store)
    new = [place for place in _places(archive) if await store.read_record(place) is None]
    try:
        for data in archive.records.values():
            await shelf.adopt(data)
        for root, needs in archive.needs.items():
            await _want(store, root, needs)
    except BaseException:
        if isinstance(store, Forgets):
            for place in new:
                await store.delete_record(place)
        raise
    claims = [await shelf.claim_of(cid) for cid in archive.records]
    return Imported(roots=archive.roots, claims=tuple(filter(None, claims)))


def _places(archive: Archive) -> Iterator[str]:
    """The keys under which what came in a CAR file may come to lie."""
    for data in archive.records.values():
        yield from places_of(entry_of(Record.from_bytes(data)))
    for root in archive.needs:
        yield _WANTED + root


async def _known(store: KeepsBytes, cid: str) -> Claim | None:
    """The claim that the store has of a record, or a trusted one of a result, by its CID."""
    try:
        claim = await Shelf(store).claim_of(cid) if is_node(cid) else None
        return claim or await giving.of_result(store, cid, trusted=True)
    except BackendError as error:
        logger.info("the store was passed over for %s: %s", cid, error)
        return None


@dataclass(slots=True)
class _Loading:
    """Gets contents, and knows which of them the store did not have."""

    store: KeepsBytes
    sources: Sources
    progress: Progress | None
    came: dict[str, Bytes] = field(default_factory=dict)
    _adopts: bool = False

    async def claim(self, cid: str) -> Claim | None:
        """The claim in the record of that CID; None where it names something else."""
        if not is_node(cid):
            return None
        block = bytes(await self._content(cid))
        if not is_record(block):
            return None
        record, origin = await in_thread(provenance.judge_record, block)
        self.came.pop(cid, None)
        self._adopts = True
        return Claim(record, entry_of(record), origin)

    async def contents(self, cid: str) -> dict[str, Bytes]:
        """The content of a result, and those that it links where it is a cell's."""
        result = await self._content(cid)
        contents = {cid: result}
        if is_node(cid):
            for part in parts_of(result):
                contents[part] = await self._content(part)
        return contents

    async def keep(self, claim: Claim, contents: Mapping[str, Bytes]) -> None:
        """Keep a record and what came of it in the nearest store that lasts."""
        if not self.came and not self._adopts:
            return
        try:
            store = await self._kept(contents)
            if store is not None:
                await Shelf(store).adopt(claim.record.to_bytes())
        except BackendError as error:
            _warn_not_kept(error)

    async def keep_bare(self, cid: str, contents: Mapping[str, Bytes]) -> None:
        """The same for a result without a record."""
        if not self.came:
            return
        try:
            store = await self._kept(contents)
            if store is not None:
                await _want(store, cid, tuple(contents))
        except BackendError as error:
            _warn_not_kept(error)

    async def _kept(self, contents: Mapping[str, Bytes]) -> KeepsBytes | None:
        """The store that has `contents` now; None where it could not tell them from damage."""
        for cid, data in self.came.items():
            if not await in_thread(verify, cid, data):
                return None  # A file that was cut in another way than ours are.
        store = _nearest_lasting(self.store)
        for cid, data in contents.items():
            # A node may have given what it got from others and does not keep.
            if cid in self.came or not await store.has_content(cid):
                await store.write_content(cid, [data])
        return store

    async def _content(self, cid: str) -> Bytes:
        if cid in self.came:
            return self.came[cid]
        data = await self.sources.near(cid)
        if data is None:
            data = self.came[cid] = await self.sources.fetch(cid, progress=self.progress)
        return data


async def _decoded(
    claim: Claim | None, result: str, contents: Mapping[str, Bytes], inputs: _Inputs
) -> Loaded:
    code = claim is not None and claim.origin.code
    try:
        if not is_node(result):
            value = await in_thread(unpack_value, contents[result], code=code)
            return Loaded(value=value, claim=claim)
        parts = {cid: data for cid, data in contents.items() if cid != result}
        cell = await in_thread(unpack_cell, contents[result], parts, inputs, code=code)
    except UntrustedError:
        if claim is None:
            raise
        raise _untrusted(claim) from None
    except (CodecError, IntegrityError) as error:
        if not inputs.missing:
            raise
        raise CodecError(
            f"{_called(claim, result)} refers to its input `{inputs.missing[0]}`, which is not "
            "here, or not what it was; it loads where that is, and a variable that is shared by "
            "itself loads anywhere"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # A record is its signer's: what it links may be of any form.
        raise IntegrityError(f"{_called(claim, result)} is no cell: {error!r:.200}") from error
    # In the order in which they were bound; DAG-CBOR has its own.
    order = [o.name for o in claim.record.outputs] if claim is not None else []
    names = [n for n in dict.fromkeys((*order, *cell.outputs)) if n in cell.outputs]
    value = {n: cell.outputs[n] for n in names if not is_shown(n)}
    return Loaded(value=value, claim=claim, cell=cell)


class _Inputs(dict[str, Any]):
    """A cell's inputs that a session has and that are what the cell has read; found as asked for.

    `missing` are those that were asked for in vain.
    """

    def __init__(self, session: Mapping[str, Any], parts: Mapping[str, str]) -> None:
        super().__init__()
        self.missing: list[str] = []
        self._session = session
        self._parts = parts

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or super().__contains__(name):
            return isinstance(name, str)
        digest = self._parts.get(f"global {name}")
        try:
            if name in self._session and fingerprint(self._session[name]) == digest:
                self[name] = self._session[name]
                return True
        except FingerprintError:
            pass  # Then it is not what the cell has read.
        self.missing.append(one_line(name, 60))
        return False


async def _want(store: KeepsBytes, root: str, needs: Sequence[str]) -> None:
    row = secret.seal(root.encode(), context=b"content")
    await store.write_record(_WANTED + root, row, None, contents=tuple(needs))


def _nearest_lasting(store: KeepsBytes) -> KeepsBytes:
    """The tier of this machine that outlives the session; the whole store where there is none."""
    near = [part for part in flat(store) if isinstance(part, ValueFace) and not part.remote]
    lasting = (part for part in near if part.lasting)
    return next(lasting, near[0] if near else store)


def _warn_not_kept(error: BackendError) -> None:
    warn_once(f"what was loaded was not kept: {error}", ("load", error.server))


def _untrusted(claim: Claim) -> UntrustedError:
    types = list(dict.fromkeys(one_line(o.type, 60) for o in claim.record.outputs))
    more = ", ..." if len(types) > _SHOWN_TYPES else ""
    return UntrustedError(
        f"{_called(claim, '')} ({', '.join(types[:_SHOWN_TYPES])}{more}) is stored as code by "
        f"{one_line(claim.origin.signer)}, and loading it would run that; "
        f"to let it, run: {trusting(claim.record.producer, code=True)}"
    )


def _unsigned(cid: str) -> UntrustedError:
    return UntrustedError(
        f"{cid} is stored as code by nobody knows whom; load it by the CID of its signed record"
    )


def _called(claim: Claim | None, cid: str) -> str:
    return one_line(claim.record.name, 60) if claim is not None else cid
