"""A memory cgroup for one command, whose peak counter has its whole tree."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from .. import _core

_PEAKS = {1: "memory.max_usage_in_bytes", 2: "memory.peak"}


class CommandGroup:
    """A new cgroup below that of this process. OSError: it cannot be made.

    Needs root, or version 2 with delegation. Besides RSS its counter has page cache and
    kernel memory.
    """

    def __init__(self) -> None:
        parent, version = _core.cgroup_folder()
        self._parent = Path(parent)
        self._folder = self._parent / f"memwatch-{os.getpid()}-{os.urandom(4).hex()}"
        self._folder.mkdir()
        self._peak = self._folder / _PEAKS[version]
        try:
            self._peak.read_text()
        except OSError:
            self.remove()
            raise

    def add(self, pid: int) -> None:
        """Move a process to it; what it starts will be in it too. OSError."""
        _move(pid, self._folder)

    def peak_bytes(self) -> int | None:
        """The most memory that was charged to it; None: unknown."""
        try:
            return int(self._peak.read_text())
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Remove it; processes that are still in it go to its parent. Idempotent."""
        with suppress(OSError):
            for pid in (self._folder / "cgroup.procs").read_text().split():
                with suppress(OSError):
                    _move(int(pid), self._parent)
        with suppress(OSError):
            self._folder.rmdir()


def _move(pid: int, folder: Path) -> None:
    descriptor = os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(pid).encode())
    finally:
        os.close(descriptor)
