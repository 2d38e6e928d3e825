"""Damaged and hostile encodings: an error or a value, never a crash, code or a huge allocation."""

from __future__ import annotations

import contextlib
import pickle
import random
import resource
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cascade_nb.codecs import decode, encode
from cascade_nb.errors import CodecError, UntrustedError
from tests.codecs.values import ALL

GIGABYTE = 1 << 30


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """A claimed size that is believed becomes a MemoryError, and that a failed test."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 2 * GIGABYTE, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, limits)


def encoded(value: Any) -> bytearray:
    return bytearray().join(encode(value).pieces)


def tree(structure: bytes, *blocks: bytes, flag: int = 0, table: bytes = b"\0") -> bytes:
    """An encoding made by hand, of small blocks."""
    structure = table + structure
    head = struct.pack("<7sBQQ", b"tree/1\n", flag, len(structure), len(blocks))
    sizes = struct.pack(f"<{len(blocks)}Q", *map(len, blocks))
    return head + sizes + structure + b"".join(blocks)


def attempt(data: bytes | bytearray) -> None:
    """Decode and look at what came of it, as a user would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = decode(data, code=False)
        except (CodecError, UntrustedError) as error:
            if isinstance(error.__cause__, MemoryError | SystemError):
                raise
        else:
            with contextlib.suppress(Exception):  # a damaged value may not have one
                repr(value)


def damage(data: bytearray, source: random.Random, rounds: int) -> None:
    for _ in range(rounds):
        copy = bytearray(data)
        for _ in range(source.choice((1, 1, 2, 8))):
            where = source.randrange(7, len(copy))
            if source.random() < 0.7 and len(copy) > 2000:
                where = source.randrange(7, 2000)
            copy[where] = source.choice((0, 1, 255, 128, copy[where] ^ 1 << source.randrange(8)))
        attempt(copy)


@pytest.mark.parametrize("name", ALL)
def test_flipped_bytes(name: str) -> None:
    damage(encoded(ALL[name]()), random.Random(name), 40)


@pytest.mark.parametrize("name", ALL)
def test_truncated(name: str) -> None:
    data = encoded(ALL[name]())
    ends = range(len(data)) if len(data) < 60 else random.Random(name).sample(range(len(data)), 60)
    for end in ends:
        with pytest.raises(CodecError):
            decode(data[:end], code=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_flipped_bytes_at_length(name: str) -> None:
    data = encoded(ALL[name]())
    damage(data, random.Random(f"long {name}"), 5000)
    for position in range(7, min(len(data), 3000)):
        for value in (0, 255, data[position] ^ 1):
            copy = bytearray(data)
            copy[position] = value
            attempt(copy)


def test_trailing_bytes() -> None:
    with pytest.raises(CodecError, match="too many"):
        decode(encoded([1]) + b"\0", code=False)


@pytest.mark.parametrize("data", [b"", b"tree/1\n", b"tree/2\n" + bytes(40), b"\x80\x05N."])
def test_what_is_no_encoding(data: bytes) -> None:
    with pytest.raises(CodecError):
        decode(data, code=True)


@pytest.mark.parametrize(
    "structure",
    [
        b"\x0e" + b"\xff" * 8 + b"\x7f\x00",  # a list of 2**63 elements
        b"\x0e\xff\xff\xff\x7f\x00\x03",
        b"\x0b\xff\xff\xff\x7f",  # bytes of 256 MB
        b"\x07\xff\xff\xff\xff\x7f\x01",  # an int of 32 GB
        b"\x01\x05",  # a reference to nothing
        b"\x01\x00",
        b"\x06\x02",  # a bool that is neither
        b"\xee",  # an unknown tag
        b"\x2f",
        b"\x00",
        b"\x0e\x01\x07\x00",  # an unknown form
        b"\x03\x03",  # two values
        b"\x0f\x01\x00\x0e\x00\x00\x01\x00\x03",  # a dict whose key is a list
        b"\x10\x01\x00\x01\x00",  # a set that contains itself
        b"\x02\x04name",  # an external object
    ],
)
def test_structures_made_by_hand(structure: bytes) -> None:
    with pytest.raises(CodecError) as caught:
        decode(tree(structure), code=False)
    assert not isinstance(caught.value.__cause__, MemoryError)


def test_lying_shapes() -> None:
    import numpy as np

    good = encoded(np.arange(300, dtype="<u2"))
    where = good.index(b"\x01\xac\x02")  # one axis of length 300
    for lie in (b"\x01\xad\x02", b"\x01\xff\x7f", b"\x00\xac\x02"):
        copy = bytearray(good)
        copy[where : where + 3] = lie
        with pytest.raises(CodecError):
            decode(copy, code=False)


def test_shapes_of_objects_are_bounded_by_their_elements() -> None:
    import numpy as np

    good = encoded(np.array([None] * 3, dtype=object))
    where = good.index(b"\x02\x01\x03\x01")
    copy = good[:where] + b"\x02\x01" + b"\xff" * 6 + b"\x7f" + good[where + 3 :]
    struct.pack_into("<Q", copy, 8, struct.unpack_from("<Q", copy, 8)[0] + 6)
    with pytest.raises(CodecError, match="does not fit"):
        decode(copy, code=False)


@pytest.mark.parametrize("opening", [b"\x0e\x01\x00", b"\x0d\x01\x00", b"\x13\x01\x00"])
def test_deep_nesting(opening: bytes) -> None:
    with pytest.raises(CodecError):
        decode(tree(opening * 200_000 + b"\x03"), code=False)


def test_deep_values_are_refused() -> None:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    with pytest.raises(CodecError, match="nested too deeply"):
        encode(value)


class Payload:
    def __reduce__(self) -> Any:
        return (raised, ())


executed: list[int] = []


def raised() -> None:
    executed.append(1)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_are_never_executed(protocol: int) -> None:
    pickled = pickle.dumps(Payload(), protocol=protocol)
    data = encoded(Payload())
    assert data.startswith(b"code/1\n")
    for hostile in (pickled, b"tree/1\n" + pickled, tree(pickled), bytes(data)):
        with pytest.raises((CodecError, UntrustedError)):
            decode(hostile, code=False)
    with pytest.raises(UntrustedError):
        decode(bytes(data), code=False)
    assert not executed


def test_a_code_encoding_named_tree_is_not_executed() -> None:
    data = encoded(Payload())
    data[:8] = b"tree/1\n\0"
    with pytest.raises(CodecError):
        decode(data, code=False)
    assert not executed


def test_plain_instances_are_refused_whatever_the_head_says() -> None:
    data = encoded([Plain()])
    with pytest.raises(UntrustedError):
        decode(data, code=False)
    assert data[7] == 1
    data[7] = 0
    with pytest.raises(UntrustedError):
        decode(data, code=False)


class Plain:
    def __init__(self) -> None:
        self.a = 1


def test_no_class_is_taken_for_a_data_class() -> None:
    data = encoded(Plain())
    for tag in (0x60, 0x61, 0x62, 0x63):
        copy = bytearray(data)
        copy[7] = 0
        copy[copy.index(b"\x64\x00")] = tag
        with pytest.raises(CodecError):
            decode(copy, code=False)


def test_arrow_strings_must_be_text() -> None:
    import pandas as pd

    good = encoded(pd.array(["abc", "xyz"], dtype=pd.StringDtype("pyarrow")))
    where = good.index(b"abcxyz")
    copy = bytearray(good)
    copy[where] = 0xFF
    with pytest.raises(CodecError):
        decode(copy, code=False)


def test_texts_beyond_unicode() -> None:
    import numpy as np

    good = encoded(np.array(["abc"]))
    where = good.index(b"a\0\0\0b")
    copy = bytearray(good)
    copy[where + 3] = 0x7F
    with pytest.raises(CodecError, match="Unicode"):
        decode(copy, code=False)
