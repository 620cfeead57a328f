"""Limits what received messages make this process hold.

libzmq bounds a frame and the messages of a queue, but not the frames of one message: a
message without an end is held until it ends.
"""

from __future__ import annotations

import ctypes
import os
import resource

_FREE_BYTES = 256 * 2**20
_FREE_BYTES_PER_PROCESS = 32 * 2**10
"""The longest waiting message takes a quarter of it, the last cells at most half."""
_FREE_BYTES_PER_CONNECTION = 96 * 2**10
"""Measured: 65 KiB, most of it two blocks of libzmq's queue."""
_SPARE_DESCRIPTORS = 16


class MemoryLimit:
    """Compares this process's RSS with its RSS at the start.

    >>> limit = MemoryLimit()
    >>> limit.is_exceeded(0)
    False
    >>> limit.close()
    """

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._rss_start_bytes = self._rss_bytes()

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._statm)

    def is_exceeded(self, processes: int) -> bool:
        """Whether RSS has grown by more than so many watched processes may need."""
        held_bytes = self._rss_bytes() - self._rss_start_bytes
        held_bytes -= _FREE_BYTES + _FREE_BYTES_PER_PROCESS * processes
        # Connections are counted last because counting them is slow.
        return (
            held_bytes > 0
            and held_bytes > _FREE_BYTES_PER_CONNECTION * _count_descriptors()
        )

    def _rss_bytes(self) -> int:
        pages = int(os.pread(self._statm, 128, 0).split()[1])
        return pages * os.sysconf("SC_PAGESIZE")


def trim() -> None:
    """Return malloc's free memory to the kernel; musl has no malloc_trim().

    >>> trim()
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def raise_descriptor_limit() -> None:
    """Allow as many descriptors as possible: each connection takes one.

    >>> raise_descriptor_limit()
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def are_descriptors_left() -> bool:
    """Whether libzmq can open sockets; without descriptors it ends the process.

    >>> are_descriptors_left()
    True
    """
    taken: list[int] = []
    try:
        while len(taken) < _SPARE_DESCRIPTORS:
            taken.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    finally:
        for each in taken:
            os.close(each)
    return True


def _count_descriptors() -> int:
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]  # all are in use
