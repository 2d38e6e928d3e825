"""Where code lies decides whose it is: the user's is followed, installed code counts by name.

The user's is everything that is neither the standard library nor an installed distribution: the
working folder, editable installs, `__main__`, cells, a project inside a virtual environment.
cascade_nb itself is neither followed nor counted, however it is installed.
"""

from __future__ import annotations

import enum
import functools
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Set
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType

from blake3 import blake3


class Owner(enum.Enum):
    """Whose code something is."""

    USER = "user"
    INSTALLED = "installed"
    STANDARD = "standard library"
    CASCADE = "cascade_nb"


_OWN_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_SITE_NAMES = frozenset({"site-packages", "dist-packages"})
_packages: dict[str, set[str]] = {}
# Folders to which installers link the files of site-packages instead of copying them.
_LINK_TARGETS = frozenset({"archive-v0", "pkgs"})


def _standard_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["platstdlib"], os.path.dirname(os.__file__)}
    version = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    folders |= {os.path.join(os.path.dirname(folder), version) for folder in folders}
    return tuple({f + os.sep for folder in folders for f in (folder, os.path.realpath(folder))})


def _site_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths["purelib"], paths["platlib"], site.getusersitepackages()}
    folders |= set(site.getsitepackages())
    return tuple({f + os.sep for folder in folders for f in (folder, os.path.realpath(folder))})


_STANDARD_FOLDERS = _standard_folders()
_SITE_FOLDERS = _site_folders()


@functools.cache
def owner_of_file(filename: str) -> Owner:
    """Whose code the file `filename` holds; names that are no paths are the user's."""
    if filename.startswith("<frozen "):
        return Owner.STANDARD
    if filename.startswith("<") or not os.path.isabs(filename):
        return Owner.USER
    path = os.path.normpath(filename)
    if path.startswith(_OWN_FOLDER + os.sep):
        return Owner.CASCADE
    if _in_site_folder(path):
        target = os.path.realpath(path)
        linked_out = not _in_site_folder(target) and os.path.exists(target)
        # A link from site-packages to a project is an editable install by another name.
        if linked_out and _LINK_TARGETS.isdisjoint(target.split(os.sep)):
            return Owner.USER
        return Owner.INSTALLED
    if path.startswith(_STANDARD_FOLDERS):
        return Owner.STANDARD
    return Owner.USER


def _in_site_folder(path: str) -> bool:
    return path.startswith(_SITE_FOLDERS) or not _SITE_NAMES.isdisjoint(path.split(os.sep))


def owner_of_module(name: str) -> Owner:
    """Whose code the loaded module `name` is; one that nobody can place is the user's."""
    if name == "__main__":
        return Owner.USER
    if name == "cascade_nb" or name.startswith("cascade_nb."):
        return Owner.CASCADE
    module = sys.modules.get(name)
    if module is None:
        return _owner_of_unloaded(name)
    return owner_of_loaded(module)


def owner_of_loaded(module: ModuleType) -> Owner:
    """Whose code the module object is."""
    attributes = vars(module)
    filename = attributes.get("__file__")
    if isinstance(filename, str):
        return owner_of_file(filename)
    name = attributes.get("__name__")
    if not isinstance(name, str) or name == "__main__":
        return Owner.USER
    spec = attributes.get("__spec__")
    if spec is not None and spec.origin in ("built-in", "frozen"):
        return Owner.STANDARD
    if name in sys.builtin_module_names:
        return Owner.STANDARD
    for folder in attributes.get("__path__", ()):
        return owner_of_file(os.path.join(folder, "__init__.py"))
    # Extension modules may make submodules without a file (numpy.random.mtrand's own ones do).
    parent, _, _ = name.rpartition(".")
    if parent in sys.modules and sys.modules[parent] is not module:
        return owner_of_module(parent)
    return Owner.USER


def _owner_of_unloaded(name: str) -> Owner:
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return Owner.STANDARD
    if top in sys.modules and top != name:
        return owner_of_module(top)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return Owner.USER
    if spec is None:
        return Owner.USER
    for place in (spec.origin, *(spec.submodule_search_locations or ())):
        if place is not None and os.path.isabs(place):
            return owner_of_file(place if os.path.isfile(place) else os.path.join(place, "_"))
    return Owner.STANDARD if spec.origin in ("built-in", "frozen") else Owner.USER


@functools.cache
def distributions_of(module_name: str) -> tuple[tuple[str, str], ...]:
    """Name and version of the installed distributions that a module's top-level package is of.

    Versions are those found when a module is first asked about: what is loaded is what runs.
    """
    top = module_name.partition(".")[0]
    if top != module_name:
        return distributions_of(top)
    if owner_of_module(top) is not Owner.INSTALLED:
        return ()
    # Imported here: it brings the email package along, and scalars need no distribution.
    from importlib.metadata import packages_distributions

    known = _that_provides(top)
    names = [known] if known else packages_distributions().get(top)
    if not names:
        _packages.setdefault(top, set()).add(top)
        version = getattr(sys.modules.get(top), "__version__", "unknown")
        return ((top, version if isinstance(version, str) else "unknown"),)
    for name in names:
        _packages.setdefault(name, set()).add(top)
    return tuple((name, version_of(name)) for name in sorted(set(names)))


def packages_of(distribution: str) -> Set[str]:
    """The top-level modules for which `distribution` was asked about."""
    return _packages.get(distribution, frozenset())


@functools.cache
def extension_digest(module_name: str) -> str | None:
    """The fingerprint of the file of a compiled module of the user's; None: it is no such one."""
    filename = getattr(sys.modules.get(module_name), "__file__", None)
    if not isinstance(filename, str) or not filename.endswith(tuple(EXTENSION_SUFFIXES)):
        return None
    if owner_of_module(module_name) is not Owner.USER:
        return None
    with open(filename, "rb") as file:
        return blake3(file.read()).hexdigest()


@functools.cache
def version_of(distribution: str) -> str:
    """The version of an installed distribution as it was first seen."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _that_provides(top: str) -> str | None:
    """The distribution of the same name as the top-level module `top`, if it holds that."""
    # A quick test for the usual case: reading all metadata takes a tenth of a second and more.
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        found = distribution(top)
    except (PackageNotFoundError, ValueError):
        return None
    listed = found.read_text("top_level.txt")
    if listed is not None:
        return found.name if top in listed.split() else None
    tops = (path.parts[0] for path in found.files or () if path.parts)
    return found.name if any(part in (top, f"{top}.py") for part in tops) else None
