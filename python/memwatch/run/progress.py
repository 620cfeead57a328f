"""The progress of a batch: a live table in a terminal, else plain lines."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..display.units import mib, printable, seconds
from ..report import telling_line
from .kernels import KernelMemory
from .results import NotebookRun

_REFRESHES_PER_S = 4


class Listener:
    """Gets the events of running notebooks; this one ignores them."""

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *failure: Any) -> None:
        pass

    def begun(self, notebook: str, cells: int) -> None:
        """The kernel of a notebook with so many code cells is being started."""

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """A code cell, counted from 1, is sent; `memory` is live, None: unmeasured."""

    def ended(self, run: NotebookRun) -> None:
        """A notebook has ended."""


def line_of(run: NotebookRun) -> str:
    """One line about a notebook that has ended."""
    if run.state != "ok":
        return f"{run.notebook}: {run.state}: {run.message}"
    cells = f"{run.executed} cell{'' if run.executed == 1 else 's'}"
    raised = f", {run.raised} raised" if run.raised else ""
    took = "" if run.duration_ns is None else f" in {seconds(run.duration_ns)} s"
    remark = "" if run.message is None else f"; {run.message}"
    peak = f", peak {mib(run.rss_peak_bytes)} MiB" if run.executed else ""
    return f"{run.notebook}: ok: {cells}{raised}{took}{peak}{remark}"


class Lines(Listener):
    """Prints a line to stderr for each notebook that has ended."""

    def ended(self, run: NotebookRun) -> None:
        """Print its line."""
        print(printable(line_of(run)), file=sys.stderr, flush=True)


class Table(Listener):
    """A table of the running notebooks: the running cell and the kernel's RSS."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._rows: dict[str, _Row] = {}
        self._live = Live(
            console=self._console,
            get_renderable=self._table,
            refresh_per_second=_REFRESHES_PER_S,
            transient=True,
        )

    def __enter__(self) -> Table:
        self._live.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._live.__exit__(*failure)

    def begun(self, notebook: str, cells: int) -> None:
        """Add a row."""
        self._rows[notebook] = _Row(cells)

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """Show the cell in the notebook's row."""
        row = self._rows[notebook]
        row.place, row.memory, row.since = place, memory, time.monotonic()
        row.source = telling_line(source)

    def ended(self, run: NotebookRun) -> None:
        """Replace the row with a line above the table."""
        self._rows.pop(run.notebook, None)
        from rich.text import Text

        style = "" if run.state == "ok" else "bold red"
        self._console.print(Text(printable(line_of(run)), style=style))

    def _table(self) -> Any:
        from rich.table import Table as Grid
        from rich.text import Text

        grid = Grid(box=None, pad_edge=False, expand=True)
        grid.add_column("notebook", no_wrap=True)
        grid.add_column("cell", justify="right", no_wrap=True)
        grid.add_column("s", justify="right", no_wrap=True)
        grid.add_column("MiB", justify="right", no_wrap=True)
        grid.add_column("source", ratio=1, no_wrap=True, overflow="ellipsis")
        for notebook, row in list(self._rows.items()):
            grid.add_row(
                Text(printable(notebook)),
                f"{row.place}/{row.cells}",
                "" if row.memory is None else f"{time.monotonic() - row.since:.0f}",
                "" if row.memory is None else mib(row.memory.rss_bytes()),
                Text(printable(row.source)),
            )
        return grid


class _Row:
    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.place = 0
        self.source = "starting the kernel"
        self.memory: KernelMemory | None = None
        self.since = 0.0
