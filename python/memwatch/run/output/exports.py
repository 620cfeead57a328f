"""Write runs as JSON and CSV, and read JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...files import csv_pieces, deliver, json_pieces, write_whole
from ...measure.frames import COLUMNS
from ...optional import need
from ...report import telling_line
from ..budgets.violations import Violation
from ..notebook_files import InputError, read_whole
from ..results import NotebookRun

if TYPE_CHECKING:
    from nbformat import NotebookNode

SCHEMA = 2
"""The version of the envelope that write_json() puts around the runs."""

CSV_COLUMNS = ("notebook", "notebook_state", "cell_index", "state", *COLUMNS)
"""One row per code cell: its place, its state, CellReport's fields without timeline."""

_MAX_BYTES = 2**30


def write_notebook(path: str | os.PathLike[str], notebook: NotebookNode) -> None:
    """Write the notebook as Jupyter does, atomically. OSError."""
    # nbformat.writes() logs pages about an invalid notebook.
    v4 = need("nbformat.v4", "run", "writing notebooks")
    text: str = v4.writes(notebook)
    write_whole(path, [text if text.endswith("\n") else text + "\n"])


def write_json(
    path: str | os.PathLike[str],
    runs: Sequence[NotebookRun],
    violations: Sequence[Violation] = (),
) -> None:
    """``{"schema": 2, "memwatch": VERSION, "notebooks": [...], "violations": [...]}``.

    Made by ``NotebookRun.to_dict()`` and ``Violation.to_dict()``. OSError.
    """
    from ... import __version__

    head = {"schema": SCHEMA, "memwatch": __version__}
    lists = {"notebooks": runs, "violations": violations}
    # Any encoding of stdout has ASCII.
    deliver(path, json_pieces(head, lists, to_ascii=os.fspath(path) == "-"))


def write_csv(path: str | os.PathLike[str], runs: Iterable[NotebookRun]) -> None:
    """RFC 4180 in UTF-8: a line with CSV_COLUMNS, then one per code cell. OSError.

    Unknown values are empty, as are the figures of a cell that was not run.
    """
    deliver(path, csv_pieces(_rows(runs)))


def _rows(runs: Iterable[NotebookRun]) -> Iterator[Sequence[Any]]:
    yield CSV_COLUMNS
    for run in runs:
        for cell in run.cells:
            figures = [getattr(cell.report, name, None) for name in COLUMNS]
            if cell.report is None:
                figures[COLUMNS.index("source")] = telling_line(cell.source)
            yield run.notebook, run.state, cell.cell_index, cell.state, *figures


# ---- reading ----


def load(path: str | os.PathLike[str]) -> list[NotebookRun]:
    """The runs that write_json() wrote to the file `path`; unknown fields are ignored.

    InputError for any other file.
    """
    given = os.fspath(path)
    data = read_whole(given, _MAX_BYTES)
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{given}: invalid JSON ({error}); expected a file written by `memwatch"
            " run --json`"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("notebooks"), list):
        other = ""
        if isinstance(found, dict) and "reports" in found:
            other = "; it is the history of a session"
        if isinstance(found, dict) and "nbformat" in found:
            other = "; it is a notebook"
        raise InputError(f"{given}: not written by `memwatch run --json`{other}")
    if found.get("schema") == 1:
        found = _from_schema_1(found)
    if found.get("schema") != SCHEMA:
        raise InputError(
            f"{given}: schema {found.get('schema')} of memwatch"
            f" {found.get('memwatch')}: expected {SCHEMA} or 1; run the notebooks again"
        )
    msgspec = need("msgspec", "run", "--baseline")
    try:
        runs: list[NotebookRun] = msgspec.convert(found["notebooks"], list[NotebookRun])
    except msgspec.ValidationError as error:
        reason = str(error).replace("`$", "`notebooks")
        raise InputError(
            f"{given}: not written by `memwatch run --json`: {reason}"
        ) from None
    return runs


def _from_schema_1(found: dict[str, Any]) -> dict[str, Any]:
    """The same in schema 2, in which a cell's `index` is its `cell_index`."""

    def converted(notebook: Any) -> Any:
        if not isinstance(notebook, dict) or not isinstance(
            notebook.get("cells"), list
        ):
            return notebook
        cells = [
            {"cell_index" if key == "index" else key: each[key] for key in each}
            if isinstance(each, dict)
            else each
            for each in notebook["cells"]
        ]
        return notebook | {"cells": cells, "schema": SCHEMA}

    notebooks = [converted(each) for each in found["notebooks"]]
    return found | {"schema": SCHEMA, "notebooks": notebooks}
