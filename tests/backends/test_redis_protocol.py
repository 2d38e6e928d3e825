"""Questions and answers as they go over a line to a Redis server."""

from __future__ import annotations

import pytest

from cascade_nb.backends.redis_protocol import packed, parsed

ANSWERS = {
    b"$-1\r\n": None,
    b"*-1\r\n": None,
    b"$0\r\n\r\n": b"",
    b"$5\r\na\r\nb\n\r\n": b"a\r\nb\n",
    b":-7\r\n": -7,
    b"*0\r\n": [],
    b"*3\r\n$1\r\na\r\n$-1\r\n*1\r\n:5\r\n": [b"a", None, [5]],
}


@pytest.mark.parametrize(("data", "answer"), ANSWERS.items(), ids=repr)
def test_an_answer_is_read_once_it_is_all_there(data, answer):
    assert parsed(data) == (answer, len(data))
    assert parsed(bytearray(b"..." + data + b"rest"), 3) == (answer, len(data) + 3)
    for end in range(len(data)):
        with pytest.raises(EOFError):
            parsed(data[:end])


@pytest.mark.parametrize(
    "data", [b"-ERR no\r\n", b"+OK\r\n", b"\r\n", b"$x\r\n", b"_\r\n", b"%1\r\n"]
)
def test_what_is_no_plain_answer(data):
    with pytest.raises(ValueError, match=r"invalid literal|of kind"):
        parsed(data)


def test_a_command_is_packed_with_its_lengths():
    assert packed(("GET", b"\xff\r\n")) == b"*2\r\n$3\r\nGET\r\n$3\r\n\xff\r\n\r\n"
    assert packed(("GET", "é\udc80")) == b"*2\r\n$3\r\nGET\r\n$5\r\n\xc3\xa9\xed\xb2\x80\r\n"
