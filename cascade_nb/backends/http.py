"""A client of one HTTP server that may be slow, dead, or somebody else's.

Its coroutines run on the background loop alone (`loop.on_background`), where its connections live.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from cascade_nb import __version__
from cascade_nb.arguments import why_no_address
from cascade_nb.backends.outages import Breaker
from cascade_nb.backends.sessions import Sessions
from cascade_nb.backends.silence import (
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    PING_LOOKS,
    StalledError,
    Watch,
)
from cascade_nb.errors import BackendError, ConfigurationError, logger
from cascade_nb.loop import on_background, run_sync
from cascade_nb.protocols import Bytes
from cascade_nb.wording import a

if TYPE_CHECKING:
    import aiohttp

# Gives the pieces to send; called again where they are to be sent again.
Body: TypeAlias = Callable[[], AsyncIterator[Bytes]]
Parameters: TypeAlias = Sequence[tuple[str, str]]

_BUSY = frozenset({429, 502, 503, 504})
_ATTEMPTS = 3
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
_SHORT_ANSWER_BYTES = 4 << 20


class BrokenOffError(BackendError):
    """A living server closed the connection in the middle; it may have had a reason to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The beginning of the body as one line of text."""
        return " ".join(self.body[:500].decode("utf-8", "replace").split())


class Stream:
    """An answer whose body is still coming."""

    def __init__(self, response: aiohttp.ClientResponse, watch: Watch) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._content = response.content
        self._watch = watch

    async def chunks(self) -> AsyncIterator[bytes]:
        """What comes, as it comes. Its end proves nothing: a trailer that says more is lost."""
        while True:
            self._watch.waiting()
            chunk = await self._content.readany()
            self._watch.working()
            if not chunk:
                return
            yield chunk

    async def read(self, limit: int = _SHORT_ANSWER_BYTES) -> bytes:
        """At most `limit` bytes of what comes."""
        data = bytearray()
        async for chunk in self.chunks():
            data += chunk
            if len(data) >= limit:
                break
        return bytes(data[:limit])


class HttpClient:
    """Sends requests to one server, with bounded retries, and spares callers a dead one.

    Args:
        url: where the server's paths begin; ``user:password@`` in it is basic authorization.
        what: the server in messages, such as "IPFS node".
        ping: method and path of a request that a living server answers at once, whatever it says.
        token: a bearer token.

    Raises:
        ConfigurationError: the URL or the token is not valid; the message shows no secret.
    """

    def __init__(
        self, url: str, *, what: str, ping: tuple[str, str], token: str | None = None
    ) -> None:
        parts = _checked(url, what)
        self.what = what
        self.shown = _without_credentials(parts)
        self._base = self.shown + "/"
        self._ping_request = ping
        self._pinging: asyncio.Task[bool] | None = None
        self._sessions = Sessions(
            {
                # A name that begins with Mozilla, or has /kubo/ in it, is refused by nodes.
                "User-Agent": f"cascade-nb/{__version__}",
                "Accept-Encoding": "identity",
                **_authorization(parts, token, what),
            }
        )
        self._breaker = _breaker_of(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown!r})"

    def error(self, reason: str) -> BackendError:
        """A failure of this server, for the caller to raise; `reason` follows its name."""
        return BackendError(self._says(reason), server=self.shown)

    def broken_off(self, what: str) -> BrokenOffError:
        """The error of a living server that closed the connection; `what` follows "broke off"."""
        return BrokenOffError(self._says(f"broke off {what}"), server=self.shown)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters = (),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        limit: int = _SHORT_ANSWER_BYTES,
        patience: float = PATIENCE_SECONDS,
    ) -> Answer:
        """Send a request and read at most `limit` bytes of the answer; otherwise as `open`."""
        async with self.open(
            method, path, parameters=parameters, headers=headers, body=body, patience=patience
        ) as stream:
            return Answer(stream.status, stream.headers, await stream.read(limit))

    @asynccontextmanager
    async def open(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters = (),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        patience: float = PATIENCE_SECONDS,
    ) -> AsyncIterator[Stream]:
        """Send a request; gives the answer, whatever its status, once its head is there.

        A busy server (429, 502, 503, 504) is asked again, when it says and a few times at most. So
        is, once, one that closed the connection: every request here may be sent twice.

        Args:
            method: such as "GET".
            path: below the server's URL.
            parameters: what follows the question mark.
            headers: besides those of every request.
            body: what to send.
            patience: seconds without any progress after which a living server is given up.

        Raises:
            BackendError: the server is dead.
            StalledError: it lives, and stands still.
            BrokenOffError: it closed the connection before the end, twice.
            Exception: what `body` raised.
        """
        self._breaker.check()
        watch = Watch(
            patience=patience,
            is_alive=self.is_alive,
            dead=self._dead,
            idle=lambda: self._stalled(patience),
        )
        request = _Request(method, self._base + path.lstrip("/"), parameters, headers, body)
        try:
            async with asyncio.timeout(None) as deadline, contextlib.AsyncExitStack() as stack:
                stack.callback(asyncio.create_task(watch.run(deadline)).cancel)
                response = await self._answered(request, watch)
                # Does nothing to a connection that was read to its end, which is used again.
                stack.callback(response.close)
                yield Stream(response, watch)
        except TimeoutError:
            if watch.verdict is None:
                raise  # a deadline of the caller's
            raise watch.verdict from None
        except _transport_errors() as error:
            if watch.failure is not None:
                raise watch.failure from None
            raise await self._explained(error) from error

    async def is_alive(self) -> bool:
        """Whether the server answers a ping, with whatever it may be."""
        if self._pinging is None or self._pinging.get_loop() is not asyncio.get_running_loop():
            self._pinging = asyncio.create_task(self._ping())
            self._pinging.add_done_callback(self._ping_done)
        return await asyncio.shield(self._pinging)

    async def _answered(self, request: _Request, watch: Watch) -> aiohttp.ClientResponse:
        """The answer that counts, after retries and redirects."""
        pause, attempts, redirects, breaks = _FIRST_PAUSE_SECONDS, 0, 0, 0
        while True:
            watch.waiting()
            try:
                response = await self._sent(request, watch)
            except _transport_errors() as error:
                watch.working()
                breaks += 1
                # A kept connection may have been closed while the request was under way.
                final = watch.failure is not None or _is_no_connection(error) or breaks > 1
                if final or not await self.is_alive():
                    raise
                logger.debug("%s is asked again: %r", self.shown, error)
                continue
            watch.working()
            target = _redirection(request, response)
            if target is not None and redirects < _MOST_REDIRECTS:
                redirects += 1
                request.url, request.parameters = target, ()
                response.close()
                continue
            attempts += 1
            if response.status not in _BUSY or attempts == _ATTEMPTS:
                return response
            pause = _retry_after(response.headers.get("Retry-After"), pause)
            if pause > min(watch.patience, _LONGEST_PAUSE_SECONDS):
                return response
            response.close()
            await asyncio.sleep(pause)
            pause *= 2

    async def _sent(self, request: _Request, watch: Watch) -> aiohttp.ClientResponse:
        body = request.body
        return await self._sessions.here().request(
            request.method,
            request.url,
            params=list(request.parameters) or None,
            headers=request.headers,
            data=None if body is None else watch.over(body()),
            allow_redirects=False,
        )

    async def _explained(self, error: BaseException) -> BackendError:
        """What is to be said of a connection that could not be made, or broke off."""
        if _is_no_connection(error):
            return self._trip(self.error(f"cannot be reached: {_reason(error)}"))
        if not await self.is_alive():
            return self._dead()
        return self.broken_off(f"the connection: {_reason(error)}")

    def _stalled(self, seconds: float) -> StalledError:
        return StalledError(self._says(f"has sent nothing for {seconds:g} s"), server=self.shown)

    def _dead(self) -> BackendError:
        return self._trip(self.error("does not answer"))

    def _trip(self, verdict: BackendError) -> BackendError:
        self._breaker.tripped(verdict)
        return verdict

    def _says(self, reason: str) -> str:
        return f"the {self.what} {self.shown} {reason}"

    async def _ping(self) -> bool:
        asking = asyncio.create_task(self._ask_ping())
        for _ in range(PING_LOOKS):
            done, _ = await asyncio.wait({asking}, timeout=LOOK_SECONDS)
            if done:
                return asking.result()
        asking.cancel()
        return False

    async def _ask_ping(self) -> bool:
        method, path = self._ping_request
        session = self._sessions.here()
        try:
            async with session.request(method, self._base + path, allow_redirects=False):
                return True
        except _transport_errors() as error:
            logger.debug("%s answers no ping: %r", self.shown, error)
            return False

    def _ping_done(self, ping: asyncio.Task[bool]) -> None:
        if self._pinging is ping:
            self._pinging = None


@dataclass(slots=True)
class _Request:
    method: str
    url: str
    parameters: Parameters
    headers: Mapping[str, str] | None
    body: Body | None


# One for each server, while a client of it lives: a dead server costs a second once per process.
_breakers: weakref.WeakValueDictionary[str, Breaker] = weakref.WeakValueDictionary()
_breakers_lock = threading.Lock()


def _breaker_of(client: HttpClient) -> Breaker:
    # The breaker must not keep the client alive, nor end with the first of several.
    known = weakref.ref(client)

    def attempt() -> None:
        asked = known()
        if asked is not None and not run_sync(on_background(asked.is_alive())):
            raise asked._dead()

    with _breakers_lock:
        breaker = _breakers.get(client.shown)
        if breaker is None:
            breaker = _breakers[client.shown] = Breaker(attempt)
        return breaker


def _redirection(request: _Request, response: aiohttp.ClientResponse) -> str | None:
    """Where to ask instead: only ever the same host, as credentials go with the request."""
    if response.status not in _REDIRECTS or request.method != "GET":
        return None
    target = urljoin(request.url, response.headers.get("Location", ""))
    try:
        old, new = urlsplit(request.url), urlsplit(target)
        same = (old.scheme, old.port) == (new.scheme, new.port)
        safer = (old.scheme, new.scheme, new.port) == ("http", "https", None)
    except ValueError:
        return None
    allowed = old.hostname == new.hostname and (same or safer) and new.username is None
    return target if allowed else None


def _checked(url: str, what: str) -> SplitResult:
    """The parts of a URL that names a server and nothing else."""
    # The URL is not shown: it may have a password in it.
    wrong = ConfigurationError(
        f"the URL of {a(what)} is http:// or https://, a host, and a path where there is one"
    )
    if not isinstance(url, str) or any(not c.isprintable() or c.isspace() for c in url):
        raise wrong
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigurationError(
            f"the URL of {a(what)} is not valid: {why_no_address(url)}"
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise wrong
    if parts.query or parts.fragment:
        raise wrong
    return parts


def _without_credentials(parts: SplitResult) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port is None else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _authorization(parts: SplitResult, token: str | None, what: str) -> dict[str, str]:
    if parts.username is not None or parts.password is not None:
        if token is not None:
            raise ConfigurationError(
                f"the {what} is given both a token and a user in its URL; leave one of them out"
            )
        pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if token is None:
        return {}
    if not isinstance(token, str) or not token or not all("!" <= c <= "~" for c in token):
        raise ConfigurationError(f"the token for the {what} is not one word of printable ASCII")
    return {"Authorization": f"Bearer {token}"}


def _retry_after(header: str | None, otherwise: float) -> float:
    """Seconds to wait, which are given as such or as a date."""
    if header is None:
        return otherwise
    with contextlib.suppress(ValueError):
        return max(0.0, float(header))
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    return otherwise


def _reason(error: BaseException) -> str:
    """What the system says of a connection, in its shortest form."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.errno is not None and inner.errno > 0:
        # Not its own text, in which asyncio repeats the address.
        return os.strerror(inner.errno)
    return str(inner) or type(inner).__name__


def _is_no_connection(error: BaseException) -> bool:
    import aiohttp

    return isinstance(error, aiohttp.ClientConnectorError)


def _transport_errors() -> tuple[type[Exception], ...]:
    import aiohttp

    # Not every OSError: a TimeoutError is one, and may be a deadline of the caller's.
    return (aiohttp.ClientError, ConnectionError)
