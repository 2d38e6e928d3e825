"""The user's code on installed classes: methods put there, accessors that were registered.

Installed classes count by name and version, so what the user has hung on them is looked for apart:
on the classes of the packages that code names or whose values it is given, and of those that these
packages import. A patch counts for code that uses an attribute of its name, and for all code that
uses the package where the package itself uses that name.

Nothing tells that a class has changed, so for each key the classes are looked at: whether they have
as many attributes as before, and whether the attributes whose names the code uses are the same.
That a method was replaced which only the package itself calls is seen by a thorough look alone.
Every cell's key has one, and every call's too, but where calls follow each other so closely that
looks would take more than a twentieth of the time; then one is missed out here and there.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from operator import is_
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from cascade_nb.fingerprint import origin
from cascade_nb.fingerprint.origin import Owner
from cascade_nb.fingerprint.ownership import FOLLOWED_KINDS, inside, is_mock, owner_of_function

_HEAP_TYPE, _IMMUTABLE_TYPE = 1 << 9, 1 << 8
_SHARE = 0.05  # of the time that thorough looks may take in the long run
_IN_HAND = 0.02  # seconds that they may take at once
_DEPTH = 4  # of wrappers around a function of the user's


class Patch(NamedTuple):
    """Something of the user's that is an attribute of an installed class."""

    label: str
    value: Any
    is_used_inside: bool


class _Package:
    """The classes of one installed package, and what was found on them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.imports: set[str] = set()
        self.standard: set[str] = set()
        self.patches: dict[type, dict[str, Patch]] = {}
        self._modules: set[str] = set()
        self._spaces: dict[type, dict[str, Any]] = {}
        self._held: dict[type, tuple[Any, ...]] = {}
        self._sizes: list[int] = []
        self._values: tuple[Any, ...] = ()
        self._carriers: dict[str, list[tuple[dict[str, Any], Any]]] = {}
        self._looked, self._in_hand = 0.0, _IN_HAND
        self._used_in, self._used = 0, frozenset[str]()

    def enlist(self, modules: Mapping[str, ModuleType]) -> None:
        """Take in the classes of modules that are new, and what they import."""
        if len(modules) == len(self._modules):
            return
        for name in modules.keys() - self._modules:
            space = vars(modules[name])
            if not getattr(space.get("__spec__"), "_initializing", False):
                self._modules.add(name)
            for value in list(space.values()):
                # Not by isinstance, which asks things for their class that warn of being asked.
                if issubclass(type(value), type | ModuleType | FunctionType):
                    self._enlist(value)

    def _enlist(self, value: type | ModuleType | FunctionType) -> None:
        home = value.__name__ if isinstance(value, ModuleType) else value.__module__
        top = home.partition(".")[0] if isinstance(home, str) else ""
        if top != self.name:
            known = self.standard if top in sys.stdlib_module_names else self.imports
            known.add(top)
        elif isinstance(value, type) and _can_change(value):
            # The dict beneath the proxy, which is quicker to go through.
            self._spaces.setdefault(value, gc.get_referents(vars(value))[0])

    def look(self, names: Iterable[str], *, thorough: bool) -> bool:
        """Whether there are other patches now than at the last look."""
        began = time.perf_counter()
        if not (thorough or self._can_afford(began)):
            same = self._sizes == self._sizes_now() and self._patches_stand()
            if same and all(map(self._is_as_before, names)):
                return False
        changed = []
        if not self._all_stands():
            changed = [self._look_at(cls, space) for cls, space in self._spaces.items()]
            self._sizes = self._sizes_now()
            self._values = tuple(self._values_now())
            self._carriers.clear()
        self._in_hand -= time.perf_counter() - began
        return any(changed)

    def _can_afford(self, now: float) -> bool:
        """Whether the time for a thorough look is at hand, of which more comes as time goes by."""
        self._in_hand = min(_IN_HAND, self._in_hand + _SHARE * (now - self._looked))
        self._looked = now
        return self._in_hand > 0

    def labels(self) -> list[str]:
        """What was found, in the user's words."""
        return [patch.label for found in self.patches.values() for patch in found.values()]

    def _all_stands(self) -> bool:
        """Whether each class has the very attributes that it had at the last thorough look."""
        same = self._sizes == self._sizes_now()
        return same and all(map(is_, self._values_now(), self._values))

    def _values_now(self) -> Iterator[Any]:
        return chain.from_iterable(map(dict.values, self._spaces.values()))

    def _patches_stand(self) -> bool:
        return all(
            self._spaces[cls].get(name) is patch.value
            for cls, found in self.patches.items()
            for name, patch in found.items()
        )

    def _sizes_now(self) -> list[int]:
        return list(map(len, self._spaces.values()))

    def _is_as_before(self, name: str) -> bool:
        carriers = self._carriers.get(name)
        if carriers is None:
            # With what lay there at the last thorough look, which may be long ago.
            carriers = self._carriers[name] = [
                (space, self._held[cls][list(space).index(name)])
                for cls, space in self._spaces.items()
                if name in space
            ]
        return all(space.get(name) is value for space, value in carriers)

    def _look_at(self, cls: type, space: Mapping[str, Any]) -> bool:
        values, held = tuple(space.values()), self._held.get(cls, ())
        if len(values) == len(held) and all(map(is_, values, held)):
            return False
        self._held[cls] = values
        before = self.patches.pop(cls, None)
        found = {
            name: Patch(f"{cls.__qualname__}.{name}", value, self._uses(name))
            for name, value in zip(list(space), values, strict=False)
            if is_users(value)
        }
        if found:
            self.patches[cls] = found
        return bool(before or found)

    def _uses(self, name: str) -> bool:
        """Whether code of the package itself uses an attribute of that name, or Python does."""
        if name.startswith("__"):
            return True
        modules = _modules_of(self.name)
        if self._used_in != len(modules):
            self._used_in = len(modules)
            self._used = frozenset(
                _names_used_in((*map(vars, modules.values()), *self._spaces.values()))
            )
        return name in self._used


_packages: dict[str, _Package] = {}
_modules: dict[str, dict[str, ModuleType]] = {}
_modules_known = 0
_by_name: dict[str, list[Patch]] = {}
_changes = 0


def find(packages: Collection[str], names: Collection[str], *, thorough: bool = False) -> bool:
    """Look at the classes of `packages`; whether patches were found that `of_names` knew not.

    Args:
        packages: names of top-level modules.
        names: the attributes that the code at hand uses.
        thorough: whether to look at every attribute.
    """
    global _changes
    changed = False
    for package in _with_imports(packages):
        changed |= package.look(names, thorough=thorough)
    if changed:
        _changes += 1
        _by_name.clear()
        for package in _packages.values():
            for found in package.patches.values():
                for name, patch in found.items():
                    _by_name.setdefault(name, []).append(patch)
    return changed


def of_names(names: frozenset[str]) -> list[Patch]:
    """The patches known by now that code may run which uses attributes of these names."""
    if not _by_name or _by_name.keys().isdisjoint(names):
        return []
    return _in_order(patch for name in _by_name.keys() & names for patch in _by_name[name])


def of_packages(packages: Collection[str]) -> list[Patch]:
    """The patches known by now that the code of these packages itself may run."""
    if not _by_name:
        return []
    return _in_order(
        patch
        for package in _with_imports(packages)
        for found in package.patches.values()
        for patch in found.values()
        if patch.is_used_inside
    )


def known_by_now() -> tuple[int, int]:
    """What `of_names` and `of_packages` give depends on: equal as long as they give the same."""
    return _changes, len(sys.modules)


def imported_by(packages: Collection[str]) -> frozenset[str]:
    """The top-level modules that installed `packages` use, and those that these use in turn."""
    found = _with_imports(packages)
    return frozenset().union(*(package.imports | package.standard for package in found))


def _in_order(patches: Iterable[Patch]) -> list[Patch]:
    return sorted(patches, key=lambda patch: patch.label)


def _with_imports(packages: Collection[str]) -> list[_Package]:
    """The installed packages with all that they import; the standard library's by themselves."""
    found: dict[str, _Package] = {}
    waiting = list(packages)
    for name in waiting:
        if name not in found and (package := _package(name)) is not None:
            found[name] = package
            if name not in sys.stdlib_module_names:
                waiting += package.imports
    return list(found.values())


def _package(name: str) -> _Package | None:
    modules = _modules_of(name)
    if name not in modules or not _is_anothers(name):
        return None
    package = _packages.get(name)
    if package is None:
        package = _packages[name] = _Package(name)
    package.enlist(modules)
    return package


def _modules_of(package: str) -> dict[str, ModuleType]:
    """The loaded modules of a package."""
    global _modules_known
    if len(sys.modules) != _modules_known:
        _modules.clear()
        _modules_known = len(sys.modules)
        for name, module in list(sys.modules.items()):
            if isinstance(module, ModuleType):
                _modules.setdefault(name.partition(".")[0], {})[name] = module
    return _modules.get(package, {})


@cache
def _is_anothers(package: str) -> bool:
    return origin.owner_of_module(package) in (Owner.INSTALLED, Owner.STANDARD)


def _can_change(cls: type) -> bool:
    return cls.__flags__ & (_HEAP_TYPE | _IMMUTABLE_TYPE) == _HEAP_TYPE


def _names_used_in(spaces: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    values = [value for space in spaces for value in list(space.values())]
    codes = [value.__code__ for value in values if isinstance(value, FunctionType)]
    for code in codes:
        yield from code.co_names
        codes += [value for value in code.co_consts if isinstance(value, CodeType)]


def is_users(value: Any, depth: int = _DEPTH) -> bool:
    """Whether `value`, an attribute of an installed class, is the user's or holds what is."""
    if isinstance(value, FunctionType):
        # Functions made from texts (by namedtuple, attrs) may have no module; these are no user's.
        if owner_of_function(value) is Owner.USER:
            return value.__globals__.get("__name__") in sys.modules
        if not value.__closure__ and not value.__dict__:
            return False
    elif isinstance(value, type):
        if _is_of_users(value):
            return True
        if "<locals>" not in value.__qualname__:
            return False
    elif isinstance(value, ModuleType):
        return False
    elif is_mock(value) or _is_of_users(type(value)):
        return True
    elif not isinstance(value, FOLLOWED_KINDS) and not hasattr(type(value), "__get__"):
        return False
    return depth > 0 and any(is_users(part, depth - 1) for part in _parts_of(value))


def _is_of_users(cls: type) -> bool:
    module = cls.__module__
    if not isinstance(module, str) or module == "builtins" or module not in sys.modules:
        return False
    if module.startswith("_cython_"):  # made up for Cython's own types
        return False
    return origin.owner_of_module(module) is Owner.USER


def _parts_of(value: Any) -> Iterator[Any]:
    if isinstance(value, FOLLOWED_KINDS):
        yield from (part for _, part in inside(value))
        return
    for cell in (isinstance(value, FunctionType) and value.__closure__) or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # an empty cell
    try:
        # Asked of a lazy module, as six has them, any other way would import what it stands for.
        yield from list(object.__getattribute__(value, "__dict__").values())
    except AttributeError:
        return
