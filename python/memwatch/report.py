"""What a cell cost. Pure: measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timezone
from typing import Any, Literal, TypedDict

__all__ = [
    "CellReport",
    "PeakMethod",
    "Status",
    "Timeline",
    "first_line",
    "iso_8601",
]

PeakMethod = Literal["kernel", "sampled"]
Status = Literal["ok", "error", "interrupted", "limit", "died"]


class Timeline(TypedDict):
    """The shape of a window's memory: at most 512 samples, the highest among them."""

    t_ns: Sequence[int]
    """Nanoseconds since the window opened."""
    rss_bytes: Sequence[int]
    """Resident set size, from ``/proc/self/statm``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellReport:
    """What one cell, or one ``with memwatch.watch()`` block, cost.

    Sizes are bytes, times nanoseconds, shares percent, all integers. A figure that
    could not be read is None, never 0.
    """

    schema: int = 1
    """The version of this list of fields."""
    label: str | None = None
    """``In [3]`` for a cell, the name given to ``watch()`` for a block."""
    execution_count: int | None = None
    """The cell's own number; None for a block and for a cell that has none."""
    cell_id: str | None = None
    """The front end's name for the cell, where it sends one."""
    source: str | None = None
    """The cell's first line, at most 120 characters."""
    started_at: str | None = None
    """When the window opened: ISO 8601, UTC."""
    duration_ns: int | None = None
    """From opening to closing, CLOCK_MONOTONIC; None where that did not advance."""
    rss_start_bytes: int | None = None
    """Resident set size when the window opened: VmRSS of ``/proc/self/status``."""
    rss_end_bytes: int | None = None
    """The same when it closed."""
    rss_peak_bytes: int | None = None
    """The highest in between; see ``peak_method``."""
    used_bytes: int | None = None
    """End less start: what the cell kept. Negative where it gave memory back."""
    peaked_bytes: int | None = None
    """Peak less end, at least 0: what the cell needed for a while."""
    risen_bytes: int | None = None
    """Peak less start, at least 0: how far the cell drove memory up."""
    drift_bytes: int | None = None
    """Growth between the previous cell's end and this one's start."""
    peak_method: PeakMethod | None = None
    """``kernel``: VmHWM, the kernel's own high-water mark, reset when the window
    opened; no transient is missed, however short, beyond ``peak_error_bytes``.
    ``sampled``: the mark could not be reset or read, and the peak is the highest
    sample: a lower bound."""
    peak_error_bytes: int | None = None
    """How far ``rss_peak_bytes`` may be off: what the kernel's counters, which each
    processor keeps a part of, may hold back from the mark. Where a kernel is several
    processes also how far the sum of their marks is above it. None where sampled."""
    anon_bytes: int | None = None
    """At the end: RssAnon, the heap, stacks, private memory that was written to."""
    file_bytes: int | None = None
    """At the end: RssFile, programs, libraries, mapped files."""
    shmem_bytes: int | None = None
    """At the end: RssShmem, shared memory."""
    swap_bytes: int | None = None
    """At the end: VmSwap, what of it is swapped out."""
    system_mean_cpu_percent: int | None = None
    """All processors, all processes, over the window (``/proc/stat``); None unless
    the style is ``cpu``, or where the window was shorter than a tick of 10 ms."""
    single_max_cpu_percent: int | None = None
    """The busiest processor in its busiest tenth of a second; None likewise."""
    children_count: int | None = None
    """At the end: the processes that descend from this one and hold memory; None, as
    are the next five, unless ``c.MemWatch.children`` is on."""
    children_pss_bytes: int | None = None
    """At the end: their PSS, in which a page shared by n processes counts 1/n for each,
    this process among them. None where that of one of them cannot be read."""
    children_rss_bytes: int | None = None
    """At the end: the sum of their RSS, in which a shared page counts for each."""
    children_rss_peak_bytes: int | None = None
    """The highest such sum that was seen, every 20 ms or less often: a lower bound."""
    children_missed: int | None = None
    """Children that were started and had ended before one look saw them: at least so
    many. None where more were seen than are known to have been started."""
    own_pss_bytes: int | None = None
    """At the end: this process's PSS. With ``children_pss_bytes`` it is what the whole
    tree holds, shared pages counted once. None where there are no children."""
    status: Status = "ok"
    """How it ended."""
    timeline: Timeline | None = field(default=None, repr=False)
    """The shape of its memory over time."""

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, the timeline as plain lists: ready for JSON."""
        values = {name: getattr(self, name) for name in _FIELDS}
        if self.timeline is not None:
            values["timeline"] = {
                "t_ns": list(self.timeline["t_ns"]),
                "rss_bytes": list(self.timeline["rss_bytes"]),
            }
        return values


_FIELDS = tuple(each.name for each in fields(CellReport))

_SOURCE_LENGTH = 120


def first_line(text: str) -> str:
    """What ``CellReport.source`` tells of a cell's text."""
    return text.lstrip().partition("\n")[0].rstrip()[:_SOURCE_LENGTH]


def iso_8601(t_real_ns: int) -> str:
    """As ``CellReport.started_at`` tells it: nanoseconds since 1970, in UTC."""
    moment = datetime.fromtimestamp(t_real_ns // 1000 / 1e6, timezone.utc)
    return moment.isoformat(timespec="milliseconds")
