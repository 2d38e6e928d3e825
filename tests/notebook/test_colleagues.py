"""A colleague's cell on a common store, replayed in a kernel of one's own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import libipld
import pytest

from cascade_nb import codecs, provenance
from cascade_nb.backends.disk import DiskCacheBackend
from cascade_nb.content.cid import dag_cbor_cid, parse, to_text
from cascade_nb.content.unixfs import file_cid
from cascade_nb.provenance import fingerprint_of
from cascade_nb.records import Record
from tests.identities import Person, make_person
from tests.notebook.kernel import Kernel

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SHOWING = f"""%%cascade --name shown
from IPython.display import HTML, SVG, Javascript, Markdown, display
print("printed")
display(HTML("<b>bold</b>"))
display({{"image/png": "{PNG}", "text/html": "<i>x</i>", "text/plain": "a picture"}}, raw=True)
display({{"text/html": "<i>only</i>"}}, raw=True)
display(Markdown("*marked*"))
get_ipython().set_next_input("evil()")
data = [1, 2, 3]
data
"""


@dataclass
class Team:
    """Two people, each at a kernel, who work in one folder with one store."""

    ann: Person
    bob: Person
    anns: Kernel
    bobs: Kernel
    store: Path

    def trust(self, *, code: bool = False) -> None:
        self.bobs.run(f"import cascade_nb; _ = cascade_nb.trust({self.ann.key!r}, code={code})")

    @property
    def digest(self) -> str:
        return fingerprint_of(self.ann.key)


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    ann, bob = make_person(folder, "ann"), make_person(folder, "bob")
    work, store = folder / "work", folder / "store"
    work.mkdir()
    anns, bobs = (Kernel(work, CASCADE_STORE=str(store), **p.environment) for p in (ann, bob))
    for kernel in (anns, bobs):
        kernel.run("%load_ext cascade_nb")
    yield Team(ann, bob, anns, bobs, store)
    anns.close()
    bobs.close()


@pytest.fixture
def team(kernels: Team) -> Team:
    """The two, with clean namespaces and an empty store; bob trusts nobody."""
    for kernel in (kernels.anns, kernels.bobs):
        kernel.run("%reset -f")
    kernels.anns.run("%cascade clear")
    with kernels.bob.acting():
        provenance.distrust(kernels.ann.key)
    return kernels


def kinds(outputs: list[dict[str, Any]]) -> list[list[str]]:
    return [sorted(o["data"]) for o in outputs if "data" in o]


def test_a_colleagues_cell_shows_text_and_pictures_alone(team: Team) -> None:
    assert team.anns.run(SHOWING).badge == "miss"
    team.trust()
    ran = team.bobs.run(SHOWING)
    assert (ran.badge, ran.stdout, ran.result) == ("hit", "printed\n", "[1, 2, 3]")
    assert f"from {team.digest}" in ran.badge_text
    assert kinds(ran.shown) == [
        ["text/plain"],
        ["image/png", "text/plain"],
        ["text/plain"],
        ["text/plain"],
        ["text/plain"],
    ]
    texts = [o["data"]["text/plain"] for o in ran.shown if "data" in o]
    assert texts[2] == "[text/html: not shown, as its signer is trusted with data only]"
    assert ran.reply["payload"] == []
    assert team.bobs.value("data") == "[1, 2, 3]"


def test_one_who_is_trusted_with_code_shows_all(team: Team) -> None:
    first = team.anns.run(SHOWING)
    team.trust(code=True)
    ran = team.bobs.run(SHOWING)
    assert ran.badge == "hit"
    assert kinds(ran.shown) == kinds(first.shown)
    assert [p["source"] for p in ran.reply["payload"]] == ["set_next_input"]


def test_a_stranger_is_a_miss_that_says_what_would_help(team: Team) -> None:
    cell = "%%cascade --name plain\nvalue = 40 + 2"
    team.anns.run(cell)
    ran = team.bobs.run(cell)
    assert ran.badge == "miss"
    assert ran.badge_text.endswith(f"to be served it, run: %cascade trust '{team.ann.key}'")
    for kernel in (team.anns, team.bobs):  # Each has their own by now.
        ran = kernel.run(cell)
        assert ran.badge == "hit"
        assert "from" not in ran.badge_text


@pytest.mark.parametrize(
    ("cell", "culprit"),
    [
        ("import os\nos.environ['PATHS'] = '/x'\nvalue = 1", "os.environ"),
        ("import sys\nsys.path.append('/somewhere')\nvalue = 1", "sys.path"),
        ("import os\nos.chdir('.')\nos.chdir('..')\nvalue = 1", "the working folder"),
        ("import random\nrandom.seed(3)\nvalue = random.random()", "the random module"),
    ],
)
def test_effects_on_the_session_need_trust_in_code(team: Team, cell: str, culprit: str) -> None:
    cell = f"%%cascade --name effects\n{cell}"
    try:
        assert team.anns.run(cell).badge == "miss"
        team.trust()
        reason = f"trusted with data only, and it changes {culprit}"
        ran = team.bobs.run(f"__name__\n{cell}".removeprefix("__name__\n"))
        assert ran.badge == "miss"
        assert reason in ran.badge_text
    finally:
        for kernel in (team.anns, team.bobs):
            kernel.run(f"import os; os.chdir({str(kernel.folder)!r}); os.environ.pop('PATHS', 0)")


def test_effects_are_restored_for_one_who_is_trusted_with_code(team: Team) -> None:
    cell = "%%cascade --name effects\nimport os\nos.environ['CHOSEN'] = 'x'"
    team.anns.run(cell)
    team.trust(code=True)
    assert team.bobs.run(cell).badge == "hit"
    assert team.bobs.value("__import__('os').environ['CHOSEN']") == "'x'"


# Records that nobody's kernel has written


FORGED = "%%cascade --name forged\nvalue = len('abc')\nvalue"


def forge(team: Team, change: Callable[[dict[str, Any], list[Any], dict[str, Any]], None]) -> None:
    """Let ann store for `FORGED` what `change` makes of its node, displays and effects."""

    async def rewrite() -> None:
        store = DiskCacheBackend(team.store)
        ((key, envelope),) = [row async for row in store.records()]
        record = Record.from_bytes(envelope[32:])
        node = libipld.decode_dag_cbor(bytes(await store.read_content(record.result) or b""))
        recorded = await store.read_content(to_text(node["displays"]))
        displays, effects = codecs.decode(recorded or b"", code=False)
        change(node, displays, effects)
        encoded = codecs.encode([displays, effects]).pieces
        node["displays"] = parse(file_cid(encoded))
        block = libipld.encode_dag_cbor(node)
        cids = [file_cid(encoded), dag_cbor_cid(block)]
        kept = [to_text(o["cid"]) for o in node["outputs"].values()]
        contents = [bytes(await store.read_content(cid) or b"") for cid in kept]
        for cid, content in zip([*kept, *cids], [*contents, b"".join(encoded), block], strict=True):
            await store.write_content(cid, [content])
        forged = provenance.sign_record(replace(record, result=cids[1]))
        envelope = provenance.seal(forged.to_bytes())
        await store.write_record(key, envelope, None, contents=[*kept, *cids])

    with team.ann.acting():
        asyncio.run(rewrite())


def _as_it_is(node: Any, displays: Any, effects: Any) -> None:
    pass


def _another_name(node: Any, displays: Any, effects: Any) -> None:
    effects["names"]["bound"].append("open")
    effects["names"]["constants"]["open"] = "nothing"


def _another_output(node: Any, displays: Any, effects: Any) -> None:
    node["outputs"]["print"] = node["outputs"]["value"]


def _a_function(node: Any, displays: Any, effects: Any) -> None:
    effects["names"]["references"]["value"] = ["import", "os", "system"]


def _a_module(node: Any, displays: Any, effects: Any) -> None:
    effects["names"]["references"]["value"] = ["module", "antigravity"]


def _a_deletion(node: Any, displays: Any, effects: Any) -> None:
    effects["names"]["deleted"].append("mine")


def _an_alias(node: Any, displays: Any, effects: Any) -> None:
    effects["names"]["references"]["value"] = ["name", "mine"]


def _nonsense(node: Any, displays: Any, effects: Any) -> None:
    effects["names"] = 3


def _too_much(node: Any, displays: Any, effects: Any) -> None:
    effects["names"]["shown"] = 10**12


def _no_effects(node: Any, displays: Any, effects: Any) -> None:
    effects.clear()


def _a_bad_node(node: Any, displays: Any, effects: Any) -> None:
    del node["outputs"]["value"]["size"]


@pytest.mark.parametrize(
    "change",
    [
        _another_name,
        _another_output,
        _a_function,
        _a_module,
        _a_deletion,
        _an_alias,
        _nonsense,
        _too_much,
        _no_effects,
        _a_bad_node,
    ],
)
def test_a_forged_cell_steers_nothing(team: Team, change: Callable[..., None]) -> None:
    team.anns.run(FORGED)
    forge(team, change)
    team.trust()
    team.bobs.run("mine = 'mine'")
    ran = team.bobs.run(FORGED)
    assert (ran.status, ran.badge, ran.result) == ("ok", "miss", "3"), ran.badge_text
    assert team.bobs.value("mine, value, callable(open), callable(print)") == (
        "('mine', 3, True, True)"
    )
    assert team.bobs.value("'antigravity' in __import__('sys').modules") == "False"
    assert team.bobs.run(FORGED).badge == "hit"  # By now it is bob's own.


def test_a_forged_cell_that_goes_not_too_far_is_a_hit(team: Team) -> None:
    team.anns.run(FORGED)
    forge(team, _as_it_is)
    team.trust()
    assert team.bobs.run(FORGED).badge == "hit"


def test_no_name_of_user_and_no_path_is_stored(team: Team) -> None:
    (team.anns.folder / "in.txt").write_text("in")
    cells = [
        "%%cascade\ntext = open('in.txt').read()\nprint(text)",
        "%%cascade\nimport sys\nsys.path.append('beside')\nvalue = 1",
    ]
    assert [team.anns.run(cell).badge for cell in cells] == ["miss", "miss"]
    names = [str(team.anns.folder), str(team.ann.home), sys.prefix]
    for path in team.store.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [name for name in names if name.encode() in content], path
