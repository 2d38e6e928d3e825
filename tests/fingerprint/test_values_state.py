"""Identity of values that cannot change, NaN, and what a class's own state leaves out."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import struct
import threading
from typing import Any

import numpy as np
import pytest

from cascade_nb.codecs import decode, encode
from cascade_nb.errors import CodecError, FingerprintError
from cascade_nb.fingerprint.small import small_fingerprint
from cascade_nb.fingerprint.values import fingerprint


@dataclasses.dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0


Pair = collections.namedtuple("Pair", "a b")


class Colour(enum.Enum):
    RED = 1


UNCHANGING: tuple[Any, ...] = (
    Point(1, "a"),
    Point((1, 2), Point(1)),
    Pair(1.5, "a"),
    Colour.RED,
    frozenset({1, "a"}),
    decimal.Decimal("1.0"),
    fractions.Fraction(1, 3),
    datetime.datetime(2020, 1, 1),
    datetime.timedelta(3),
    (1, (2, 3)),
    range(3),
)


def loaded(value: Any) -> Any:
    data = b"".join(bytes(piece) for piece in encode(value).pieces)
    return decode(data, code=True)


@pytest.mark.parametrize("value", UNCHANGING)
def test_values_that_cannot_change_have_no_identity(value: Any) -> None:
    twice = [value, value]
    assert fingerprint(twice) == fingerprint([value, copy.deepcopy(value)])
    assert fingerprint(loaded(twice)) == fingerprint(twice)
    assert encode(twice).pieces == encode([value, copy.deepcopy(value)]).pieces


def test_mutable_parts_of_frozen_instances_keep_theirs() -> None:
    shared: list[int] = []
    same, apart = [Point(shared), Point(shared)], [Point(shared), Point([])]
    assert fingerprint(same) != fingerprint(apart)
    for value in (same, apart):
        assert fingerprint(loaded(value)) == fingerprint(value)


def test_a_frozen_instance_that_holds_itself_is_refused() -> None:
    point = Point(1)
    object.__setattr__(point, "x", point)
    with pytest.raises(FingerprintError):
        fingerprint(point)
    with pytest.raises(CodecError):
        encode(point)


# Shared parts without end


def doubled(value: Any, kind: Any = lambda v: (v, v)) -> Any:
    for _ in range(60):
        value = kind(value)
    return value


@pytest.mark.parametrize("kind", [lambda v: (v, v), lambda v: Point(v, v), lambda v: Pair(v, v)])
def test_tuples_that_share_parts_take_no_time_without_end(kind: Any) -> None:
    value = doubled((1,), kind)
    assert fingerprint(value) == fingerprint(doubled((1,), kind))
    with pytest.raises(CodecError, match="again and again"):
        encode(value)


def test_ordinary_sharing_is_stored() -> None:
    row = ("a", 1, None)
    value = [row] * 150_000
    assert loaded(value) == value


# NaN

NANS = (math.nan, -math.nan, struct.unpack("<d", struct.pack("<Q", 0x7FF8000000000123))[0])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: [x, 1.5],
        lambda x: complex(x, 1),
        np.float64,
        lambda x: np.complex128(complex(1, x)),
        lambda x: np.array([x, None], dtype=object),
    ],
)
def test_nan_equals_itself(wrap: Any) -> None:
    assert len({fingerprint(wrap(nan)) for nan in NANS}) == 1
    assert len({small_fingerprint(wrap(nan)) for nan in NANS}) == 1
    assert fingerprint(wrap(math.nan)) != fingerprint(wrap(math.inf))


def test_infinities_that_add_up_to_nan_stay_apart() -> None:
    inf = math.inf
    assert fingerprint([inf, -inf]) != fingerprint([-inf, inf])
    assert fingerprint([inf, -inf]) != fingerprint([math.nan, math.nan])


# State


class Session:
    """Leaves a lock and a cache out of its state."""

    def __init__(self, cache: Any, rate: int = 1) -> None:
        self.rate = rate
        self.cache = cache
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"rate": self.rate}


class Reduced(Session):
    def __reduce__(self) -> Any:
        return Reduced, ((), self.rate)


class Texts(list[str]):
    def __init__(self, cache: Any) -> None:
        super().__init__("ab")
        self.cache = cache

    def __getstate__(self) -> None:
        return None


@pytest.mark.parametrize("cls", [Session, Reduced, Texts])
def test_what_a_state_leaves_out_can_be_read_and_counts(cls: Any) -> None:
    assert fingerprint(cls({1: 2})) == fingerprint(cls({1: 2}))
    assert fingerprint(cls({1: 2})) != fingerprint(cls({1: 3}))


def test_what_has_no_fingerprint_is_missed_in_the_state_alone() -> None:
    assert fingerprint(Session(threading.Lock())) == fingerprint(Session(threading.Lock()))
    assert fingerprint(Session(threading.Lock(), 1)) != fingerprint(Session(threading.Lock(), 2))
    with pytest.raises(FingerprintError):
        fingerprint(Session(0, threading.Lock()))  # type: ignore[arg-type]


def test_long_chains_of_left_out_attributes() -> None:
    def chain(rate: int) -> Session:
        last = Session(None, rate)
        for _ in range(40):
            last = Session([last])
        return last

    assert fingerprint(chain(1)) != fingerprint(chain(2))


def test_left_out_attributes_may_lead_back() -> None:
    def circle(rate: int) -> Session:
        first, second = Session(None), Session(None, rate)
        first.cache, second.cache = second, first
        return first

    assert fingerprint(circle(1)) == fingerprint(circle(1))
    assert fingerprint(circle(1)) != fingerprint(circle(2))
