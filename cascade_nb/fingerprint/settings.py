"""Settings of libraries that change what their code gives: part of keys where not the defaults.

Precision of printed arrays, whether a division by zero raises, the decimal context: installed code
counts by name and version, and these are the inputs that it has besides. Libraries are asked only
where they are loaded, and never loaded here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from cascade_nb.fingerprint import patches

State = dict[str, Any]
ABSENT = object()


class Settings:
    """One group of a library's settings.

    Args:
        name: the group, for people: "pandas option".
        package: the top-level module whose code they change.
        live: gives the settings as the library keeps them, None where it is not loaded.
        flat: makes single items of these.
        defaults: gives the items as the library has them where nobody changes them.
        first: gives the items as this process has begun with them, where its environment may have
            changed them; by default these are the defaults.
        users: further packages whose code asks for them in its own time.
    """

    def __init__(
        self,
        name: str,
        package: str,
        live: Callable[[], Mapping[str, Any] | None],
        *,
        flat: Callable[[Any], State] = dict,
        defaults: Callable[[], State],
        first: Callable[[], State] | None = None,
        users: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.package = package
        self.packages = frozenset({package, *users})
        self.defaults = defaults
        self.first = defaults if first is None else first
        self._live = live
        self._flat = flat
        self._usual: dict[str, Any] | None = None

    def read(self) -> State | None:
        """All items; None where the library is not loaded."""
        live = self._live()
        return None if live is None else self._flat(live)

    def changed(self) -> State:
        """The items that are not the defaults, by labels for people."""
        live = self._live()
        if live is None or self._is_usual(live):
            return {}
        defaults = self.defaults()
        found = {
            f"{self.name} {item}": value
            for item, value in self._flat(live).items()
            if not same(defaults.get(item, ABSENT), value)
        }
        # To compare with a copy is quicker by far than to ask item by item.
        self._usual = None if found else _copied(live)
        return found

    def _is_usual(self, live: Mapping[str, Any]) -> bool:
        try:
            # Not `==`, which the mapping's class may have made slow.
            return self._usual is not None and dict.__eq__(self._usual, live) is True
        except Exception:
            return False  # Arrays and the like cannot be compared as a whole.


def same(one: Any, other: Any) -> bool:
    """Whether two settings are alike, by type too."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    try:
        return bool(one == other)
    except Exception:
        return False  # Arrays and the like: another object counts as another value.


def _copied(value: Any) -> Any:
    """A copy that no change in place reaches."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in dict.items(value)}
    return list(value) if type(value) is list else value


def concerning(packages: Iterable[str]) -> tuple[Settings, ...]:
    """The settings that may change what code of `packages` gives, and of those they import."""
    return _concerning(frozenset(packages), len(sys.modules))


@lru_cache(maxsize=1024)
def _concerning(packages: frozenset[str], loaded: int) -> tuple[Settings, ...]:
    reached = packages | patches.imported_by(packages)
    return tuple(each for each in SETTINGS if not each.packages.isdisjoint(reached))


def all_changed() -> State:
    """Every item of every library that is not the default, by labels for people."""
    return {label: value for each in SETTINGS for label, value in each.changed().items()}


# numpy

_PRINTING = {
    "edgeitems": 3,
    "threshold": 1000,
    "precision": 8,
    "suppress": False,
    "linewidth": 75,
    "nanstr": "nan",
    "infstr": "inf",
    "sign": "-",
    "floatmode": "maxprec",
    "formatter": None,
    "legacy": False,
    "override_repr": None,
}
_NUMPY_ERRORS = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}


def _from_numpy(function: str) -> Callable[[], State | None]:
    def live() -> State | None:
        # One that is just being loaded may not have it yet.
        ask = getattr(sys.modules.get("numpy"), function, None)
        return None if ask is None else ask()

    return live


PRINTING = Settings(
    "numpy print option", "numpy", _from_numpy("get_printoptions"), defaults=lambda: _PRINTING
)
NUMPY_ERRORS = Settings(
    "numpy error handling", "numpy", _from_numpy("geterr"), defaults=lambda: _NUMPY_ERRORS
)


# pandas


def _pandas_config() -> Any:
    config = sys.modules.get("pandas._config.config")
    return config if hasattr(config, "_registered_options") else None


def _live_pandas() -> State | None:
    return getattr(_pandas_config(), "_global_config", None)


def _flat_pandas(live: State) -> State:
    # Not get_option, which warns of options that are on their way out.
    found = {}
    for key in _pandas_config()._registered_options:
        value: Any = live
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found


def _first_pandas() -> State:
    options = _pandas_config()._registered_options
    return {key: option.defval for key, option in options.items()}


def _default_pandas() -> State:
    """What pandas begins with where no variable such as PANDAS_FUTURE_INFER_STRING is set."""
    found = _first_pandas()
    is_3 = not str(getattr(sys.modules.get("pandas"), "__version__", "")).startswith(("1.", "2."))
    own: State = {
        "mode.copy_on_write": is_3,
        "mode.data_manager": "block",
        "future.infer_string": is_3,
        "future.python_scalars": False,
        "future.distinguish_nan_and_na": False,
    }
    known = sys.modules.get("pandas.core.config_init")
    behaviours: Mapping[str, Any] = getattr(known, "_future_option_behaviors", {})
    own |= {f"future.{name}": values["default"] for name, values in behaviours.items()}
    return found | {key: value for key, value in own.items() if key in found}


PANDAS = Settings(
    "pandas option",
    "pandas",
    _live_pandas,
    flat=_flat_pandas,
    defaults=_default_pandas,
    first=_first_pandas,
)


# matplotlib

# A backend is chosen by set-up magics, which a hit runs again; the other flips by itself.
_UNSTABLE_PARAMETERS = frozenset({"backend", "backend_fallback", "interactive"})


def _live_parameters(name: str = "rcParams") -> Any:
    return getattr(sys.modules.get("matplotlib"), name, None)


def _flat_parameters(live: State) -> State:
    return {k: _parameter(v) for k, v in dict.items(live) if k not in _UNSTABLE_PARAMETERS}


def _parameter(value: Any) -> Any:
    """Matplotlib reads back the text of a colour cycle, and lists for tuples."""
    if type(value).__name__ == "Cycler":
        return repr(value)
    return list(value) if isinstance(value, tuple) else value


def _default_parameters() -> State:
    # First those of matplotlib, not of the user's own file: editing that changes plots.
    for name in ("rcParamsDefault", "rcParamsOrig"):
        if (found := _live_parameters(name)) is not None:
            # Its lists are those of the live ones, so they are copied at first sight.
            return _first_parameters.setdefault(id(found), _copied(_flat_parameters(found)))
    return {}


_first_parameters: dict[int, State] = {}


# Plots of pandas import matplotlib when the first one is made.
PARAMETERS = Settings(
    "rcParams",
    "matplotlib",
    _live_parameters,
    flat=_flat_parameters,
    defaults=_default_parameters,
    users=["pandas"],
)


# scikit-learn


def _live_sklearn() -> State | None:
    carried = _of_caller.get()
    if carried is not None:
        return carried
    ask = getattr(sys.modules.get("sklearn"), "get_config", None)
    return None if ask is None else ask()


# Each thread has its own; a key that is made in another one than its caller's counts the caller's.
_of_caller: ContextVar[State | None] = ContextVar("cascade_nb_sklearn", default=None)


@contextmanager
def carried() -> Iterator[None]:
    """Take the settings of this thread along to another one, where a key is made."""
    token = _of_caller.set(_live_sklearn())
    try:
        yield
    finally:
        _of_caller.reset(token)


# What comes from the environment, as SKLEARN_ASSUME_FINITE.
_SKLEARN = {"assume_finite": False, "working_memory": 1024, "pairwise_dist_chunk_size": 256}


def _first_sklearn() -> State:
    return dict(getattr(sys.modules.get("sklearn._config"), "_global_config", {}))


def _default_sklearn() -> State:
    return _first_sklearn() | _SKLEARN


SKLEARN = Settings(
    "sklearn setting",
    "sklearn",
    _live_sklearn,
    defaults=_default_sklearn,
    first=_first_sklearn,
)


# polars


def _live_polars() -> State | None:
    config = getattr(sys.modules.get("polars"), "Config", None)
    return None if config is None else config.state(if_set=True)


# The rest are environment variables, which are not set.
POLARS_ITSELF: State = {
    "set_fmt_float": "mixed",
    "set_float_precision": None,
    "set_thousands_separator": "",
    "set_decimal_separator": ".",
    "set_trim_decimal_zeros": False,
}
POLARS = Settings("polars setting", "polars", _live_polars, defaults=lambda: POLARS_ITSELF)


# The standard library

_DECIMAL = {
    "prec": 28,
    "rounding": "ROUND_HALF_EVEN",
    "Emin": -999999,
    "Emax": 999999,
    "capitals": 1,
    "clamp": 0,
    "traps": ["DivisionByZero", "InvalidOperation", "Overflow"],
}


def _live_decimal() -> State | None:
    module = sys.modules.get("decimal")
    if module is None or not hasattr(module, "getcontext"):
        return None
    context = module.getcontext()
    state: State = {name: getattr(context, name) for name in _DECIMAL if name != "traps"}
    state["traps"] = context.traps.copy()
    return state


def _flat_decimal(live: State) -> State:
    return {**live, "traps": sorted(trap.__name__ for trap, on in live["traps"].items() if on)}


DECIMAL = Settings(
    "the decimal context's",
    "decimal",
    _live_decimal,
    flat=_flat_decimal,
    defaults=lambda: dict(_DECIMAL),
)

_CATEGORIES = ("LC_NUMERIC", "LC_TIME", "LC_COLLATE", "LC_MONETARY")


def _live_locale() -> State | None:
    module = sys.modules.get("locale")
    if module is None or not hasattr(module, "setlocale"):
        return None
    return {name: module.setlocale(getattr(module, name)) for name in _CATEGORIES}


LOCALE = Settings(
    "locale",
    "locale",
    _live_locale,
    defaults=lambda: dict.fromkeys(_CATEGORIES, "C"),
    users=["time", "datetime", "calendar"],
)

SETTINGS = (PRINTING, NUMPY_ERRORS, PANDAS, POLARS, PARAMETERS, SKLEARN, DECIMAL, LOCALE)
