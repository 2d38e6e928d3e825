"""Names of files: absolute while we look, in records relative to where people work.

And the places whose files are no inputs: Python itself, what is installed, the system's own
windows, caches.
"""

from __future__ import annotations

import functools
import glob
import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path


def working_folder() -> str:
    """The working folder; the root where it was deleted under us."""
    try:
        return os.getcwd()
    except OSError:
        return os.path.abspath(os.sep)


def absolute(path: str | bytes | os.PathLike[str] | os.PathLike[bytes], folder: str) -> str:
    """One absolute name of `path`, seen from `folder`."""
    joined = os.path.join(folder, os.fsdecode(path))
    # Behind a symbolic link ".." is not what it looks like.
    return os.path.realpath(joined) if os.pardir in joined else os.path.normpath(joined)


def shown(path: str, folder: str) -> str:
    """How a record names an absolute `path`: from `folder` or ``~`` where it lies there."""
    home = os.path.expanduser("~")
    if path == folder:
        path = "."
    elif path.startswith(_as_prefix(folder)):
        path = path[len(_as_prefix(folder)) :]
        if path.startswith("~"):
            path = os.path.join(".", path)
    elif os.path.isabs(home) and path.startswith(_as_prefix(home)):
        path = os.path.join("~", path[len(_as_prefix(home)) :])
    # Names that are no Unicode are in no record as they are; they are never found again.
    return path.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()


def found(shown_path: str, folder: str) -> str:
    """The absolute path that `shown` gave a name to, on this machine."""
    if shown_path.startswith("~/"):
        shown_path = os.path.expanduser(shown_path)
    return os.path.normpath(os.path.join(folder, shown_path))


def folders_asked(pattern: str, start: str, *, recursive: bool) -> Iterator[str]:
    """The folders that a glob in `start` only asks for one name, and does not list.

    In ``runs/*/log.txt`` whatever lies in ``runs`` is such a folder.
    """
    head, name = os.path.split(pattern)
    while head and name != pattern and glob.has_magic(head):
        if not glob.has_magic(name):
            for folder in glob.iglob(head, root_dir=start, recursive=recursive):
                yield absolute(folder, start)
        pattern, (head, name) = head, os.path.split(head)


def library_prefixes() -> tuple[str, ...]:
    """Where code lies that is neither the user's nor ours, as prefixes of file names."""
    return _library_prefixes()


def uncounted_prefixes(folder: str) -> tuple[str, ...]:
    """Prefixes of the paths that never count as read by a run in `folder`."""
    return _uncounted_prefixes(folder, os.path.expanduser("~"), os.environ.get("XDG_CACHE_HOME"))


@functools.cache
def _library_prefixes() -> tuple[str, ...]:
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return ("<frozen ", *_prefixes(folders))


@functools.lru_cache(maxsize=64)
def _uncounted_prefixes(folder: str, home: str, cache: str | None) -> tuple[str, ...]:
    here = (_as_prefix(folder), _as_prefix(home))
    # A project may lie inside of an environment, and /usr holds more than Python.
    interpreters = {
        prefix
        for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
        if prefix not in ("/usr", "/usr/local", os.sep)
        and not any(place.startswith(_as_prefix(prefix)) for place in here)
    }
    caches = {cache or os.path.join(home, ".cache")}
    if sys.platform == "darwin":
        caches.add(os.path.join(home, "Library", "Caches"))
    ours = {str(Path(__file__).parent.parent)}
    system = {"/proc", "/sys", "/dev"} if os.name == "posix" else set()
    return (*_library_prefixes(), *_prefixes(interpreters | caches | ours | system))


def _prefixes(folders: set[str]) -> list[str]:
    return sorted(
        {_as_prefix(name) for folder in folders for name in (folder, os.path.realpath(folder))}
    )


def _as_prefix(folder: str) -> str:
    return folder if folder.endswith(os.sep) else folder + os.sep
