"""Arrays and frames come back in the order of memory that they had: sums differ in last digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_nb.codecs import decode, encode
from cascade_nb.codecs.geometry import axis_order
from cascade_nb.fingerprint.values import fingerprint
from tests.codecs.exact import assert_same

many = settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))


def back(value: Any) -> Any:
    return decode(bytes(bytearray().join(encode(value).pieces)), code=False)


def numbers(rows: int, columns: int, seed: int) -> Any:
    source = np.random.default_rng(seed)
    return source.normal(size=(rows, columns)) * 10.0 ** source.integers(-6, 6, (rows, columns))


def one_by_one(array: Any) -> Any:
    frame = pd.DataFrame(index=range(len(array)))
    for position, column in enumerate(array.T):
        frame[f"c{position}"] = column.copy()
    return frame


def with_others(array: Any) -> Any:
    frame = pd.DataFrame(array, copy=False)
    moments = pd.date_range("2020", periods=len(array), tz="UTC")
    return frame.assign(t=moments, k=range(len(array)), s="x", o=[None] * len(array), f=moments[0])


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


SOURCES: dict[str, Callable[[Any], Any]] = {
    "copied": lambda a: pd.DataFrame(a, copy=True),
    "rows together": lambda a: pd.DataFrame(a, copy=False),
    "columns together": lambda a: pd.DataFrame(np.asfortranarray(a), copy=False),
    "dict of series": lambda a: pd.DataFrame({i: pd.Series(c) for i, c in enumerate(a.T)}),
    "one by one": one_by_one,
    "others": with_others,
    "of objects": lambda a: pd.DataFrame(a.astype(object), copy=False),
    "few bits": lambda a: pd.DataFrame(a.astype("f4"), copy=False),
    "whole": lambda a: pd.DataFrame(a.astype("i8"), copy=False),
    "masked": lambda a: pd.DataFrame(a).astype("Float64"),
    "of moments": lambda a: pd.DataFrame(a.astype("i8").view("M8[ns]"), copy=False),
    "moments in a zone": lambda a: pd.DataFrame(
        pd.DatetimeIndex(a.astype("i8").ravel(), tz="UTC")._data.reshape(a.shape)
    ),
    "read-only": lambda a: pd.DataFrame(read_only(a), copy=False),
}
STEPS: dict[str, Callable[[Any], Any]] = {
    "copy": lambda f: f.copy(),
    "turn": lambda f: f.T,
    "back to front": lambda f: f.iloc[:, ::-1],
    "some columns": lambda f: f.iloc[:, 1:],
    "others chosen": lambda f: f[list(f.columns[[0, -1]])],
    "drop": lambda f: f.drop(columns=f.columns[len(f.columns) // 2]),
    "more": lambda f: f.set_axis(range(f.shape[1]), axis=1).assign(more=0.5),
    "beside": lambda f: pd.concat([f, f], axis=1),
    "below": lambda f: pd.concat([f, f]),
    "sorted": lambda f: f.sort_index(ascending=False),
    "labels of levels": lambda f: f.set_axis(
        pd.MultiIndex.from_product([["x"], range(f.shape[1])]), axis=1
    ),
    "reduced": lambda f: f.select_dtypes("number"),
}


def observed(frame: Any) -> dict[str, Any]:
    """What a body sees of a frame's layout."""
    plain = frame.select_dtypes(["number", "datetime", "datetimetz"])
    seen: dict[str, Any] = {}
    for name, each in {
        "frame": frame,
        "plain": plain,
        "turned": frame.T,
        "copy": plain.copy(),
    }.items():
        array = each.to_numpy()
        seen[name] = (axis_order(array), array.flags.writeable, array.dtype)
    numeric = frame.select_dtypes("number")
    if numeric.shape[1]:
        for name, each in {"numeric": numeric, "numeric turned": numeric.T}.items():
            found = [getattr(each, f)(axis=axis) for f in ("sum", "mean", "std") for axis in (0, 1)]
            array = each.to_numpy("f8", na_value=np.nan)
            found += [array.sum(), array.mean(axis=0)]
            # BLAS takes another way where there are gaps, which do not count
            found.append(array.copy(order="K") @ np.linspace(1, 2, each.shape[1]))
            seen[name] = [np.asarray(number, "f8").tobytes() for number in found]
    return seen


@many
@given(
    st.sampled_from(list(SOURCES)),
    st.lists(st.sampled_from(list(STEPS)), max_size=3),
    st.integers(2, 300),
    st.integers(2, 12),
    st.integers(0, 99),
)
def test_frames(source: str, steps: list[str], rows: int, columns: int, seed: int) -> None:
    frame = SOURCES[source](numbers(rows, columns, seed))
    for name in steps:
        if frame.shape[1] > 1:
            frame = STEPS[name](frame)
    result = back(frame)
    assert_same(frame, result)
    assert fingerprint(result) == fingerprint(frame)
    assert b"".join(encode(result).pieces) == b"".join(encode(frame).pieces)
    assert observed(result) == observed(frame)


def test_one_frame_in_many_layouts() -> None:
    array = numbers(300, 40, 0)
    names = [f"c{i}" for i in range(40)]
    frames = [SOURCES[n](array).set_axis(names, axis=1) for n in list(SOURCES)[:5]]
    assert frames[0].equals(frames[4])
    copied, rows_together, columns_together, of_series, one_by_one_ = map(fingerprint, frames)
    assert copied == columns_together == of_series
    assert len({copied, rows_together, one_by_one_}) == 3
    # which is no caprice
    sums = [frame.std(axis=1).to_numpy().tobytes() for frame in frames]
    assert sums[0] == sums[2] == sums[3]
    assert sums[0] != sums[4]
    assert frames[0].sum().to_numpy().tobytes() != frames[1].sum().to_numpy().tobytes()


def test_what_reads_a_frame_leaves_its_fingerprint() -> None:
    frame = one_by_one(numbers(30, 4, 0))
    before = fingerprint(frame)
    for read in (frame.describe, frame.isna, frame.corr, frame.nunique, frame.to_dict, frame.copy):
        read()
    _ = (frame.T, frame.values, frame.iloc[3], frame.loc[5], frame.sum(axis=1), frame.eq(frame))
    _ = (frame.rolling(2).count(), frame.groupby("c0").sum(), frame.query("c1 > 0"))
    assert fingerprint(frame) == before


def test_a_frame_that_cannot_be_written_comes_back_as_that() -> None:
    array = read_only(np.arange(6.0).reshape(2, 3).T)
    for value in (pd.DataFrame(array, copy=False), pd.Series(array[:, 0], copy=False)):
        assert not back(value)._mgr.blocks[0].values.flags.writeable


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    shape = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    array = numbers(int(np.prod(shape)), 1, draw(st.integers(0, 9))).reshape(shape)
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    if draw(st.booleans()):
        array = array.astype(object)
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1])) for _ in array.shape]
    array = array[tuple(slice(None, None, step) for step in steps)]
    if draw(st.booleans()):
        array = np.broadcast_to(
            array, (*draw(st.lists(st.integers(1, 3), max_size=2)), *array.shape)
        )
    return array.copy(order="K") if draw(st.booleans()) else array


@many
@given(arrays(), arrays())
def test_arrays_in_containers(one: Any, other: Any) -> None:
    value = {"a": [one, (other,)], "b": one}
    result = back(value)
    assert_same(value, result)
    assert fingerprint(result) == fingerprint(value)
    for mine, theirs in ((one, result["b"]), (other, result["a"][1][0])):
        for axis in range(mine.ndim):
            assert np.array_equal(mine.sum(axis=axis), theirs.sum(axis=axis))
