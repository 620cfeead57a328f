"""Files come whole or not at all, and what fails leaves nothing behind."""

import errno
import os
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from memwatch import CellReport, History
from memwatch.files import write_whole
from support import BECOME_NOBODY, run_python


def names_in(folder):
    return sorted(os.listdir(folder))


def test_new_file_has_the_usual_mode(tmp_path):
    before = os.umask(0o027)
    try:
        assert write_whole(tmp_path / "a.txt", ["one\n", "two\n"]) == tmp_path / "a.txt"
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    assert names_in(tmp_path) == ["a.txt"]


def test_existing_file_keeps_mode_and_owner(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o604)
    owner = (1234, 5678) if os.getuid() == 0 else (os.getuid(), os.getgid())
    os.chown(path, *owner)
    write_whole(path, ["new"])
    there = path.stat()
    assert path.read_text() == "new"
    assert stat.S_IMODE(there.st_mode) == 0o604
    assert (there.st_uid, there.st_gid) == owner


def test_relative_path_and_path_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(write_whole("a.txt", ["x"])) == "a.txt"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("exists", [True, False])
def test_symbolic_link_stays_one(tmp_path, exists):
    (tmp_path / "there").mkdir()
    target = tmp_path / "there/real.txt"
    if exists:
        target.write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to("there/real.txt")
    assert write_whole(link, ["new"]) == link
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert names_in(tmp_path / "there") == ["real.txt"]


@pytest.mark.parametrize(
    ("path", "number", "told"),
    [
        ("", errno.ENOENT, "the path is empty"),
        ("nowhere/a.txt", errno.ENOENT, "no such directory"),
        ("nowhere/", errno.ENOENT, "no such directory"),
        ("folder", errno.EISDIR, "it is a directory"),
        ("folder/", errno.EISDIR, "it is a directory"),
        ("old.txt/", errno.ENOTDIR, "it is a file, not a directory"),
        ("old.txt/a.txt", errno.ENOTDIR, "Not a directory"),
        ("loop", errno.ELOOP, "Too many levels of symbolic links"),
        ("pipe", errno.EINVAL, "it exists and is not a regular file"),
        ("a\0b", errno.EINVAL, "the path contains a NUL character"),
        ("x" * 300, errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_bad_paths(tmp_path, monkeypatch, path, number, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.txt").write_text("old")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    before = names_in(tmp_path)
    with pytest.raises(OSError, match=told) as raised:
        write_whole(path, ["new"])
    assert raised.value.errno == number
    assert raised.value.filename == path
    assert "\n" not in str(raised.value)
    assert names_in(tmp_path) == before
    assert names_in(tmp_path / "folder") == []
    assert (tmp_path / "old.txt").read_text() == "old"


def test_device_is_not_replaced():
    with pytest.raises(OSError, match="not a regular file"):
        write_whole("/dev/null", ["x"])
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_failure_half_way_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def pieces():
        yield "x" * 100_000
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, pieces())
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


@contextmanager
def tiny_disk(folder):
    """64 KiB, really mounted."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts a small disk to fill")
def test_full_disk(tmp_path):
    with tiny_disk(tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("old")
        with pytest.raises(OSError, match="No space left on device") as raised:
            write_whole(path, ["x" * 1000 for _ in range(1000)])
        assert raised.value.errno == errno.ENOSPC
        assert raised.value.filename == str(path)
        assert path.read_text() == "old"
        assert names_in(tmp_path) == ["a.txt"]
        history = History()
        for number in range(4000):
            history.append(CellReport(label=f"In [{number}]"))
        for write in history.to_json, history.to_csv:
            with pytest.raises(OSError, match="No space left on device"):
                write(path)
            assert path.read_text() == "old"
            assert names_in(tmp_path) == ["a.txt"]
        write_whole(path, ["and there is room again"])
        assert path.read_text() == "and there is room again"


@pytest.fixture
def public():
    """A folder that others reach, too; pytest's are not."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_read_only_folder_and_file(public):
    """As nobody: root may write everywhere."""
    folder = public / "shared"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "fixed.txt").write_text("old")
    (folder / "fixed.txt").chmod(0o444)
    closed = public / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    told = run_python(
        BECOME_NOBODY + "from memwatch.files import write_whole\n"
        "become_nobody(1)\n"
        f"for path in {str(folder / 'fixed.txt')!r}, {str(closed / 'a.txt')!r}:\n"
        "    try:\n"
        "        write_whole(path, ['new'])\n"
        "    except PermissionError as error:\n"
        "        print(error.strerror, os.path.basename(error.filename))\n"
    )
    assert told.splitlines() == [
        "permission denied fixed.txt",
        "Permission denied a.txt",
    ]
    assert (folder / "fixed.txt").read_text() == "old"
    assert names_in(folder) == ["fixed.txt"]
    assert names_in(closed) == []
