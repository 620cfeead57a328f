"""The memory of a notebook, cell after cell, as an SVG for a page. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from ...display.charts import Points, describe, peak_of, points_of, simplified
from ...display.units import mib, seconds
from ..budgets.violations import Violation
from ..results import CellRun, NotebookRun

# In the drawing's units, stretched to the page's width; text is outside of it, in the
# page's size.
_WIDTH, _HEIGHT = 1000, 100
_COLUMNS = 400
_NARROWEST = 6
"""The least width of a cell."""
_LEAST_EXTENT_BYTES = 2**20
_LABELLED = 2.5
"""Least percentage of the width for a cell's number."""


@dataclass(frozen=True, slots=True)
class _Span:
    cell: CellRun
    points: Points
    peak_bytes: int
    x: float
    width: float


def curve(run: NotebookRun, violations: Sequence[Violation] = (), row: str = "") -> str:
    """An SVG as wide as the page; empty if no cell has samples.

    Cells follow each other without pauses, as wide as they took. Each cell's peak is
    vermillion; dashed lines are the memory limit and exceeded budgets, up to twice the
    highest peak. Each cell links to its row, whose id is `row` and the cell index. It
    uses the page's style (classes ``memory``, ``peak``, ``limit``, ``band``, ``few``)
    and no ids.
    """
    spans = _spans(run)
    if not spans:
        return ""
    low = min(size for span in spans for _, size in span.points)
    high = max(span.peak_bytes for span in spans)
    limits = _limits(run, violations, high)
    top = max([low + _LEAST_EXTENT_BYTES, high, *(size for _, size in limits)])
    extent = top - low

    def height(size: int) -> float:
        return round((top - size) * _HEIGHT / extent, 1)

    drawn = [_band(span, row, i % 2 == 0) for i, span in enumerate(spans)]
    # Below the curve, where a peak is also the end.
    drawn += [
        f'<path class="peak" d="M{span.x:.1f} {height(span.peak_bytes)}'
        f'h{span.width:.1f}"/>'
        for span in spans
    ]
    drawn += [_shape(span, height) for span in spans]
    drawn += [
        f'<path class="limit" d="M0 {height(size)}H{_WIDTH}"/>' for _, size in limits
    ]
    took_ns = sum(each.points[-1][0] - each.points[0][0] for each in spans)
    count = "1 cell" if len(spans) == 1 else f"{len(spans)} cells"
    label = f"Memory over {count}: {mib(low)} to {mib(high)} MiB"
    return (
        f'<svg class="curve" role="img" aria-label="{label}">'
        f'<svg y="1.2em" width="100%" height="10rem" preserveAspectRatio="none"'
        f' viewBox="0 -2 {_WIDTH} {_HEIGHT + 4}">{"".join(drawn)}</svg>'
        f'<text x="0" y=".9em">{mib(top)} MiB</text>'
        f"{_limit_names([name for name, _ in limits])}"
        f"{''.join(_number(span) for span in spans)}</svg>"
        f'<p class="scale"><span>lowest {mib(low)} MiB</span>'
        '<span class="key">a cell\'s peak</span>'
        f"<span>{seconds(took_ns)} s in cells</span></p>"
    )


def _spans(run: NotebookRun) -> list[_Span]:
    known = []
    for cell in run.cells:
        if cell.report is not None:
            points = points_of(cell.report)
            if points:
                known.append((cell, points, peak_of(cell.report, points)))
    if not known:
        return []
    times = [max(points[-1][0] - points[0][0], 0) for _, points, _ in known]
    least = min(_NARROWEST, _WIDTH / len(known))
    room, whole = _WIDTH - least * len(known), sum(times) or 1
    widths = [least + time * room / whole for time in times]
    begins = accumulate(widths, initial=0.0)
    return [
        _Span(cell, points, peak, x, width)
        for (cell, points, peak), x, width in zip(known, begins, widths, strict=False)
    ]


def _limits(
    run: NotebookRun, violations: Sequence[Violation], high: int
) -> list[tuple[str, int]]:
    named = {}
    if run.limit_bytes is not None:
        named[run.limit_bytes] = f"limit {mib(run.limit_bytes)} MiB"
    for each in violations:
        is_drawn = each.what == "peak" and each.scope == "notebook"
        if is_drawn and each.limit_bytes is not None:
            named[each.limit_bytes] = each.rule
    return [(name, size) for size, name in named.items() if size <= 2 * high]


def _band(span: _Span, row: str, is_even: bool) -> str:
    report = span.cell.report
    assert report is not None
    kind = "band even" if is_even else "band"
    # Not a keyboard stop: the table below has the same cells.
    return (
        f'<a href="#{escape(row)}{span.cell.cell_index}" tabindex="-1">'
        f'<rect class="{kind}" x="{span.x:.1f}" y="-2" width="{span.width:.1f}"'
        f' height="{_HEIGHT + 4}"><title>{escape(describe(report))}</title></rect></a>'
    )


def _shape(span: _Span, height: object) -> str:
    assert callable(height)
    columns = max(2, round(_COLUMNS * span.width / _WIDTH))
    points = simplified(span.points, columns)
    begin, extent = points[0][0], max(points[-1][0] - points[0][0], 1)
    places = [
        (span.x + (t_ns - begin) * span.width / extent, height(size))
        for t_ns, size in points
    ]
    if len(places) == 1:
        places.append((span.x + span.width, places[0][1]))
    line = "L".join(f"{x:.1f} {y}" for x, y in places)
    below = f"L{places[-1][0]:.1f} {_HEIGHT + 9}L{places[0][0]:.1f} {_HEIGHT + 9}Z"
    return f'<path class="area" d="M{line}{below}"/><path class="memory" d="M{line}"/>'


def _limit_names(names: list[str]) -> str:
    if not names:
        return ""
    text = escape(", ".join(names))
    return f'<text x="100%" y=".9em" text-anchor="end">┄ {text}</text>'


def _number(span: _Span) -> str:
    report = span.cell.report
    share = span.width / _WIDTH * 100
    if report is None or report.execution_count is None or share < _LABELLED:
        return ""
    middle = (span.x + span.width / 2) / _WIDTH * 100
    few = "" if share >= 4 * _LABELLED else ' class="few"'
    return (
        f'<text{few} x="{middle:.1f}%" y="100%" dy="-.35em" text-anchor="middle">'
        f"{report.execution_count}</text>"
    )
