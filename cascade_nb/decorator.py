"""`@cached`: a function whose results are kept, and served while they would be the same."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import pickle
import sys
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import ModuleType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from cascade_nb import config
from cascade_nb.arguments import called
from cascade_nb.binding import binder_of, parameters_of
from cascade_nb.calls import Call, calls_in, settle, with_values
from cascade_nb.errors import ConfigurationError, FingerprintError
from cascade_nb.execution import Engine, Run, running_engine
from cascade_nb.fingerprint.keys import Memo, code_digest, reads_digest
from cascade_nb.loop import here, on_loop, run_sync
from cascade_nb.policies.adapted import as_task_policy
from cascade_nb.policies.task_keys import key_of
from cascade_nb.protocols import CachePolicy, Inspects, TaskPolicy
from cascade_nb.records import Entry
from cascade_nb.streams import (
    Stream,
    exhausted,
    exhausted_async,
    replay_or_record,
    replay_or_record_async,
)
from cascade_nb.tasks import Explanation, Options, Report, Retry, Status, Task, TaskKind
from cascade_nb.units import parse_duration

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Stats:
    """What the cache did for one function in this session.

    `seconds_saved` is the time that the results served took when they were computed; `bytes`
    the size of the results stored and served.
    """

    hits: int = 0
    misses: int = 0
    bypasses: int = 0
    seconds_saved: float = 0.0
    bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def count(self, report: Report) -> None:
        """Add one run."""
        with self._lock:
            self.hits += report.status is Status.HIT
            self.misses += report.status is Status.MISS
            self.bypasses += report.status is Status.BYPASS
            self.seconds_saved += report.saved
            self.bytes += report.entry.size if report.entry is not None else 0


class Cached(Generic[P, T]):
    """A plain function with a cache: call it and get the value.

    Bound to an instance, as a method is, it is a view that passes the instance on.
    """

    # What `inspect` and `pickle` ask of a function.
    __name__: str
    __qualname__: str
    __module__: str
    __wrapped__: Callable[P, T]

    def __init__(
        self,
        function: Callable[P, T],
        options: Options,
        name: str | None,
        policy: TaskPolicy | None,
        engine: Engine | None,
    ) -> None:
        functools.update_wrapper(self, _named(function))
        self.__wrapped__ = function
        self.stats = Stats()
        self._options = options
        self._name = name or self.__qualname__.replace("<locals>.", "")
        self._policy = policy
        self._own_engine = engine
        self._bind = binder_of(function)
        self._self: tuple[Any, ...] = ()
        self._memo = Memo()
        # The code object that the task's id was made for: code never changes, functions may.
        self._identity: tuple[Any, str] = (None, "")

    @property
    def __cascade_key_parts__(self) -> dict[str, str]:
        """What keys of other functions that call this one see besides its code."""
        parts = {"version": self._options.version or ""}
        if self._options.reads:
            parts["reads"] = reads_digest(self._options.reads)
        return parts

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The value, computed or served."""
        __tracebackhide__ = True
        value: T = run_sync(self._value(self._self + args, kwargs))
        return value

    def __get__(self, instance: object, owner: type | None = None) -> Cached[..., T]:
        if instance is None:
            return self
        bound: Cached[..., T] = object.__new__(type(self))
        bound.__dict__.update(self.__dict__, _self=(instance,), __self__=instance)
        return bound

    def __repr__(self) -> str:
        return f"<cached {self.__wrapped__!r}>"

    def __reduce__(self) -> str | tuple[Any, ...]:
        module = sys.modules.get(self.__module__)
        if _at(module, self.__qualname__) is self:
            return self.__qualname__
        if self._policy is not None or self._own_engine is not None:
            raise pickle.PicklingError(f"{self!r} has a policy or an engine of its own")
        return _rebuilt, (self.__wrapped__, self._options, self._name, self._self)

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """The awaitable form of a call."""
        return self._call(self._self + args, kwargs)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """What a call with these arguments is asked under, 64 hex digits; runs nothing.

        Raises:
            FingerprintError: something that the call depends on cannot be fingerprinted.
        """
        return key_of(self._inspected(args, kwargs)).digest

    async def peek(self, *args: P.args, **kwargs: P.kwargs) -> Entry | None:
        """The entry that a call would be served from, without loading it; None for a miss."""
        task = self._inspected(args, kwargs)
        inspects = self._inspects()
        return None if inspects is None else await inspects.find_entry(task)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute the value anew, and store it."""
        return await self._value(self._self + args, kwargs, refresh=True)

    async def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Drop the stored result of such a call; whether there was one."""
        task = self._inspected(args, kwargs)
        inspects = self._inspects()
        return False if inspects is None else await inspects.forget(task)

    async def explain(self, *args: P.args, **kwargs: P.kwargs) -> Explanation:
        """What a call would be now, hit or miss, and why; runs nothing."""
        try:
            task = self._inspected(args, kwargs)
            inspects = self._inspects()
            if inspects is None:
                return Explanation(Status.BYPASS, "its policy gives no reasons")
            return await inspects.explain(task)
        except FingerprintError as error:
            return Explanation(Status.BYPASS, str(error))

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call[T]:
        # As any function, an async one complains of wrong arguments when it is called.
        self._bind(*args, **kwargs)
        return Call(
            lambda: self._value(args, kwargs),
            self.__qualname__,
            find=lambda: self._entry(args, kwargs),
        )

    async def _entry(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry | None:
        """The entry of such a call, whose own Calls are awaited as its key needs their values."""
        inspects = self._inspects()
        if inspects is None:
            return None
        calls = calls_in(args, kwargs)
        if calls:
            await on_loop(settle(calls))
        try:
            return await inspects.find_entry(self._task(with_values(args), with_values(kwargs)))
        except FingerprintError:
            return None

    async def _value(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, refresh: bool = False
    ) -> T:
        engine = self._engine()
        calls = calls_in(args, kwargs)
        if not calls:
            return await self._perform(engine, self._task(args, kwargs, refresh))
        async with Run(engine.bus):
            await on_loop(settle(calls))
            task = self._task(with_values(args), with_values(kwargs), refresh)
            return await self._perform(engine, task)

    async def _perform(self, engine: Engine, task: Task) -> T:
        performance = await engine.perform(task, policy=self._policy)
        self.stats.count(performance.report)
        value: T = performance.value
        return value

    def _task(self, args: tuple[Any, ...], kwargs: dict[str, Any], refresh: bool = False) -> Task:
        function = self.__wrapped__
        return Task(
            id=self._task_id(),
            name=self._name,
            kind=TaskKind.FUNCTION,
            subject=function,
            inputs=self._bind(*args, **kwargs),
            call=functools.partial(function, *args, **kwargs),
            asynchronous=self._asynchronous,
            options=replace(self._options, refresh=True) if refresh else self._options,
            memo=self._memo,
        )

    def _task_id(self) -> str:
        code = getattr(self.__wrapped__, "__code__", None)
        known, task_id = self._identity
        if code is None or code is not known:
            digest = code_digest(self.__wrapped__)
            task_id = f"{self.__module__}:{self.__qualname__}@{digest[:16]}"
            self._identity = (code, task_id)
        return task_id

    _asynchronous = False

    def _inspected(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Task:
        """The task of a call that is only asked about: no Call in its arguments is run for it."""
        args = self._self + args
        for call in calls_in(args, kwargs):
            if not call.done():
                raise FingerprintError(
                    f"{self._name} has no key yet: its argument {call!r} has to be awaited first"
                )
        return self._task(with_values(args), with_values(kwargs))

    def _engine(self) -> Engine:
        return self._own_engine or running_engine() or config.engine()

    def _inspects(self) -> Inspects | None:
        policy = self._policy if self._policy is not None else self._engine().policy
        return policy if isinstance(policy, Inspects) else None


class CachedAsync(Cached[P, T]):
    """An async function with a cache: call it and get a `Call`, which runs when awaited."""

    _asynchronous = True
    # What asyncio.iscoroutinefunction looks for; from 3.12 on there is a public mark for it.
    _is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:  # type: ignore[override]
        """The awaitable of the value."""
        return self._call(self._self + args, kwargs)


class CachedGenerator(Cached[P, T]):
    """A generator function with a cache; it streams on a miss and replays on a hit."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The generator; it is looked up when it is first asked for an item."""
        stream, task = self._stream(self._self + args, kwargs)
        generator: Any = replay_or_record(stream, task.call)
        return generator  # type: ignore[no-any-return]

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Call[T]:
        """Not for generators: iterate over the call instead."""
        raise TypeError(f"{self._name} is a generator function: iterate over its call")

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the body to its end and store what it yields; gives a generator of that."""
        stream, task = self._stream(self._self + args, kwargs, refresh=True)
        generator: Any = await here(lambda: exhausted(replay_or_record(stream, task.call)))
        return generator  # type: ignore[no-any-return]

    def _stream(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], refresh: bool = False
    ) -> tuple[Stream, Task]:
        engine = self._engine()
        run_sync(on_loop(settle(calls))) if (calls := calls_in(args, kwargs)) else None
        task = self._task(with_values(args), with_values(kwargs), refresh)
        policy = self._policy if self._policy is not None else engine.task_policy
        return Stream(engine, policy, task, on_report=self.stats.count), task


class CachedAsyncGenerator(CachedGenerator[P, T]):
    """An async generator function with a cache; it streams on a miss and replays on a hit."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The async generator; it is looked up when it is first asked for an item."""
        stream, task = self._stream(self._self + args, kwargs)
        generator: Any = replay_or_record_async(stream, task.call)
        return generator  # type: ignore[no-any-return]

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the body to its end and store what it yields; gives an async generator of that."""
        stream, task = self._stream(self._self + args, kwargs, refresh=True)
        generator: Any = await exhausted_async(replay_or_record_async(stream, task.call))
        return generator  # type: ignore[no-any-return]


@overload
def cached(function: Callable[P, Coroutine[Any, Any, T]], /) -> CachedAsync[P, T]: ...
@overload
def cached(function: Callable[P, T], /) -> Cached[P, T]: ...
@overload
def cached(
    *,
    ttl: float | str | timedelta | None = ...,
    ignore: Iterable[str] = ...,
    version: str | None = ...,
    name: str | None = ...,
    policy: CachePolicy | TaskPolicy | None = ...,
    retry: Retry | None = ...,
    reads: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = ...,
    engine: Engine | None = ...,
) -> Callable[[Callable[P, T]], Cached[P, T]]: ...
def cached(
    function: Any = None,
    /,
    *,
    ttl: float | str | timedelta | None = None,
    ignore: Iterable[str] = (),
    version: str | None = None,
    name: str | None = None,
    policy: CachePolicy | TaskPolicy | None = None,
    retry: Retry | None = None,
    reads: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] = (),
    engine: Engine | None = None,
) -> Any:
    """Keep the results of a function and serve them while they would be the same.

    Async functions stay async: a call gives a `Call`, an awaitable. Plain functions stay plain,
    generators stream. The key of a call covers the code of the function and of all that it
    reaches, the globals and arguments by content, and the files that it read.

    Args:
        function: an async or plain function, generator function, method or other callable.
        ttl: how long a result is served: seconds, a timedelta, or "90s", "15m", "12h", "7d".
        ignore: names of arguments or globals left out of the key.
        version: any text; part of the key.
        name: what people see; by default the qualified name. Not in the key.
        policy: a `CachePolicy` in place of the engine's.
        retry: how often to try a body that raises; by default once.
        reads: paths and globs whose content is part of the key.
        engine: an `Engine` in place of the session's.

    Raises:
        ConfigurationError: an option is not valid; it is a `ValueError` too.
    """
    if isinstance(ignore, str):
        raise ConfigurationError(f"ignore is a list of names: ignore=[{ignore!r}]")
    options = Options(
        ttl=None if ttl is None else parse_duration(ttl, what="ttl"),
        ignore=frozenset(_checked_names(ignore)),
        version=_checked_text("version", version),
        reads=_checked_paths(reads),
        retry=_checked_retry(retry),
    )
    if engine is not None and not isinstance(engine, Engine):
        raise ConfigurationError(f"engine must be an Engine, not {called(engine)}")
    own_policy = None if policy is None else as_task_policy(policy)
    own_name = _checked_text("name", name)

    def decorate(target: Any) -> Any:
        if isinstance(target, staticmethod | classmethod):
            return type(target)(decorate(target.__func__))
        kind = _class_for(target)
        _check_paths_of(options.ignore, target)
        return kind(target, options, own_name, own_policy, engine)

    return decorate if function is None else decorate(function)


def _class_for(function: Any) -> type[Cached[..., Any]]:
    """The kind of cached function that behaves as `function` does."""
    if isinstance(function, Cached):
        raise ConfigurationError(f"{function.__qualname__} is cached already")
    if not callable(function) or isinstance(function, type):
        what = "a class" if isinstance(function, type) else repr(function)
        raise ConfigurationError(f"@cached takes a function, not {what}")
    body = function
    while isinstance(body, functools.partial):
        body = body.func
    if not inspect.isroutine(body):
        body = type(body).__call__
    if inspect.isasyncgenfunction(body):
        return CachedAsyncGenerator
    if inspect.isgeneratorfunction(body):
        return CachedGenerator
    if inspect.iscoroutinefunction(body):
        return CachedAsync
    return Cached


def _named(function: Any) -> Any:
    """What gives `function`, which may be a partial or a callable instance, its name and module."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__qualname__") else type(function)


def _at(module: object, qualname: str) -> object:
    found = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _rebuilt(
    function: Callable[..., Any], options: Options, name: str, prefix: tuple[Any, ...]
) -> Cached[..., Any]:
    made = _class_for(function)(function, options, name, None, None)
    return made.__get__(prefix[0]) if prefix else made


def _checked_names(names: Iterable[str]) -> Iterable[str]:
    if not isinstance(names, Iterable):
        raise ConfigurationError(f"ignore is a list of names, not {called(names)}")
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ConfigurationError(f"ignore takes names of arguments or globals, not {name!r}")
        yield name


def _check_paths_of(names: Iterable[str], function: Any) -> None:
    """Dotted names lead to attributes of modules and classes: below a value, all counts or none."""
    for name in names:
        root, dot, _ = name.partition(".")
        if dot and _is_value(root, function):
            raise ConfigurationError(
                f"ignore takes names of arguments or globals, not {name!r}, which is a part of "
                f"one: ignore=[{root!r}]"
            )


def _is_value(name: str, function: Any) -> bool:
    """Whether `name` is an argument of `function`, or a global that has no names in it."""
    if name in parameters_of(function):
        return True
    found = getattr(function, "__globals__", {}).get(name)
    return found is not None and not isinstance(found, type | ModuleType)


def _checked_text(option: str, text: str | None) -> str | None:
    if text is not None and not isinstance(text, str):
        raise ConfigurationError(f"{option} must be a str, not {text!r}")
    return text


def _checked_paths(
    reads: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
) -> tuple[str, ...]:
    if not isinstance(reads, str | os.PathLike | Iterable):
        raise ConfigurationError(f"reads takes paths and globs, not {called(reads)}")
    paths = (reads,) if isinstance(reads, str | os.PathLike) else tuple(reads)
    for path in paths:
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError(f"reads takes paths and globs, not {path!r}")
    return tuple(os.fspath(path) for path in paths)


def _checked_retry(retry: Retry | None) -> Retry:
    if retry is None:
        return Options().retry
    if not isinstance(retry, Retry):
        raise ConfigurationError(
            f"retry must be a Retry(max_attempts, delay, backoff), not {retry!r}"
        )
    return retry
