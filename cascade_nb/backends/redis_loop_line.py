"""Lines to a Redis server that belong to one loop: a trip to a thread takes longer than an answer.

A loop borrows one of the connections that stand idle, and all who run on it ask on that one, none
waiting for another's answer. What is out of the ordinary, from a loop that watches no sockets to an
answer that is an error, is left to those who ask in threads.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import Any

from cascade_nb.backends.redis_lines import ClientLine, Line
from cascade_nb.backends.redis_protocol import packed, parsed
from cascade_nb.backends.silence import LOOK_SECONDS

# Looks in vain after which a server is silent, and a line is given back that nobody uses. In steps,
# as a loop that stood still itself finds all its timers over at once.
_SILENT_LOOKS, _UNUSED_LOOKS = 4, 40
# So many questions surely fit into what the system buffers.
_MOST_QUESTIONS, _LONGEST_QUESTION = 32, 1024
# No less than what is decrypted at once: of the rest, the loop would not be told.
_PIECE_BYTES = 64 * 1024
_NOTHING_YET = (BlockingIOError, ssl.SSLWantReadError)


class UnansweredError(Exception):
    """It has to be asked in the ordinary way."""


class LoopLines:
    """The lines of all loops to one server."""

    def __init__(self) -> None:
        self._lines: dict[asyncio.AbstractEventLoop, LoopLine] = {}

    def here(self, lender: Line | ClientLine) -> LoopLine:
        """The running loop's own, for which `lender` lends a connection where there is none yet.

        Raises:
            UnansweredError: it has none to lend, or the loop cannot watch it.
        """
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None or line.closed:
            self._end_those_of_closed_loops()
            line = self._lines[loop] = _borrowed(lender, loop)
        return line

    def _end_those_of_closed_loops(self) -> None:
        for loop in tuple(self._lines):
            if loop.is_closed() and (line := self._lines.pop(loop, None)) is not None:
                line.close()


def _borrowed(lender: Line | ClientLine, loop: asyncio.AbstractEventLoop) -> LoopLine:
    if not isinstance(lender, Line) or (connection := lender.lend()) is None:
        raise UnansweredError
    try:
        return LoopLine(lender, connection, loop)
    except NotImplementedError as error:
        lender.take_back(connection)
        raise UnansweredError from error


class LoopLine:
    """One connection, borrowed by a loop for as long as it is used.

    Raises:
        NotImplementedError: the loop watches no sockets.
    """

    def __init__(self, lender: Line, connection: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._lender = lender
        self._connection = connection
        self._loop = loop
        self._socket = connection._sock
        self._timeout = self._socket.gettimeout()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._received = bytearray()
        self._looks = 0
        self.closed = False
        loop.add_reader(self._socket.fileno(), self._read)
        loop.call_later(LOOK_SECONDS, self._look)
        self._socket.settimeout(0)

    async def ask(self, *command: bytes | str) -> Any:
        """The answer to a short command: bytes, a number, None, or a list of those.

        Who is cancelled leaves the line to the others: the answer goes nowhere.

        Raises:
            UnansweredError: it is something else, or did not come.
            TimeoutError: the server says nothing, be it in the middle of an answer.
        """
        question = packed(command)
        if len(self._waiting) >= _MOST_QUESTIONS or len(question) > _LONGEST_QUESTION:
            raise UnansweredError
        if not self._waiting:
            self._looks = 0
        self._send(question)
        answer = self._loop.create_future()
        self._waiting.append(answer)
        return await answer

    def close(self, why: type[Exception] = UnansweredError) -> None:
        """Hang up; all who wait for an answer get a `why`."""
        self._let_go()
        self._connection.disconnect()
        for answer in self._waiting:
            if not (answer.done() or self._loop.is_closed()):
                answer.set_exception(why())
        self._waiting.clear()

    def _let_go(self) -> None:
        self.closed = True
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())

    def _send(self, question: bytes) -> None:
        try:
            sent = self._socket.send(question)
        except OSError:
            sent = 0
        if sent < len(question):
            self.close()
            raise UnansweredError

    def _look(self) -> None:
        """See whether the server is silent, or the line no longer used."""
        if self.closed:
            return
        self._looks += 1
        if self._waiting and self._looks > _SILENT_LOOKS:
            self.close(TimeoutError)
        elif not self._waiting and self._looks > _UNUSED_LOOKS:
            self._let_go()
            self._socket.settimeout(self._timeout)
            self._lender.take_back(self._connection)
        else:
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _read(self) -> None:
        try:
            piece = self._socket.recv(_PIECE_BYTES)
        except _NOTHING_YET:
            return
        except OSError:
            piece = b""
        if not piece:
            self.close()
            return
        self._looks = 0
        self._received += piece
        try:
            self._hand_out()
        except (ValueError, IndexError):
            # An error, or what nobody has asked for.
            self.close()

    def _hand_out(self) -> None:
        """Give those who wait what has come for them."""
        start = 0
        with suppress(EOFError):
            while start < len(self._received):
                answer, start = parsed(self._received, start)
                waiting = self._waiting.popleft()
                if not waiting.done():
                    waiting.set_result(answer)
        del self._received[:start]
