"""A kernel's memory, measured from outside, whatever its language."""

from __future__ import annotations

import time
from array import array
from pathlib import Path
from typing import Any

from .. import _core
from ..report import CellReport, Status, Timeline, iso_8601

__all__ = ["KernelMemory"]

_SUMMED = (
    "rss_start_bytes", "rss_end_bytes", "used_bytes", "anon_bytes", "file_bytes",
    "shmem_bytes", "swap_bytes",
)  # fmt: skip

_Closed = tuple[dict[str, Any], bytes, bytes]


class KernelMemory:
    """Windows on a kernel's process, and on those that belonged to it from the start.

    Some kernels are two processes: bash_kernel is a Python that talks to a bash. What
    was there when the kernel was ready is measured, each process by its own high-water
    mark; what a cell starts later is not. OSError where the process is gone, or may not
    be read.
    """

    def __init__(self, pid: int) -> None:
        self._processes = [_core.Process(each) for each in (pid, *_descendants(pid))]
        self._windows: list[_core.Window] = []
        self._opened_at_ns = 0
        self._previous_end_bytes: int | None = None

    def open(self) -> None:
        """A cell is about to be sent. OSError."""
        self._opened_at_ns = time.time_ns()
        self._windows = [each.window() for each in self._processes]

    def rss_bytes(self) -> int | None:
        """What it holds now; None where that cannot be read."""
        try:
            return sum(each.memory()["rss_bytes"] for each in self._processes)
        except OSError:
            return None

    def close(self, status: Status, **title: Any) -> CellReport | None:
        """The cell has ended, or the kernel died in it: what it cost.

        Of a kernel that is gone that is what was known when the last sample was taken.
        `title` are CellReport's label, execution_count, cell_id and source. None where
        no window is open.
        """
        try:
            closed = [each.close() for each in self._windows]
        except OSError:
            closed = [each.close_at_last_sample() for each in self._windows]
        return self._report(closed, status, title)

    def _report(
        self, closed: list[Any], status: Status, title: dict[str, Any]
    ) -> CellReport | None:
        self._windows = []
        if not closed or None in closed:
            return None
        figures, t_ns, rss_bytes = _together(closed)
        drift = None
        if self._previous_end_bytes is not None:
            drift = figures["rss_start_bytes"] - self._previous_end_bytes
        self._previous_end_bytes = figures["rss_end_bytes"]
        return CellReport(
            **title,
            started_at=iso_8601(self._opened_at_ns),
            drift_bytes=drift,
            status=status,
            timeline=Timeline(t_ns=array("q", t_ns), rss_bytes=array("q", rss_bytes)),
            **figures,
        )


def _together(closed: list[_Closed]) -> _Closed:
    """Several processes' figures as one's.

    Each mark is known, and not when it was reached: the peak is that of the process
    that rose the highest, with what the others held at least. Right where one of them
    works while the others wait, a lower bound else. The timeline is the busiest one's.
    """
    if len(closed) == 1:
        return closed[0]
    figures = [each[0] for each in closed]
    busiest = max(closed, key=lambda each: each[0]["risen_bytes"])
    one = dict(busiest[0])
    others = [each for each in figures if each is not busiest[0]]
    base = sum(min(each["rss_start_bytes"], each["rss_end_bytes"]) for each in others)
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
        one["peak_error_bytes"] = sum(each["peak_error_bytes"] for each in figures)
    samples = array("q", busiest[2])
    return one, busiest[1], array("q", [each + base for each in samples]).tobytes()


def _descendants(pid: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            listed = children.read_text().split()
        except OSError:
            continue  # the thread has ended
        for child in map(int, listed):
            found += [child, *_descendants(child)]
    return found
