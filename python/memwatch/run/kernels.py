"""A kernel on this machine: its memory from outside, its sockets, its output."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import _core
from ..measure import children
from ..report import CellReport, Status, Timeline
from ..warn import cause_of

_SUMMED = ("rss_start_bytes", "rss_end_bytes", "used_bytes", *_core.END_FIGURES)

_ENDED = (errno.ESRCH, errno.ENOENT, errno.ENODATA)
"""Errors of reading a process that has ended; ENODATA: it is a zombie."""

_Closed = tuple[dict[str, Any], bytes, bytes]


class KernelMemory:
    """Windows on the processes of a kernel.

    Some kernels are several processes: bash_kernel is a Python with a bash, and `conda
    run` or a shell may start the kernel as a child. All descendants at the kernel's
    start are measured, each by its own high-water mark. A process that has ended counts
    0. With `with_children` later ones are measured as a cell's child processes.
    OSError: no process can be read.
    """

    def __init__(self, pid: int, *, with_children: bool = False) -> None:
        self.why_not: str | None = None
        """Why a process is not measured; None: all are."""
        self._has_children = with_children and self._start_children()
        self._children: Any = None
        self._processes = self._open_all(pid)
        self._windows: dict[int, _core.Window] = {}
        self._previous_end_bytes: int | None = None

    def _start_children(self) -> bool:
        try:
            children.start()
        except (ImportError, OSError) as error:
            self.why_not = f"its child processes: {cause_of(error)}"
            return False
        return True

    def _open_all(self, pid: int) -> dict[int, _core.Process]:
        opened: dict[int, _core.Process] = {}
        failed: dict[int, OSError] = {}
        for each in (pid, *_descendants(pid)):
            try:
                opened[each] = _core.Process(each)
            except OSError as error:
                failed[each] = error
        # A process that ended meanwhile is not an error, and its pid may be reused. A
        # hidden one is still listed.
        there = {pid, *_descendants(pid)}
        for each, failure in failed.items():
            if each in there and failure.errno != errno.ENODATA:
                self._miss(each, failure)
        found = {each: opened[each] for each in opened if each in there}
        if not found:
            raise failed[pid]
        return found

    def _miss(self, pid: int, error: OSError) -> None:
        self.why_not = f"process {pid}: {cause_of(error)}"

    def open(self) -> None:
        """Open windows for a cell. OSError: no process can be measured."""
        self._windows = {}
        failure = None
        for pid, process in list(self._processes.items()):
            try:
                self._windows[pid] = process.window()
            except OSError as error:
                failure = error
                self._lose(pid, error)
        if failure is not None and not self._windows:
            raise failure
        if self._has_children:
            self._children = children.open_window(list(self._processes))

    def _lose(self, pid: int, error: OSError) -> None:
        """Note that a process has ended, or that it cannot be read."""
        if error.errno in _ENDED:
            # A new dict: another thread may iterate over the old one.
            self._processes = {
                each: process
                for each, process in self._processes.items()
                if each != pid
            }
        else:
            self._miss(pid, error)

    def rss_bytes(self) -> int | None:
        """RSS now; None: unknown. Any thread."""
        held = []
        for process in self._processes.values():
            try:
                held.append(process.memory()["rss_bytes"])
            except OSError as error:
                if error.errno not in _ENDED:
                    return None
        return sum(held) if held else None

    def close(self, status: Status, **title: Any) -> CellReport | None:
        """Close the cell's windows; its report, or None if no window is open.

        A process that ended in a cell with a reply (`status` ``ok`` or ``error``) has 0
        at the end. In other cells it may have run the cell: then its end is its last
        sample. `title`: CellReport's label, execution_count, cell_id and source.
        """
        closed = list(self._close_each(has_reply=status in ("ok", "error")))
        self._windows = {}
        if not closed:
            return None
        figures, t_ns, rss_bytes = _together(closed)
        figures.update(children.close_window(self._children))
        self._children = None
        if self._previous_end_bytes is not None:
            drift = figures["rss_start_bytes"] - self._previous_end_bytes
            figures["drift_bytes"] = drift
        self._previous_end_bytes = figures["rss_end_bytes"]
        timeline = Timeline(t_ns=array("q", t_ns), rss_bytes=array("q", rss_bytes))
        return CellReport(**{**figures, **title}, status=status, timeline=timeline)

    def _close_each(self, has_reply: bool) -> Iterator[_Closed]:
        for pid, window in self._windows.items():
            closed: Any
            try:
                closed = window.close()
            except OSError as error:
                closed = window.close_at_last_sample()
                if closed is not None and has_reply and error.errno in _ENDED:
                    _end_at_zero(closed[0])
                self._lose(pid, error)
            if closed is not None:
                yield closed


def _end_at_zero(figures: dict[str, Any]) -> None:
    """The process has ended: it has 0 at the end. Its peak stays."""
    for name in ("rss_end_bytes", *_core.END_FIGURES):
        figures[name] = 0
    figures["used_bytes"] = -figures["rss_start_bytes"]
    figures["peaked_bytes"] = figures["rss_peak_bytes"]


def _together(closed: list[_Closed]) -> _Closed:
    """Combine the figures of several processes.

    The time of a high-water mark is unknown. So the peak is that of the process that
    rose the most, plus the least RSS of the others: right if one works while the others
    wait, too low if several rise at once. The sum of all marks is an upper bound; its
    distance from the peak is part of `peak_error_bytes`. The timeline is that of the
    process that rose the most.
    """
    if len(closed) == 1:
        return closed[0]
    figures = [each[0] for each in closed]
    busiest = max(closed, key=lambda each: each[0]["rss_peak_bytes"] - _least(each[0]))
    one = dict(busiest[0])
    base = sum(_least(each) for each in figures if each is not busiest[0])
    for name in _SUMMED:
        values = [each[name] for each in figures]
        one[name] = None if None in values else sum(values)
    ends = (one["rss_start_bytes"], one["rss_end_bytes"])
    one["rss_peak_bytes"] = max(*ends, busiest[0]["rss_peak_bytes"] + base)
    one["peaked_bytes"] = one["rss_peak_bytes"] - one["rss_end_bytes"]
    one["risen_bytes"] = one["rss_peak_bytes"] - one["rss_start_bytes"]
    if any(each["peak_method"] == "sampled" for each in figures):
        one["peak_method"], one["peak_error_bytes"] = "sampled", None
    else:
        most = sum(each["rss_peak_bytes"] for each in figures)
        bounds = sum(each["peak_error_bytes"] for each in figures)
        one["peak_error_bytes"] = bounds + most - one["rss_peak_bytes"]
    samples = array("q", busiest[2])
    return one, busiest[1], array("q", [each + base for each in samples]).tobytes()


def _least(figures: dict[str, Any]) -> int:
    """The lower of RSS at the start and at the end."""
    least: int = min(figures["rss_start_bytes"], figures["rss_end_bytes"])
    return least


def _descendants(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            listed = path.read_text().split()
        except OSError:
            continue  # the thread has ended
        for child in map(int, listed):
            found += [child, *_descendants(child)]
    return found


# ---- sockets ----

_FOLDER_PREFIX = "memwatch-sockets-"
_ON_SOCKETS = frozenset(["ipykernel", "ipykernel_launcher", "bash_kernel"])
"""Modules of kernels that were tested with Unix sockets."""
_LONGEST_PATH = 107
"""Bytes of a Unix socket's path: sun_path of unix(7) without its final zero."""


def use_sockets(manager: Any) -> SocketFolder | None:
    """Make jupyter_client's `manager` use Unix sockets instead of ports.

    Returns their folder, which the caller removes. No two processes can take the same
    port then, and other users cannot read the messages. None: ports are used, because
    kernels of other languages (IJulia, almond, evcxr) do not respond on sockets, and a
    wrapper may start its kernel where the folder is not visible.
    """
    if not _can_use_sockets(manager):
        return None
    folder = SocketFolder.make()
    if folder is not None:
        manager.transport, manager.ip = "ipc", folder.prefix
    return folder


def _can_use_sockets(manager: Any) -> bool:
    return (
        is_local(manager)
        and os.path.basename(manager.kernel_spec.argv[0]).startswith("python")
        and not _ON_SOCKETS.isdisjoint(manager.kernel_spec.argv)
    )


def is_local(manager: Any) -> bool:
    """Whether jupyter_client starts the kernel of `manager` as a child of ours."""
    from jupyter_client.kernelspec import NoSuchKernel

    try:
        spec = manager.kernel_spec
    except NoSuchKernel:
        return False  # starting it reports this
    local = "local-provisioner"
    provisioner = spec.metadata.get("kernel_provisioner") or {}
    default = os.environ.get("JUPYTER_DEFAULT_PROVISIONER_NAME", local)
    return bool(provisioner.get("provisioner_name", default) == local)


class SocketFolder:
    """A private folder for one kernel's sockets, locked while its owner runs."""

    def __init__(self, base: str) -> None:
        self.path = tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=base)
        self.prefix = f"{self.path}/k"
        """jupyter_client's `ip`: the sockets are PREFIX-1, PREFIX-2, ..."""
        self._lock: int | None = None
        try:
            self._lock = _locked(self.path)
            if len(os.fsencode(self.prefix)) + len("-99") > _LONGEST_PATH:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        except OSError:
            self.remove()
            raise

    @classmethod
    def make(cls) -> SocketFolder | None:
        """A new folder in $XDG_RUNTIME_DIR or /tmp; None: not possible."""
        for base in (os.environ.get("XDG_RUNTIME_DIR"), "/tmp"):
            with suppress(OSError):
                if base and os.path.isabs(base):
                    _remove_abandoned(base)
                    return cls(base)
        return None

    def remove(self) -> None:
        """Remove it with its sockets. Idempotent."""
        _remove(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(folder: str) -> int:
    """A descriptor that holds the folder's lock. OSError: another process has it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.stat(folder)  # it may have been removed before it was locked
    except OSError:
        os.close(fd)
        raise
    return fd


def _remove(folder: str) -> None:
    """Remove the folder with its sockets, if nothing else is in it."""
    with suppress(OSError):
        for each in os.scandir(folder):
            if each.name.startswith("k-"):
                os.unlink(each.path)
        os.rmdir(folder)


def _remove_abandoned(base: str) -> None:
    """Remove this user's folders whose owners were killed."""
    for each in os.scandir(base):
        if not each.name.startswith(_FOLDER_PREFIX):
            continue
        with suppress(OSError):
            if each.stat(follow_symlinks=False).st_uid == os.geteuid():
                lock = _locked(each.path)
                _remove(each.path)
                os.close(lock)


# ---- output ----

_KEPT_BYTES = 2**18
_MOST_BYTES = 2**20
_BOUND_S = 1.0


class KernelOutput:
    """What the processes of a kernel write to their stdout and stderr: its end.

    `fd` is for the kernel. It is a file in memory without a name: a pipe would stall a
    kernel while its reader is busy, and a disk can be full. An event loop must run.
    """

    def __init__(self) -> None:
        self.fd = _unnamed_file()
        self._earlier: bytes | None = None
        self._bounding = asyncio.ensure_future(self._keep_small())

    async def _keep_small(self) -> None:
        while True:
            await asyncio.sleep(_BOUND_S)
            self._bound()

    def _bound(self) -> None:
        """Remove all but the end from a large file."""
        size = os.fstat(self.fd).st_size
        if size > _MOST_BYTES:
            self._earlier = os.pread(self.fd, _KEPT_BYTES, size - _KEPT_BYTES)
            # The next write is at the new end: the file is opened for appending.
            os.ftruncate(self.fd, 0)

    def close(self) -> str:
        """Close the file; its text, whose first line says if only its end was kept."""
        self._bounding.cancel()
        self._bound()
        text = os.pread(self.fd, _MOST_BYTES, 0)
        os.close(self.fd)
        if self._earlier is not None:
            text = b"(earlier lines were not kept)\n" + self._earlier + text
        return text.decode(errors="replace")


def _unnamed_file() -> int:
    try:
        fd = os.memfd_create("memwatch-kernel-output")
    except (AttributeError, OSError):  # not in this Python; not in this sandbox
        with tempfile.TemporaryFile(buffering=0) as file:
            fd = os.dup(file.fileno())
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    return fd
