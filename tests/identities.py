"""People for tests of trust: each has a secret and a key of their own; no store, no settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cascade_nb.provenance import whoami

T = TypeVar("T")


@dataclass(frozen=True)
class Person:
    """Somebody whose home folder is `home`."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process theirs."""
        return {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / ".cache"),
            "XDG_DATA_HOME": str(self.home / ".local" / "share"),
            "JUPYTER_DATA_DIR": str(self.home / "jupyter"),
            "IPYTHONDIR": str(self.home / "ipython"),
        }

    @property
    def signers(self) -> Path:
        """Their file of allowed signers."""
        return self.home / "jupyter" / "cascade-nb" / "allowed_signers"

    @property
    def key(self) -> str:
        """Their public key."""
        return self.do(whoami)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """This process is theirs meanwhile: what it stores is theirs, whom it trusts they trust."""
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def do(self, action: Callable[[], T]) -> T:
        """What `action` gives when they do it."""
        with self.acting():
            return action()


def make_person(folder: Path, name: str) -> Person:
    """Somebody with a home of that name below `folder`."""
    home = folder / name
    home.mkdir(parents=True)
    return Person(home)
