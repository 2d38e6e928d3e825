"""What makes no sense stored: generators, iterators, locks, files, connections, threads."""

from __future__ import annotations

import asyncio
import io
import itertools
import queue
import socket
import threading
import types
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any

from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError
from cascade_nb.codecs.tree import STDLIB, Kind, register_resolver
from cascade_nb.codecs.writer import Writer


def _refuse(writer: Writer, value: Any) -> None:
    raise RefusedError(value, "it is bound to this process")


# Never in an encoding: no value has the tag 0.
_UNSTORABLE = Kind(0, _refuse, Reader.read)
_BOUND_TO_PROCESS: tuple[type, ...] = (
    Generator,
    Coroutine,
    AsyncGenerator,
    asyncio.AbstractEventLoop,
    asyncio.Future,
    io.IOBase,
    queue.Queue,
    queue.SimpleQueue,
    socket.socket,
    threading.Condition,
    threading.Event,
    threading.Semaphore,
    threading.Thread,
    threading.local,
    types.FrameType,
    types.TracebackType,
    weakref.ref,
    memoryview,
    type(threading.Lock()),
    type(threading.RLock()),
)
_EMPTY: tuple[Any, ...] = ([], (), {}, set(), range(0), "", b"", bytearray())
_ITERATORS: tuple[type, ...] = (
    enumerate,
    filter,
    map,
    reversed,
    zip,
    *(type(iter(empty)) for empty in _EMPTY),
    *(cls for cls in vars(itertools).values() if isinstance(cls, type)),
)


def _resolve(cls: type) -> Kind | None:
    if issubclass(cls, io.BytesIO | io.StringIO):
        return None
    return _UNSTORABLE if cls in _ITERATORS or issubclass(cls, _BOUND_TO_PROCESS) else None


register_resolver(STDLIB, _resolve)
