"""The shell commands by which two people give results to each other."""

import json

import pytest

from cascade_nb import cached, cli, share, whoami
from cascade_nb.provenance import fingerprint_of
from tests.exchange.users import make_user


@cached(name="double")
async def double(n):
    return [2 * n, str(n)]


@pytest.fixture
def ann(tmp_path):
    return make_user(tmp_path, "ann")


@pytest.fixture
def bob(tmp_path):
    return make_user(tmp_path, "bob")


@pytest.fixture
def cascade(capsys, monkeypatch):
    """Run the command as somebody; gives exit code, stdout and stderr."""

    def cascade(person, *arguments):
        capsys.readouterr()
        with person.acting():
            monkeypatch.setenv("CASCADE_STORE", str(person.store))
            code = cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out.rstrip("\n"), said.err.rstrip("\n")

    return cascade


@pytest.fixture
async def entry(ann):
    with ann.acting():
        await double(4)
        return await double.peek(4)


@pytest.fixture
def car(tmp_path):
    return tmp_path / "shared.car"


async def test_share_tells_the_cid_and_what_to_type(cascade, ann, entry):
    code, out, err = cascade(ann, "share", "double")
    assert (code, err) == (0, "")
    cid, what, where, said, typed = out.splitlines()
    assert cid == entry.record_cid
    assert what.startswith("double: value, ")
    assert where.startswith("in your store alone; for a file: cascade export ")
    assert (said, typed) == ("the other side pastes:", f"cascade load {cid}")
    for x in (entry.cid, entry.key, entry.cid[:20], entry.record_cid):
        assert json.loads(cascade(ann, "share", x, "--json")[1])["cid"] == cid


async def test_a_dry_run_reveals_and_shares_nothing(cascade, ann, entry, car):
    code, out, _ = cascade(ann, "share", "double", "--dry-run", "--car", car)
    assert code == 0
    assert "arguments    n" in out
    assert not car.exists()
    told = json.loads(cascade(ann, "share", "double", "--dry-run", "--json")[1])
    assert "argument n" in told["parts"]


async def test_from_one_to_the_other(cascade, ann, bob, entry, car):
    assert cascade(ann, "share", "double", "--car", car)[0] == 0
    code, out, err = cascade(bob, "import", car)
    assert (code, err) == (0, "")
    header, line, hint, total = out.splitlines()
    assert header.split() == ["name", "kind", "size", "from", "CID"]
    assert line.split()[:2] == ["double", "value"]
    assert line.endswith(entry.record_cid)
    assert total == "imported 1 root"
    assert cascade(bob, "load", entry.record_cid)[1].splitlines()[1] == "[8, '4']"
    assert json.loads(cascade(bob, "load", entry.cid, "--json")[1])["value"] == "[8, '4']"
    assert cascade(ann, "load", "double")[1].splitlines()[1] == "[8, '4']"
    assert cascade(bob, "ls")[1] == f"nothing of yours is stored\n{hint}"

    key = cascade(ann, "whoami")[1]
    assert hint == (
        f"1 result of {fingerprint_of(key)} is not trusted; "
        f"to be served it, run: cascade trust '{key}'"
    )
    with ann.acting():
        assert whoami() == key
    code, out, _ = cascade(bob, "trust", key)
    assert (code, out.split(":")[0]) == (0, "trusted with data")
    assert json.loads(cascade(bob, "ls", "--json")[1])[0]["record_cid"] == entry.record_cid
    assert json.loads(cascade(bob, "trust", *key.split(), "--code", "--json")[1])
    assert cascade(bob, "distrust", key)[1].startswith("no longer trusted: SHA256:")
    assert cascade(bob, "distrust", key)[1] == "nobody was trusted"
    assert cascade(bob, "ls")[1] == f"nothing of yours is stored\n{hint}"

    assert cascade(bob, "forget", entry.record_cid)[0] == 0
    code, _, err = cascade(bob, "load", entry.record_cid)
    assert code == 1
    assert err.startswith(f"cascade: nobody has {entry.record_cid}: asked the store")


async def test_several_in_one_file(cascade, ann, bob, car):
    with ann.acting():
        await double(1)
        other = await share([1, 2])
    told = json.loads(cascade(ann, "export", "double", other, "-o", car, "--json")[1])
    assert len(told) == 2
    found = json.loads(cascade(bob, "import", car, "--json")[1])
    assert found["roots"] == [each["cid"] for each in told]
    assert [each["name"] for each in found["records"]] == ["double", "list"]


async def test_code_is_refused(cascade, ann, bob, car):
    with ann.acting():
        cid = await share([lambda: 1])
    assert "cascade trust 'ssh-ed25519 " in cascade(ann, "export", cid, "-o", car)[1]
    cascade(bob, "import", car)
    code, out, err = cascade(bob, "load", cid)
    assert (code, out) == (1, "")
    assert "is stored as code by SHA256:" in err
    assert "\n" not in err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["share", "nothing"], 2, "nothing is stored, so nothing goes by 'nothing'"),
        (["share"], 2, "Missing argument 'X'."),
        (["load", "hello"], 2, "'hello' is not a CID, and nothing is stored"),
        (["export", "x"], 2, "Missing option '-o' / '--output'."),
        (["import", "nowhere.car"], 2, "nowhere.car cannot be read: No such file or directory"),
        (["trust", "nobody"], 2, "'nobody' is no line `ssh-ed25519 AAAA...` and no file"),
    ],
)
def test_nonsense_is_told_in_one_line(cascade, ann, arguments, code, message):
    ended, out, err = cascade(ann, *arguments)
    assert (ended, out) == (code, "")
    assert err.startswith(f"cascade: {message}")
    assert "\n" not in err


def test_a_bad_file_is_told_in_one_line(cascade, bob, car):
    car.write_bytes(b"no CAR at all")
    code, out, err = cascade(bob, "import", car)
    assert (code, out) == (1, "")
    assert err.startswith(f"cascade: {car} was not imported: a CAR is broken at byte ")


def test_gc_of_a_folder(cascade, ann):
    code, out, _ = cascade(ann, "gc")
    assert code == 0
    assert "removes what nothing needs by itself" in out
    assert json.loads(cascade(ann, "gc", "--json")[1])["removed"] == 0
