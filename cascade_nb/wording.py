"""Words for people, the same on badges, in tables and in the terminal."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from cascade_nb.tasks import Status
from cascade_nb.units import human_seconds

_SHORT_CID = 16
_SHORT_SIGNER = 19


def one_line(text: str, limit: int = 200) -> str:
    """`text` on one line of at most `limit` characters, without control or bidi characters."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(c if c.isprintable() else "\ufffd" for c in line)
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def a(noun: str) -> str:
    """`noun` with its article: a list, an int, an IPFS node."""
    return f"{'an' if noun[:1] in 'aeioAEIO' else 'a'} {noun}"


def part_repr(part: object) -> str:
    """What `part` is called in the repr of what it is a part of; of others' types the name alone.

    What their reprs show, such as a password, is not ours to print.
    """
    kind = type(part)
    return repr(part) if kind.__module__.startswith("cascade_nb.") else f"{kind.__name__}(...)"


def short_path(path: str) -> str:
    """`path` on one line, from ``~`` on where it lies in the user's home."""
    home = os.path.expanduser("~")
    inside = path == home or path.startswith(home.rstrip(os.sep) + os.sep)
    return one_line("~" + path[len(home.rstrip(os.sep)) :] if inside and home != os.sep else path)


def short_cid(cid: str) -> str:
    """The head of `cid`, long enough to find it again by."""
    return cid if len(cid) <= _SHORT_CID else cid[:_SHORT_CID] + "…"


def short_signer(signer: str) -> str:
    """The name of a signer, ``ann (SHA256:...)``; of one without, the head of the fingerprint."""
    name, _, digest = one_line(signer).partition(" (")
    return name if digest or len(name) <= _SHORT_SIGNER else name[:_SHORT_SIGNER] + "…"


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> str:
    """`rows` under `header` in columns two spaces apart; those named in `right` align right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    aligned = [str.rjust if name in right else str.ljust for name in header]
    return "\n".join(
        "  ".join(
            align(cell, width) for align, cell, width in zip(aligned, row, widths, strict=True)
        ).rstrip()
        for row in [header, *rows]
    )


class ShortRepr(reprlib.Repr):
    """As `reprlib.Repr`, but quick however large a value is: what is left out is not looked at."""

    # reprlib spells these out in full before it cuts them, and sorts all of a dict or set.

    def repr_int(self, x: int, level: int) -> str:
        """The digits; of a number that Python would not spell out, how long it is."""
        if x.bit_length() > 4 * self.maxlong:
            return f"<int of {x.bit_length():,} bits>"
        return super().repr_int(x, level)

    def repr_bytes(self, x: bytes | bytearray, level: int) -> str:
        """The beginning."""
        text = repr(x[: self.maxother])
        return text if len(x) <= self.maxother else f"{text[: self.maxother - 3]}..."

    repr_bytearray = repr_bytes

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """The first items."""
        return super().repr_dict(dict(islice(x.items(), self.maxdict + 1)), level)

    def repr_set(self, x: set[Any], level: int) -> str:
        """Some items."""
        return super().repr_set(set(islice(x, self.maxset + 1)), level)

    def repr_frozenset(self, x: frozenset[Any], level: int) -> str:
        """Some items."""
        return super().repr_frozenset(frozenset(islice(x, self.maxfrozenset + 1)), level)


def plural(count: int, noun: str) -> str:
    """`count` and its noun: 1 hit, 2 misses, 3 entries."""
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"


def time_spent(status: Status, *, seconds: float, saved: float) -> str:
    """What a hit saved, or what any other run took, both in seconds."""
    if status is Status.HIT:
        return f"saved {human_seconds(saved)}"
    return f"took {human_seconds(seconds)}"
