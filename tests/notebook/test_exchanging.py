"""What two people type to give results to each other, each in a kernel of their own."""

import re

import pytest

from cascade_nb.content.cid import dag_cbor_cid
from tests.exchange.test_archives import cell_package, pairs_of, root_of, write
from tests.identities import make_person
from tests.notebook.kernel import Kernel

CID = re.compile(r"\bbafy[a-z2-7]{55}\b")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exchange")


def kernel_of(folder, name):
    person = make_person(folder, name)
    kernel = Kernel(folder, **person.environment, CASCADE_STORE=str(person.home / "store"))
    kernel.run("%load_ext cascade_nb")
    return kernel


@pytest.fixture(scope="module")
def kernels(folder):
    both = [kernel_of(folder, name) for name in ("ann", "bob")]
    yield both
    for kernel in both:
        kernel.close()


@pytest.fixture
def ann(kernels):
    kernels[0].run("%reset -f", "%cascade on", "%cascade clear")
    return kernels[0]


@pytest.fixture
def bob(kernels, ann):
    key = ann.run("%cascade whoami").stdout.strip()
    kernels[1].run("%reset -f", "%cascade clear", f"%cascade distrust {key}")
    return kernels[1]


def cids_in(ran):
    assert ran.status == "ok", ran.traceback
    return CID.findall(ran.stdout)


def refused(kernel, line):
    """The one line in which a verb is refused."""
    ran = kernel.run(line)
    (said,) = [o["text"] for o in ran.outputs if o.get("name") == "stderr"]
    assert said.startswith("UsageError: ")
    assert said.count("\n") == 1
    return said.removeprefix("UsageError: ").rstrip("\n")


CELL = """
from IPython.display import HTML, display
model = {"w": [0.5, 1.5]}
alias = model["w"]
print("trained")
display(HTML("<b>bold</b>"))
sum(alias)
"""


def test_a_cell_is_shared_and_loaded_with_its_names_and_output(ann, bob):
    ran = ann.run("%%cascade --share" + CELL)
    record = ran.stdout.splitlines()[1]
    assert ran.badge == "miss"
    assert f"%cascade load {record}" in ran.stdout.splitlines()
    assert "model, alias: cell, " in ran.stdout
    again = ann.run("%%cascade --share" + CELL)
    assert (again.badge, again.stdout.splitlines()[1]) == ("hit", record)
    assert again.stdout.count(record) == ran.stdout.count(record)

    assert record in ann.run(f"%cascade export {record} -o cell.car").stdout
    imported = bob.run("%cascade import cell.car").stdout
    assert imported.splitlines()[1].startswith("model, alias  cell ")
    assert "imported 1 root" in imported
    loaded = bob.run(f"%cascade load {record}")
    assert loaded.stdout == "trained\nbound: model, alias\n"
    assert loaded.result == "2.0"
    (shown,) = [o["data"] for o in loaded.outputs if o["type"] == "display_data"]
    assert set(shown) == {"text/plain"}, "a stranger's HTML is not shown"
    assert bob.value("model['w'] is alias") == "True"
    assert bob.value("model") == "{'w': [0.5, 1.5]}"

    bob.run("%reset -f", f"%cascade load ipfs://{record} --as got")
    assert bob.value("got") == "{'model': {'w': [0.5, 1.5]}, 'alias': [0.5, 1.5]}"
    assert bob.value("'model' in globals()") == "False"


def test_a_cell_of_one_who_is_trusted_is_a_hit(ann, bob):
    ann.run("%%cascade -n fit" + CELL, "%cascade share fit --car fit.car")
    key = ann.run("%cascade whoami").stdout.strip()
    hint = f"to be served it, run: %cascade trust '{key}'\n"
    assert hint in bob.run("%cascade import fit.car").stdout
    nothing, *_ = bob.run("%cascade ls").stdout.splitlines()
    assert nothing == "nothing of yours is stored"
    assert bob.run("%cascade ls").stdout.endswith(hint)
    assert "trusted with data: SHA256:" in bob.run(f"%cascade trust {key}").stdout
    assert "fit" in bob.run("%cascade ls").stdout
    ran = bob.run("%%cascade" + CELL)
    assert ran.badge == "hit"
    assert "SHA256:" in ran.badge_text


def test_a_variable_and_a_value_are_shared(ann, bob):
    ann.run("import datetime", "x = [datetime.date(2020, 1, 2)]")
    record = cids_in(ann.run("%cascade export x -o x.car"))[0]
    assert cids_in(ann.run("%cascade share x"))[0] == record
    bob.run("%cascade import x.car", f"y = %cascade load {record}")
    assert bob.value("y") == "[datetime.date(2020, 1, 2)]"
    assert bob.run(f"%cascade load {record}").result == "[datetime.date(2020, 1, 2)]"


def test_a_variable_may_hold_the_cid(ann):
    ann.run("%%cascade -n part\npart = [1, 2]")
    record = cids_in(ann.run("%cascade share part"))[0]
    ann.run(f"cid = {record!r}\nnumber = 3\ntext = 'part'")
    for word in (record, record[:20], "part", "cid", "$cid", "{cid}"):
        ann.run("del part")
        assert ann.run(f"%cascade load {word}").stdout == "bound: part\n"
        assert ann.value("part") == "[1, 2]"
    ann.run("%cascade load cid --as got")
    assert ann.value("got") == "{'part': [1, 2]}"
    assert f"record    {record}" in ann.run("%cascade show cid").stdout
    assert cids_in(ann.run("%cascade share cid"))[0] == record
    assert cids_in(ann.run("%cascade export $cid -o cid.car"))[0] == record
    assert "part: list" in ann.run("%cascade share {cid} --dry-run").stdout
    assert refused(ann, "%cascade load number") == (
        "the variable 'number' holds no CID: it is of type int"
    )
    assert refused(ann, "%cascade load text") == (
        "the variable 'text' holds no CID: it is another text"
    )
    assert refused(ann, "%cascade show number").startswith("nothing stored goes by 'number'")
    assert ann.run("%cascade forget cid").stdout == "forgot 1 result of cid\n"
    assert refused(ann, "%cascade show cid").startswith("nothing is stored")


def test_what_is_stored_comes_before_a_variable(ann):
    ann.run("%%cascade -n mine\na = 1", "%%cascade -n other\nb = 2")
    record = cids_in(ann.run("%cascade share other"))[0]
    ann.run(f"mine = {record!r}")
    assert ann.run("%cascade load mine").stdout == "bound: a\n"
    assert "name      mine" in ann.run("%cascade show mine").stdout


def test_an_entry_names_its_record(ann):
    ann.run("from cascade_nb import cached\n@cached\ndef f(x):\n    return [x]\n\nf(1)")
    ann.run("entry = await f.peek(1)")
    record = ann.value("entry.record_cid").strip("'")
    assert cids_in(ann.run("%cascade share entry"))[0] == record
    for word in ("entry", "$entry.record_cid", "{entry.cid}", "{[entry][0].cid}"):
        assert ann.run(f"%cascade load {word}").result == "[1]"
    assert refused(ann, "%cascade load {entry.size}").startswith("'{entry.size}' is not a CID, and")


def test_a_variable_that_has_changed_is_not_the_cell_of_its_name(ann):
    ann.run("%%cascade\nx = [1]")
    cell = cids_in(ann.run("%cascade share x"))[0]
    ann.run("x = [2]")
    value = cids_in(ann.run("%cascade share x"))[0]
    assert value != cell
    ann.run("x = [1]")
    assert cids_in(ann.run("%cascade share x"))[0] == cell
    assert ann.run(f"%cascade load {value}").result == "[2]"


def test_several_go_into_one_file(ann, bob):
    ann.run("%%cascade -n 'two words'\na = 1", "b = [2]")
    told = cids_in(ann.run("%cascade export 'two words' b -o both.car"))
    first, second = dict.fromkeys(told)
    assert set(cids_in(bob.run("%cascade import both.car"))) == {first, second}
    assert bob.run(f"%cascade load {second}").result == "[2]"


def test_code_is_refused_in_one_line_that_says_how_to_trust(ann, bob):
    ann.run("f = [lambda x: x + 1]")
    told = ann.run("%cascade export f -o f.car").stdout
    record = CID.findall(told)[0]
    command = next(line for line in told.splitlines() if line.endswith("--code"))
    bob.run("%cascade import f.car")
    said = refused(bob, f"%cascade load {record}")
    assert said.startswith("f (list) is stored as code by SHA256:")
    assert command in said
    bob.run(command)
    bob.run(f"g = %cascade load {record}")
    assert bob.value("g[0](1)") == "2"


def test_an_output_that_shares_memory_with_an_input_loads_where_that_is(ann, bob):
    ann.run("import numpy as np\ndata = np.arange(4.0)")
    ann.run("%%cascade -n part\npart = data[:2]")
    record = cids_in(ann.run("%cascade export part -o part.car"))[0]
    ann.run("del part")
    record = cids_in(ann.run("%cascade share part --car part.car"))[0]
    bob.run("%cascade import part.car")
    said = refused(bob, f"%cascade load {record}")
    assert said.startswith("part refers to its input `data`, which is not here")
    bob.run("import numpy as np\ndata = np.arange(5.0)")
    assert "refers to its input `data`" in refused(bob, f"%cascade load {record}")
    bob.run("data = np.arange(4.0)", f"%cascade load {record}")
    assert bob.value("part.base is data") == "True"


def test_names_that_python_looks_up_are_not_bound(ann, bob):
    ann.run("%%cascade -n odd\nopen = [1]\n_private = [2]\nfine = [3]")
    record = cids_in(ann.run("%cascade share odd --car odd.car"))[0]
    bob.run("%cascade import odd.car")
    assert bob.run(f"%cascade load {record}").stdout == "bound: fine\n"
    assert bob.value("callable(open)") == "True"


def test_a_dry_run_lists_what_would_be_revealed_and_does_nothing(ann):
    ann.run("from pathlib import Path\nPath('in.csv').write_text('1')")
    ann.run("%%cascade -n read\nn = int(open('in.csv').read())")
    told = ann.run("%cascade share read --dry-run").stdout
    for fact in ("name         read", "outputs      n: int", "files read   in.csv", "python 3."):
        assert fact in told
    ann.run("z = [1]")
    assert "z" in ann.run("%cascade share z --dry-run").stdout
    assert "z " not in ann.run("%cascade ls").stdout


def test_sharing_what_is_not_stored_says_so_and_spoils_nothing(ann):
    ran = ann.run("%%cascade --share\nit = iter([1, 2])\nn = next(it)")
    assert ran.status == "ok"
    assert ran.badge == "bypass"
    assert "was not shared: its result is not stored" in ran.stdout
    ran = ann.run("%%cascade --share\n1 / 0")
    assert ran.status == "error"
    assert "was not shared" not in ran.stdout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("share nothing", "nothing is stored, so nothing goes by 'nothing'"),
        ("share", "usage: %cascade share X [--car FILE] [--dry-run [--verbose]]"),
        (
            "share x --bogus",
            "no option --bogus; usage: %cascade share X [--car FILE] [--dry-run [--verbose]]",
        ),
        ("share x --car", "usage: %cascade share X [--car FILE] [--dry-run [--verbose]]"),
        (
            "load hello",
            "'hello' is not a CID, and nothing is stored, so nothing goes by 'hello'",
        ),
        ("load", "usage: %cascade load CID [--as NAME]"),
        ("load 'x", "a quote does not close; usage: %cascade load CID [--as NAME]"),
        ("export", "usage: %cascade export X... -o FILE.car"),
        ("import nowhere.car", "nowhere.car cannot be read: No such file or directory"),
        ("trust nobody", "'nobody' is no line `ssh-ed25519 AAAA...` and no file of them"),
    ],
)
def test_nonsense_is_refused_in_one_line(ann, line, said):
    assert refused(ann, f"%cascade {line}").startswith(said)


def test_export_wants_a_file(ann):
    ann.run("x = [1]")
    assert refused(ann, "%cascade export x").startswith("name the file to write: ")
    assert "cannot be written" in refused(ann, "%cascade export x -o nowhere/x.car")
    assert "--as takes a name" in refused(ann, f"%cascade load {'bafkqaaa'} --as 1x")


def test_gc_says_that_a_folder_needs_none(ann):
    assert "removes what nothing needs by itself" in ann.run("%cascade gc").stdout


def test_below_another_magic_a_cell_is_shared_too(ann):
    ran = ann.run("%%capture out\n%%cascade --share\nx = [1]")
    assert ran.status == "ok"
    assert CID.search(ann.value("out.stdout"))


HOSTILE = [
    {"displays": [["display", 1]]},
    {"displays": [["display", {"text/plain": 5}, {}, {}, False]]},
    {"displays": [["display", {"text/plain": "x"}, 5, 5, 5]]},
    {"displays": [["stdout", None], ["stdout", 5]]},
    {"displays": [["clear", "yes"], ["result", None, None]]},
    {"displays": [5, None, [], ["payload", {"source": "set_next_input", "text": "evil()"}]]},
    {"displays": "text"},
    {"displays": {"a": 1}},
    {"displays": [], "effects": {}},
    {"displays": [], "effects": {"names": 5, "session": 5}},
    {"displays": [["result", {"text/html": "<script>"}, {}]]},
]


@pytest.mark.parametrize("forged", HOSTILE, ids=range(len(HOSTILE)))
def test_whatever_a_stranger_recorded_does_no_harm(bob, folder, tmp_path, forged):
    stranger = make_person(tmp_path, "stranger")
    with stranger.acting():
        record, contents = cell_package({"fine": [1], "Out": [2]}, **forged)
        write(folder / "forged.car", [root_of(record)], pairs_of(record, contents))
        bob.run("%cascade import forged.car")
        ran = bob.run(f"%cascade load {dag_cbor_cid(record.to_bytes())}")
    assert ran.status == "ok" or "UsageError" in ran.stderr, ran.traceback
    assert ran.stderr.count("\n") <= 1, ran.stderr
    assert "script" not in str(ran.outputs)
    assert not ran.reply.get("payload")
    assert bob.value("1 + 1") == "2"
