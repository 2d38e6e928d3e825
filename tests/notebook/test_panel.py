import ipywidgets
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from ipywidgets.widgets import widget as widget_module

from cascade_nb.notebook import ledger as ledgers
from cascade_nb.notebook import panel
from cascade_nb.notebook.ledger import Ledger
from cascade_nb.tasks import Status
from tests.shelf import make_report

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture
def ledger(monkeypatch):
    ledger = Ledger()
    monkeypatch.setattr(ledgers, "_session", ledger)
    return ledger


@pytest.fixture
def shell():
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.kernel = object()
    before = set(widget_module._instances)
    yield shell
    panel.close(shell)
    assert set(widget_module._instances) == before, "models were left behind"
    InteractiveShell.clear_instance()


def shown(shell):
    with capture_output() as captured:
        panel.show(shell)
    (output,) = captured.outputs
    return output.data


def texts():
    return [w.value for w in widget_module._instances.values() if isinstance(w, ipywidgets.HTML)]


def test_a_terminal_gets_text(ledger, capsys):
    ledger.enter(make_report())
    panel.show(InteractiveShell())
    assert capsys.readouterr().out == ledgers.as_text(ledger) + "\n"


def test_the_panel_shows_totals_and_rows(shell, ledger):
    report = make_report(Status.MISS, name="<b>x</b>", reason="first & last")
    ledger.enter(report)
    data = shown(shell)
    assert VIEW in data
    assert data["text/plain"] == ledgers.as_text(ledger)
    totals, table = texts()
    assert "0 hits, 1 miss" in totals
    assert "&lt;b&gt;x&lt;/b&gt;" in table
    assert "first &amp; last" in table
    assert report.entry.cid in table
    assert "user-select:all" in table
    assert 'tabindex="0"' in table
    assert "<script" not in table


def test_an_empty_session_says_so(shell, ledger):
    shown(shell)
    assert "no cached cell or function has run" in texts()[1]


def test_shown_again_it_is_the_same_panel(shell, ledger):
    first = shown(shell)
    models = set(widget_module._instances)
    ledger.enter(make_report())
    assert shown(shell)[VIEW] == first[VIEW]
    assert set(widget_module._instances) == models
    assert "1 hit" in texts()[0]


def test_many_updates_make_no_models(shell, ledger):
    shown(shell)
    models = set(widget_module._instances)
    for n in range(300):
        ledger.enter(make_report(name=f"f{n}"))
        shell.run_cell("pass")
    assert set(widget_module._instances) == models
    assert "300 hits" in texts()[0]
    assert "and 200 that ran before" in texts()[1]


def test_it_is_brought_up_to_date_after_a_cell_and_only_if_something_changed(shell, ledger):
    shown(shell)
    ledger.enter(make_report())
    assert "0 hits" in texts()[0]
    shell.run_cell("pass")
    assert "1 hit" in texts()[0]
    widget = next(w for w in widget_module._instances.values() if isinstance(w, ipywidgets.HTML))
    changes = []
    widget.observe(changes.append, "value")
    shell.run_cell("pass")
    assert changes == []


def test_the_button_refreshes(shell, ledger):
    shown(shell)
    ledger.enter(make_report())
    (button,) = [w for w in widget_module._instances.values() if isinstance(w, ipywidgets.Button)]
    button.click()
    assert "1 hit" in texts()[0]


def test_after_close_all_a_new_one_is_made(shell, ledger):
    first = shown(shell)
    ipywidgets.Widget.close_all()
    second = shown(shell)
    assert first[VIEW] != second[VIEW]
    assert len(texts()) == 2


def test_closing_frees_the_hook_too(shell, ledger):
    shown(shell)
    hooks = len(shell.events.callbacks["post_run_cell"])
    panel.close(shell)
    assert len(shell.events.callbacks["post_run_cell"]) == hooks - 1
    panel.close(shell)
