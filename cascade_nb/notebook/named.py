"""What a word behind a verb names: something that is stored, or a variable of the session.

What is stored comes first: a CID or the beginning of one, a key, a name. A variable that holds the
text of a CID or key, or an `Entry`, then stands for what that names; written as ``$x`` or ``{x}``
it is a variable and nothing else, as are expressions in which one stands: ``{entry.cid}``.
"""

from __future__ import annotations

import re
from typing import Any

from cascade_nb import catalog
from cascade_nb.catalog import Row
from cascade_nb.errors import ConfigurationError, FingerprintError
from cascade_nb.exchange import giving
from cascade_nb.exchange.claims import CELL
from cascade_nb.exchange.giving import Unsigned
from cascade_nb.fingerprint.values import fingerprint
from cascade_nb.policies.belief import Claim
from cascade_nb.policies.packing import RESULT
from cascade_nb.protocols import KeepsBytes
from cascade_nb.records import Entry
from cascade_nb.wording import one_line

_MARKED = re.compile(r"\$(\w+)|\{\s*(\w+)\s*\}")
_NO_VARIABLE: Any = object()
_NO_FRAME = 1_000_000


async def rows_named(store: object, shell: Any, word: str) -> list[Row]:
    """The stored results that `word` names; raises as `catalog.find_rows` does."""
    try:
        return await catalog.find_rows(store, word)
    except ConfigurationError as error:
        return await catalog.find_rows(store, _held(shell, word, error))


async def forget_named(store: object, shell: Any, word: str) -> list[Entry]:
    """Remove the stored results that `word` names; gives and raises what `catalog.forget` does."""
    try:
        return await catalog.forget(store, word)
    except ConfigurationError as error:
        return await catalog.forget(store, _held(shell, word, error))


def _held(shell: Any, word: str, error: ConfigurationError) -> str:
    """The CID or key that the variable `word` holds; raises `error` where there is none."""
    held = _identity_in(_variable(shell, word))
    if not held:
        raise error
    return held


async def cid_named(store: object, shell: Any, word: str) -> str:
    """The CID to load where `word` is one, names something stored, or is a variable with one.

    Raises:
        ConfigurationError: none of these; it says so in one line.
        BackendError: the store cannot be read.
    """
    try:
        return await giving.cid_for_people(store, word)
    except ConfigurationError:
        value = _variable(shell, word)
        if value is _NO_VARIABLE:
            raise
    held = _identity_in(value)
    if not held:
        shown = one_line(word, 60)
        raise ConfigurationError(f"the variable {shown!r} holds no CID: it is {_kind_of(value)}")
    return await giving.cid_for_people(store, held)


async def found(store: KeepsBytes, shell: Any, word: str) -> Claim | Unsigned:
    """What `word` gives away: a stored result, unless a variable of that name is something else.

    Raises what `giving.find_for_people` raises.
    """
    value = _variable(shell, word)
    if value is _NO_VARIABLE:
        return await giving.find_for_people(store, word)
    name = _bare(word)
    try:
        named = [entry for entry in await catalog.find(store, name) if entry.name == name]
    except ConfigurationError:
        named = []
    for entry in named:
        if _is_of(entry, name, value):
            return await giving.of_entry(store, entry)
    if isinstance(value, Entry):
        return await giving.of_entry(store, value)
    held = _identity_in(value)
    return await giving.find(store, held) if held else Unsigned(value, name)


def _is_of(entry: Entry, name: str, value: Any) -> bool:
    """Whether a result of that name has the value that the variable has."""
    digests = {output.name: output.fingerprint for output in entry.outputs}
    try:
        return fingerprint(value) == digests.get(name if entry.kind == CELL else RESULT)
    except FingerprintError:
        return False


def _bare(word: str) -> str:
    """The name in ``x``, ``$x`` or ``{x}``."""
    marked = _MARKED.fullmatch(word.strip())
    return (marked[1] or marked[2]) if marked else word.strip()


def _variable(shell: Any, word: str) -> Any:
    """The value of the user's variable that `word` names."""
    name = _bare(word)
    if name in getattr(shell, "user_ns_hidden", ()):
        return _NO_VARIABLE
    value = getattr(shell, "user_ns", {}).get(name, _NO_VARIABLE)
    if value is _NO_VARIABLE and not {*word}.isdisjoint("${"):
        # As IPython expands the lines of other magics, but for locals of ours: no frame is so deep.
        text = shell.var_expand(word, depth=_NO_FRAME)
        return text if giving.is_identity(text) else _NO_VARIABLE
    return value


def _identity_in(value: Any) -> str:
    """The CID or key that a value names; empty where it names none."""
    if isinstance(value, Entry):
        return value.record_cid
    text = value.strip() if isinstance(value, str) else ""
    return text if giving.is_identity(text) else ""


def _kind_of(value: Any) -> str:
    return "another text" if isinstance(value, str) else f"of type {type(value).__name__}"
