"""The file of a Unix socket that libzmq binds.

libzmq minds neither whose it was before, nor who may connect to it, nor that it stays.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

__all__ = ["claim", "look", "remove"]

Identity = tuple[int, int]
"""Device and inode."""


def look(path: str) -> None:
    """OSError unless nothing is at `path`, or a socket that the dead left there."""
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
            return  # nobody has it any more
        except OSError:
            pass  # another user's, of another type, or with a queue before the door
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def claim(path: str) -> Identity:
    """It was bound: from now on for nobody but us, whatever the umask. OSError."""
    os.chmod(path, 0o600)
    found = os.lstat(path)
    return found.st_dev, found.st_ino


def remove(path: str, ours: Identity) -> None:
    """Unless by now it is somebody else's."""
    try:
        found = os.lstat(path)
        if (found.st_dev, found.st_ino) == ours:
            os.unlink(path)
    except OSError:
        pass  # it is gone, or its folder
