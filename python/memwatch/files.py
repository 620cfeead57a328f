"""Files that are written whole or not at all. No other module writes any."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["check_writable", "csv_pieces", "drop_stdout", "json_pieces", "write_whole"]


def write_whole(
    path: str | os.PathLike[str], pieces: Iterable[str], new_mode: int | None = None
) -> Path:
    """Make `pieces`, one after the other, the content of the file `path`, in UTF-8.

    Whole or not at all: they go to a temporary file in the same folder, which takes the
    place of `path` when all of it is on the disk. Where anything fails the file that
    was there before is as it was, and the temporary one is gone; only a process that is
    killed leaves it behind, as ``.memwatch-*.tmp``.

    A new file has the mode `new_mode`, from the beginning; None: that of any new file.
    An existing file keeps its mode and, where that is allowed, its owner; one that may
    not be written is not replaced. Of a symbolic link the file that it points to is
    written, whether there is one yet or not. What UTF-8 has no bytes for (lone
    surrogates) is written as ``\\ud800``, which in JSON means the same.

    Returns the path as it was given. OSError, naming that path: no such folder, no
    permission, a folder or a device of that name, a full disk, an empty path.
    """
    told = os.fspath(path)
    with _naming(told):
        _write(told, pieces, new_mode)
    return Path(told)


def json_pieces(
    head: dict[str, Any], lists: Mapping[str, Iterable[Any]], *, to_ascii: bool = False
) -> Iterator[str]:
    """A JSON object for write_whole(): `head`, then `lists`, a line per element.

    The elements have a method to_dict(). In pieces, because the timelines of 10,000
    reports are 200 MiB of text.
    """
    import json

    yield json.dumps(head)[:-1]
    for name, elements in lists.items():
        yield f', "{name}": ['
        before = "\n"
        for each in elements:
            yield before + json.dumps(each.to_dict(), ensure_ascii=to_ascii)
            before = ",\n"
        yield "\n]"
    yield "}\n"


def csv_pieces(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """RFC 4180 for write_whole(); None becomes an empty field."""
    import csv

    lines: list[str] = []
    # csv.writer() needs a file, of which it calls write() only.
    writer = csv.writer(SimpleNamespace(write=lines.append), lineterminator="\r\n")
    for row in rows:
        writer.writerow(row)
        yield lines.pop()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Try whether write_whole() can write the file `path`, before there is anything.

    Makes the folder of `path`, and those above it, where they do not exist. A file
    `path` is neither made nor changed. OSError as of write_whole().
    """
    told = os.fspath(path)
    with _naming(told):
        target = _target(told)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        mode = _mode_of(told, target)
        temporary, descriptor = _temporary(os.path.dirname(target), mode, None)
        os.close(descriptor)
        _remove(temporary)


def drop_stdout() -> None:
    """Send to /dev/null what is still to be written to stdout, which has failed.

    Else Python tries it once more when it exits, and exits with 120.
    """
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, sys.__stdout__.fileno())
        os.close(null)


@contextmanager
def _naming(told: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        # The person knows the path they gave, and nothing of a temporary file.
        raise OSError(error.errno, error.strerror, told) from None


def _target(told: str) -> str:
    if not told:
        raise FileNotFoundError(errno.ENOENT, "the path is empty")
    if "\0" in told:
        raise OSError(errno.EINVAL, "the path contains a NUL character")
    try:
        return os.path.realpath(told)
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "the working directory no longer exists"
        ) from None


def _temporary(folder: str, mode: int | None, new_mode: int | None) -> tuple[str, int]:
    temporary = os.path.join(folder, f".memwatch-{os.urandom(8).hex()}.tmp")
    # Not tempfile, which makes 0600 of what the umask would allow.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    first = 0o666 if mode is None and new_mode is None else 0o600
    return temporary, os.open(temporary, flags, first if mode is None else mode & 0o700)


def _write(told: str, pieces: Iterable[str], new_mode: int | None) -> None:
    target = _target(told)
    mode = _mode_of(told, target)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "no such directory")
    temporary, descriptor = _temporary(folder, mode, new_mode)
    try:
        with open(
            descriptor, "w", encoding="utf-8", errors="backslashreplace", newline=""
        ) as file:
            file.writelines(pieces)
            file.flush()
            if mode is not None:
                _take_over(descriptor, target, mode)
            elif new_mode is not None:
                os.fchmod(descriptor, new_mode)  # whatever the umask is
            os.fsync(descriptor)
        os.replace(temporary, target)
    except BaseException:
        _remove(temporary)
        raise
    _sync_folder(folder)


def _mode_of(told: str, target: str) -> int | None:
    """The permissions of the file that is there; None where there is none yet."""
    try:
        there = os.stat(target)
    except FileNotFoundError:
        if told.endswith("/"):
            raise FileNotFoundError(errno.ENOENT, "no such directory") from None
        return None
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory")
    if told.endswith("/"):
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a directory")
    if not stat.S_ISREG(there.st_mode):
        # Replacing /dev/null by a file would be the end of it.
        raise OSError(errno.EINVAL, "it exists and is not a regular file")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "permission denied")
    return stat.S_IMODE(there.st_mode)


def _take_over(descriptor: int, target: str, mode: int) -> None:
    there = os.stat(target)
    try:
        os.fchown(descriptor, there.st_uid, there.st_gid)
    except OSError:
        pass  # only root may give files away
    os.fchmod(descriptor, mode)  # after it: a change of the owner drops setuid


def _remove(temporary: str) -> None:
    try:
        os.unlink(temporary)
    except OSError:
        pass


def _sync_folder(folder: str) -> None:
    """So that the new name outlives a power cut, too. Not all file systems can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
