"""Openers for the values of Python's own types and standard library."""

from __future__ import annotations

import collections
import contextvars
import datetime
import decimal
import enum
import fractions
import functools
import gc
import io
import logging
import pathlib
import random
import re
import struct
import sys
import threading
import types
import uuid
import weakref
import zoneinfo
from array import array
from typing import TYPE_CHECKING, Any

from cascade_nb.errors import FingerprintError
from cascade_nb.fingerprint.instances import open_reduced
from cascade_nb.fingerprint.kinds import (
    EXACT,
    Kind,
    Opened,
    derived,
    exactly,
    refuse,
    sorted_state,
)

if TYPE_CHECKING:
    from cascade_nb.fingerprint.walker import Walker


# Numbers, times and names


@exactly(decimal.Decimal)
def _decimal(value: decimal.Decimal, walker: Walker) -> Opened:
    return b"decimal", (str(value),)


@exactly(fractions.Fraction)
def _fraction(value: fractions.Fraction, walker: Walker) -> Opened:
    return b"fraction", (value.numerator, value.denominator)


@exactly(datetime.date)
def _date(value: datetime.date, walker: Walker) -> Opened:
    return b"date", (value.toordinal(),)


@exactly(datetime.time)
def _time(value: datetime.time, walker: Walker) -> Opened:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return b"time", (*clock, value.tzinfo)


@exactly(datetime.datetime)
def _datetime(value: datetime.datetime, walker: Walker) -> Opened:
    clock = (value.hour, value.minute, value.second, value.microsecond, value.fold)
    return b"datetime", (value.toordinal(), *clock, value.tzinfo)


@exactly(datetime.timedelta)
def _timedelta(value: datetime.timedelta, walker: Walker) -> Opened:
    return b"timedelta", (value.days, value.seconds, value.microseconds)


@exactly(datetime.timezone)
def _timezone(value: datetime.timezone, walker: Walker) -> Opened:
    return b"timezone", (value.utcoffset(None), value.tzname(None))


@exactly(zoneinfo.ZoneInfo)
def _zone(value: zoneinfo.ZoneInfo, walker: Walker) -> Opened:
    if value.key is None:
        raise FingerprintError("a time zone read from a file has no name to count by")
    return b"zoneinfo", (value.key,)


@exactly(uuid.UUID)
def _uuid(value: uuid.UUID, walker: Walker) -> Opened:
    return b"uuid", (value.int, value.is_safe.name)


def _path(value: pathlib.PurePath, walker: Walker) -> Opened:
    return type(value).__name__.encode(), (str(value),)


exactly(
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
    pathlib.PosixPath,
    pathlib.WindowsPath,
)(_path)


@derived(enum.Enum, identity=False)
def _enum(value: enum.Enum, walker: Walker) -> Opened:
    return b"enum", (type(value), value._name_, value._value_)


@exactly(re.Pattern)
def _pattern(value: re.Pattern[Any], walker: Walker) -> Opened:
    return b"pattern", (value.pattern, int(value.flags))


@exactly(struct.Struct)
def _struct(value: struct.Struct, walker: Walker) -> Opened:
    return b"struct", (value.format,)


@exactly(range)
def _range(value: range, walker: Walker) -> Opened:
    return b"range", (value.start, value.stop, value.step)


@exactly(slice)
def _slice(value: slice, walker: Walker) -> Opened:
    return b"slice", (value.start, value.stop, value.step)


@derived(logging.Logger, identity=False)
def _logger(value: logging.Logger, walker: Walker) -> Opened:
    return b"logger", (value.name,)


# Containers


@exactly(frozenset)
def _frozenset(value: frozenset[Any], walker: Walker) -> Opened:
    head, members = walker.members(value)
    return b"frozenset" + head, members


@exactly(set, identity=True)
def _set(value: set[Any], walker: Walker) -> Opened:
    head, members = walker.members(value)
    return b"set" + head, members


@exactly(collections.deque, identity=True)
def _deque(value: collections.deque[Any], walker: Walker) -> Opened:
    return b"deque", (value.maxlen, *value)


@exactly(collections.OrderedDict, identity=True)
def _ordered_dict(value: collections.OrderedDict[Any, Any], walker: Walker) -> Opened:
    return b"OrderedDict", (sorted_state(vars(value).items()), *value, *value.values())


@exactly(collections.defaultdict, identity=True)
def _defaultdict(value: collections.defaultdict[Any, Any], walker: Walker) -> Opened:
    return b"defaultdict", (value.default_factory, *value, *value.values())


@exactly(collections.Counter, identity=True)
def _counter(value: collections.Counter[Any], walker: Walker) -> Opened:
    return b"Counter", (sorted_state(vars(value).items()), *value, *value.values())


@exactly(types.SimpleNamespace, identity=True)
def _namespace(value: types.SimpleNamespace, walker: Walker) -> Opened:
    return b"SimpleNamespace", sorted_state(vars(value).items())


@exactly(types.MappingProxyType)
def _mapping_proxy(value: types.MappingProxyType[Any, Any], walker: Walker) -> Opened:
    # The mapping beneath has no public name, and it is what others may change.
    return b"mappingproxy", gc.get_referents(value)


def _view_of_dict(value: Any, walker: Walker) -> Opened:
    return type(value).__name__.encode(), gc.get_referents(value.mapping)


exactly(type({}.keys()), type({}.values()), type({}.items()))(_view_of_dict)


@exactly(types.CellType, identity=True)
def _cell(value: types.CellType, walker: Walker) -> Opened:
    try:
        return b"cell", (value.cell_contents,)
    except ValueError:
        return b"empty cell", ()


# Buffers


@exactly(bytearray, identity=True)
def _bytearray(value: bytearray, walker: Walker) -> Opened:
    head = walker.content(value)
    return b"bytearray" + head, walker.memory.place_buffer(value)


@exactly(array, identity=True)
def _array(value: array[Any], walker: Walker) -> Opened:
    head = value.typecode.encode() + walker.content(memoryview(value).cast("B"))
    return b"array" + head, walker.memory.place_buffer(value)


@exactly(memoryview, identity=True)
def _memoryview(value: memoryview, walker: Walker) -> Opened:
    contiguous = value if value.c_contiguous else memoryview(value.tobytes())
    flat = contiguous.cast("B") if contiguous.nbytes else memoryview(b"")
    shared = walker.memory.place_view(value)
    return b"memoryview" + walker.content(flat), (value.format, value.shape, *shared)


# Callables that are no functions


@exactly(types.MethodType)
def _method(value: types.MethodType, walker: Walker) -> Opened:
    generator = _global_generator(value.__self__)
    if generator is not None:
        return b"builtin", (generator, value.__name__, None)
    return b"method", (value.__func__, value.__self__)


def _global_generator(owner: object) -> str | None:
    """The module whose functions draw from `owner`, a generator that moves at every draw.

    ``random.random`` is a method of a hidden instance; it counts by its name, without its state.
    """
    if owner is getattr(random, "_inst", None):
        return "random"
    mtrand = sys.modules.get("numpy.random.mtrand")
    if mtrand is not None and owner is getattr(mtrand, "_rand", None):
        return "numpy.random"
    return None


@exactly(types.BuiltinFunctionType)
def _builtin(value: Any, walker: Walker) -> Opened:
    owner = value.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        module = value.__module__ or getattr(owner, "__name__", "")
        return b"builtin", (module, value.__qualname__, owner)
    generator = _global_generator(owner)
    if generator is not None:
        return b"builtin", (generator, value.__name__, None)
    return b"builtin method", (value.__name__, owner)


def _descriptor(value: Any, walker: Walker) -> Opened:
    return b"descriptor", (value.__objclass__, value.__name__)


exactly(
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)(_descriptor)


@exactly(types.MethodWrapperType)
def _method_wrapper(value: Any, walker: Walker) -> Opened:
    return b"method wrapper", (value.__name__, value.__self__)


@exactly(staticmethod, classmethod)
def _wrapped_function(value: Any, walker: Walker) -> Opened:
    return type(value).__name__.encode(), (value.__func__,)


@exactly(property)
def _property(value: property, walker: Walker) -> Opened:
    return b"property", (value.fget, value.fset, value.fdel)


@exactly(functools.cached_property)
def _cached_property(value: Any, walker: Walker) -> Opened:
    return b"cached_property", (value.func, value.attrname)


@exactly(type(functools.lru_cache(lambda: None)))
def _lru_cache(value: Any, walker: Walker) -> Opened:
    parameters = value.cache_parameters()
    return b"lru_cache", (value.__wrapped__, parameters["maxsize"], parameters["typed"])


@exactly(types.CodeType)
def _code(value: types.CodeType, walker: Walker) -> Opened:
    names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
    counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
    return b"code", (value.co_name, value.co_code, value.co_consts, names, counts)


# Things that carry state of their own kind


@derived(BaseException)
def _exception(value: BaseException, walker: Walker) -> Opened:
    head, children = open_reduced(value, walker)
    chain = (value.__cause__, value.__context__, value.__suppress_context__)
    return b"exception " + head, (*children, *chain)


EXACT[io.BytesIO] = EXACT[io.StringIO] = Kind(open_reduced, identity=True)


# Things whose answer changes, or lies outside of this process

refuse(types.GeneratorType, types.CoroutineType, reason="it runs once and is then exhausted")
refuse(types.AsyncGeneratorType, reason="it runs once and is then exhausted")
refuse(io.IOBase, reason="an open file changes as it is read")
refuse(type(threading.Lock()), type(threading.RLock()), reason="a lock has no value")
refuse(threading.Condition, threading.Event, threading.Semaphore, reason="a lock has no value")
refuse(threading.Thread, threading.local, reason="what belongs to a thread has no value")
refuse(contextvars.ContextVar, contextvars.Context, reason="its value depends on who asks")
refuse(weakref.ref, *weakref.ProxyTypes, reason="what it points to may be gone at any time")
refuse(types.FrameType, types.TracebackType, reason="it belongs to one run of this process")
