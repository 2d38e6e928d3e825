"""People who use cascade-nb: each with a home and a store, in this process or in their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cascade_nb import config
from tests.identities import Person

_PRELUDE = "import asyncio\nfrom cascade_nb import *\n\nasync def main():\n"


class User(Person):
    """Somebody with a store in their home."""

    @property
    def store(self) -> Path:
        """Where their results are."""
        return self.home / "store"

    @contextmanager
    def acting(self, **settings: object) -> Iterator[None]:
        """This process is a session of theirs meanwhile."""
        with super().acting():
            config.reset()
            config.configure(store=self.store)
            config.configure(**settings)
            try:
                yield
            finally:
                config.reset()

    def run(self, source: str) -> str:
        """What the body of an async function prints, in a process of theirs."""
        return self._output([sys.executable, "-c", _program(source)])

    def cascade(self, *arguments: str) -> str:
        """What the shell command prints."""
        return self._output([sys.executable, "-m", "cascade_nb", *arguments])

    def _output(self, command: list[str]) -> str:
        finished = subprocess.run(
            command,
            env={**os.environ, **self.environment, "CASCADE_STORE": str(self.store)},
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.rstrip("\n")


def make_user(folder: Path, name: str) -> User:
    """Somebody with a home of that name below `folder`."""
    home = folder / name
    home.mkdir(parents=True)
    return User(home)


def _program(source: str) -> str:
    body = textwrap.indent(textwrap.dedent(source), "    ")
    return f"{_PRELUDE}{body}\nasyncio.run(main())"
