"""What the verbs of the line magic do; `verbs` says how they are typed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from cascade_nb import catalog
from cascade_nb.config import configure
from cascade_nb.exchange import telling
from cascade_nb.loop import run_sync
from cascade_nb.notebook import ledger
from cascade_nb.notebook.exchanging import EXCHANGING
from cascade_nb.notebook.grammar import Given
from cascade_nb.notebook.named import forget_named, rows_named
from cascade_nb.notebook.store import session_store
from cascade_nb.records import Entry
from cascade_nb.wording import one_line, plural


def stored_entries() -> list[Entry]:
    """What the session's store holds, newest first."""
    return run_sync(catalog.list_entries(session_store()))


def _ls(_shell: Any, _given: Given) -> None:
    print(telling.listed(*run_sync(catalog.list_sides(session_store()))))


def _show(shell: Any, given: Given) -> None:
    rows = run_sync(rows_named(session_store(), shell, given.text))
    print("\n\n".join(catalog.details(row.entry, row.origin.signer) for row in rows))


def _stats(_shell: Any, _given: Given) -> None:
    print(f"session: {ledger.session().totals()}")
    print(f"store:   {catalog.summary(run_sync(catalog.stats(session_store())))}")


def _use(_shell: Any, given: Given) -> None:
    configure(store=given.text)
    print(f"store: {catalog.describe(session_store())}")


def _forget(shell: Any, given: Given) -> None:
    removed = run_sync(forget_named(session_store(), shell, given.text))
    print(f"forgot {plural(len(removed), 'result')} of {one_line(given.text, 60)}")


def _clear(shell: Any, _given: Given) -> None:
    store = session_store()
    asked = not hasattr(shell, "kernel") and sys.stdin.isatty()
    if asked and not shell.ask_yes_no(f"remove everything from {catalog.describe(store)}? [y/N]"):
        print("nothing removed")
        return
    print(f"removed {plural(run_sync(catalog.clear(store)), 'result')}")


def _gc(_shell: Any, _given: Given) -> None:
    print(telling.collected(run_sync(catalog.collect(session_store()))))


def _on(_shell: Any, _given: Given) -> None:
    configure(enabled=True)
    print("caching is on")


def _off(_shell: Any, _given: Given) -> None:
    configure(enabled=False)
    print("caching is off: nothing is looked up or stored until `%cascade on`")


# By verb; each gets the shell and what the verb is given, and prints; one that gives something back
# gives what the line of the magic is to give. Their errors are `CascadeError`s.
ACTIONS: Mapping[str, Callable[[Any, Given], Any]] = {
    **EXCHANGING,
    "ls": _ls,
    "show": _show,
    "stats": _stats,
    "use": _use,
    "forget": _forget,
    "clear": _clear,
    "gc": _gc,
    "on": _on,
    "off": _off,
}
