"""Telling a server that is slow from one that is dead, and how long one that is slow is waited for.

Silence is no proof of death: a node may be looking for a block. So whoever is silent is pinged,
and is dead only if the ping is not answered either, a second after the first byte was due.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from cascade_nb.errors import BackendError
from cascade_nb.protocols import Bytes

# A second in all: a look after the first quarter, and a ping that is waited for in three more. In
# steps, as a process that stood still itself finds all its timers over at once.
LOOK_SECONDS = 0.25
PING_LOOKS = 3
# A server that answers pings is pinged less and less often.
_LONGEST_LOOK_SECONDS = 4.0
# Without any progress: after so long a living server is given up, and a hit, which can be computed
# anew, long before.
PATIENCE_SECONDS, HIT_PATIENCE_SECONDS = 30.0, 3.0


class StalledError(BackendError):
    """Somebody who is not known to be dead has sent nothing for long."""


@dataclass
class Watch:
    """Watches one request.

    It is the server's turn after `waiting`, until `working`: only its own silence counts.

    Args:
        patience: seconds without progress after which a living server is given up, too.
        is_alive: pings the server.
        dead: the verdict on one that answers no ping.
        idle: the verdict on one that does, and nothing else.
    """

    patience: float
    is_alive: Callable[[], Awaitable[bool]]
    dead: Callable[[], BackendError]
    idle: Callable[[], BackendError]
    verdict: BackendError | None = field(default=None, init=False)
    # What went wrong while a piece was made; to those who send, it is a broken connection.
    failure: Exception | None = field(default=None, init=False)
    _since: float | None = field(default=None, init=False)

    def waiting(self) -> None:
        """The server has its turn from now on."""
        self._since = asyncio.get_running_loop().time()

    def working(self) -> None:
        """It is our turn."""
        self._since = None

    async def over(self, pieces: AsyncIterator[Bytes]) -> AsyncIterator[Bytes]:
        """`pieces`, to be sent: while one is made, the server is not waited for."""
        self.working()
        try:
            async for piece in pieces:
                self.waiting()
                yield piece
                self.working()
        except Exception as error:
            self.failure = error
            raise
        self.waiting()

    async def run(self, deadline: asyncio.Timeout) -> None:
        """Look again and again, until a verdict ends the request at `deadline`."""
        look = LOOK_SECONDS
        while self.verdict is None:
            await asyncio.sleep(look)
            turn, silence = self._since, self._silence()
            if silence < LOOK_SECONDS / 2:
                look = LOOK_SECONDS
            elif silence >= self.patience:
                self.verdict = self.idle()
            elif await self.is_alive() or self._since != turn:
                left = max(self.patience - self._silence(), 0.0)
                look = min(look * 2, _LONGEST_LOOK_SECONDS, left)
            else:
                self.verdict = self.dead()
        deadline.reschedule(asyncio.get_running_loop().time())

    def _silence(self) -> float:
        """Seconds that the server has been silent for, though it is its turn."""
        since = self._since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since
