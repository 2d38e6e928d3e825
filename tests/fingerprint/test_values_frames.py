from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.values import fingerprint, sharing, walk


def frame() -> Any:
    return pd.DataFrame(
        {
            "i": [1, 2, 3],
            "f": [1.0, 2.0, np.nan],
            "s": ["x", "y", None],
            "c": pd.Categorical(["u", "v", "u"]),
            "t": pd.date_range("2020", periods=3, tz="UTC"),
            "o": [object, 1, "q"],
            "n": pd.array([1, None, 3], dtype="Int64"),
        }
    )


def values() -> dict[str, Any]:
    small = pd.DataFrame({"a": [1, 2]})
    with_attrs = small.copy()
    with_attrs.attrs["k"] = 1
    days = pd.date_range("2020", periods=3)
    return {
        "frame": frame(),
        "small": small,
        "renamed": small.rename(columns={"a": "b"}),
        "attrs": with_attrs,
        "axis name": small.rename_axis("q"),
        "columns name": small.rename_axis("q", axis=1),
        "flags": small.set_flags(allows_duplicate_labels=False),
        "int32": small.astype("i4"),
        "Int64": small.astype("Int64"),
        "arrow ints": small.astype("int64[pyarrow]"),
        "object ints": small.astype(object),
        "index": small.set_axis([5, 6]),
        "explicit index": small.set_axis(pd.Index([0, 1])),
        "duplicate names": pd.DataFrame([[1, 2]], columns=["a", "a"]),
        "other duplicate": pd.DataFrame([[2, 1]], columns=["a", "a"]),
        "two columns": pd.DataFrame({"a": [1], "b": [2]}),
        "columns turned": pd.DataFrame({"b": [2], "a": [1]}),
        "empty": pd.DataFrame(),
        "empty of 3": pd.DataFrame(index=[0, 1, 2]),
        "series": small["a"],
        "series b": small["a"].rename("b"),
        "no floats": pd.Series([], dtype="f8"),
        "no ints": pd.Series([], dtype="i8"),
        "texts": pd.Series(["a", None]),
        "object texts": pd.Series(["a", None], dtype=object),
        "string": pd.Series(["a", None], dtype="string"),
        "string python": pd.Series(["a", None], dtype="string[python]"),
        "categories": pd.Series(["a", "b"], dtype="category"),
        "ordered": pd.Series(pd.Categorical(["a", "b"], ordered=True)),
        "turned": pd.Series(pd.Categorical(["a", "b"], categories=["b", "a"])),
        "more categories": pd.Series(pd.Categorical(["a", "b"], categories=["a", "b", "c"])),
        "sparse": pd.Series(pd.arrays.SparseArray([0, 1, 0])),
        "sparse fill": pd.Series(pd.arrays.SparseArray([0, 1, 0], fill_value=1)),
        "range index": pd.RangeIndex(3),
        "int index": pd.Index([0, 1, 2]),
        "named index": pd.Index([0, 1, 2], name="x"),
        "days": days,
        "days without freq": pd.DatetimeIndex(days, freq=None),
        "days in UTC": days.tz_localize("UTC"),
        "days in seconds": days.as_unit("s"),
        "time of days": pd.TimedeltaIndex(["1D"]),
        "multi": pd.MultiIndex.from_product([[1], ["a"]]),
        "multi named": pd.MultiIndex.from_product([[1], ["a"]], names=["x", "y"]),
        "intervals": pd.interval_range(0, 3),
        "intervals left": pd.interval_range(0, 3, closed="left"),
        "periods": pd.period_range("2020", periods=2, freq="M"),
        "periods of days": pd.period_range("2020", periods=2, freq="D"),
        "Timestamp": pd.Timestamp("2020"),
        "Timestamp UTC": pd.Timestamp("2020", tz="UTC"),
        "Timestamp ns": pd.Timestamp("2020").as_unit("ns"),
        "Timedelta": pd.Timedelta("1D"),
        "Period": pd.Period("2020", "M"),
        "Interval": pd.Interval(0, 1),
        "NaT": pd.NaT,
        "NA": pd.NA,
        "MonthEnd": pd.offsets.MonthEnd(1),
        "MonthEnd 2": pd.offsets.MonthEnd(2),
        "DateOffset": pd.DateOffset(days=1),
        "DateOffset 2": pd.DateOffset(days=2),
        "holidays": pd.offsets.CustomBusinessDay(holidays=["2020-01-01"]),
        "no holidays": pd.offsets.CustomBusinessDay(),
        "Int64 dtype": pd.Int64Dtype(),
        "Int32 dtype": pd.Int32Dtype(),
        "category dtype": pd.CategoricalDtype(),
        "category dtype of a": pd.CategoricalDtype(["a"]),
    }


def test_all_are_told_apart_and_equal_when_made_anew() -> None:
    found: dict[str, str] = {}
    for name, value in values().items():
        digest = fingerprint(value)
        assert digest not in found, f"{name} and {found[digest]}"
        found[digest] = name
    assert {name: fingerprint(value) for name, value in values().items()} == {
        name: digest for digest, name in found.items()
    }


def test_blocks_count_as_sums_depend_on_them() -> None:
    grid = np.arange(6.0).reshape(3, 2)
    one_block = pd.DataFrame(grid, columns=["a", "b"])
    two_blocks = pd.DataFrame({"a": [0.0, 2, 4]})
    two_blocks["b"] = [1.0, 3, 5]
    turned = pd.DataFrame(grid, columns=["a", "b"], copy=False)
    assert one_block.equals(two_blocks)
    assert one_block.equals(turned)
    assert len({fingerprint(each) for each in (one_block, two_blocks, turned)}) == 3
    assert fingerprint(one_block) == fingerprint(two_blocks.copy())


def test_caches_do_not_count() -> None:
    before = fingerprint(frame_ := frame())
    _ = (frame_.index.is_unique, frame_["i"].sum(), frame_.dtypes, frame_.columns.get_loc("i"))
    assert fingerprint(frame_) == before
    assert fingerprint(frame_.copy()) == before
    assert fingerprint(pd.concat([frame_[:1], frame_[1:]])) == before


def test_what_lies_under_a_mask_does_not_count() -> None:
    first = pd.arrays.IntegerArray(np.array([1, 7]), np.array([False, True]))
    second = pd.arrays.IntegerArray(np.array([1, 9]), np.array([False, True]))
    assert fingerprint(pd.Series(first)) == fingerprint(pd.Series(second))


def test_frames_copy_before_they_write() -> None:
    whole = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    part = whole[["a"]]
    assert fingerprint([whole, part]) == fingerprint([whole, part.copy()])
    assert sharing({"x": whole, "y": part}) is None
    assert fingerprint([whole, whole]) != fingerprint([whole, whole.copy()])


def test_an_array_within_a_frame_is_shared() -> None:
    array = np.asfortranarray(np.arange(6.0).reshape(3, 2))
    over = pd.DataFrame(array, columns=["a", "b"], copy=False)
    apart = pd.DataFrame(array, columns=["a", "b"], copy=True)
    assert fingerprint(over) == fingerprint(apart)
    assert fingerprint([array, over]) != fingerprint([array, apart])
    assert fingerprint([over, array]) != fingerprint([apart, array])
    assert sharing({"x": array, "y": over}) is not None


def test_derived_frames_count_their_own_attributes() -> None:
    class Survey(pd.DataFrame):  # type: ignore[misc]
        _metadata: ClassVar[list[str]] = ["source"]

        @property
        def _constructor(self) -> Any:
            return Survey

    survey = Survey({"a": [1]})
    survey.source = "x"
    other = Survey({"a": [1]})
    other.source = "y"
    assert fingerprint(survey) != fingerprint(other)
    assert fingerprint(survey) != fingerprint(pd.DataFrame({"a": [1]}))


def test_what_no_fingerprint_is_known_for_is_refused_inside_frames() -> None:
    with pytest.raises(FingerprintError) as caught:
        fingerprint({"df": pd.DataFrame({"a": [iter([])]})}, path="argument x")
    assert caught.value.path.startswith("argument x['df']")


def test_distributions() -> None:
    assert walk(frame()).distributions >= {"pandas"}


def test_scikit_learn_estimators_count_by_parameters_and_fit() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    make = linear_model.LogisticRegression
    assert fingerprint(make()) == fingerprint(make()) != fingerprint(make(C=2.0))
    fitted = make().fit([[0], [1]], [0, 1])
    assert fingerprint(fitted) == fingerprint(make().fit([[0], [1]], [0, 1]))
    assert fingerprint(fitted) != fingerprint(make())
    assert "scikit-learn" in walk(fitted).distributions
