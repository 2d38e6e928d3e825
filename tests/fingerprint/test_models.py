"""Enums, dataclasses and the models of attrs and pydantic: what they were told counts."""

from __future__ import annotations

import pytest

from tests.fingerprint.scenarios import key_of

_ATTRS = "import attrs\n@attrs.define\nclass P:\n  a: int = 1\ndef f(x): return P()"
_PYDANTIC = "import pydantic\nclass P(pydantic.BaseModel):\n  a: int = 1\n  b: int = 1\n"

TOLD = {
    "attribute put on a member": (
        "import enum\nclass E(enum.Enum): A = 1\nE.A.extra = 1\ndef f(x): return E.A.extra",
        ("extra = 1", "extra = 2"),
    ),
    "method made of a text": (
        "import dataclasses\n@dataclasses.dataclass\nclass P: a: int = 1\nspace = {}\n"
        "exec('def __repr__(self): return str(1)', space)\nP.__repr__ = space['__repr__']\n"
        "def f(x): return repr(P())",
        ("str(1)", "str(2)"),
    ),
    "order by attrs": (_ATTRS, ("define", "define(order=True)")),
    "representation by attrs": (_ATTRS, ("define", "define(repr=False)")),
    "initialisation by attrs": (_ATTRS, ("define", "define(init=False)")),
    "representation of a field": (
        _ATTRS.replace("= 1", "= attrs.field(default=1, repr=lambda a: 'a')"),
        ("'a'", "'b'"),
    ),
    "equality of a field": (
        _ATTRS.replace("= 1", "= attrs.field(default=1, eq=lambda a: -a)"),
        ("-a", "+a"),
    ),
    "fields of a validator": (
        f"{_PYDANTIC}  @pydantic.field_validator('a')\n  @classmethod\n"
        "  def v(cls, a): return a + 1\ndef f(x): return P(a=1, b=1)",
        ("validator('a')", "validator('b')"),
    ),
    "mode of a validator": (
        f"{_PYDANTIC}  @pydantic.field_validator('a', mode='before')\n  @classmethod\n"
        "  def v(cls, a): return a + 1\ndef f(x): return P(a=1, b=1)",
        ("'before'", "'after'"),
    ),
    "order of validators": (
        f"{_PYDANTIC}  @pydantic.field_validator('a')\n  @classmethod\n"
        "  def v(cls, a): return a + 1\n  @pydantic.field_validator('a')\n  @classmethod\n"
        "  def w(cls, a): return a * 2\n"
        "def f(x): return P(a=1, b=1)",
        None,
    ),
    "use of a serializer": (
        f"{_PYDANTIC}  @pydantic.field_serializer('a', when_used='json')\n"
        "  def s(self, a): return 1\ndef f(x): return P().model_dump()",
        ("'json'", "'always'"),
    ),
    "body of a validated call": (
        "import pydantic\n@pydantic.validate_call\ndef g(a: int): return a + 1\n"
        "def f(x): return g('1')",
        ("+ 1", "+ 2"),
    ),
    "annotation of a validated call": (
        "import pydantic\n@pydantic.validate_call\ndef g(a: int): return a\n"
        "def f(x): return g('1')",
        ("int", "str"),
    ),
    "configuration of a validated call": (
        "import pydantic\n@pydantic.validate_call(config={'strict': False})\n"
        "def g(a: int): return a\ndef f(x): return g('1')",
        ("False", "True"),
    ),
}


def _other(state: str, edit: tuple[str, str] | None) -> str:
    if edit is not None:
        return state.replace(*edit)
    head, first, second = state.split("  @pydantic")
    second, _, end = second.partition("def f")
    return f"{head}  @pydantic{second}  @pydantic{first}def f{end}"


@pytest.mark.parametrize("name", TOLD)
def test_what_a_model_was_told_counts(name: str) -> None:
    state, edit = TOLD[name]
    assert key_of(state).digest == key_of(state).digest
    assert key_of(state).digest != key_of(_other(state, edit)).digest


@pytest.mark.parametrize(
    ("state", "edit"),
    [
        (_ATTRS, ("  a: int", "  'Why.'\n  a: int")),
        (
            f"{_PYDANTIC}  @pydantic.computed_field\n  @property\n  def c(self) -> int:\n"
            "    'Why.'\n    return 1\ndef f(x): return P().c",
            ("Why", "How"),
        ),
        (
            "import pydantic\nn = 1\n@pydantic.validate_call\ndef g(a: int): return a\n"
            "def f(x): return g('1')",
            ("n = 1", "n = 2"),
        ),
    ],
    ids=["docstring of attrs", "docstring of pydantic", "namespace of a validated call"],
)
def test_what_makes_no_difference_to_a_model_does_not(state: str, edit: tuple[str, str]) -> None:
    assert key_of(state).digest == key_of(state.replace(*edit)).digest
