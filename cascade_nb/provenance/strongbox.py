"""The folder where the user's secret and signing key lie, readable by the user alone.

It lies in the Jupyter data folder, not in the cache folder, which people delete and share.
"""

from __future__ import annotations

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# More than any file of ours; a larger one is not of ours.
_LARGEST = 64 * 1024
# How long to wait for another process that edits a file, in seconds.
_PATIENCE = 10


class StrongboxError(Exception):
    """A private file cannot be kept, or is not fit for use.

    The message is a clause that says why and what to do; `cause` is the path to blame.
    """

    def __init__(self, message: str, *, cause: Path) -> None:
        super().__init__(message)
        self.cause = str(cause)


def folder() -> Path:
    """Our folder inside the Jupyter data folder, as jupyter_core finds it; it may not exist yet.

    Raises:
        StrongboxError: the user has no home folder.
    """
    try:
        return _jupyter_data() / "cascade-nb"
    except RuntimeError as error:
        raise StrongboxError(
            "there is no home folder to keep a secret in; set HOME or JUPYTER_DATA_DIR",
            cause=Path("~"),
        ) from error


def _jupyter_data() -> Path:
    given = os.environ.get("JUPYTER_DATA_DIR")
    if given:
        return Path(given)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Jupyter"
    if sys.platform == "win32":
        roaming = os.environ.get("APPDATA")
        return Path(roaming, "jupyter") if roaming else Path.home() / ".jupyter" / "data"
    data_home = os.environ.get("XDG_DATA_HOME")
    return Path(data_home or Path.home() / ".local" / "share") / "jupyter"


def keep(name: str, make: Callable[[], bytes]) -> bytes:
    """The content of the private file `name`, which is made by `make` if it does not exist.

    Of several processes that make it at once one wins, and all get its content; a process that is
    killed meanwhile leaves no half file under that name. An existing file is never changed.

    Raises:
        StrongboxError: it cannot be made or read, or others than the user can read it.
    """
    path = folder() / name
    try:
        content = _read(path)
        if content is None:
            _create(path, make())
            content = _read(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StrongboxError(
            f"nothing private can be kept in {path.parent} ({reason})", cause=path.parent
        ) from error
    if content is None:
        raise StrongboxError(f"{path} vanished while it was made", cause=path)
    return content


def edit(name: str, change: Callable[[bytes], bytes]) -> None:
    """Replace the content of the file `name` by what `change` makes of it, in one step.

    One process does so at a time; a file that does not exist yet is empty. It need not have been
    private before, but it is from then on.

    Raises:
        StrongboxError: it cannot be read or written, or others may have written in it.
    """
    from filelock import FileLock

    box = folder()
    # A link to a file of the user's elsewhere stays one.
    path = Path(os.path.realpath(box / name))
    try:
        _make_folder(box)
        with FileLock(box / f".{name}.lock", mode=0o600, timeout=_PATIENCE):
            before = _read_own(path)
            after = change(before)
            if after != before:
                with _drafted(path, after) as draft:
                    os.replace(draft, path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StrongboxError(f"{path} cannot be changed ({reason})", cause=path) from error


def others_may_write(status: os.stat_result) -> bool:
    """Whether a file may hold what another user has written."""
    if sys.platform == "win32":
        return False  # There the user's profile is closed to others.
    return bool(status.st_mode & 0o022) or status.st_uid not in (os.geteuid(), 0)


def _read_own(path: Path) -> bytes:
    """The content of a file that the user alone can change; empty where there is none."""
    try:
        with open(path, "rb") as file:
            if others_may_write(os.fstat(file.fileno())):
                raise StrongboxError(
                    f"{path} can be written by others; look at what is in it, then make it yours "
                    "alone (chmod 600)",
                    cause=path,
                )
            return file.read()
    except FileNotFoundError:
        return b""


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StrongboxError(f"{path} is no regular file and is not used", cause=path)
        # Windows has no such modes; there the user's profile is closed to others.
        if sys.platform != "win32" and (
            status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077
        ):
            raise StrongboxError(
                f"{path} is open to others and is not used; make it yours alone (chmod 600), "
                "or delete it if they may have read it",
                cause=path,
            )
        return os.read(descriptor, _LARGEST)
    finally:
        os.close(descriptor)


def _create(path: Path, content: bytes) -> None:
    _make_folder(path.parent)
    with _drafted(path, content) as draft:
        try:
            # Both refuse an existing file, so the first of several processes wins.
            if sys.platform == "win32":
                os.rename(draft, path)
            else:
                os.link(draft, path)
        except FileExistsError:
            pass


def _make_folder(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _drafted(path: Path, content: bytes) -> Iterator[Path]:
    """A private file beside `path` that holds all of `content`, for as long as it is needed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)
