from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import libipld
import pytest

import cascade_nb
from cascade_nb.content import car
from cascade_nb.content.cid import to_text
from cascade_nb.errors import CacheWarning
from cascade_nb.provenance.keys import whoami
from cascade_nb.provenance.signing import detached, sign_record, verify_signature
from cascade_nb.records import Record
from tests.test_records import CHANGES, RECORD

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")


def key_folder() -> Path:
    return Path(os.environ["JUPYTER_DATA_DIR"]) / "cascade-nb"


def test_a_signed_record_verifies_and_names_its_producer() -> None:
    for record in (RECORD, replace(RECORD, needs_code=True)):
        signed = sign_record(record)
        assert signed.producer == whoami()
        assert verify_signature(signed)
        assert verify_signature(Record.from_bytes(signed.to_bytes()))
        assert replace(signed, producer=record.producer, signature=record.signature) == record


def test_signing_again_changes_nothing() -> None:
    # Ed25519 draws nothing at random: equal records have equal bytes and one CID.
    assert sign_record(sign_record(RECORD)).to_bytes() == sign_record(RECORD).to_bytes()


@pytest.mark.parametrize("name", CHANGES)
def test_no_field_can_be_changed(name: str) -> None:
    signed = sign_record(RECORD)
    assert not verify_signature(replace(signed, **{name: CHANGES[name]}))


def test_no_byte_of_the_signature_can_be_changed() -> None:
    signed = sign_record(RECORD)
    for place in range(len(signed.signature)):
        flipped = bytearray(signed.signature)
        flipped[place] ^= 1
        assert not verify_signature(signed.with_signature(bytes(flipped))), place
    for other in (b"", signed.signature[:-1], signed.signature + b"\0", bytes(200)):
        assert not verify_signature(signed.with_signature(other))


def test_a_signature_over_data_never_serves_for_code() -> None:
    signed = sign_record(RECORD)
    assert b"data@cascade-nb" in signed.signature
    as_code = signed.signature.replace(b"data@cascade-nb", b"code@cascade-nb")
    assert not verify_signature(replace(signed, needs_code=True, signature=as_code))
    assert not verify_signature(replace(signed, needs_code=True))
    assert b"code@cascade-nb" in sign_record(replace(RECORD, needs_code=True)).signature


def test_the_signature_of_one_key_never_serves_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = sign_record(RECORD)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    theirs = sign_record(RECORD)
    assert theirs.producer != mine.producer
    assert verify_signature(mine)  # needs no key of the reader's
    assert verify_signature(theirs)
    assert not verify_signature(replace(mine, producer=theirs.producer))
    assert not verify_signature(mine.with_signature(theirs.signature))


def test_only_one_line_names_a_key() -> None:
    signed = sign_record(RECORD)
    algorithm, encoded = signed.producer.split(" ")
    raw = base64.b64decode(encoded)
    others = [
        "",
        encoded,
        f"{algorithm} ",
        f"{algorithm}  {encoded}",
        f"{algorithm} {encoded} comment",
        f"{algorithm} {encoded}\n",
        f"ssh-rsa {encoded}",
        f"{algorithm} {encoded[:-1]}",
        f"{algorithm} {base64.b64encode(raw + bytes(1)).decode()}",
        f"{algorithm} {base64.b64encode(raw[:-1]).decode()}",
        f"{algorithm} " + "\u00e4" * 68,
        f"{algorithm} {encoded[:30]}!{encoded[30:]}",
    ]
    for producer in others:
        assert not verify_signature(replace(signed, producer=producer)), producer


def test_the_public_line_says_nothing_of_user_or_machine() -> None:
    line = whoami()
    assert line.startswith("ssh-ed25519 AAAA")
    assert len(line.split(" ")) == 2
    assert (key_folder() / "id_ed25519.pub").read_text() == line + "\n"
    private = (key_folder() / "id_ed25519").read_bytes()
    body = base64.b64decode(b"".join(private.splitlines()[1:-1]))
    assert socket.gethostname().encode() not in body


@posix
def test_the_key_is_the_users_alone_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    line = whoami()
    private = key_folder() / "id_ed25519"
    assert private.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(key_folder())) == ["id_ed25519", "id_ed25519.pub"]
    code = "from cascade_nb.provenance.keys import whoami; print(whoami())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout == line + "\n"
    assert other.stderr == ""


def pem_of_another_type() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    return generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


@posix
@pytest.mark.parametrize("fault", ["damaged", "of another type", "readable by others"])
def test_an_unfit_key_is_neither_used_nor_overwritten(fault: str) -> None:
    path = key_folder() / "id_ed25519"
    path.parent.mkdir(parents=True)
    content = pem_of_another_type() if fault == "of another type" else b"damaged"
    path.write_bytes(content)
    path.chmod(0o644 if fault == "readable by others" else 0o600)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        signed = sign_record(RECORD)
        assert sign_record(RECORD) == signed
    assert [w.category for w in caught] == [CacheWarning]
    assert str(path) in str(caught[0].message)
    assert verify_signature(signed)
    assert path.read_bytes() == content


def test_without_a_home_a_session_key_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("JUPYTER_DATA_DIR")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.warns(CacheWarning, match="no home folder"):
        signed = sign_record(RECORD)
    assert verify_signature(signed)
    assert sign_record(RECORD).producer == signed.producer


def test_one_warning_serves_secret_and_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from cascade_nb.provenance.secret import seal

    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "file"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seal(b"x")
        sign_record(RECORD)
    assert len(caught) == 1


@pytest.mark.parametrize("needs_code", [False, True])
def test_openssh_accepts_our_signatures(needs_code: bool, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        if os.environ.get("CI"):
            pytest.fail("ssh-keygen is not installed; CI has to have it")
        pytest.skip("ssh-keygen is not installed")
    signed = sign_record(replace(RECORD, needs_code=needs_code))
    granted = "code" if needs_code else "data"
    parts = detached(signed)
    (tmp_path / "signature").write_text(parts.armored)
    (tmp_path / "allowed_signers").write_text(
        f'friend namespaces="{granted}@cascade-nb" {signed.producer}\n'
    )
    message = b"cascade-nb record 1\n" + signed.signed_bytes()
    assert (parts.namespace, parts.message) == (f"{granted}@cascade-nb", message)

    def check(namespace: str, message: bytes) -> int:
        command = ["ssh-keygen", "-Y", "verify", "-f", "allowed_signers", "-I", "friend"]
        return subprocess.run(
            [*command, "-n", namespace, "-s", "signature"],
            cwd=tmp_path,
            input=message,
            capture_output=True,
            check=False,
        ).returncode

    assert check(f"{granted}@cascade-nb", message) == 0
    assert check(f"{granted}@cascade-nb", message + b"\0") != 0
    assert check("file", message) != 0


def test_openssh_reads_our_key(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    line = whoami()
    shown = subprocess.run(
        ["ssh-keygen", "-y", "-f", key_folder() / "id_ed25519"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == line


def test_cryptography_is_imported_by_what_signs_alone() -> None:
    code = """
import sys
import cascade_nb.provenance.signing
from cascade_nb.provenance.secret import seal, unseal
assert unseal(seal(b"x")) == b"x"
assert "cryptography" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_person_can_check_an_exported_record_without_us(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    cid = await cascade_nb.export([1, 2, 3], tmp_path / "shared.car")
    reader = car.Reader()
    blocks = dict(reader.feed((tmp_path / "shared.car").read_bytes()))
    (root,) = reader.roots
    assert to_text(root) == cid
    # All that is needed: the block, any reader of DAG-CBOR, and a line of text.
    fields = libipld.decode_dag_cbor(blocks[root])
    signature = base64.encodebytes(fields.pop("signature")).decode()
    message = b"cascade-nb record 1\n" + libipld.encode_dag_cbor(fields)
    (tmp_path / "record.sig").write_text(
        f"-----BEGIN SSH SIGNATURE-----\n{signature}-----END SSH SIGNATURE-----\n"
    )
    (tmp_path / "signers").write_text(f"ann {fields['producer']}\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "ann"]
    command += ["-n", "data@cascade-nb", "-s", "record.sig"]
    done = subprocess.run(
        command, cwd=tmp_path, input=message, capture_output=True, text=False, check=True
    )
    assert b"Good" in done.stdout
