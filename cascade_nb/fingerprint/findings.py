"""What a walk over code has found, apart from values; it can be taken up again for the next key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cascade_nb.fingerprint import risks
from cascade_nb.fingerprint.looks import Looks
from cascade_nb.fingerprint.native.readers import Role, role_of
from cascade_nb.fingerprint.normal import digest, text
from cascade_nb.fingerprint.ordering import Ordering, Piece
from cascade_nb.fingerprint.reached import Reached
from cascade_nb.fingerprint.risks import Risk

# Functions that turn times into those of the local time zone.
_LOCAL_TIMES = frozenset({"time.mktime", "time.localtime", "time.ctime", "dateutil.tz.tz.tzlocal"})


@dataclass(slots=True)
class Exposure:
    """What code is exposed to that no key can see.

    `draws` are the risks of drawing from each random generator, which are none where it is among
    the `seeded`. `roles` tells what installed code does with files, `local_time` whether any of it
    turns times into those of the local time zone, which is in the key then.
    """

    risks: list[Risk] = field(default_factory=list)
    draws: dict[str, list[Risk]] = field(default_factory=dict)
    seeded: set[str] = field(default_factory=set)
    roles: set[Role | None] = field(default_factory=set)
    local_time: bool = False

    def name(self, item: Reached) -> None:
        """Note what is known of a piece of installed code."""
        name = item.value
        self.roles.add(role_of(name))
        self.local_time |= name in _LOCAL_TIMES
        self.seeded.update(risks.seeded_by(name))
        message = risks.of_name(name, call=item.call)
        if message is not None:
            risk = Risk(line=item.line, name=name, message=message)
            generator = risks.generator_of(name)
            if generator is None:
                self.risks.append(risk)
            else:
                self.draws.setdefault(generator, []).append(risk)


@dataclass(slots=True)
class Findings(Exposure):
    """What a walk over code has found, apart from values.

    `parts` are digests by label, `versions` the texts behind some of them, `bindings` what each
    name in each piece of code means, `queue` the code itself.
    """

    parts: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    bindings: list[str] = field(default_factory=list)
    queue: list[tuple[str, Any]] = field(default_factory=list)
    packages: set[str] = field(default_factory=set)
    looks: Looks = field(default_factory=Looks)
    pieces: list[Piece] = field(default_factory=list)
    _ordering: tuple[list[Piece], Ordering] | None = None
    _names: str = ""

    def names(self) -> str:
        """The digest of all bindings, to be asked for when there will be no more."""
        self._names = self._names or digest(b"list", *map(text, self.bindings))
        return self._names

    def ordering(self, further: list[Piece]) -> Ordering:
        """The sets whose order is taken by all code and `further`, when there will be no more."""
        if self._ordering is None or self._ordering[0] != further:
            self._ordering = further, Ordering([*self.pieces, *further], self.bindings)
        return self._ordering[1]
