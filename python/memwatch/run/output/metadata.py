"""What cells cost, in the notebook itself: ``metadata.memwatch``."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ...report import DEFAULTS
from ..results import CellRun, NotebookRun

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["apply", "apply_cell", "strip"]

KEY = "memwatch"
_CELL_KEYS = frozenset({"state", *DEFAULTS})
_NOTEBOOK_KEYS = frozenset(
    {"memwatch"} | {each.name for each in fields(NotebookRun)} - {"cells"}
)


def apply(notebook: NotebookNode, run: NotebookRun) -> None:
    """Write what `run` found into the cells of `notebook`, which is changed.

    ``cell.metadata.memwatch`` has all fields of CellReport and ``state``, the state
    alone where the cell was not run; ``nb.metadata.memwatch`` all of NotebookRun but
    its cells, and ``memwatch``, the version. What an earlier run wrote goes; keys that
    are not ours, as a cell's budget ``max_peak``, stay. ValueError where `run` is of
    another notebook: it has a cell at a place where there is no code.
    """
    for each in run.cells:
        if not (
            0 <= each.cell_index < len(notebook.cells)
            and notebook.cells[each.cell_index].cell_type == "code"
        ):
            raise ValueError(f"the notebook has no code cell {each.cell_index}")
    strip(notebook)
    for each in run.cells:
        apply_cell(notebook, each)
    from ... import __version__

    told = {key: value for key, value in run.to_dict().items() if key != "cells"}
    _put(notebook.metadata, {"memwatch": __version__, **told})


def apply_cell(notebook: NotebookNode, run: CellRun) -> None:
    """Write one cell's, while the others have yet to run."""
    report = {} if run.report is None else run.report.to_dict()
    _put(notebook.cells[run.cell_index].metadata, {"state": run.state, **report})


def strip(notebook: NotebookNode) -> None:
    """Take away what apply() writes; what somebody else wrote beside it stays."""
    _take(notebook.metadata, _NOTEBOOK_KEYS)
    for cell in notebook.cells:
        _take(cell.metadata, _CELL_KEYS)


def _put(metadata: Any, values: dict[str, Any]) -> None:
    theirs = metadata.get(KEY)
    metadata[KEY] = {**(theirs if isinstance(theirs, dict) else {}), **values}


def _take(metadata: Any, ours: frozenset[str]) -> None:
    there = metadata.get(KEY)
    if not isinstance(there, dict):
        return
    theirs = {key: value for key, value in there.items() if key not in ours}
    if theirs:
        metadata[KEY] = theirs
    else:
        del metadata[KEY]
