"""What native readers of files are given as their paths: nobody sees what they open.

The code of a computation is followed from its start, with the arguments that it has, down to the
calls of readers that `readers` knows. A path that can be told beforehand is `Given`: written out,
an input, or computed of such by means that `folding` knows. Of any other there is a risk, at the
line of the call by which it comes in, and then every text of the computation that may be a path is
`Given` too.

What may be a path is the name of a folder that exists, or has a separator, a wildcard or a file's
suffix.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from types import CodeType, FunctionType
from typing import Any

from cascade_nb.errors import logger
from cascade_nb.fingerprint.native import bytecode, queries
from cascade_nb.fingerprint.native.arguments import Arguments
from cascade_nb.fingerprint.native.bodies import Body, body_of_code, prepared
from cascade_nb.fingerprint.native.calls import Caller
from cascade_nb.fingerprint.native.computation import Computation, Computed, Given
from cascade_nb.fingerprint.native.possible import (
    Items,
    Pattern,
    Row,
    Table,
    Term,
    Values,
    of,
    path_text,
    union,
)
from cascade_nb.fingerprint.native.readers import COMMON, Role, known_as
from cascade_nb.fingerprint.native.runs import Frame
from cascade_nb.fingerprint.native.urls import is_remote, local_paths
from cascade_nb.fingerprint.risks import NETWORK, UNSEEN, UNSEEN_IN_QUERY, Risk

_SUFFIX = re.compile(r"\.[^\W\d]\w{0,15}$")
_WORD = re.compile(r"[\w-][\w.-]*")
_FEW = 64
_MOST_PATHS = 1000
_MOST_ROUNDS = 4
# How readers call the parameter that takes the path.
_PATH_PARAMETERS = re.compile(r"source|path|where|file|name|store|uri|dir|database")


class Reading:
    """What the readers in a computation are given: `paths`, and `risks` where that is unknown."""

    def __init__(self, computation: Computation) -> None:
        self.paths: set[str] = set()
        self.risks: dict[Risk, None] = {}
        self.anything = False
        self._computation = computation
        functions = [f for f in computation.reached if isinstance(f, FunctionType)]
        known = {f: body_of_code(f.__code__) for f in functions}
        bodies = [body for body in known.values() if body is not None]
        cell = None if computation.tree is None else prepared(computation.tree)
        self._caller = Caller(
            self,
            ignored=computation.ignored,
            rebound=_rebound(bodies),
            methods=_methods(computation.reached),
            packages=computation.packages,
        )
        try:
            for _ in range(_MOST_ROUNDS):
                self._follow(cell)
                if len(bodies) < len(known):
                    self._caller.call_blindly(functions)
                if not self._caller.heap.grown:
                    break
                self._caller.begin_again()
        except Exception:
            # A computation runs, whatever is strange in it.
            logger.exception("what native readers are given cannot be followed")
            line = getattr(getattr(computation.start, "__code__", None), "co_firstlineno", 1)
            self._risk(line, "reading", UNSEEN.format(name="a native reader"))
        self._look_at([f.__code__ for f, body in known.items() if body is None])

    def _look_at(self, codes: Sequence[CodeType]) -> None:
        """Code without source cannot be followed; its bytecode tells whether it makes up paths."""
        self.anything |= bool(codes)
        names = {name for code in codes for name in bytecode.names_in(code)}
        for code in filter(bytecode.makes_paths, codes):
            name = min(COMMON & names, default="a native reader")
            self._risk(code.co_firstlineno, name, UNSEEN.format(name=name))

    def given(self, every: Set[str], values: Mapping[str, Any]) -> list[Given]:
        """The texts that may be given to readers, of `every` text where it may be any of them."""
        found = {text for text in self.paths if text.strip()}
        if self.anything:
            # A name without a suffix may be anything: of few texts, it is one more.
            found |= {text for text in every if may_be_path(text)}
            if len(every) <= _FEW:
                versions = {v for label, v in values.items() if label.startswith("distribution ")}
                found |= {text for text in every - versions if _WORD.fullmatch(text)}
        return [Given(t) if _is_named(t, every) else Computed(t) for t in sorted(found)]

    def _follow(self, cell: Body | None) -> None:
        known = self._computation
        if cell is not None:
            frame = Frame(cell, self._caller, known.namespace, is_cell=True)
            self._caller.finish(frame)
        elif known.start is not None:
            arguments = {name: of(value) for name, value in known.arguments.items()}
            self._caller.start(known.start, arguments)
        self._caller.call_the_rest()

    # What `Caller` tells of readers

    def reads(self, role: Role, name: str, given: Arguments, line: int, frame: Frame) -> None:
        """A thing of that role is called."""
        name = known_as(name)
        if role is Role.QUERY:
            self._query(name, given, line, frame)
            return
        path = _path_among(given)
        if role is Role.FETCHER or name.startswith("sqlite3."):
            path = Values(tuple(thing for thing in path.known if _is_remote(thing)))
        self._take(path, name, line)
        if path.unknown is not None:
            self._risk(abs(path.unknown) or line, name, UNSEEN.format(name=name))

    def _take(self, values: Values, name: str, line: int) -> None:
        for thing in values.known:
            text = thing.text if isinstance(thing, Pattern) else path_text(thing)
            if text is None:
                self._take_inside(thing, name, line)
            elif is_remote(text):
                self._risk(line, name, NETWORK)
            else:
                self.paths.update(local_paths(text))

    def _take_inside(self, thing: Any, name: str, line: int) -> None:
        match thing:
            case Items(values=values, keys=keys):
                self._take(union([values, keys]), name, line)
                if values.unknown is not None:
                    self._risk(abs(values.unknown) or line, name, UNSEEN.format(name=name))
            case Row(parts=parts):
                self._take_inside(Items(union(parts)), name, line)
            case Table(fields=fields):
                self._take_inside(Items(union(fields.values())), name, line)
            case list() | tuple() | set() | frozenset():
                if len(thing) > _MOST_PATHS:
                    self._risk(line, name, UNSEEN.format(name=name))
                else:
                    self._take(Values(tuple(thing)), name, line)
            case dict():
                self._take_inside([*thing.keys(), *thing.values()], name, line)

    def _query(self, name: str, given: Arguments, line: int, frame: Frame) -> None:
        sql = given.first("query", "sql", "sql_query", "sql_script")
        attaches = name.startswith("sqlite3.")
        if sql.unknown is not None:
            if not attaches or queries.speaks_of_attaching(frame.body.node):
                self._risk(abs(sql.unknown) or line, name, UNSEEN_IN_QUERY)
            return
        for text in sql.known:
            if not isinstance(text, str):
                continue
            paths = queries.attached(text) if attaches else queries.paths_in(text)
            if paths is None:
                self._risk(line, name, UNSEEN_IN_QUERY)
            else:
                self._take(Values(tuple(paths)), name, line)
            if not attaches and queries.reads_frame(text, frame, self._computation.labels):
                self._risk(line, name, UNSEEN_IN_QUERY)

    def _risk(self, line: int, name: str, message: str) -> None:
        self.anything |= message != NETWORK
        self.risks[Risk(line=line, name=name, message=message)] = None


def _is_named(path: str, every: Set[str]) -> bool:
    """Whether a path is one of the texts, or is put together of some with separators between."""
    if path in every or path + os.sep in every:
        return True
    for place in range(1, len(path)):
        begins = path[place] == os.sep and not every.isdisjoint({path[:place], path[: place + 1]})
        if begins and _is_named(path[place + 1 :], every):
            return True
    return False


def may_be_path(text: str) -> bool:
    """Whether a text looks like a path, or is the name of a folder."""
    if not re.search(r"\w", text) or is_remote(text) or re.fullmatch(r"\.\w+", text):
        return False  # separators, a URL, a mere suffix
    if os.sep in text or "/" in text or glob.has_magic(text):
        return True
    return _SUFFIX.search(text) is not None or os.path.isdir(os.path.expanduser(text))


def _path_among(given: Arguments) -> Values:
    """What a reader takes as its path, of what it is given."""
    if given.positional:
        return given.positional[0]
    names = [name for name in given.keywords if _PATH_PARAMETERS.search(name)]
    return given.first(*(names or given.keywords))


def _is_remote(thing: Any) -> bool:
    return not isinstance(thing, Term) and is_remote(path_text(thing) or "")


def _rebound(bodies: Iterable[Body]) -> set[str]:
    """The names of globals that code gives other values while it runs."""
    return {name for body in bodies for name in body.outer & body.bindings.keys() | body.rebound}


def _methods(reached: Iterable[Any]) -> dict[str, list[FunctionType]]:
    found: dict[str, list[FunctionType]] = {}
    for cls in reached:
        if isinstance(cls, type):
            for name, member in vars(cls).items():
                if isinstance(member, FunctionType) and not name.startswith("__"):
                    found.setdefault(name, []).append(member)
    return found
