"""Exceptions, files in memory and chained maps as values: data, and exactly what they were."""

from __future__ import annotations

import collections
import decimal
import io
import json
import queue
from collections.abc import Callable
from typing import Any

import pytest

from cascade_nb.codecs import decode, encode
from cascade_nb.errors import CodecError
from cascade_nb.fingerprint.values import fingerprint


def through(value: Any) -> Any:
    """`value` after a trip through its encoding, which runs no code."""
    before = fingerprint(value)
    encoded = encode(value)
    assert encoded.codec == "tree/1"
    assert not encoded.needs_code
    found = decode(b"".join(encoded.pieces), code=False)
    assert type(found) is type(value)
    assert fingerprint(found) == fingerprint(value) == before
    return found


def noted(error: Exception, *notes: str) -> Exception:
    for note in notes:
        error.add_note(note)
    return error


def suppressing(error: Exception) -> Exception:
    error.__suppress_context__ = True
    return error


DATA: dict[str, BaseException] = {
    "plain": ValueError("x"),
    "bare": KeyError(),
    "many": RuntimeError(1, "two", [3.0], {"four": None}),
    "noted": noted(TypeError("x"), "one", "two"),
    "suppressing": suppressing(LookupError("x")),
    "file": OSError(2, "none", "file"),
    "two files": OSError(18, "link", "one", None, "two"),
    "words": OSError("words"),
    "blocking": BlockingIOError(11, "wait", 5),
    "stop": StopIteration(3),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "reason"),
    "import": ImportError("x"),
    "decimal": decimal.DivisionByZero("x"),
    "queue": queue.Empty(),
}


@pytest.mark.parametrize("name", DATA)
def test_an_exception_comes_back_as_it_was(name: str) -> None:
    value = DATA[name]
    found = through(value)
    assert repr(found.args) == repr(value.args)
    assert vars(found) == vars(value)
    assert str(found) == str(value)
    assert found.__suppress_context__ is value.__suppress_context__
    assert found.__cause__ is found.__context__ is found.__traceback__ is None
    for member in ("errno", "filename", "filename2", "characters_written", "value", "code", "name"):
        assert getattr(found, member, "") == getattr(value, member, "")


def test_an_exception_may_lead_back_to_itself() -> None:
    value = ValueError([])
    value.args[0].append(value)
    (found,) = decode(b"".join(encode([value]).pieces), code=False)
    assert found.args[0][0] is found


def test_one_exception_twice_is_one() -> None:
    value = ValueError("x")
    first, second = decode(b"".join(encode([value, value]).pieces), code=False)
    assert first is second


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def caused(error: Exception) -> Exception:
    error.__cause__ = ValueError("before")
    return error


def with_attribute(error: Any, name: str, value: object) -> Any:
    setattr(error, name, value)
    return error


class OwnError(Exception):
    pass


CODE: dict[str, Callable[[], object]] = {
    "raised": lambda: raised(ValueError("x")),
    "caused": lambda: caused(ValueError("x")),
    "attribute": lambda: with_attribute(ValueError("x"), "more", 1),
    "changed errno": lambda: with_attribute(OSError(2, "none"), "errno", 3),
    "changed value": lambda: with_attribute(StopIteration(1), "value", 2),
    "attributes": lambda: json.JSONDecodeError("x", "y", 0),
    "names": lambda: AttributeError("x", name="y", obj=[1]),
    "group": lambda: ExceptionGroup("x", [ValueError(1)]),
    "place": lambda: SyntaxError("x", ("file", 1, 2, "text")),
    "own": lambda: OwnError("x"),
}


@pytest.mark.parametrize("name", CODE)
def test_one_that_is_more_than_its_arguments_is_code(name: str) -> None:
    assert encode(CODE[name]()).codec == "code/1"


def test_a_damaged_exception_is_refused() -> None:
    for value, before, after in (
        (ValueError("x"), b"ValueError", b"LalueError"),
        (ValueError("x"), b"builtins.ValueError", b"builtins.exec......"),
        (OSError(2, "x"), b"FileNotFoundError", b"FileExists__Error"),
    ):
        data = b"".join(encode(value).pieces)
        assert before in data
        with pytest.raises(CodecError):
            decode(data.replace(before, after), code=False)


@pytest.mark.parametrize("size", [0, 3, 100_000])
@pytest.mark.parametrize("position", [0, 2, 200_000])
def test_bytes_in_memory_keep_their_position(size: int, position: int) -> None:
    value = io.BytesIO(b"x" * size)
    value.seek(position)
    found = through(value)
    assert (found.getvalue(), found.tell()) == (b"x" * size, position)
    found.write(b"y")
    assert value.getvalue() == b"x" * size


@pytest.mark.parametrize("newline", ["\n", "", "\r\n"])
def test_text_in_memory_keeps_its_position(newline: str) -> None:
    value = io.StringIO("a\r\nb\nc\ud800", newline=newline)
    value.read(2)
    found = through(value)
    assert (found.getvalue(), found.tell(), found.newlines) == (
        value.getvalue(),
        value.tell(),
        value.newlines,
    )
    for stream in (value, found):
        stream.write("\n")
    assert found.getvalue() == value.getvalue()


def test_files_in_memory_that_hold_more_are_code() -> None:
    seen = io.StringIO("a\r\nb", newline=None)
    seen.read()
    for value in (seen, with_attribute(io.BytesIO(), "name", "x")):
        assert encode(value).codec == "code/1"


def test_a_chained_map_keeps_its_maps() -> None:
    base = {"a": 1}
    value = collections.ChainMap({}, base)
    found, same = through([value, base])
    assert found.maps == [{}, {"a": 1}]
    assert found.maps[1] is same
    assert type(found) is collections.ChainMap
