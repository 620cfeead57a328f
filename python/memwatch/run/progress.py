"""How far a batch has got: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

from ..display.lines import mib, printable
from ..report import first_line
from .kernels import KernelMemory
from .results import NotebookRun

__all__ = ["Lines", "Listener", "Silent", "Table", "line_of"]

_REFRESHES_PER_S = 4


class Listener(Protocol):
    """Who is told how far a notebook has got."""

    def begun(self, notebook: str, cells: int) -> None:
        """Its kernel is being started."""

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """That code cell, counted from 1, is sent; `memory` is live, if measured."""

    def ended(self, run: NotebookRun) -> None:
        """It is through, or it is not."""


class Silent:
    """Nobody."""

    def begun(self, notebook: str, cells: int) -> None:
        """Ignored."""

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """Ignored."""

    def ended(self, run: NotebookRun) -> None:
        """Ignored."""


def line_of(run: NotebookRun) -> str:
    """One line about a notebook that is through."""
    if run.state != "ok":
        return f"{run.notebook}: {run.state}: {run.message}"
    cells = f"{run.executed} cell{'' if run.executed == 1 else 's'}"
    raised = f", {run.raised} raised" if run.raised else ""
    took = "" if run.duration_ns is None else f" in {run.duration_ns / 1e9:.2f} s"
    remark = "" if run.message is None else f"; {run.message}"
    peak = f", peak {mib(run.rss_peak_bytes, 2)} MiB" if run.executed else ""
    return f"{run.notebook}: ok: {cells}{raised}{took}{peak}{remark}"


class Lines:
    """A line on stderr for each notebook that is through."""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def begun(self, notebook: str, cells: int) -> None:
        """Nothing: the end tells."""

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """Nothing: a log is not read while it is written."""

    def ended(self, run: NotebookRun) -> None:
        """Its line."""
        print(printable(line_of(run)), file=sys.stderr, flush=True)


class Table:
    """The notebooks that run, with the running cell and what its kernel holds now."""

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
        """A row for it."""
        self._rows[notebook] = _Row(cells)

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """That cell is in the row from now on."""
        row = self._rows[notebook]
        row.place, row.memory, row.since = place, memory, time.monotonic()
        row.source = first_line(source)

    def ended(self, run: NotebookRun) -> None:
        """The row goes, its line stays above the table."""
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
                "" if row.memory is None else mib(row.memory.rss_bytes(), 2),
                Text(printable(row.source)),
            )
        return grid


class _Row:
    def __init__(self, cells: int) -> None:
        self.cells = cells
        self.place = 0
        self.source = "the kernel is being started"
        self.memory: KernelMemory | None = None
        self.since = 0.0
