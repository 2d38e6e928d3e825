"""A server that lies as it is told: a trustless gateway and the RPC of an IPFS node in one.

It has blocks, and an honest answer to each request; `lies`, applied one after the other, make of
that answer what goes out. A lie is a function of a `Reply`, so that any of them can be combined.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from cascade_nb.content import car
from cascade_nb.content.assembly import FileAssembly
from cascade_nb.content.cid import parse, to_text
from cascade_nb.content.dag import links
from cascade_nb.errors import ConfigurationError, IntegrityError

PING_PATHS = ("/ipfs/bafkqaaa", "/api/v0/version")
RAW_TYPE = "application/vnd.ipld.raw"
CAR_TYPE = "application/vnd.ipld.car; version=1; order=dfs; dups=n"
_LIMIT = 1 << 32


@dataclass(frozen=True)
class Request:
    """What was asked."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: dict[str, str]
    body: bytes

    @property
    def is_ping(self) -> bool:
        return self.path in PING_PATHS


@dataclass(frozen=True)
class Reply:
    """What is answered; `send` gives the pieces of the body, in its own time."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    cid: bytes | None = None  # what was asked for
    send: Callable[[Reply, LyingServer], AsyncIterator[bytes]] | None = None
    # To be sent as Content-Length; chunked where None.
    promised: int | None = None
    breaks_off: bool = False


Lie = Callable[[Reply], Reply]


class LyingServer:
    """Answers from `blocks` and lies in `lies`; keeps what it was asked in `requests`.

    Pings are answered honestly unless `dead` is set. `script` holds, for each of the next requests
    that are no pings, the lies that it is answered with instead.
    """

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}
        self.pins: dict[str, tuple[str, str]] = {}  # kind and name by CID
        self.lies: Sequence[Lie] = ()
        self.script: list[Sequence[Lie]] = []
        self.dead = False
        self.requests: list[Request] = []
        self.stopped = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def asked(self) -> list[str]:
        """The paths of what was asked, pings left out, with the form of blocks."""
        return [
            request.path + "".join(f"?{value}" for name, value in request.query if name == "format")
            for request in self.requests
            if not request.is_ping
        ]

    def put(self, blocks: Iterable[tuple[bytes, Any]]) -> None:
        """Have these blocks."""
        self.blocks.update((_version_1(cid), bytes(block)) for cid, block in blocks)

    def stop(self) -> None:
        self.stopped.set()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._done.set)
            self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application(client_max_size=1 << 32)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self._ready.set()
        await self._done.wait()
        await runner.cleanup()

    async def _handle(self, asked: web.Request) -> web.StreamResponse:
        request = Request(
            asked.method,
            asked.path,
            tuple(asked.query.items()),
            dict(asked.headers),
            await _body(asked),
        )
        self.requests.append(request)
        reply = self._honest(request)
        if request.is_ping:
            lies: Sequence[Lie] = (silence,) if self.dead else ()
        else:
            lies = self.script.pop(0) if self.script else self.lies
        for lie in lies:
            reply = lie(reply)
        return await self._answer(asked, reply)

    async def _answer(self, asked: web.Request, reply: Reply) -> web.StreamResponse:
        response = web.StreamResponse(status=reply.status, headers=reply.headers)
        if reply.promised is None:
            response.enable_chunked_encoding()
        else:
            response.content_length = reply.promised
        pieces = _at_once(reply) if reply.send is None else reply.send(reply, self)
        try:
            async for piece in pieces:
                if not response.prepared:
                    await response.prepare(asked)
                await response.write(piece)
            if not response.prepared:
                await response.prepare(asked)
            if reply.breaks_off and asked.transport is not None:
                asked.transport.abort()
            else:
                await response.write_eof()
        except ConnectionError:
            pass  # Whoever asked has heard enough.
        return response

    def _honest(self, request: Request) -> Reply:
        parts = request.path.strip("/").split("/")
        query = dict(request.query)
        try:
            if parts[0] == "ipfs" and request.method == "GET":
                return self._gateway(parse(parts[1]), query.get("format", ""))
            if parts[:2] == ["api", "v0"] and request.method == "POST":
                return self._rpc("/".join(parts[2:]), query, request)
        except (ConfigurationError, IndexError) as error:
            return Reply(400, body=str(error).encode())
        return Reply(404, body=b"404 page not found")

    def _gateway(self, cid: bytes, form: str) -> Reply:
        if form == "car":
            # As Kubo's: a root that is not there is a clean 200, header only.
            body = b"".join(car.write(cid, self.walk(cid)))
            return Reply(headers={"Content-Type": CAR_TYPE}, body=body, cid=cid)
        if cid == parse("bafkqaaa"):
            return Reply(headers={"Content-Type": RAW_TYPE})
        if cid not in self.blocks:
            return Reply(404, body=b"not here", cid=cid)
        if form == "raw":
            return Reply(headers={"Content-Type": RAW_TYPE}, body=self.blocks[cid], cid=cid)
        return Reply(headers={"Content-Type": "text/plain"}, body=self.file(cid), cid=cid)

    def _rpc(self, command: str, query: dict[str, str], request: Request) -> Reply:
        if command == "version":
            return _json({"Version": "0.42.0", "Commit": "", "Repo": "18"})
        if command == "dag/import":
            return self._import(request.body, pin=query.get("pin-roots") != "false")
        kind = "direct" if query.get("recursive") == "false" else "recursive"
        if command == "pin/ls":
            return self._pins(query)
        cid = parse(query.get("arg", ""))
        text = to_text(cid)
        if command == "pin/rm":
            pinned = self.pins.get(text, ("", ""))[0] == kind
            if pinned:
                del self.pins[text]
            return _json({"Pins": [text]}) if pinned else _failure("not pinned")
        if cid not in self.blocks:
            return _failure(f"block was not found locally (offline): ipld: could not find {text}")
        if command == "pin/add":
            self.pins[text] = (kind, query.get("name", ""))
            return _json({"Pins": [text]})
        if command == "block/stat":
            return _json({"Key": text, "Size": len(self.blocks[cid])})
        if command == "block/get":
            return Reply(headers={"Content-Type": RAW_TYPE}, body=self.blocks[cid], cid=cid)
        if command == "cat":
            body = self.file(cid)[int(query.get("offset", "0")) :]
            headers = {"Content-Type": "text/plain", "X-Content-Length": str(len(body))}
            return Reply(headers=headers, body=body, cid=cid)
        if command == "dag/export":
            body = b"".join(car.write(cid, self.walk(cid)))
            return Reply(headers={"Content-Type": CAR_TYPE}, body=body, cid=cid)
        return Reply(404, body=b"404 page not found")

    def _pins(self, query: dict[str, str]) -> Reply:
        wanted = query.get("type", "all")
        kept = {
            text: {"Type": kind, "Name": name}
            for text, (kind, name) in self.pins.items()
            if wanted in ("all", kind) and query.get("name", "") in name
        }
        if "arg" in query:
            text = to_text(parse(query["arg"]))
            if text not in kept:
                return _failure(f"path '{text}' is not pinned")
            kept = {text: kept[text]}
        return _json({"Keys": kept})

    def _import(self, body: bytes, *, pin: bool) -> Reply:
        reader = car.Reader()
        try:
            taken = list(reader.feed(body))
            reader.finish()
        except IntegrityError as error:
            return _failure(str(error))
        self.put(taken)
        lines: list[dict[str, Any]] = []
        for root in reader.roots or ():
            text = to_text(root)
            missing = pin and root not in self.blocks
            if pin and not missing:
                self.pins[text] = ("recursive", "")
            message = f"pin: ipld: could not find {text}" if missing else ""
            lines += [{"Root": {"Cid": {"/": text}, "PinErrorMsg": message}}] if pin else []
        size = sum(len(block) for _, block in taken)
        lines.append({"Stats": {"BlockCount": len(taken), "BlockBytesCount": size}})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        return Reply(headers={"Content-Type": "application/json"}, body=text.encode())

    def walk(self, root: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The blocks below `root`, depth first, each once, as far as they are there."""
        todo, seen = [root], {parse("bafkqaaa")}
        while todo:
            cid = todo.pop()
            if cid in seen or cid not in self.blocks:
                continue
            seen.add(cid)
            yield cid, self.blocks[cid]
            try:
                todo += reversed(links(cid, self.blocks[cid]))
            except IntegrityError:
                continue  # It may well have nonsense.

    def file(self, cid: bytes) -> bytes:
        """The file that a CID names."""
        assembly = FileAssembly(cid, limit=_LIMIT)
        for each, block in self.walk(cid):
            assembly.add(each, block)
        return bytes(assembly.data)


def wrong_bytes(reply: Reply) -> Reply:
    """The last byte is another."""
    body = reply.body
    return replace(reply, body=body[:-1] + bytes((body[-1] ^ 1,)) if body else b"?")


def cut(fraction: float = 0.5) -> Lie:
    """A part of it, as if that were all: what is left of an error in a trailer."""
    return lambda reply: replace(reply, body=reply.body[: int(len(reply.body) * fraction)])


def cut_between_blocks(count: int = 1) -> Lie:
    """A valid CAR of the first few blocks."""
    return _recast(lambda blocks: blocks[:count])


def broken_off(fraction: float = 0.5) -> Lie:
    """The connection is closed in the middle."""

    def lie(reply: Reply) -> Reply:
        short = reply.body[: int(len(reply.body) * fraction)]
        return replace(reply, body=short, promised=len(reply.body), breaks_off=True)

    return lie


def header_only(reply: Reply) -> Reply:
    """A CAR without a block."""
    return _recast(lambda _: [])(reply)


def in_disorder(*extra: tuple[bytes, bytes]) -> Lie:
    """Blocks last ones first, each twice, and others in between."""
    return _recast(lambda blocks: [*extra, *blocks[::-1], *extra, *blocks])


def plain_bytes(kind: str = "text/html") -> Lie:
    """Another type of content: the file itself, or whatever."""
    return lambda reply: replace(reply, headers={**reply.headers, "Content-Type": kind})


def instead(body: bytes) -> Lie:
    """Something else altogether."""
    return lambda reply: replace(reply, body=body)


def status(code: int, *, retry_after: str | None = None) -> Lie:
    """An error."""
    after = {} if retry_after is None else {"Retry-After": retry_after}
    return lambda reply: replace(
        reply, status=code, headers={"Content-Type": "text/plain", **after}, body=b"no"
    )


def redirect(target: str) -> Lie:
    """Go and ask somebody else."""
    return lambda reply: Reply(302, headers={"Location": target})


def silence(reply: Reply) -> Reply:
    """Nothing, as long as the server runs."""
    return replace(reply, send=_nothing)


def endless(piece: bytes = bytes(100_000)) -> Lie:
    """The answer, and then `piece` for ever."""

    async def send(reply: Reply, server: LyingServer) -> AsyncIterator[bytes]:
        yield reply.body
        while not server.stopped.is_set():
            yield piece
            await asyncio.sleep(0)

    return lambda reply: replace(reply, send=send)


def drip(step: int = 1, pause: float = 0.05) -> Lie:
    """A few bytes at a time."""

    async def send(reply: Reply, server: LyingServer) -> AsyncIterator[bytes]:
        for at in range(0, len(reply.body), step):
            yield reply.body[at : at + step]
            await asyncio.sleep(pause)

    return lambda reply: replace(reply, send=send)


def stall(fraction: float = 0.5) -> Lie:
    """A part of it, and then nothing more."""

    async def send(reply: Reply, server: LyingServer) -> AsyncIterator[bytes]:
        yield reply.body[: int(len(reply.body) * fraction)]
        async for piece in _nothing(reply, server):
            yield piece

    return lambda reply: replace(reply, send=send)


def only(wanted: Callable[[Reply], bool], lie: Lie) -> Lie:
    """`lie` where `wanted`, else the truth."""
    return lambda reply: lie(reply) if wanted(reply) else reply


def is_car(reply: Reply) -> bool:
    return reply.headers.get("Content-Type", "").startswith("application/vnd.ipld.car")


def _recast(
    change: Callable[[list[tuple[bytes, bytes]]], list[tuple[bytes, bytes]]],
) -> Lie:
    """A CAR with other blocks under the same root; what is no CAR stays."""

    def lie(reply: Reply) -> Reply:
        if not is_car(reply):
            return reply
        reader = car.Reader()
        blocks = list(reader.feed(reply.body))
        assert reader.roots is not None
        return replace(reply, body=b"".join(car.write(reader.roots[0], change(blocks))))

    return lie


async def _at_once(reply: Reply) -> AsyncIterator[bytes]:
    for start in range(0, len(reply.body), 1 << 18):
        yield reply.body[start : start + (1 << 18)]


async def _nothing(reply: Reply, server: LyingServer) -> AsyncIterator[bytes]:
    while not server.stopped.is_set():
        await asyncio.sleep(0.01)
    return
    yield b""


async def _body(asked: web.Request) -> bytes:
    """What was sent: the first part, where there are several."""
    body = await asked.read()
    if not asked.content_type.startswith("multipart/"):
        return body
    boundary = asked.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    start = body.find(b"\r\n\r\n") + 4
    return body[start : body.find(b"\r\n--" + boundary, start)]


def _json(tree: object) -> Reply:
    return Reply(headers={"Content-Type": "application/json"}, body=json.dumps(tree).encode())


def _failure(message: str) -> Reply:
    tree = {"Message": message, "Code": 0, "Type": "error"}
    return replace(_json(tree), status=500)


def _version_1(cid: bytes) -> bytes:
    return cid if cid[0] == 1 else parse(to_text(cid))


@contextmanager
def lying_server(*lies: Lie) -> Iterator[LyingServer]:
    """A server on a free port of this machine, for as long as the block lasts."""
    server = LyingServer()
    server.lies = lies
    try:
        yield server
    finally:
        server.stop()
