"""Write figures into the notebook: ``metadata.memwatch``."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ...report import DEFAULTS
from ..results import CellRun, NotebookRun

if TYPE_CHECKING:
    from nbformat import NotebookNode

KEY = "memwatch"
_CELL_KEYS = frozenset({"state", *DEFAULTS})
_NOTEBOOK_KEYS = frozenset(
    {"memwatch"} | {each.name for each in fields(NotebookRun)} - {"cells"}
)


def apply(notebook: NotebookNode, run: NotebookRun) -> None:
    """Write the figures of `run` into `notebook`.

    ``cell.metadata.memwatch`` gets the fields of CellReport and ``state``, only the
    state if the cell was not run; ``nb.metadata.memwatch`` those of NotebookRun without
    its cells, and ``memwatch``, the version. Figures of an earlier run are removed;
    other keys, such as a budget ``max_peak``, stay. ValueError: `run` is of another
    notebook.
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

    values = {key: value for key, value in run.to_dict().items() if key != "cells"}
    _put(notebook.metadata, {"memwatch": __version__, **values})


def apply_cell(notebook: NotebookNode, run: CellRun) -> None:
    """Write the figures of one cell."""
    report = {} if run.report is None else run.report.to_dict()
    _put(notebook.cells[run.cell_index].metadata, {"state": run.state, **report})


def strip(notebook: NotebookNode) -> None:
    """Remove what apply() writes; other keys stay."""
    _take(notebook.metadata, _NOTEBOOK_KEYS)
    for cell in notebook.cells:
        _take(cell.metadata, _CELL_KEYS)


def _put(metadata: Any, values: dict[str, Any]) -> None:
    theirs = metadata.get(KEY)
    metadata[KEY] = {**(theirs if isinstance(theirs, dict) else {}), **values}


def _take(metadata: Any, ours: frozenset[str]) -> None:
    values = metadata.get(KEY)
    if not isinstance(values, dict):
        return
    theirs = {key: value for key, value in values.items() if key not in ours}
    if theirs:
        metadata[KEY] = theirs
    else:
        del metadata[KEY]
