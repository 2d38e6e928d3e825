from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cascade_nb.codecs import Encoded, decode, encode
from tests.codecs.exact import DiffersError, assert_same
from tests.codecs.values import ALL


def joined(encoded: Encoded) -> bytearray:
    data = bytearray().join(encoded.pieces)
    assert len(data) == encoded.size
    return data


@pytest.mark.parametrize("build", ALL.values(), ids=ALL)
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_every_value_comes_back_exactly(build: Callable[[], Any], kind: Any) -> None:
    value = build()
    encoded = encode(value)
    assert encoded.codec == "tree/1"
    assert not encoded.needs_code
    data = joined(encoded)
    assert data.startswith(b"tree/1\n")
    result = decode(kind(data), code=False)
    assert_same(value, result)
    assert joined(encode(result)) == data


@pytest.mark.parametrize("build", ALL.values(), ids=ALL)
def test_equal_values_built_apart_have_equal_bytes(build: Callable[[], Any]) -> None:
    assert joined(encode(build())) == joined(encode(build()))


def test_all_values_together_come_back_exactly() -> None:
    value = {name: build() for name, build in ALL.items()}
    data = joined(encode(value))
    assert_same(value, decode(data, code=False))


def test_all_values_have_encodings_of_their_own() -> None:
    encodings = {bytes(joined(encode(build()))) for build in ALL.values()}
    assert len(encodings) == len(ALL)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ((1,), [1]),
        ("1", b"1"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (range(0, 10, 3), range(0, 11, 3)),
    ],
)
def test_equal_but_different_values_have_different_encodings(one: Any, other: Any) -> None:
    assert joined(encode(one)) != joined(encode(other))
    with pytest.raises(DiffersError):
        assert_same(one, other)


def test_type_is_named_for_people() -> None:
    import numpy as np
    import pandas as pd

    assert encode([1]).type == "list"
    assert encode(np.zeros(1)).type == "numpy.ndarray"
    assert encode(pd.DataFrame()).type == "pandas.DataFrame"


def test_large_memory_is_not_copied() -> None:
    import numpy as np

    array = np.arange(1_000_000.0)
    (piece,) = (piece for piece in encode({"a": array}).pieces if len(piece) > 1_000_000)
    assert np.shares_memory(np.frombuffer(piece, np.uint8), array)


def test_large_arrays_are_aligned_views_of_a_writable_buffer() -> None:
    import numpy as np

    data = joined(encode([b"x" * 5000, np.arange(100_000.0), "y"]))
    array = decode(data, code=False)[1]
    whole = np.frombuffer(data, np.uint8)
    assert np.shares_memory(array, whole)
    offset = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    assert offset % 64 == 0
    assert array.flags.writeable
    array[0] = 5


def test_from_read_only_bytes_writable_arrays_are_copies() -> None:
    import numpy as np

    data = bytes(joined(encode(np.arange(100_000.0))))
    array = decode(data, code=False)
    array[0] = 5
    assert decode(data, code=False)[0] == 0


def test_huge_pages_of_nothing_are_small() -> None:
    import numpy as np

    value = np.broadcast_to(np.float64(1.0), (10**5, 10**6))
    encoded = encode(value)
    assert encoded.size < 1000
    result = decode(joined(encoded), code=False)
    assert result.shape == value.shape
    assert result[-1, -1] == 1.0
