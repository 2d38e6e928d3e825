from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cascade_nb.codecs import encode
from tests.codecs.golden import PINNED, digest
from tests.codecs.values import ALL, Frozen, Model


def encoded(value: object) -> bytes:
    return b"".join(encode(value).pieces)


@pytest.mark.parametrize("name", ALL)
def test_encodings_are_pinned(name: str) -> None:
    assert digest(name) == json.loads(PINNED.read_text())[name]


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_encodings_do_not_depend_on_the_hash_seed(seed: str) -> None:
    root = Path(__file__).parent.parent.parent
    finished = subprocess.run(
        [sys.executable, "-m", "tests.codecs.golden"],
        cwd=root,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(finished.stdout) == json.loads(PINNED.read_text())


def test_interned_and_computed_strings_are_one() -> None:
    computed = "".join(["a", "b"])
    assert encoded(["ab", "ab"]) == encoded(["ab", computed])


def test_shared_immutable_values_look_like_equal_ones() -> None:
    part = (1, "x", frozenset({2}))
    same = (1, "".join(["x"]), frozenset({2}))
    assert encoded([part, part]) == encoded([part, same])
    assert encoded([Frozen("a", 1)] * 2) == encoded([Frozen("a", 1), Frozen("a", 1)])


def test_shared_mutable_values_do_not() -> None:
    part = [1]
    assert encoded([part, part]) != encoded([part, [1]])
    model = Model("m", [])
    assert encoded([model, model]) != encoded([model, Model("m", [])])


def test_order_of_set_construction_does_not_matter() -> None:
    words = [f"w{i}" for i in range(100)]
    mixed = [*words, 1, 2.5, None, (1, "a")]
    for elements in (words, mixed):
        backwards = elements[::-1]
        assert encoded(set(elements)) == encoded(set(backwards))


def test_sets_of_objects_with_shared_parts_have_one_order() -> None:
    def build(order: int) -> object:
        lists = {"a": [1], "b": [2]}
        elements = [Holder("a", lists["a"]), Holder("b", lists["b"]), Holder("c", lists["a"])]
        return [set(elements[::order]), lists]

    assert encoded(build(1)) == encoded(build(-1))


class Holder:
    def __init__(self, name: str, part: list[int]) -> None:
        self.name = name
        self.part = part

    def __hash__(self) -> int:
        return id(self)


def test_the_order_in_which_a_frame_got_its_blocks_does_not_matter() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": [1.5], "b": [2]})
    other = pd.DataFrame({"b": [2]})
    other.insert(0, "a", [1.5])
    assert encoded(frame) == encoded(other)


def test_memory_that_no_value_shows_is_not_stored() -> None:
    import numpy as np

    base = np.full((4, 4), 7777, dtype="<i8")
    base[:, 1] = 1
    one, other = base[:, 1], base[1:3, 1]
    assert (7777).to_bytes(8, "little") not in encoded([one, other])
    pair = np.dtype({"names": ["a"], "formats": ["<i4"], "itemsize": 64})
    raw = np.full(64 * 10, 7, dtype="u1").view(pair)
    raw["a"] = 1
    clean = np.zeros(10, dtype=pair)
    clean["a"] = 1
    assert encoded(raw) == encoded(clean)


def test_what_lies_under_a_mask_of_pandas_does_not_matter() -> None:
    import numpy as np
    import pandas as pd

    mask = np.array([False, True])
    one = pd.arrays.IntegerArray(np.array([1, 5]), mask.copy())
    other = pd.arrays.IntegerArray(np.array([1, 9]), mask.copy())
    assert encoded(one) == encoded(other)


def test_long_doubles_have_no_padding() -> None:
    import numpy as np

    clean = np.zeros(4, np.longdouble)
    dirty = np.full(4 * clean.itemsize, 255, np.uint8).view(np.longdouble)
    dirty[:] = 0
    assert encoded(clean) == encoded(dirty)
