"""CURVE keys: made once, kept from others, read as czmq and pyzmq write them."""

import os
import re
import stat
import subprocess
import sys

import pytest

from memwatch.stream import keys
from memwatch.stream.keys import KeysError

pytest.importorskip("memwatch._stream", reason="built without libzmq")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    assert keys.keys_folder() == tmp_path / "memwatch/keys"
    return keys.keys_folder()


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def keygen(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "memwatch", "keygen", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_keygen(folder):
    before = os.umask(0)
    try:
        done = keygen()
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert str(folder / "own.key") in done.stdout
    assert mode_of(folder) == 0o700
    assert mode_of(folder / "admitted") == 0o700
    assert mode_of(folder / "own.key_secret") == 0o600
    public, secret = keys.own_keys()
    assert keys.public_key(str(folder / "own.key")) == public
    assert secret not in (folder / "own.key").read_text()


def test_keygen_never_overwrites(folder):
    assert keygen("ann").returncode == 0
    before = (folder / "ann.key_secret").read_text()
    done = keygen("ann")
    assert done.returncode == 2
    assert "already exists; remove it or use another name" in done.stderr
    (folder / "ann.key").unlink()
    assert keygen("ann").returncode == 2
    assert (folder / "ann.key_secret").read_text() == before


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "x" * 200, "é"])
def test_names(name):
    with pytest.raises(KeysError, match="invalid key name"):
        keys.make_keys(name)


def test_pyzmq_reads_them_and_we_read_pyzmqs(folder, tmp_path):
    auth = pytest.importorskip("zmq.auth")
    keys.make_keys()
    own = keys.own_keys()
    public, secret = auth.load_certificate(folder / "own.key_secret")
    assert (public.decode(), secret.decode()) == own
    assert auth.load_certificate(folder / "own.key")[0].decode() == own.public
    path, _ = auth.create_certificates(tmp_path, "theirs")
    public, _ = auth.load_certificate(path)
    assert keys.public_key(path) == public.decode()


def test_no_own_key():
    with pytest.raises(KeysError, match="create one with: memwatch keygen"):
        keys.own_keys()


def test_own_key_that_others_may_read(folder):
    _, secret = keys.make_keys()
    secret.chmod(0o644)
    with pytest.raises(KeysError, match="is readable by other users; run: chmod 600"):
        keys.own_keys()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "contains no secret key"),
        ('secret-key = "short"', "invalid secret key: expected 40 characters of Z85"),
        ("# secret-key = " + "x" * 40, "contains no secret key"),
        ('public-key = "' + "x" * 40 + '"', "contains no secret key"),
    ],
)
def test_own_key_that_is_none(folder, text, told):
    _, secret = keys.make_keys()
    secret.write_text(text)
    with pytest.raises(KeysError, match=told):
        keys.own_keys()


def test_public_key_as_text_or_file(folder):
    path, _ = keys.make_keys()
    text = re.search('"(.+)"', path.read_text())[1]
    assert keys.public_key(text) == keys.public_key(str(path)) == text
    with pytest.raises(KeysError, match="cannot read the key"):
        keys.public_key("nowhere.key")


def test_admitted(folder):
    assert keys.admitted_keys() == ()
    for name in ("ann", "bob"):
        path, _ = keys.make_keys(name)
        path.rename(folder / "admitted" / path.name)
    (folder / "admitted/notes.txt").write_text("not a key")
    assert len(keys.admitted_keys()) == 2
    (folder / "admitted/broken.key").write_text("")
    with pytest.raises(KeysError, match=r"broken\.key contains no public key"):
        keys.admitted_keys()
