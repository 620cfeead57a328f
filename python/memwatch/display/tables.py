"""Reports as tables, and the details of one report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import nlargest
from typing import TypedDict

from ..report import CellReport
from . import lines
from .charts import blocks, over_time, points_of
from .units import duration, mib, printable, short, size

_WIDTH = 80
"""Characters per line where nothing wider is known."""
_TIMELINE_WIDTH = 60
_NEWEST = 10


class Allocator(TypedDict):
    """Free memory that malloc retains; see linux/malloc_stats.h."""

    retained_bytes: int
    duration_ns: int
    """How long reading it took."""


NOTHING = "no reports yet: they come with the next cell"
_HEADER = (
    f"{'used MiB':>10}{'rise MiB':>10}{'peaked MiB':>11}{'total MiB':>11}"
    f"{'time':>9}  cell"
)


def _row(report: CellReport, width: int) -> str:
    start = (
        f"{mib(report.used_bytes, 4):>10}{mib(report.risen_bytes):>10}"
        f"{mib(report.peaked_bytes):>11}"
        f"{mib(report.rss_end_bytes):>11}{duration(report.duration_ns):>9}  "
    )
    count = report.children_count_peak
    end = f" (+{count}, {short(children_peak(report))})" if count else ""
    return start + printable(_name(report), max(width, _WIDTH) - len(start + end)) + end


def report_text(report: CellReport) -> str:
    """One report as a table in text: its repr()."""
    return f"{_HEADER}\n{_row(report, _WIDTH)}"


def report_html(report: CellReport) -> str:
    """One report as a table in HTML."""
    return _html([report])


def history_text(reports: Sequence[CellReport], name: str) -> str:
    """The newest reports as a table in text, with a title: the repr() of a history."""
    if not reports:
        return f"{name}: no reports"
    rows = [_row(report, _WIDTH) for report in reports[-_NEWEST:]]
    return "\n".join([f"{name}: {_title(reports)}", _HEADER, *rows])


def history_html(reports: Sequence[CellReport], name: str) -> str:
    """The same in HTML."""
    from html import escape

    if not reports:
        return f"{escape(name)}: no reports"
    return f"<div>{escape(name)}: {_title(reports)}</div>{_html(reports[-_NEWEST:])}"


def _title(reports: Sequence[CellReport]) -> str:
    count = f"{len(reports):,} report{'' if len(reports) == 1 else 's'}"
    return count if len(reports) <= _NEWEST else f"{count}, the newest {_NEWEST}"


_COLUMNS: dict[str, Callable[[CellReport], str]] = {
    "used MiB": lambda each: mib(each.used_bytes, 4),
    "rise MiB": lambda each: mib(each.risen_bytes),
    "peaked MiB": lambda each: mib(each.peaked_bytes),
    "total MiB": lambda each: mib(each.rss_end_bytes),
    "time": lambda each: duration(each.duration_ns),
}
"""The columns of a table in HTML, before the cell and its source."""


def _html(reports: Iterable[CellReport]) -> str:
    from html import escape

    left = ' style="text-align: left"'
    head = "".join(f"<th>{each}</th>" for each in _COLUMNS)
    rows = []
    for each in reports:
        figures = "".join(f"<td>{text(each)}</td>" for text in _COLUMNS.values())
        source = escape(printable(each.source or ""))
        rows.append(
            f"<tr><th{left}>{escape(printable(_cell(each)))}</th>{figures}"
            f"<td{left}><code>{source}</code></td></tr>"
        )
    return (
        f'<table class="memwatch-reports"><thead><tr><th{left}>cell</th>{head}'
        f"<th{left}>source</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(report: CellReport) -> str:
    ran = lines.children(report)
    status = "" if report.status == "ok" else f" ({report.status})"
    return (report.label or "a block") + status + (f" (+{ran})" if ran else "")


_CHILDREN_HEADER = f"{'peak MiB':>14}{'number':>8}{'time':>10}  cell"


def _children_row(report: CellReport, width: int) -> str:
    unit = "RSS" if report.children_pss_peak_bytes is None else "PSS"
    start = (
        f"{mib(children_peak(report)):>10} {unit}"
        f"{report.children_count_peak or 0:>8}{duration(report.duration_ns):>10}  "
    )
    return start + printable(_name(report), max(width, _WIDTH) - len(start))


def _name(report: CellReport) -> str:
    status = "" if report.status == "ok" else f"({report.status})"
    words = (report.label or "a block", status, report.source or "")
    return " ".join(word for word in words if word)


def top_tables(reports: Iterable[CellReport], count: int, width: int = _WIDTH) -> str:
    """The `count` reports that kept the most, and those that rose the highest.

    In lines of `width` characters, but at least 80.
    """
    kept = list(reports)
    if not kept:
        return NOTHING
    of = f"of {len(kept):,} report" + ("s" if len(kept) > 1 else "")

    def table(
        title: str,
        size: Callable[[CellReport], int | None],
        header: str = _HEADER,
        row: Callable[[CellReport, int], str] = _row,
    ) -> list[str]:
        # Equal ones: the older first, as nlargest() does.
        known = ((size(each), each) for each in kept)
        ranked = nlargest(
            count,
            ((value, report) for value, report in known if value is not None),
            key=lambda pair: pair[0],
        )
        rows = (row(report, width) for _, report in ranked)
        return [f"{title}, {of}", header, *rows]

    tables = [
        *table("Kept the most", lambda report: report.used_bytes),
        "",
        *table("Rose the highest", lambda report: report.risen_bytes),
    ]
    if any(map(children_peak, kept)):
        title = "Had the largest child processes"
        of_children = (children_peak, _CHILDREN_HEADER, _children_row)
        tables += ["", *table(title, *of_children)]
    return "\n".join(tables)


def children_peak(report: CellReport) -> int | None:
    """The most that child processes held, in bytes: PSS if it was seen, else RSS.

    None if none was seen.
    """
    if not report.children_count_peak:
        return None
    if report.children_pss_peak_bytes is not None:
        return report.children_pss_peak_bytes
    return report.children_rss_peak_bytes


def history_table(
    reports: Sequence[CellReport], count: int, width: int = _WIDTH
) -> str:
    """The newest `count`, oldest first, in lines as those of top_tables()."""
    if not reports:
        return NOTHING
    shown = list(reports[-count:])
    rows = [_HEADER, *(_row(report, width) for report in shown)]
    older = len(reports) - len(shown)
    if older:
        rows.append(f"{older:,} older; to show them: %memwatch history {len(reports)}")
    return "\n".join(rows)


def story(report: CellReport, allocator: Allocator | None) -> str:
    """All figures of one cell, and what malloc retains now."""
    began = report.started_at or "an unknown time"
    sizes = [
        ("used", report.used_bytes, "kept: RSS at its end less RSS at its start"),
        ("rise", report.risen_bytes, "its highest RSS less RSS at its start"),
        ("peaked", report.peaked_bytes, "its highest RSS less RSS at its end"),
        ("total", report.rss_end_bytes, "RSS at its end, made up of"),
        ("  anon", report.anon_bytes, "heap, stacks, private memory written to"),
        ("  file", report.file_bytes, "programs, libraries, mapped files"),
        ("  shared", report.shmem_bytes, "shared memory"),
        ("swapped", report.swap_bytes, "swapped out, not part of RSS"),
        ("drift", report.drift_bytes, "growth between the previous cell and this one"),
    ]
    return "\n".join(
        [
            printable(_name(report), _WIDTH),
            f"ran      {duration(report.duration_ns)}, from {began}",
            *(_size(*each) for each in sizes),
            *_children(report),
            f"accuracy {_accuracy(report)}",
            *_shape(report),
            _retained(allocator),
        ]
    )


def _size(name: str, size_bytes: int | None, meaning: str) -> str:
    return f"{name:<8}{size(size_bytes, 4):>15}  {meaning}"


def _children(report: CellReport) -> list[str]:
    count = report.children_count_peak
    if not count:
        ran = lines.children(report)
        return [f"children {ran}"] if ran else []
    is_pss = report.children_pss_peak_bytes is not None
    remark = "sampled: at least" if is_pss else "shared pages count for each"
    rows = [f"children {count} at a time, {lines.children_sizes(report)} ({remark})"]
    if report.children_missed:
        rows.append(f"{'':9}and {report.children_missed} too short to measure")
    if report.tree_pss_peak_bytes is not None:
        meaning = "this process and its children: their highest PSS, at least"
        rows.append(_size("tree", report.tree_pss_peak_bytes, meaning))
    return rows


def _accuracy(report: CellReport) -> str:
    if report.peak_method == "kernel":
        bound = mib(report.peak_error_bytes)
        return f"the peak is the kernel's high-water mark, within {bound} MiB"
    if report.peak_method == "sampled":
        return "the peak is the highest sample: a lower bound"
    return "unknown"


def _shape(report: CellReport) -> list[str]:
    timeline = report.timeline
    if timeline is None:
        return ["timeline dropped: the history exceeded c.MemWatch.max_timelines_mib"]
    values = timeline["rss_bytes"]
    if not values:
        return ["timeline none"]
    picture = blocks(over_time(points_of(report), _TIMELINE_WIDTH), _TIMELINE_WIDTH)
    low, high = mib(min(values)), mib(max(values))
    return [
        f"timeline {picture}",
        f"         {low} to {high} MiB, {len(values)} samples",
    ]


def _retained(allocator: Allocator | None) -> str:
    if allocator is None:
        return "retained unknown: this process's malloc does not report it"
    took = duration(allocator["duration_ns"])
    meaning = f"free memory of malloc, at most (read in {took})"
    row = _size("retained", allocator["retained_bytes"], meaning)
    return f"{row}\n{'':25}a cell that reuses it shows 'used 0.00'"


def repeats(reports: Sequence[CellReport]) -> str:
    """Median and range of several runs of one cell."""
    rows = [f"{len(reports)} run{'s' if len(reports) > 1 else ''}"]

    import statistics  # takes 1 ms

    def add(name: str, values: list[int | None], text: Callable[[float], str]) -> None:
        known = [value for value in values if value is not None]
        if not known:
            rows.append(f"{name:<8}unknown")
            return
        middle = text(statistics.median(known))
        rows.append(f"{name:<8}{middle}  ({text(min(known))} to {text(max(known))})")

    def rounded(value: float) -> str:
        return size(round(value))

    add("used", [report.used_bytes for report in reports], rounded)
    add("peaked", [report.peaked_bytes for report in reports], rounded)
    add("time", [report.duration_ns for report in reports], duration)
    return "\n".join(rows)
