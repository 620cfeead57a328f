"""A report as the line that is printed after a cell."""

from __future__ import annotations

from collections.abc import Callable

from ..report import CellReport
from .units import MIB, mib, seconds, signed
from .units import short as short_size


def _time(duration_ns: int | None) -> str:
    return "n/a" if duration_ns is None else f"{seconds(duration_ns)}s"


def _percent(share: int | None) -> str:
    # Always a number: programs that parse ipython_memory_usage's lines expect one.
    return f"{share or 0}%"


def children(report: CellReport) -> str:
    """The child processes that ran, the most that they held, and what they hold now.

    "" without children. Where the highest PSS was not seen, RSS is an upper bound: it
    counts a shared page for each process.

    >>> children(CellReport(children_count=0, children_count_peak=3,
    ...                     children_pss_peak_bytes=461 * 2**20))
    '3 children, peak 461 MiB PSS'
    """
    count = report.children_count_peak
    if not count:
        missed = report.children_missed
        return f"{_count(missed)}, too short to measure" if missed else ""
    return f"{_count(count)}, {children_sizes(report)}"


def children_sizes(report: CellReport) -> str:
    """The same without their number, for a report that has seen children."""
    if report.children_pss_peak_bytes is not None:
        text = f"peak {short_size(report.children_pss_peak_bytes)} PSS"
    else:
        text = f"up to {short_size(report.children_rss_peak_bytes)} RSS"
    if report.children_count:
        held, unit = report.children_pss_bytes, "PSS"
        if held is None:
            held, unit = report.children_rss_bytes, "RSS"
        text += f", now {short_size(held)} {unit}"
    return text


def _count(children: int) -> str:
    return "1 child" if children == 1 else f"{children} children"


def _children(report: CellReport) -> str:
    """What follows the total, with a space before it."""
    if report.children_count is None:
        return ""  # most reports: not measured
    text = children(report)
    return f" (+{text})" if text else ""


def classic(number: int, report: CellReport) -> str:
    """The line of ipython_memory_usage, to the byte.

    >>> classic(4, CellReport(used_bytes=2**20, duration_ns=722_000_000))
    'In [4] used 1.0000 MiB RAM in 0.72s, peaked ? MiB above current, total RAM ...'
    """
    return f"In [{number}] {classic_figures(report)}"


def classic_figures(report: CellReport) -> str:
    """The line of ipython_memory_usage without the cell's number."""
    return (
        f"used {mib(report.used_bytes, 4)} MiB RAM"
        f" in {_time(report.duration_ns)},"
        f" peaked {mib(report.peaked_bytes)} MiB above current,"
        f" total RAM usage {mib(report.rss_end_bytes)} MiB{_children(report)}"
    )


def cpu(number: int, report: CellReport) -> str:
    """The line of ipython_memory_usage 1.8, which has CPU usage too.

    Shares are 0% where the report has None, as for a cell without a tick of the
    kernel's clock (10 ms): ipython_memory_usage prints the same.
    """
    return (
        f"In [{number}] used {mib(report.used_bytes, 1)} MiB RAM"
        f" in {_time(report.duration_ns)}"
        f" (system mean cpu {_percent(report.system_mean_cpu_percent)},"
        f" single max cpu {_percent(report.single_max_cpu_percent)}),"
        f" peaked {mib(report.peaked_bytes, 1)} MiB above final usage,"
        f" current RAM usage now {mib(report.rss_end_bytes, 1)} MiB{_children(report)}"
    )


def short(number: int, report: CellReport) -> str:
    """A short line, with GiB where MiB would be long; a size without a unit is MiB.

    >>> report = CellReport(used_bytes=15 * 2**20, peaked_bytes=0, duration_ns=10**8,
    ...                     rss_end_bytes=66 * 2**20)
    >>> short(3, report)
    '[3] +15.0 MiB, peak +0.0, 0.10 s, total 66.0 MiB'
    """
    return _short(number, report, signed(report.used_bytes))


def short_in_colour(number: int, report: CellReport) -> str:
    """The line of short() for a terminal: the use yellow if it grew, green if it fell.

    From 1 MiB on.
    """
    used = report.used_bytes or 0
    colour = 33 if used >= MIB else 32 if used <= -MIB else 0
    text = signed(report.used_bytes)
    return _short(number, report, f"\x1b[{colour}m{text}\x1b[0m" if colour else text)


def _short(number: int, report: CellReport, used: str) -> str:
    peaked = signed(report.peaked_bytes).removesuffix(" MiB")
    return (
        f"[{number}] {used}, peak {peaked}, {seconds(report.duration_ns)} s,"
        f" total {short_size(report.rss_end_bytes)}{_children(report)}"
    )


STYLES: dict[str, Callable[[int, CellReport], str]] = {
    "classic": classic,
    "cpu": cpu,
    "short": short,
}
"""The styles by name; each takes the cell's number and its report."""
