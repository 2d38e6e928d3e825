import json
from dataclasses import replace
from typing import ClassVar

import pytest

from cascade_nb import catalog
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.errors import ConfigurationError
from cascade_nb.policies.belief import entry_of
from cascade_nb.provenance import (
    distrust,
    fingerprint_of,
    seal,
    seal_imported,
    sign_record,
    trust,
    whoami,
)
from tests.shelf import Shelf, make_entry, make_record


async def test_entries_are_what_the_user_would_be_served():
    good = make_record("good", ttl=86400.0)
    moved, foreign = make_record("moved"), make_record("foreign")
    shelf = Shelf(good, make_record("old", ttl=60.0), moved, foreign)
    shelf.envelopes["ab" * 32] = shelf.envelopes.pop(moved.key)
    shelf.envelopes[foreign.key] = bytes(32) + foreign.to_bytes()
    shelf.envelopes["cd" * 32] = seal(b"\xa0")
    shelf.envelopes["ef" * 32] = b""

    assert await catalog.list_entries(shelf) == [
        make_entry("good", ttl=86400.0, created=good.created)
    ]


def put_by_somebody_else(shelf, record, monkeypatch, home, *, adopted=False):
    """Lay a record on `shelf` signed by the user of another home; gives it and their key."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("JUPYTER_DATA_DIR", str(home))
        signed, key = sign_record(record), whoami()
        sealed = seal(signed.to_bytes())
    if adopted:
        shelf.envelopes[f"record:{entry_of(signed).record_cid}"] = seal_imported(signed.to_bytes())
    shelf.envelopes[signed.key] = sealed
    return entry_of(signed), key


async def test_results_of_others_are_listed_once_they_are_trusted(monkeypatch, tmp_path):
    shelf = Shelf(make_record("mine"))
    theirs, key = put_by_somebody_else(shelf, make_record("theirs"), monkeypatch, tmp_path)
    assert [entry.name for entry in await catalog.list_entries(shelf)] == ["mine"]
    assert await catalog.find(shelf, theirs.record_cid) == [theirs]
    trust(key)
    assert theirs in await catalog.list_entries(shelf)
    distrust(key)
    assert theirs not in await catalog.list_entries(shelf)


async def test_code_of_others_is_listed_where_they_may_run_it(monkeypatch, tmp_path):
    shelf = Shelf()
    record = make_record("model", needs_code=True)
    theirs, key = put_by_somebody_else(shelf, record, monkeypatch, tmp_path)
    trust(key)
    assert await catalog.list_entries(shelf) == []
    trust(key, code=True)
    assert await catalog.list_entries(shelf) == [theirs]


async def test_an_adopted_record_is_one_entry_and_forgotten_from_both_places(monkeypatch, tmp_path):
    shelf = Shelf(make_record("mine"))
    theirs, key = put_by_somebody_else(
        shelf, make_record("theirs"), monkeypatch, tmp_path, adopted=True
    )
    trust(key)
    assert (await catalog.list_entries(shelf)).count(theirs) == 1
    assert await catalog.forget(shelf, "theirs") == [theirs]
    assert list(shelf.envelopes) == [make_record("mine").key]


async def test_forgetting_an_adopted_record_leaves_ones_own_under_the_same_key(
    monkeypatch, tmp_path
):
    mine = make_record("fit")
    shelf = Shelf()
    theirs, _ = put_by_somebody_else(shelf, make_record("fit"), monkeypatch, tmp_path, adopted=True)
    shelf.envelopes[mine.key] = seal(mine.to_bytes())
    assert await catalog.forget(shelf, theirs.record_cid) == [theirs]
    assert list(shelf.envelopes) == [mine.key]


async def test_find_by_name_gives_all_of_that_name():
    shelf = Shelf(make_record("fit", "a"), make_record("fit", "b"), make_record("load"))
    assert [entry.name for entry in await catalog.find(shelf, "fit")] == ["fit", "fit"]


async def test_a_cell_is_found_by_what_it_bound_unless_that_is_a_name():
    bound = make_entry("other").outputs[0]
    outputs = (replace(bound, name="model"), replace(bound, name="scores"))
    cell = make_record("model, scores", kind="cell", outputs=outputs)
    shelf = Shelf(cell, make_record("scores"), make_record("fit"))
    assert [entry.name for entry in await catalog.find(shelf, "model")] == ["model, scores"]
    assert [entry.name for entry in await catalog.find(shelf, "scores")] == ["scores"]


@pytest.mark.parametrize(
    "written",
    [
        lambda e: e.cid,
        lambda e: e.cid.upper(),
        lambda e: f"ipfs://{e.cid}",
        lambda e: f"/ipfs/{e.cid}",
        lambda e: e.cid[:14],
        lambda e: e.cid[:14] + "…",
        lambda e: e.record_cid,
        lambda e: e.record_cid[:20],
        lambda e: e.key,
        lambda e: e.key[:6],
        lambda e: e.key[:6].upper(),
    ],
)
async def test_find_by_cid_or_key_in_any_form(written):
    shelf = Shelf(make_record("fit"), make_record("load"))
    entry = (await catalog.find(shelf, "load"))[0]
    assert await catalog.find(shelf, written(entry)) == [entry]


async def test_find_by_cid_gives_every_key_with_that_result():
    twin = make_record("fit")
    shelf = Shelf(twin, make_record("load", "b", result=twin.result), make_record("other"))
    found = await catalog.find(shelf, twin.result[:20])
    assert sorted(entry.name for entry in found) == ["fit", "load"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("trian", "nothing stored goes by 'trian'; close: train"),
        ("qqqq", "nothing stored goes by 'qqqq'; `ls` lists what there is"),
        ("", "nothing stored goes by ''; `ls` lists what there is"),
        ("baf", "nothing stored goes by 'baf'; `ls` lists what there is"),
        ("tr\nain\x1b[2J", "nothing stored goes by 'tr ain�[2J'; close: train"),
    ],
)
async def test_unknown_names_are_told_in_one_line(wanted, message):
    shelf = Shelf(make_record("train"), make_record("load"))
    with pytest.raises(ConfigurationError) as caught:
        await catalog.find(shelf, wanted)
    assert str(caught.value) == message


async def test_an_empty_store_says_so():
    with pytest.raises(ConfigurationError, match="nothing is stored, so nothing goes by 'x'"):
        await catalog.find(Shelf(), "x")


async def test_a_beginning_that_fits_several_lists_them():
    shelf = Shelf(*(make_record(f"f{n}", key=f"abcd{n:060d}", seed=str(n)) for n in range(7)))
    with pytest.raises(ConfigurationError) as caught:
        await catalog.find(shelf, "abcd0")
    message = str(caught.value)
    assert message.startswith("'abcd0' fits 7 results: f0 (bafkrei")
    assert message.endswith("and 2 more")
    assert "\n" not in message


async def test_forget_removes_just_what_was_named():
    shelf = Shelf(make_record("fit", "a"), make_record("fit", "b"), make_record("load"))
    removed = await catalog.forget(shelf, "fit")
    assert len(removed) == 2
    assert [entry.name for entry in await catalog.list_entries(shelf)] == ["load"]


async def test_clear_and_stats_count():
    shelf = Shelf(make_record("fit"), make_record("load"), make_record("cell", kind="cell"))
    held = await catalog.stats(shelf)
    assert (held.entries, held.bytes) == (3, 5_000_000)
    assert held.seconds == pytest.approx(9.6)
    assert held.kinds["value"] == catalog.Share(entries=2, size=2_400_000, seconds=6.4)
    assert catalog.summary(held).splitlines() == [
        "3 results, 5.0 MB; 9.6 s of computing are kept",
        "  1 cell: 1.2 MB, 3.2 s",
        "  2 values: 2.4 MB, 6.4 s",
    ]
    assert json.loads(json.dumps(catalog.as_data(held)))["kinds"]["cell"]["entries"] == 1
    assert await catalog.clear(shelf) == 3
    assert await catalog.list_entries(shelf) == []


@pytest.mark.parametrize("ask", [catalog.list_entries, catalog.stats])
async def test_a_store_that_cannot_list_says_so(ask):
    with pytest.raises(ConfigurationError, match=r"what is in object cannot be listed"):
        await ask(object())


@pytest.mark.parametrize("ask", [catalog.clear, lambda store: catalog.forget(store, "x")])
async def test_a_store_that_cannot_forget_says_so(ask):
    with pytest.raises(ConfigurationError, match=r"nothing can be removed from object"):
        await ask(object())


@pytest.mark.parametrize(
    "open_store", [lambda path: InMemoryCacheBackend(), DiskCacheBackend], ids=["memory", "disk"]
)
async def test_real_stores_are_listed_and_emptied(open_store, tmp_path):
    store = open_store(tmp_path / "store")
    for record in (make_record("fit"), make_record("load")):
        await store.write_content(record.result, [b"x" * 1000])
        await store.write_record(record.key, seal(record.to_bytes()), None)
    await store.set("a value of somebody's", [1, 2])
    assert {entry.name for entry in await catalog.list_entries(store)} == {"fit", "load"}
    held = await catalog.stats(store)
    assert held.entries == 2
    assert held.bytes > 2000
    assert [entry.name for entry in await catalog.forget(store, "fit")] == ["fit"]
    assert await catalog.clear(store) >= 1
    assert await catalog.list_entries(store) == []


def test_table_and_details_read_well():
    entry = make_entry("a name\nof two lines", ttl=90.0)
    lines = catalog.table([entry, make_entry("b")]).splitlines()
    assert lines[0].split() == ["name", "kind", "CID", "size", "took", "age", "ttl"]
    assert lines[1].startswith(f"a name of two lines  value  {entry.cid[:16]}…  1.2 MB  3.2 s")
    assert lines[1].endswith("2 h  1 min 30 s")
    assert len(lines) == 3
    assert catalog.table([]) == "nothing is stored"
    told = catalog.details(entry)
    for fact in (entry.cid, entry.record_cid, entry.key, "not signed", "builtins.list"):
        assert fact in told


async def test_the_table_says_from_whom_a_result_is(monkeypatch, tmp_path):
    shelf = Shelf(make_record("mine"))
    theirs, key = put_by_somebody_else(shelf, make_record("theirs"), monkeypatch, tmp_path)
    rows = await catalog.served_rows(shelf)
    assert "from" not in catalog.table([r.entry for r in rows], catalog.signers_of(rows))
    trust(key)
    rows = await catalog.served_rows(shelf)
    told = catalog.table([row.entry for row in rows], catalog.signers_of(rows)).splitlines()
    assert told[0].split()[-1] == "from"
    assert fingerprint_of(key)[:20] in next(line for line in told if line.startswith("theirs"))
    assert "SHA256" not in next(line for line in told if line.startswith("mine"))
    assert catalog.signers_of(rows)[theirs.record_cid].endswith(fingerprint_of(key))


async def test_what_was_pinned_is_unpinned_with_the_result():
    class Node(Shelf):
        unpinned: ClassVar[list[str]] = []

        async def publish(self, root, blocks, *, name, progress=None):
            raise NotImplementedError

        async def unpublish(self, root):
            self.unpinned.append(root)
            return True

    node = Node(make_record("fit"), make_record("load"))
    (entry,) = await catalog.find(node, "fit")
    await catalog.forget(node, "fit")
    assert node.unpinned == [entry.record_cid]
