"""Arguments by name, as the interpreter itself would bind them."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import pytest

from cascade_nb.binding import binder_of


def plain(a: int, b: int = 2) -> None: ...
def rich(
    a: Any, b: Any = 2, /, c: Any = 3, *rest: Any, d: Any, e: Any = 5, **more: Any
) -> None: ...
def keywords(*, only: int = 1) -> None: ...
def packed(*args: Any, **kwargs: Any) -> None: ...


CASES = [
    (plain, (1,), {}),
    (plain, (), {"b": 5, "a": 1}),
    (rich, (1,), {"d": 4}),
    (rich, (1, 7, 8, 9, 10), {"d": 4, "z": 1, "y": 2}),
    (keywords, (), {}),
    (packed, (1, 2), {"args": 3}),
]


@pytest.mark.parametrize(("function", "args", "kwargs"), CASES)
def test_equals_inspect(function: Any, args: Any, kwargs: Any) -> None:
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    assert binder_of(function)(*args, **kwargs) == bound.arguments


def test_complains_as_the_function_itself_does() -> None:
    with pytest.raises(TypeError) as theirs:
        plain()  # type: ignore[call-arg]
    with pytest.raises(TypeError) as ours:
        binder_of(plain)()
    assert str(ours.value) == str(theirs.value)


def test_defaults_are_those_of_the_moment() -> None:
    def function(a: int = 1) -> None: ...

    bind = binder_of(function)
    assert bind() == {"a": 1}
    function.__defaults__ = (9,)
    assert bind() == {"a": 9}


def test_partials_callables_and_builtins_without_signature() -> None:
    class Callable:
        def __call__(self, x: int, y: int = 1) -> None: ...

    assert binder_of(functools.partial(plain, b=7))(1) == {"a": 1, "b": 7}
    assert binder_of(Callable())(3) == {"x": 3, "y": 1}
    assert binder_of(dict.fromkeys)([1]) == {"iterable": [1], "value": None}
