"""The verbs of the line magic, as they are typed: `%cascade ls`, `%cascade show X`, and so on.

What they do stands in `actions`, which is imported by the first of them: loading the extension
must not wait for what a session may never ask for.
"""

from __future__ import annotations

import shlex
from typing import Any

from cascade_nb.errors import BackendError, CascadeError, ConfigurationError
from cascade_nb.notebook import ledger, panel
from cascade_nb.notebook.grammar import VERBS, given_to, verb_called
from cascade_nb.surface import Surface, on_surface


def run_verb(shell: Any, line: str) -> Any:
    """Do what `line`, the rest of a `%cascade` line, asks for; alone it shows the session panel.

    Gives what a verb gives besides what it prints: `load` the value.

    Raises:
        UsageError: the line makes no sense, or names nothing; one line that says what would.
    """
    from IPython.core.error import UsageError

    word, *rest = line.split(maxsplit=1) or [""]
    if not word:
        panel.show(shell)
        return None
    try:
        verb = verb_called(word)
        given = given_to(verb, rest[0] if rest else "")
        if bool(given.text) is not bool(verb.takes):
            raise ConfigurationError(f"usage: {verb.usage}")
        from cascade_nb.notebook.actions import ACTIONS

        with on_surface(Surface.MAGIC):
            return ACTIONS[verb.name](shell, given)
    except CascadeError as error:
        raise UsageError(str(error)) from None


def install(shell: Any) -> None:
    """Keep the session's ledger from now on, and complete verbs and names with Tab."""
    global _completing
    ledger.session()
    _completing = True
    if not getattr(shell, _HOOKED, False):
        shell.set_hook("complete_command", _complete, str_key="%cascade")
        setattr(shell, _HOOKED, True)


def uninstall(shell: Any) -> None:
    """Close the panel and complete nothing; IPython cannot remove the hook, so it stays inert."""
    global _completing
    _completing = False
    panel.close(shell)


def help_text() -> str:
    """A line for each verb, for the magic's own help."""
    width = max(len(verb.usage) for verb in VERBS.values())
    return "\n".join(f"{verb.usage:<{width}}  {verb.does}" for verb in VERBS.values())


def completions(line: str) -> list[str]:
    """What may stand at the end of `line`, the text of a `%cascade` line up to the cursor."""
    words = line.split()[1:]
    beginning = "" if line[-1:].isspace() else (words.pop() if words else "")
    if not words:
        return [name for name in VERBS if name.startswith(beginning)]
    verb = VERBS.get(words[0])
    if verb is None:
        return []
    if beginning.startswith("-"):
        return [option for option in verb.options if option.startswith(beginning)]
    by_cid = verb.takes.startswith("CID")
    if not (verb.stored or by_cid) or (len(words) > 1 and not verb.takes.startswith("X...")):
        return []
    from cascade_nb.notebook.actions import stored_entries

    entries = stored_entries()
    known = set() if by_cid else {shlex.quote(entry.name) for entry in entries}
    if beginning:
        known |= {cid for entry in entries for cid in (entry.cid, entry.record_cid)}
        known |= set() if by_cid else {entry.key for entry in entries}
    return sorted(text for text in known if text.startswith(beginning))


def _complete(_shell: Any, event: Any) -> list[str]:
    """IPython's hook; an error here would be shown in the middle of typing."""
    if not _completing:
        return []
    try:
        return completions(event.text_until_cursor)
    except (ConfigurationError, BackendError):
        return []


_HOOKED = "_cascade_nb_completes"
_completing = False
