"""pyarrow, polars and scipy.sparse: chunks and caches do not count, content and types do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.values import fingerprint


def _distinct(values: list[Any]) -> None:
    digests = [fingerprint(value) for value in values]
    assert len(set(digests)) == len(digests)
    assert digests == [fingerprint(value) for value in values]


def test_pyarrow() -> None:
    pa = pytest.importorskip("pyarrow")
    _distinct(
        [
            pa.array([1, 2]),
            pa.array([1, None]),
            pa.array([1, 0]),
            pa.array([True, False]),
            pa.array(["ab", "c"]),
            pa.array(["a", "bc"]),
            pa.array(["ab", "c"], pa.large_string()),
            pa.array(["ab", "c"], pa.string_view()),
            pa.array(["ab", "c"]).dictionary_encode(),
            pa.array([[1], [2, 3]]),
            pa.array([[1, 2], [3]]),
            pa.array([[1, 2], None]),
            pa.array([{"a": 1}]),
            pa.array([{"b": 1}]),
            pa.chunked_array([[1, 2]]),
            pa.table({"a": [1]}),
            pa.table({"b": [1]}),
            pa.int64(),
            pa.timestamp("s"),
            pa.timestamp("s", "UTC"),
            pa.schema({"a": pa.int64()}),
            pa.scalar(1),
            pa.scalar("1"),
        ]
    )
    chunked = pa.chunked_array
    assert fingerprint(chunked([["a", "b"], ["c"]])) == fingerprint(chunked([["a"], ["b", "c"]]))
    assert fingerprint(chunked([[1, None], [3]])) == fingerprint(chunked([[1], [None, 3]]))
    sliced = pa.array(["z", "a", None, "b"])[1:]
    assert fingerprint(sliced) == fingerprint(pa.array(["a", None, "b"]))
    assert fingerprint(pa.array([[9], [1, 2], [3]])[1:]) == fingerprint(pa.array([[1, 2], [3]]))
    with pytest.raises(FingerprintError):
        fingerprint(pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())))


def test_polars() -> None:
    pl = pytest.importorskip("polars")
    _distinct(
        [
            pl.Series("a", [1]),
            pl.Series("b", [1]),
            pl.Series("a", [1.0]),
            pl.Series("a", ["x"]),
            pl.Series("a", ["x"], dtype=pl.Categorical),
            pl.Series("a", ["x"], dtype=pl.Enum(["x", "y"])),
            pl.Series("a", ["x"], dtype=pl.Enum(["y", "x"])),
            pl.Series("a", [[1], [2, 3]]),
            pl.Series("a", [[1, 2], [3]]),
            pl.Series("a", [{"a": 1}]),
            pl.Series("a", [None]),
            pl.Series("a", [None], dtype=pl.Int64),
            pl.DataFrame({"a": [1], "b": ["x"]}),
            pl.DataFrame({"b": ["x"], "a": [1]}),
            pl.DataFrame(),
        ]
    )
    pieces = pl.concat([pl.Series(["1", "2"]), pl.Series(["3"])], rechunk=False)
    assert fingerprint(pieces) == fingerprint(pl.Series(["1", "2", "3"]))
    with pytest.raises(FingerprintError, match="collect it first"):
        fingerprint(pl.DataFrame({"a": [1]}).lazy())


def test_sparse() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    kinds = ("csr", "csc", "coo", "lil", "dok", "dia", "bsr")
    _distinct([getattr(sparse, f"{kind}_array")(np.eye(2)) for kind in kinds])
    rows = sparse.csr_array(np.eye(3))
    before = fingerprint(rows)
    assert rows.has_sorted_indices
    assert rows.has_canonical_format
    assert fingerprint(rows) == before
    assert fingerprint(sparse.csr_matrix(np.eye(3))) != before
