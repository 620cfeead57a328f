"""What cost more than it may, and the words for it. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...display.units import mib
from ...report import CellReport
from ..results import CellRun, NotebookRun

__all__ = [
    "Subject",
    "Violation",
    "What",
    "describe",
    "figure_of",
    "first_line",
    "label_of",
    "ran",
    "told",
    "used_by",
]

What = Literal["peak", "used"]
Scope = Literal["notebook", "cell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something cost more than it may, or cannot be told to have cost less."""

    notebook: str
    cell_index: int | None
    """The cell's position among all cells, from 0; None: the whole notebook."""
    label: str
    """``In [3]``, ``cell 4`` for one without a number, ``the notebook``."""
    source: str | None
    """The cell's first line."""
    what: What
    scope: Scope
    """What the limit is for: each cell of the notebook, or this cell only."""
    rule: str
    """What it breaks, in words: ``--max-peak 2GiB``."""
    limit_bytes: int | None
    """None: a share of a limit, and none is known."""
    value_bytes: int | None
    """None: could not be measured."""
    earlier_bytes: int | None = None
    """What it was in the run that it is compared with."""

    @property
    def over_bytes(self) -> int | None:
        """By how much; None where that is not known."""
        if self.limit_bytes is None or self.value_bytes is None:
            return None
        return self.value_bytes - self.limit_bytes

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, and `over_bytes`: ready for JSON."""
        return asdict(self) | {"over_bytes": self.over_bytes}


def used_by(run: NotebookRun) -> int | None:
    """What the notebook kept, in bytes: its last cell's end less its first one's start.

    None where either is not known. Where a cell died it is up to its last sample.
    """
    reports = [each.report for each in ran(run)]
    if not reports or reports[0] is None or reports[-1] is None:
        return None
    start, end = reports[0].rss_start_bytes, reports[-1].rss_end_bytes
    return None if start is None or end is None else end - start


def label_of(cell: CellRun) -> str:
    """What a person calls the cell: ``In [3]``, ``cell 4`` where it has no number."""
    if cell.report is not None and cell.report.label:
        return cell.report.label
    return f"cell {cell.cell_index + 1}"


def first_line(cell: CellRun) -> str | None:
    """The first line of its text that is not empty, at most 120 characters."""
    lines = (line.strip() for line in cell.source.splitlines())
    return next((line[:120] for line in lines if line), None)


def ran(run: NotebookRun) -> list[CellRun]:
    """The cells that took part."""
    # A cell without text takes no part: kernels do not run it.
    return [c for c in run.cells if c.state != "not run" and (c.report or c.source)]


def figure_of(report: CellReport | None, what: What) -> int | None:
    """What a cell held at most, or kept, in bytes; None where it is not known."""
    if report is None:
        return None
    return report.rss_peak_bytes if what == "peak" else report.used_bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """A cell that ran, or the notebook as a whole (None), and one figure of it."""

    run: NotebookRun
    cell: CellRun | None
    value_bytes: int | None

    def violation(
        self,
        what: What,
        scope: Scope,
        rule: str,
        limit: int | None,
        earlier: int | None = None,
    ) -> Violation:
        """That this figure is more than `limit` allows."""
        cell = self.cell
        return Violation(
            notebook=self.run.notebook,
            cell_index=None if cell is None else cell.cell_index,
            label="the notebook" if cell is None else label_of(cell),
            source=None if cell is None else first_line(cell),
            what=what,
            scope=scope,
            rule=rule,
            limit_bytes=limit,
            value_bytes=self.value_bytes,
            earlier_bytes=earlier,
        )


# ---- words ----

_MEANT = {"peak": "held at most", "used": "kept"}


def describe(violation: Violation) -> str:
    """One line: which cell of which notebook, and by how much it went over."""
    source = f" `{violation.source}`" if violation.source else ""
    return f"{violation.notebook}: {violation.label}{source} {told(violation)}"


def told(violation: Violation) -> str:
    """What it cost and what it may, without its name."""
    meant = _MEANT[violation.what]
    if violation.value_bytes is None:
        return f"ran, and what it {meant} could not be measured: {violation.rule}"
    value = f"{meant} {mib(violation.value_bytes)} MiB"
    if violation.limit_bytes is None:
        return (
            f"{value}; {violation.rule} is a share of the memory limit, and none is"
            " known: give a size"
        )
    over = f"{mib(violation.over_bytes)} MiB more than {violation.rule}"
    if violation.earlier_bytes is not None:
        return f"{value}, {over} (then {mib(violation.earlier_bytes)} MiB)"
    return f"{value}, {over}"
