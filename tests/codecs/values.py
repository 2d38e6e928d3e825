"""A table of values of known types, each by a name that tests and golden digests use.

Nothing in it depends on the platform or on library versions, so encodings can be pinned.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import struct
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd


class Point(NamedTuple):
    x: int
    y: float


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass
class Model:
    name: str
    weights: list[float]


@dataclasses.dataclass(frozen=True)
class Frozen:
    name: str
    size: int


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    name: str
    parts: tuple[int, ...]


def nan(payload: int) -> float:
    return struct.unpack("<d", struct.pack("<Q", 0x7FF8_0000_0000_0000 | payload))[0]


def recursive_list() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def recursive_through_all() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["list"] = [(value,)]
    value["deque"] = collections.deque([value["list"]])
    value["namespace"] = types.SimpleNamespace(back=value)
    return value


def shared_parts() -> list[Any]:
    part = [1]
    same = {"a": part}
    return [part, same, same, (part,), [1]]


def recursive_objects() -> Any:
    value = np.empty(3, dtype=object)
    value[0] = [1]
    value[1] = value
    value[2] = np.array(5)
    return value


def views() -> list[Any]:
    base = np.arange(12.0).reshape(3, 4)
    return [base, base[1:], base.T, base[:, ::-2], base.view("i8")]


def disjoint_views() -> list[Any]:
    base = np.arange(12.0).reshape(3, 4)
    return [base[:, 0], base[:, 1]]


def overlapping_views() -> list[Any]:
    base = np.arange(10)
    return [base[1:5], base[3:8:2], base[:0]]


def read_only() -> Any:
    value = np.arange(3)
    value.flags.writeable = False
    return value


def structured() -> Any:
    dtype = np.dtype(
        [("a", "u1"), (("title", "b"), "<f8"), ("c", ">i4", (2,)), ("d", [("e", "<U2")])],
        align=True,
    )
    value = np.zeros(3, dtype)
    value["a"] = [1, 2, 3]
    value["b"] = [1.5, np.nan, -0.0]
    value["d"]["e"] = "éa"
    return value


def masked() -> Any:
    value = np.ma.masked_array([1.0, 2.0, 3.0], mask=[0, 1, 0])
    value.fill_value = 7
    return value


def wide_frame() -> pd.DataFrame:
    moments = pd.to_datetime(["2020-01-01", "2021-06-01"])
    frame = pd.DataFrame(
        {
            "float": [1.0, np.nan],
            "int": [3, 4],
            "bool": [True, False],
            "small": np.array([1, 2], dtype="i1"),
            "objects": pd.Series([(1,), None], dtype=object),
            "moment": moments.astype("M8[ns]"),
            "zoned": moments.astype("M8[s]").tz_localize("UTC").tz_convert(BERLIN),
            "span": pd.to_timedelta([1, 2], unit="s").astype("m8[ns]"),
            "category": pd.Categorical(
                pd.Index(["u", None], dtype=object),
                categories=pd.Index(["v", "u"], dtype=object),
                ordered=True,
            ),
            "nullable": pd.array([1, None], dtype="Int64"),
            "truth": pd.array([None, True], dtype="boolean"),
            "real": pd.array([None, 1.5], dtype="Float64"),
            "text": pd.array(["é", None], dtype=pd.StringDtype("python")),
            "arrow": pd.array([None, "né"], dtype=pd.StringDtype("pyarrow")),
            "month": pd.period_range("2020-01", periods=2, freq="M"),
            "interval": pd.interval_range(0, 2),
            "sparse": pd.arrays.SparseArray([0, 1], kind="block"),
            "float again": [2.0, 5.0],
        }
    )
    frame.columns = pd.Index(list(frame.columns), dtype=object)
    frame.attrs["units"] = {"float": ["m"]}
    return frame


def odd_frame() -> pd.DataFrame:
    columns = pd.Index(["a", "a", 1, ("t",), None], dtype=object, name=7)
    index = pd.date_range("2020", periods=2, freq="D", name="day").astype("M8[ns]")
    index.freq = "D"
    values = np.arange(10).reshape(2, 5)
    return pd.DataFrame(values, index=index, columns=columns)


def unique_frame() -> pd.DataFrame:
    frame = pd.DataFrame(np.zeros((1, 1)), columns=pd.Index(["a"], dtype=object))
    return frame.set_flags(allows_duplicate_labels=False)


def multi_index() -> pd.MultiIndex:
    return pd.MultiIndex.from_product(
        [pd.Index(["a", "b"], dtype=object), pd.RangeIndex(2)], names=["x", 7]
    )


def shared_index() -> list[Any]:
    frame = pd.DataFrame({"a": [1.0], 2: [2]}, index=pd.Index([5], name="i"))
    return [frame, frame.index, frame.columns, pd.DataFrame({"b": [1], 1: [2]}, index=frame.index)]


BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
NUMBERS = ("?", "i1", "u1", "<i2", ">i2", "<u4", ">i8", "<f2", ">f4", "<f8", "<c8", ">c16")
UTC = datetime.UTC

BUILTINS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "ellipsis": lambda: ...,
    "not implemented": lambda: NotImplemented,
    "bools": lambda: [True, False],
    "ints": lambda: [0, 1, -1, 127, 128, -128, -129, 2**63, -(2**63), 2**200, -(2**200)],
    "floats": lambda: [0.0, -0.0, 1.5, float("inf"), nan(0), nan(77), -nan(3), 5e-324],
    "complex": lambda: [1j, complex(nan(5), -0.0)],
    "strings": lambda: ["", "a", "é", "\0", "\ud800x", "\U0001f600"],
    "bytes": lambda: [b"", b"\0x", bytes(range(256)) * 40],
    "bytearray": lambda: bytearray(b"abc"),
    "tuples": lambda: ((), (1,), ((), (2,))),
    "many ints": lambda: list(range(-50, 50)),
    "many floats": lambda: [float(i) for i in range(300)] + [nan(9)],
    "many strings": lambda: ["é" * (i % 3) + "\ud800" for i in range(40)],
    "many ascii": lambda: tuple(f"n{i}" for i in range(500)),
    "many big ints": lambda: [2**64 + i for i in range(20)],
    "many mixed": lambda: [1, 1.0, True, "1"] * 10,
    "dict": lambda: {"b": 1, "a": [2], (1, 2): None, 1.5: {}, None: "x"},
    "dict of floats": lambda: {f"k{i}": float(i) for i in range(100)},
    "sets": lambda: [set(), {1, 2, 300}, {"b", "a", "é"}, {1, "a", None, (2, "b"), 2.5}],
    "set of floats": lambda: {0.5, -1.5, nan(1), nan(2), *map(float, range(20))},
    "frozensets": lambda: {frozenset({1, "a"}), frozenset(), frozenset({frozenset({2})})},
    "range": lambda: [range(3), range(0, 10, 3), range(0, 9, 3), range(2**70)],
    "slice": lambda: slice(1, None, "x"),
    "recursive list": recursive_list,
    "recursive through all": recursive_through_all,
    "shared parts": shared_parts,
}
STDLIB: dict[str, Callable[[], Any]] = {
    "decimals": lambda: [
        decimal.Decimal(text) for text in ("1.10", "-0", "1E+5", "NaN123", "-sNaN", "Infinity")
    ],
    "fraction": lambda: fractions.Fraction(-3, 7),
    "dates": lambda: [
        datetime.date(2020, 2, 29),
        datetime.time(1, 2, 3, 4, fold=1),
        datetime.time(1, tzinfo=UTC),
        datetime.datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
        datetime.datetime.max,
        datetime.timedelta(-1, 5, 7),
        datetime.timezone(datetime.timedelta(hours=-3), "name"),
        UTC,
        BERLIN,
    ],
    "uuid": lambda: uuid.UUID(int=2**100 + 7),
    "paths": lambda: [pathlib.PurePosixPath("/a/../b"), pathlib.PureWindowsPath("c:/x")],
    "addresses": lambda: [
        ipaddress.ip_address("10.0.0.1"),
        ipaddress.ip_address("fe80::1%eth0"),
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_interface("::1/64"),
    ],
    "deque": lambda: collections.deque([1, [2]], maxlen=5),
    "ordered": lambda: collections.OrderedDict(b=1, a=2),
    "defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "counter": lambda: collections.Counter("abca"),
    "namespace": lambda: types.SimpleNamespace(b=1, a=[2]),
    "proxy": lambda: types.MappingProxyType({"a": 1}),
    "arrays": lambda: [array.array("d", [1.5, nan(4)]), array.array("i"), array.array("q", [-1])],
    "patterns": lambda: [re.compile("a(b)?", re.IGNORECASE), re.compile(b"x")],
    "types": lambda: [int, type(None), ValueError, collections.OrderedDict, np.float64, pd.Index],
    "namedtuple": lambda: Point(1, nan(1)),
    "enums": lambda: [Color.RED, Bits.A | Bits.B, Bits(0), re.IGNORECASE],
    "dataclass": lambda: [Model("m", [1.0]), Frozen("f", 2), Slotted("s", (1,))],
    "set of dataclasses": lambda: {Frozen("b", 1), Frozen("a", 2), 3},
}
NUMPY: dict[str, Callable[[], Any]] = {
    "numbers": lambda: [np.array([0, 1, 2]).astype(code) for code in NUMBERS],
    "nans": lambda: np.array([nan(3), -0.0, np.inf]),
    "orders": lambda: [
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.arange(6.0)[::-2],
        np.zeros((3, 1, 2), order="F"),
    ],
    "shapes": lambda: [np.array(3), np.zeros((0, 3)), np.zeros((2, 0, 5), order="F")],
    "large": lambda: np.arange(40_000, dtype="<i4").reshape(200, 200).T,
    "views": views,
    "disjoint views": disjoint_views,
    "overlapping views": overlapping_views,
    "broadcast": lambda: np.broadcast_to(np.arange(3), (4, 3)),
    "windows": lambda: np.lib.stride_tricks.sliding_window_view(np.arange(10), 3),
    "read-only": read_only,
    "texts": lambda: [np.array(["a", "bé\ud800"]), np.array([b"x\0y"]), np.array([], "<U3")],
    "times": lambda: [
        np.array(["2020", "NaT"], "<M8[D]"),
        np.array([5], ">m8[25s]"),
    ],
    "voids": lambda: np.array([b"abc", b"\0"], "V3"),
    "structured": structured,
    "record": lambda: structured()[1].copy(),
    "records": lambda: np.rec.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]),
    "matrix": lambda: np.array([[1, 2]]).view(np.matrix),
    "masked": masked,
    "masked constant": lambda: np.ma.masked,
    "unmasked": lambda: np.ma.masked_array([1, 2]),
    "objects": recursive_objects,
    "objects in order": lambda: np.array([[1, "a"], [None, 2.5]], dtype=object).T,
    "strings dtype": lambda: np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)),
    "scalars": lambda: [
        np.bool_(True),
        np.int8(-3),
        np.float64(nan(8)),
        np.complex64(1j),
        np.str_("é\0"),
        np.bytes_(b"a\0"),
        np.datetime64("2020-01-01", "h"),
        np.timedelta64("NaT", "s"),
    ],
    "dtypes": lambda: [np.dtype("<f8"), structured().dtype, np.dtype("<i4", metadata={"a": [1]})],
    "set of scalars": lambda: {np.float64(1.5), np.int64(2), "a", 1},
}
PANDAS: dict[str, Callable[[], Any]] = {
    "wide frame": wide_frame,
    "odd frame": odd_frame,
    "unique frame": unique_frame,
    "no columns": lambda: pd.DataFrame(index=pd.RangeIndex(3)),
    "no rows": lambda: pd.DataFrame({"a": np.zeros(0), 2: np.zeros(0, "i8")}),
    "frame of frames": lambda: pd.DataFrame({1: pd.Series([pd.DataFrame({1: [1]})], dtype=object)}),
    "series": lambda: pd.Series(
        [1.5, 2.5], index=pd.Index(["a", "b"], dtype=object), name=("t", 1)
    ),
    "series of objects": lambda: pd.Series([1, "1", 1.0, None, [2]], dtype=object, name="o"),
    "multi frame": lambda: pd.DataFrame(np.zeros((4, 2)), index=multi_index()),
    "shared index": shared_index,
    "indexes": lambda: [
        pd.RangeIndex(1, 9, 3, name="r"),
        pd.Index([1, 2]),
        pd.Index([1.5, np.nan], name=None),
        pd.Index([True, "a", None], dtype=object, name=7),
        pd.CategoricalIndex(pd.Index([2, 1]), name="c"),
        pd.date_range("2020", periods=3, freq="h", tz=UTC, unit="s"),
        pd.bdate_range("2020", periods=3, unit="ns"),
        pd.timedelta_range(0, periods=3, freq="s", unit="ms"),
        pd.period_range("2020-01", periods=2, freq="Q"),
        pd.interval_range(0.0, 2.0, closed="left"),
        pd.Index(pd.array([1, None], dtype="Int32")),
        multi_index(),
    ],
    "extension arrays": lambda: [
        pd.array([1, None], dtype="Int8"),
        pd.arrays.NumpyExtensionArray(np.arange(3)),
        pd.arrays.SparseArray([np.nan, 1.0]),
        pd.Categorical.from_codes([0, -1], categories=pd.Index([3, 4])),
        pd.array(["a"], dtype=pd.StringDtype("python", na_value=np.nan)),
    ],
    "pandas scalars": lambda: [
        pd.NaT,
        pd.NA,
        pd.Timestamp("2020-01-01").as_unit("ns"),
        pd.Timestamp(1603585800, unit="s", tz=UTC).tz_convert(BERLIN).as_unit("ms"),
        pd.Timedelta(5, unit="us").as_unit("us"),
        pd.Period("2020-03", freq="M"),
        pd.Interval(0, 1.5, closed="both"),
    ],
    "offsets": lambda: [
        pd.offsets.Hour(3),
        pd.offsets.Week(weekday=1),
        pd.offsets.BusinessHour(start="10:00"),
        pd.offsets.DateOffset(months=2, normalize=True),
        pd.offsets.CustomBusinessDay(holidays=["2020-01-01"]),
    ],
    "pandas dtypes": lambda: [
        pd.CategoricalDtype(pd.Index([1, 2]), ordered=True),
        pd.CategoricalDtype(),
        pd.DatetimeTZDtype("s", UTC),
        pd.PeriodDtype("D"),
        pd.IntervalDtype("f8", "left"),
        pd.SparseDtype("f8", 0.5),
        pd.Int64Dtype(),
        pd.StringDtype("python"),
    ],
}
ALL = {**BUILTINS, **STDLIB, **NUMPY, **PANDAS}
