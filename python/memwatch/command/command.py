"""Run a command to its end, and report what it took."""

from __future__ import annotations

import signal as signals
from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from errno import ENOENT
from os import WTERMSIG, strerror, waitstatus_to_exitcode
from typing import Any, Literal

from .. import _core
from ..measure import children
from ..report import Timeline
from .group import CommandGroup

PeakMethod = Literal["kernel", "cgroup", "sampled"]

NOT_FOUND, NOT_EXECUTABLE = 127, 126
"""The exit codes of a shell for a command that it cannot execute."""


class NotExecutedError(Exception):
    """The command could not be executed; the message says why. `reason`: an errno."""

    def __init__(self, command: str, reason: int) -> None:
        is_missing = reason == ENOENT
        what = "command not found" if is_missing else strerror(reason).lower()
        super().__init__(f"cannot execute '{command}': {what}")
        self.exit_code = NOT_FOUND if is_missing else NOT_EXECUTABLE


@dataclass(frozen=True, kw_only=True)
class CommandReport:
    """What one run of a command took. Bytes and nanoseconds; None: not read."""

    command: list[str]
    exit_code: int
    """As a shell has it: 128 + N if signal N killed the command."""
    signal: str | None
    """The signal that killed it, such as ``SIGKILL``."""
    duration_ns: int
    """From its exec to its end."""
    user_ns: int
    """CPU time in user mode, with that of the children it waited for."""
    system_ns: int
    """The same in the kernel."""
    rss_peak_bytes: int | None
    """The highest RSS of its own process (VmHWM)."""
    rss_end_bytes: int | None
    """The RSS of its own process when it ended."""
    peak_method: PeakMethod
    """``kernel``: read at the exit of each process; ``sampled``: a lower bound."""
    peak_error_bytes: int | None
    """How far a peak of the kernel may be off; None: it is sampled."""
    largest_name: str | None
    """The name of the process with the highest RSS."""
    largest_pid: int
    largest_peak_bytes: int | None
    """That RSS, by `peak_method`."""
    tree_peak_bytes: int | None
    """The most that all its processes together held at one time."""
    tree_peak_method: PeakMethod
    """``kernel``: there was one process; ``cgroup``: the counter of a cgroup of its
    own, with the page cache that it filled, at least the largest process's peak;
    ``sampled``: the sum of PSS, a lower bound."""
    processes: int | None
    """How many were started; None: not traced."""
    processes_left: int | None
    """How many of them had not ended when the command had; None: not traced."""
    trace_error: str | None
    """Why the command could not be traced; None: it was, or `trace` is off."""
    timeline: Timeline | None = field(default=None, repr=False)
    """RSS of its own process over time."""

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        values = asdict(self)
        if self.timeline is not None:
            values["timeline"] = {
                "t_ns": list(self.timeline["t_ns"]),
                "rss_bytes": list(self.timeline["rss_bytes"]),
            }
        return values


def run(
    argv: Sequence[str],
    *,
    trace: bool = True,
    own_group: bool = True,
    with_timeline: bool = False,
    streams: tuple[int, int, int] = (0, 1, 2),
) -> CommandReport:
    """Run `argv` with these standard streams, by default those of this process.

    `own_group`: count its tree in a cgroup of its own, if one can be made.
    NotExecutedError; OSError if no process can be started.

    >>> report = run(["true"], own_group=False)
    >>> report.exit_code, report.processes
    (0, 1)
    """
    command = _core.Command(argv, trace=trace, streams=streams)
    group = _group_of(command.pid) if own_group else None
    try:
        tree = _open_tree(command.pid)
        window = _open_window(command.pid) if with_timeline else None
        figures = command.run()
        tree_figures = children.close_window(tree)
        timeline = None if window is None else _close(window)
        group_peak = None if group is None else group.peak_bytes()
    finally:
        if group is not None:
            group.remove()
    if figures["exec_errno"]:
        raise NotExecutedError(argv[0], figures["exec_errno"])
    is_traced = figures["started"] is not None
    tree_peak, tree_method = _tree_peak(figures, tree_figures, group_peak)
    status = figures["wait_status"]
    code = waitstatus_to_exitcode(status)
    return CommandReport(
        command=list(argv),
        exit_code=code if code >= 0 else 128 - code,
        signal=None if code >= 0 else signals.Signals(WTERMSIG(status)).name,
        duration_ns=figures["duration_ns"],
        user_ns=figures["user_ns"],
        system_ns=figures["system_ns"],
        rss_peak_bytes=figures["peak_bytes"],
        rss_end_bytes=figures["end_bytes"],
        peak_method="kernel" if is_traced else "sampled",
        peak_error_bytes=_error_bytes(figures) if is_traced else None,
        largest_name=figures["largest_name"],
        largest_pid=figures["largest_pid"],
        largest_peak_bytes=figures["largest_peak_bytes"],
        tree_peak_bytes=tree_peak,
        tree_peak_method=tree_method,
        processes=figures["started"],
        processes_left=figures["alive"],
        trace_error=command.trace_error,
        timeline=timeline,
    )


def _group_of(pid: int) -> CommandGroup | None:
    try:
        group = CommandGroup()
    except OSError:
        return None
    try:
        group.add(pid)
    except OSError:
        group.remove()
        return None
    return group


def _open_tree(pid: int) -> Any:
    try:
        children.start()
    except (ImportError, OSError):
        return None
    return children.open_window([pid])


def _open_window(pid: int) -> _core.Window | None:
    try:
        return _core.Process(pid).window()
    except OSError:
        return None


def _close(window: _core.Window) -> Timeline | None:
    closed = None
    with suppress(OSError):
        closed = window.close_at_last_sample()
    if closed is None:
        return None
    t_ns, rss_bytes = array("q", closed[1]), array("q", closed[2])
    # Until its exec it was a copy of this process.
    first = 1 if len(t_ns) > 1 else 0
    return Timeline(t_ns=t_ns[first:], rss_bytes=rss_bytes[first:])


def _error_bytes(figures: Any) -> int:
    """The kernel's bound, or what a program that was replaced may have had more."""
    bound = 0
    with suppress(OSError):
        bound = _core.accuracy()["bound_bytes"]
    unknown: int = figures["unknown_bytes"] - (figures["largest_peak_bytes"] or 0)
    return max(bound, unknown)


def _tree_peak(
    figures: Any, tree: Any, group_peak: int | None
) -> tuple[int | None, PeakMethod]:
    largest = figures["largest_peak_bytes"]
    if figures["started"] == 1:
        return largest, "kernel"
    if group_peak is not None:
        # Without pages that were in the cache before, such as those of libraries.
        return max(group_peak, largest or 0), "cgroup"
    found = [largest, tree.get("tree_pss_peak_bytes")]
    known = [each for each in found if each is not None]
    return max(known, default=None), "sampled"
