"""Connections to HTTP servers: one session per client and loop, closed when either ends."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

_READ_BYTES = 1 << 20
_EXIT_SECONDS = 1.0

# A forked child finds its parent's sessions here, and leaves them alone: one that was collected
# would be closed, and that would end connections which the parent uses.
_open: list[tuple[int, asyncio.AbstractEventLoop, aiohttp.ClientSession]] = []


class Sessions:
    """The session of one client on the loop that runs.

    Args:
        headers: of every request.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def here(self) -> aiohttp.ClientSession:
        """The session of the running loop; that of an ended one is not touched again."""
        loop = asyncio.get_running_loop()
        if self._session is None or self._loop is not loop:
            self._session, self._loop = _new(self._headers), loop
            if not _open:
                # After the loop's own end was registered, so that it comes before it.
                atexit.register(_close_all)
            _open.append((os.getpid(), loop, self._session))
            # At the end of the process all are closed, and waited for.
            weakref.finalize(self, _close, loop, self._session).atexit = False
        return self._session


def _new(headers: Mapping[str, str]) -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        headers=headers,
        # What is compressed could be a bomb; nobody is asked for it.
        auto_decompress=False,
        # Without a limit: a ping must not wait for a connection to be free.
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_READ_BYTES,
        # Who is given up, and when, is not a matter of time alone.
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
    )


def _close(
    loop: asyncio.AbstractEventLoop, session: aiohttp.ClientSession, wait: float = 0.0
) -> None:
    """Close a session of this process on its loop, which runs in another thread."""
    entry = (os.getpid(), loop, session)
    if entry not in _open or loop.is_closed():
        return
    closing = asyncio.run_coroutine_threadsafe(session.close(), loop)
    closing.add_done_callback(lambda _: _forget(entry))
    if wait:
        # At the end of the process, nobody is left to tell.
        with contextlib.suppress(Exception):
            closing.result(wait)


def _forget(entry: tuple[int, asyncio.AbstractEventLoop, aiohttp.ClientSession]) -> None:
    if entry in _open:
        _open.remove(entry)


def _close_all() -> None:
    for pid, loop, session in list(_open):
        if pid == os.getpid():
            _close(loop, session, wait=_EXIT_SECONDS)
