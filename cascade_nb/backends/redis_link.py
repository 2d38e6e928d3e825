"""The way to a Redis server: a client of our own, deadlines, and errors that show no credentials.

Clients by default try a dead server again and again, for 4 to 35 s a call, and each application
sets its own timeouts. So a copy is made that connects to the same server in the same manner, gives
up after a second, and is called in threads, whether the user's client is awaited or not: a trip to
a thread costs no more than asyncio's own client does, and its connections belong to no loop.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from cascade_nb.backends import forks
from cascade_nb.backends.outages import Breaker
from cascade_nb.backends.redis_lines import AwaitedLine, ClientLine, Command, Line
from cascade_nb.errors import BackendError, ConfigurationError
from cascade_nb.loop import from_guest, in_thread, run_sync

# Does something with a line, and gives the answer or, where lines are awaited, an awaitable.
Action: TypeAlias = Callable[[Any], Any]

# A server that says nothing for so long is dead.
DEADLINE_SECONDS = 1.0
# What of a client's settings says where its server is and how it is entered. The rest (retries,
# decoding, caches) is how the user's own calls are made.
_ENTRANCE = frozenset(
    {
        *("host", "port", "path", "db", "username", "password", "credential_provider"),
        *("client_name", "protocol", "socket_type"),
        *("socket_keepalive", "socket_keepalive_options"),
    }
)


def import_redis() -> Any:
    """The `redis` package.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import redis
    except ImportError as error:
        raise ConfigurationError(
            "a Redis store needs the package redis: pip install 'cascade-nb[redis]'"
        ) from error
    return redis


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
        if not callable(getattr(client, "execute_command", None)):
            # It may be a URL, with a password in it, and is not shown.
            raise ConfigurationError(
                f"RedisCacheBackend takes a client, such as redis.Redis(), not a "
                f"{type(client).__name__}; configure(store=...) takes URLs"
            )
        self._client = client
        self.server = server_of(client)
        self._make_line = _line_maker(client)
        # What tells one way into a server from another; None where that is the client's own affair.
        self.entrance = None if self._make_line is None else _entrance(client)
        self._is_awaited = False
        if self._make_line is None:
            if _decodes(client):
                raise ConfigurationError(
                    "results are bytes: make the client without decode_responses"
                )
            self._is_awaited = inspect.iscoroutinefunction(client.execute_command)
        # The loop on which a client that cannot be copied was last awaited.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._line: Any = None
        self._is_reached = False
        self._reaching = threading.RLock()
        self._breaker = Breaker(self._reach)
        forks.watch(self)

    async def call(self, *command: Any) -> Any:
        """The answer to one command; None where what lies there is of another type than ours."""
        return await self._do(lambda line: line.call(*command))

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
        found = await self._do(lambda line: line.names(pattern))
        return [as_bytes(name) for name in dict.fromkeys(found)]

    def evaluate_here(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """As `evaluate`, from a thread of ours."""
        coroutine = self.evaluate(script, keys, arguments)
        loop = self._loop
        if self._is_awaited and loop is not None and loop.is_running():
            # What is awaited has to be awaited where its connections are.
            return asyncio.run_coroutine_threadsafe(coroutine, loop).result(2 * DEADLINE_SECONDS)
        return run_sync(coroutine)

    async def _do(self, action: Action) -> Any:
        self._breaker.check()
        if not self._is_awaited:
            return await in_thread(self._act, action)
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None
        try:
            return await from_guest(action(AwaitedLine(self._client)))
        except Exception as error:
            return self._failed(error)

    def _act(self, action: Action) -> Any:
        line = self._line if self._is_reached else self._reached()
        try:
            return action(line)
        except Exception as error:
            if not _is_cut(error):
                return self._failed(error)
        # A connection that was cut says nothing of the next one.
        line.hang_up()
        try:
            return action(line)
        except Exception as error:
            return self._failed(error)

    def _failed(self, error: Exception) -> None:
        """None where it is nothing but a key of another type.

        Raises:
            BackendError: it is more than that; the breaker is tripped if it is the server.
        """
        if _is_wrong_type(error):
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
        failed: list[Exception] = []

        def ask() -> None:
            try:
                if self._line is None:
                    self._line = (self._make_line or self._call_as_it_is)()
                self._line.hang_up()
                self._line.call("PING")
            except Exception as error:
                failed.append(error)

        asking = threading.Thread(target=ask, name="cascade-nb redis", daemon=True)
        asking.start()
        asking.join(DEADLINE_SECONDS)
        error = TimeoutError() if asking.is_alive() else failed[0] if failed else None
        if error is not None:
            failure = failure_of(error, self.server)
            self._breaker.tripped(failure)
            raise failure from error
        self._is_reached = True

    def _call_as_it_is(self) -> ClientLine:
        return ClientLine(self._client)

    def before_fork(self) -> None:
        """Nothing has to rest: the child uses no connection of its parent's."""

    def after_fork(self, *, in_child: bool) -> None:
        """The child makes connections of its own."""
        if in_child:
            self._line, self._is_reached = None, False
            self._reaching = threading.RLock()
            self._breaker = Breaker(self._reach)


def server_of(client: Any) -> str:
    """The URL of a client's server, without credentials."""
    try:
        settings = dict(client.get_connection_kwargs())
        nodes = getattr(client, "nodes_manager", None)
        if nodes is not None:
            node = next(iter(nodes.startup_nodes.values()))
            settings.update(host=node.host, port=node.port)
    except Exception:
        # A client that knows no such settings is one that somebody wrote for a test.
        return "redis://"
    if "path" in settings:
        return f"unix://{settings['path']}?db={settings.get('db') or 0}"
    host = str(settings.get("host", "localhost"))
    host = f"[{host}]" if ":" in host else host
    scheme = "rediss" if any(name.startswith("ssl") for name in settings) else "redis"
    return f"{scheme}://{host}:{settings.get('port', 6379)}/{settings.get('db') or 0}"


def _decodes(client: Any) -> bool:
    settings = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    return isinstance(settings, dict) and bool(settings.get("decode_responses"))


def as_bytes(answer: Any) -> bytes:
    """An answer that a client which cannot be copied may have decoded."""
    return answer.encode("utf-8", "surrogateescape") if isinstance(answer, str) else answer


def _entrance(client: Any) -> tuple[str, dict[str, Any]]:
    """The kind of a client's connections, awaited or not, and what of its settings counts."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return type(client).__name__, _taken_over(client.get_connection_kwargs())
    return pool.connection_class.__name__, _taken_over(pool.connection_kwargs)


def _line_maker(client: Any) -> Callable[[], Line | ClientLine] | None:
    """What makes a line of our own to a client's server; None where we don't know how."""
    import_redis()
    import redis.asyncio.cluster

    if type(client) in (redis.cluster.RedisCluster, redis.asyncio.cluster.RedisCluster):
        nodes = [
            redis.cluster.ClusterNode(node.host, node.port)  # type: ignore[no-untyped-call]
            for node in client.nodes_manager.startup_nodes.values()
        ]
        settings = _settings(client.get_connection_kwargs())
        for name in ("host", "port", "db"):
            settings.pop(name, None)
        return lambda: ClientLine(redis.cluster.RedisCluster(startup_nodes=nodes, **settings))
    kinds = {
        getattr(module, name): getattr(redis.connection, name)
        for module in (redis.connection, redis.asyncio.connection)
        for name in ("Connection", "SSLConnection", "UnixDomainSocketConnection")
    }
    pool: Any = getattr(client, "connection_pool", None)
    kind = kinds.get(getattr(pool, "connection_class", None))
    if kind is None or not isinstance(pool.connection_kwargs, dict):
        return None
    if pool.connection_kwargs.get("redis_connect_func") is not None:
        return None
    settings = _settings(pool.connection_kwargs)
    return lambda: Line(lambda: kind(**settings))


def _settings(theirs: dict[str, Any]) -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    ours = _taken_over(theirs)
    return {**ours, "retry": Retry(NoBackoff(), 0), "decode_responses": False}


def _taken_over(theirs: dict[str, Any]) -> dict[str, Any]:
    ours = {
        name: value for name, value in theirs.items() if name in _ENTRANCE or name.startswith("ssl")
    }
    for name in ("socket_timeout", "socket_connect_timeout"):
        ours[name] = min(theirs.get(name) or DEADLINE_SECONDS, DEADLINE_SECONDS)
    return ours


def failure_of(error: Exception, server: str) -> BackendError:
    """What a client raised, as one line that names `server`.

    The client's own words are left out: they may hold keys, and a password in a URL.
    """
    return BackendError(f"the store {server} {_why(error)}", server=server)


def is_outage(error: BaseException | None) -> bool:
    """Whether the server is out of reach, rather than refusing one command."""
    from redis import exceptions

    return isinstance(error, OSError | exceptions.ConnectionError | exceptions.TimeoutError)


def _is_cut(error: Exception) -> bool:
    from redis import exceptions

    return type(error) is exceptions.ConnectionError


def _is_wrong_type(error: Exception) -> bool:
    return str(error).startswith("WRONGTYPE")


def _why(error: Exception) -> str:
    from redis import exceptions as known

    text = str(error)
    if isinstance(error, known.AuthenticationError) or text.startswith(("NOAUTH", "WRONGPASS")):
        return "refuses the user name or password, or wants one"
    if isinstance(error, known.NoPermissionError) or text.startswith("NOPERM"):
        return "does not let this user do that (NOPERM)"
    if isinstance(error, known.BusyLoadingError):
        return "is still loading its data"
    if isinstance(error, known.TimeoutError | TimeoutError):
        return "does not answer"
    if isinstance(error, known.ConnectionError | OSError):
        number = next((e.errno for e in _causes(error) if isinstance(e, OSError) and e.errno), None)
        reason = f" ({os.strerror(number)})" if number and number > 0 else ""
        return f"cannot be reached{reason}"
    if isinstance(error, known.OutOfMemoryError) or text.startswith("OOM"):
        return "is full: it has reached its maxmemory and evicts nothing"
    if isinstance(error, known.ReadOnlyError) or text.startswith("READONLY"):
        return "is a read-only replica: name its primary"
    if text.startswith("MISCONF"):
        return "takes no writes, because it cannot save to its own disk (MISCONF)"
    return f"fails ({type(error).__name__})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
