"""Results given to other people and taken from them, by CID or in a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cascade_nb.arguments import called, checked_path
from cascade_nb.calls import Call
from cascade_nb.config import engine, settings
from cascade_nb.errors import ConfigurationError
from cascade_nb.exchange import giving, taking
from cascade_nb.exchange.giving import Unsigned
from cascade_nb.meter import Meter
from cascade_nb.policies.belief import Claim
from cascade_nb.protocols import KeepsBytes, Progress
from cascade_nb.records import Entry


async def share(x: Any, *, progress: Progress | None = None) -> str:
    """Sign a result, and pin it on the IPFS nodes of the session's store, if it has any.

    Args:
        x: a `Call`, which is awaited where its result is not stored; an `Entry`; the text of a CID
            or key that the store has; or any other value. A text is shared in a list.
        progress: told of the bytes that have been uploaded; by default a line on a terminal or
            below a cell tells, where it takes longer than a second.

    Returns:
        The CID of the signed record, from which `load` gets the value.

    Raises:
        ConfigurationError: a text is neither a CID nor a key, or the store has nothing of it.
        CodecError: the value has no exact encoding.
        BackendError: a node does not take and pin it.
    """
    store = session_store()
    claim = await _claim(store, x)
    with _told(progress, "uploading") as told:
        await giving.publish(store, claim, progress=told)
    return claim.entry.record_cid


async def load(cid: str, *, progress: Progress | None = None) -> Any:
    """The value that somebody has shared, from the first source that has it.

    The store is asked first, then its IPFS nodes, then the gateways of `configure(gateways=...)`.
    All that comes is hashed before it is read, and kept in the store.

    Args:
        cid: of a record or a result, in any multibase, or as ``ipfs://CID`` or ``/ipfs/CID``.
        progress: told of the bytes that have come; by default as for `share`.

    Returns:
        The value; of a cell, a dict of the names that it bound.

    Raises:
        ConfigurationError: `cid` is none.
        UntrustedError: it would run code of somebody who is not trusted with that.
        IntegrityError: what came is not what the CID says, or not all of it.
        CodecError: it does not decode here.
        BackendError: nobody has it, or nothing has come for 30 s.
    """
    if not isinstance(cid, str):
        raise ConfigurationError(f"a CID is a text, not {called(cid)}")
    gateways = settings().gateways
    with _told(progress, "loading") as told:
        loaded = await taking.load(session_store(), cid, gateways=gateways, progress=told)
    return loaded.value


async def export(x: Any, path: str | os.PathLike[str]) -> str:
    """Write a result and its signed record to a CAR file, for who shares no store with you.

    Args:
        x: as for `share`; of the CID of a result, your newest record is taken, or one is signed.
        path: the file, which is replaced as a whole.

    Returns:
        The CID of the record, the file's one root.

    Raises:
        ConfigurationError: as for `share`, or the file cannot be written.
        CodecError: the value has no exact encoding.
    """
    file = checked_path("export writes to the path of a file, such as 'result.car'", path)
    store = session_store()
    claim = await _claim(store, x)
    await giving.export(store, [claim], file)
    return claim.entry.record_cid


async def import_(path: str | os.PathLike[str]) -> list[str]:
    """Take all that a CAR file holds into the session's store; or, if anything is wrong, nothing.

    Results in it are hits once their signer is trusted; `load` gives them by CID.

    Args:
        path: a CAR of version 1 or 2, with its blocks in any order.

    Returns:
        The CIDs of its roots.

    Raises:
        ConfigurationError: the file cannot be read.
        IntegrityError: it is no CAR, something is missing, or is not what it claims to be.
        BackendError: the store does not take it.
    """
    file = checked_path("import_ reads the path of a CAR file", path)
    return list((await taking.import_(session_store(), file)).roots)


def session_store() -> KeepsBytes:
    """What the session's engine keeps its results in.

    Raises:
        ConfigurationError: its policy keeps none.
    """
    store = getattr(engine().policy, "store", None)
    if not isinstance(store, KeepsBytes):
        raise ConfigurationError("the session's policy keeps nothing that could be shared")
    return store


@contextmanager
def _told(progress: Progress | None, what: str) -> Iterator[Progress | None]:
    """Who is told of the bytes that come and go: whom the caller named, else whoever looks on."""
    looked_on = "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
    if progress is not None or not looked_on:
        yield progress
        return
    with Meter(what) as meter:
        yield meter


async def _claim(store: KeepsBytes, x: Any) -> Claim:
    if isinstance(x, Call):
        return await _claim_of_call(store, x)
    if isinstance(x, Entry):
        return await giving.of_entry(store, x)
    if isinstance(x, str):
        return await giving.claim(store, await giving.find(store, x))
    return await giving.sign(store, Unsigned(x))


async def _claim_of_call(store: KeepsBytes, call: Call[Any]) -> Claim:
    """The record of a call's result; one for the bare value where it could not be stored."""
    entry = await call.entry()
    if entry is None:
        value = await call
        entry = await call.entry()
        if entry is None:
            return await giving.sign(store, Unsigned(value, call.__name__))
    try:
        return await giving.of_entry(store, entry)
    except ConfigurationError:  # in a store of the function's own
        return await giving.sign(store, Unsigned(await call, call.__name__))
