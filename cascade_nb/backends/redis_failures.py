"""What a client of Redis raises, in words that show no credentials."""

from __future__ import annotations

import os
from collections.abc import Iterator

from cascade_nb.errors import BackendError


def failure_of(error: Exception, server: str) -> BackendError:
    """What a client raised, as one line that names `server`.

    The client's own words are left out: they may hold keys, and a password in a URL.
    """
    return BackendError(f"the store {server} {_why(error)}", server=server)


def is_outage(error: BaseException | None) -> bool:
    """Whether the server is out of reach, rather than refusing one command."""
    from redis import exceptions

    return isinstance(error, OSError | exceptions.ConnectionError | exceptions.TimeoutError)


def is_cut(error: Exception) -> bool:
    """Whether a connection was closed, of a server that may be there."""
    from redis import exceptions

    return type(error) is exceptions.ConnectionError


def is_wrong_type(error: Exception) -> bool:
    """Whether what lies under a name is of another type than what was asked for."""
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
