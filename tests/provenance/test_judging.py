"""Whose a record is, and what their word is good for."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cascade_nb import provenance
from cascade_nb.errors import IntegrityError
from cascade_nb.provenance import Origin, distrust, judge, judge_record, sign_record, trust
from cascade_nb.provenance.secret import seal
from cascade_nb.records import Record
from tests.identities import Person, make_person
from tests.test_records import RECORD

OWN = Origin()


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    return make_person(tmp_path, "ann")


def signed(person: Person, record: Record = RECORD) -> bytes:
    return person.do(lambda: sign_record(record).to_bytes())


def test_ones_own_envelope_is_ones_own() -> None:
    data = sign_record(RECORD).to_bytes()
    assert judge(provenance.seal(data)) == (Record.from_bytes(data), OWN)


def test_what_one_has_signed_is_ones_own_without_the_seal() -> None:
    data = sign_record(RECORD).to_bytes()
    assert judge_record(data)[1] == OWN
    assert judge(bytes(32) + data) == (Record.from_bytes(data), OWN)


def test_a_look_at_others_makes_no_key(ann: Person) -> None:
    data = signed(ann)
    judged = judge_record(data)[1]
    assert not judged.data
    assert judge(ann.do(lambda: provenance.seal(data))) is not None
    assert not (Path(os.environ["JUPYTER_DATA_DIR"]) / "cascade-nb" / "id_ed25519").exists()


def test_trust_is_asked_for_at_each_look(ann: Person) -> None:
    data = signed(ann)
    theirs = ann.do(lambda: provenance.seal(data))
    imported = provenance.seal_imported(data)
    digest = provenance.fingerprint_of(ann.key)

    def origins() -> list[Origin]:
        return [found[1] for e in (theirs, imported) if (found := judge(e)) is not None]

    assert origins() == [Origin(digest, data=False, code=False)] * 2
    trust(f"{ann.key} ann@work")
    name = f"ann@work ({digest})"
    assert origins() == [Origin(name, data=True, code=False)] * 2
    trust(ann.key, code=True)
    assert origins() == [Origin(name, data=True, code=True)] * 2
    assert distrust(ann.key) == [name]
    assert origins() == [Origin(digest, data=False, code=False)] * 2


def test_distrust_in_another_process_counts_at_once(ann: Person) -> None:
    data = signed(ann)
    trust(ann.key)
    assert judge_record(data)[1].data
    code = "import sys, cascade_nb; cascade_nb.distrust(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, ann.key], check=True)
    assert not judge_record(data)[1].data


@pytest.mark.parametrize("place", [32, 60, -1])
def test_no_byte_of_a_strangers_envelope_can_be_changed(ann: Person, place: int) -> None:
    trust(ann.key, code=True)
    envelope = bytearray(ann.do(lambda: provenance.seal(signed(ann))))
    assert judge(envelope) is not None
    envelope[place] ^= 1
    assert judge(envelope) is None


def test_nobody_else_can_make_the_seal_of_what_was_verified(ann: Person) -> None:
    trust(ann.key)
    forged = replace(Record.from_bytes(signed(ann)), name="forged").to_bytes()
    assert judge(ann.do(lambda: provenance.seal_imported(forged))) is None
    assert judge(ann.do(lambda: provenance.seal(forged))) is None
    assert judge(seal(forged, context=b"note")) is None
    # With the secret it would be taken: the seal stands for a check that was made.
    assert judge(provenance.seal_imported(forged)) is not None


@pytest.mark.parametrize("data", [b"", b"x", bytes(31), bytes(32), bytes(100), b"\xff" * 200])
def test_rubbish_is_damaged(data: bytes) -> None:
    assert judge(data) is None
    assert judge(provenance.seal(data)) is None
    assert judge(provenance.seal_imported(data)) is None


def test_a_bare_record_says_what_is_wrong_with_it(ann: Person) -> None:
    with pytest.raises(IntegrityError, match="signature"):
        judge_record(RECORD.to_bytes())
    with pytest.raises(IntegrityError, match="not a record"):
        judge_record(b"\xa0")
    moved = replace(Record.from_bytes(signed(ann)), key="0f" * 32)
    with pytest.raises(IntegrityError, match="signature"):
        judge_record(moved.to_bytes())


def test_envelopes_may_be_any_buffer(ann: Person) -> None:
    trust(ann.key)
    envelope = ann.do(lambda: provenance.seal(signed(ann)))
    assert judge(bytearray(envelope)) == judge(memoryview(envelope)) == judge(envelope)
