"""The RPC of an IPFS node (docs.ipfs.tech/reference/kubo/rpc); Kubo is the one that is meant.

Nothing here tells the network what the node has: imports and pins are made offline and are
announced by no option of ours. What the node's own configuration announces is its owner's affair.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cascade_nb.backends.http import Answer, Body, BrokenOffError, HttpClient, Stream
from cascade_nb.backends.silence import PATIENCE_SECONDS
from cascade_nb.content import cid as cids
from cascade_nb.content.car import SECTION_LIMIT
from cascade_nb.content.verification import check_block
from cascade_nb.errors import BackendError, IntegrityError
from cascade_nb.protocols import Bytes
from cascade_nb.wording import one_line

# Tags, and what stands between those of styles and scripts.
_MARKUP = re.compile(r"<(style|script)\b.*?(?:</\1\s*>|$)|<[^>]*>?", re.IGNORECASE | re.DOTALL)

DIRECT, RECURSIVE = "direct", "recursive"

_ROOT = "api/v0/"
_OFFLINE = ("offline", "true")
# From 0.43 on, roots are announced when they are imported or pinned, unless this is said.
_SILENT = ("fast-provide-root", "false")
# What Kubo says, where it has no better way of telling one failure from another.
_ABSENT = ("not found", "could not find", "failed to fetch all nodes")
_NOT_PINNED = ("not pinned", "pinned recursively")
_PINNED_AS_A_WHOLE = "already pinned recursively"
_REFUSED = frozenset({401, 403})
_BOUNDARY = "cascade-nb-0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_LISTED_BYTES = 1 << 30
_BLOCKS_IN_A_URL = 50


class IncompleteError(BackendError):
    """A node cannot pin a DAG, as parts of it are missing in its repository."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What keeps a DAG, or one block of it, in a node's repository."""

    cid: str
    kind: str
    name: str


class KuboClient:
    """Asks one node; its methods are awaited on the background loop.

    All raise `BackendError` where the node is dead, refuses, or fails.

    Args:
        url: of the node's RPC, such as ``http://127.0.0.1:5001``.
        token: a bearer token; ``user:password@`` in the URL is basic authorization.

    Raises:
        ConfigurationError: one of them is not valid.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self.http = HttpClient(url, what="IPFS node", ping=("POST", _ROOT + "version"), token=token)

    @property
    def server(self) -> str:
        """The node's URL, without credentials."""
        return self.http.shown

    async def has_block(self, cid: bytes) -> bool:
        """Whether the block lies in the node's own repository."""
        answer = await self._asked("block/stat", _OFFLINE, arguments=[cids.to_text(cid)])
        return self._is_there(answer)

    async def block(
        self, cid: bytes, *, offline: bool, patience: float = PATIENCE_SECONDS
    ) -> bytes | None:
        """A block, proven by its CID, from the repository or, unless `offline`, the network.

        Raises:
            IntegrityError: it is another one, or one that is larger than blocks are.
        """
        options = [_OFFLINE] if offline else []
        answer = await self._asked(
            "block/get",
            *options,
            arguments=[cids.to_text(cid)],
            limit=SECTION_LIMIT + 1,
            patience=patience,
        )
        if not self._is_there(answer):
            return None
        if len(answer.body) > SECTION_LIMIT:
            raise IntegrityError(f"{cids.shown(cid)} is larger than a block may be")
        check_block(cid, answer.body)
        return answer.body

    @asynccontextmanager
    async def cat(
        self, cid: str, *, offset: int, offline: bool, patience: float
    ) -> AsyncIterator[Stream | None]:
        """The bytes of a file from `offset` on, unproven and maybe cut; None where it is absent."""
        parameters = [("arg", cid), ("offset", str(offset)), *([_OFFLINE] if offline else [])]
        async with self.http.open(
            "POST", _ROOT + "cat", parameters=parameters, patience=patience
        ) as stream:
            if stream.status == 200:
                yield stream
                return
            answer = Answer(stream.status, stream.headers, await stream.read())
            self._is_there(answer)
            yield None

    async def import_car(self, car: Body, *, pin_roots: bool) -> int:
        """Take the blocks of a CAR; how many there were.

        Raises:
            IncompleteError: a root could not be pinned.
            BackendError: they were not all taken.
        """
        answer = await self._imported(car, pin_roots=pin_roots)
        if answer.status != 200:
            raise self._failure("dag/import", answer)
        count: int | None = None
        for line in answer.body.splitlines():
            tree = _tree(line)
            pin_error = (tree.get("Root") or {}).get("PinErrorMsg")
            if pin_error:
                why = self.http.error(f"does not pin what it was sent: {one_line(pin_error)}")
                raise IncompleteError(str(why), server=self.server)
            count = (tree.get("Stats") or {}).get("BlockCount", count)
        if count is None:
            # What went wrong stands in a trailer, which is lost.
            raise self.http.error("did not finish taking what it was sent")
        return count

    async def _imported(self, car: Body, *, pin_roots: bool) -> Answer:
        options = [("pin-roots", str(pin_roots).lower()), ("stats", "true"), _OFFLINE, _SILENT]

        async def form() -> AsyncIterator[Bytes]:
            yield (
                f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; '
                'filename="dag.car"\r\nContent-Type: application/vnd.ipld.car\r\n\r\n'
            ).encode()
            async for piece in car():
                yield piece
            yield f"\r\n--{_BOUNDARY}--\r\n".encode()

        try:
            return await self.http.ask(
                "POST",
                _ROOT + "dag/import",
                parameters=options,
                headers={"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"},
                body=form,
            )
        except BrokenOffError as error:
            # It may have said why before it closed, to nobody who was listening.
            answer = await self._asked("dag/import", *options)
            if answer.status in _REFUSED:
                raise self._failure("dag/import", answer) from error
            raise

    async def pin(self, cid: str, *, name: str, kind: str) -> None:
        """Pin what is in the repository already, giving an older pin of that kind a new name.

        Raises:
            BackendError: not all of it is there.
        """
        recursive = ("recursive", str(kind == RECURSIVE).lower())
        answer = await self._asked(
            "pin/add", recursive, ("name", name), _OFFLINE, _SILENT, arguments=[cid]
        )
        if answer.status != 200 and _PINNED_AS_A_WHOLE not in answer.text:
            raise self._failure("pin/add", answer)

    async def pin_of(self, cid: str, kind: str) -> Pin | None:
        """The pin of that kind on the CID itself."""
        answer = await self._asked(
            "pin/ls", ("type", kind), ("names", "true"), _OFFLINE, arguments=[cid]
        )
        if answer.status == 500 and _says(answer, _NOT_PINNED):
            return None
        pins = self._pins(answer)
        return pins[0] if pins else None

    async def pins(self, kind: str, name: str) -> list[Pin]:
        """All pins of that kind whose names contain `name`."""
        return self._pins(
            await self._asked("pin/ls", ("type", kind), ("name", name), limit=_LISTED_BYTES)
        )

    async def unpin(self, cid: str, kind: str) -> bool:
        """Remove a pin; whether there was one."""
        recursive = ("recursive", str(kind == RECURSIVE).lower())
        answer = await self._asked("pin/rm", recursive, arguments=[cid])
        if answer.status == 500 and _says(answer, _NOT_PINNED):
            return False
        if answer.status != 200:
            raise self._failure("pin/rm", answer)
        return True

    async def remove_blocks(self, blocks: Sequence[bytes]) -> None:
        """Remove blocks from the repository, as far as no pin keeps them."""
        for start in range(0, len(blocks), _BLOCKS_IN_A_URL):
            some = [cids.to_text(cid) for cid in blocks[start : start + _BLOCKS_IN_A_URL]]
            answer = await self._asked("block/rm", ("force", "true"), arguments=some)
            if answer.status != 200:
                raise self._failure("block/rm", answer)

    def _pins(self, answer: Answer) -> list[Pin]:
        if answer.status != 200:
            raise self._failure("pin/ls", answer)
        listed = _tree(answer.body).get("Keys") or {}
        return [
            Pin(cid, str(pin.get("Type", "")), str(pin.get("Name", "")))
            for cid, pin in listed.items()
        ]

    async def _asked(
        self,
        command: str,
        *options: tuple[str, str],
        arguments: Sequence[str] = (),
        limit: int = 4 << 20,
        patience: float = PATIENCE_SECONDS,
    ) -> Answer:
        return await self.http.ask(
            "POST",
            _ROOT + command,
            parameters=[*(("arg", argument) for argument in arguments), *options],
            limit=limit,
            patience=patience,
        )

    def _is_there(self, answer: Answer) -> bool:
        """Whether an answer about a block or file is one at all, or says that there is none."""
        if answer.status == 200:
            return True
        if answer.status == 500 and _says(answer, _ABSENT):
            return False
        raise self._failure("its repository", answer)

    def _failure(self, what: str, answer: Answer) -> BackendError:
        if answer.status in _REFUSED:
            return self.http.error(
                f"refuses access ({answer.status}); CASCADE_IPFS_TOKEN, token= or user:password@ "
                "in its URL would give it"
            )
        if answer.status in (404, 405):
            return self.http.error("has no RPC of IPFS there; the port of Kubo's is 5001")
        message = _tree(answer.body).get("Message")
        said = one_line(str(message)) if message else _beginning(answer.text)
        return self.http.error(f"fails at {what} ({answer.status}): {said}")


def _says(answer: Answer, any_of: tuple[str, ...]) -> bool:
    return any(words in answer.text for words in any_of)


def _beginning(text: str) -> str:
    """What another server than a node says, such as a page in HTML: the first words of it."""
    return one_line(_MARKUP.sub(" ", text), 80) or "no message"


def _tree(line: bytes) -> dict[str, Any]:
    """The JSON object in an answer; an empty one where it is none."""
    try:
        tree = json.loads(line)
    except ValueError:
        return {}
    return tree if isinstance(tree, dict) else {}
