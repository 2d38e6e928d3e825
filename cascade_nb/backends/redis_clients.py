"""What is taken over from a user's client of Redis: where its server is, and how it is entered.

Clients by default try a dead server again and again, for 4 to 35 s a call, and each application
sets its own timeouts; so the rest is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cascade_nb.backends.redis_lines import ClientLine, Line
from cascade_nb.errors import ConfigurationError

# A server that says nothing for so long is dead.
DEADLINE_SECONDS = 1.0
# What of a client's settings says where its server is and how it is entered. The rest (retries,
# decoding, caches) is how the user's own calls are made.
_ENTRANCE = frozenset(
    {
        *("host", "port", "path", "db", "username", "password", "credential_provider"),
        *("client_name", "socket_type"),
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


def decodes(client: Any) -> bool:
    """Whether what a client gives are texts."""
    settings = getattr(getattr(client, "connection_pool", None), "connection_kwargs", None)
    return isinstance(settings, dict) and bool(settings.get("decode_responses"))


def as_bytes(answer: Any) -> bytes:
    """An answer that a client which cannot be copied may have decoded."""
    return answer.encode("utf-8", "surrogateescape") if isinstance(answer, str) else answer


def entrance_of(client: Any) -> tuple[str, dict[str, Any]]:
    """The kind of a client's connections, awaited or not, and what of its settings counts."""
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return type(client).__name__, _taken_over(client.get_connection_kwargs())
    return pool.connection_class.__name__, _taken_over(pool.connection_kwargs)


def line_maker_of(client: Any) -> Callable[[], Line | ClientLine] | None:
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
    # Only in the third version of the protocol does a server say what it was not asked for.
    ours["protocol"] = 2
    return {**ours, "retry": Retry(NoBackoff(), 0), "decode_responses": False}


def _taken_over(theirs: dict[str, Any]) -> dict[str, Any]:
    ours = {
        name: value for name, value in theirs.items() if name in _ENTRANCE or name.startswith("ssl")
    }
    for name in ("socket_timeout", "socket_connect_timeout"):
        ours[name] = min(theirs.get(name) or DEADLINE_SECONDS, DEADLINE_SECONDS)
    return ours
