"""The line below a cell's line that says that Out keeps results of its earlier runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..report import CellReport
from ..state import keep
from .holdings import HeapError, measure
from .roots import session_of

LEAST_BYTES = 16 * 2**20
"""What a run must have kept, and Out must hold, to be worth a line."""
_SECONDS = 1.0

_told: set[object] = keep("cells with a hint", set)


def find_hint(
    shell: Any, report: CellReport, reports: Iterable[CellReport]
) -> str | None:
    """The line for a cell that has run again while Out holds its earlier results.

    None: it has not, Out holds less than LEAST_BYTES that nothing else holds, it could
    not be found out within a second, or the cell has had the line. Call it for reports
    whose used_bytes are LEAST_BYTES or more: it walks the heap.
    """
    cell = (report.cell_id, report.source)
    outputs = shell.user_ns.get("Out")
    if cell in _told or type(outputs) is not dict:
        return None
    numbers = {
        each.execution_count
        for each in reports
        if (each.cell_id, each.source) == cell
        and each.execution_count != report.execution_count
        and each.execution_count in outputs
    }
    if not numbers:
        return None
    try:
        holdings = measure(session_of(shell), seconds=_SECONDS)
    except HeapError:
        return None
    if holdings.partial is not None:
        return None
    names = {f"Out[{number}]" for number in numbers}
    chosen = {
        i
        for i, root in enumerate(holdings.roots)
        if root.kind == "output" and not names.isdisjoint(root.names)
    }
    held = {
        holders: size for holders, size in holdings.sets if chosen.issuperset(holders)
    }
    total = sum(held.values())
    if total < LEAST_BYTES:
        return None
    _told.add(cell)
    large = {each for holders in held for each in holders}
    return _text(
        sorted(
            number
            for number in numbers
            if number is not None
            and any(f"Out[{number}]" in holdings.roots[each].names for each in large)
        ),
        total,
    )


def _text(numbers: list[int], held_bytes: int) -> str:
    names = [f"Out[{number}]" for number in numbers]
    if len(names) > 3:
        names = [names[0], "...", names[-1]]
        listed = " ".join(names)
    else:
        listed = " and ".join(names)
    verb = "holds" if len(numbers) == 1 else "hold"
    return (
        f"{listed} still {verb} {held_bytes / 2**20:,.0f} MiB from earlier runs of this"
        " cell; %memwatch why tells how to free them"
    )
