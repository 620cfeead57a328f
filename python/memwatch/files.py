"""Files that are written whole or not at all. No other module writes files."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def write_whole(
    path: str | os.PathLike[str], pieces: Iterable[str], new_mode: int | None = None
) -> Path:
    """Write `pieces`, in UTF-8, to the file `path`, atomically; return the path.

    They go to a temporary file in the same folder, which replaces `path` when it is on
    the disk. If anything fails an existing file is unchanged and the temporary file is
    removed; only a killed process leaves it behind, as ``.memwatch-*.tmp``.

    A new file has the mode `new_mode`; None: the usual one. An existing file keeps its
    mode and, if permitted, its owner; without write permission it is not replaced. A
    symbolic link is followed, also to a new file. Lone surrogates are written as
    ``\\ud800``, which is the same in JSON. OSError, with `path`: no such folder, no
    permission, a folder or device, a full disk, an empty path.
    """
    given = os.fspath(path)
    encoded = (each.encode("utf-8", "backslashreplace") for each in pieces)
    with _naming(given):
        _write(given, encoded, new_mode)
    return Path(given)


def write_bytes_whole(path: str | os.PathLike[str], content: bytes) -> Path:
    """The same for `content` that is no text, such as a picture."""
    given = os.fspath(path)
    with _naming(given):
        _write(given, [content], None)
    return Path(given)


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
    """Check that write_whole() can write the file `path`, without creating it.

    Creates missing folders. OSError as write_whole().
    """
    given = os.fspath(path)
    with _naming(given):
        target = _target(given)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        mode = _mode_of(given, target)
        temporary, descriptor = _temporary(os.path.dirname(target), mode, None)
        os.close(descriptor)
        _remove(temporary)


def deliver(path: str | os.PathLike[str], pieces: Iterable[str]) -> None:
    """write_whole(); to the path ``-``, which is stdout, as they come. OSError."""
    if os.fspath(path) == "-":
        _write_to_stdout(pieces)
    else:
        write_whole(path, pieces)


def _write_to_stdout(pieces: Iterable[str]) -> None:
    """OSError: it is closed, or does not take all; then it is /dev/null from now on."""
    stdout = sys.stdout
    if stdout is None:
        raise OSError(errno.EBADF, "stdout is closed")
    # Lone surrogates as in files.
    texts = (each.encode("utf-8", "backslashreplace").decode() for each in pieces)
    try:
        if isinstance(getattr(stdout, "buffer", None), io.RawIOBase):
            # PYTHONUNBUFFERED is set: such a stdout loses what the file does not take
            # at once, when a signal arrives or the disk is full (CPython issue 85393).
            encoding, errors = stdout.encoding, stdout.errors
            with open(
                stdout.fileno(), "w", encoding=encoding, errors=errors, closefd=False
            ) as file:
                file.writelines(texts)
        else:
            stdout.writelines(texts)
            stdout.flush()
    except OSError:
        drop_stdout()
        raise


def drop_stdout() -> None:
    """Redirect stdout, which has failed, to /dev/null.

    Otherwise Python flushes it at exit again, and exits with 120.
    """
    if sys.__stdout__ is not None and sys.stdout is sys.__stdout__:
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, sys.__stdout__.fileno())
        os.close(null)


@contextmanager
def _naming(given: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        # The user does not know the temporary file.
        raise OSError(error.errno, error.strerror, given) from None


def _target(given: str) -> str:
    if not given:
        raise FileNotFoundError(errno.ENOENT, "the path is empty")
    if "\0" in given:
        raise OSError(errno.EINVAL, "the path contains a NUL character")
    try:
        return os.path.realpath(given)
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "the working directory no longer exists"
        ) from None


def _temporary(folder: str, mode: int | None, new_mode: int | None) -> tuple[str, int]:
    temporary = os.path.join(folder, f".memwatch-{os.urandom(8).hex()}.tmp")
    # Not tempfile, whose mode 0600 ignores the umask.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    first = 0o666 if mode is None and new_mode is None else 0o600
    return temporary, os.open(temporary, flags, first if mode is None else mode & 0o700)


def _write(given: str, pieces: Iterable[bytes], new_mode: int | None) -> None:
    target = _target(given)
    mode = _mode_of(given, target)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "no such directory")
    temporary, descriptor = _temporary(folder, mode, new_mode)
    try:
        with open(descriptor, "wb") as file:
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


def _mode_of(given: str, target: str) -> int | None:
    """The permissions of an existing file; None: it does not exist."""
    try:
        there = os.stat(target)
    except FileNotFoundError:
        if given.endswith("/"):
            raise FileNotFoundError(errno.ENOENT, "no such directory") from None
        return None
    if stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a directory")
    if given.endswith("/"):
        raise NotADirectoryError(errno.ENOTDIR, "it is a file, not a directory")
    if not stat.S_ISREG(there.st_mode):
        # Such as /dev/null.
        raise OSError(errno.EINVAL, "it exists and is not a regular file")
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "permission denied")
    return stat.S_IMODE(there.st_mode)


def _take_over(descriptor: int, target: str, mode: int) -> None:
    there = os.stat(target)
    try:
        os.fchown(descriptor, there.st_uid, there.st_gid)
    except OSError:
        pass  # only root can
    os.fchmod(descriptor, mode)  # after it: a change of the owner drops setuid


def _remove(temporary: str) -> None:
    try:
        os.unlink(temporary)
    except OSError:
        pass


def _sync_folder(folder: str) -> None:
    """Make the new name survive a power cut, on file systems that can."""
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
