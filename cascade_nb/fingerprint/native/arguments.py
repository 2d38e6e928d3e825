"""What calls hand over, as the caller gives it and as the callee's parameters get it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cascade_nb.fingerprint.native.possible import (
    NOTHING,
    Items,
    Row,
    Table,
    Term,
    Values,
    mark,
    of,
    union,
    unknown,
)


@dataclass(slots=True, eq=False)
class Arguments:
    """What a call hands over; `rest` and `others` for the parts of ``*args`` and ``**kwargs``."""

    positional: list[Values] = field(default_factory=list)
    keywords: dict[str, Values] = field(default_factory=dict)
    rest: Values | None = None
    others: Values | None = None

    def every(self) -> list[Values]:
        """All that is handed over."""
        more = [values for values in (self.rest, self.others) if values is not None]
        return [*self.positional, *self.keywords.values(), *more]

    def first(self, *names: str) -> Values:
        """The first positional argument, or the keyword of that name; nothing, if neither."""
        found = self.positional[:1] or [self.keywords[n] for n in names if n in self.keywords]
        more = [values for values in (self.rest, self.others) if values is not None]
        return union(found or more)

    def after(self, bound: Arguments) -> Arguments:
        """These in a call of what was given `bound` before."""
        return Arguments(
            [*bound.positional, *self.positional],
            {**bound.keywords, **self.keywords},
            _either(bound.rest, self.rest),
            _either(bound.others, self.others),
        )

    def marks(self) -> Any:
        """What is equal for calls with the same."""
        return (
            tuple(values.marks for values in self.positional),
            tuple((name, values.marks) for name, values in sorted(self.keywords.items())),
            self.rest and self.rest.marks,
            self.others and self.others.marks,
        )


def _either(one: Values | None, other: Values | None) -> Values | None:
    return union([one, other]) if one is not None and other is not None else one or other


@dataclass(frozen=True, slots=True, eq=False)
class Bound(Term):
    """A function with arguments given beforehand: a method, a partial."""

    function: Any
    arguments: Arguments

    def mark(self) -> Any:  # noqa: D102
        return "bound", mark(self.function), self.arguments.marks()


def line_of(given: Arguments) -> int:
    """The line at which something unknown came in; 0: there is none."""
    return next((abs(v.unknown) for v in given.every() if v.unknown), 0)


def placed(values: Values, line: int) -> Values:
    """What is unknown is so from the call on to which it is handed; a parameter keeps its line."""
    if values.unknown is None or values.unknown < 0:
        return values
    return Values(values.known, line)


def handed(given: Arguments) -> Arguments:
    """Arguments as the callee sees them: what is unknown is so by the call, at its line."""

    def marked(values: Values) -> Values:
        return values if values.unknown is None else Values(values.known, -abs(values.unknown))

    return Arguments(
        list(map(marked, given.positional)),
        {name: marked(values) for name, values in given.keywords.items()},
        given.rest and marked(given.rest),
        given.others and marked(given.others),
    )


def anything(given: Arguments) -> Arguments:
    """Unknown values for all parameters."""
    line = line_of(given)
    return Arguments(rest=unknown(-line), others=unknown(-line))


def fields_of(values: Values) -> Mapping[str, Values] | None:
    """What ``**values`` gives by name, if that is known."""
    thing = values.known[0] if len(values.known) == 1 and values.unknown is None else None
    if isinstance(thing, Table):
        return thing.fields
    if type(thing) is dict and all(type(key) is str for key in thing):
        return {name: of(held) for name, held in thing.items()}
    return None


def bound_to(
    parameters: ast.arguments,
    given: Arguments,
    defaults: list[Values],
    keywords: Mapping[str, Values],
) -> dict[str, Values]:
    """What the parameters are given."""
    names = [a.arg for a in (*parameters.posonlyargs, *parameters.args)]
    held = dict(zip(names, given.positional, strict=False))
    every = {*names, *(a.arg for a in parameters.kwonlyargs)}
    held |= {name: values for name, values in given.keywords.items() if name in every}
    defaulted = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True)) | dict(
        keywords
    )
    for name in every - held.keys():
        may = [v for v in (given.rest if name in names else None, given.others) if v is not None]
        held[name] = union([*may, defaulted.get(name, NOTHING)])
    if parameters.vararg is not None:
        more = given.positional[len(names) :]
        if given.rest is None:
            held[parameters.vararg.arg] = of(Row(tuple(more)))
        else:
            held[parameters.vararg.arg] = of(Items(union([*more, given.rest])))
    if parameters.kwarg is not None:
        others = {name: v for name, v in given.keywords.items() if name not in every}
        if given.others is None:
            held[parameters.kwarg.arg] = of(Table(others))
        else:
            held[parameters.kwarg.arg] = of(Items(union([*others.values(), given.others])))
    # In the order of the signature: the first one is ``self``.
    return {name: held[name] for name in dict.fromkeys([*names, *held])}
