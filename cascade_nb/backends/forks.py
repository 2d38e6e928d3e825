"""What must not cross a fork.

A child gets its parent's memory but neither its threads nor its file locks. A database that was
open stays half open in the child, and closing it there, or opening it anew, can hang or corrupt
it (sqlite.org/howtocorrupt.html, 2.6). So objects that hold such things let go of them before the
fork and take them up again after it, each process on its own.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol

# filelock stops all its users at a fork, too. What is registered later is told of it earlier: ours
# have to come to rest before it stops them in the middle of something.
import filelock  # noqa: F401


class Forkable(Protocol):
    """An object that is told of forks; hooks run in the thread that forks."""

    def before_fork(self) -> None:
        """Let go of what must not cross, and let no other thread take it up."""

    def after_fork(self, *, in_child: bool) -> None:
        """The fork is over, in the parent or in the child."""


_watched: weakref.WeakSet[Forkable] = weakref.WeakSet()
_told: list[Forkable] = []


def watch(forkable: Forkable) -> None:
    """Tell `forkable` of every fork for as long as it lives."""
    _watched.add(forkable)


def _before() -> None:
    for forkable in list(_watched):
        _told.append(forkable)
        forkable.before_fork()


def _after(*, in_child: bool) -> None:
    # Exactly those that were told before, whatever other threads have made since.
    while _told:
        _told.pop().after_fork(in_child=in_child)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(in_child=False),
        after_in_child=lambda: _after(in_child=True),
    )
