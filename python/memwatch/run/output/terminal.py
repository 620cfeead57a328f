"""Runs as a person reads them at the end of `memwatch run`: tables and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...display.units import mib, printable, seconds
from ...report import telling_line
from ..budgets.violations import Violation, describe, label_of, once, used_by
from ..results import CellRun, NotebookRun
from .page import summarize
from .summary import failed_first, highest_rises

_MOST_NOTEBOOKS = 100
_MOST_CELLS = 10
_MOST_FILES = 5
_STYLES = {"ok": "green", "interrupted": "yellow"}


def over_budget(violations: Sequence[Violation]) -> list[str]:
    """One line for each violation that no earlier cell caused."""
    return [f"over budget: {describe(each, later)}" for each, later in once(violations)]


def written(runs: Sequence[NotebookRun], files: Sequence[str]) -> list[str]:
    """One line for each file: some notebooks, and all reports."""
    notebooks = [run.output for run in runs if run.output is not None]
    lines = [f"wrote {each}" for each in notebooks[:_MOST_FILES]]
    more = len(notebooks) - _MOST_FILES
    if more > 0:
        lines.append(f"wrote {more} more notebook{'' if more == 1 else 's'}")
    return [*lines, *(f"wrote {each}" for each in files)]


def tables(
    runs: Sequence[NotebookRun], violations: Sequence[Violation], width: int
) -> list[Any]:
    """Rich's tables of the notebooks and of the dearest cells, `width` columns wide."""
    if not runs:
        return []
    cells = highest_rises(runs)[:_MOST_CELLS]
    made = [_notebooks(runs, violations)]
    return [*made, _cells(cells, len(runs) > 1, width)] if cells else made


def _notebooks(runs: Sequence[NotebookRun], violations: Sequence[Violation]) -> Any:
    from rich.text import Text

    table = _table(summarize(runs, violations))
    table.add_column("notebook", overflow="fold")
    table.add_column("state", no_wrap=True)
    for title in ("cells", "seconds", "peak MiB", "kept MiB"):
        table.add_column(title, justify="right", no_wrap=True)
    ordered = failed_first(runs, violations)
    for run in ordered[:_MOST_NOTEBOOKS]:
        table.add_row(
            Text(printable(run.notebook)),
            Text(run.state, style=_STYLES.get(run.state, "bold red")),
            f"{run.executed}/{len(run.cells)}",
            seconds(run.duration_ns),
            mib(run.peak_bytes),
            mib(used_by(run)),
        )
    more = len(ordered) - _MOST_NOTEBOOKS
    if more > 0:
        table.add_row(f"and {more} more: --html and --json have them all")
    return table


def _cells(
    cells: Sequence[tuple[NotebookRun, CellRun]], has_names: bool, width: int
) -> Any:
    from rich.text import Text

    count = "Dearest cell" if len(cells) == 1 else f"{len(cells)} dearest cells"
    table = _table(f"{count}, by rise: from its start to its peak, MiB")
    # So that only the source is cut.
    table.expand = True
    if has_names:
        table.add_column("notebook", no_wrap=True)
    table.add_column("cell", no_wrap=True)
    for title in ("rise", "kept", "peak"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True, overflow="ellipsis", ratio=1)
    for run, cell in cells:
        report = cell.report
        assert report is not None
        figures = (report.risen_bytes, report.used_bytes, cell.peak_bytes)
        table.add_row(
            *([ending(run.notebook, width // 5)] if has_names else []),
            Text(printable(label_of(cell))),
            *(mib(each) for each in figures),
            Text(printable(telling_line(cell.source))),
        )
    return table


def _table(title: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    return Table(
        title=Text(title, style="bold"),
        title_justify="left",
        box=None,
        pad_edge=False,
        header_style="dim",
    )


def ending(text: str, width: int) -> Any:
    """The end of `text` in at most `width` columns of a terminal, for rich."""
    from rich.cells import cell_len
    from rich.text import Text

    shown = printable(text)
    if cell_len(shown) > width:
        while cell_len(shown) >= width:
            shown = shown[1:]
        shown = f"…{shown}"
    return Text(shown)
