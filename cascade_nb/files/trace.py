"""What one run has done to files so far: what it found, read, listed, made and changed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from cascade_nb.files import trees
from cascade_nb.files.places import absolute, found, shown, uncounted_prefixes, working_folder
from cascade_nb.files.sight import ABSENT, Sight, is_settled, look, names_digest, stamp_of
from cascade_nb.records import Reads


class Trace:
    """The files of one run, by absolute path; each by its content as first found."""

    def __init__(self) -> None:
        self.folder = working_folder()
        self.failure: str | None = None
        self._uncounted = uncounted_prefixes(self.folder)
        self._found: dict[str, Sight] = {}
        self._read: set[str] = set()  # of those found
        self._listed: dict[str, str | None] = {}
        self._candidates: dict[str, Sight] = {}
        self._patterns: dict[str, list[str] | None] = {}  # candidates too, with their files
        self._made: set[str] = set()  # files that the run wrote before it read them
        self._made_folders: tuple[str, ...] = ()  # as prefixes
        self._altered: set[str] = set()  # by the run itself, after it found them

    def counts(self, path: str) -> bool:
        """Whether what the run reads at `path` is an input of it."""
        return not (path.startswith(self._uncounted) or self._is_made(path))

    def has_found(self, path: str) -> bool:
        """Whether the content at `path` is known as it first was."""
        return path in self._found

    def opened(self, path: str, sight: Sight, *, reading: bool, writing: bool) -> None:
        """The run opens a file that keeps its content, or is absent; `sight` is how it is now."""
        before = self._found.get(path)
        if before is None and sight.digest is None and writing:
            self._made.add(path)
            return
        if before is None:
            self._found[path] = sight
        if reading:
            self._read.add(path)
        if writing:
            self._altered.add(path)

    def replaced(self, path: str) -> None:
        """The run gives `path` a content of its own."""
        if path in self._found:
            self._altered.add(path)
        else:
            self._made.add(path)

    def removed(self, path: str) -> None:
        """The run removes a file."""
        self._altered.add(path)

    def moved(self, source: str, target: str) -> None:
        """The run gives a file or folder another name, in the place of what was there."""
        if source + os.sep in self._made_folders:
            self.made_folder(target)
        if self._is_made(source):
            self.replaced(target)
        else:
            self._altered.add(target)
        self._altered.add(source)

    def made_folder(self, path: str) -> None:
        """The run makes a folder; what lies in it is its own."""
        self._made_folders = (*self._made_folders, path + os.sep)

    def listed(self, path: str) -> None:
        """The run asks for the names in a folder."""
        if path not in self._listed and self.counts(path + os.sep):
            self._listed[path] = names_digest(path)

    def inherit(self, reads: Reads) -> None:
        """A part of the run has read these, now or when it was computed."""
        folder = working_folder()
        for name, digest in reads.files.items():
            path = found(name, folder)
            if not self._is_made(path):
                self._found.setdefault(path, Sight(digest, stamp_of(path)))
                self._read.add(path)
        for name, names in reads.folders.items():
            path = found(name, folder)
            if not self._is_made(path + os.sep):
                self._listed.setdefault(path, names)

    def add_candidates(self, names: Iterable[str]) -> None:
        """These may be paths that the run reads unseen, from now on.

        A file stands for its content, a folder or a pattern for the files that `trees` finds
        there, what does not exist for being absent.
        """
        now = time.time_ns()
        for name in names:
            try:
                path = absolute(os.path.expanduser(name), self.folder)
                os.fsencode(path)
            except ValueError:
                continue  # a text that no path can be
            if "\0" not in path and self.counts(path):
                self._add_candidate(path, now)
                self._add_patterns(name, now)

    def _add_candidate(self, path: str, now: int) -> None:
        if path in self._candidates:
            return
        stamp = stamp_of(path)
        if stamp is not None:
            # Only where times prove nothing is it hashed before it is known to be of use.
            settled = is_settled(stamp, now)
            self._candidates[path] = Sight(None, stamp) if settled else look(path) or ABSENT
        elif not os.path.exists(path):
            self._candidates[path] = ABSENT

    def _add_patterns(self, name: str, now: int) -> None:
        try:
            patterns = trees.patterns_of(name, self.folder)
            found_files = [trees.files_of(pattern, self.folder) for pattern in patterns]
        except trees.TooWideError:
            return  # who named the candidate has said so
        for pattern, files in zip(patterns, found_files, strict=True):
            self._patterns.setdefault(pattern, files)
            for path in filter(self.counts, files or ()):
                self._add_candidate(path, now)

    def count_candidates(self) -> None:
        """Count those candidates as read that the run has left as they were.

        What was absent and is there now was made by the run. The names that a pattern had count
        also if there are others now, which a run would find from now on, unless it had none.
        """
        candidates, self._candidates = self._candidates, {}
        for path, before in candidates.items():
            if path in self._found or path in self._altered or self._is_made(path):
                continue
            now = _look_again(path, before)
            if now is not None:
                self._found[path] = now
                self._read.add(path)
        patterns, self._patterns = self._patterns, {}
        for pattern, files in patterns.items():
            path = found(pattern, self.folder)
            if path not in self._listed and self.counts(path):
                self._count_pattern(path, pattern, files)

    def _count_pattern(self, path: str, pattern: str, files: list[str] | None) -> None:
        if files:
            self._listed[path] = trees.digest_of_files(pattern, files, self.folder)
            return
        now = trees.tree_digest(pattern, self.folder)
        if now == trees.digest_of_files(pattern, (), self.folder):
            self._listed[path] = now
        elif now is None and files is None:
            self._listed[path] = None

    def reads(self) -> Reads:
        """What was read, under the names that a record gives it."""
        return Reads(
            files={shown(path, self.folder): self._found[path].digest for path in self._read},
            folders={shown(path, self.folder): names for path, names in self._listed.items()},
        )

    def changed_by_others(self) -> str | None:
        """The name of a file that was read and has another content by now, not by the run."""
        for path in sorted(self._read - self._altered):
            before = self._found[path]
            if before.digest is None or stamp_of(path) == before.stamp:
                continue
            now = look(path)
            if now is None or now.digest != before.digest:
                return shown(path, self.folder)
        return None

    def _is_made(self, path: str) -> bool:
        return path in self._made or path.startswith(self._made_folders)


def _look_again(path: str, before: Sight) -> Sight | None:
    """The file at `path` now, or its absence; None where it is no longer as it was `before`."""
    if before.stamp is None:
        return None if os.path.exists(path) else ABSENT
    now = look(path)
    if now is None or now.digest is None:
        return None
    if before.digest is None:
        return now if now.stamp == before.stamp else None
    return now if now.digest == before.digest else None
