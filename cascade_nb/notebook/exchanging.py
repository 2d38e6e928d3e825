"""What the verbs do that give results to others and take theirs."""

from __future__ import annotations

import builtins
import os
from collections.abc import Callable, Mapping
from typing import Any

from cascade_nb.config import settings
from cascade_nb.errors import CodecError, ConfigurationError
from cascade_nb.exchange import giving, revealing, taking, telling
from cascade_nb.exchange.claims import is_shown
from cascade_nb.exchange.taking import Loaded
from cascade_nb.loop import run_sync
from cascade_nb.meter import Meter
from cascade_nb.notebook.bindings import shown_names
from cascade_nb.notebook.grammar import Given
from cascade_nb.notebook.named import cid_named, found
from cascade_nb.notebook.replay import replay
from cascade_nb.notebook.store import session_store
from cascade_nb.policies.belief import Claim
from cascade_nb.protocols import KeepsBytes
from cascade_nb.provenance import distrust, trust, whoami
from cascade_nb.records import Entry
from cascade_nb.wording import one_line


def _share(shell: Any, given: Given) -> None:
    store = session_store()
    given_away = run_sync(found(store, shell, given.text))
    if "--dry-run" in given.options:
        record = giving.record_of(given_away)
        print(revealing.revealed(record, verbose="--verbose" in given.options))
        return
    claim = run_sync(giving.claim(store, given_away))
    if "--car" in given.options:
        _write(store, [claim], given.options["--car"])
        return
    print(run_sync(_published(store, claim)))


def _export(shell: Any, given: Given) -> None:
    if "-o" not in given.options:
        raise ConfigurationError("name the file to write: %cascade export X... -o FILE.car")
    store = session_store()
    claims = [run_sync(_claim(store, shell, word)) for word in given.words]
    _write(store, claims, given.options["-o"])


def _load(shell: Any, given: Given) -> Any:
    name = given.options.get("--as", "")
    if name and not name.isidentifier():
        raise ConfigurationError(
            f"--as takes a name for a variable: {one_line(name, 40)!r} is none"
        )
    store = session_store()
    cid = run_sync(cid_named(store, shell, given.text))
    with Meter("loading") as meter:
        loaded = run_sync(
            taking.load(
                store,
                cid,
                gateways=settings().gateways,
                inputs=shell.user_ns,
                progress=meter,
            )
        )
    if name:
        shell.user_ns[name] = loaded.value
        return None
    if loaded.cell is None:
        return loaded.value
    _bind(shell, loaded)
    return None


def _import(_shell: Any, given: Given) -> None:
    found = run_sync(taking.import_(session_store(), given.text))
    print(telling.imported(found))


def _trust(_shell: Any, given: Given) -> None:
    code = "--code" in given.options
    what = "data and code" if code else "data"
    for name in trust(given.text, code=code):
        print(f"trusted with {what}: {one_line(name)}")


def _distrust(_shell: Any, given: Given) -> None:
    names = distrust(given.text)
    print("\n".join(f"no longer trusted: {one_line(n)}" for n in names) or "nobody was trusted")


def _whoami(_shell: Any, _given: Given) -> None:
    print(whoami())


EXCHANGING: Mapping[str, Callable[[Any, Given], Any]] = {
    "share": _share,
    "load": _load,
    "export": _export,
    "import": _import,
    "trust": _trust,
    "distrust": _distrust,
    "whoami": _whoami,
}


async def share_cell(entry: Entry) -> str:
    """Share what a cell has left; gives what to say of it."""
    store = session_store()
    return await _published(store, await giving.of_entry(store, entry))


async def _published(store: KeepsBytes, claim: Claim) -> str:
    with Meter("uploading") as meter:
        nodes = await giving.publish(store, claim, progress=meter)
    return telling.shared(claim, nodes)


async def _claim(store: KeepsBytes, shell: Any, wanted: str) -> Claim:
    return await giving.claim(store, await found(store, shell, wanted))


def _write(store: KeepsBytes, claims: list[Claim], path: str) -> None:
    run_sync(giving.export(store, claims, path))
    size = os.path.getsize(os.path.expanduser(path))
    print(telling.exported(claims, path, size))


def _bind(shell: Any, loaded: Loaded) -> None:
    """Bind what a cell bound, and show what it showed."""
    assert loaded.cell is not None  # noqa: S101 - of a cell
    names = {n: v for n, v in loaded.value.items() if _may_bind(shell, n)}
    shell.user_ns.update(names)
    outputs = loaded.cell.outputs
    shown = shown_names(sum(map(is_shown, outputs)))
    values = [outputs[n] for n in shown] if all(n in outputs for n in shown) else []
    try:
        replay(shell, loaded.cell.displays, values)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # A record is its signer's: what stands in it for output may be anything.
        raise CodecError(f"its recorded output cannot be shown: {error!r:.200}") from error
    said = ", ".join(map(one_line, names)) or "nothing"
    print(f"bound: {said}")


def _may_bind(shell: Any, name: str) -> bool:
    """Whether a stranger may give this name a value: not one that Python or IPython looks up."""
    return (
        name.isidentifier()
        and not name.startswith("_")
        and name not in shell.user_ns_hidden
        and not hasattr(builtins, name)
    )
