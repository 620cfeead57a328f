"""Charts of reports: SVG for pages, Unicode blocks for terminals. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..report import CellReport
from .units import mib, printable, seconds

_BLOCKS = "▁▂▃▄▅▆▇█"
_FILLED = " " + _BLOCKS

NOTHING = "no cells with figures so far"

# Smaller changes and shorter cells get no chart.
_MIN_SHAPE_BYTES = 2**20
_MIN_SHAPE_NS = 100_000_000

# In the drawing's units: the curve's box, and a margin so that lines and markers at its
# edge are not cut.
_WIDTH, _HEIGHT, _FREE = 480, 72, 8
_COLUMNS = 160
_LABEL_LENGTH = 40

Points = list[tuple[int, int]]
"""Nanoseconds since the window opened, bytes; in order of time."""


def has_shape(report: CellReport) -> bool:
    """Whether a chart is worthwhile: from 0.1 s and a change of 1 MiB on."""
    if report.duration_ns is not None and report.duration_ns < _MIN_SHAPE_NS:
        return False  # most cells: this runs after every cell
    points = points_of(report)
    if len(points) < 2 or points[-1][0] - points[0][0] < _MIN_SHAPE_NS:
        return False
    return peak_of(report, points) - _lowest(points) >= _MIN_SHAPE_BYTES


def sparkline(report: CellReport) -> str:
    """HTML with an inline SVG: the memory of `report` over time, its peak marked.

    Less than 4 KiB, in the colours and text size of the page; no scripts, no ids. The
    scale is from 0 to the peak. ``aria-label`` describes it in words. In notebooks that
    are not trusted JupyterLab drops the SVG, and blocks and the caption remain. A peak
    of the kernel's high-water mark between two samples is a dashed line: its time is
    unknown. Without samples there is only the caption.
    """
    from html import escape  # not at load

    points = points_of(report)
    top, bottom = _caption(report, points)
    picture = _svg(report, points) if points else ""
    return (
        '<div class="memwatch-sparkline" style="display:flex;flex-wrap:wrap;'
        "align-items:stretch;gap:0 .6em;padding:.2em .6em;line-height:1.3;"
        'color:var(--jp-ui-font-color1,currentColor)">'
        f"{picture}"
        '<div style="display:flex;flex-direction:column;justify-content:space-between;'
        'font-size:.85em;font-variant-numeric:tabular-nums">'
        f"<span>{escape(top)}</span><span>{escape(bottom)}</span></div></div>"
    )


def bundle(report: CellReport) -> dict[str, str]:
    """The sparkline by MIME type, as a kernel's display message has it."""
    points = points_of(report)
    top, bottom = _caption(report, points)
    return {
        "text/html": sparkline(report),
        "text/plain": f"{_blocks(points)} {top}; {bottom}".strip(),
    }


def _blocks(points: Points) -> str:
    return blocks(over_time(points, 40), 40) if points else ""


def describe(report: CellReport) -> str:
    """The chart in words: used, peak, total, duration."""
    took = report.duration_ns
    return (
        f"Memory of {_label(report)} over"
        f" {'unknown time' if took is None else f'{seconds(took)} s'}:"
        f" used {mib(report.used_bytes)} MiB,"
        f" peak {_at_least(report)}{mib(report.rss_peak_bytes)} MiB,"
        f" peaked {mib(report.peaked_bytes)} MiB above current,"
        f" total {mib(report.rss_end_bytes)} MiB"
    )


def blocks(values: Sequence[int], width: int, top: int | None = None) -> str:
    """`values` as a line of at most `width` blocks, from ``▁`` to ``█``.

    The scale is from 0 to `top`, or to the highest value. If there are more values than
    blocks, each block is the highest of its share. No values are the empty string.
    ValueError for a width below 1.

    >>> blocks([99, 50, 0, 100], 4), blocks([99, 100, 99], 3, top=200)
    ('█▅▁█', '▄▅▄')
    """
    columns = _thinned(values, width)
    top = top or max(columns, default=0) or 1
    return "".join(_BLOCKS[min(7, value * 8 // top)] for value in columns)


def session_chart(
    reports: Sequence[CellReport],
    width: int = 80,
    height: int = 8,
    limit_bytes: int | None = None,
) -> str:
    """The memory of a session, cell after cell, in `height` lines of blocks from 0.

    All cells have the same width; if there are more cells than columns, neighbours
    share one. A line of figures is above, the cells' numbers are below (· without one).
    `width` includes the scale. ValueError for a height below 2.
    """
    cells = [(report, points_of(report)) for report in reports]
    cells = [(report, points) for report, points in cells if points]
    if not cells:
        return NOTHING
    peaks = [peak_of(report, points) for report, points in cells]
    high = max(peaks)
    scale = _scale(high, height)
    margin = len(scale[0])
    room = max(1, width - margin)

    columns: list[int | None] = []
    numbers = ""
    each = min(8, (room + 1) // len(cells) - 1)
    if each >= 1:
        for (report, points), peak in zip(cells, peaks, strict=True):
            shape = over_time(points, each)
            shape[shape.index(max(shape))] = peak
            columns += [*shape, None]
            number = _number(report)
            numbers += (number if len(number) <= each else "").ljust(each + 1)
    else:
        columns += _thinned(peaks, room)
        first, last = _number(cells[0][0]), _number(cells[-1][0])
        numbers = first + last.rjust(len(columns) - len(first))
    count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
    head = f"{count}, RSS in MiB, peak {mib(high)}"
    if limit_bytes is not None:
        head += f", limit {mib(limit_bytes)}"
    foot = " " * margin + numbers
    rows = _rows(columns, high, scale)
    return "\n".join([head, *(row.rstrip() for row in rows), foot.rstrip()])


def curve(values: Sequence[int], top: int, height: int) -> str:
    """`values` in `height` lines of blocks after a scale from 0 to `top` in MiB.

    One column each. ValueError for a height below 2.
    """
    rows = _rows(values, top, _scale(top, height))
    return "\n".join(row.rstrip() for row in rows)


# ---- points ----


def points_of(report: CellReport) -> Points:
    """The samples; without any, start and end; empty if unknown."""
    timeline = report.timeline
    if timeline is not None and len(timeline["rss_bytes"]):
        return sorted(zip(timeline["t_ns"], timeline["rss_bytes"], strict=False))
    ends = ((0, report.rss_start_bytes), (report.duration_ns, report.rss_end_bytes))
    return [(t, size) for t, size in ends if t is not None and size is not None]


def peak_of(report: CellReport, points: Points) -> int:
    """The highest known RSS in bytes; it may be between two samples."""
    return max([report.rss_peak_bytes or 0, *(size for _, size in points)])


def simplified(points: Points, columns: int) -> Points:
    """The first and last point, and the lowest and highest in each of `columns`."""
    begin, extent = points[0][0], max(points[-1][0] - points[0][0], 1)
    shares: dict[int, Points] = {}
    for point in points[1:-1]:
        shares.setdefault((point[0] - begin) * columns // extent, []).append(point)
    kept = [points[0]]
    for share in shares.values():
        kept += sorted({min(share, key=_size), max(share, key=_size)})
    return kept + points[1:][-1:]


def _size(point: tuple[int, int]) -> int:
    return point[1]


def _lowest(points: Points) -> int:
    return min(size for _, size in points)


def _thinned(values: Sequence[int], width: int) -> list[int]:
    """At most `width` values, each the highest of its share of `values`."""
    if width < 1:
        raise ValueError(f"expected a width of at least 1, got {width}")
    count = len(values)
    if count <= width:
        return list(values)
    edges = [i * count // width for i in range(width + 1)]
    return [max(values[a:b]) for a, b in pairwise(edges)]


def over_time(points: Points, width: int) -> list[int]:
    """`width` columns of equal time, each the highest in it."""
    begin, extent = points[0][0], points[-1][0] - points[0][0]
    if width < 1:
        raise ValueError(f"expected a width of at least 1, got {width}")
    if not extent:
        return [max(size for _, size in points)] * width
    columns: list[int | None] = [None] * width
    for t_ns, size in points:
        at = min(width - 1, (t_ns - begin) * width // extent)
        columns[at] = max(size, columns[at] or 0)
    filled = []
    size = points[0][1]
    for column in columns:
        size = size if column is None else column
        filled.append(size)
    return filled


def _scale(high: int, height: int) -> list[str]:
    """The scale before each line, highest first."""
    if height < 2:
        raise ValueError(f"expected a height of at least 2, got {height}")
    labels = [mib(high), *[""] * (height - 2), "0"]
    width = max(map(len, labels))
    return [f"{each:>{width}} ┤" for each in labels]


def _rows(columns: Sequence[int | None], high: int, scale: list[str]) -> list[str]:
    """Lines of blocks after their scale, highest first; None is a gap."""
    most = 8 * len(scale) - 1
    eighths = [
        0 if size is None else 1 + size * most // max(high, 1) for size in columns
    ]
    rows = []
    for below, label in zip(reversed(range(len(scale))), scale, strict=True):
        shown = (min(max(each - 8 * below, 0), 8) for each in eighths)
        rows.append(label + "".join(_FILLED[each] for each in shown))
    return rows


# ---- words ----


def _label(report: CellReport) -> str:
    label = report.label or "a block"
    # Lone surrogates cannot be encoded.
    label = label.encode("utf-8", "replace").decode("utf-8")
    return printable(label, _LABEL_LENGTH)


def _number(report: CellReport) -> str:
    return "·" if report.execution_count is None else str(report.execution_count)


def _at_least(report: CellReport) -> str:
    return "at least " if report.peak_method == "sampled" else ""


def _caption(report: CellReport, points: Points) -> tuple[str, str]:
    """The top and the bottom of the scale, in words."""
    peak = peak_of(report, points)
    if not peak:
        return "memory unknown", ""
    top = f"peak {_at_least(report)}{mib(peak)} MiB"
    if not points:
        return top, "no samples"
    low = mib(_lowest(points))
    return top, f"lowest {low} MiB over {seconds(points[-1][0])} s"


# ---- the SVG ----

_PEAK_COLOUR = "#d55e00"
"""Vermillion: contrast 3.9 on white, 4.8 on JupyterLab's black; safe for the
colour-blind, and the mark is round besides."""


def _svg(report: CellReport, points: Points) -> str:
    begin = points[0][0]
    highest, peak = max(points, key=_size), peak_of(report, points)
    time_extent = max(points[-1][0] - begin, 1)

    def place(t_ns: int, size: int) -> tuple[int, int]:
        x = (t_ns - begin) * _WIDTH // time_extent
        return x, _FREE + round((peak - size) * _HEIGHT / max(peak, 1))

    drawn = [place(*point) for point in simplified(points, _COLUMNS)]
    if len(drawn) == 1:
        drawn.append((_WIDTH, drawn[0][1]))
    height = _HEIGHT + 2 * _FREE
    _, peak_y = place(begin, peak)
    peak_x, highest_y = place(*highest)
    if peak_y < highest_y - 2:
        # The high-water mark, between samples: its time is unknown.
        mark = (
            f'<path d="M{_FREE} {peak_y}h{_WIDTH}" stroke="{_PEAK_COLOUR}"'
            ' stroke-dasharray="12 6"/>'
        )
    else:
        mark = (
            f'<circle cx="{peak_x + _FREE}" cy="{peak_y}" r="6" fill="{_PEAK_COLOUR}"/>'
        )
    start_y = drawn[0][1]
    from html import escape

    return (
        f'<svg role="img" aria-label="{escape(describe(report))}"'
        f' viewBox="0 0 {_WIDTH + 2 * _FREE} {height}" fill="none"'
        ' stroke-width="2.5" stroke-linejoin="round"'
        ' style="width:24em;max-width:100%;height:auto;flex:none;margin:0 -.39em">'
        # The negative margin aligns the curve with the text; the inner SVG cuts the
        # area's outline at both sides.
        f'<svg x="{_FREE}" width="{_WIDTH}" height="{height}">'
        f'<path d="{_path(drawn, height)}" stroke="currentColor"'
        ' fill="currentColor" fill-opacity=".15"/>'
        f'<path d="M0 {start_y}h{_WIDTH}" stroke="currentColor" stroke-width="1.5"'
        ' stroke-opacity=".6" stroke-dasharray="2 6"/></svg>'
        # Never rendered. A sanitizer that drops the tags keeps their text.
        f"{mark}<metadata>{_blocks(points)}</metadata></svg>"
    )


def _path(drawn: list[tuple[int, int]], height: int) -> str:
    """The curve, closed outside of the drawing."""
    below = height + 9
    x, y = drawn[0]
    steps = [f"M-9 {below}V{y}H{x}"]
    for next_x, next_y in drawn[1:]:
        dx, dy = next_x - x, next_y - y
        if dx or dy:
            steps.append(f"l{dx} {dy}" if dy >= 0 else f"l{dx}{dy}")
            x, y = next_x, next_y
    return "".join(steps) + f"H{_WIDTH + 9}V{below}"
