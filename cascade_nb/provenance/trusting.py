"""What people say of others: `trust` and `distrust`, by the public keys that they were given."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from cascade_nb.arguments import checked_path
from cascade_nb.errors import ConfigurationError
from cascade_nb.provenance.allowed import LineError, allow, disallow, parse_line, signers
from cascade_nb.provenance.keys import is_own
from cascade_nb.provenance.public_keys import ALGORITHM, fingerprint_of, line_of
from cascade_nb.provenance.strongbox import StrongboxError

# A key in a line of any of OpenSSH's files: what stands before and after it differs.
_KEY = re.compile(rf"(?:^|(?<=[ \t])){ALGORITHM}[ \t]+(\S+)[ \t]*(.*)$")
_OTHER_KEY = re.compile(r"(?:^|[ \t])((?:sk-)?(?:ssh|ecdsa|rsa)-[\w.@-]+)[ \t]+AAAA")
_MEANT = f"a key is a line `{ALGORITHM} AAAA...` or the path of a file of them"
_LARGEST = 1024 * 1024


def trust(key: str | os.PathLike[str], *, code: bool = False) -> list[str]:
    """Be served what the owner of `key` has computed, from a common store or a file of theirs.

    Their results are then hits where they are data, and with `code` also where loading them runs
    code of theirs. Whoever is trusted with code already stays so.

    Args:
        key: a line ``ssh-ed25519 AAAA...``, as `whoami` gives it there, or a file of such lines:
            a ``.pub``, an ``authorized_keys`` or an ``allowed_signers``.
        code: whether their code may run here, with all that you may do.

    Returns:
        Whom you trust now: a name and the key's fingerprint for each key.

    Raises:
        ConfigurationError: there is no such key in it, or nothing can be kept.
    """
    names = _keys_in(key)
    try:
        allow(names, code=code)
    except StrongboxError as error:
        raise ConfigurationError(f"nobody can be trusted: {error}") from error
    return [_called(signers()[line].name, line) for line in names]


def distrust(key: str | os.PathLike[str]) -> list[str]:
    """Be served nothing of what the owner of `key` has computed, from now on and in all sessions.

    Args:
        key: as for `trust`, or the fingerprint of a key, ``SHA256:...``.

    Returns:
        Whom you trusted until now; empty where it was nobody.

    Raises:
        ConfigurationError: it is no key, or your own.
    """
    text = checked_path(_MEANT, key).strip()
    if text.startswith("SHA256:"):
        lines = [line for line in signers() if fingerprint_of(line) == text]
    else:
        lines = list(_keys_in(key))
    if any(map(is_own, lines)):
        raise ConfigurationError("this is your own key; what it signed is yours")
    try:
        removed = disallow(lines)
    except StrongboxError as error:
        raise ConfigurationError(f"nobody can be distrusted: {error}") from error
    return [_called(name, line) for line, name in removed.items()]


def trusted() -> list[str]:
    """The keys of all others who are trusted, with data at least, right now."""
    return [line for line, standing in signers().items() if standing.data and not is_own(line)]


def _called(name: str, line: str) -> str:
    digest = fingerprint_of(line)
    return f"{name} ({digest})" if name and name != digest else digest


def _keys_in(given: str | os.PathLike[str]) -> dict[str, str]:
    """The Ed25519 keys that `given` is or has, each with a name, which may be empty."""
    text, where = checked_path(_MEANT, given), "this"
    if not isinstance(given, str) or not _is_key(text):
        where = text
        text = _content(Path(text).expanduser())
    if "PRIVATE KEY-----" in text:
        raise ConfigurationError("this is a private key; name the public one, which ends in .pub")
    keys = dict(_found(text))
    if not keys:
        other = _OTHER_KEY.search(text)
        what = f"a key of type {other[1]}" if other else "no public key"
        raise ConfigurationError(f"{where} is {what}; records are signed by {ALGORITHM} keys")
    return keys


def _is_key(text: str) -> bool:
    return "\n" in text.strip() or bool(_KEY.search(text) or _OTHER_KEY.search(text))


def _content(path: Path) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError(
            f"{str(path)!r:.200} is no line `{ALGORITHM} AAAA...` and no file of them ({reason})"
        ) from error


def _found(text: str) -> Iterator[tuple[str, str]]:
    for number, written in enumerate(text.splitlines(), 1):
        line = written.strip()
        if line.startswith("#"):
            continue
        found = _KEY.search(line)
        if found is None:
            continue  # Files of keys often have some of other kinds.
        key = line_of(found[1])
        if key is None:
            raise ConfigurationError(f"the key in line {number} is damaged or cut short")
        yield key, found[2].strip() or _name_before(line)


def _name_before(line: str) -> str:
    """The name in a line of allowed signers; empty in those that begin with key or options."""
    try:
        grant = parse_line(line)
    except LineError:
        return ""
    return "" if grant is None or "=" in grant.name else grant.name
