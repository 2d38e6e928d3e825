import itertools

import pytest

from cascade_nb.tasks import Status
from cascade_nb.wording import (
    ShortRepr,
    one_line,
    plural,
    short_cid,
    short_signer,
    text_table,
    time_spent,
)


class Unread:
    """Something that nobody may look at."""

    def __init__(self, number):
        self.number = number

    def __repr__(self):
        raise AssertionError

    def __lt__(self, other):
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"abc", "b'abc'"),
        (bytes(10**6), r"b'\x00\x00\x00\x00\x00\x00\..."),
        (12, "12"),
        (1 << 20_000, "<int of 20,001 bits>"),
        ({"b": 1, "a": 2}, "{'a': 2, 'b': 1}"),
        ({i: i if i < 4 else Unread(i) for i in range(9)}, "{0: 0, 1: 1, 2: 2, 3: 3, ...}"),
        ({3, 1, 2}, "{1, 2, 3}"),
    ],
    ids=itertools.count(),
)
def test_short_texts_of_values_look_at_no_more_than_they_show(value, text):
    assert ShortRepr().repr(value) == text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("plain", "plain"),
        ("  two\n\tlines  ", "two lines"),
        ("bell\x07 esc\x1b[2J bidi\u202e", "bell\ufffd esc\ufffd[2J bidi\ufffd"),
        ("größe 日本", "größe 日本"),
        ("", ""),
        ("x" * 30, "x" * 19 + "…"),
        ("x" * 18 + " yy", "x" * 18 + "…"),
    ],
)
def test_text_becomes_one_line(text, line):
    assert one_line(text, 20) == line


def test_cids_are_shortened_to_a_beginning():
    cid = "bafkreicwizzhiillkrmtfnj62i47z4tiddkawnarkhzm4f74akjkd6664m"
    assert cid.startswith(short_cid(cid).removesuffix("…"))
    assert short_cid("short") == "short"


def test_tables_align():
    assert text_table(("a", "n"), [("xyz", "1"), ("", "100")], right=("n",)).splitlines() == [
        "a      n",
        "xyz    1",
        "     100",
    ]
    assert text_table(("a", "b"), []) == "a  b"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "hit", "1 hit"),
        (0, "hit", "0 hits"),
        (2, "miss", "2 misses"),
        (3, "entry", "3 entries"),
        (1234, "hit", "1,234 hits"),
    ],
)
def test_plurals(count, noun, text):
    assert plural(count, noun) == text


def test_only_a_hit_saves_time():
    assert time_spent(Status.HIT, seconds=0.1, saved=3) == "saved 3.0 s"
    assert time_spent(Status.BYPASS, seconds=0.1, saved=0) == "took 100 ms"


@pytest.mark.parametrize(
    ("signer", "short"),
    [
        ("", ""),
        ("SHA256:0123456789abcdef0123456789abcdef0123456789a", "SHA256:0123456789ab…"),
        ("ann@work (SHA256:0123456789abcdef0123456789abcdef0123456789a)", "ann@work"),
    ],
    ids=["own", "digest", "named"],
)
def test_a_signer_in_short(signer, short):
    assert short_signer(signer) == short
