"""Lines of code with what they cost: text, at most 80 columns, and HTML with bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..display.units import duration, mib, printable
from .line_row import Line

_WIDTH = 80
_BAR = 60
"""Pixels of the longest bar."""


def lines_text(name: str, lines: Sequence[Line]) -> str:
    """A row for each line that has run."""
    if not lines:
        return f"{name}: no line has run"
    rows = [
        f"{'line':>5}{'runs':>9}{'kept MiB':>10}{'peaked MiB':>11}{'time':>9}  {name}"
    ]
    for each in lines:
        start = (
            f"{each.line:>5}{each.count:>9,}{mib(each.used_bytes):>10}"
            f"{mib(each.peaked_bytes):>11}{duration(each.duration_ns):>9}  "
        )
        rows.append(start + printable(each.source.rstrip(), _WIDTH - len(start)))
    return "\n".join(rows)


def lines_html(name: str, lines: Sequence[Line], source: Mapping[int, str]) -> str:
    """All lines of the code, those that have run with figures and bars."""
    from html import escape

    found = {each.line: each for each in lines}
    most = max(
        (max(each.used_bytes or 0, each.peaked_bytes or 0) for each in lines), default=0
    )
    left = ' style="text-align: left"'
    code = ' style="text-align: left; white-space: pre"'
    rows = []
    for number, text in source.items():
        figures = "<td></td>" * 5
        if number in found:
            row = found[number]
            figures = (
                f"<td>{row.count:,}</td><td>{mib(row.used_bytes)}</td>"
                f"<td>{mib(row.peaked_bytes)}</td><td>{duration(row.duration_ns)}</td>"
                f"<td{left}>{_bars(row, most)}</td>"
            )
        rows.append(
            f"<tr><td>{number}</td>{figures}<td{code}><code>{escape(printable(text))}"
            "</code></td></tr>"
        )
    head = "".join(
        f"<th>{each}</th>"
        for each in ("line", "runs", "kept MiB", "peaked MiB", "time", "")
    )
    return (
        f'<table class="memwatch-lines"><thead><tr>{head}<th{left}>{escape(name)}</th>'
        f"</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _bars(each: Line, most: int) -> str:
    """Two bars: what the line kept, and its peak above that, paler."""
    parts = []
    for size, opacity in ((each.used_bytes, 1.0), (each.peaked_bytes, 0.4)):
        width = round(_BAR * max(0, size or 0) / most) if most else 0
        if width:
            parts.append(
                '<span style="display: inline-block; height: 0.7em; opacity:'
                f' {opacity}; width: {width}px; background: #1f77b4"></span>'
            )
    return "".join(parts)
