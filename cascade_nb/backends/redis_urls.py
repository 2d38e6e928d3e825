"""The URLs of Redis stores."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode, urlsplit

from cascade_nb.arguments import options_in, why_no_address
from cascade_nb.backends.redis_clients import import_redis
from cascade_nb.errors import ConfigurationError

# Options that a URL may have, and what they may be.
_OPTIONS = {"db": r"\d+", "protocol": "[23]", "client_name": r"\S+", r"ssl_\w+": ".*"}
_PREFIX = "cascade:cache:"


def client_at(url: str) -> tuple[Any, str]:
    """A client of the server that a URL names, and the prefix of the store there.

    Raises:
        ConfigurationError: it is no such URL, or the package redis is missing; credentials in it
            are not shown.
    """
    redis = import_redis()
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        # What is wrong is said in words that may hold the password.
        scheme = re.match(r"\w+", url)
        name = f"{scheme[0]}://..." if scheme else "a URL"
        raise ConfigurationError(f"store {name} is not valid: {why_no_address(url)}") from None
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise ConfigurationError(f"store {shown} is no URL of a Redis server")
    options = options_in(shown, parts.query)
    prefix = options.pop("prefix", _PREFIX)
    if parts.scheme != "unix":
        options.setdefault("db", parts.path.strip("/") or "0")
    for option, value in options.items():
        form = next((form for name, form in _OPTIONS.items() if re.fullmatch(name, option)), None)
        if form is None:
            raise ConfigurationError(f"store {shown} has no option {option!r}")
        if not re.fullmatch(form, value):
            raise ConfigurationError(f"store {shown}: {option} cannot be {value!r}")
    location = f"{parts.scheme}://{parts.netloc}{parts.path if parts.scheme == 'unix' else ''}"
    return redis.Redis.from_url(f"{location}?{urlencode(options)}"), prefix
