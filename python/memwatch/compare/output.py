"""A comparison as a table for people, as CSV and as Markdown."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..display.units import mib
from . import statistics
from .comparison import MEMORY, METRICS, Comparison, Metric
from .statistics import Estimate

TITLES: dict[Metric, str] = {"memory": "kept", "peak": "peak", "time": "time"}
_HEADER = ("", "median", "range", "95 % interval", "ratio (95 %)")


def table(comparison: Comparison, width: int | None = None) -> str:
    """All figures, a line for each variant below a line for each metric.

    If it is wider than `width` characters it has no column of ranges.
    """
    found = _table(comparison, range(len(_HEADER)))
    if width is None or max(map(len, found)) <= width:
        return "\n".join(found)
    columns = [i for i, each in enumerate(_HEADER) if each != "range"]
    return "\n".join(_table(comparison, columns))


def width_of_terminal() -> int | None:
    """Characters per line of stdout; None: it is not a terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    return shutil.get_terminal_size().columns


def _table(comparison: Comparison, columns: Sequence[int]) -> list[str]:
    rows: list[tuple[str, ...]] = [_HEADER]
    for metric in METRICS:
        rows.append((_title(comparison, metric),))
        for place, variant in enumerate(comparison.variants):
            rows.append((f"  {variant.label}", *_cells(comparison, place, metric)))
    widths = [max(len(row[i]) for row in rows if len(row) > i) for i in columns]
    lines = []
    for row in rows:
        cells = [row[i] for i in columns if i < len(row)]
        texts = [f"{each:>{width}}" for each, width in zip(cells, widths, strict=False)]
        texts[0] = f"{cells[0]:<{widths[0]}}"
        lines.append("  ".join(texts).rstrip())
    return lines


def markdown(comparison: Comparison) -> str:
    """The same as a table in Markdown, with the sentences above it."""
    lines = [f"{each}.\n" for each in comparison.sentences()]
    lines.append("| variant | " + " | ".join(TITLES[each] for each in METRICS) + " |")
    lines.append("| --- |" + " ---: |" * len(METRICS))
    for place, variant in enumerate(comparison.variants):
        label = variant.label.replace("|", r"\|")
        cells = [_in_one_cell(comparison, place, metric) for metric in METRICS]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def partial(comparison: Comparison) -> str:
    """How many runs the figures of a comparison that ended early are of."""
    runs = ", ".join(str(len(each)) for each in comparison.trials)
    return f"The figures are partial: of {runs} runs."


def with_unit(value: float, metric: Metric) -> str:
    """A median in MiB or milliseconds."""
    return f"{_plain(value, metric)} {'ms' if metric == 'time' else 'MiB'}"


@contextmanager
def progress_on_terminal() -> Iterator[Callable[[str], None]]:
    """A function that shows a line on stderr, if that is a terminal, for a while."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda text: None
        return

    def show(text: str) -> None:
        sys.stderr.write(f"\r\x1b[K{text[:79]}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        show("")


Bar = tuple[float, float, float]
"""A median, and its interval."""


def bar(comparison: Comparison, place: int, metric: Metric) -> Bar:
    """The bar of one variant; all 0 without a run."""
    found = statistics.median(comparison.values(place, metric) or [0.0])
    return found.value, found.low, found.high


def bars(comparison: Comparison) -> tuple[list[str], dict[str, list[Bar]]]:
    """The labels, and for each metric of memory the bars; bytes."""
    groups: dict[str, list[Bar]] = {}
    for metric in MEMORY:
        places = range(len(comparison.variants))
        groups[TITLES[metric]] = [bar(comparison, each, metric) for each in places]
    return [each.label for each in comparison.variants], groups


def rows(comparison: Comparison) -> Iterator[tuple[Any, ...]]:
    """For CSV: a header, then a row for each run; bytes and nanoseconds."""
    yield ("variant", "interpreter", "run", *METRICS.values())
    for variant, trials in zip(comparison.variants, comparison.trials, strict=True):
        for number, trial in enumerate(trials, 1):
            figures = (getattr(trial, name) for name in METRICS.values())
            yield (variant.label, variant.interpreter, number, *figures)


def _title(comparison: Comparison, metric: Metric) -> str:
    if metric == "time":
        return "time (ms)"
    gross = comparison.gross or all(
        each.kind == "command" for each in comparison.variants
    )
    what = {"memory": "kept at the end", "peak": "peak"}[metric]
    return f"{what} (MiB{', with the interpreter' if gross else ''})"


def _cells(comparison: Comparison, place: int, metric: Metric) -> tuple[str, ...]:
    values = comparison.values(place, metric)
    if not values:
        return ("no run",)
    found = statistics.median(values)
    return (
        _plain(found.value, metric),
        _span(min(values), max(values), metric),
        _span(found.low, found.high, metric),
        ratio(comparison, place, metric),
    )


def ratio(comparison: Comparison, place: int, metric: Metric) -> str:
    """The ratio to the first variant, with its interval; "" if it is unknown."""
    if place == 0 or not comparison.runs:
        return "1" if place == 0 else ""
    found = comparison.verdict(place, metric).ratio
    return "n/a" if found is None else _in_digits(found)


def _in_digits(found: Estimate) -> str:
    digits = 2 if found.high < 100 else 0
    value, low, high = (f"{each:.{digits}f}" for each in vars(found).values())
    return f"{value} ({low} to {high})"


def _in_one_cell(comparison: Comparison, place: int, metric: Metric) -> str:
    values = comparison.values(place, metric)
    if not values:
        return "no run"
    text = with_unit(statistics.median(values).value, metric)
    if place == 0:
        return text
    return f"{text}, x {ratio(comparison, place, metric)}"


def _plain(value: float, metric: Metric) -> str:
    if metric == "time":
        return f"{value / 1e6:.3g}" if value < 1e9 else f"{value / 1e6:.0f}"
    return mib(round(value))


def _span(low: float, high: float, metric: Metric) -> str:
    return f"{_plain(low, metric)} to {_plain(high, metric)}"
