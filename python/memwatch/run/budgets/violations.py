"""Violations of budgets, and their texts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ...display.units import mib
from ...report import telling_line
from ..results import CellRun, NotebookRun

What = Literal["peak", "used"]
Scope = Literal["notebook", "cell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A figure that exceeds its limit, or of which that is unknown."""

    notebook: str
    cell_index: int | None
    """The cell's position among all cells, from 0; None: the whole notebook."""
    label: str
    """``In [3]``, ``cell 4`` for one without a number, ``the notebook``."""
    source: str | None
    """The cell's line, as in CellReport.source."""
    what: What
    scope: Scope
    """What the limit is for: each cell of the notebook, or this cell only."""
    rule: str
    """The budget, in words: ``--max-peak 2GiB``."""
    limit_bytes: int | None
    """None: a percentage of an unknown limit."""
    value_bytes: int | None
    """None: not measured."""
    earlier_bytes: int | None = None
    """The figure of the earlier run."""
    is_inherited: bool = False
    """Whether an earlier cell caused it: this one began with the excess."""

    @property
    def over_bytes(self) -> int | None:
        """The excess; None: unknown."""
        if self.limit_bytes is None or self.value_bytes is None:
            return None
        return self.value_bytes - self.limit_bytes

    def to_dict(self) -> dict[str, Any]:
        """All fields by name, and `over_bytes`: ready for JSON."""
        return asdict(self) | {"over_bytes": self.over_bytes}


def used_by(run: NotebookRun) -> int | None:
    """RSS at the end of the notebook's last cell minus RSS at the start of its first.

    None: unknown. For a cell that died, up to its last sample.
    """
    reports = [each.report for each in ran(run)]
    if not reports or reports[0] is None or reports[-1] is None:
        return None
    start, end = reports[0].rss_start_bytes, reports[-1].rss_end_bytes
    return None if start is None or end is None else end - start


def label_of(cell: CellRun) -> str:
    """The cell's label: ``In [3]``, or ``cell 4`` without a number."""
    if cell.report is not None and cell.report.label:
        return cell.report.label
    return f"cell {cell.cell_index + 1}"


def ran(run: NotebookRun) -> list[CellRun]:
    """The cells that were executed."""
    # Kernels do not execute a cell without text.
    return [c for c in run.cells if c.state != "not run" and (c.report or c.source)]


def figure_of(cell: CellRun, what: What) -> int | None:
    """The peak or the use of a cell in bytes; None: unknown."""
    if what == "peak":
        return cell.peak_bytes
    return None if cell.report is None else cell.report.used_bytes


@dataclass(frozen=True, slots=True)
class Subject:
    """A cell, or None for the whole notebook, and one of its figures."""

    run: NotebookRun
    cell: CellRun | None
    value_bytes: int | None

    @property
    def start_bytes(self) -> int | None:
        """RSS when the cell began; None: unknown, or the whole notebook."""
        report = None if self.cell is None else self.cell.report
        return None if report is None else report.rss_start_bytes

    def violation(
        self,
        what: What,
        scope: Scope,
        rule: str,
        limit: int | None,
        earlier: int | None = None,
        *,
        is_inherited: bool = False,
    ) -> Violation:
        """A violation of `limit` by this figure."""
        cell = self.cell
        return Violation(
            notebook=self.run.notebook,
            cell_index=None if cell is None else cell.cell_index,
            label="the notebook" if cell is None else label_of(cell),
            source=None if cell is None else telling_line(cell.source),
            what=what,
            scope=scope,
            rule=rule,
            limit_bytes=limit,
            value_bytes=self.value_bytes,
            earlier_bytes=earlier,
            is_inherited=is_inherited,
        )


def once(violations: Sequence[Violation]) -> list[tuple[Violation, list[Violation]]]:
    """The violations, each with the later ones that only inherit it.

    While a process holds more than a notebook's budget, every cell exceeds it.
    """
    found: list[tuple[Violation, list[Violation]]] = []
    newest: dict[object, list[Violation]] = {}
    for each in violations:
        is_own = each.scope == "cell" and each.earlier_bytes is None
        place = each.cell_index if is_own else None
        key = (each.notebook, each.what, each.rule, place)
        if each.is_inherited and key in newest:
            newest[key].append(each)
        else:
            newest[key] = []
            found.append((each, newest[key]))
    return found


# ---- texts ----

_MEANT = {"peak": "held at most", "used": "kept"}


def describe(violation: Violation, later: Sequence[Violation] = ()) -> str:
    """One line: the notebook, the cell, and by how much it exceeds the limit.

    `later` are the violations of later cells, as once() has them.
    """
    source = f" `{violation.source}`" if violation.source else ""
    figure = describe_figure(violation, later)
    return f"{violation.notebook}: {violation.label}{source} {figure}"


def describe_figure(violation: Violation, later: Sequence[Violation] = ()) -> str:
    """The figure and the limit, without the cell."""
    return _describe_own(violation) + _describe_later(violation, later)


def _describe_later(violation: Violation, later: Sequence[Violation]) -> str:
    if not later:
        return ""
    count = "1 later cell" if len(later) == 1 else f"{len(later)} later cells"
    # Inherited ones have a value.
    highest = max(later, key=lambda each: each.value_bytes or 0)
    if (highest.value_bytes or 0) <= (violation.value_bytes or 0):
        return f"; {count} still held more"
    most = f"{mib(highest.value_bytes)} MiB in {highest.label}"
    return f"; {count} still held more, at most {most}"


def _describe_own(violation: Violation) -> str:
    meant = _MEANT[violation.what]
    if violation.value_bytes is None:
        return f"ran, but what it {meant} could not be measured: {violation.rule}"
    value = f"{meant} {mib(violation.value_bytes)} MiB"
    if violation.limit_bytes is None:
        return (
            f"{value}; {violation.rule} is a percentage of the memory limit, which is"
            " unknown: give a size"
        )
    over = f"{mib(violation.over_bytes)} MiB more than {violation.rule}"
    if violation.earlier_bytes is not None:
        return f"{value}, {over} (then {mib(violation.earlier_bytes)} MiB)"
    return f"{value}, {over}"
