"""What the verbs of the line magic do; `verbs` says how they are typed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from cascade_nb import catalog
from cascade_nb.config import configure, engine
from cascade_nb.errors import ConfigurationError
from cascade_nb.loop import run_sync
from cascade_nb.notebook import ledger
from cascade_nb.records import Entry
from cascade_nb.wording import one_line, plural


def _store() -> Any:
    """What the session's engine keeps its results in."""
    store = getattr(engine().policy, "store", None)
    if store is None:
        raise ConfigurationError("the session's policy keeps nothing that could be listed")
    return store


def stored_entries() -> list[Entry]:
    """What the session's store holds, newest first."""
    return run_sync(catalog.list_entries(_store()))


def _ls(_shell: Any, _given: str) -> None:
    print(catalog.table(stored_entries()))


def _show(_shell: Any, given: str) -> None:
    entries = run_sync(catalog.find(_store(), given))
    print("\n\n".join(map(catalog.details, entries)))


def _stats(_shell: Any, _given: str) -> None:
    print(f"session: {ledger.session().totals()}")
    print(f"store:   {catalog.summary(run_sync(catalog.stats(_store())))}")


def _use(_shell: Any, given: str) -> None:
    configure(store=given)
    print(f"store: {catalog.describe(_store())}")


def _forget(_shell: Any, given: str) -> None:
    removed = run_sync(catalog.forget(_store(), given))
    print(f"forgot {plural(len(removed), 'result')} of {one_line(given, 60)}")


def _clear(shell: Any, _given: str) -> None:
    store = _store()
    asked = not hasattr(shell, "kernel") and sys.stdin.isatty()
    if asked and not shell.ask_yes_no(f"remove everything from {catalog.describe(store)}? [y/N]"):
        print("nothing removed")
        return
    print(f"removed {plural(run_sync(catalog.clear(store)), 'result')}")


def _on(_shell: Any, _given: str) -> None:
    configure(enabled=True)
    print("caching is on")


def _off(_shell: Any, _given: str) -> None:
    configure(enabled=False)
    print("caching is off: nothing is looked up or stored until `%cascade on`")


# By verb; each gets the shell and what the verb takes, and prints. Errors of the store and of
# what was given come out as `BackendError` and `ConfigurationError`.
ACTIONS: Mapping[str, Callable[[Any, str], None]] = {
    "ls": _ls,
    "show": _show,
    "stats": _stats,
    "use": _use,
    "forget": _forget,
    "clear": _clear,
    "on": _on,
    "off": _off,
}
