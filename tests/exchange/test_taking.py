"""Loading from sources in order, keeping what came, and importing all or nothing."""

from dataclasses import replace

import pytest

from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.backends.memory import InMemoryCacheBackend
from cascade_nb.backends.tiered import TieredCacheBackend
from cascade_nb.content import cid as cids
from cascade_nb.content.dag import record_blocks
from cascade_nb.errors import (
    BackendError,
    CacheWarning,
    ConfigurationError,
    ContentTooLargeError,
    IntegrityError,
    UntrustedError,
)
from cascade_nb.exchange import giving, taking
from cascade_nb.exchange.giving import Unsigned, claimed
from cascade_nb.policies.shelf import Shelf
from cascade_nb.provenance import seal, sign_record, trust, whoami
from tests.exchange.test_archives import cell_package, package_of, pairs_of, root_of, write
from tests.identities import make_person


class Node(InMemoryCacheBackend):
    """A store that can be asked for more than it has at hand, and told to pin."""

    def __init__(self):
        super().__init__()
        self.afar = {}
        self.asked = []
        self.pinned = {}
        self.error = None

    def __repr__(self):
        return "Node()"

    async def fetch_content(self, cid, *, progress=None):
        self.asked.append(cid)
        if self.error is not None:
            raise self.error
        data = self.afar.get(cid)
        if data is not None and progress is not None:
            progress(len(data), len(data))
        return None if data is None else bytearray(data)

    async def publish(self, root, blocks, *, name, progress=None):
        if self.error is not None:
            raise self.error
        self.pinned[root] = (name, dict(blocks))

    async def unpublish(self, root):
        return self.pinned.pop(root, None) is not None


@pytest.fixture
def node():
    return Node()


@pytest.fixture
def disk(tmp_path):
    return DiskCacheBackend(tmp_path / "store")


def put_afar(node, record, contents):
    """Let `node` have a record and its contents, and give the record's CID."""
    cid = cids.dag_cbor_cid(record.to_bytes())
    node.afar[cid] = record.to_bytes()
    node.afar.update({c: b"".join(map(bytes, pieces)) for c, pieces in contents.items()})
    return cid


@pytest.fixture
def strangers(tmp_path, monkeypatch):
    """A function that makes what somebody else has signed."""
    person = make_person(tmp_path, "stranger")

    def make(value, **changes):
        with person.acting():
            record, package = claimed(Unsigned(value, "theirs"))
            return sign_record(replace(record, **changes)), package.contents

    make.person = person
    return make


@pytest.mark.parametrize("make", [lambda: package_of([1, 2]), lambda: cell_package({"a": [1]})])
async def test_what_a_node_has_is_loaded_and_then_is_here(node, disk, make):
    record, contents = make()
    cid = put_afar(node, record, contents)
    store = TieredCacheBackend(disk, node)
    came = []
    loaded = await taking.load(store, cid, progress=lambda done, total: came.append((done, total)))
    assert loaded.value == ([1, 2] if record.kind == "value" else {"a": [1]})
    assert sum(done for done, _ in came) == sum(map(len, node.afar.values()))
    assert sorted(node.asked) == sorted(node.afar)
    node.asked.clear()
    assert (await taking.load(disk, cid)).value == loaded.value
    assert (await taking.load(disk, record.result)).value == loaded.value
    assert node.asked == []


async def test_a_bare_result_is_kept_too(node, disk):
    record, contents = package_of([1, 2])
    put_afar(node, record, contents)
    await taking.load(TieredCacheBackend(disk, node), record.result)
    assert (await taking.load(disk, record.result)).value == [1, 2]
    record, contents = cell_package({"a": [1]})
    put_afar(node, record, contents)
    await taking.load(TieredCacheBackend(disk, node), record.result)
    assert (await taking.load(disk, record.result)).value == {"a": [1]}


async def test_the_store_comes_first(node, disk):
    claim = await giving.sign(disk, Unsigned([3]))
    store = TieredCacheBackend(disk, node)
    assert (await taking.load(store, claim.entry.record_cid)).value == [3]
    assert node.asked == []


async def test_damage_in_the_store_is_mended_from_a_node(node, disk):
    claim = await giving.sign(disk, Unsigned([3]))
    store = TieredCacheBackend(disk, node)
    node.afar = {cid: b"".join(p) for cid, p in (await giving.contents_of(disk, claim)).items()}
    await disk.write_content(claim.entry.cid, [b"damaged"])
    assert (await taking.load(store, claim.entry.record_cid)).value == [3]
    assert (await taking.load(disk, claim.entry.record_cid)).value == [3]


async def test_a_source_that_fails_is_passed_over(node, disk):
    record, contents = package_of([1])
    dead, lying = Node(), Node()
    dead.error, lying.error = BackendError("it is dead"), IntegrityError("it lies")
    cid = put_afar(node, record, contents)
    store = TieredCacheBackend(disk, dead, lying, node)
    assert (await taking.load(store, cid)).value == [1]


@pytest.mark.parametrize("error", [BackendError("nothing for 30 s"), IntegrityError("it lies")])
async def test_where_nobody_has_it_the_failure_is_told(node, disk, error):
    node.error = error
    nowhere = cids.raw_cid(b"nowhere")
    with pytest.raises(type(error), match=str(error)):
        await taking.load(TieredCacheBackend(disk, node), nowhere)
    node.error = None
    with pytest.raises(BackendError, match=rf"nobody has {nowhere}: asked the store, Node\(\)"):
        await taking.load(TieredCacheBackend(disk, node), nowhere)


async def test_code_of_a_stranger_is_refused_before_its_content_is_fetched(node, disk, strangers):
    record, contents = strangers([lambda: 1])
    cid = put_afar(node, record, contents)
    store = TieredCacheBackend(disk, node)
    with pytest.raises(UntrustedError, match="theirs"):
        await taking.load(store, cid)
    assert node.asked == [cid]
    trust(strangers.person.key, code=True)
    assert (await taking.load(store, cid)).value[0]() == 1


async def test_code_that_claims_to_be_data_is_refused(node, disk, strangers):
    record, contents = strangers([lambda: 1], needs_code=False)
    trust(strangers.person.key)
    cid = put_afar(node, record, contents)
    with pytest.raises(UntrustedError, match=r"theirs \(list\) is stored as code by .*SHA256:"):
        await taking.load(TieredCacheBackend(disk, node), cid)


async def test_a_forged_record_is_refused(node, disk, strangers):
    record, contents = strangers([1])
    cid = put_afar(node, replace(record, name="other"), contents)
    with pytest.raises(IntegrityError, match="signature"):
        await taking.load(TieredCacheBackend(disk, node), cid)


async def test_a_strangers_record_of_ones_own_key_replaces_nothing(node, disk, strangers):
    mine = await giving.sign(disk, Unsigned([1]))
    record, contents = strangers([2], key=mine.entry.key)
    cid = put_afar(node, record, contents)
    assert (await taking.load(TieredCacheBackend(disk, node), cid)).value == [2]
    assert (await Shelf(disk).claim(mine.entry.key)).entry == mine.entry


async def test_a_strangers_lie_about_a_result_does_not_hide_it(node, disk, strangers):
    record, contents = strangers([1])
    lie, _ = strangers([1], size=7)
    for each in (record, lie):
        put_afar(node, each, contents)
    store = TieredCacheBackend(disk, node)
    with pytest.raises(IntegrityError, match="claims to have 7 bytes"):
        await taking.load(store, cids.dag_cbor_cid(lie.to_bytes()))
    assert (await taking.load(store, record.result)).value == [1]


async def test_an_expired_record_still_proves_what_it_names(node, disk, strangers):
    record, contents = strangers([1], ttl=1.0, created=0.0)
    cid = put_afar(node, record, contents)
    assert (await taking.load(TieredCacheBackend(disk, node), cid)).value == [1]


async def test_what_does_not_fit_is_loaded_all_the_same(node, tmp_path):
    record, contents = package_of(bytes(200_000))
    cid = put_afar(node, record, contents)
    small = DiskCacheBackend(tmp_path / "small", size=100_000)
    with pytest.warns(CacheWarning, match="what was loaded was not kept"):
        loaded = await taking.load(TieredCacheBackend(small, node), cid)
    assert loaded.value == bytes(200_000)


async def test_a_record_is_pinned_with_all_that_it_needs(node, disk):
    store = TieredCacheBackend(disk, node)
    claim = await giving.sign(store, Unsigned([1] * 100, "ones"))
    assert await giving.publish(store, claim) == ["Node()"]
    name, blocks = node.pinned[claim.entry.record_cid]
    assert "ones" in name
    contents = await giving.contents_of(store, claim)
    assert blocks == dict(record_blocks(claim.record.to_bytes(), contents))
    node.error = BackendError("the node is full")
    with pytest.raises(BackendError, match="full"):
        await giving.publish(store, claim)
    assert await giving.publish(disk, claim) == []


async def test_what_has_expired_is_not_given(disk):
    record, contents = package_of([1])
    old = sign_record(replace(record, ttl=1.0, created=0.0))
    for cid, pieces in contents.items():
        await disk.write_content(cid, pieces)
    # The clock of a store may differ from that of a record.
    await disk.write_record(old.key, seal(old.to_bytes()), None, contents=tuple(contents))
    with pytest.raises(ConfigurationError, match="the ttl of 'list' has passed"):
        await giving.find(disk, old.key)


@pytest.fixture
def car(tmp_path):
    return tmp_path / "some.car"


async def test_an_import_that_the_store_does_not_take_leaves_nothing(car, tmp_path):
    small, large = package_of([1]), package_of(bytes(300_000))
    pairs = [*pairs_of(*small), *pairs_of(*large)]
    write(car, [root_of(small[0]), root_of(large[0])], pairs)
    store = DiskCacheBackend(tmp_path / "small", size=100_000)
    with pytest.raises(ContentTooLargeError):
        await taking.import_(store, car)
    assert [key async for key, _ in store.records()] == []


async def test_an_import_that_fails_on_its_last_record_takes_the_others_back(
    car, disk, monkeypatch
):
    one, other = package_of([1]), package_of([2])
    write(car, [root_of(one[0]), root_of(other[0])], [*pairs_of(*one), *pairs_of(*other)])
    adopt = Shelf.adopt
    calls = []

    async def failing(self, data):
        calls.append(data)
        if len(calls) == 2:
            raise BackendError("disk full")
        return await adopt(self, data)

    monkeypatch.setattr(Shelf, "adopt", failing)
    with pytest.raises(BackendError, match="disk full"):
        await taking.import_(disk, car)
    assert [key async for key, _ in disk.records()] == []


async def test_a_bare_root_stays_and_is_no_result(car, disk):
    record, contents = cell_package({"a": [1]})
    write(car, [cids.parse(record.result)], pairs_of(record, contents)[1:])
    found = await taking.import_(disk, car)
    assert (found.roots, found.claims) == ((record.result,), ())
    assert (await taking.load(disk, record.result)).value == {"a": [1]}
    assert (await taking.load(disk, record.outputs[0].cid)).value == [1]


async def test_importing_twice_changes_nothing(car, disk):
    record, contents = package_of([1])
    write(car, [root_of(record)], pairs_of(record, contents))
    first = await taking.import_(disk, car)
    assert (await taking.import_(disk, car)).roots == first.roots
    assert first.claims[0].record == record
    assert not first.claims[0].origin.signer
    assert record.producer == whoami()
