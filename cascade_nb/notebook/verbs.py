"""The verbs of the line magic, as they are typed: `%cascade ls`, `%cascade show X`, and so on.

What they do stands in `actions`, which is imported by the first of them: loading the extension
must not wait for what a session may never ask for.
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass
from typing import Any

from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.notebook import ledger, panel
from cascade_nb.wording import one_line


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it takes, if anything, and what it does for people.

    `stored` says that what it takes is the name, CID or key of a stored result.
    """

    name: str
    takes: str
    does: str
    stored: bool = False

    @property
    def usage(self) -> str:
        """The verb as it is typed."""
        return f"%cascade {self.name} {self.takes}".rstrip()


def run_verb(shell: Any, line: str) -> None:
    """Do what `line`, the rest of a `%cascade` line, asks for; alone it shows the session panel.

    Raises:
        UsageError: the line makes no sense, or names nothing; one line that says what would.
    """
    from IPython.core.error import UsageError

    word, *rest = line.split(maxsplit=1) or [""]
    if not word:
        panel.show(shell)
        return
    try:
        verb = _verb(word)
        given = _unquoted(rest[0]) if rest else ""
        if bool(given) is not bool(verb.takes):
            raise ConfigurationError(f"usage: {verb.usage}")
        from cascade_nb.notebook.actions import ACTIONS

        ACTIONS[verb.name](shell, given)
    except (ConfigurationError, BackendError) as error:
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
    if verb is None or not verb.stored or len(words) > 1:
        return []
    from cascade_nb.notebook.actions import stored_entries

    entries = stored_entries()
    known = {shlex.quote(entry.name) for entry in entries}
    if beginning:
        known |= {identity for entry in entries for identity in (entry.cid, entry.key)}
    return sorted(text for text in known if text.startswith(beginning))


def _complete(_shell: Any, event: Any) -> list[str]:
    """IPython's hook; an error here would be shown in the middle of typing."""
    if not _completing:
        return []
    try:
        return completions(event.text_until_cursor)
    except (ConfigurationError, BackendError):
        return []


def _unquoted(text: str) -> str:
    """`text` without its quotes, if it is one quoted word: names of cells have spaces in them."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    return words[0] if len(words) == 1 else text.strip()


def _verb(word: str) -> Verb:
    if word in VERBS:
        return VERBS[word]
    close = difflib.get_close_matches(word, VERBS, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ";"
    raise ConfigurationError(
        f"%cascade has no verb {one_line(word, 40)!r}{hint} there are: {', '.join(VERBS)}"
    )


VERBS = {
    verb.name: verb
    for verb in (
        Verb("ls", "", "list the stored results"),
        Verb("show", "X", "all about one result", stored=True),
        Verb("stats", "", "what the session saved and the store holds"),
        Verb("use", "STORE", "keep results in another store"),
        Verb("forget", "X", "remove a result from the store", stored=True),
        Verb("clear", "", "remove everything from the store"),
        Verb("on", "", "look up and store results"),
        Verb("off", "", "look up and store nothing"),
    )
}
_HOOKED = "_cascade_nb_completes"
_completing = False
