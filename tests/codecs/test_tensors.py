"""Tensors of torch: exact, without code, and what shares memory still does."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cascade_nb.codecs import decode, encode
from cascade_nb.errors import CodecError, FingerprintError
from cascade_nb.fingerprint.keys import function_key
from cascade_nb.fingerprint.values import fingerprint
from tests.codecs.damage import take_in_damaged

torch: Any = pytest.importorskip("torch")

_DTYPES = [
    *("bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128"),
    *("float8_e4m3fn", "float8_e5m2"),
]


def _with_grad() -> Any:
    weight = torch.ones(3, requires_grad=True)
    (weight * torch.arange(3)).sum().backward()
    return weight


def _of_inference() -> Any:
    with torch.inference_mode():
        return torch.arange(3) * 2


VALUES: dict[str, Callable[[], Any]] = {
    **{name: lambda name=name: torch.tensor([[0, 1, 1]]).to(getattr(torch, name))
       for name in _DTYPES},
    "one number": lambda: torch.tensor(1.5),
    "none": lambda: torch.zeros(0, 3),
    "turned": lambda: torch.arange(6.0).reshape(2, 3).T,
    "channels last": lambda: torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "large": lambda: torch.arange(50_000.0),
    "repeated": lambda: torch.arange(3.0).expand(4, 3),
    "wants gradients": lambda: torch.ones(2, requires_grad=True),
    "with its gradient": _with_grad,
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "fixed parameter": lambda: torch.nn.Parameter(torch.ones(2), requires_grad=False),
    "of inference": _of_inference,
    "no numbers": lambda: torch.tensor([float("nan"), -0.0]),
    "shape and dtype": lambda: [torch.ones(2, 3).shape, torch.bfloat16, torch.device("cpu")],
}  # fmt: skip


def joined(value: Any) -> bytearray:
    return bytearray().join(encode(value).pieces)


def back(value: Any) -> Any:
    return decode(bytes(joined(value)), code=False)


def traits(tensor: Any) -> tuple[Any, ...]:
    grad = None if tensor.grad is None else tensor.grad.tolist()
    plain = tensor.detach()
    return (
        *(type(tensor), tensor.dtype, tensor.shape, tensor.device.type),
        tensor.stride() if tensor.numel() else (),
        *(tensor.requires_grad, tensor.is_leaf, tensor.is_inference(), grad),
        plain.contiguous().view(-1).view(torch.uint8).tolist() if plain.numel() else [],
    )


@pytest.mark.parametrize("name", VALUES)
def test_it_comes_back_exactly_without_code(name: str) -> None:
    value = VALUES[name]()
    encoded = encode(value)
    assert (encoded.codec, encoded.needs_code) == ("tree/1", False)
    data = joined(value)
    for given in (bytes(data), bytearray(data)):
        result = decode(given, code=False)
        assert fingerprint(result) == fingerprint(value)
        assert joined(result) == data
        if torch.is_tensor(value):
            assert traits(result) == traits(value)
        else:
            assert (result, list(map(type, result))) == (value, list(map(type, value)))


def test_all_are_told_apart() -> None:
    found = {fingerprint(make()): name for name, make in VALUES.items() if name != "of inference"}
    assert len(found) == len(VALUES) - 1
    grid = torch.arange(6.0).reshape(2, 3)
    assert fingerprint(grid) == fingerprint(torch.arange(12.0).reshape(2, 6)[:, :3] * 0 + grid)
    assert fingerprint(grid) != fingerprint(grid.T.contiguous().T)
    assert fingerprint(grid) != fingerprint(grid.numpy())


def test_what_shares_memory_still_does() -> None:
    whole = torch.zeros(4, 3)
    array = np.arange(3.0)
    values = {"whole": whole, "row": whole[1], "again": whole, "array": array}
    values["over it"] = torch.from_numpy(array)
    assert fingerprint(values) != fingerprint(values | {"row": whole[1].clone()})
    result = back(values)
    assert fingerprint(result) == fingerprint(values)
    assert result["again"] is result["whole"]
    result["row"][0] = 7
    assert result["whole"][1, 0] == 7
    result["array"][2] = 9
    assert result["over it"][2] == 9


def test_a_hit_is_fresh_memory() -> None:
    data = joined(torch.zeros(50_000))
    decode(bytes(data), code=False)[0] = 1
    assert decode(bytes(data), code=False)[0] == 0


def test_a_part_of_a_graph_is_refused() -> None:
    loss = (torch.ones(2, requires_grad=True) * 2).sum()
    with pytest.raises(CodecError, match="graph of gradients"):
        encode({"loss": loss})
    with pytest.raises(FingerprintError, match=r"graph of gradients; detach\(\) it"):
        fingerprint({"loss": loss})


def test_other_kinds_are_left_to_code() -> None:
    noted = torch.ones(2)
    noted.note = "mine"
    for value in (torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex64).conj(), noted):
        assert encode(value).codec == "code/1"
        assert fingerprint(value) == fingerprint(value)


def test_what_is_quantised_is_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is on its way out
        value = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(CodecError, match="quantised"):
        encode(value)
    with pytest.raises(FingerprintError, match="quantised"):
        fingerprint(value)


def test_the_state_of_a_model_is_data() -> None:
    state = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1)).state_dict()
    assert not encode(state).needs_code
    result = back(state)
    assert fingerprint(result) == fingerprint(state)
    assert (type(result), result._metadata) == (type(state), state._metadata)
    assert all(result[name].equal(state[name]) for name in state)


def test_a_model_keeps_its_gradients() -> None:
    model = torch.nn.Linear(2, 1)
    model(torch.ones(3, 2)).sum().backward()
    result = decode(bytes(joined(model)), code=True)
    assert fingerprint(result) == fingerprint(model)
    assert result.weight.grad.equal(model.weight.grad)


def test_a_model_is_one_of_code_and_counts_what_it_has_learnt() -> None:
    model = torch.nn.Linear(2, 1)
    before = fingerprint(model)
    assert encode(model).needs_code
    result = decode(bytes(joined(model)), code=True)
    assert fingerprint(result) == before
    with torch.no_grad():
        model.weight += 1
    assert fingerprint(model) != before


@pytest.mark.parametrize("name", ["turned", "bfloat16", "with its gradient", "parameter"])
def test_damaged_data_is_an_error_or_a_value(name: str) -> None:
    take_in_damaged(joined(VALUES[name]()), random.Random(name))


def test_to_look_through_torch_warns_of_nothing() -> None:
    def body(x: Any) -> Any:
        return torch.relu(x)

    assert "distribution torch" in function_key(body, {"x": torch.ones(2)}).parts
