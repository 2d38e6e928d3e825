"""Data of pyarrow, polars, scipy.sparse and PIL: exact, and harmless whoever sends it."""

from __future__ import annotations

import datetime
import decimal
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from PIL import Image

from cascade_nb.codecs import decode, encode, ipc
from cascade_nb.errors import CodecError
from cascade_nb.fingerprint.values import fingerprint
from tests.codecs.damage import take_in_damaged


def _palette() -> Any:
    image = Image.new("P", (2, 3), 1)
    image.putpalette(bytes(range(12)), "RGBA")
    return image


def _described() -> Any:
    image = Image.new("RGB", (4, 2), "red")
    image.info["dpi"] = (72, 72)
    return image


def _wide() -> Any:
    matrix = sp.csr_matrix(np.eye(3))
    matrix.indices, matrix.indptr = matrix.indices.astype("i8"), matrix.indptr.astype("i8")
    return matrix


def _sparse(form: str) -> Callable[[], Any]:
    return lambda: getattr(sp, form)(sp.random(5, 4, 0.5, random_state=0, dtype="f4"))


def _gradient(mode: str) -> Callable[[], Any]:
    return lambda: Image.linear_gradient("L").convert(mode).resize((5, 3))


_MOMENT = datetime.datetime(2020, 1, 1)
VALUES: dict[str, Callable[[], Any]] = {
    "table": lambda: pa.table({"a": [1, None], "b": ["x", "yé"], "c": [[1], []]}),
    "structs": lambda: pa.array([{"k": 1}, None]),
    "chunks apart": lambda: pa.table(
        {"a": pa.chunked_array([[1], [2, 3]]), "b": pa.chunked_array([["x", "y"], ["z"]])}
    ),
    "no columns": lambda: pa.table({}),
    "metadata": lambda: pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}),
    "slice": lambda: pa.array([str(n) for n in range(999)])[5:9],
    "dictionaries": lambda: pa.chunked_array(
        [pa.array(["a"]).dictionary_encode(), pa.array(["b", "a"]).dictionary_encode()]
    ),
    "views": lambda: pa.array(["x" * 30, None], pa.string_view()),
    "decimals": lambda: pa.array([decimal.Decimal("1.10")]),
    "batch": lambda: pa.record_batch({"a": pa.array([], pa.int8())}),
    "scalar": lambda: pa.scalar([1, 2]),
    "no scalar": lambda: pa.scalar(None, pa.timestamp("us", "UTC")),
    "type": lambda: pa.dictionary(pa.int8(), pa.list_(pa.utf8()), ordered=True),
    "schema": lambda: pa.schema([pa.field("a", pa.int8(), False, {"m": "v"})], {"k": "v"}),
    "frame": lambda: pl.DataFrame({"a": [1, None], "l": [[1], []], "s": [{"q": 1}, None]}),
    "no frame": pl.DataFrame,
    "part of a frame": lambda: pl.DataFrame({"a": map(str, range(9000))})[5:7000],
    "categories": lambda: pl.Series("c", ["a", "b"], dtype=pl.List(pl.Categorical)),
    "enum": lambda: pl.Series("e", ["a", None], dtype=pl.Enum(["b", "a", "c"])),
    "zone": lambda: pl.Series("t", [_MOMENT], dtype=pl.Datetime("ms", "Europe/Berlin")),
    "fixed": lambda: pl.Series("f", [[1, 2]], dtype=pl.Array(pl.Int8, 2)),
    "nulls": lambda: pl.Series("n", [None, None]),
    "floats": lambda: pl.Series("f", [0.1, float("nan"), None, -0.0]),
    **{f"{f}_{k}": _sparse(f"{f}_{k}") for k in ("array", "matrix")
       for f in ("csr", "csc", "bsr", "coo", "dia", "lil", "dok")},
    "vector": lambda: sp.coo_array(np.arange(3)),
    "wide indices": _wide,
    "empty": lambda: sp.csr_matrix((0, 3)),
    **{mode: _gradient(mode)
       for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F")},
    "palette": _palette,
    "described": _described,
    "without pixels": lambda: Image.new("RGB", (0, 3)),
}  # fmt: skip


def joined(value: Any) -> bytearray:
    return bytearray().join(encode(value).pieces)


@pytest.mark.parametrize("build", VALUES.values(), ids=VALUES)
def test_it_comes_back_exactly_without_code(build: Callable[[], Any]) -> None:
    value = build()
    encoded = encode(value)
    assert (encoded.codec, encoded.needs_code) == ("tree/1", False)
    data = joined(value)
    for given in (bytes(data), bytearray(data)):
        result = decode(given, code=False)
        assert type(result) is type(value)
        assert fingerprint(result) == fingerprint(value)
        assert joined(result) == data
    assert joined(build()) == data


def test_what_fingerprints_do_not_tell() -> None:
    image = decode(joined(_palette()), code=False)
    assert (image.palette.mode, image.getpalette("RGBA")) == ("RGBA", list(range(12)))
    assert decode(joined(_described()), code=False).info == {"dpi": (72, 72)}
    assert decode(joined(_wide()), code=False).indptr.dtype == np.int64
    schema = VALUES["schema"]()
    assert decode(joined(schema), code=False).equals(schema, check_metadata=True)


def test_types_are_named_as_people_know_them() -> None:
    assert encode(pl.DataFrame()).type == "polars.DataFrame"
    assert encode(pa.table({})).type == "pyarrow.Table"


def test_one_table_twice_is_one_table() -> None:
    table = pa.table({"a": [1]})
    one, other = decode(joined([table, table]), code=False)
    assert one is other


def test_what_has_no_exact_form_is_left_to_code() -> None:
    extended = pa.field("a", pa.int8(), metadata={ipc.EXTENSION: "theirs"})
    table = pa.table([pa.array([1], pa.int8())], pa.schema([extended]))
    matrix = sp.csr_array(np.eye(2))
    matrix.note = "mine"
    for value in (table, pl.LazyFrame({"a": [1]}), matrix):
        assert encode(value).codec == "code/1"


def _stream(table: Any, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def test_compressed_and_extended_streams_are_refused() -> None:
    table = pa.table({"a": [1] * 1000})
    ipc.check(memoryview(_stream(table)))
    with pytest.raises(CodecError, match="compressed"):
        ipc.check(memoryview(_stream(table, "zstd")))
    pieces = [pa.DictionaryArray.from_arrays([0], ["a", "b"][:n]) for n in (1, 2)]
    with pytest.raises(CodecError, match="in pieces"):
        ipc.check(memoryview(_stream(pa.table({"a": pa.chunked_array(pieces)}))))
    with pytest.raises(CodecError, match="more rows"):
        ipc.check(memoryview(_stream(pa.table({"a": pa.nulls(1 << 21)}))))
    extended = pa.field("a", pa.int8(), metadata={ipc.EXTENSION: "theirs"})
    with pytest.raises(CodecError, match="extension"):
        ipc.check(memoryview(_stream(pa.table([pa.array([1], pa.int8())], pa.schema([extended])))))


def test_offsets_that_lead_astray_are_refused() -> None:
    data = bytes(joined(pa.array(["ab", "cd"])))
    offsets = np.array([0, 2, 4], "i4").tobytes()
    assert data.count(offsets) == 1
    with pytest.raises(CodecError):
        decode(data.replace(offsets, np.array([0, 1 << 30, 4], "i4").tobytes()), code=False)


@pytest.mark.parametrize("indptr", [[0, 1 << 30, 0, 0], [1, 1, 1, 1], [0, 0, 0, 5]])
def test_sparse_rows_that_lead_astray_are_refused(indptr: list[int]) -> None:
    matrix = sp.csr_array((3, 3))
    data = bytes(joined(matrix))
    good = matrix.indptr.tobytes()
    assert good in data
    forged = data.replace(good, np.array(indptr, matrix.indptr.dtype).tobytes())
    with pytest.raises(CodecError):
        decode(forged, code=False)


_SAMPLES = ["table", "dictionaries", "csr_array", "lil_array", "dok_array", "palette"]


@pytest.mark.parametrize("name", _SAMPLES)
def test_damaged_data_is_an_error_or_a_value(name: str) -> None:
    take_in_damaged(joined(VALUES[name]()), random.Random(name))
