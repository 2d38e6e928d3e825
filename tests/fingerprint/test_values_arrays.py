from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.values import fingerprint, shared_objects, sharing, walk


@pytest.fixture
def grid() -> Any:
    return np.arange(24.0).reshape(4, 6)


def test_strides_do_not_count_but_the_order_of_axes_does(grid: Any) -> None:
    for view in (grid[::-1], grid[:, ::2], grid[1:, 1:], grid[::2, ::-3], grid[:1], grid[:, :1]):
        assert fingerprint(view) == fingerprint(view.copy())
    assert fingerprint(grid) != fingerprint(np.asfortranarray(grid))
    assert fingerprint(grid.T) == fingerprint(np.asfortranarray(grid.T))
    cube = np.arange(24.0).reshape(2, 3, 4)
    orders = {
        fingerprint(np.ascontiguousarray(cube.transpose(o)).transpose(np.argsort(o)))
        for o in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    }
    assert len(orders) == 6
    repeated = np.broadcast_to(np.arange(4), (3, 4))
    assert fingerprint(repeated) == fingerprint(repeated.copy())


def test_writability_does_not_count(grid: Any) -> None:
    before = fingerprint(grid)
    grid.flags.writeable = False
    assert fingerprint(grid) == before


def test_large_arrays_in_any_layout() -> None:
    large = np.arange(3_000_000, dtype="i4").reshape(3, -1)
    assert fingerprint(large[:, ::2]) == fingerprint(large[:, ::2].copy())
    changed = large.copy()
    changed[1, 500_000] += 1
    assert fingerprint(changed) != fingerprint(large)


def test_padding_is_not_content() -> None:
    aligned = np.dtype([("a", "i1"), ("b", "i8")], align=True)
    first, second = (np.full(3 * aligned.itemsize, fill, "u1").view(aligned) for fill in (0, 255))
    for array in (first, second):
        array["a"], array["b"] = 1, 2
    assert fingerprint(first) == fingerprint(second)
    zeros, noise = (np.full(32, fill, "u1").view(np.longdouble) for fill in (0, 255))
    zeros[:], noise[:] = 1, 1
    assert fingerprint(zeros) == fingerprint(noise)


def test_objects_count_by_value_and_sharing() -> None:
    inner = [1]
    both = np.empty(2, object)
    both[:] = [inner, inner]
    apart = np.empty(2, object)
    apart[:] = [[1], [1]]
    assert fingerprint(both) != fingerprint(apart)
    records = np.array([(1, "a")], [("n", "i4"), ("o", "O")])
    assert fingerprint(records) == fingerprint(records.copy())


def test_masked_arrays_keep_their_fingerprint() -> None:
    masked = np.ma.masked_array([1, 2], [True, False])
    before = fingerprint(masked)
    assert masked.fill_value == 999999
    assert fingerprint(masked) == before
    masked.harden_mask()
    assert fingerprint(masked) != before


def test_memory_that_is_shared_counts() -> None:
    zeros = np.zeros(8)
    buffer = bytearray(64)
    assert fingerprint([zeros[:4], zeros[4:]]) == fingerprint([np.zeros(4), np.zeros(4)])
    assert fingerprint([buffer, np.frombuffer(buffer)]) != fingerprint([bytearray(64), zeros])
    assert fingerprint([np.frombuffer(buffer), buffer]) != fingerprint([zeros, bytearray(64)])
    assert fingerprint(np.frombuffer(buffer)) == fingerprint(zeros)
    window = np.lib.stride_tricks.as_strided(zeros, (7, 2), (8, 8))
    assert fingerprint(window) != fingerprint(window.copy())


def test_sharing_between_arrays() -> None:
    zeros = np.zeros(8)
    assert sharing({"a": zeros[:4], "b": zeros[4:]}) is None
    overlaps = [sharing({"a": zeros[:4], "b": zeros[start : start + 4]}) for start in range(4)]
    assert len(set(overlaps)) == 4
    assert None not in overlaps
    assert sharing({"a": zeros, "b": zeros}) != sharing({"a": zeros, "b": zeros[:]})


def test_the_owner_of_memory_is_among_the_shared_objects() -> None:
    whole = np.zeros(8)
    assert any(item is whole for item in shared_objects(whole[2:4]))
    assert len(shared_objects(whole[2:4])) == len(shared_objects(np.zeros(2)))


def test_memory_maps_and_subclasses(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert fingerprint(mapped) == fingerprint(np.load(tmp_path / "a.npy", mmap_mode="r"))
    assert fingerprint(mapped) != fingerprint(np.arange(3))

    class Tagged(np.ndarray):
        pass

    tagged = np.arange(3).view(Tagged)
    before = fingerprint(tagged)
    tagged.unit = "m"
    assert fingerprint(tagged) != before


def test_generators_count_by_their_state() -> None:
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    assert fingerprint(first) == fingerprint(second)
    first.random()
    assert fingerprint(first) != fingerprint(second)


def test_ufuncs_made_from_python_are_refused() -> None:
    with pytest.raises(FingerprintError):
        fingerprint(np.frompyfunc(lambda x: x, 1, 1))


def test_distributions() -> None:
    assert walk([np.zeros(1)]).distributions == {"numpy"}
    assert walk([1, "a"]).distributions == frozenset()


DTYPES = ("?", "i1", "<u2", ">i4", "f4", "f8", "c16", "M8[s]", "m8[D]", "U3", "S2")


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(DTYPES).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
    ),
    st.data(),
)
def test_copies_are_equal_and_changes_are_seen(array: Any, data: st.DataObject) -> None:
    axes = data.draw(st.permutations(range(array.ndim)))
    moved = array.transpose(axes)
    assert fingerprint(moved) == fingerprint(moved.copy("K"))
    spaced = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype) if array.ndim else None
    if spaced is not None:
        spaced[..., ::2] = array
        assert fingerprint(spaced[..., ::2]) == fingerprint(array)
    if array.size:
        changed = array.copy()
        place = data.draw(st.integers(0, array.size - 1))
        flat = changed.reshape(-1).view("u1").reshape(array.size, -1)
        flat[place, 0] ^= 1
        if array.dtype.kind != "U":
            assert fingerprint(changed) != fingerprint(array)


def test_a_masked_array_is_left_as_it_was() -> None:
    array = np.ma.masked_array([1.0, 2.0], mask=[True, False])
    alike = np.ma.masked_array([1.0, 2.0], mask=[True, False], fill_value=1e20)
    assert fingerprint(array) == fingerprint(alike)
    assert array._fill_value is None
