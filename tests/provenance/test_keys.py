"""Signing by a key that the user has chosen, in place of the pair that is made for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cascade_nb.errors import ConfigurationError
from cascade_nb.provenance import Origin, judge, judge_record, keys, seal, sign_record, whoami
from tests.test_records import RECORD

OPENSSH = serialization.PrivateFormat.OpenSSH
PEM = serialization.Encoding.PEM
NO_PASSPHRASE = serialization.NoEncryption()


@pytest.fixture(autouse=True)
def choose_none_after() -> Iterator[None]:
    yield
    keys.use(None)


def make_key(path: Path) -> str:
    """Write a key pair as ssh-keygen would; its public line."""
    private = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(private.private_bytes(PEM, OPENSSH, NO_PASSPHRASE))
    path.chmod(0o600)
    line = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    path.with_suffix(".pub").write_bytes(line + b" ann@work\n")
    return line.decode()


def test_a_chosen_key_signs_and_older_results_stay_ones_own(tmp_path: Path) -> None:
    before = sign_record(RECORD).to_bytes()
    envelope, own = seal(before), whoami()
    chosen = make_key(tmp_path / "id_ed25519")
    keys.use(tmp_path / "id_ed25519")
    assert whoami() == chosen != own
    after = sign_record(RECORD)
    assert after.producer == chosen
    for found in (judge(envelope), judge_record(before), judge_record(after.to_bytes())):
        assert found is not None
        assert found[1] == Origin()
    keys.use(None)
    assert whoami() == own
    assert not judge_record(after.to_bytes())[1].data


def test_ones_own_keys_are_those_that_there_are(tmp_path: Path) -> None:
    assert keys.own_keys() == []  # To ask makes none.
    made = whoami()
    assert keys.own_keys() == [made]
    chosen = make_key(tmp_path / "id_ed25519")
    keys.use(tmp_path / "id_ed25519")
    assert keys.own_keys() == [chosen, made]
    (tmp_path / "id_ed25519").unlink()
    keys.use(None)
    assert keys.own_keys() == [made]


def test_the_environment_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    chosen = make_key(tmp_path / ".ssh" / "id_ed25519")
    monkeypatch.setenv("CASCADE_SIGNING_KEY", "~/.ssh/id_ed25519")
    assert whoami() == chosen
    assert not (Path(os.environ["JUPYTER_DATA_DIR"]) / "cascade-nb" / "id_ed25519").exists()
    other = make_key(tmp_path / "other")
    keys.use("~/other")
    assert whoami() == other
    monkeypatch.setenv("CASCADE_SIGNING_KEY", "")
    keys.use(None)
    assert whoami() not in (chosen, other)


def faulty(fault: str, path: Path) -> Path:
    if fault == "passphrase":
        if shutil.which("ssh-keygen") is None:
            pytest.skip("ssh-keygen is not installed")
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "some words", "-f", str(path)]
        subprocess.run(command, check=True)
    elif fault == "another kind":
        path.write_bytes(generate_ec(SECP256R1()).private_bytes(PEM, OPENSSH, NO_PASSPHRASE))
    elif fault == "not OpenSSH":
        pkcs8 = serialization.PrivateFormat.PKCS8
        path.write_bytes(Ed25519PrivateKey.generate().private_bytes(PEM, pkcs8, NO_PASSPHRASE))
    elif fault == "public":
        make_key(path)
        return path.with_suffix(".pub")
    elif fault == "readable":
        make_key(path)
    elif fault == "folder":
        path.mkdir()
        return path
    if path.exists():
        path.chmod(0o644 if fault == "readable" else 0o600)
    return path


FAULTS = {
    "passphrase": "has a passphrase",
    "another kind": "no Ed25519 key",
    "not OpenSSH": "no OpenSSH private key",
    "public": "is a public key; name the private one",
    "missing": "does not exist; `ssh-keygen -t ed25519` makes one",
    "folder": "cannot be read",
}
if sys.platform != "win32":
    FAULTS["readable"] = "open to others.*chmod 600"


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("how", ["use", "environment"])
def test_a_key_that_cannot_sign_is_told_with_a_way_out(
    fault: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = faulty(fault, tmp_path / "key")
    own = whoami()
    if how == "environment":
        monkeypatch.setenv("CASCADE_SIGNING_KEY", str(path))
    with pytest.raises(ConfigurationError, match=FAULTS[fault]) as caught:
        keys.use(path) if how == "use" else whoami()
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    if how == "use":  # A choice that fails changes nothing.
        assert whoami() == own


def test_a_bad_choice_harms_no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = sign_record(RECORD).to_bytes()
    monkeypatch.setenv("CASCADE_SIGNING_KEY", "/no/such/key")
    for found in (judge(seal(mine)), judge_record(mine)):
        assert found is not None
        assert found[1] == Origin()
