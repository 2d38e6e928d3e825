"""`trust` and `distrust`, as people call them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import cascade_nb
from cascade_nb.errors import ConfigurationError
from cascade_nb.provenance import distrust, fingerprint_of, trust, trusted, whoami
from cascade_nb.provenance.allowed import standing_of
from tests.identities import Person, make_person

RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7"


@pytest.fixture
def ann(tmp_path: Path) -> Person:
    return make_person(tmp_path, "ann")


def test_the_three_are_public() -> None:
    assert (cascade_nb.trust, cascade_nb.distrust, cascade_nb.whoami) == (trust, distrust, whoami)


def test_trust_names_whom_one_trusts(ann: Person) -> None:
    digest = fingerprint_of(ann.key)
    assert trust(ann.key) == [digest]
    assert standing_of(ann.key).data
    assert not standing_of(ann.key).code
    assert distrust(ann.key) == [digest]
    assert distrust(ann.key) == []
    assert trust(f"  {ann.key} ann@work \n", code=True) == [f"ann@work ({digest})"]
    # Trust is granted, and taken away only by `distrust`.
    trust(ann.key)
    assert standing_of(ann.key).code
    assert distrust(digest) == [f"ann@work ({digest})"]
    assert not standing_of(ann.key).data


@pytest.mark.parametrize("as_path", [str, Path])
@pytest.mark.parametrize(
    "content",
    [
        "{ann}\n",
        "# people\n\n{ann} ann\n" + RSA + "\n",
        'ann namespaces="git" {ann}\n',
        'command="x y",no-pty {ann} ann\r\n',
        "ann {ann}",
    ],
)
def test_a_file_of_keys(ann: Person, tmp_path: Path, content: str, as_path: type) -> None:
    path = tmp_path / "keys.pub"
    path.write_bytes(content.replace("{ann}", ann.key).encode())
    (name,) = trust(as_path(path))
    assert name.endswith(f"{fingerprint_of(ann.key)})") or name == fingerprint_of(ann.key)
    assert (standing_of(ann.key).data, standing_of(ann.key).code) == (True, False)
    assert distrust(as_path(path)) == [name]


def test_a_file_of_several_people(ann: Person, tmp_path: Path) -> None:
    bob = make_person(tmp_path, "bob")
    (tmp_path / "team").write_text(f"ann {ann.key}\nbob {bob.key}\n")
    assert [name.split()[0] for name in trust(tmp_path / "team")] == ["ann", "bob"]
    assert standing_of(ann.key).data
    assert standing_of(bob.key).data


def test_whom_one_trusts_right_now(ann: Person, tmp_path: Path) -> None:
    bob = make_person(tmp_path, "bob")
    assert trusted() == []
    for key in (ann.key, bob.key, whoami()):
        trust(key)
    assert trusted() == [ann.key, bob.key]
    distrust(ann.key)
    assert trusted() == [bob.key]


def test_a_file_below_home(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(ann.home))
    (ann.home / "ann.pub").write_text(ann.key)
    assert trust("~/ann.pub") == [fingerprint_of(ann.key)]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (RSA, "ssh-rsa.*ssh-ed25519"),
        ("sk-ssh-ed25519@openssh.com AAAAGnNr", "sk-ssh-ed25519@openssh.com"),
        ("ssh-ed25519 AAAA", "damaged or cut short"),
        ("no/such/file", "no file of them .*No such file"),
        ("", "no line"),
        ("a\0b", "no line"),
        (".", "Is a directory"),
        ("SHA256:abc", "no line"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END", "private key"),
    ],
)
def test_what_is_no_key_is_told_in_one_line(key: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        trust(key)
    assert "\n" not in str(caught.value)
    assert not (Path(os.environ["JUPYTER_DATA_DIR"]) / "cascade-nb" / "allowed_signers").exists()


def test_one_damaged_key_in_a_file_trusts_nobody(ann: Person, tmp_path: Path) -> None:
    (tmp_path / "team").write_text(f"{ann.key}\nssh-ed25519 AAAA bob\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        trust(tmp_path / "team")
    assert not standing_of(ann.key).data


def test_ones_own_key_cannot_be_distrusted() -> None:
    mine = whoami()
    with pytest.raises(ConfigurationError, match="your own key"):
        distrust(mine)
    assert trust(mine) == [fingerprint_of(mine)]


def test_without_a_home_nobody_can_be_trusted(ann: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    key = ann.key

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("JUPYTER_DATA_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(Path, "home", no_home)
    assert not standing_of(key).data
    with pytest.raises(ConfigurationError, match="no home folder"):
        trust(key)
