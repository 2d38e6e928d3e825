"""How the verbs of the line magic are typed: what each takes, and how a line is read."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from cascade_nb.errors import ConfigurationError
from cascade_nb.wording import one_line


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it takes, if anything, and what it does for people.

    `stored` says that what it takes is the name, CID or key of a stored result; `options` are the
    words that begin with a dash, and whether a word has to follow.
    """

    name: str
    takes: str
    does: str
    stored: bool = False
    options: Mapping[str, bool] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """The verb as it is typed."""
        return f"%cascade {self.name} {self.takes}".rstrip()


@dataclass(frozen=True, slots=True)
class Given:
    """What stands behind a verb: its words, as one text as well, and its options."""

    text: str = ""
    words: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


def verb_called(word: str) -> Verb:
    """The verb of that name; raises `ConfigurationError`, which lists them, where there is none."""
    if word in VERBS:
        return VERBS[word]
    close = difflib.get_close_matches(word, VERBS, n=1)
    hint = f", did you mean {close[0]!r}?" if close else ";"
    raise ConfigurationError(
        f"%cascade has no verb {one_line(word, 40)!r}{hint} there are: {', '.join(VERBS)}"
    )


def given_to(verb: Verb, text: str) -> Given:
    """What `text` gives `verb`; to one without options all of it is one word, quoted or not.

    Raises:
        ConfigurationError: an option is none of the verb's, or lacks its word.
    """
    if not verb.options:
        return Given(text=_unquoted(text))
    reader = shlex.shlex(text, posix=True)
    # A backslash is part of a path, a hash of a name.
    reader.whitespace_split, reader.escape, reader.commenters = True, "", ""
    try:
        pending = list(reader)
    except ValueError:
        raise ConfigurationError(f"a quote does not close; usage: {verb.usage}") from None
    words: list[str] = []
    options: dict[str, str] = {}
    while pending:
        word = pending.pop(0)
        name, has_value, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if name not in verb.options:
            if word.startswith("-"):
                raise ConfigurationError(f"no option {one_line(word, 40)}; usage: {verb.usage}")
            words.append(word)
            continue
        if verb.options[name] and not has_value and pending:
            value = pending.pop(0)
        if bool(value) is not verb.options[name] or name in options:
            raise ConfigurationError(f"usage: {verb.usage}")
        options[name] = value
    return Given(text=" ".join(words), words=tuple(words), options=options)


def _unquoted(text: str) -> str:
    """`text` without its quotes, if it is one quoted word: names of cells have spaces in them."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    return words[0] if len(words) == 1 else text.strip()


VERBS = {
    verb.name: verb
    for verb in (
        Verb("ls", "", "list the stored results"),
        Verb("show", "X", "all about one result", stored=True),
        Verb("stats", "", "what the session saved and the store holds"),
        Verb(
            "share",
            "X [--car FILE] [--dry-run [--verbose]]",
            "sign a result or variable, pin it on the store's IPFS nodes",
            stored=True,
            options={"--car": True, "--dry-run": False, "--verbose": False},
        ),
        Verb("load", "CID [--as NAME]", "bring back what was shared", options={"--as": True}),
        Verb(
            "export",
            "X... -o FILE.car",
            "write results to a file for somebody else",
            stored=True,
            options={"-o": True},
        ),
        Verb("import", "FILE.car", "take the results in such a file"),
        Verb(
            "trust",
            "KEY|FILE [--code]",
            "be served what somebody has computed",
            options={"--code": False},
        ),
        Verb("distrust", "KEY|FILE", "be served nothing of theirs any more"),
        Verb("whoami", "", "your public key, for others to trust"),
        Verb("use", "STORE", "keep results in another store"),
        Verb("gc", "", "remove what nothing needs from the store"),
        Verb("forget", "X", "remove a result from the store", stored=True),
        Verb("clear", "", "remove everything from the store"),
        Verb("on", "", "look up and store results"),
        Verb("off", "", "look up and store nothing"),
    )
}
