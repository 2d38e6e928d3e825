"""The file of allowed signers: OpenSSH's format, read anew at each question."""

from __future__ import annotations

import calendar
import os
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from cascade_nb.errors import CacheWarning
from cascade_nb.provenance import allowed
from cascade_nb.provenance.allowed import Grant, LineError, Standing, parse_line, standing_of
from cascade_nb.provenance.strongbox import StrongboxError
from tests.identities import make_person

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFcQLOHXGtIdmcmsnECntTP2EqAOq7VujFEORS0G68tC"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBOPWyzOWBGnsbStKsmEqZv7qQiz3JEZ1i72uvqglkAu"
BOTH = 'namespaces="data@cascade-nb,code@cascade-nb"'
DATA, NOTHING = Standing(name="ann", data=True), Standing(name="ann")
ALL = Standing(name="ann", data=True, code=True)

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")


def signers() -> Path:
    path = Path(os.environ["JUPYTER_DATA_DIR"]) / "cascade-nb" / "allowed_signers"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(*lines: str, end: str = "\n") -> None:
    path = signers()
    path.write_bytes("".join(line + end for line in lines).encode())
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("line", "standing"),
    [
        (f"ann {KEY}", DATA),
        (f"ann {KEY} a comment", DATA),
        (f"  ann\t{KEY}", DATA),
        (f'"ann" {KEY}', DATA),
        (f'ann namespaces="data@cascade-nb" {KEY}', DATA),
        (f"ann {BOTH} {KEY}", ALL),
        (f"ann {BOTH.replace('namespaces', 'NameSpaces')} {KEY}", ALL),
        (f'ann namespaces="code@cascade-nb" {KEY}', Standing(name="ann", code=True)),
        (f'ann namespaces="*" {KEY}', ALL),
        (f'ann namespaces="????@cascade-nb" {KEY}', ALL),
        (f'ann namespaces="*,!code@*" {KEY}', DATA),
        (f'ann namespaces="!code@*,*" {KEY}', DATA),
        (f'ann namespaces="git,file" {KEY}', NOTHING),
        (f'ann namespaces="" {KEY}', NOTHING),
        (f'ann namespaces="data@cascade-nb.evil" {KEY}', NOTHING),
        (f'ann namespaces="[cd]*" {KEY}', NOTHING),
        (f'ann valid-after="20200101",{BOTH} {KEY}', ALL),
        (f'ann {BOTH},valid-before="20200101" {KEY}', NOTHING),
        (f'ann {BOTH},valid-after="99990101Z" {KEY}', NOTHING),
        (f'ann valid-after="20200101",valid-before="99990101" {KEY}', DATA),
    ],
)
def test_a_line_says_what_a_key_is_good_for(line: str, standing: Standing) -> None:
    write("# whom I know", "", line)
    assert standing_of(KEY) == standing
    assert standing_of(OTHER) == Standing()


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        f"# ann {KEY}",
        f"ann cert-authority {KEY}",
        f"ann cert-authority,{BOTH} {KEY}",
        f"ann ssh-rsa {KEY.split()[1]}",
        f"ann sk-ssh-ed25519@openssh.com {KEY.split()[1]}",
        f"ann {BOTH} ecdsa-sha2-nistp256 AAAA",
    ],
)
def test_what_is_no_key_of_ours_is_passed_over(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    "line",
    [
        KEY,
        f'"ann {KEY}',
        "ann",
        "ann ssh-ed25519",
        "ann ssh-ed25519 AAAA",
        f"ann {KEY[:-1]}",
        f"ann {KEY[:40]}!{KEY[40:]}",
        f"ann nonsense {KEY}",
        f"ann namespaces {KEY}",
        f"ann namespaces=data@cascade-nb {KEY}",
        f'ann namespaces="data@cascade-nb {KEY}',
        f"ann {BOTH},{BOTH} {KEY}",
        f'ann {BOTH},no-such-option="1" {KEY}',
        f'ann cert-authority="1" {KEY}',
        f'ann valid-after="yesterday" {KEY}',
        f'ann valid-after="20201301" {KEY}',
        f'ann valid-after="20210101",valid-before="20200101" {KEY}',
        f'ann {BOTH}, namespaces="*" {KEY}',
    ],
)
def test_a_line_that_is_not_understood_trusts_nobody_and_is_told_of(line: str) -> None:
    with pytest.raises(LineError):
        parse_line(line)
    write(f"ann {KEY}", line, f"bob {OTHER}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert standing_of(KEY) == DATA
        assert standing_of(OTHER).data
    assert [w.category for w in caught] == [CacheWarning]
    assert "line 2" in str(caught[0].message)


def test_times_are_local_unless_they_say_utc() -> None:
    def grant(text: str) -> Grant:
        found = parse_line(f'ann valid-after="{text}" {KEY}')
        assert found is not None
        return found

    utc = calendar.timegm((2024, 2, 29, 13, 14, 15))
    assert grant("20240229131415Z").after == utc
    assert grant("20240229131415utc").after == utc
    assert grant("202402291314Z").after == utc - 15
    assert grant("20240229").after == time.mktime((2024, 2, 29, 0, 0, 0, 0, 0, -1))


def test_several_lines_of_one_key_add_up() -> None:
    write(f'ann valid-before="20200101",{BOTH} {KEY}', f"ann2 {KEY}")
    assert standing_of(KEY) == DATA


def test_line_ends_of_windows_and_none_at_the_end() -> None:
    write(f"ann {KEY}", end="\r\n")
    assert standing_of(KEY) == DATA
    signers().write_bytes(f"ann {BOTH} {KEY}".encode())
    assert standing_of(KEY) == ALL


def test_what_is_written_counts_at_once() -> None:
    assert standing_of(KEY) == Standing()
    for _ in range(20):
        write(f"ann {KEY}")
        assert standing_of(KEY).data
        # As an editor does, with a new file of the same size.
        draft = signers().with_name("draft")
        draft.write_text(f"ann {OTHER}\n")
        draft.chmod(0o600)
        draft.replace(signers())
        assert not standing_of(KEY).data
    signers().unlink()
    assert standing_of(OTHER) == Standing()


def test_another_home_has_another_file(tmp_path: Path) -> None:
    write(f"ann {KEY}")
    with make_person(tmp_path, "bob").acting():
        assert not standing_of(KEY).data
    assert standing_of(KEY).data


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_trusts_nobody(mode: int) -> None:
    write(f"ann {KEY}")
    signers().chmod(mode)
    with pytest.warns(CacheWarning, match="can be written by others"):
        assert standing_of(KEY) == Standing()
    # Nor does writing in it make what others may have written there the user's own.
    with pytest.raises(StrongboxError, match="can be written by others"):
        allowed.allow({OTHER: "bob"}, code=False)
    assert signers().read_text() == f"ann {KEY}\n"
    signers().chmod(0o644)
    assert standing_of(KEY).data


def test_the_users_own_lines_stay_as_they_are() -> None:
    mine = [
        "# people",
        f'"Ann  B" valid-before="20200101" {KEY}   # old',
        "nonsense",
        "",
        "rsa ssh-rsa AAAAB3NzaC1yc2E",
        "caf\u00e9",
    ]
    write(*mine)
    with pytest.warns(CacheWarning, match="line"):
        assert not standing_of(KEY).data
    allowed.allow({KEY: ""}, code=False)
    added = f'Ann__B namespaces="data@cascade-nb" {KEY}'
    assert signers().read_text().splitlines() == [*mine, added]
    allowed.allow({KEY: ""}, code=False)
    assert signers().read_text().splitlines() == [*mine, added]
    allowed.allow({KEY: "Ann"}, code=True)
    assert signers().read_text().splitlines() == [*mine, f"Ann {BOTH} {KEY}"]
    assert allowed.disallow([KEY, OTHER]) == {KEY: "Ann"}
    assert signers().read_text().splitlines() == [mine[0], *mine[2:]]


def test_a_last_line_without_an_end_is_not_run_into() -> None:
    signers().write_bytes(f"ann {KEY}".encode())
    signers().chmod(0o600)
    allowed.allow({OTHER: "bob"}, code=False)
    assert signers().read_text().splitlines()[0] == f"ann {KEY}"
    assert standing_of(KEY).data
    assert standing_of(OTHER).data


@pytest.mark.parametrize(
    "name", ["ann smith", "*", "!ann", "a,b", '"', "#ann", "ann\nbob", "\x1b[2J", "x" * 500]
)
def test_no_name_breaks_the_line(name: str) -> None:
    allowed.allow({KEY: name}, code=False)
    assert standing_of(KEY).data
    assert len(signers().read_text().splitlines()) == 1
    (word,) = signers().read_text().split(" namespaces")[:1]
    assert not set(word) & set('*?!," \t\x1b')


@posix
def test_the_file_is_the_users_alone_and_a_link_stays_one(tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.write_text("# mine\n")
    signers().symlink_to(target)
    allowed.allow({KEY: "ann"}, code=False)
    assert signers().is_symlink()
    assert target.read_text().startswith("# mine\nann ")
    assert target.stat().st_mode & 0o777 == 0o600
    assert standing_of(KEY).data


ADD = """
import sys
from cascade_nb.provenance import allowed
allowed.allow({sys.argv[1]: sys.argv[2]}, code=False)
"""


def test_no_line_is_lost_where_processes_write_at_once() -> None:
    keys = [made_key(n) for n in range(5)]
    started = [
        subprocess.Popen([sys.executable, "-c", ADD, key, f"p{n}"]) for n, key in enumerate(keys)
    ]
    assert [process.wait(30) for process in started] == [0] * 5
    assert all(standing_of(key).data for key in keys)
    assert sorted(os.listdir(signers().parent)) == [".allowed_signers.lock", "allowed_signers"]


def made_key(number: int) -> str:
    import base64

    from cascade_nb.provenance.public_keys import line_of, string

    blob = string(b"ssh-ed25519") + string(bytes([number]) * 32)
    line = line_of(base64.b64encode(blob).decode())
    assert line is not None
    return line


def test_openssh_agrees_on_what_we_write(tmp_path: Path) -> None:
    from cascade_nb.provenance import detached, sign_record
    from tests.test_records import RECORD

    if shutil.which("ssh-keygen") is None:
        if os.environ.get("CI"):
            pytest.fail("ssh-keygen is not installed; CI has to have it")
        pytest.skip("ssh-keygen is not installed")
    signed = sign_record(RECORD)
    parts = detached(signed)
    (tmp_path / "record.sig").write_text(parts.armored)

    def accepts(*lines: str) -> bool:
        write(*lines)
        command = ["ssh-keygen", "-Y", "verify", "-f", str(signers()), "-I", "ann"]
        command += ["-n", parts.namespace, "-s", str(tmp_path / "record.sig")]
        done = subprocess.run(command, input=parts.message, capture_output=True, check=False)
        return done.returncode == 0

    key = signed.producer
    cases = [
        f'ann namespaces="data@cascade-nb" {key}',
        f"ann {BOTH} {key}",
        f'"ann" namespaces="*" {key} comment',
        f'ann namespaces="*,!data@*" {key}',
        f'ann namespaces="git" {key}',
        f'ann valid-before="20200101",{BOTH} {key}',
        f'ann valid-after="20200101",{BOTH} {key}',
        f"ann {BOTH},{BOTH} {key}",
        f'ann {BOTH},bad="1" {key}',
        f"ann cert-authority,{BOTH} {key}",
    ]
    for line in cases:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert accepts(line) == standing_of(key).data, line
