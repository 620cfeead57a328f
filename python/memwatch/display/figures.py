"""A session as a figure. Needs matplotlib, and is loaded only to plot."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import chain
from math import nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from ..report import CellReport
from .charts import NOTHING, Points, peak_of, points_of, session_chart, simplified
from .units import in_mib, mib

__all__ = ["SessionAxes", "plot"]

# Hues of Okabe and Ito's, which the colour-blind tell from each other. The background
# is the page's, light or dark: curve and text stand out 4.3 to 1 from white and from
# JupyterLab's black, which is as much as can be had from both at once.
COLOURS = {
    "RSS": "#1a7fc0",
    "kept": "#e69f00",
    "given back": "#009e73",
    "peak": "#d55e00",
    "limit": "#cc79a7",
    "text": "#797979",
}

_POINTS = 4000
_DPI = 100
_SHARP = 2
"""The picture has as many pixels for each of the page's: sharp at 200 % zoom."""


class SessionAxes(Axes):
    """Axes that show themselves once, as what a cell evaluates to.

    Their figure is not pyplot's, which would show it once more at the cell's end and
    keep it. In a terminal they show themselves as blocks.
    """

    memwatch_chart = NOTHING

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        figure = self.get_figure()
        assert isinstance(figure, Figure)
        written = BytesIO()
        dpi = _DPI * _SHARP
        figure.savefig(written, format="png", dpi=dpi, facecolor=figure.get_facecolor())
        width, height = (round(inches * _DPI) for inches in figure.get_size_inches())
        return written.getvalue(), {"width": width, "height": height}

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        for number, line in enumerate(self.memwatch_chart.splitlines()):
            if number:
                printer.break_()
            printer.text(line)


def plot(
    reports: Sequence[CellReport],
    ax: Axes | None = None,
    limit_bytes: int | None = None,
) -> Axes:
    """Draw the memory of `reports` one after the other, into `ax` if one is given.

    Each cell is a span of the time axis (seconds; the pauses between cells are left
    out) with its RSS over time (MiB), what it kept or gave back as a bar from its start
    to its end, and its peak. The limit is drawn where it is within sight: at most twice
    the highest peak.

    Without `ax` the figure is a new one, which pyplot does not know.
    """
    axes = _new_axes() if ax is None else ax
    if isinstance(axes, SessionAxes):
        axes.memwatch_chart = session_chart(reports, limit_bytes=limit_bytes)
    cells = [(report, points_of(report)) for report in reports]
    cells = [(report, points) for report, points in cells if points]
    axes.set_xlabel("time in cells (s), pauses left out")
    axes.set_ylabel("RSS (MiB)")
    if not cells:
        axes.text(0.5, 0.5, NOTHING, transform=axes.transAxes, ha="center")
        return axes

    begins, end = _one_after_the_other([points for _, points in cells])
    _draw_memory(axes, cells, begins)
    _draw_kept(axes, cells, begins)
    _draw_peaks(axes, cells, begins)
    top = max(peak_of(report, points) for report, points in cells)
    if limit_bytes is not None and limit_bytes <= 2 * top:
        told = f"limit, {mib(limit_bytes)} MiB"
        axes.axhline(in_mib(limit_bytes), color=COLOURS["limit"], ls="--", label=told)
    _tell_numbers(axes, cells, begins, end)
    axes.set_xlim(begins[0], end)
    axes.margins(y=0.12)
    legend = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
    if ax is None:
        legend["labelcolor"] = COLOURS["text"]
    axes.legend(**legend)
    return axes


Cells = list[tuple[CellReport, Points]]


def _new_axes() -> SessionAxes:
    # Nothing behind it: the page's own background, light or dark, shows through.
    figure = Figure(figsize=(9, 3.4), dpi=_DPI, layout="constrained", facecolor="none")
    axes = figure.add_subplot(axes_class=SessionAxes)
    assert isinstance(axes, SessionAxes)
    text = COLOURS["text"]
    axes.set_facecolor("none")
    axes.tick_params(colors=text)
    axes.xaxis.label.set_color(text)
    axes.yaxis.label.set_color(text)
    for side, spine in axes.spines.items():
        spine.set_color(text)
        spine.set_visible(side in ("left", "bottom"))
    return axes


def _one_after_the_other(series: list[Points]) -> tuple[list[float], float]:
    """Where each begins on the time axis, and where the last ends; seconds."""
    begins, at = [], 0.0
    for points in series:
        begins.append(at)
        at += (points[-1][0] - points[0][0]) / 1e9
    # Figures without times, and times without extent, have a place all the same.
    return begins, at or 1e-3


def _draw_memory(axes: Axes, cells: Cells, begins: list[float]) -> None:
    times: list[float] = []
    sizes: list[float] = []
    columns = max(1, _POINTS // len(cells))
    for (_, points), begin in zip(cells, begins, strict=True):
        for t_ns, size in simplified(points, columns):
            times.append(begin + (t_ns - points[0][0]) / 1e9)
            sizes.append(in_mib(size))
        times.append(times[-1])
        sizes.append(nan)  # between two cells there is no line
    axes.plot(times, sizes, color=COLOURS["RSS"], lw=1.5, label="RSS")


def _draw_kept(axes: Axes, cells: Cells, begins: list[float]) -> None:
    boxes: dict[str, list[list[tuple[float, float]]]] = {"kept": [], "given back": []}
    for (report, points), begin in zip(cells, begins, strict=True):
        if report.rss_start_bytes is None or report.rss_end_bytes is None:
            continue
        end = begin + (points[-1][0] - points[0][0]) / 1e9
        start, stop = in_mib(report.rss_start_bytes), in_mib(report.rss_end_bytes)
        name = "kept" if stop >= start else "given back"
        boxes[name].append([(begin, start), (end, start), (end, stop), (begin, stop)])
    for name, drawn in boxes.items():
        if drawn:
            colour = COLOURS[name]
            # Hatched too, for who does not tell the colours, or prints them grey.
            hatch = {"kept": "//", "given back": r"\\"}[name]
            axes.add_collection(
                PolyCollection(
                    drawn, facecolor=f"{colour}33", edgecolor=f"{colour}99",
                    hatch=hatch, label=name, lw=0.8,
                )
            )  # fmt: skip


def _draw_peaks(axes: Axes, cells: Cells, begins: list[float]) -> None:
    places = []
    for (report, points), begin in zip(cells, begins, strict=True):
        t_ns, _ = max(points, key=lambda point: point[1])
        places.append(
            (begin + (t_ns - points[0][0]) / 1e9, in_mib(peak_of(report, points)))
        )
    times, sizes = zip(*places, strict=True)
    axes.plot(
        times, sizes, ls="", marker="v", ms=6, color=COLOURS["peak"], label="peak",
        clip_on=False,
    )  # fmt: skip


def _tell_numbers(axes: Axes, cells: Cells, begins: list[float], end: float) -> None:
    """A thin line where each cell begins, and its number where there is room for it."""
    ends = chain(begins[1:], [end])
    for (report, _), begin, until in zip(cells, begins, ends, strict=True):
        if until - begin < 0.02 * end:
            continue
        axes.axvline(begin, color=COLOURS["text"], lw=0.5, alpha=0.5)
        if report.execution_count is not None:
            axes.annotate(
                f"[{report.execution_count}]", ((begin + until) / 2, 1),
                xycoords=axes.get_xaxis_transform(), ha="center", va="bottom",
                fontsize="small", color=COLOURS["text"],
            )  # fmt: skip
