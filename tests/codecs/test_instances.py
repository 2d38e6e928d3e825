from __future__ import annotations

import abc
import dataclasses
import enum
import sys
from collections import namedtuple
from typing import Any, Generic, TypeVar

import attrs
import pydantic
import pytest

from cascade_nb.codecs import decode, encode
from cascade_nb.errors import CodecError, UntrustedError

T = TypeVar("T")
Pair = namedtuple("Pair", "left right")


@dataclasses.dataclass
class Node:
    name: str
    children: list[Node] = dataclasses.field(default_factory=list)
    parent: Node | None = None

    def __post_init__(self) -> None:
        called.append("post_init")


@dataclasses.dataclass(slots=True)
class Slots(Generic[T]):
    value: T
    other: int = dataclasses.field(init=False)


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlots:
    value: int


@attrs.define
class Defined:
    a: int
    b: list[int] = attrs.field(factory=list, validator=lambda *_: called.append("validator"))


@attrs.frozen(cache_hash=True)
class Hashed:
    a: str


class User(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    name: str
    tags: set[str] = set()
    _private: int = pydantic.PrivateAttr(default=3)

    @pydantic.field_validator("name")
    @classmethod
    def check(cls, name: str) -> str:
        called.append("validator")
        return name


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Plain:
    def __init__(self) -> None:
        called.append("init")
        self.a = [1]


class WithSlots(Plain):
    __slots__ = ("b", "unset")

    def __setattr__(self, name: str, value: Any) -> None:
        called.append("setattr")
        object.__setattr__(self, name, value)


class Stateful:
    def __getstate__(self) -> Any:
        return {"a": 1}


class Abstract(abc.ABC):
    @abc.abstractmethod
    def method(self) -> None: ...


called: list[str] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    called.clear()


def joined(value: Any, **options: Any) -> bytes:
    return b"".join(encode(value, **options).pieces)


def test_dataclasses_come_back_without_calling_them() -> None:
    root = Node("root")
    root.children.append(Node("child", parent=root))
    root.extra = 5  # type: ignore[attr-defined]
    called.clear()
    result = decode(joined(root), code=False)
    assert not called
    assert type(result) is Node
    assert result.children[0].parent is result
    assert vars(result).keys() == vars(root).keys()


def test_dataclasses_with_slots() -> None:
    result = decode(joined([Slots("x"), FrozenSlots(3)]), code=False)
    assert result[0].value == "x"
    assert not hasattr(result[0], "other")
    assert result[1] == FrozenSlots(3)


def test_attrs() -> None:
    value = [Defined(1, [2]), Hashed("x")]
    assert hash(value[1])
    called.clear()
    result = decode(joined(value), code=False)
    assert result == value
    assert not called
    assert joined([Hashed("x")]) == joined([value[1]])
    assert hash(result[1]) == hash(value[1])


def test_pydantic() -> None:
    user = User(name="n", tags={"b", "a"}, more=[1])
    user._private = 4
    called.clear()
    result = decode(joined(user), code=False)
    assert not called
    assert result == user
    assert result._private == 4
    assert result.model_fields_set == user.model_fields_set
    assert result.model_extra == {"more": [1]}
    assert not encode(user).needs_code


def test_enums_and_namedtuples() -> None:
    value = [Level.HIGH, Pair(1, [2])]
    result = decode(joined(value), code=False)
    assert result == value
    assert result[0] is Level.HIGH
    assert type(result[1]) is Pair


def test_plain_instances_need_code() -> None:
    value = WithSlots()
    value.b = value
    encoded = encode({"k": value})
    assert encoded.codec == "tree/1"
    assert encoded.needs_code
    data = b"".join(encoded.pieces)
    with pytest.raises(UntrustedError):
        decode(data, code=False)
    called.clear()
    result = decode(data, code=True)["k"]
    assert not called
    assert result.b is result
    assert result.a == [1]
    assert not hasattr(result, "unset")


def test_a_class_that_is_gone() -> None:
    data = joined(Node("x"))
    with pytest.raises(CodecError, match="is not defined here"):
        decode(data, code=False, find_class=lambda module, qualname: None)


def test_a_class_of_another_kind() -> None:
    data = joined(Node("x"))
    with pytest.raises(CodecError, match="no class of that kind"):
        decode(data, code=False, find_class=lambda module, qualname: Plain)


def test_a_class_found_elsewhere() -> None:
    @dataclasses.dataclass
    class Other:
        name: str

    result = decode(joined(Node("x")), code=False, find_class=lambda module, qualname: Other)
    assert type(result) is Other
    assert result.name == "x"


def test_class_digests() -> None:
    data = joined([Node("x"), Node("y")], class_digest=lambda cls: cls.__name__)
    assert decode(data, code=False, class_digest=lambda cls: "Node")[0].name == "x"
    with pytest.raises(CodecError, match="has changed"):
        decode(data, code=False, class_digest=lambda cls: "other")


def test_classes_that_cannot_be_found_go_by_code() -> None:
    @dataclasses.dataclass
    class Local:
        a: int

    assert encode(Local(1)).codec == "code/1"


def test_classes_with_a_state_of_their_own_go_by_code() -> None:
    assert encode([Stateful()]).codec == "code/1"
    assert encode(object()).codec == "code/1"


def test_reading_imports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = joined(Node("x"))
    monkeypatch.delitem(sys.modules, __name__)
    with pytest.raises(CodecError, match="is not defined here"):
        decode(data, code=False)


def test_abstract_classes_are_no_data() -> None:
    from cascade_nb.codecs.instances import _resolve

    assert _resolve(Abstract) is None


def test_paths_lead_to_attributes() -> None:
    node = Node("x", [Node("y")])
    node.children[0].name = (i for i in "ab")  # type: ignore[assignment]
    with pytest.raises(CodecError) as caught:
        encode({"n": node})
    assert caught.value.path == "value['n'].children[0].name"
    assert caught.value.type_name == "generator"
