"""The results of notebooks and their cells. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ..report import CellReport

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
    """None: it was not run. If the kernel died: up to the last sample, with `status`
    ``died``."""
    source: str = ""
    """Its whole text."""

    @property
    def peak_bytes(self) -> int | None:
        """The kernel's highest RSS; with children PSS of all, if that is higher.

        None: unknown.
        """
        if self.report is None or self.report.rss_peak_bytes is None:
            return None
        return max(self.report.rss_peak_bytes, self.report.tree_pss_peak_bytes or 0)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name: ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"report": self.report and self.report.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookRun:
    """One notebook. Bytes and nanoseconds; None: unknown."""

    schema: int = 2
    notebook: str
    """The given path."""
    output: str | None = None
    """The file of the executed notebook; None: not written."""
    state: NotebookState = "ok"
    message: str | None = None
    """The reason of a state other than ``ok``, or what was not measured; one line."""
    kernel_name: str | None = None
    language: str | None = None
    kernel_pid: int | None = None
    host: str | None = None
    started_at: str | None = None
    """ISO 8601, UTC."""
    duration_ns: int | None = None
    """From the start of its kernel to the end of its last cell."""
    rss_peak_bytes: int | None = None
    """The highest peak of its cells."""
    limit_bytes: int | None = None
    """The memory limit; None: none, or unknown."""
    limit_set_by: str | None = None
    attempts: int = 1
    """More than 1 if a cluster's worker died."""
    cells: list[CellRun] = field(default_factory=list)
    """Its code cells, in order."""

    @property
    def peak_bytes(self) -> int | None:
        """The highest peak of its cells, with children where they were measured."""
        peaks = [self.rss_peak_bytes, *(each.peak_bytes for each in self.cells)]
        return max((each for each in peaks if each is not None), default=None)

    @property
    def executed(self) -> int:
        """The number of executed code cells, complete or not."""
        return sum(cell.state != "not run" for cell in self.cells)

    @property
    def raised(self) -> int:
        """The number of code cells that raised."""
        return sum(cell.state == "error" for cell in self.cells)

    @property
    def exit_code(self) -> int:
        """The exit code of `memwatch run` for it, without budgets."""
        return _EXIT_CODES[self.state]

    def to_dict(self) -> dict[str, Any]:
        """All fields by name: ready for JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return values | {"cells": [cell.to_dict() for cell in self.cells]}
