"""What a whole batch comes to: what went over, and the exit code. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .baseline import compare, find_earlier
from .budgets import Budgets, Size, check
from .excesses import Excess
from .results import NotebookRun

__all__ = ["BAD_INPUT", "OVER_BUDGET", "exit_code", "judge"]

BAD_INPUT = 2
OVER_BUDGET = 3

_GRAVEST_FIRST = (130, 137, BAD_INPUT, 1, OVER_BUDGET)


def judge(
    runs: Sequence[NotebookRun],
    budgets: Mapping[str, Budgets],
    earlier: Sequence[NotebookRun] | None,
    tolerance: Size,
) -> tuple[list[Excess], list[str]]:
    """What went over its budgets or over the earlier runs, notebook by notebook.

    `budgets` are by the notebook's name, `earlier` is None where no baseline is given.
    With it are the notebooks that the baseline does not have: they are no excess, and
    worth a line.
    """
    found: list[Excess] = []
    unknown = []
    for run in runs:
        found += check(run, budgets.get(run.notebook, Budgets()))
        if earlier is None:
            continue
        before = find_earlier(run, earlier)
        if before is None:
            unknown.append(run.notebook)
        else:
            found += compare(run, before, tolerance)
    return found, unknown


def exit_code(
    runs: Sequence[NotebookRun], excesses: Sequence[Excess], *, bad_input: bool = False
) -> int:
    """What `memwatch run` ends with; of several reasons the gravest.

    That is interrupted (130), killed (137), bad input (2), a cell that raised (1), a
    budget (3); 0 where there is none of them.
    """
    codes = {run.exit_code for run in runs}
    if bad_input:
        codes.add(BAD_INPUT)
    if excesses:
        codes.add(OVER_BUDGET)
    return next((code for code in _GRAVEST_FIRST if code in codes), 0)
