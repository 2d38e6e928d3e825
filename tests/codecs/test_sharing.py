"""What is one object, or one memory, in a value is so in what comes back."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cascade_nb.codecs import decode, encode
from cascade_nb.errors import CodecError


def back(value: Any, **options: Any) -> Any:
    return decode(bytearray().join(encode(value).pieces), code=False, **options)


def test_views_of_one_array_share_memory_again() -> None:
    base = np.arange(12.0).reshape(3, 4)
    whole, rows, columns, flat = back([base, base[1:], base.T[::2], base.reshape(-1)])
    whole[1, 2] = 99
    assert rows[0, 2] == 99
    assert columns[1, 1] == 99
    assert flat[6] == 99


def test_views_share_whether_or_not_their_owner_is_there() -> None:
    base = np.arange(100_000)
    one, other = back((base[10:50_000], base[40_000::2]))
    one[40_000 - 10] = -1
    assert other[0] == -1


def test_disjoint_arrays_do_not_share() -> None:
    base = np.zeros((50, 50))
    columns = back([base[:, number] for number in range(50)])
    assert not any(
        np.shares_memory(one, other) for one in columns for other in columns if one is not other
    )
    assert all(column.flags.c_contiguous for column in columns)


def test_arrays_apart_stay_apart_after_a_second_trip() -> None:
    values = back(back([np.arange(100_000.0), np.arange(100_000.0)]))
    values[0][:] = 0
    assert values[1][5] == 5


def test_a_small_view_does_not_store_its_large_owner() -> None:
    assert encode(np.zeros(1_000_000)[:10]).size < 1000


def test_a_broadcast_array_is_one_row() -> None:
    (row,) = (encode(np.broadcast_to(np.zeros(1000), (1000, 1000))),)
    assert row.size < 20_000


def test_writing_to_a_window_writes_to_its_neighbours() -> None:
    memory = np.arange(6)
    windows = np.lib.stride_tricks.as_strided(memory, (5, 2), (8, 8))
    result = back(windows)
    result[0, 1] = 77
    assert result[1, 0] == 77


def test_masked_arrays_share_with_their_data() -> None:
    data = np.arange(3.0)
    one, other = back([data, np.ma.MaskedArray(data, mask=[0, 1, 0], copy=False)])
    one[0] = 9
    assert other[0] == 9


def test_views_of_an_external_array() -> None:
    base = np.array(np.arange(20.0).reshape(4, 5))
    views = [base[1:, ::2], base.T[2:]]
    encoded = encode(views, external=lambda value: "the base" if value is base else None)
    assert encoded.size < 500
    mine = base.copy()
    one, other = decode(
        b"".join(encoded.pieces), code=False, external={"the base": mine}.__getitem__
    )
    np.testing.assert_array_equal(one, views[0])
    np.testing.assert_array_equal(other, views[1])
    mine[1, 2] = -1
    assert one[0, 1] == -1
    assert other[0, 1] == -1


@pytest.mark.parametrize(
    "mine", [np.arange(10.0), np.zeros(100), np.arange(200.0)[::2], np.arange(100), [1], None]
)
def test_an_external_array_that_is_another_one_is_refused(mine: Any) -> None:
    base = np.arange(100.0)
    encoded = encode(base[50:], external=lambda value: "base" if value is base else None)
    with pytest.raises(CodecError):
        decode(b"".join(encoded.pieces), code=False, external=lambda name: mine)


@pytest.mark.parametrize("codec", ["tree/1", "code/1"])
def test_external_objects_at_any_depth(codec: str) -> None:
    outside: list[int] = [1]
    asked: list[object] = []

    def name(value: object) -> str | None:
        asked.append(value)
        return "out" if value is outside else None

    value: dict[str, Any] = {"a": [(outside, "x", 5)], "b": outside}
    if codec == "code/1":
        value["c"] = lambda: 1
    encoded = encode(value, external=name)
    assert encoded.codec == codec
    mine = [1]
    result = decode(b"".join(encoded.pieces), code=True, external={"out": mine}.__getitem__)
    assert result["a"][0][0] is mine
    assert result["b"] is mine
    assert not any(type(thing) in (str, int, tuple) for thing in asked)


def test_an_external_object_that_is_not_there() -> None:
    outside = [1]
    encoded = encode([outside], external=lambda value: "out" if value is outside else None)
    data = b"".join(encoded.pieces)
    with pytest.raises(CodecError, match="out"):
        decode(data, code=False)

    def missing(name: str) -> object:
        raise KeyError(name)

    with pytest.raises(CodecError):
        decode(data, code=False, external=missing)


def test_frames_that_share_by_copy_on_write_do_not_disturb_each_other() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    one, other, column = back([frame, frame.assign(c=5), frame["a"]])
    one.loc[0, "a"] = 77
    assert other.loc[0, "a"] == 1
    assert column[0] == 1


def test_one_frame_twice_is_one_frame() -> None:
    frame = pd.DataFrame({"a": [1]})
    one, other = back([frame, frame])
    assert one is other


def test_an_index_is_the_index_of_its_frame() -> None:
    frame = pd.DataFrame({"a": [1]}, index=pd.Index(["x"]))
    result, index = back([frame, frame.index])
    assert result.index is index


def test_a_frame_and_a_read_only_look_at_it() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    result, values = back([frame, frame["a"].to_numpy()])
    assert not values.flags.writeable
    pd.testing.assert_frame_equal(result, frame)


def test_writable_memory_of_a_frame_is_refused() -> None:
    memory = np.arange(3.0)
    frame = pd.DataFrame(memory.reshape(3, 1), copy=False)
    with pytest.raises(CodecError, match="shares memory"):
        encode([frame, memory])


def test_memory_shared_with_a_bytearray_is_refused() -> None:
    memory = bytearray(16)
    with pytest.raises(CodecError, match="shares memory"):
        encode([memory, np.frombuffer(memory, "u1")])


def test_views_of_objects_are_refused() -> None:
    memory = np.array([1, "a", None], dtype=object)
    with pytest.raises(CodecError, match="shares memory"):
        encode([memory, memory[1:]])
    assert back(memory[1:]).tolist() == ["a", None]


def test_recursion_through_what_cannot_be_rebuilt_is_refused() -> None:
    frame = pd.DataFrame({"a": pd.Series([None], dtype=object)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame._mgr.blocks[0].values[0, 0] = frame
    with pytest.raises(CodecError, match="contains itself") as caught:
        encode({"f": frame})
    assert caught.value.path == "value['f']['a'][0]"


def test_restored_frames_can_be_changed_in_place() -> None:
    frame = pd.DataFrame({f"c{i}": np.arange(3.0) for i in range(120)})
    result = back(frame)
    result["new"] = 1
    result.iloc[0, 0] = 5
    assert result["c1"][0] == 0
    assert len(result._mgr.blocks) == 2


def test_large_restored_arrays_are_not_the_buffers_of_their_neighbours() -> None:
    one, other = back([np.zeros(50_000), np.zeros(50_000)])
    one[:] = 1
    assert other.sum() == 0
