"""A report as the line that a person reads. The only place where bytes become MiB."""

from __future__ import annotations

from collections.abc import Callable

from ..report import CellReport

__all__ = ["STYLES", "classic", "cpu", "in_mib", "mib", "short"]

_MIB = 2**20
_GIB = 2**30
_UNKNOWN = "?"


def mib(size_bytes: int | None, digits: int) -> str:
    """`size_bytes` in MiB (2**20 bytes) with `digits` decimals; "?" for None."""
    if size_bytes is None:
        return _UNKNOWN
    value = size_bytes / _MIB
    if value < 0:
        # Adding 0.0 turns the -0.0 that a small negative rounds to into 0.0.
        value = round(value, digits) + 0.0
    return f"{value:.{digits}f}"


def short(size_bytes: int | None) -> str:
    """`size_bytes` for a narrow column: "612 MiB", "9.35 GiB"; "?" for None."""
    if size_bytes is None:
        return _UNKNOWN
    if size_bytes < 1000 * _MIB:
        digits = 1 if size_bytes < 100 * _MIB else 0
        return f"{size_bytes / _MIB:.{digits}f} MiB"
    gib = size_bytes / _GIB
    return f"{gib:.{2 if gib < 10 else 1 if gib < 100 else 0}f} GiB"


def printable(text: str, length: int | None = None) -> str:
    """`text` in at most `length` characters, none of which a terminal would obey.

    That is what Unicode calls control and format characters, those that turn the
    direction of writing among them, lone surrogates, and spaces but the plain one.
    """
    if length is not None and len(text) > length:
        text = text[: length - 1] + "…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else " " for each in text)


def in_mib(size_bytes: int) -> float:
    """`size_bytes` in MiB (2**20 bytes), for a scale."""
    return size_bytes / _MIB


def _seconds(duration_ns: int | None) -> str:
    return "n/a" if duration_ns is None else f"{duration_ns / 1e9:0.2f}s"


def _percent(share: int | None) -> str:
    # A number in any case: what parses ipython_memory_usage's lines expects one.
    return f"{share or 0}%"


def _children(report: CellReport) -> str:
    """What follows the total where there are children, with a space before it."""
    count, pss_bytes = report.children_count, report.children_pss_bytes
    if not count:
        return ""
    if pss_bytes is not None and round(pss_bytes / _MIB, 2) >= 1024:
        size = f"{pss_bytes / _GIB:.2f} GiB"
    else:
        size = f"{mib(pss_bytes, 2)} MiB"
    return f" (+{count} {'child' if count == 1 else 'children'} {size} PSS)"


def classic(number: int, report: CellReport) -> str:
    """The line of ipython_memory_usage, to the byte."""
    return (
        f"In [{number}] used {mib(report.used_bytes, 4)} MiB RAM"
        f" in {_seconds(report.duration_ns)},"
        f" peaked {mib(report.peaked_bytes, 2)} MiB above current,"
        f" total RAM usage {mib(report.rss_end_bytes, 2)} MiB{_children(report)}"
    )


def cpu(number: int, report: CellReport) -> str:
    """The line of ipython_memory_usage 1.8, which tells the processors too.

    Shares are 0% where the report has None, as for a cell without a tick of the
    kernel's clock (10 ms): ipython_memory_usage prints the same.
    """
    return (
        f"In [{number}] used {mib(report.used_bytes, 1)} MiB RAM"
        f" in {_seconds(report.duration_ns)}"
        f" (system mean cpu {_percent(report.system_mean_cpu_percent)},"
        f" single max cpu {_percent(report.single_max_cpu_percent)}),"
        f" peaked {mib(report.peaked_bytes, 1)} MiB above final usage,"
        f" current RAM usage now {mib(report.rss_end_bytes, 1)} MiB{_children(report)}"
    )


STYLES: dict[str, Callable[[int, CellReport], str]] = {"classic": classic, "cpu": cpu}
"""The styles by name; each takes the cell's number and its report."""
