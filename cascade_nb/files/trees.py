"""What a folder or a pattern holds: the files that native code finds there by itself.

A pattern is as in `glob`: ``*``, ``?`` and ``[...]`` within a name, ``**`` for folders at any
depth, and for all files where it stands last. A folder that a pattern matches stands for all the
files below it, since readers of datasets go down into such. Names that begin with a dot match too.
"""

from __future__ import annotations

import fnmatch
import glob
import os
from collections.abc import Iterable, Iterator, Sequence

from cascade_nb.files.places import absolute, found, shown, working_folder
from cascade_nb.files.sight import digest_of_names

_ALL = "**"
_MOST_ENTRIES = 4096


class TooWideError(Exception):
    """A pattern that would have to be looked for in too many places."""


def is_too_wide(name: str) -> bool:
    """Whether `name` is a folder or a pattern that holds too much to be looked through.

    Too much are more than 4096 entries, and whatever is below the working folder, the home folder
    or one around them. A pattern without ``**`` may look in these.
    """
    folder = working_folder()
    try:
        for pattern in patterns_of(name, folder):
            files_of(pattern, folder)
    except TooWideError:
        return True
    except ValueError:
        pass  # no path at all
    return False


def patterns_of(name: str, folder: str) -> list[str]:
    """The patterns under which a record names all the files that a reader finds under `name`.

    Raises:
        TooWideError: a pattern goes up from where it has matched something.
    """
    patterns = []
    expanded = os.path.expanduser(name)
    path = absolute(expanded, folder)
    if os.path.isdir(path):
        patterns.append(_joined(path, [_ALL], folder))
    if glob.has_magic(expanded):
        head, parts = _split(expanded.replace(os.sep, "/"))
        if os.pardir in parts:
            raise TooWideError(name)
        patterns.append(_joined(absolute(head, folder), parts, folder))
    return patterns


def files_of(pattern: str, folder: str) -> list[str] | None:
    """The absolute paths of the files of a pattern, sorted; None where its folder is not there.

    Raises:
        TooWideError: there is too much to look through.
    """
    head, parts = _split(pattern)
    root = found(head, folder)
    if not os.path.isdir(root):
        return None
    return sorted(set(_Search(folder).files(root, parts)))


def digest_of_files(pattern: str, files: Iterable[str], folder: str) -> str:
    """The digest of the names that `files_of` has found."""
    root = found(_split(pattern)[0], folder)
    # Never that of a folder of the same name.
    return digest_of_names(["**", *(os.path.relpath(path, root) for path in files)])


def tree_digest(pattern: str, folder: str) -> str | None:
    """The digest of the names of a pattern's files now; None where its folder is not there."""
    try:
        files = files_of(pattern, folder)
    except TooWideError:
        return ""
    return None if files is None else digest_of_files(pattern, files, folder)


def _split(pattern: str) -> tuple[str, list[str]]:
    """The folder in which a pattern begins, and the parts that are looked for from there."""
    parts = pattern.split("/")
    count = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    head = "/".join(parts[:count]) or ("/" if pattern.startswith("/") else ".")
    return head, [part for part in parts[count:] if part not in ("", os.curdir)]


def _joined(root: str, parts: Sequence[str], folder: str) -> str:
    head = glob.escape(shown(root, folder))
    return "/".join(parts if head == "." else (head.rstrip("/"), *parts))


class _Search:
    """One look for the files of a pattern, which ends after so many entries."""

    def __init__(self, folder: str) -> None:
        places = (folder, os.path.expanduser("~"))
        self._places = tuple(os.path.join(os.path.realpath(place), "") for place in places)
        self._entries = 0

    def files(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        """The files in `folder` that `parts` match, of which each is for one level of folders."""
        if parts[0] == _ALL and self._is_around(folder):
            raise TooWideError(folder)
        yield from self._files(folder, parts)

    def _is_around(self, folder: str) -> bool:
        """Whether the working folder or the home folder is `folder` or below it."""
        start = os.path.join(os.path.realpath(folder), "")
        return any(place.startswith(start) for place in self._places)

    def _files(self, folder: str, parts: Sequence[str]) -> Iterator[str]:
        part, *rest = parts
        if part == _ALL and rest:
            yield from self.files(folder, rest)
        for entry in self._entries_of(folder):
            is_folder = os.path.isdir(entry.path)  # False, and no error, for a link to itself
            if part == _ALL:
                if is_folder:
                    yield from self._files(entry.path, parts)
                elif not rest:
                    yield entry.path
            elif fnmatch.fnmatchcase(entry.name, part):
                if is_folder:
                    yield from self.files(entry.path, rest or [_ALL])
                elif not rest or rest == [_ALL]:
                    yield entry.path

    def _entries_of(self, folder: str) -> list[os.DirEntry[str]]:
        entries = []
        try:
            with os.scandir(folder) as listing:
                for entry in listing:
                    self._entries += 1
                    if self._entries > _MOST_ENTRIES:
                        raise TooWideError(folder)
                    entries.append(entry)
        except OSError:
            pass  # a folder that cannot be listed has no files for any reader
        return entries
