"""share, load, export and import_ between two people who have nothing in common but a file."""

import copy
import sys
import types

import numpy as np
import pandas as pd
import pytest

from cascade_nb import (
    BackendError,
    CodecError,
    ConfigurationError,
    UntrustedError,
    cached,
    distrust,
    engine,
    export,
    import_,
    load,
    share,
    trust,
    whoami,
)
from cascade_nb.content import cid as cids
from cascade_nb.provenance import fingerprint_of
from tests.codecs.exact import assert_same
from tests.codecs.values import ALL
from tests.exchange.users import make_user


@pytest.fixture
def ann(tmp_path):
    return make_user(tmp_path, "ann")


@pytest.fixture
def bob(tmp_path):
    return make_user(tmp_path, "bob")


@pytest.fixture
def car(tmp_path):
    return tmp_path / "shared.car"


runs = []


@cached(ignore=["runs"])
async def squares(n):
    runs.append(n)
    return [i * i for i in range(n)]


@cached(ignore=["runs"])
def cubes(n):
    runs.append(n)
    return [i**3 for i in range(n)]


@pytest.fixture(autouse=True)
def no_runs():
    runs.clear()


class Plain:
    """An instance of this can be decoded only where code may run."""

    def __init__(self, x):
        self.x = x


async def test_values_of_all_kinds_go_exactly_from_one_to_the_other(ann, bob, tmp_path):
    with ann.acting():
        cids_of = {name: await export([b()], tmp_path / f"{i}") for i, (name, b) in _numbered()}
    with bob.acting():
        for index, (name, build) in _numbered():
            assert await import_(tmp_path / f"{index}") == [cids_of[name]], name
            (loaded,) = await load(cids_of[name])
            assert_same(build(), loaded)


def _numbered():
    return list(enumerate(ALL.items()))


async def test_arrays_and_frames_of_some_size_go_too(ann, bob, car):
    value = {
        "array": np.arange(400_000.0).reshape(200, 2000),
        "frame": pd.DataFrame({"a": range(5000), "b": ["x", None] * 2500}),
    }
    value["view"] = value["array"][:3]
    with ann.acting():
        cid = await export(value, car)
    with bob.acting():
        await import_(car)
        loaded = await load(cid)
        assert_same(value, loaded)
        loaded["array"][0, 0] = -1.0
        assert loaded["view"][0, 0] == -1.0
        assert (await load(cid))["array"][0, 0] == 0.0


async def test_code_of_a_stranger_is_refused_until_they_are_trusted_with_it(ann, bob, car):
    factor = 3
    with ann.acting():
        cid, key = await export([lambda x: factor * x], car), whoami()
    with bob.acting():
        await import_(car)
        with pytest.raises(UntrustedError) as refused:
            await load(cid)
        message = str(refused.value)
        assert "list (list) is stored as code" in message
        assert fingerprint_of(key) in message
        assert message.endswith(f"; to let it, run: trust('{key}', code=True)")
        trust(key)
        with pytest.raises(UntrustedError, match=r"code=True"):
            await load(cid)
        trust(key, code=True)
        assert (await load(cid))[0](14) == 42
        distrust(key)
        with pytest.raises(UntrustedError):
            await load(cid)


async def test_nothing_of_a_strangers_code_is_decoded(ann, bob, car, monkeypatch):
    evil = types.ModuleType("evil")
    exec("def touch(): raise SystemExit('run')", vars(evil))
    monkeypatch.setitem(sys.modules, "evil", evil)

    class Bomb:
        def __reduce__(self):
            return evil.touch, ()

    with ann.acting():
        cid = await export([Bomb()], car)
        result = (await share([Bomb()]), cid)[1]
    with bob.acting():
        await import_(car)
        with pytest.raises(UntrustedError):
            await load(result)


async def test_the_bare_cid_of_code_loads_only_with_a_trusted_record(ann, bob, car):
    with ann.acting():
        cid, key = await export([Plain(1)], car), whoami()
        bare = (await engine().policy._shelf.claim_of(cid)).entry.cid
        assert (await load(bare))[0].x == 1
    with bob.acting():
        await import_(car)
        with pytest.raises(UntrustedError, match=r"list \(list\) is stored as code by SHA256:"):
            await load(bare)
        trust(key, code=True)
        assert (await load(bare))[0].x == 1


async def test_the_bare_cid_of_data_loads(ann, bob, car):
    with ann.acting():
        cid = await export([1, 2], car)
        bare = (await engine().policy._shelf.claim_of(cid)).entry.cid
    with bob.acting():
        await import_(car)
        assert await load(bare) == [1, 2]


async def test_a_call_is_run_only_where_it_is_not_stored(ann):
    with ann.acting():
        cid = await share(squares(4))
        assert await share(squares(4)) == cid
        assert await share(cubes.aio(4)) != cid
        assert runs == [4, 4]
        assert await load(cid) == [0, 1, 4, 9]
        assert runs == [4, 4]


async def test_a_call_of_calls_is_shared(ann):
    @cached
    async def total(parts):
        return sum(parts)

    with ann.acting():
        assert await load(await share(total(squares(4)))) == 14


async def test_a_call_whose_result_is_not_stored_is_shared_as_a_value(ann):
    @cached
    async def opaque(lock):
        return [1]

    with ann.acting(), pytest.warns(UserWarning, match="runs uncached"):
        assert await load(await share(opaque(iter([])))) == [1]


async def test_an_entry_a_key_and_cids_in_any_form_are_one_record(ann):
    with ann.acting():
        await squares(5)
        entry = await squares.peek(5)
        binary = cids.parse(entry.record_cid)
        written = [
            entry,
            entry.key,
            entry.key.upper(),
            entry.cid,
            entry.record_cid,
            f"ipfs://{entry.record_cid}",
            f"/ipfs/{entry.record_cid}",
            "f" + binary.hex(),
            entry.record_cid.upper(),
        ]
        for x in written:
            assert await share(x) == entry.record_cid
        for x in written[3:]:
            assert await load(x) == await squares(5)


@pytest.mark.parametrize("text", ["hello", "", "squares", "bafyx", "../x", "a" * 5000])
async def test_a_text_is_not_shared(ann, text):
    with ann.acting(), pytest.raises(ConfigurationError, match="share a text in a list") as error:
        await share(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "missing",
    ["ab" * 32, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"],
)
async def test_what_the_store_has_not_is_an_error(ann, missing):
    with ann.acting(), pytest.raises(ConfigurationError, match="the store has nothing under"):
        await share(missing)


@pytest.mark.parametrize("text", ["hello", "", "ab" * 32, "bafkreihdwd", "ipfs://", "/ipfs/x/y"])
async def test_what_is_no_cid_is_not_loaded(ann, text):
    with ann.acting(), pytest.raises(ConfigurationError, match="is not a CID"):
        await load(text)


async def test_what_nobody_has_is_told(ann):
    nowhere = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    with ann.acting(), pytest.raises(BackendError, match="no IPFS node or gateway is configured"):
        await load(nowhere)


@pytest.mark.parametrize("value", [None, 0, b"bytes", (), {}, [None], 1.5, True])
async def test_any_other_value_is_shared(ann, value):
    with ann.acting():
        assert_same(await load(await share(value)), value)


async def test_equal_values_have_one_record(ann):
    with ann.acting():
        cid = await share([1, 2])
        assert await share([1, 2]) == cid
        assert await share([1, 2.0]) != cid


async def test_what_has_no_encoding_is_refused(ann):
    with ann.acting(), pytest.raises(CodecError, match="cannot be stored"):
        await share([iter([])])


async def test_sharing_anothers_record_again_keeps_its_signer(ann, bob, car, tmp_path):
    with ann.acting():
        cid = await export(squares(3), car)
    with bob.acting():
        await import_(car)
        assert await share(cid) == cid
        again = tmp_path / "again.car"
        assert await export(cid, again) == cid
    assert again.read_bytes() == car.read_bytes()


async def test_an_imported_result_is_a_hit_once_its_signer_is_trusted(ann, bob, car):
    with ann.acting():
        await export(squares(6), car)
        key = whoami()
    with bob.acting():
        await import_(car)
        assert await squares.peek(6) is None
        trust(key)
        assert await squares(6) == [0, 1, 4, 9, 16, 25]
        assert runs == [6]


async def test_the_result_cid_exports_ones_own_record_or_signs_one(ann, bob, car):
    with ann.acting():
        await squares(3)
        entry = await squares.peek(3)
        assert await export(entry.cid, car) == entry.record_cid
    with bob.acting():
        await import_(car)
        # The record that came with it keeps its signer; there is none of bob's own.
        assert await export(entry.cid, car) == entry.record_cid
        own = await share([0, 1, 4])
        assert await export(entry.cid, car) == own


async def test_export_replaces_the_file_as_a_whole_or_not_at_all(ann, car, tmp_path):
    car.write_text("old")
    with ann.acting():
        with pytest.raises(CodecError):
            await export([iter([])], car)
        assert car.read_text() == "old"
        with pytest.raises(ConfigurationError, match="cannot be written: No such file"):
            await export([1], tmp_path / "nowhere" / "x.car")
        await export([1], car)
    assert car.read_bytes() != b"old"
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


async def test_export_of_content_that_is_gone_leaves_no_file(ann, car):
    with ann.acting():
        cid = await share([1, 2, 3])
        store = engine().policy.store
        claim = await engine().policy._shelf.claim_of(cid)
        await store.write_content(claim.entry.cid, [b"damaged"])
        with pytest.raises(Exception, match="is not what its CID says"):
            await export(cid, car)
    assert not car.exists()


async def test_loading_from_a_damaged_store_is_told(ann):
    with ann.acting():
        cid = await share([1, 2, 3])
        claim = await engine().policy._shelf.claim_of(cid)
        await engine().policy.store.write_content(claim.entry.cid, [b"damaged"])
        with pytest.raises(BackendError, match="nobody has"):
            await load(cid)


async def test_values_are_fresh(ann):
    with ann.acting():
        cid = await share({"a": [1]})
        first = await load(cid)
        first["a"].append(2)
        assert await load(cid) == {"a": [1]}
        assert copy.deepcopy(first) != await load(cid)


async def test_a_policy_without_a_store_is_told(ann):
    from cascade_nb import NoCache

    with ann.acting(policy=NoCache()), pytest.raises(ConfigurationError, match="keeps nothing"):
        await share([1])


def test_between_processes(ann, bob, car):
    cid = ann.run(f"""
        import numpy as np
        print(await export({{"w": np.arange(3.0), "n": [1, None]}}, {str(car)!r}))
    """)
    key = ann.cascade("whoami")
    loaded = bob.run(f"""
        assert await import_({str(car)!r}) == [{cid!r}]
        print(await load({cid!r}))
        trust({key!r})
        print(len(distrust({key!r})))
    """)
    assert loaded == "{'w': array([0., 1., 2.]), 'n': [1, None]}\n1"
