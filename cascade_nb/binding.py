"""From the arguments of a call to a mapping by parameter, with defaults, at the speed of a call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

Binder = Callable[..., dict[str, Any]]


def binder_of(function: Callable[..., Any]) -> Binder:
    """What takes the arguments of `function` and gives them by name, defaults filled in.

    It raises the `TypeError` that calling the function with the wrong arguments raises. Defaults
    are those that the function has at the call.
    """
    if isinstance(function, FunctionType):
        return _compiled(function)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return lambda *args, **kwargs: {"args": args, **kwargs}

    def bind(*args: Any, **kwargs: Any) -> dict[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    return bind


def parameters_of(function: Callable[..., Any]) -> frozenset[str]:
    """The names that `binder_of` gives arguments, where they can be told."""
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return frozenset()


def _compiled(function: FunctionType) -> Binder:
    """A function of the same signature whose body is ``return locals()``: 20 times as fast.

    `inspect.Signature.bind` is interpreted; a real call is bound by the interpreter itself.
    """
    code = function.__code__
    positional = code.co_varnames[: code.co_argcount]
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    rest = list(code.co_varnames[code.co_argcount + code.co_kwonlyargcount :])
    parameters = list(positional)
    if code.co_posonlyargcount:
        parameters.insert(code.co_posonlyargcount, "/")
    if code.co_flags & inspect.CO_VARARGS:
        parameters.append("*" + rest.pop(0))
    elif keyword_only:
        parameters.append("*")
    parameters.extend(keyword_only)
    if code.co_flags & inspect.CO_VARKEYWORDS:
        parameters.append("**" + rest.pop(0))
    # No parameter can have this name by accident.
    namespace: dict[str, Any] = {"__bound_arguments__": locals}
    source = f"def bind({', '.join(parameters)}): return __bound_arguments__()"
    exec(source, namespace)  # noqa: S102 - nothing but the names of parameters is in it
    bind: FunctionType = namespace["bind"]
    bind.__name__, bind.__qualname__ = function.__name__, function.__qualname__

    def bound(*args: Any, **kwargs: Any) -> dict[str, Any]:
        bind.__defaults__ = function.__defaults__
        bind.__kwdefaults__ = function.__kwdefaults__
        arguments: dict[str, Any] = bind(*args, **kwargs)
        return arguments

    return bound
