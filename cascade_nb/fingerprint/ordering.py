"""Whether the sets whose order code takes are ones of texts, when a key is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cascade_nb.fingerprint.orders import Form, Orders, Source, Taken, is_salted
from cascade_nb.fingerprint.risks import ORDER, Risk

_KINDS = ("global", "closure", "default", "argument")


@dataclass(frozen=True, slots=True)
class Piece:
    """A function or cell by its label and name, and what is known of the sets in it."""

    label: str
    name: str
    orders: Orders


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A value that is a risk if it is a set of texts; of any instance, where it has no label."""

    line: int
    label: str | None
    attributes: tuple[str, ...]
    form: Form

    def is_risk(self, values: Mapping[str, Any]) -> bool:
        known = values.values() if self.label is None else (values.get(self.label),)
        return any(is_salted(self._inside(value), self.form) for value in known)

    def _inside(self, value: Any) -> Any:
        # No value is asked whether it is true: arrays and frames refuse to say.
        for name in self.attributes:
            own = getattr(value, "__dict__", None)
            if not isinstance(own, Mapping) or name not in own:
                own = vars(type(value))
            value = own.get(name)
        return value


class Ordering:
    """The sets whose order the given code takes.

    Args:
        pieces: all code that was met.
        bindings: what each name in it means, as three texts each: label, name, meaning.
    """

    def __init__(self, pieces: Sequence[Piece], bindings: Sequence[str] = ()) -> None:
        self._wanted: list[_Wanted] = []
        self._certain: list[Risk] = []
        if not any(piece.orders.taken for piece in pieces):
            return
        self._attributes: dict[str, bool] = {}
        self._giving: dict[str, bool] = {}
        for piece in pieces:
            for name, is_set in piece.orders.attributes.items():
                self._attributes[name] = is_set and self._attributes.get(name, True)
            name = piece.name.rpartition(".")[2]
            self._giving[name] = piece.orders.gives_set and self._giving.get(name, True)
        triples = zip(bindings[::3], bindings[1::3], bindings[2::3], strict=True)
        self._meanings = {(label, name): meaning for label, name, meaning in triples}
        for piece in pieces:
            for taken in piece.orders.taken:
                self._take(piece.label, taken)

    def risks(self, values: Mapping[str, Any]) -> Iterator[Risk]:
        """Where the order of sets of texts is taken; `values` are those of the key, by label."""
        yield from self._certain
        yield from (_risk(wanted.line) for wanted in self._wanted if wanted.is_risk(values))

    def _take(self, label: str, taken: Taken) -> None:
        source = taken.source
        last = source.name.rpartition(".")[2]
        if source.form is Form.CALLED:
            if self._giving.get(last):
                self._certain.append(_risk(taken.line))
        elif last != source.name and source.form is Form.ITSELF and self._attributes.get(last):
            self._certain.append(_risk(taken.line))
        else:
            self._want(label, taken.line, source)

    def _want(self, label: str, line: int, source: Source) -> None:
        names = source.name.split(".")
        for end in range(len(names), 0, -1):
            for kind in _KINDS:
                name = f"{kind} {'.'.join(names[:end])}"
                meaning = self._meanings.get((label, name))
                if kind == "argument" and label == "code":
                    meaning = name
                if meaning is not None and (kind != "argument" or end == 1):
                    self._wanted.append(_Wanted(line, meaning, tuple(names[end:]), source.form))
                    return
        if names[0] == "self":
            self._wanted.append(_Wanted(line, None, tuple(names[1:]), source.form))


def _risk(line: int) -> Risk:
    return Risk(line=line, name="set", message=ORDER)
