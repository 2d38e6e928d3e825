"""Ways to talk to a Redis server: our own connections, or a client that is called as it is.

All have the same methods. What they raise is the client library's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from socket import socket
from typing import Any, TypeAlias

from cascade_nb.backends.redis_protocol import packed, parsed

Command: TypeAlias = Sequence[Any]

_SCAN_COUNT = 1000
_PIECE_BYTES = 64 * 1024


class Line:
    """Connections of our own to one server, as many as there are threads that talk at once.

    They are the library's, without what its clients do around each command, which for a small
    answer takes longer than the server.
    """

    def __init__(self, connect: Callable[[], Any]) -> None:
        from redis.exceptions import ResponseError

        self._refusal = ResponseError
        self._connect = connect
        self._idle: deque[Any] = deque()

    def call(self, *command: Any) -> Any:
        """The answer to one command."""
        connection = self._take()
        try:
            connection.send_command(*command)
            answer = connection.read_response()
        except self._refusal:
            self._idle.append(connection)
            raise
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answer

    def ask(self, *command: bytes | str) -> Any:
        """As `call`, for a short command, without what the library does around each."""
        connection = self._take()
        try:
            answer = _exchanged(connection._sock, packed(command))
        except (ConnectionError, ValueError):
            # It was cut, or is an error, of which the library knows what it says.
            connection.disconnect()
            return self.call(*command)
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answer

    def batch(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to `commands`, which are sent together; an error is an answer, too."""
        connection = self._take()
        answers: list[Any] = []
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                try:
                    answers.append(connection.read_response())
                except self._refusal as refusal:
                    answers.append(refusal)
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append(connection)
        return answers

    def names(self, pattern: bytes) -> list[Any]:
        """All keys that match; some may come twice."""
        found: list[Any] = []
        cursor: Any = b"0"
        while True:
            cursor, page = self.call("SCAN", cursor, "MATCH", pattern, "COUNT", _SCAN_COUNT)
            found += page
            if int(cursor) == 0:
                return found

    def evaluate(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """What a Lua script answers."""
        return self.call("EVAL", script, len(keys), *keys, *arguments)

    def lend(self) -> Any:
        """A connection that stands idle, for one who talks on it in a way of their own; or None."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def take_back(self, connection: Any) -> None:
        """What was lent, with nothing under way on it."""
        self._idle.append(connection)

    def hang_up(self) -> None:
        """Close connections that nobody uses: if one was cut, others may be."""
        while self._idle:
            try:
                self._idle.pop().disconnect()
            except IndexError:
                return  # Another thread has taken the last one.

    def _take(self) -> Any:
        connection = self.lend()
        if connection is None:
            connection = self._connect()
            connection.connect()
        return connection


def _exchanged(connection: socket, question: bytes) -> Any:
    connection.sendall(question)
    received = b""
    while piece := connection.recv(_PIECE_BYTES):
        received += piece
        with suppress(EOFError):
            return parsed(received)[0]
    raise ConnectionResetError


class ClientLine:
    """A client, called as it is."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def call(self, *command: Any) -> Any:
        """As `Line.call`."""
        return self._client.execute_command(*command)

    def ask(self, *command: Any) -> Any:
        """As `Line.ask`."""
        return self.call(*command)

    def batch(self, commands: Sequence[Command]) -> Any:
        """As `Line.batch`."""
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        return pipeline.execute(raise_on_error=False)

    def names(self, pattern: bytes) -> Any:
        """As `Line.names`."""
        return list(self._client.scan_iter(match=pattern, count=_SCAN_COUNT))

    def evaluate(self, script: str, keys: Sequence[bytes], arguments: Sequence[Any]) -> Any:
        """As `Line.evaluate`."""
        return self._client.eval(script, len(keys), *keys, *arguments)

    def hang_up(self) -> None:
        """What becomes of connections is the client's affair."""


class AwaitedLine(ClientLine):
    """A client that is awaited: each method gives an awaitable."""

    async def names(self, pattern: bytes) -> list[Any]:
        """As `Line.names`."""
        found = self._client.scan_iter(match=pattern, count=_SCAN_COUNT)
        return [name async for name in found]
