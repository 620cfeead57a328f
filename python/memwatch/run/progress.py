"""The progress of a batch: a live table in a terminal, else plain lines."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from ..display.units import mib, printable, seconds
from ..report import telling_line
from .budgets.violations import Violation
from .kernels import KernelMemory
from .output.terminal import ending, over_budget, tables, written
from .results import NotebookRun

_REFRESH_S = 0.25
_SHORTEST_NAME = 20


class Listener:
    """Gets the events of running notebooks; this one ignores them."""

    wants_output = False
    """Whether wrote() shows what kernels write to stdout and stderr; else they have
    ours."""

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

    def wrote(self, run: NotebookRun, text: str) -> None:
        """Its kernel wrote `text` to stdout and stderr; after ended()."""

    def interrupted(self) -> None:
        """The notebooks that have not ended are interrupted; once."""


def line_of(run: NotebookRun) -> str:
    """One line about a notebook that has ended."""
    if run.state != "ok":
        return f"{run.notebook}: {run.state}: {run.message}"
    cells = f"{run.executed} cell{'' if run.executed == 1 else 's'}"
    raised = f", {run.raised} raised" if run.raised else ""
    took = "" if run.duration_ns is None else f" in {seconds(run.duration_ns)} s"
    remark = "" if run.message is None else f"; {run.message}"
    peak = f", peak {mib(run.peak_bytes)} MiB" if run.executed else ""
    return f"{run.notebook}: ok: {cells}{raised}{took}{peak}{remark}"


_LAST_LINES = 10
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")


def lines_of_kernel(run: NotebookRun, text: str, is_verbose: bool) -> list[str]:
    """What to show of the output of a kernel: all, or its end if the kernel failed."""
    has_failed = run.state in ("died", "no kernel", "timeout")
    # An error of nbclient or the kernel, not one that a cell raised.
    has_failed |= run.state == "error" and not run.raised
    if not (has_failed or is_verbose):
        return []
    lines = [_ESCAPES.sub("", each).rstrip() for each in text.splitlines()]
    lines = [each for each in lines if each]
    if not is_verbose and len(lines) > _LAST_LINES:
        left_out = len(lines) - _LAST_LINES
        lines = [f"({left_out} earlier lines; -v shows them)", *lines[-_LAST_LINES:]]
    return [f"{run.notebook}: kernel: {each}" for each in lines]


class Lines(Listener):
    """Prints a line to stderr for each notebook that has ended."""

    wants_output = True

    def __init__(self, *, is_verbose: bool = False) -> None:
        self._is_verbose = is_verbose

    def _print(self, line: str, style: str = "", *, is_path: bool = False) -> None:
        print(printable(line), file=sys.stderr, flush=True)

    def ended(self, run: NotebookRun) -> None:
        """Print its line."""
        self._print(line_of(run), "" if run.state == "ok" else "bold red")

    def wrote(self, run: NotebookRun, text: str) -> None:
        """Print it if the kernel failed, or all of it with -v."""
        for line in lines_of_kernel(run, text, self._is_verbose):
            self._print(line, "dim")

    def interrupted(self) -> None:
        """Print that line."""
        self._print("interrupted: the running kernels are shut down", "bold")

    def summarize(
        self,
        runs: Sequence[NotebookRun],
        violations: Sequence[Violation],
        files: Sequence[str],
    ) -> None:
        """Print what was over budget, and the files that were written."""
        for line in over_budget(violations):
            self._print(line, "red")
        for line in written(runs, files):
            self._print(line, is_path=True)


class Table(Lines):
    """A table of the running notebooks: the running cell and the kernel's RSS."""

    def __init__(self, *, is_verbose: bool = False) -> None:
        super().__init__(is_verbose=is_verbose)
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        self._rows: dict[str, _Row] = {}
        self._live = Live(
            console=self._console,
            get_renderable=self._table,
            auto_refresh=False,
            transient=True,
        )
        # rich's own thread may draw while a line is printed, and tear the table.
        self._drawing = threading.Lock()
        self._has_ended = threading.Event()
        self._refreshing = threading.Thread(target=self._refresh, daemon=True)

    def __enter__(self) -> Table:
        self._live.__enter__()
        self._refreshing.start()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._has_ended.set()
        self._refreshing.join()
        self._live.__exit__(*failure)

    def _refresh(self) -> None:
        while not self._has_ended.wait(_REFRESH_S):
            with self._drawing:
                self._live.refresh()

    def _print(self, line: str, style: str = "", *, is_path: bool = False) -> None:
        from rich.text import Text

        # Above the table. A path has no line ends of ours, to be copied.
        text = Text(printable(line), style=style)
        with self._drawing:
            self._console.print(text, soft_wrap=is_path)

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
        super().ended(run)

    def summarize(
        self,
        runs: Sequence[NotebookRun],
        violations: Sequence[Violation],
        files: Sequence[str],
    ) -> None:
        """Print tables of the notebooks and the dearest cells before these."""
        for table in tables(runs, violations, self._console.width):
            self._console.print("", table, sep="\n")
        if runs:
            self._console.print()
        super().summarize(runs, violations, files)

    def _table(self) -> Any:
        from rich.table import Table as Grid
        from rich.text import Text

        # Of a long path its end says more.
        longest = max(_SHORTEST_NAME, self._console.width // 3)
        # A terminal shows Ctrl-C as ^C in the last line: it must not begin a new one.
        width = self._console.width - len("^C^C")
        grid = Grid(box=None, pad_edge=False, width=width)
        grid.add_column("notebook", no_wrap=True)
        grid.add_column("cell", justify="right", no_wrap=True)
        grid.add_column("s", justify="right", no_wrap=True)
        grid.add_column("MiB", justify="right", no_wrap=True)
        grid.add_column("source", ratio=1, no_wrap=True, overflow="ellipsis")
        for notebook, row in list(self._rows.items()):
            grid.add_row(
                ending(notebook, longest),
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
