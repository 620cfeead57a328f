"""The file of a Unix socket that libzmq binds; csrc/stream/ipc_file.h says why."""

from __future__ import annotations

import errno
import os
import socket
import stat

Identity = tuple[int, int]
"""Device and inode."""


def look(path: str) -> None:
    """Check that `path` is free, or a socket that no process uses. OSError."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, "a file that is not a socket exists there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return  # unused
        except OSError:
            pass  # another user's, another type, or a full backlog
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def claim(path: str) -> Identity:
    """After the bind: make the file private. OSError."""
    os.chmod(path, 0o600)
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def remove(path: str, ours: Identity) -> None:
    """Remove the file, unless another one has replaced it."""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == ours:
            os.unlink(path)
    except OSError:
        pass  # already removed
