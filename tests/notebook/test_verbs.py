import subprocess
import sys
from types import SimpleNamespace

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from cascade_nb import config
from cascade_nb.errors import BackendError
from cascade_nb.notebook import actions, verbs
from cascade_nb.notebook import ledger as ledgers
from cascade_nb.notebook.ledger import Ledger
from cascade_nb.policies.none import NoCache
from tests.shelf import Shelf, make_record, make_report


@pytest.fixture
def shelf(monkeypatch):
    """A session whose store is a shelf of three results."""
    shelf = Shelf(make_record("fit", "a"), make_record("fit", "b"), make_record("load data"))
    monkeypatch.setattr(actions, "session_store", lambda: shelf)
    monkeypatch.setattr(ledgers, "_session", Ledger())
    return shelf


@pytest.fixture
def say(capsys):
    """Run a line of the magic; gives what it prints."""

    def say(line, shell=None):
        verbs.run_verb(shell or SimpleNamespace(), line)
        return capsys.readouterr().out.rstrip("\n")

    return say


def refused(line):
    with pytest.raises(UsageError) as caught:
        verbs.run_verb(SimpleNamespace(), line)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_alone_it_shows_the_session(shelf, say):
    ledgers.session().enter(make_report())
    assert say("") == say("   ") == ledgers.as_text(ledgers.session())


def test_loading_the_verbs_imports_neither_widgets_nor_the_rooms_below():
    command = (
        "import sys, cascade_nb.notebook.verbs; "
        "sys.exit(bool({'ipywidgets', 'cascade_nb.catalog'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_every_verb_does_something():
    assert set(actions.ACTIONS) == set(verbs.VERBS)


def test_help_has_a_line_for_each_verb():
    lines = verbs.help_text().splitlines()
    assert len(lines) == len(verbs.VERBS)
    assert lines[1].split("  ")[0] == "%cascade show X"


def test_ls_lists(shelf, say):
    lines = say("ls").splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("fit        value  bafkrei")


def test_show_tells_all_of_what_it_names(shelf, say):
    told = say("show 'load data'")
    assert make_record("load data").key in told
    assert say("show load data") == told
    assert say("show fit").count("record ") == 2


def test_forget_removes_and_counts(shelf, say):
    assert say("forget fit") == "forgot 2 results of fit"
    assert list(shelf.envelopes) == [make_record("load data").key]


def test_stats_tells_of_session_and_store(shelf, say):
    ledgers.session().enter(make_report())
    session, store, kind = say("stats").splitlines()
    assert session == "session: 1 hit, 0 misses, 0 bypasses; saved 3.2 s; results of 1.2 MB"
    assert store == "store:   3 results, 5.0 MB; 9.6 s of computing are kept"
    assert kind == "  3 values: 3.6 MB, 9.6 s"


def test_clear_in_a_notebook_does_not_ask(shelf, say):
    assert say("clear", SimpleNamespace(kernel=object())) == "removed 3 results"
    assert shelf.envelopes == {}


@pytest.mark.parametrize(
    ("answer", "told"), [(True, "removed 3 results"), (False, "nothing removed")]
)
def test_clear_asks_on_a_terminal(shelf, say, monkeypatch, answer, told):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    asked = []

    def ask_yes_no(question):
        asked.append(question)
        return answer

    assert say("clear", SimpleNamespace(ask_yes_no=ask_yes_no)) == told
    assert asked == ["remove everything from Shelf()? [y/N]"]
    assert bool(shelf.envelopes) is not answer


def test_on_and_off(say):
    config.configure(store="memory://")
    assert say("off").startswith("caching is off")
    assert config.settings().enabled is False
    assert say("on") == "caching is on"
    assert config.settings().enabled is True


def test_use_changes_the_store(say, tmp_path):
    config.configure(store="memory://")
    before = config.engine().policy.store
    say(f"use {tmp_path / 'other'}")
    assert config.settings().store == str(tmp_path / "other")
    assert config.engine().policy.store is not before


def test_a_bad_store_is_refused_and_the_old_one_stays(say):
    config.configure(store="memory://")
    assert "'ftp' is not known" in refused("use ftp://x")
    assert config.settings().store == "memory://"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lss", "%cascade has no verb 'lss', did you mean 'ls'? there are: ls, show, stats, "),
        ("qqq x", "%cascade has no verb 'qqq'; there are: ls, show, stats, share, load, "),
        ("show", "usage: %cascade show X"),
        ("forget", "usage: %cascade forget X"),
        ("forget a b", "nothing stored goes by 'a b'"),
        ("ls all", "usage: %cascade ls"),
        ("use", "usage: %cascade use STORE"),
        ("show 'x", 'nothing stored goes by "\'x"'),
        ("show ft", "nothing stored goes by 'ft'; close: fit"),
        ("forget zzzz", "nothing stored goes by 'zzzz'; `ls` lists what there is"),
    ],
)
def test_nonsense_is_refused_in_one_line(shelf, line, message):
    assert refused(line).startswith(message)
    assert len(shelf.envelopes) == 3


def test_a_dead_store_is_told_in_one_line(shelf, monkeypatch):
    def fail():
        raise BackendError("disk /x: No space left on device")

    monkeypatch.setattr(shelf, "records", fail)
    assert refused("ls") == "disk /x: No space left on device"


def test_a_policy_without_a_store_is_told():
    config.configure(policy=NoCache())
    assert refused("ls") == "the session's policy keeps nothing that could be listed"


async def test_it_works_inside_a_running_loop(shelf, capsys):
    verbs.run_verb(SimpleNamespace(), "ls")
    assert "load data" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("%cascade ", list(verbs.VERBS)),
        ("%cascade s", ["show", "stats", "share"]),
        ("%cascade show ", ["'load data'", "fit"]),
        ("%cascade show f", ["fit"]),
        ("%cascade show fit ", []),
        ("%cascade share f", ["fit"]),
        ("%cascade share fit --", ["--car", "--dry-run", "--verbose"]),
        ("%cascade export fit f", ["fit"]),
        ("%cascade load f", []),
        ("%cascade load ", []),
        ("%cascade trust --", ["--code"]),
        ("%cascade ls ", []),
        ("%cascade nope ", []),
    ],
)
def test_completions(shelf, line, offered):
    assert verbs.completions(line) == offered


def test_completion_of_cids_and_keys(shelf):
    entry = make_record("load data")
    assert verbs.completions(f"%cascade show {entry.result[:20]}") == [entry.result]
    assert verbs.completions(f"%cascade forget {entry.key[:8]}") == [entry.key]
    record_cid = actions.stored_entries()[-1].record_cid
    assert verbs.completions(f"%cascade load {record_cid[:20]}") == [record_cid]


def completed(shell, text):
    """What Tab at the end of `text` offers, through the completer that kernels use."""
    with provisionalcompleter():
        return {c.text for c in shell.Completer.completions(text, len(text))}


def test_tab_completes_until_uninstalled(shelf):
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    try:
        verbs.install(shell)
        verbs.install(shell)
        assert completed(shell, "x = 1\n%cascade sh") == {"show", "share"}
        assert "fit" in completed(shell, "%cascade show f")
        verbs.uninstall(shell)
        assert "show" not in completed(shell, "%cascade sh")
        verbs.install(shell)
        assert completed(shell, "%cascade sh") == {"show", "share"}
    finally:
        verbs.uninstall(shell)
        InteractiveShell.clear_instance()


def test_completion_is_silent_where_the_store_fails(shelf, monkeypatch):
    def fail():
        raise BackendError("dead")

    monkeypatch.setattr(shelf, "records", fail)
    monkeypatch.setattr(verbs, "_completing", True)
    assert verbs._complete(None, SimpleNamespace(text_until_cursor="%cascade show f")) == []
