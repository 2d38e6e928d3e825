"""The way to a Redis server: connections of our own, deadlines, and a breaker for who is dead.

Whether the user's client is awaited or not, our connections are of the plain kind, made and used in
threads: they belong to no loop. A loop borrows one for the short questions of a hit, where a trip
to a thread would take longer than the server's answer.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias, TypeVar

from cascade_nb.arguments import called, refuse_class
from cascade_nb.backends import forks
from cascade_nb.backends.outages import Breaker
from cascade_nb.backends.redis_clients import (
    DEADLINE_SECONDS,
    as_bytes,
    decodes,
    entrance_of,
    line_maker_of,
    server_of,
)
from cascade_nb.backends.redis_failures import failure_of, is_cut, is_outage, is_wrong_type
from cascade_nb.backends.redis_lines import AwaitedLine, ClientLine, Command
from cascade_nb.backends.redis_loop_line import LoopLines, UnansweredError
from cascade_nb.backends.silence import HIT_PATIENCE_SECONDS, PATIENCE_SECONDS
from cascade_nb.errors import ConfigurationError
from cascade_nb.loop import apart, driven_by_hand, from_guest, in_thread, run_sync

T = TypeVar("T")

# Does something with a line, and gives the answer or, where lines are awaited, an awaitable.
Action: TypeAlias = Callable[[Any], Any]


def link_to(client: Any) -> RedisLink:
    """A link to a client's server: the same one for all clients that enter it in the same way.

    So a server that is down costs its second once, however many backends there are.

    Raises:
        ConfigurationError: `client` is no client of Redis, or cannot give bytes.
    """
    made = RedisLink(client)
    if made.entrance is None:
        return made
    with _links_lock:
        for link in _links:
            if link.server == made.server and link.entrance == made.entrance:
                return link
        _links.add(made)
    return made


# Those that can be shared.
_links: weakref.WeakSet[RedisLink] = weakref.WeakSet()
_links_lock = threading.Lock()


class RedisLink:
    """Calls a server through a copy of `client`, or through `client` itself where it is unusual.

    Its methods raise `BackendError` of one line that names the server. A server that is down, or
    lets nobody in, costs a second once; then errors come at once until a try beside the work
    succeeds.
    """

    def __init__(self, client: Any) -> None:
        refuse_class("a client of Redis", client)
        if not callable(getattr(client, "execute_command", None)):
            # It may be a URL, with a password in it, and is not shown.
            raise ConfigurationError(
                f"RedisCacheBackend takes a client, such as redis.Redis(), not {called(client)}; "
                "configure(store=...) takes URLs"
            )
        self._client = client
        self.server = server_of(client)
        self._make_line = line_maker_of(client)
        # What tells one way into a server from another; None where that is the client's own affair.
        self.entrance = None if self._make_line is None else entrance_of(client)
        self._is_awaited = False
        if self._make_line is None:
            if decodes(client):
                raise ConfigurationError(
                    "results are bytes: make the client without decode_responses"
                )
            self._is_awaited = inspect.iscoroutinefunction(client.execute_command)
        # The loop on which a client that cannot be copied was last awaited.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._line: Any = None
        self._loop_lines = LoopLines()
        self._is_reached = False
        self._reaching = threading.RLock()
        self._breaker = Breaker(self._reach)
        forks.watch(self)

    async def call(self, *command: Any) -> Any:
        """The answer to one command; None where what lies there is of another type than ours."""
        return await self._do(lambda line: line.call(*command))

    async def ask(self, *command: bytes | str) -> Any:
        """As `call`, for a short command; on the running loop itself, where that can be."""
        if self._is_reached and not (self._is_awaited or driven_by_hand()):
            try:
                return await self._loop_lines.here(self._line).ask(*command)
            except UnansweredError:
                pass  # What is the matter shows in a thread.
            except TimeoutError as error:
                return await in_thread(self._failed, error)
        return await self._do(lambda line: line.ask(*command))

    async def evaluate(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """The answer of a Lua script."""
        return await self._do(lambda line: line.evaluate(script, keys, arguments))

    async def batch(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to `commands`, sent together; as `call`, each."""
        if not commands:
            return []
        answers = await self._do(lambda line: line.batch(commands))
        return [self._checked(answer) for answer in answers]

    async def names(self, pattern: bytes) -> list[bytes]:
        """All keys that match `pattern`."""
        found = await self._do(lambda line: line.names(pattern), PATIENCE_SECONDS)
        return [as_bytes(name) for name in dict.fromkeys(found)]

    def evaluate_here(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """As `evaluate`, from a thread of ours."""
        return self._awaited_here(self.evaluate(script, keys, arguments))

    def _awaited_here(self, coroutine: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if self._is_awaited and loop is not None and loop.is_running():
            # What is awaited has to be awaited where its connections are.
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result(2 * DEADLINE_SECONDS)
        return run_sync(coroutine)

    async def _do(self, action: Action, patience: float = HIT_PATIENCE_SECONDS) -> Any:
        self._breaker.check()
        if not self._is_awaited:
            return await in_thread(self._act, action, patience)
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        try:
            return await from_guest(_within(patience, action(AwaitedLine(self._client))))
        except Exception as error:
            return self._failed(error)

    def _act(self, action: Action, patience: float) -> Any:
        line = self._line if self._is_reached else self._reached()
        try:
            return self._done(action, line, patience)
        except Exception as error:
            if not is_cut(error):
                return self._failed(error)
        # A connection that was cut says nothing of the next one.
        line.hang_up()
        try:
            return self._done(action, line, patience)
        except Exception as error:
            return self._failed(error)

    def _done(self, action: Action, line: Any, patience: float) -> Any:
        if self._make_line is None:
            # The user's own client waits for as long as it was told to, which may be for ever.
            return apart(action, line).result(patience)
        return action(line)

    def _failed(self, error: Exception) -> None:
        """None where it is nothing but a key of another type.

        Raises:
            BackendError: it is more than that; the breaker is tripped if it is the server.
        """
        if is_wrong_type(error):
            return
        failure = failure_of(error, self.server)
        if is_outage(error):
            with self._reaching:
                # Of all who wait for the same dead server, the first tells.
                if self._is_reached or self._is_awaited:
                    self._is_reached = False
                    self._breaker.tripped(failure)
        raise failure from error

    def _checked(self, answer: Any) -> Any:
        return self._failed(answer) if isinstance(answer, Exception) else answer

    def _reached(self) -> Any:
        """The client, once its server has answered."""
        if not self._is_reached:
            with self._reaching:
                if not self._is_reached:
                    self._breaker.check()
                    self._reach()
        return self._line

    def _reach(self) -> None:
        """Ask the server whether it is there, for a second in all: resolving a name has no limit.

        Raises:
            BackendError: it is not, or lets nobody in.
        """
        try:
            apart(self._greet).result(DEADLINE_SECONDS)
        except Exception as error:
            failure = failure_of(error, self.server)
            self._breaker.tripped(failure)
            raise failure from error
        self._is_reached = True

    def _greet(self) -> None:
        if self._is_awaited:
            answer = AwaitedLine(self._client).call("PING")
            self._awaited_here(from_guest(_within(DEADLINE_SECONDS, answer)))
            return
        if self._line is None:
            self._line = (self._make_line or self._call_as_it_is)()
        self._line.hang_up()
        self._line.call("PING")

    def _call_as_it_is(self) -> ClientLine:
        return ClientLine(self._client)

    def before_fork(self) -> None:
        """Nothing has to rest: the child uses no connection of its parent's."""

    def after_fork(self, *, in_child: bool) -> None:
        """The child makes connections of its own."""
        if in_child:
            self._line, self._is_reached = None, False
            self._loop_lines = LoopLines()
            self._reaching = threading.RLock()
            self._breaker = Breaker(self._reach)


async def _within(seconds: float, answer: Awaitable[T]) -> T:
    async with asyncio.timeout(seconds):
        return await answer
