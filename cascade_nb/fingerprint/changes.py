"""What differs between two keys of one function or cell, in the user's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cascade_nb.fingerprint.lines import Lines, changed_lines

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Account:
    """What a key is made of, as it is kept beside a store for explanations.

    `parts` are digests by label; of values `previews` gives short texts, of code `lines` those
    where something begins. None of the two leaves the machine.
    """

    parts: Mapping[str, str]
    previews: Mapping[str, str] = field(default_factory=dict)
    lines: Mapping[str, Lines] = field(default_factory=dict)


def describe_change(before: Account, after: Account) -> str:
    """What differs between two keys, in one line; empty where nothing does."""
    labels = sorted(before.parts.keys() | after.parts.keys(), key=_rank)
    changed = [label for label in labels if before.parts.get(label) != after.parts.get(label)]
    telling = [label for label in changed if _is_news(label, changed)] or changed
    texts = [_change(label, before, after) for label in telling[:_SHOWN]]
    if len(telling) > _SHOWN:
        texts.append(f"and {len(telling) - _SHOWN} more")
    return "; ".join(texts)


def _is_news(label: str, changed: Sequence[str]) -> bool:
    """Whether a change says something that no other does."""
    kind, _, name = label.partition(" ")
    if kind == "absent":
        # Of what had the name, or has it now, more is said.
        return all(other == label or other.partition(" ")[2] != name for other in changed)
    return label not in ("names", "sharing")


def _change(label: str, before: Account, after: Account) -> str:
    what = _quoted(label)
    if label not in before.parts or label not in after.parts:
        if label.startswith("settings of "):
            return f"{what} changed"  # Those at their defaults are no part.
        return f"{what} is {'new' if label in after.parts else 'gone'}"
    old, new = before.previews.get(label), after.previews.get(label)
    if old and new and old != new:
        return f"{what} changed: {old} -> {new}"
    lines = changed_lines(before.lines.get(label, ()), after.lines.get(label, ()))
    return f"{what} changed ({lines})" if lines else f"{what} changed"


_ORDER = (
    "code", "argument", "input", "global", "closure", "default", "helper", "class", "attribute",
    "reads", "environment", "distribution", "version", "python",
)  # fmt: skip
_WORDS = {
    "names": "what a name in the code refers to",
    "sharing": "which values share an object",
    "time zone": "the local time zone",
    "code": "code",
    "reads": "a file listed in reads",
    "version": "version",
    "python": "Python's version",
}


def _rank(label: str) -> tuple[int, str]:
    kind = label.partition(" ")[0]
    return (_ORDER.index(kind) if kind in _ORDER else len(_ORDER), label)


def _quoted(label: str) -> str:
    if label in _WORDS:
        return _WORDS[label]
    kind, _, name = label.partition(" ")
    return f"{kind} `{name}`" if name and kind != "settings" else label
