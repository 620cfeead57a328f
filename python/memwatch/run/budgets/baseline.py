"""Compare a run with an earlier one, cell by cell. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from ..results import CellRun, NotebookRun
from .budgets import Size
from .violations import Scope, Subject, Violation, What, figure_of, used_by

NOISE_BYTES = 2**20
"""Differences up to this are ignored: with address space layout randomization the same
cell does not use the same pages."""

_WHATS: tuple[What, ...] = ("peak", "used")


def find_earlier(
    run: NotebookRun, earlier: Sequence[NotebookRun]
) -> NotebookRun | None:
    """The run of the same notebook in `earlier`: by path, else by a unique file name.

    None: it was not run then.
    """
    for same in (_path, _name):
        known = [each for each in earlier if same(each) == same(run)]
        if len(known) == 1:
            return known[0]
    return None


def _path(run: NotebookRun) -> str:
    return str(Path(run.notebook))


def _name(run: NotebookRun) -> str:
    return Path(run.notebook).name


def compare(run: NotebookRun, earlier: NotebookRun, tolerance: Size) -> list[Violation]:
    """The figures of `run` that exceed those of `earlier` by more than the tolerance.

    Compares the peak and the use of each cell that is in both, and the use of the
    notebook if it was complete both times. A percentage is of the earlier figure;
    differences up to NOISE_BYTES and unknown figures are ignored.
    """
    rule = f"--baseline and {tolerance.text}"
    found: list[Violation] = []
    if run.state == earlier.state == "ok":  # both are complete
        whole = Subject(run, None, used_by(run))
        found += _more(whole, "used", used_by(earlier), tolerance, rule)
    for now, then in pairs(run.cells, earlier.cells):
        for what in _WHATS:
            subject = Subject(run, now, figure_of(now, what))
            before = figure_of(then, what)
            held = what == "peak" and _rises_no_more(now, then, tolerance)
            found += _more(subject, what, before, tolerance, rule, is_inherited=held)
    return found


def _rises_no_more(now: CellRun, then: CellRun, tolerance: Size) -> bool:
    """Whether the cell rises as it did: a higher peak is of a higher start."""
    rise = None if now.report is None else now.report.risen_bytes
    before = None if then.report is None else then.report.risen_bytes
    if rise is None or before is None:
        return False
    return rise - before <= _allowed(before, tolerance)


def _allowed(before: int, tolerance: Size) -> int:
    return max(tolerance.of(abs(before)) or 0, NOISE_BYTES)


def _more(
    subject: Subject,
    what: What,
    before: int | None,
    tolerance: Size,
    rule: str,
    *,
    is_inherited: bool = False,
) -> list[Violation]:
    now = subject.value_bytes
    if now is None or before is None:
        return []
    allowed = _allowed(before, tolerance)
    if now - before <= allowed:
        return []
    scope: Scope = "notebook" if subject.cell is None else "cell"
    limit = before + allowed
    return [
        subject.violation(what, scope, rule, limit, before, is_inherited=is_inherited)
    ]


# ---- matching cells ----


def pairs(
    now: Sequence[CellRun], then: Sequence[CellRun]
) -> list[tuple[CellRun, CellRun]]:
    """The cells that are in both, in the order of `now`.

    Matched by cell id; else by source, in order if several have the same; else by
    place: both follow the same cell.
    """
    partner: dict[int, int] = {}  # positions in `now` to positions in `then`
    _by_key(partner, now, then, _cell_id)
    _by_key(partner, now, then, _source)
    taken = set(partner.values())
    for i in range(len(now)):
        if i in partner:
            continue
        after = partner.get(i - 1) if i else -1
        if after is None or after + 1 in taken or after + 1 >= len(then):
            continue
        partner[i] = after + 1
        taken.add(after + 1)
    return [(now[i], then[partner[i]]) for i in sorted(partner)]


def _by_key(
    partner: dict[int, int],
    now: Sequence[CellRun],
    then: Sequence[CellRun],
    key: Callable[[CellRun], Hashable],
) -> None:
    taken = set(partner.values())
    waiting: dict[Hashable, list[int]] = {}
    for j, cell in enumerate(then):
        if j not in taken and key(cell) is not None:
            waiting.setdefault(key(cell), []).append(j)
    for i, cell in enumerate(now):
        if i not in partner and waiting.get(key(cell)):
            partner[i] = waiting[key(cell)].pop(0)


def _cell_id(cell: CellRun) -> str | None:
    return None if cell.report is None else cell.report.cell_id


def _source(cell: CellRun) -> str:
    return cell.source
