"""What comes out of a notebook's run, and of several. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ..report import CellReport

__all__ = ["CellRun", "CellState", "NotebookRun", "NotebookState"]

CellState = Literal["ok", "error", "interrupted", "timeout", "died", "not run"]
NotebookState = Literal["ok", "error", "interrupted", "timeout", "died", "no kernel"]

_EXIT_CODES: dict[NotebookState, int] = {
    "ok": 0,
    "error": 1,
    "interrupted": 130,
    "timeout": 1,
    "died": 137,
    "no kernel": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRun:
    """One code cell of a notebook."""

    cell_index: int
    """Its position among all cells of the notebook, from 0."""
    state: CellState
    report: CellReport | None = None
    """What it cost; None where it was not run. Of one that died: up to its last sample,
    with `status` ``died``."""
    source: str = ""
    """All of its text."""

    def to_dict(self) -> dict[str, Any]:
        """All fields by name: ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"report": self.report and self.report.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookRun:
    """One notebook. Sizes are bytes, times nanoseconds; what is not known is None."""

    schema: int = 2
    notebook: str
    """The path as it was given."""
    output: str | None = None
    """Where the executed notebook is; None: nowhere."""
    state: NotebookState = "ok"
    message: str | None = None
    """Where the state is not ``ok``: why, in one line. Else what was not measured."""
    kernel_name: str | None = None
    language: str | None = None
    kernel_pid: int | None = None
    host: str | None = None
    started_at: str | None = None
    """ISO 8601, UTC."""
    duration_ns: int | None = None
    """From the start of its kernel to the end of its last cell."""
    rss_peak_bytes: int | None = None
    """The highest of its cells'."""
    limit_bytes: int | None = None
    """The memory limit in force; None: none, or not known."""
    limit_set_by: str | None = None
    attempts: int = 1
    """How often it was begun: more than once where a cluster's worker died."""
    cells: list[CellRun] = field(default_factory=list)
    """Its code cells, in order."""

    @property
    def executed(self) -> int:
        """How many of its code cells were executed, to their end or not."""
        return sum(cell.state != "not run" for cell in self.cells)

    @property
    def raised(self) -> int:
        """How many of its code cells raised."""
        return sum(cell.state == "error" for cell in self.cells)

    @property
    def exit_code(self) -> int:
        """What `memwatch run` ends with for it, budgets apart."""
        return _EXIT_CODES[self.state]

    def to_dict(self) -> dict[str, Any]:
        """All fields by name: ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"cells": [cell.to_dict() for cell in self.cells]}
