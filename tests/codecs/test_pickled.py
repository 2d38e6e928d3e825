"""The code codec, for all that no data format holds."""

from __future__ import annotations

import sys
import threading
import types
from typing import Any

import numpy as np
import pytest

from cascade_nb.codecs import decode, encode
from cascade_nb.errors import CodecError


def joined(value: Any, **options: Any) -> bytearray:
    encoded = encode(value, **options)
    assert encoded.codec == "code/1"
    assert encoded.needs_code
    data = bytearray().join(encoded.pieces)
    assert data.startswith(b"code/1\n")
    assert len(data) == encoded.size
    return data


class Raises:
    def __reduce__(self) -> Any:
        raise ZeroDivisionError("secret reason")


class Holds:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __reduce__(self) -> Any:
        return Holds, (self.value,)


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A `__main__` module of a session, with a class in it."""
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(
        "class Model(Exception):\n    pass\n\n"
        "def function(x):\n    return Model, x + OFFSET\n\nOFFSET = 3\n",
        vars(module),
    )
    return module


def test_functions() -> None:
    offset = 3
    assert decode(joined({"f": lambda x: x + offset}), code=True)["f"](1) == 4


@pytest.mark.slow  # the import alone
def test_estimators() -> None:
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    np.testing.assert_array_equal(decode(joined(model), code=True).coef_, model.coef_)


def test_instances_of_main_come_back_in_the_session_s_own_class(main: Any) -> None:
    data = joined(main.Model("x"), class_digest=lambda cls: "one")
    result = decode(data, code=True, class_digest=lambda cls: "one")
    assert type(result) is main.Model
    with pytest.raises(CodecError, match="has changed"):
        decode(data, code=True, class_digest=lambda cls: "two")
    del main.Model
    with pytest.raises(CodecError, match="is not defined here"):
        decode(data, code=True)


def test_functions_of_main_refer_to_its_classes(main: Any) -> None:
    result = decode(joined(main.function), code=True)
    assert result(1) == (main.Model, 4)


def test_large_arrays_lie_beside_the_pickle() -> None:
    array = np.arange(200_000.0)
    readonly = np.arange(1000.0)
    readonly.flags.writeable = False
    encoded = encode([Holds(array), readonly])
    assert any(
        np.shares_memory(np.frombuffer(piece, "u1"), array)
        for piece in encoded.pieces
        if len(piece) > 100_000
    )
    data = bytearray().join(encoded.pieces)
    for given in (data, bytes(data)):
        holds, other = decode(given, code=True)
        np.testing.assert_array_equal(holds.value, array)
        assert holds.value.flags.writeable
        holds.value[0] = 1
        assert not other.flags.writeable
        holds.value[0] = 0


def test_figures_are_not_registered_with_pyplot() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    plt.close("all")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    other = plt.figure()
    data = joined([figure, 1])
    before = plt.get_fignums()
    restored = decode(data, code=True)[0]
    assert plt.get_fignums() == before
    assert restored.axes[0].lines[0].get_xydata().tolist() == [[0, 1], [1, 2]]
    assert plt.gcf() is other
    plt.close("all")


@pytest.mark.parametrize(
    ("value", "path", "type_name"),
    [
        ({"a": [Raises()]}, "value['a'][0]", "tests.codecs.test_pickled.Raises"),
        ([Holds(threading.Lock())], "value[0]", "tests.codecs.test_pickled.Holds"),
        ((1, sys._getframe()), "value[1]", "frame"),
    ],
)
def test_what_cannot_be_pickled(value: Any, path: str, type_name: str) -> None:
    with pytest.raises(CodecError) as caught:
        encode(value)
    assert caught.value.path == path
    assert caught.value.type_name == type_name
    assert type_name in str(caught.value)


def test_deep_structures_of_unknown_types_are_refused() -> None:
    value: Any = Holds(None)
    for _ in range(100_000):
        value = Holds(value)
    with pytest.raises(CodecError):
        encode(value)
    while value is not None:  # freed from the outside in, or the stack overflows
        value = value.value


@pytest.mark.parametrize("end", [0, 5, 8, 20, 30, -1])
def test_damaged_pickles(end: int) -> None:
    data = joined(Holds(np.zeros(1000)))
    with pytest.raises(CodecError):
        decode(data[:end], code=True)


def test_known_parts_beside_unknown_ones_are_exact_or_refused() -> None:
    array = np.arange(5)
    with pytest.raises(CodecError, match="shares memory"):
        encode([array, array[1:], lambda: 1])
    with pytest.raises(CodecError, match="cannot be stored") as caught:
        encode([lambda: 1, {"k": iter([])}])
    assert caught.value.path == "value[1]['k']"
    same, other, _ = decode(joined([array, array, int.__add__]), code=True)
    assert same is other


def test_plain_classes_of_installed_packages_go_by_code() -> None:
    import argparse

    assert encode(argparse.Namespace(a=1)).codec == "code/1"
    vectorized = np.vectorize(abs)
    assert decode(joined(vectorized), code=True)(-1) == 1
