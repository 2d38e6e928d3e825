"""The folder of a disk store: what marks it, and who may look into it."""

from __future__ import annotations

import os
import secrets
import stat

from cascade_nb.errors import BackendError

FORMAT = 1

_IGNORED = "*\n"
# https://bford.info/cachedir/
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of cascade-nb.\n"
WAY_OUT = 'choose another with configure(store="...") or CASCADE_STORE'


def prepare(path: str) -> None:
    """Make `path` a store's folder, or find that it is one.

    Raises:
        BackendError: it is a file, or a store of a newer format; the latter is left alone.
        OSError: it cannot be made or written.
    """
    if os.path.exists(path) and not os.path.isdir(path):
        raise BackendError(f"the store {path} is a file, not a folder; {WAY_OUT}", server=path)
    os.makedirs(path, mode=0o700, exist_ok=True)
    names = os.listdir(path)
    if "FORMAT" in names:
        _check_format(path)
    else:
        _mark(path, fresh=not names)
    for name in ("objects", "partial", "locks"):
        os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)


def _check_format(path: str) -> None:
    with open(os.path.join(path, "FORMAT"), "rb") as file:
        text = file.read(100).decode("ascii", "replace").strip()
    if text == str(FORMAT):
        return
    what = f"format {text}" if text.isdecimal() else "an unknown format"
    raise BackendError(
        f"the store {path} has {what} and is left alone: upgrade cascade-nb, or {WAY_OUT}",
        server=path,
    )


def _mark(path: str, *, fresh: bool) -> None:
    if fresh:
        # A folder with other things in it is somebody's: its rights and its .gitignore stay.
        if stat.S_IMODE(os.stat(path).st_mode) != 0o700:
            os.chmod(path, 0o700)
        _write(os.path.join(path, ".gitignore"), _IGNORED)
        _write(os.path.join(path, "CACHEDIR.TAG"), _TAG)
    _write(os.path.join(path, "FORMAT"), f"{FORMAT}\n")


def _write(path: str, text: str) -> None:
    # Whole or not at all: a store with half a mark would be left alone for ever.
    draft = f"{path}.{secrets.token_hex(4)}"
    with open(draft, "w", encoding="ascii") as file:
        file.write(text)
    os.replace(draft, path)
