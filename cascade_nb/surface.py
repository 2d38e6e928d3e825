"""Where people read our messages, which decides how a command in one is typed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum


class Surface(Enum):
    """How what one types there begins."""

    PYTHON = ""
    MAGIC = "%cascade"
    SHELL = "cascade"


# Of the process, not of a thread: what a message is about is done in others, too.
_surface = Surface.PYTHON


def set_surface(surface: Surface) -> None:
    """Let messages speak of commands as they are typed on `surface` from now on."""
    global _surface
    _surface = surface


@contextmanager
def on_surface(surface: Surface) -> Iterator[None]:
    """The same while a block runs."""
    before = _surface
    set_surface(surface)
    try:
        yield
    finally:
        set_surface(before)


def typed(command: str) -> str:
    """A verb and what follows it, to be pasted; in Python, which has no verbs, for a shell."""
    return f"{_surface.value or Surface.SHELL.value} {command}"


def trusting(key: str, *, code: bool = False) -> str:
    """What to type to trust the owner of the public key `key`."""
    if _surface is Surface.PYTHON:
        return f"trust('{key}'{', code=True' * code})"
    return typed(f"trust '{key}'{' --code' * code}")
