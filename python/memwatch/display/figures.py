"""A session as a matplotlib figure; imported only to plot."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import chain
from math import nan
from textwrap import shorten
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from ..files import write_bytes_whole
from ..report import CellReport, Timeline
from .charts import NOTHING, Points, peak_of, points_of, session_chart, simplified
from .units import in_mib, mib

# Hues of Okabe and Ito, safe for the colour-blind. The background is the page's: curve
# and text have a contrast of 4.3 on white and on JupyterLab's black, the most that is
# possible on both.
COLOURS = {
    "RSS": "#1a7fc0",
    "kept": "#e69f00",
    "given back": "#009e73",
    "with children": "#9467bd",
    "peak": "#d55e00",
    "limit": "#cc79a7",
    "text": "#797979",
}

_POINTS = 4000
_LABELLED = 3
"""So many of the highest peaks have their MiB."""
_DPI = 100
_SHARP = 2
"""Pixels of the picture per pixel of the page: sharp at 200 % zoom."""


class SessionAxes(Axes):
    """Axes that display themselves as the value of a cell; in a terminal as blocks.

    Not pyplot's, which would display the figure again and keep it.
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

    Each cell is a span of the time axis (seconds, without the pauses between cells)
    with its RSS over time (MiB), a bar from RSS at its start to RSS at its end, and its
    peak, labelled where it is among the three highest. Where children ran, a line is at
    the highest PSS of the process and its children. The limit is drawn if it is at most
    twice the highest of these. Without `ax` the figure is new and unknown to pyplot.
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
    _draw_peaks(axes, cells, begins, end)
    _draw_trees(axes, cells, begins)
    trees = (report.tree_pss_peak_bytes or 0 for report, _ in cells)
    top = max(*trees, *(peak_of(report, points) for report, points in cells))
    if limit_bytes is not None and limit_bytes <= 2 * top:
        label = f"limit, {mib(limit_bytes)} MiB"
        axes.axhline(in_mib(limit_bytes), color=COLOURS["limit"], ls="--", label=label)
    _draw_numbers(axes, cells, begins, end)
    axes.set_xlim(begins[0], end)
    axes.margins(y=0.12)
    axes.set_ylim(bottom=0)
    legend = {"loc": "upper left", "bbox_to_anchor": (1, 1), "frameon": False}
    if ax is None:
        legend["labelcolor"] = COLOURS["text"]
    axes.legend(**legend)
    return axes


def plot_command(
    command: str, timeline: Timeline | None, peak_bytes: int | None
) -> SessionAxes:
    """Draw the RSS of a command over time (s, MiB), and its peak as a line."""
    axes = _new_axes()
    points: Points = []
    if timeline is not None:
        points = list(zip(timeline["t_ns"], timeline["rss_bytes"], strict=True))
    if points:
        begin = points[0][0]
        drawn = simplified(points, _POINTS)
        axes.plot(
            [(t_ns - begin) / 1e9 for t_ns, _ in drawn],
            [in_mib(rss_bytes) for _, rss_bytes in drawn],
            color=COLOURS["RSS"], label="RSS",
        )  # fmt: skip
    if peak_bytes is not None:
        label = f"peak, {mib(peak_bytes)} MiB"
        axes.axhline(in_mib(peak_bytes), color=COLOURS["peak"], ls="--", label=label)
    axes.set_xlabel("time (s)")
    axes.set_ylabel("RSS (MiB)")
    title = shorten(command, 100)
    axes.set_title(title, color=COLOURS["text"], fontsize="medium")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, labelcolor=COLOURS["text"])
    return axes


def plot_bars(
    labels: Sequence[str], groups: Mapping[str, Sequence[tuple[float, float, float]]]
) -> SessionAxes:
    """Draw a bar for each label and group: a value, with the interval it lies in.

    The values are bytes, each with the ends of its interval.
    """
    axes = _new_axes()
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.set_size_inches(9, 1.0 + 0.6 * len(labels))
    height = 0.8 / len(groups)
    for number, (title, bars) in enumerate(groups.items()):
        places = [
            i + (number - (len(groups) - 1) / 2) * height for i in range(len(bars))
        ]
        sizes = [in_mib(round(value)) for value, _, _ in bars]
        errors = [
            [in_mib(round(value - low)) for value, low, _ in bars],
            [in_mib(round(high - value)) for value, _, high in bars],
        ]
        drawn = axes.barh(
            places, sizes, height * 0.9, xerr=errors, capsize=3, label=title,
            color=COLOURS["kept" if number == 0 else "RSS"],
            ecolor=COLOURS["text"],
        )  # fmt: skip
        axes.bar_label(
            drawn, [f" {each:,.2f}" for each in sizes], color=COLOURS["text"], padding=4
        )
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("MiB")
    axes.margins(x=0.15)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.legend(
        frameon=False, labelcolor=COLOURS["text"], loc="upper left",
        bbox_to_anchor=(1, 1),
    )  # fmt: skip
    return axes


def save(axes: Axes, path: str | os.PathLike[str]) -> None:
    """Write the figure of `axes` to `path`, whole, in the format of its ending.

    OSError.
    """
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    written = BytesIO()
    figure.savefig(
        written, format=os.fspath(path).rpartition(".")[2].lower(), facecolor="none"
    )
    write_bytes_whole(path, written.getvalue())


Cells = list[tuple[CellReport, Points]]


def _new_axes() -> SessionAxes:
    # Transparent, on the page's background.
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
    """The start of each on the time axis, and the end of the last; seconds."""
    begins, at = [], 0.0
    for points in series:
        begins.append(at)
        at += (points[-1][0] - points[0][0]) / 1e9
    # A time axis must have a length.
    return begins, at or 1e-3


def _end(points: Points, begin: float) -> float:
    return begin + (points[-1][0] - points[0][0]) / 1e9


def _draw_memory(axes: Axes, cells: Cells, begins: list[float]) -> None:
    times: list[float] = []
    sizes: list[float] = []
    columns = max(1, _POINTS // len(cells))
    for (_, points), begin in zip(cells, begins, strict=True):
        for t_ns, size in simplified(points, columns):
            times.append(begin + (t_ns - points[0][0]) / 1e9)
            sizes.append(in_mib(size))
        times.append(times[-1])
        sizes.append(nan)  # no line between two cells
    axes.plot(times, sizes, color=COLOURS["RSS"], lw=1.5, label="RSS")


def _draw_kept(axes: Axes, cells: Cells, begins: list[float]) -> None:
    boxes: dict[str, list[list[tuple[float, float]]]] = {"kept": [], "given back": []}
    for (report, points), begin in zip(cells, begins, strict=True):
        if report.rss_start_bytes is None or report.rss_end_bytes is None:
            continue
        end = _end(points, begin)
        start, stop = in_mib(report.rss_start_bytes), in_mib(report.rss_end_bytes)
        name = "kept" if stop >= start else "given back"
        boxes[name].append([(begin, start), (end, start), (end, stop), (begin, stop)])
    for name, drawn in boxes.items():
        if drawn:
            colour = COLOURS[name]
            # Hatched, for prints in grey.
            hatch = {"kept": "//", "given back": r"\\"}[name]
            axes.add_collection(
                PolyCollection(
                    drawn, facecolor=f"{colour}33", edgecolor=f"{colour}99",
                    hatch=hatch, label=name, lw=0.8,
                )
            )  # fmt: skip


def _draw_peaks(axes: Axes, cells: Cells, begins: list[float], end: float) -> None:
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

    labelled: list[float] = []
    for size, time in sorted(zip(sizes, times, strict=True), reverse=True):
        # Labels must not overlap.
        if any(abs(time - each) < 0.05 * end for each in labelled):
            continue
        if len(labelled) == _LABELLED:
            break
        labelled.append(time)
        axes.annotate(
            f"{size:,.0f}", (time, size), xytext=(0, 5), textcoords="offset points",
            ha="center", fontsize="small", color=COLOURS["text"],
        )  # fmt: skip


def _draw_trees(axes: Axes, cells: Cells, begins: list[float]) -> None:
    """What process and children held together, if children ran."""
    lines = [
        (in_mib(report.tree_pss_peak_bytes), begin, _end(points, begin))
        for (report, points), begin in zip(cells, begins, strict=True)
        if report.tree_pss_peak_bytes is not None
    ]
    if lines:
        colour = COLOURS["with children"]
        axes.hlines(*zip(*lines, strict=True), color=colour, label="with children")


def _draw_numbers(axes: Axes, cells: Cells, begins: list[float], end: float) -> None:
    """A thin line at the start of each cell, and its number if there is room."""
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
