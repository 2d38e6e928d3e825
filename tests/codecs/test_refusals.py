"""What makes no sense stored is refused, with the way to it; nothing of a known type is pickled."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cascade_nb.codecs import encode
from cascade_nb.errors import CodecError


async def _coroutine() -> None:
    pass


@contextlib.contextmanager
def _made(build: Callable[[], Any]) -> Iterator[Any]:
    value = build()
    yield value
    if hasattr(value, "close"):
        value.close()


@pytest.mark.parametrize(
    "build",
    [
        lambda: (i for i in "a"),
        lambda: open("/dev/null"),  # noqa: SIM115
        lambda: io.BufferedReader(io.BytesIO()),
        socket.socket,
        threading.Lock,
        threading.RLock,
        threading.Condition,
        threading.Event,
        threading.Thread,
        _coroutine,
        asyncio.new_event_loop,
        lambda: sqlite3.connect(":memory:"),
        lambda: iter([1]),
        lambda: map(int, "1"),
        lambda: memoryview(b"x"),
    ],
)
def test_what_belongs_to_this_process(build: Callable[[], Any]) -> None:
    with _made(build) as value, pytest.raises(CodecError) as caught:
        encode({"key": [value]})
    assert caught.value.path.startswith("value['key'][0]")
    assert str(caught.value).startswith(caught.value.path)


def test_in_memory_files_are_values() -> None:
    assert encode(io.BytesIO(b"x")).codec == "tree/1"


def test_keys_that_are_no_text_are_named_by_type() -> None:
    with pytest.raises(CodecError) as caught:
        encode({(1, 2): {"a" * 100: iter([])}})
    assert caught.value.path == f"value[<tuple>]['{'a' * 36}...]"


def test_culprits_in_keys_and_sets() -> None:
    with pytest.raises(CodecError) as caught:
        encode({iter([]): 1})
    assert caught.value.path == "value.keys()[0]"
    with pytest.raises(CodecError) as caught:
        encode([{iter([])}])
    assert caught.value.path == "value[0] (element)"


def test_attributes_on_containers_are_refused() -> None:
    counter = Counter("a")
    counter.note = "x"  # type: ignore[attr-defined]
    with pytest.raises(CodecError, match="attributes of its own"):
        encode([counter])


def test_arrays_bound_to_files_are_refused(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", np.uint8, "w+", shape=10)
    with pytest.raises(CodecError, match="bound to a file"):
        encode(mapped)


def test_structures_with_objects_are_refused() -> None:
    with pytest.raises(CodecError, match="objects in it"):
        encode(np.zeros(2, dtype=[("a", object)]))


def test_subclasses_of_known_types_are_not_taken_for_them() -> None:
    class Special(dict[str, int]):
        pass

    class Array(np.ndarray[Any, Any]):
        pass

    assert encode(Special()).codec == "code/1"
    assert encode(np.zeros(1).view(Array)).codec == "code/1"
