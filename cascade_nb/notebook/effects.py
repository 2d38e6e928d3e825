"""Effects of a cell on the session, beside its names: seen by comparing before and after.

Each `Surface` is a part of the session's state, read as a flat dict. What a cell has changed of it
is recorded where it is plain data that can be put back, and makes the cell a bypass that names it
where it is not. What an import statement changes is no effect: a hit imports again.
"""

from __future__ import annotations

import ast
import decimal
import logging
import os
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cascade_nb.fingerprint import generators, magics, settings
from cascade_nb.fingerprint.settings import ABSENT, Settings, State, same

# What would put a secret into a result that may be shared.
_SECRET = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
# A cell's text that may seed a global generator; saying so too often costs hits, never truth.
_SEEDS = re.compile(r"seed|set_?state|set_rng_state", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Surface:
    """One part of the session's state.

    `read` gives it, None where its library is not loaded; `put` sets one item and `drop` removes
    one; where `put` is None, a change cannot be restored. `defaults` gives what it is before
    anybody changes it, for libraries that a cell's code loads itself. `is_seeded` tells of a
    random generator that it certainly is, whoever has done that.
    """

    name: str
    read: Callable[[], State | None]
    put: Callable[[str, Any], None] | None = None
    drop: Callable[[str], None] | None = None
    defaults: Callable[[], State] | None = None
    generator: bool = False
    is_seeded: Callable[[], bool] = lambda: False

    def label(self, item: str) -> str:
        """The surface, or one item of it, for people."""
        return f"{self.name} {item}".rstrip()


class Watch:
    """Compares the session's state before and after a body.

    Args:
        seeded: whether code of this session may have seeded the global random generators.
    """

    def __init__(self, *, seeded: bool) -> None:
        self._seeded = seeded
        self._before = _read_all()

    @contextmanager
    def statement(self, node: ast.stmt) -> Iterator[None]:
        """Around each top-level statement: what is done again on a hit counts as there before."""
        if not _is_done_again(node):
            yield
            return
        before = _read_all()
        yield
        for surface in SURFACES:
            after = surface.read()
            if after is not None:
                then = before.get(surface.name, {})
                mine = self._before.setdefault(surface.name, _undisturbed(surface, then))
                _carry_over(mine, then, after)

    def changes(self) -> tuple[dict[str, Any], str]:
        """What has changed, as plain data for `restore`; and what cannot be restored, if so."""
        recorded: dict[str, Any] = {}
        for surface in SURFACES:
            after = surface.read()
            if after is None:
                continue
            before = self._before.get(surface.name)
            if before is None:
                before = surface.defaults() if surface.defaults is not None else after
            changed = {k: v for k, v in after.items() if not same(before.get(k, ABSENT), v)}
            gone = [k for k in before if k not in after]
            if not changed and not gone:
                continue
            if surface.generator:
                recorded[surface.name] = {"before": dict(before), "after": dict(after)}
                continue
            culprit = _unrestorable(surface, changed, gone)
            if culprit is not None:
                return {}, f"it changes {surface.label(culprit)}"
            if surface.name == _PATH:
                recorded[_PATH] = _path_change(before[""], after[""])
            else:
                recorded[surface.name] = {"put": changed, "drop": gone}
        return recorded, ""


def refused(recorded: Mapping[str, Any], *, seeded: bool) -> str:
    """Why recorded effects do not hold in this session; empty where they do."""
    for surface in SURFACES:
        change = recorded.get(surface.name)
        if change is None:
            continue
        if surface.generator:
            now = surface.read() if seeded or surface.is_seeded() else None
            if now is not None and not same(now, change["before"]):
                return f"the state of {surface.name} is another one"
        elif surface.name == _FOLDER and not os.path.isdir(change["put"][""]):
            return f"the folder {change['put']['']} does not exist"
    return ""


def restore(recorded: Mapping[str, Any], *, seeded: bool) -> None:
    """Do again what the cell did to the session."""
    for surface in SURFACES:
        change = recorded.get(surface.name)
        if change is None or surface.put is None:
            continue
        if surface.generator:
            # An unseeded generator gives anything at all; leaving it alone is as good.
            known = seeded or surface.is_seeded()
            for item, value in change["after"].items() if known else ():
                surface.put(item, value)
            continue
        if surface.name == _PATH:
            _restore_path(change)
            continue
        for item, value in change["put"].items():
            surface.put(item, value)
        for item in change["drop"]:
            if surface.drop is not None:
                surface.drop(item)


def may_seed(source: str) -> bool:
    """Whether running `source` may seed a global random generator."""
    return _SEEDS.search(source) is not None


def display_settings() -> dict[str, Any]:
    """Settings that change how values look and that are not at their defaults: part of the key."""
    return settings.all_changed()


def _read_all() -> dict[str, State]:
    states = {surface.name: surface.read() for surface in SURFACES}
    return {name: state for name, state in states.items() if state is not None}


def _is_done_again(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    magic = magics.of_statement(node)
    return magic is not None and magic.is_setup


def _undisturbed(surface: Surface, state: State) -> State:
    """What `surface` was at first, if a statement in between has loaded its library."""
    return surface.defaults() if state and surface.defaults is not None else dict(state)


def _carry_over(mine: State, before: State, after: State) -> None:
    """Change `mine` as `before` has changed to `after`."""
    for item, value in after.items():
        if not same(before.get(item, ABSENT), value):
            mine[item] = value
    for item in before:
        if item not in after:
            mine.pop(item, None)


def _unrestorable(surface: Surface, changed: State, gone: list[str]) -> str | None:
    """The first item of a change that cannot be done again."""
    if surface.put is None:
        return next(iter([*changed, *gone]))
    if gone and surface.drop is None:
        return gone[0]
    for item, value in changed.items():
        if not _is_plain(value):
            return item
        if surface.name == _ENVIRONMENT and _SECRET.search(item):
            return item
    return None


def _is_plain(value: Any) -> bool:
    if value is None or type(value) in (bool, int, float, str, bytes):
        return True
    if type(value) is list:
        return all(map(_is_plain, value))
    return type(value) is dict and all(type(k) is str and _is_plain(v) for k, v in value.items())


# The surfaces. Libraries are asked only where they are loaded, and never loaded here.

_ENVIRONMENT, _FOLDER, _PATH = "os.environ", "the working folder", "sys.path"


def _drop_variable(item: str) -> None:
    os.environ.pop(item, None)


def _put_variable(item: str, value: str) -> None:
    os.environ[item] = value


def _read_path() -> State:
    return {"": list(sys.path)}


def _put_path(_: str, value: list[str]) -> None:
    sys.path[:] = value


def _path_change(before: list[str], after: list[str]) -> dict[str, Any]:
    """What a cell did to the path; the rest of it is the session's own, and names its folders."""
    return {
        "added": [[i, folder] for i, folder in enumerate(after) if folder not in before],
        "removed": [folder for folder in before if folder not in after],
    }


def _restore_path(change: Mapping[str, Any]) -> None:
    for index, folder in change.get("added", ()):
        if folder not in sys.path:
            sys.path.insert(index, folder)
    for folder in change.get("removed", ()):
        if folder in sys.path:
            sys.path.remove(folder)


def _read_folder() -> State:
    try:
        return {"": os.getcwd()}
    except OSError:
        return {"": ""}  # Somebody has removed it.


def _put_random(_: str, value: list[Any]) -> None:
    version, numbers, gauss = value
    random.setstate((version, tuple(numbers), gauss))


def _read_numpy_random() -> State | None:
    state = generators.state_of_numpy()
    return None if state is None else {"": state}


def _put_numpy_random(_: str, value: list[Any]) -> None:
    import numpy

    key, position, has_gauss, gauss = value
    state = ("MT19937", numpy.frombuffer(key, dtype=numpy.uint32), position, has_gauss, gauss)
    numpy.random.set_state(state)


def _read_torch_random() -> State | None:
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "get_rng_state"):
        return None
    return {"": bytes(torch.get_rng_state().numpy())}


def _put_torch_random(_: str, value: bytes) -> None:
    import torch  # type: ignore[import-not-found, unused-ignore]

    torch.set_rng_state(torch.frombuffer(bytearray(value), dtype=torch.uint8))


def _put_parameter(item: str, value: Any) -> None:
    import matplotlib

    matplotlib.rcParams[item] = value  # type: ignore[index, unused-ignore]


def _put_pandas(item: str, value: Any) -> None:
    import pandas

    pandas.set_option(item, value)


def _put_printing(item: str, value: Any) -> None:
    import numpy

    numpy.set_printoptions(**{item: value})


def _put_numpy_errors(item: str, value: Any) -> None:
    import numpy

    numpy.seterr(**{item: value})


def _read_filters() -> State:
    return {"": [_filter_as_data(entry) for entry in warnings.filters]}


def _filter_as_data(entry: tuple[Any, ...]) -> Any:
    action, message, category, module, line = entry
    patterns = [p if isinstance(p, str | None) else [p.pattern, p.flags] for p in (message, module)]
    home, name = category.__module__, category.__qualname__
    if getattr(sys.modules.get(home), name, None) is not category:
        return entry  # A class that nothing can find again by name.
    return [action, patterns[0], [home, name], patterns[1], line]


def _put_filters(_: str, value: list[Any]) -> None:
    filters: list[Any] = []
    for action, message, (home, name), module, line in value:
        category = getattr(sys.modules.get(home), name, None)
        if category is not None:
            patterns = [re.compile(*p) if isinstance(p, list) else p for p in (message, module)]
            filters.append((action, patterns[0], category, patterns[1], line))
    warnings.filters[:] = filters  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _loggers() -> Iterator[tuple[str, logging.Logger]]:
    yield "root", logging.root
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            yield name, logger


def _read_levels() -> State:
    return {name: logger.level for name, logger in _loggers() if logger.level or name == "root"}


def _put_level(item: str, value: int) -> None:
    (logging.root if item == "root" else logging.getLogger(item)).setLevel(value)


def _drop_level(item: str) -> None:
    logging.getLogger(item).setLevel(logging.NOTSET)


def _read_handlers() -> State:
    return {name: _Identities(logger.handlers) for name, logger in _loggers() if logger.handlers}


def _put_sklearn(item: str, value: Any) -> None:
    import sklearn  # type: ignore[import-untyped, unused-ignore]

    sklearn.set_config(**{item: value})


def _read_polars() -> State | None:
    """What polars keeps itself: the rest of its settings are environment variables."""
    found = settings.POLARS.read()
    return found and {item: found[item] for item in settings.POLARS_ITSELF if item in found}


def _put_polars(item: str, value: Any) -> None:
    import polars

    # An empty text stands for no separator, and is no argument.
    getattr(polars.Config, item)(None if value == "" else value)


def _put_locale(item: str, value: str) -> None:
    import locale

    locale.setlocale(getattr(locale, item), value)


def _put_decimal(item: str, value: Any) -> None:
    context = decimal.getcontext()
    if item == "traps":
        for trap in context.traps:
            context.traps[trap] = trap.__name__ in value
    else:
        setattr(context, item, value)


def _read_streams() -> State:
    return {name: _Identities([getattr(sys, name)]) for name in ("stdout", "stderr", "stdin")}


def _read_open_figures() -> State | None:
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return None
    return {"": _Identities([m.canvas.figure for m in helpers.Gcf.get_all_fig_managers()])}


def _surface_of(group: Settings, put: Callable[[str, Any], None]) -> Surface:
    return Surface(group.name, group.read, put, defaults=group.first)


class _Identities:
    """Objects that are compared by identity, and that cannot be recorded."""

    def __init__(self, objects: list[Any]) -> None:
        self._objects = list(objects)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Identities) or len(other._objects) != len(self._objects):
            return False
        return all(a is b for a, b in zip(self._objects, other._objects, strict=True))

    __hash__ = None  # type: ignore[assignment]


SURFACES = (
    Surface(_ENVIRONMENT, lambda: dict(os.environ), _put_variable, _drop_variable),
    Surface(_FOLDER, _read_folder, lambda _, folder: os.chdir(folder)),
    Surface(_PATH, _read_path, _put_path),
    Surface(
        "the random module",
        lambda: {"": generators.state_of_random()},
        _put_random,
        generator=True,
    ),
    Surface(
        "numpy.random",
        _read_numpy_random,
        _put_numpy_random,
        generator=True,
        is_seeded=generators.is_numpy_seeded,
    ),
    Surface("torch's generator", _read_torch_random, _put_torch_random, generator=True),
    _surface_of(settings.PARAMETERS, _put_parameter),
    _surface_of(settings.PANDAS, _put_pandas),
    _surface_of(settings.PRINTING, _put_printing),
    _surface_of(settings.NUMPY_ERRORS, _put_numpy_errors),
    _surface_of(settings.SKLEARN, _put_sklearn),
    Surface(
        settings.POLARS.name, _read_polars, _put_polars, defaults=lambda: settings.POLARS_ITSELF
    ),
    Surface("warning filters", _read_filters, _put_filters),
    Surface("logging level of", _read_levels, _put_level, _drop_level),
    Surface("logging handlers of", _read_handlers),
    _surface_of(settings.DECIMAL, _put_decimal),
    _surface_of(settings.LOCALE, _put_locale),
    Surface("sys.", _read_streams),
    Surface(
        "recursion limit",
        lambda: {"": sys.getrecursionlimit()},
        lambda _, n: sys.setrecursionlimit(n),
    ),
    Surface("pyplot's open figures", _read_open_figures),
)
