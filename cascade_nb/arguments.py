"""Arguments of another kind than was meant: one line that names the culprit and the way out."""

from __future__ import annotations

import inspect
import os
import re
from typing import Any
from urllib.parse import parse_qsl

from cascade_nb.errors import ConfigurationError
from cascade_nb.wording import a

# A URL without a user in it, whose port can be shown: it is no part of a password.
_PORT = re.compile(r"[\w+.-]*://(?:\[[^]@]*\]|[^:/?#@[]*):([^/?#@]+)(?:[/?#][^@]*)?")


def called(value: object) -> str:
    """What a message calls `value`, of which it shows no more: None, an int, the class Engine."""
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else a(type(value).__name__)


def refuse_class(what: str, given: object) -> None:
    """Refuse a class in the place of `what`, an instance; a class has all its methods, too.

    Raises:
        ConfigurationError: `given` is a class.
    """
    if not isinstance(given, type):
        return
    try:
        inspect.signature(given).bind()
        instance = f"{given.__name__}()"
    except (TypeError, ValueError):
        instance = f"{given.__name__}(...)"
    raise ConfigurationError(f"{what} cannot be a class; give an instance: {instance}")


def checked_path(what: str, given: Any) -> str:
    """The path that `given` is, as a text.

    Raises:
        ConfigurationError: it is none; `what` says what was meant.
    """
    path = os.fspath(given) if isinstance(given, str | os.PathLike) else given
    if not isinstance(path, str):
        raise ConfigurationError(f"{what}, not {called(given)}")
    return path


def why_no_address(url: str) -> str:
    """What is wrong with a URL whose host or port could not be read; credentials are not shown."""
    match = _PORT.fullmatch(url)
    if match is None:
        return "its host or port cannot be read"
    return f"its port is a number up to 65535, not {match[1]!r:.40}"


def options_in(store: str, query: str) -> dict[str, str]:
    """The options in the query of the URL of `store`.

    Raises:
        ConfigurationError: one of them stands there twice.
    """
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in options:
            raise ConfigurationError(f"store {store} has the option {name!r} more than once")
        options[name] = value
    return options
