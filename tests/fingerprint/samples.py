"""Values that must all be told apart, by name; each call makes them anew.

``python -m tests.fingerprint.samples pin`` writes the pinned fingerprints again: do so only
together with a new version of the canonical form.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import io
import ipaddress
import json
import logging
import operator
import pathlib
import random
import re
import string
import sys
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import numpy as np

from cascade_nb.fingerprint.values import fingerprint

PINNED = pathlib.Path(__file__).with_name("pinned_values.json")


class Color(enum.Enum):
    RED = 1
    BLUE = 2


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Pair:
    x: Any
    y: Any


@dataclasses.dataclass(frozen=True, slots=True)
class SlottedPair:
    x: Any
    y: Any


class Plain:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class MyList(list[Any]):
    pass


class MyInt(int):
    pass


class Pickled:
    def __init__(self, kept: Any) -> None:
        self.kept, self.dropped = kept, object()

    def __getstate__(self) -> Any:
        return {"kept": self.kept}


class Reduced:
    def __init__(self, kept: Any) -> None:
        self.kept = kept

    def __reduce__(self) -> Any:
        return Reduced, (self.kept,)


def plain_values() -> dict[str, Any]:
    """Values of Python's own types, which are pinned."""
    shared: list[Any] = []
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    cyclic_twice: list[Any] = [[]]
    cyclic_twice[0].append(cyclic_twice)
    local = dt.datetime(2024, 10, 27, 2, 30)
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    moved = random.Random(1)
    moved.random()
    return {
        "None": None,
        "Ellipsis": ...,
        "NotImplemented": NotImplemented,
        "True": True,
        "False": False,
        "0": 0,
        "1": 1,
        "-1": -1,
        "2**62": 2**62,
        "2**63": 2**63,
        "2**70": 2**70,
        "-2**70": -(2**70),
        "10**5000": 10**5000,
        "0.0": 0.0,
        "-0.0": -0.0,
        "1.0": 1.0,
        "nan": float("nan"),
        "inf": float("inf"),
        "1j": 1j,
        "1+0j": 1 + 0j,
        "-0j": complex(0.0, -0.0),
        "''": "",
        "'1'": "1",
        "'a'": "a",
        "'ab'": "ab",
        "'None'": "None",
        "'é'": "\u00e9",
        "'e' and accent": "e\u0301",
        "surrogate": "\ud800",
        "surrogate pair": "\ud800\udc00",
        "astral": "\U00010000",
        "long text": "a" * 5000,
        "b''": b"",
        "b'a'": b"a",
        "long bytes": bytes(5000),
        "bytearray": bytearray(b"a"),
        "memoryview": memoryview(b"a"),
        "memoryview of shorts": memoryview(b"abcd").cast("H"),
        "()": (),
        "[]": [],
        "{}": {},
        "set()": set(),
        "frozenset()": frozenset(),
        "(1,)": (1,),
        "[1]": [1],
        "[True]": [True],
        "[1.0]": [1.0],
        "['1']": ["1"],
        "{1}": {1},
        "frozenset({1})": frozenset({1}),
        "(1, 2)": (1, 2),
        "[1, 2]": [1, 2],
        "[2, 1]": [2, 1],
        "[1, '2']": [1, "2"],
        "['ab', 'c']": ["ab", "c"],
        "['a', 'bc']": ["a", "bc"],
        "[b'ab', b'c']": [b"ab", b"c"],
        "[b'a', b'bc']": [b"a", b"bc"],
        "[[1], 2]": [[1], 2],
        "[1, [2]]": [1, [2]],
        "[[1, 2]]": [[1, 2]],
        "[[1], [2]]": [[1], [2]],
        "[[], [1, 2]]": [[], [1, 2]],
        "[(1,), (2,)]": [(1,), (2,)],
        "((1, 2),)": ((1, 2),),
        "((1,), 2)": ((1,), 2),
        "[None]": [None],
        "[2**70, 1]": [2**70, 1],
        "shared": [shared, shared],
        "not shared": [[], []],
        "shared in a tuple": ([1], (shared, shared)),
        "cyclic": cyclic,
        "cyclic twice": cyclic_twice,
        "{1: 2}": {1: 2},
        "{2: 1}": {2: 1},
        "{'1': 2}": {"1": 2},
        "{1: 2, 3: 4}": {1: 2, 3: 4},
        "{3: 4, 1: 2}": {3: 4, 1: 2},
        "{1: 3, 2: 4}": {1: 3, 2: 4},
        "{True: 2}": {True: 2},
        "{1: {2: 3}}": {1: {2: 3}},
        "set of texts": {"a", "b", "c", "d"},
        "mixed set": {"a", 1, 2.5, None, (1, "a"), b"x"},
        "set of sets": {frozenset({1, 2}), frozenset({3}), frozenset()},
        "range(3)": range(3),
        "range(0, 6, 2)": range(0, 6, 2),
        "range(0, 5, 2)": range(0, 5, 2),
        "slice(3)": slice(3),
        "slice(0, 3)": slice(0, 3),
        "Decimal 1.0": decimal.Decimal("1.0"),
        "Decimal 1.00": decimal.Decimal("1.00"),
        "Decimal nan": decimal.Decimal("nan"),
        "Fraction": fractions.Fraction(1, 2),
        "date": dt.date(2024, 1, 1),
        "datetime": dt.datetime(2024, 1, 1),
        "datetime utc": dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
        "datetime zone": dt.datetime(2024, 1, 1, tzinfo=berlin),
        "datetime fold 0": local.replace(tzinfo=berlin),
        "datetime fold 1": local.replace(tzinfo=berlin, fold=1),
        "time": dt.time(1, 2),
        "time fold": dt.time(1, 2, fold=1),
        "timedelta": dt.timedelta(days=1),
        "timedelta 1 s": dt.timedelta(seconds=1),
        "timezone": dt.timezone(dt.timedelta(hours=1)),
        "timezone named": dt.timezone(dt.timedelta(hours=1), "CET"),
        "UTC": dt.UTC,
        "zoneinfo": berlin,
        "uuid": uuid.UUID(int=1),
        "path": pathlib.PurePosixPath("a/b"),
        "windows path": pathlib.PureWindowsPath("a/b"),
        "OrderedDict": collections.OrderedDict({1: 2}),
        "defaultdict": collections.defaultdict(None, {1: 2}),
        "defaultdict of int": collections.defaultdict(int, {1: 2}),
        "defaultdict of list": collections.defaultdict(list, {1: 2}),
        "Counter": collections.Counter({1: 2}),
        "ChainMap": collections.ChainMap({1: 2}, {}),
        "ChainMap of one": collections.ChainMap({1: 2}),
        "deque": collections.deque([1]),
        "deque maxlen": collections.deque([1], maxlen=3),
        "mappingproxy": types.MappingProxyType({1: 2}),
        "SimpleNamespace": types.SimpleNamespace(a=1),
        "SimpleNamespace b": types.SimpleNamespace(b=1),
        "dict keys": {1: 2}.keys(),
        "array i": array.array("i", [1]),
        "array d": array.array("d", [1]),
        "pattern": re.compile("a"),
        "pattern flags": re.compile("a", re.IGNORECASE),
        "pattern bytes": re.compile(b"a"),
        "int type": int,
        "bool type": bool,
        "Decimal type": decimal.Decimal,
        "module": json,
        "len": len,
        "math.sqrt": operator.add,
        "str.upper": str.upper,
        "bound builtin": [1].append,
        "other bound builtin": [2].append,
        "dict.fromkeys": dict.fromkeys,
        "random.random": random.random,
        "partial": functools.partial(int, base=2),
        "partial base 3": functools.partial(int, base=3),
        "itemgetter": operator.itemgetter(1),
        "itemgetter 2": operator.itemgetter(2),
        "ipv4": ipaddress.ip_address("1.2.3.4"),
        "ipv4 network": ipaddress.ip_network("1.2.3.4/32"),
        "Template": string.Template("a"),
        "Random 1": random.Random(1),
        "Random 1 moved": moved,
        "Random 2": random.Random(2),
        "ValueError": ValueError("a"),
        "ValueError b": ValueError("b"),
        "KeyError": KeyError("a"),
        "BytesIO": io.BytesIO(b"a"),
        "StringIO": io.StringIO("a"),
        "list[int]": list[int],
        "list[str]": list[str],
        "int | str": int | str,
        "logger": logging.getLogger("a"),
        "other logger": logging.getLogger("b"),
    }


def arrays() -> dict[str, Any]:
    """Values of numpy's, which are pinned too."""
    grid = np.arange(12.0).reshape(3, 4)
    zeros = np.zeros(6)
    masked = np.ma.masked_array([1, 2], [False, True])
    return {
        "float64": np.float64(1),
        "int64": np.int64(1),
        "int32": np.int32(1),
        "bool_": np.bool_(True),
        "str_": np.str_("a"),
        "datetime64 s": np.datetime64("2020-01-01", "s"),
        "datetime64 ns": np.datetime64("2020-01-01", "ns"),
        "timedelta64": np.timedelta64(1, "D"),
        "dtype": np.dtype("f8"),
        "record dtype": np.dtype([("a", "i4")]),
        "dtype with metadata": np.dtype("f8", metadata={"a": 1}),
        "0-d": np.array(1.0),
        "1-d": np.array([1.0]),
        "2-d": np.array([[1.0]]),
        "empty": np.zeros(0),
        "empty 2-d": np.zeros((0, 3)),
        "empty 3-d": np.zeros((0, 3, 1)),
        "int array": np.array([1]),
        "big-endian": np.array([1], ">i8"),
        "grid": grid,
        "grid in Fortran order": np.asfortranarray(grid),
        "transposed": grid.T,
        "reversed": grid[::-1],
        "bools": np.array([True, False]),
        "bytes": np.array([1, 0], "u1"),
        "complexes": np.array([1j]),
        "U1": np.array(["a"]),
        "U2": np.array(["a"], "U2"),
        "S1": np.array([b"a"]),
        "days": np.array(["2020-01-01"], "M8[D]"),
        "seconds": np.array(["2020-01-01"], "M8[s]"),
        "objects": np.array([1, "a", None], object),
        "other objects": np.array([1, "b", None], object),
        "records": np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        "renamed records": np.array([(1, 2.0)], [("a", "i4"), ("c", "f8")]),
        "aligned records": np.array([(1, 2)], np.dtype([("a", "i1"), ("b", "i8")], align=True)),
        "record array": np.rec.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
        "matrix": np.array([[1.0]]).view(np.matrix),
        "masked": masked,
        "masked none": np.ma.masked_array([1, 2]),
        "masked otherwise": np.ma.masked_array([1, 2], [True, False]),
        "same array twice": [zeros, zeros],
        "a view beside": [zeros, zeros[:]],
        "a copy beside": [zeros, zeros.copy()],
        "views that overlap": [zeros[:4], zeros[2:]],
        "views that overlap more": [zeros[:4], zeros[1:5]],
        "views like them apart": [np.zeros(4), np.zeros(4)],
        "Generator": np.random.default_rng(1),
        "Generator 2": np.random.default_rng(2),
        "RandomState": np.random.RandomState(1),
        "np.add": np.add,
        "np.sum": np.sum,
        "np.float64 type": np.float64,
        "np.random.rand": np.random.rand,
    }


def instances() -> dict[str, Any]:
    """Instances of this module's classes, whose fingerprints change with its code."""
    caused = ValueError("a")
    caused.__cause__ = KeyError("b")
    return {
        "Color.RED": Color.RED,
        "Color.BLUE": Color.BLUE,
        "flags": Permission.READ | Permission.WRITE,
        "flag": Permission.READ,
        "Point": Point(1, 2),
        "Point 2": Point(2, 1),
        "Pair": Pair(1, 2),
        "Pair 2": Pair(2, 1),
        "Pair with lists": Pair([], []),
        "Pair with one list": (lambda one: Pair(one, one))([]),
        "SlottedPair": SlottedPair(1, 2),
        "SlottedPair 2": SlottedPair(2, 1),
        "Plain": Plain(),
        "Plain a": Plain(a=1),
        "Plain b": Plain(b=1),
        "MyList": MyList([1]),
        "MyList empty": MyList(),
        "MyInt": MyInt(1),
        "Pickled": Pickled(1),
        "Pickled 2": Pickled(2),
        "Reduced": Reduced(1),
        "Reduced 2": Reduced(2),
        "class Pair": Pair,
        "class Plain": Plain,
        "method": Plain(a=1).__init__,
        "other method": Plain(a=2).__init__,
        "function": plain_values,
        "other function": arrays,
        "error with cause": caused,
    }


def pinned() -> dict[str, str]:
    """The fingerprints, as this process finds them, of all values that are pinned."""
    return {name: fingerprint(value) for name, value in (plain_values() | arrays()).items()}


if __name__ == "__main__":
    if sys.argv[1:] == ["pin"]:
        PINNED.write_text(json.dumps(pinned(), indent=1) + "\n")
    else:
        sys.stdout.write(json.dumps(pinned()))
