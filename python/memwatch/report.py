"""What a cell cost. Pure: measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError, dataclass, fields
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal, TypedDict

PeakMethod = Literal["kernel", "sampled"]
Status = Literal["ok", "error", "interrupted", "limit", "died", "running", "unknown"]


class Timeline(TypedDict):
    """``CellReport.timeline``."""

    t_ns: Sequence[int]
    rss_bytes: Sequence[int]


# What dataclass makes for so many fields takes longer than the rest of the import.
@dataclass(init=False, repr=False, eq=False, slots=True)
class CellReport:
    """What one cell, or one ``with memwatch.watch()`` block, cost.

    Sizes are bytes, times nanoseconds, shares percent, all integers; ``used_mib`` and
    the like are the same in MiB, ``duration_s`` is in seconds. A figure that could not
    be read is None, never 0. ``status`` below is ``/proc/self/status``.

    >>> report = CellReport(label="load", used_bytes=4096)
    >>> report.used_bytes, report.peaked_bytes
    (4096, None)
    >>> report.used_mib
    0.00390625

    The report itself:

    ``schema``
        The version of this list of fields.
    ``label``
        ``In [3]`` for a cell, the name that was given to ``watch()`` for a block.
    ``execution_count``
        The cell's own number; None for a block and for a cell without one.
    ``cell_id``
        The front end's name for the cell, where the front end sends one.
    ``source``
        The cell's first line that is not a magic, decorator or import, at most
        120 characters; if it has only such lines, the first one.
    ``status``
        How it ended: ``ok``, ``error``, ``interrupted``, ``limit`` or ``died``. In
        black boxes and messages also ``running``, or ``unknown`` if it ended without
        a result.

    Time:

    ``line``
        The line that a cell is running, or was when its process was killed, from 1; in
        a loop that has run 10,000 lines, the line where it begins. None once the cell
        has ended.
    ``started_at``
        When the window opened: ISO 8601, UTC.
    ``duration_ns``
        Nanoseconds from opening to closing, by CLOCK_MONOTONIC; None where that clock
        did not advance.

    Memory of this process:

    ``rss_start_bytes``
        Bytes. Resident set size when the window opened: VmRSS of ``status``.
    ``rss_end_bytes``
        Bytes. The same when the window closed.
    ``rss_peak_bytes``
        Bytes. The highest resident set size in between; see ``peak_method``.
    ``used_bytes``
        Bytes. ``rss_end_bytes - rss_start_bytes``: what the cell kept. Negative where
        it gave memory back.
    ``peaked_bytes``
        Bytes. ``rss_peak_bytes - rss_end_bytes``, at least 0: what the cell needed
        for a while.
    ``risen_bytes``
        Bytes. ``rss_peak_bytes - rss_start_bytes``, at least 0: how far the cell drove
        memory up.
    ``drift_bytes``
        Bytes. Growth between the previous cell's end and this one's start.
    ``peak_method``
        ``kernel``: VmHWM of ``status``, the kernel's own high-water mark, reset when
        the window opened; no transient is missed, however short, beyond
        ``peak_error_bytes``. ``sampled``: the mark could not be reset or read, and the
        peak is the highest sample: a lower bound.
    ``peak_error_bytes``
        Bytes. How far ``rss_peak_bytes`` may be off: what the kernel's counters, which
        each processor keeps a part of, may hold back from the mark. Where a kernel is
        several processes, also how far the sum of their marks is above it. None where
        sampled.
    ``anon_bytes``
        Bytes, at the end: RssAnon of ``status``; the heap, stacks, private memory that
        was written to.
    ``file_bytes``
        Bytes, at the end: RssFile of ``status``; programs, libraries, mapped files.
    ``shmem_bytes``
        Bytes, at the end: RssShmem of ``status``; shared memory.
    ``swap_bytes``
        Bytes, at the end: VmSwap of ``status``; what is swapped out.
    ``threads``
        At the end: the number of threads of this process, memwatch's own among them;
        Threads of ``status``.
    ``timeline``
        The shape of the memory over time: ``t_ns`` (nanoseconds since the window
        opened) and ``rss_bytes`` (bytes, from ``/proc/self/statm``), at most 512
        samples, the highest among them.

    Processors, only with style ``cpu`` (``/proc/stat``):

    ``system_mean_cpu_percent``
        Percent, 0 to 100: all processors, all processes, over the window. None where
        the window had no tick of the kernel's clock (10 ms).
    ``single_max_cpu_percent``
        Percent, 0 to 100: the busiest processor in its busiest tenth of a second. None
        likewise.

    Child processes, only where ``c.MemWatch.children`` is on; else all None:

    ``children_count``
        At the end: the processes that descend from this one and hold memory.
    ``children_pss_bytes``
        Bytes, at the end: the sum of their PSS (``/proc/PID/smaps_rollup``), in which a
        page that n processes share counts 1/n for each, this process among them. None
        where that of one of them cannot be read.
    ``children_rss_bytes``
        Bytes, at the end: the sum of their RSS, in which a shared page counts for each.
    ``children_count_peak``
        The most such processes at the same time that were seen, every 20 ms or less
        often: a lower bound, as the peaks below.
    ``children_rss_peak_bytes``
        Bytes. The highest sum of their RSS that was seen, in which a shared page counts
        for each.
    ``children_pss_peak_bytes``
        Bytes. The highest sum of their PSS that was seen. Reading it takes longer, so
        it is read less often. None where their RSS was once more than an eighth higher
        than in any reading with PSS.
    ``tree_pss_peak_bytes``
        Bytes. The highest PSS of this process and its children together that was seen:
        each page counted once. None where it was not read.
    ``children_missed``
        Children that were started and had ended before they were seen: at least so
        many. None where more were seen than are known to have been started.
    ``own_pss_bytes``
        Bytes, at the end: this process's PSS. With ``children_pss_bytes`` it is what
        the whole tree holds, shared pages counted once. None where there are no
        children.
    """

    schema: int = 1
    label: str | None = None
    execution_count: int | None = None
    cell_id: str | None = None
    source: str | None = None
    line: int | None = None
    started_at: str | None = None
    duration_ns: int | None = None
    rss_start_bytes: int | None = None
    rss_end_bytes: int | None = None
    rss_peak_bytes: int | None = None
    used_bytes: int | None = None
    peaked_bytes: int | None = None
    risen_bytes: int | None = None
    drift_bytes: int | None = None
    peak_method: PeakMethod | None = None
    peak_error_bytes: int | None = None
    anon_bytes: int | None = None
    file_bytes: int | None = None
    shmem_bytes: int | None = None
    swap_bytes: int | None = None
    threads: int | None = None
    system_mean_cpu_percent: int | None = None
    single_max_cpu_percent: int | None = None
    children_count: int | None = None
    children_pss_bytes: int | None = None
    children_rss_bytes: int | None = None
    children_count_peak: int | None = None
    children_rss_peak_bytes: int | None = None
    children_pss_peak_bytes: int | None = None
    tree_pss_peak_bytes: int | None = None
    children_missed: int | None = None
    own_pss_bytes: int | None = None
    status: Status = "ok"
    timeline: Timeline | None = None

    def __init__(self, **figures: Any) -> None:
        for name in figures.keys() - DEFAULTS.keys():
            raise TypeError(f"CellReport() got an unexpected keyword argument {name!r}")
        for name, value in {**DEFAULTS, **figures}.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        # Not frozen=True: %autoreload of IPython before 8.5 sets __class__ like this.
        if name != "__class__":
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in DEFAULTS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        CellReport.__init__(self, **state)

    @property
    def place(self) -> str:
        """The label and, if it is known, the line: ``In [3] line 7``."""
        label = self.label or "a block"
        return label if self.line is None else f"{label} line {self.line}"

    @property
    def duration_s(self) -> float | None:
        """``duration_ns`` in seconds."""
        return None if self.duration_ns is None else self.duration_ns / 1e9

    if TYPE_CHECKING:  # the properties that are added below

        def __getattr__(self, name: str) -> float | None: ...

    # Not before it is displayed: display/ uses this module.

    def __repr__(self) -> str:
        from .display.tables import report_text

        return report_text(self)

    def _repr_html_(self) -> str:
        from .display.tables import report_html

        return report_html(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CellReport):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in DEFAULTS)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, the timeline as plain lists: ready for JSON.

        >>> CellReport(label="load").to_dict()["label"]
        'load'
        """
        values = self.__getstate__()
        if self.timeline is not None:
            values["timeline"] = {
                "t_ns": list(self.timeline["t_ns"]),
                "rss_bytes": list(self.timeline["rss_bytes"]),
            }
        return values


DEFAULTS = {each.name: each.default for each in fields(CellReport)}
"""What each figure is where nothing is known of it."""


def _in_mib(field: str) -> property:
    def convert(report: CellReport) -> float | None:
        value: int | None = getattr(report, field)
        return None if value is None else value / 2**20

    return property(convert, doc=f"``{field}`` in MiB (2**20 bytes).")


# Not by __getattr__(), which makes every other attribute slower.
for _name in DEFAULTS:
    if _name.endswith("_bytes"):
        setattr(CellReport, _name.removesuffix("_bytes") + "_mib", _in_mib(_name))

_SOURCE_LENGTH = 120


def telling_line(text: str) -> str:
    """The line that says most about a cell, at most 120 characters: CellReport.source.

    The first one that is not empty, a magic, a decorator or an import; else
    the first one.

    >>> telling_line("%%time\\nimport json\\ndata = json.load(file)")
    'data = json.load(file)'
    """
    first = text.lstrip().partition("\n")[0]
    if first.startswith(_SAYS_LITTLE):
        first = _find_telling_line(text) or first
    return first.rstrip()[:_SOURCE_LENGTH]


_SAYS_LITTLE = ("%", "@", "import ", "from ")


def _find_telling_line(text: str) -> str | None:
    in_import = False
    for line in map(str.strip, text.splitlines()):
        if in_import:
            in_import = ")" not in line
        elif line.startswith(_SAYS_LITTLE):
            in_import = "import (" in line and ")" not in line
        elif line:
            return line
    return None


def iso_8601(t_real_ns: int) -> str | None:
    """The one date format: ISO 8601, UTC, milliseconds; None for impossible times.

    >>> iso_8601(1_795_435_200_123_456_789)
    '2026-11-23T12:00:00.123+00:00'
    """
    try:
        moment = datetime.fromtimestamp(t_real_ns // 1000 / 1e6, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.isoformat(timespec="milliseconds")
