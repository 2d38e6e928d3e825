"""Round trips and one encoding for equal values, over values that nobody thought of."""

from __future__ import annotations

import collections
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.extra import pandas as hpd

from cascade_nb.codecs import decode, encode
from tests.codecs.exact import assert_same

texts = st.text(st.characters(codec=None), max_size=20)
atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    texts,
    st.binary(max_size=20),
    st.decimals(),
    st.fractions(),
    st.datetimes(timezones=st.none() | st.timezones()),
    st.timedeltas(),
    st.uuids(),
    st.builds(range, st.integers(), st.integers(), st.integers(1, 5)),
    hnp.from_dtype(np.dtype("f8")),
    hnp.from_dtype(np.dtype("M8[s]")),
)
keys = st.one_of(st.integers(), texts, st.booleans(), st.tuples(st.integers(), texts))
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20),
        st.tuples(inner, inner),
        st.dictionaries(keys, inner, max_size=20),
        st.sets(keys, max_size=20),
        st.frozensets(keys, max_size=20),
        st.builds(collections.deque, st.lists(inner, max_size=4)),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: items + items),
    ),
    max_leaves=40,
)
homogeneous = st.one_of(
    *(st.lists(kind, max_size=60) for kind in (st.integers(), st.floats(), texts, st.booleans()))
)
quick = settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))


def check(value: Any) -> None:
    data = bytearray().join(encode(value).pieces)
    result = decode(bytes(data), code=False)
    assert_same(value, result)
    assert bytearray().join(encode(result).pieces) == data


@quick
@given(values)
def test_values(value: Any) -> None:
    check(value)


@quick
@given(homogeneous)
def test_homogeneous_lists(value: Any) -> None:
    check(value)
    check(tuple(value))


@quick
@given(
    hnp.arrays(
        st.one_of(
            hnp.scalar_dtypes(),
            hnp.unicode_string_dtypes(max_len=5),
            hnp.byte_string_dtypes(max_len=5),
            hnp.array_dtypes(),
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    st.data(),
)
def test_arrays(array: Any, data: st.DataObject) -> None:
    if array.dtype.hasobject:
        return
    check(array)
    view = np.transpose(array, data.draw(st.permutations(range(array.ndim))))
    check(view)
    if array.ndim:
        check(view[..., :: data.draw(st.sampled_from([1, 2, -1]))])
        check([array, view, array[: data.draw(st.integers(0, 3))]])


columns = st.lists(
    st.sampled_from(["i8", "f4", "?", "M8[ns]", "m8[s]", "category", "O"]), max_size=6
)


@quick
@given(columns, st.data())
def test_frames(dtypes: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 4))
    series = []
    for dtype in dtypes:
        if dtype in ("O", "category"):
            items = data.draw(
                st.lists(st.sampled_from(["a", 1, None]), min_size=rows, max_size=rows)
            )
            series.append(pd.Series(items, dtype=object))
            if dtype == "category":
                series[-1] = pd.Series(items, dtype=object).astype("category")
        else:
            index = hpd.range_indexes(min_size=rows, max_size=rows)
            series.append(data.draw(hpd.series(dtype=np.dtype(dtype), index=index)))
    frame = pd.DataFrame(dict(enumerate(series)))
    frame.columns = pd.Index(data.draw(st.permutations(list("abcdefgh")))[: len(series)])
    check(frame)
    check([frame, frame.T] if dtypes and set(dtypes) <= {"i8"} else [frame])
