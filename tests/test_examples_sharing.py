"""The examples of sharing, run by two people who have no more in common than is said there."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cascade_nb.exchange import archives
from cascade_nb.provenance import fingerprint_of
from cascade_nb.records import Record
from cascade_nb.wording import short_signer
from tests.identities import Person, make_person
from tests.notebook.kernel import Kernel, Ran
from tests.servers.redis import redis_server
from tests.sides import code, sides


def test_both_sides_of_the_team_have_the_same_cells() -> None:
    ann, bob = map(code, sides("team"))
    for name in ("paint", "few-colours"):
        assert ast.dump(ast.parse(_body(ann[name]))) == ast.dump(
            ast.parse(_body(bob[f"bob-{name}"]))
        )


@pytest.mark.slow
def test_sharing_by_two_people_who_have_a_parcel_in_common(tmp_path: Path) -> None:
    ann, bob = make_person(tmp_path, "ann"), make_person(tmp_path, "bob")
    hers, his = map(code, sides("sharing"))
    with _kernel_of(ann) as kernel:
        ran = _run(kernel, hers)
        assert {name: r.badge for name, r in ran.items() if r.badge} == {
            "comparison": "miss",
            "best-model": "miss",
        }
        accuracies = kernel.value("accuracies.to_json()")
        model = kernel.value("model[-1].coef_.tolist()")
    assert str(tmp_path) not in ran["dry-run"].stdout
    assert ann.key in ran["dry-run"].stdout
    comparison, best_model = re.findall(r"^(baf\w+)  ", ran["export"].stdout, re.MULTILINE)

    shutil.copytree(_folder(ann) / "parcel", _folder(bob) / "parcel")
    with _kernel_of(bob) as kernel:
        ran = _run(kernel, his)
        assert kernel.value("accuracies.to_json()") == accuracies
        assert kernel.value("model[-1].coef_.tolist()") == model
        assert kernel.value("[comparison, best_model]") == str([comparison, best_model])
    assert "damaged.car was not imported: a CAR is broken at byte" in ran["damaged"].stdout
    assert ran["import"].stdout.count(f"  {short_signer(fingerprint_of(ann.key))}  baf") == 2
    assert f"is stored as code by {fingerprint_of(ann.key)}" in ran["refused"].stdout
    assert "trusted with data and code: Ann" in ran["trust"].stdout
    assert ran["distrust"].stdout.endswith("refused again\n")
    assert not bob.signers.read_text().strip()

    (again,) = archives.read(_folder(bob) / "parcel" / "again.car").records.values()
    assert Record.from_bytes(again).producer == ann.key != bob.key


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "redis"])
def test_a_team_of_two_on_one_store(kind: str, tmp_path: Path) -> None:
    if kind == "redis":
        with redis_server() as server:
            _check_team(tmp_path, server.url)
    else:
        _check_team(tmp_path, str(tmp_path / "team"))


def _check_team(folder: Path, store: str) -> None:
    ann, bob = make_person(folder, "ann"), make_person(folder, "bob")
    hers, his = map(code, sides("team"))
    with _kernel_of(ann, CASCADE_TEAM_STORE=store) as kernel:
        first = _run(kernel, hers)
        paintings = kernel.value("[hash(painting.tobytes()) for painting in paintings]")
        assert first["few-colours"].badge == "miss"
        assert kernel.value("paint.stats.misses") == "4"
    assert first["key"].stdout == f"{ann.key}\n"

    shutil.copy(_folder(ann) / "ann.pub", _folder(bob))
    called = f"Ann ({fingerprint_of(ann.key)})"
    with _kernel_of(bob, CASCADE_TEAM_STORE=store) as kernel:
        ran = _run(kernel, his, until="near")
        near_alone = kernel.run(his["bob-few-colours"])
        ran |= _run(kernel, {"distrust": his["distrust"]})
        assert kernel.value("[hash(painting.tobytes()) for painting in paintings]") == paintings
        assert kernel.value("paint.stats.misses") == "0"
    stranger = f"miss: stored by {fingerprint_of(ann.key)}, who is not trusted"
    assert ran["stranger"].stdout.startswith(stranger)
    assert ran["trust"].stdout.startswith(f"trusted with data: {called}\nhit: ")
    assert re.search(r"^few colours  cell .* Ann \(SHA256:", ran["near"].stdout, re.MULTILINE)
    for hit in (ran["bob-few-colours"], near_alone):
        assert hit.badge == "hit"
        assert hit.badge_text.endswith(f"from {called}")
        assert _images(hit) == _images(first["few-colours"])
    assert f"no longer trusted: {called}" in ran["distrust"].stdout
    assert stranger in ran["distrust"].stdout


def _body(source: str) -> str:
    return source.removeprefix("%%cascade").partition("\n")[2]


def _folder(person: Person) -> Path:
    """Where they work; it is there."""
    folder = person.home / "work"
    folder.mkdir(exist_ok=True)
    return folder


@contextmanager
def _kernel_of(person: Person, **environment: str) -> Iterator[Kernel]:
    # One seed of hashes, so that those of the two can be compared.
    kernel = Kernel(_folder(person), PYTHONHASHSEED="0", **person.environment, **environment)
    try:
        yield kernel
    finally:
        kernel.close()


def _run(kernel: Kernel, cells: dict[str, str], *, until: str = "") -> dict[str, Ran]:
    """Run `cells`, to the end or to that called `until`; none fails, none warns."""
    ran: dict[str, Ran] = {}
    for name, source in cells.items():
        ran[name] = kernel.run(source)
        assert ran[name].status == "ok", ran[name].traceback
        assert "Warning" not in ran[name].stderr, ran[name].stderr
        if name == until:
            break
    return ran


def _images(ran: Ran) -> list[str]:
    return [o["data"]["image/png"] for o in ran.shown if "image/png" in o.get("data", {})]
