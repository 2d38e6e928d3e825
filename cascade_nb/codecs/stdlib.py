"""Values of the standard library."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import fractions
import gc
import ipaddress
import pathlib
import re
import sys
import types
import uuid
import zoneinfo
from typing import Any

from cascade_nb.codecs.reader import Reader
from cascade_nb.codecs.refusal import RefusedError, UnknownTypeError, step
from cascade_nb.codecs.tree import STDLIB, Kind, register, register_parts
from cascade_nb.codecs.writer import Writer
from cascade_nb.errors import CodecError

# -- numbers, dates, names


def _decimal_parts(value: decimal.Decimal) -> tuple[Any, ...]:
    # Not str(): it follows the context's `capitals`.
    sign, digits, exponent = value.as_tuple()
    return sign, "".join(map(str, digits)), exponent


def _decimal(sign: int, digits: str, exponent: Any) -> decimal.Decimal:
    return decimal.Decimal((sign, tuple(map(int, digits)), exponent))


def _fraction(numerator: int, denominator: int) -> fractions.Fraction:
    return fractions.Fraction(numerator, denominator)


def _time_parts(value: datetime.time | datetime.datetime) -> tuple[Any, ...]:
    return (value.hour, value.minute, value.second, value.microsecond, value.fold, value.tzinfo)


def _time(h: int, m: int, s: int, us: int, fold: int, tz: Any) -> datetime.time:
    return datetime.time(h, m, s, us, tz, fold=fold)


def _datetime_parts(value: datetime.datetime) -> tuple[Any, ...]:
    return (value.year, value.month, value.day, *_time_parts(value))


def _datetime(
    y: int, mo: int, d: int, h: int, m: int, s: int, us: int, fold: int, tz: Any
) -> datetime.datetime:
    return datetime.datetime(y, mo, d, h, m, s, us, tz, fold=fold)


def _register_timed(tag: int, cls: type, take: Any, build: Any, numbers: int) -> None:
    """Times: numbers, and a tzinfo of any kind (it may be an instance of the user's)."""

    def write(writer: Writer, value: Any) -> None:
        *parts, tz = take(value)
        for part in parts:
            writer.write(part)
        writer.write(tz)

    def read(reader: Reader) -> Any:
        parts = [reader.read_exact(int) for _ in range(numbers)]
        return build(*parts, reader.read())

    register(Kind(tag, write, read), cls)


def _timezone_parts(value: datetime.timezone) -> tuple[Any, ...]:
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]  # only there is the name
    return offset, name[0] if name else None


def _timezone(offset: datetime.timedelta, name: str | None) -> datetime.timezone:
    return datetime.timezone(offset) if name is None else datetime.timezone(offset, name)


def _zone_parts(value: zoneinfo.ZoneInfo) -> tuple[Any, ...]:
    if value.key is None:
        raise RefusedError(value, "it was read from a file and has no key")
    return (value.key,)


def _uuid(data: bytes, is_safe: int | None) -> uuid.UUID:
    return uuid.UUID(bytes=data, is_safe=uuid.SafeUUID(is_safe))


register_parts(STDLIB + 0x00, decimal.Decimal, _decimal_parts, _decimal, int, str, (int, str))
register_parts(
    STDLIB + 0x01,
    fractions.Fraction,
    lambda value: (value.numerator, value.denominator),
    _fraction,
    int,
    int,
)
register_parts(
    STDLIB + 0x02,
    datetime.date,
    lambda value: (value.year, value.month, value.day),
    datetime.date,
    int,
    int,
    int,
)
_register_timed(STDLIB + 0x03, datetime.time, _time_parts, _time, 5)
_register_timed(STDLIB + 0x04, datetime.datetime, _datetime_parts, _datetime, 8)
register_parts(
    STDLIB + 0x05,
    datetime.timedelta,
    lambda value: (value.days, value.seconds, value.microseconds),
    datetime.timedelta,
    int,
    int,
    int,
)
register_parts(
    STDLIB + 0x06,
    datetime.timezone,
    _timezone_parts,
    _timezone,
    datetime.timedelta,
    (str, type(None)),
)
register_parts(STDLIB + 0x07, zoneinfo.ZoneInfo, _zone_parts, zoneinfo.ZoneInfo, str)
register_parts(
    STDLIB + 0x08,
    uuid.UUID,
    lambda value: (value.bytes, value.is_safe.value),
    _uuid,
    bytes,
    (int, type(None)),
)
for _offset, _path in enumerate(
    (
        pathlib.PurePosixPath,
        pathlib.PureWindowsPath,
        pathlib.PosixPath,
        pathlib.WindowsPath,
        ipaddress.IPv4Address,
        ipaddress.IPv6Address,
        ipaddress.IPv4Network,
        ipaddress.IPv6Network,
        ipaddress.IPv4Interface,
        ipaddress.IPv6Interface,
    )
):
    register_parts(STDLIB + 0x10 + _offset, _path, lambda value: (str(value),), _path, str)


def _compile(pattern: str | bytes, flags: int) -> re.Pattern[Any]:
    return re.compile(pattern, flags)


register_parts(
    STDLIB + 0x09,
    re.Pattern,
    lambda value: (value.pattern, int(value.flags) & ~int(re.DEBUG)),
    _compile,
    (str, bytes),
    int,
)

# -- containers


def _plain_subclass(value: Any) -> None:
    """Refuse attributes that someone hung on a container: they have no place in its encoding."""
    if getattr(value, "__dict__", None):
        raise RefusedError(value, "it carries attributes of its own")


def _write_deque(writer: Writer, value: collections.deque[Any]) -> None:
    writer.write(value.maxlen)
    writer.sequence(list(value))


def _read_deque(reader: Reader) -> collections.deque[Any]:
    number = reader.reserve()
    value: collections.deque[Any] = collections.deque(maxlen=reader.read_exact(int, type(None)))
    reader.fill(number, value)
    value.extend(reader.sequence())
    return value


def _write_mapping(writer: Writer, value: Any) -> None:
    _plain_subclass(value)
    writer.mapping(value)


def _read_mapping_into(reader: Reader, value: dict[Any, Any]) -> None:
    keys = reader.sequence()
    for key, item in zip(keys, reader.sequence(), strict=True):
        dict.__setitem__(value, key, item)
    if len(value) != len(keys):
        raise CodecError("damaged encoding: a dict has a key twice")


def _write_ordered(writer: Writer, value: collections.OrderedDict[Any, Any]) -> None:
    writer.mapping(value)
    with step(".__dict__"):  # where torch tells the versions of a model's state
        writer.mapping(vars(value))


def _read_ordered(reader: Reader) -> collections.OrderedDict[Any, Any]:
    value: collections.OrderedDict[Any, Any] = collections.OrderedDict()
    reader.fill(reader.reserve(), value)
    value.update(reader.mapping())
    _read_mapping_into(reader, vars(value))
    return value


def _read_counter(reader: Reader) -> collections.Counter[Any]:
    value: collections.Counter[Any] = collections.Counter()
    reader.fill(reader.reserve(), value)
    _read_mapping_into(reader, value)
    return value


def _write_defaultdict(writer: Writer, value: collections.defaultdict[Any, Any]) -> None:
    writer.write(value.default_factory)
    _write_mapping(writer, value)


def _read_defaultdict(reader: Reader) -> collections.defaultdict[Any, Any]:
    value: collections.defaultdict[Any, Any] = collections.defaultdict()
    reader.fill(reader.reserve(), value)
    value.default_factory = reader.read()
    _read_mapping_into(reader, value)
    return value


def _write_namespace(writer: Writer, value: types.SimpleNamespace) -> None:
    writer.mapping(vars(value))


def _read_namespace(reader: Reader) -> types.SimpleNamespace:
    value = types.SimpleNamespace()
    reader.fill(reader.reserve(), value)
    _read_mapping_into(reader, vars(value))
    return value


def _write_proxy(writer: Writer, value: types.MappingProxyType[Any, Any]) -> None:
    (mapping,) = gc.get_referents(value)  # a copy would not be the mapping that others change
    writer.write(mapping)


def _read_proxy(reader: Reader) -> types.MappingProxyType[Any, Any]:
    return types.MappingProxyType(reader.read())


def _write_chain(writer: Writer, value: collections.ChainMap[Any, Any]) -> None:
    if vars(value).keys() != {"maps"} or type(value.maps) is not list:
        raise UnknownTypeError(value)
    writer.write(value.maps)


def _read_chain(reader: Reader) -> collections.ChainMap[Any, Any]:
    value: collections.ChainMap[Any, Any] = collections.ChainMap()
    reader.fill(reader.reserve(), value)
    value.maps = reader.read_exact(list)
    return value


def _write_array(writer: Writer, value: array.array[Any]) -> None:
    writer.text(value.typecode)
    writer.varint(value.itemsize)
    if sys.byteorder == "big":
        value = value[:]
        value.byteswap()
    writer.blob(memoryview(value))


def _read_array(reader: Reader) -> array.array[Any]:
    number = reader.reserve()
    value: array.array[Any] = array.array(reader.text())
    reader.fill(number, value)
    if value.itemsize != reader.varint():
        raise CodecError(f"array('{value.typecode}') has items of another size on this machine")
    value.frombytes(reader.blob())
    if sys.byteorder == "big":
        value.byteswap()
    return value


register(Kind(STDLIB + 0x20, _write_deque, _read_deque, identity=True), collections.deque)
register(Kind(STDLIB + 0x21, _write_ordered, _read_ordered, identity=True), collections.OrderedDict)
register(
    Kind(STDLIB + 0x22, _write_defaultdict, _read_defaultdict, identity=True),
    collections.defaultdict,
)
register(Kind(STDLIB + 0x23, _write_mapping, _read_counter, identity=True), collections.Counter)
register(
    Kind(STDLIB + 0x24, _write_namespace, _read_namespace, identity=True), types.SimpleNamespace
)
register(Kind(STDLIB + 0x25, _write_proxy, _read_proxy), types.MappingProxyType)
register(Kind(STDLIB + 0x27, _write_chain, _read_chain, identity=True), collections.ChainMap)
register(Kind(STDLIB + 0x26, _write_array, _read_array, identity=True), array.array)
