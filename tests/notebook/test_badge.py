import json
from html.parser import HTMLParser

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from cascade_nb.notebook import badge
from cascade_nb.tasks import Status
from tests.shelf import make_entry, make_report


class Page(HTMLParser):
    """What a page makes of a badge: its text, and each tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.text = ""
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_a_hit_says_what_it_saved():
    report = make_report(Status.HIT)
    bundle = badge.mimebundle(report)
    line = f"hit · model · {report.entry.cid} · 1.2 MB · saved 3.2 s"
    assert bundle["text/plain"] == line
    assert Page(bundle["text/html"]).text == line


def test_a_hit_says_from_whom():
    signer = "ann <b>\n (SHA256:abc)"
    report = make_report(Status.HIT, signer=signer)
    bundle = badge.mimebundle(report)
    assert bundle["text/plain"].endswith("saved 3.2 s · from ann <b> (SHA256:abc)")
    assert Page(bundle["text/html"]).text == bundle["text/plain"]
    assert "<b>\n" not in bundle["text/html"]
    assert badge.as_data(report)["signer"] == signer


def test_a_miss_says_why_and_what_it_took():
    report = make_report(Status.MISS, reason="global `K` changed: 1 -> 2")
    assert badge.mimebundle(report)["text/plain"] == (
        f"miss · model · {report.entry.cid} · 1.2 MB · took 3.2 s · global `K` changed: 1 -> 2"
    )


@pytest.mark.parametrize("status", [Status.BYPASS, Status.FAILED, Status.INTERRUPTED, Status.OFF])
def test_what_is_not_stored_shows_no_cid(status):
    report = make_report(status, reason="because")
    bundle = badge.mimebundle(report)
    assert bundle["text/plain"] == f"{status.value} · model · took 3.2 s · because"
    assert report.entry.cid not in bundle["text/html"]
    assert badge.as_data(report)["cid"] is None


@pytest.mark.parametrize("status", Status)
def test_a_badge_is_one_escaped_line_without_script(status):
    nasty = "a\nb<script>alert(1)</script>\"' onclick='x' & \x1b[31m\u202e"
    report = make_report(status, name=nasty, reason=nasty)
    bundle = badge.mimebundle(report)
    assert set(bundle) == {"text/plain", "text/html"}
    for text in bundle.values():
        assert len(text.splitlines()) == 1
        assert "\x1b" not in text
        assert "\u202e" not in text
    page = Page(bundle["text/html"])
    assert page.text == bundle["text/plain"]
    assert page.text.startswith(f"{status.value} · a b<script>")
    assert {tag for tag, _ in page.tags} <= {"div", "b", "code"}
    assert {name for _, attributes in page.tags for name in attributes} == {"style", "title"}
    assert "url(" not in bundle["text/html"]


def test_the_cid_selects_as_one():
    page = Page(badge.mimebundle(make_report())["text/html"])
    (code,) = [attributes for tag, attributes in page.tags if tag == "code"]
    assert "user-select:all" in code["style"].split(";")


def test_the_title_has_the_details():
    entry = make_entry(ttl=90.0, needs_code=True)
    page = Page(badge.mimebundle(make_report(entry=entry))["text/html"])
    title = page.tags[0][1]["title"]
    assert f"key {entry.key}" in title
    assert "kept for 1 min 30 s" in title
    assert "stored as code" in title


def test_a_hit_of_a_policy_without_entries():
    assert badge.mimebundle(make_report(entry=None))["text/plain"] == "hit · model · saved 3.2 s"


@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


def test_shown_with_metadata_by_which_tools_find_it(shell):
    shell.kernel = object()
    report = make_report(Status.MISS, reason="first run")
    with capture_output() as captured:
        badge.show(report)
    (output,) = captured.outputs
    assert output.data == badge.mimebundle(report)
    assert output.metadata == {"cascade": badge.as_data(report)}
    assert json.loads(json.dumps(output.metadata))["cascade"]["cid"] == report.entry.cid
    assert captured.stdout == ""


def test_a_terminal_gets_a_plain_line(shell, capsys):
    report = make_report()
    badge.show(report)
    assert capsys.readouterr().out == badge.mimebundle(report)["text/plain"] + "\n"
