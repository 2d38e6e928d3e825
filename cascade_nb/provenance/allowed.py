"""Who is trusted, with what: a file of OpenSSH's format `allowed_signers`, beside the secret.

Each line gives a name, namespaces and a key. One namespace stands for data and one for code, so
that trusting somebody's data does not mean running their code. The file is looked at anew for each
answer, so that what another process writes there counts at once.
"""

from __future__ import annotations

import calendar
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cascade_nb.errors import warn_once
from cascade_nb.provenance.public_keys import ALGORITHM, fingerprint_of, line_of
from cascade_nb.provenance.signing import CODE, DATA
from cascade_nb.provenance.strongbox import StrongboxError, edit, folder, others_may_write

NAME = "allowed_signers"

_KEY_TYPE = re.compile(r"(sk-)?(ssh|ecdsa|rsa|webauthn)-[\w.@-]+")
_PRINCIPALS = re.compile(r'"([^"]*)"(?:[ \t]+|$)|([^" \t]\S*)(?:[ \t]+|$)')
# Options end at a blank outside of quotes; within them a backslash saves a quote.
_OPTIONS = re.compile(r'((?:"(?:\\"|[^"])*"|[^" \t])+)[ \t]+')
_OPTION = re.compile(r'([A-Za-z-]+)(?:="((?:\\"|[^"])*)")?(,|$)')
_MOMENT = re.compile(r"(\d{8}|\d{12}|\d{14})(Z|UTC)?", re.IGNORECASE)
# A line as we write it.
_OURS = re.compile(rf'\S+ namespaces="{DATA}(,{CODE})?" {ALGORITHM} \S+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One line: whose key it is, and for what and when it is good.

    `after` and `before` are in seconds since the epoch.
    """

    key: str
    name: str
    data: bool
    code: bool
    after: float = float("-inf")
    before: float = float("inf")

    def holds(self, now: float) -> bool:
        """Whether it is good `now`."""
        return self.after <= now <= self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the file says of a key at present; `name` is "" where it says nothing."""

    name: str = ""
    data: bool = False
    code: bool = False


_NOBODY = Standing()


class LineError(ValueError):
    """A line is not of the format; the message says what is wrong in it."""


def standing_of(key: str) -> Standing:
    """What the signer with the public key `key` is trusted with, right now."""
    grants = _grants().get(key)
    if grants is None:
        return _NOBODY
    now, data, code = time.time(), False, False
    for grant in grants:
        if grant.holds(now):
            data, code = data or grant.data, code or grant.code
    return Standing(name=grants[0].name, data=data, code=code)


def allow(names: Mapping[str, str], *, code: bool) -> None:
    """Trust the given keys under their names; what they are trusted with already stays.

    Raises:
        StrongboxError: the file cannot be written.
    """

    def change(lines: list[str]) -> list[str]:
        now = time.time()
        for key, name in names.items():
            held = [(i, g) for i, g in _parsed(lines) if g.key == key]
            if any(g.holds(now) and g.data and (g.code or not code) for _, g in held):
                continue
            known = name or (held[0][1].name if held else "")
            line = _written(key, known, code=code)
            ours = [i for i, _ in held if _OURS.fullmatch(lines[i])]
            if ours:
                lines[ours[0]] = line
            else:
                lines.append(line)
        return lines

    _edit(change)


def disallow(keys: Iterable[str]) -> dict[str, str]:
    """Remove every line of the given keys; gives the names under which they were trusted.

    Raises:
        StrongboxError: the file cannot be written.
    """
    unwanted, removed = set(keys), {}

    def change(lines: list[str]) -> list[str]:
        held = {i: g for i, g in _parsed(lines) if g.key in unwanted}
        removed.update({g.key: g.name for g in held.values()})
        return [line for i, line in enumerate(lines) if i not in held]

    if not unwanted.isdisjoint(_grants()):
        _edit(change)
    return removed


def signers() -> dict[str, Standing]:
    """All keys in the file, with what they are trusted with right now."""
    return {key: standing_of(key) for key in _grants()}


def parse_line(line: str) -> Grant | None:
    """The grant in a line; None in an empty one, a comment, and one of another kind of key.

    Raises:
        LineError: it is none of those.
    """
    text = line.strip()
    if not text or text.startswith("#"):
        return None
    principals = _PRINCIPALS.match(text)
    if principals is None:
        raise LineError("no name is at its beginning")
    name = principals[1] if principals[1] is not None else principals[2]
    rest = text[principals.end() :]
    options: dict[str, str] = {}
    if not _KEY_TYPE.match(rest):
        written = _OPTIONS.match(rest)
        if written is None:
            raise LineError("it has no key")
        options = _parse_options(written[1])
        rest = rest[written.end() :]
    words = rest.split()
    if len(words) < 2 or not _KEY_TYPE.fullmatch(words[0]):
        raise LineError("it has no key")
    if words[0] != ALGORITHM or "cert-authority" in options:
        return None
    key = line_of(words[1])
    if key is None:
        raise LineError("its key is damaged")
    after, before = (_moment(options.get(f"valid-{end}")) for end in ("after", "before"))
    if after is not None and before is not None and before <= after:
        raise LineError("it ends to be valid before it begins")
    # OpenSSH takes none for all of them. Here code has to be asked for by name.
    namespaces = options.get("namespaces", DATA)
    return Grant(
        key=key,
        name=name,
        data=_matches(DATA, namespaces),
        code=_matches(CODE, namespaces),
        after=float("-inf") if after is None else after,
        before=float("inf") if before is None else before,
    )


def _parse_options(text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    place, more = 0, ","
    while more:
        found = _OPTION.match(text, place)
        if found is None:
            raise LineError("its options are not understood")
        name, value, more = found[1].lower(), found[2], found[3]
        if (value is None) != (name == "cert-authority") or name not in _KNOWN_OPTIONS:
            raise LineError(f"its option {found[1]} is not understood")
        if name in options:
            raise LineError(f"its option {found[1]} is there twice")
        options[name] = (value or "").replace('\\"', '"')
        place = found.end()
    return options


_KNOWN_OPTIONS = frozenset({"cert-authority", "namespaces", "valid-after", "valid-before"})


def _moment(text: str | None) -> float | None:
    """Seconds since the epoch of ``YYYYMMDD[HHMM[SS]][Z]``, in local time where no Z says UTC."""
    if text is None:
        return None
    found = _MOMENT.fullmatch(text)
    try:
        if found is not None:
            digits = found[1].ljust(14, "0")
            parsed = time.strptime(digits, "%Y%m%d%H%M%S")
            return float(calendar.timegm(parsed) if found[2] else time.mktime(parsed))
    except (ValueError, OverflowError):
        pass
    raise LineError(f"{text!r} is no time")


def _matches(text: str, patterns: str) -> bool:
    """Whether a list of OpenSSH's patterns, as ``*@cascade-nb,!code@*``, has `text`."""
    matched = False
    for pattern in patterns.split(","):
        negated = pattern.startswith("!")
        wild = re.escape(pattern.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(wild, text, re.DOTALL):
            if negated:
                return False
            matched = True
    return matched


def _written(key: str, name: str, *, code: bool) -> str:
    namespaces = f"{DATA},{CODE}" if code else DATA
    # A name is a list of patterns there; ours are to match themselves alone.
    safe = re.sub(r'[^\w.@+/:=-]|^[#"]', "_", name)[:64] or fingerprint_of(key)
    return f'{safe} namespaces="{namespaces}" {key}'


def _parsed(lines: Iterable[str]) -> list[tuple[int, Grant]]:
    """The grants of all lines that have one, with the line's index."""
    found = []
    for index, line in enumerate(lines):
        try:
            grant = parse_line(line)
        except LineError:
            continue
        if grant is not None:
            found.append((index, grant))
    return found


def _edit(change: Callable[[list[str]], list[str]]) -> None:
    def whole(content: bytes) -> bytes:
        lines = content.decode("utf-8", "surrogateescape").split("\n")
        # What follows the last line's end is no line.
        tail = lines.pop()
        lines += [tail] if tail else []
        changed = change(list(lines))
        if changed == lines:
            return content
        return "".join(line + "\n" for line in changed).encode("utf-8", "surrogateescape")

    global _held
    edit(NAME, whole)
    _held = None


# The file as last read.


@dataclass(frozen=True, slots=True)
class _Held:
    """What was found while JUPYTER_DATA_DIR was `home` and the file looked like `stamp`."""

    home: str | None
    path: str
    stamp: tuple[int, ...]
    grants: Mapping[str, tuple[Grant, ...]]


_held: _Held | None = None
_ABSENT: tuple[int, ...] = ()


def _grants() -> Mapping[str, tuple[Grant, ...]]:
    """All grants by key. A look that changes nothing costs microseconds."""
    global _held
    home, held = os.environ.get("JUPYTER_DATA_DIR"), _held
    if held is None or held.home != home:
        try:
            held = _Held(home, str(folder() / NAME), _ABSENT, {})
        except StrongboxError:
            return {}  # Without a home nobody can be trusted.
    try:
        status = os.stat(held.path)
    except OSError:
        return {}
    stamp = _stamp(status)
    if held.stamp != stamp:
        held = _Held(home, held.path, *_read(held.path))
        _held = held
    return held.grants


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        status.st_size,
        status.st_mode,
        status.st_uid,
    )


def _read(path: str) -> tuple[tuple[int, ...], dict[str, tuple[Grant, ...]]]:
    """The file's stamp, from before it was read, and its grants."""
    grants: dict[str, tuple[Grant, ...]] = {}
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            status = os.fstat(file.fileno())
            stamp = _stamp(status)
            if others_may_write(status):
                warn_once(
                    f"{path} can be written by others and nobody in it is trusted; "
                    "look at what is in it, then make it yours alone (chmod 600)",
                    ("allowed signers", path),
                )
                return stamp, {}
            for number, line in enumerate(file, 1):
                try:
                    grant = parse_line(line)
                except LineError as error:
                    warn_once(
                        f"{path}, line {number}, is passed over: {error}",
                        ("allowed signers", path, line),
                    )
                    continue
                if grant is not None:
                    grants[grant.key] = (*grants.get(grant.key, ()), grant)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        warn_once(f"{path} cannot be read ({reason}); nobody is trusted", ("signers", path))
        return _ABSENT, {}
    return stamp, grants
