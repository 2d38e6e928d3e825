"""The global random generators, and which of them a run moves.

Installed code is not read, so that nothing in a key tells that ``df.sample(3)`` draws numbers. The
run itself shows it: the state of a global generator is another one afterwards. Generators are
asked only where they are loaded, and never loaded here.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar, Token
from typing import Any

State = list[Any]
_FRESH = (623, 624)  # where numpy's generator stands that has not given a number yet


def state_of_random() -> State:
    """The state of the random module's generator, as plain data."""
    version, numbers, gauss = random.getstate()
    return [version, list(numbers), gauss]


def state_of_numpy() -> Any:
    """The state of numpy's global generator: key, position and the rest; None if not loaded."""
    module = sys.modules.get("numpy.random")
    if module is None:
        return None
    state = module.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        return state
    inner = state["state"]
    return [inner["key"].tobytes(), inner["pos"], state["has_gauss"], float(state["gauss"])]


def is_numpy_seeded() -> bool:
    """Whether `numpy.random.seed` was called, by installed code as well.

    It leaves the generator without the sequence of seeds that a fresh one is made from.
    """
    generator = getattr(sys.modules.get("numpy.random.mtrand"), "_rand", None)
    return getattr(getattr(generator, "_bit_generator", None), "_seed_seq", False) is None


# By the names of the modules whose functions draw from them.
GENERATORS: Mapping[str, Callable[[], Any]] = {
    "random": random.getstate,
    "numpy.random": state_of_numpy,
}


class Moves:
    """Around a run, or each step of one: which global generators it has moved.

    `found` are their names; one that was seeded meanwhile is none of them. A run of `code` beside
    which a run of another code went on is not judged: nobody can tell which of them it was.
    """

    __slots__ = ("_alone", "_before", "_code", "_outer", "_seeded", "_token", "found")

    def __init__(self, code: str) -> None:
        self.found: set[str] = set()
        self._code = code

    def start(self) -> None:
        """A step begins."""
        self._outer = _innermost.get()
        self._alone = True
        with _lock:
            for other in _running.difference(self._around()):
                if other._code != self._code:
                    self._alone = other._alone = False
            _running.add(self)
        self._token: Token[Moves | None] = _innermost.set(self)
        self._seeded = is_numpy_seeded()
        self._before = {name: state() for name, state in GENERATORS.items()}

    def stop(self) -> None:
        """The step has ended, however it did."""
        moved = {name for name, state in GENERATORS.items() if self._is_moved(name, state())}
        if is_numpy_seeded() and not self._seeded:
            moved.discard("numpy.random")
        _innermost.reset(self._token)
        with _lock:
            _running.discard(self)
            if self._alone:
                self.found |= moved

    def _around(self) -> Iterator[Moves]:
        outer = self._outer
        while outer is not None:
            yield outer
            outer = outer._outer

    def _is_moved(self, name: str, after: Any) -> bool:
        before = self._before[name]
        if before is None:  # loaded meanwhile, if at all
            return isinstance(after, list) and after[1] not in _FRESH
        # States of other kinds of generators hold arrays, which cannot be compared as a whole.
        return repr(before) != repr(after) if isinstance(after, dict) else before != after

    def __enter__(self) -> Moves:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


_innermost: ContextVar[Moves | None] = ContextVar("cascade_nb_moves", default=None)
_running: set[Moves] = set()
_lock = threading.Lock()
