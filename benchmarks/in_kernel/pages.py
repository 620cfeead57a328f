"""Memory of a known number of pages, for cells whose cost is known beforehand.

Runs in the kernels that are measured, so it needs the standard library only. All goes
by libc: what Python itself would allocate in between would be in the figures.

Each way of touching comes twice: through ``ctypes.PyDLL``, which keeps the GIL, and
through ``ctypes.CDLL``, which lets go of it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import queue
import tempfile
import threading
import time

MADV_HUGEPAGE = 14
MADV_NOHUGEPAGE = 15
HUGE_PAGE = 2 << 20
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
SHARED = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
READ_WRITE = mmap.PROT_READ | mmap.PROT_WRITE


def _load(loader: type[ctypes.CDLL]) -> ctypes.CDLL:
    libc = loader(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_long,
    ]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    libc.memset.restype = ctypes.c_void_p
    libc.memchr.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    libc.memchr.restype = ctypes.c_void_p
    return libc


_libc = {"held": _load(ctypes.PyDLL), "released": _load(ctypes.CDLL)}


class Pages:
    """`size` bytes, every page of them resident, until drop().

    A page is of the small kind unless `huge`. `flags` are mmap's; with `fd` the file's
    pages are read, else written to.
    """

    def __init__(
        self,
        size: int,
        *,
        gil: str = "released",
        flags: int = PRIVATE,
        fd: int = -1,
        huge: bool = False,
    ) -> None:
        self._libc = _libc[gil]
        # A huge page begins at a multiple of its size, which mmap need not return.
        self._size = size + HUGE_PAGE if huge else size
        self._at = self._libc.mmap(None, self._size, READ_WRITE, flags, fd, 0)
        if self._at in (None, ctypes.c_void_p(-1).value):
            raise MemoryError(f"mmap of {size} bytes failed")
        start = self._at
        if huge:
            start = -(-start // HUGE_PAGE) * HUGE_PAGE
        if fd < 0:
            advice = MADV_HUGEPAGE if huge else MADV_NOHUGEPAGE
            self._libc.madvise(start, size, advice)
            self._libc.memset(start, 1, size)
        else:
            self._libc.memchr(start, 1, size)  # of zeros: it reads them all

    def drop(self) -> None:
        """Give them back to the kernel."""
        self._libc.munmap(self._at, self._size)


def dropped(size: int, *, for_s: float = 0.0, **how: object) -> None:
    """There for `for_s` seconds and gone."""
    pages = Pages(size, **how)
    if for_s:
        time.sleep(for_s)
    pages.drop()


def file_of(size: int) -> int:
    """A descriptor of a file of `size` zeros that has no name any more."""
    # Not in /tmp, which may be memory: its pages would count as shared.
    with tempfile.TemporaryFile(dir=os.environ["TRUTH_FOLDER"]) as file:
        os.truncate(file.fileno(), size)
        return os.dup(file.fileno())


class Workers:
    """Threads that wait: started beforehand, so that their stacks are not counted."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._full = threading.Barrier(count)
        self._jobs: queue.SimpleQueue[tuple[int, bool]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Pages] = queue.SimpleQueue()
        for _ in range(count):
            threading.Thread(target=self._work, daemon=True).start()
        self.map(mmap.PAGESIZE * count, drop=True)

    def _work(self) -> None:
        while True:
            size, drop = self._jobs.get()
            pages = Pages(size)
            self._full.wait()  # all of them are there at once
            if drop:
                pages.drop()
            self._done.put(pages)

    def map(self, size: int, *, drop: bool) -> list[Pages]:
        """`size` bytes, shared out among the threads."""
        for _ in range(self._count):
            self._jobs.put((size // self._count, drop))
        return [self._done.get() for _ in range(self._count)]


def in_a_child(size: int) -> None:
    """A forked child has them and ends; this process has nothing of them."""
    child = os.fork()
    if child == 0:
        try:
            dropped(size)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


dropped(mmap.PAGESIZE, gil="held", for_s=1e-6)  # what the first call needs is here now
dropped(mmap.PAGESIZE, gil="released")
