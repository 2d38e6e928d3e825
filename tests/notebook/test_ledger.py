import threading

from cascade_nb import config
from cascade_nb.events import MessageBus
from cascade_nb.loop import run_sync
from cascade_nb.notebook import ledger as ledgers
from cascade_nb.notebook.ledger import Ledger, Totals
from cascade_nb.tasks import Status
from tests.shelf import make_entry, make_report


def test_a_row_says_what_became_of_the_last_run():
    ledger = Ledger()
    ledger.enter(make_report(Status.MISS, reason="first run"))
    ledger.enter(make_report(Status.MISS, name="other", reason="first run"))
    ledger.enter(make_report(Status.HIT))
    newest, oldest = ledger.rows()
    assert (newest.name, newest.status, newest.runs, newest.reason) == ("model", Status.HIT, 2, "")
    assert newest.cid == make_entry().cid
    assert newest.spent == "saved 3.2 s"
    assert (oldest.name, oldest.spent, oldest.reason) == ("other", "took 3.2 s", "first run")


def test_totals_count_runs_and_each_result_once():
    ledger = Ledger()
    for status in (Status.MISS, Status.HIT, Status.HIT, Status.BYPASS, Status.FAILED, Status.OFF):
        ledger.enter(make_report(status))
    ledger.enter(make_report(Status.MISS, name="a", entry=make_entry("model")))
    ledger.enter(make_report(Status.MISS, name="b", entry=make_entry("model")))
    assert ledger.totals() == Totals(
        hits=2, misses=3, bypasses=1, seconds_saved=6.4, bytes=1_200_000
    )
    assert str(ledger.totals()) == ("2 hits, 3 misses, 1 bypass; saved 6.4 s; results of 1.2 MB")


def test_what_is_not_stored_has_no_cid():
    ledger = Ledger()
    ledger.enter(make_report(Status.BYPASS, reason="no codec"))
    (row,) = ledger.rows()
    assert (row.cid, row.size, row.reason) == (None, None, "no codec")


def test_it_forgets_the_oldest_rows_but_no_count(monkeypatch):
    monkeypatch.setattr(ledgers, "_MOST_ROWS", 3)
    ledger = Ledger()
    for n in range(5):
        ledger.enter(make_report(name=f"f{n}"))
    assert [row.name for row in ledger.rows()] == ["f4", "f3", "f2"]
    assert ledger.totals().hits == 5
    assert ledger.changes == 5


def test_it_follows_one_bus_at_a_time():
    ledger, before, after = Ledger(), MessageBus(), MessageBus()
    ledger.follow(before)
    run_sync(before.publish(make_report(name="a")))
    ledger.follow(after)
    run_sync(before.publish(make_report(name="b")))
    run_sync(after.publish(make_report(name="c")))
    ledger.follow(None)
    run_sync(after.publish(make_report(name="d")))
    assert [row.name for row in ledger.rows()] == ["c", "a"]


def test_threads_lose_no_report():
    ledger = Ledger()

    def work():
        for _ in range(200):
            ledger.enter(make_report())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.totals().hits == ledger.changes == ledger.rows()[0].runs == 800


def test_text_has_totals_and_a_line_per_row():
    ledger = Ledger()
    assert ledgers.as_text(ledger) == "no cached cell or function has run in this session"
    ledger.enter(make_report(Status.MISS, reason="global `K` changed:\n1 -> 2"))
    totals, _, header, row = ledgers.as_text(ledger).splitlines()
    assert totals.startswith("0 hits, 1 miss, 0 bypasses")
    assert header.split() == ["status", "name", "kind", "CID", "size", "time", "runs", "reason"]
    assert row.endswith("1.2 MB  took 3.2 s     1  global `K` changed: 1 -> 2")


def test_the_session_ledger_follows_every_engine(monkeypatch):
    monkeypatch.setattr(ledgers, "_session", None)
    config.configure(store="memory://")
    ledger = ledgers.session()
    run_sync(config.engine().bus.publish(make_report(name="a")))
    config.configure(bus=MessageBus())
    run_sync(config.engine().bus.publish(make_report(name="b")))
    assert ledgers.session() is ledger
    assert [row.name for row in ledger.rows()] == ["b", "a"]
