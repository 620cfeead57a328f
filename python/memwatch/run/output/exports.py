"""Runs as JSON and CSV, and read back."""

from __future__ import annotations

import csv
import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast, get_args, get_type_hints

from ...files import drop_stdout, write_whole
from ...measure.history import COLUMNS
from ...optional import need
from ...report import CellReport, Timeline
from ..budgets.violations import Violation, first_line
from ..notebook_files import InputError, read_whole
from ..results import CellRun, NotebookRun

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = [
    "CSV_COLUMNS",
    "SCHEMA",
    "deliver",
    "load",
    "run_from_dict",
    "write_csv",
    "write_json",
    "write_notebook",
]

SCHEMA = 2
"""The version of the envelope that write_json() puts around the runs."""

CSV_COLUMNS = ("notebook", "notebook_state", "cell_index", "state", *COLUMNS)
"""One row a code cell: where it is, how it ended, and CellReport's fields but for
``timeline``."""

_MAX_BYTES = 2**30


def deliver(path: str | os.PathLike[str], pieces: Iterable[str]) -> None:
    """Make `pieces` the content of the file `path`, whole or not at all; ``-``: stdout.

    OSError, naming `path`, where it cannot be written.
    """
    if os.fspath(path) == "-":
        if sys.stdout is None:
            raise OSError(errno.EBADF, "stdout is closed")
        try:
            for piece in pieces:
                # As files have it: a lone surrogate is no reason to stop half-way.
                sys.stdout.write(piece.encode("utf-8", "backslashreplace").decode())
            sys.stdout.flush()
        except OSError:
            drop_stdout()
            raise
    else:
        write_whole(path, pieces)


def write_notebook(path: str | os.PathLike[str], notebook: NotebookNode) -> None:
    """The notebook as Jupyter writes it, whole or not at all; OSError."""
    # nbformat.writes() logs pages about one that is not valid.
    v4 = need("nbformat.v4", "run", "writing notebooks")
    text: str = v4.writes(notebook)
    write_whole(path, [text if text.endswith("\n") else text + "\n"])


def write_json(
    path: str | os.PathLike[str],
    runs: Sequence[NotebookRun],
    violations: Sequence[Violation] = (),
) -> None:
    """``{"schema": 2, "memwatch": VERSION, "notebooks": [...], "violations": [...]}``.

    A notebook is ``NotebookRun.to_dict()``, a violation ``Violation.to_dict()``.
    OSError as of deliver().
    """
    # Whatever stdout's encoding is, it has ASCII.
    deliver(path, _json_pieces(runs, violations, to_ascii=os.fspath(path) == "-"))


def _json_pieces(
    runs: Sequence[NotebookRun], violations: Sequence[Violation], to_ascii: bool
) -> Iterator[str]:
    from ... import __version__

    head = json.dumps({"schema": SCHEMA, "memwatch": __version__})
    yield head[:-1]
    for name, each in (("notebooks", runs), ("violations", violations)):
        yield f', "{name}": ['
        before = "\n"
        for one in each:
            yield before + json.dumps(one.to_dict(), ensure_ascii=to_ascii)
            before = ",\n"
        yield "\n]"
    yield "}\n"


def write_csv(path: str | os.PathLike[str], runs: Iterable[NotebookRun]) -> None:
    """RFC 4180 in UTF-8: a line with CSV_COLUMNS, then one for each code cell.

    What is not known is empty, as are a cell's figures where it was not run. OSError
    OSError as of deliver().
    """
    deliver(path, _csv_pieces(runs))


def _csv_pieces(runs: Iterable[NotebookRun]) -> Iterator[str]:
    rows: list[str] = []
    # A file, as far as csv wants one.
    writer = csv.writer(SimpleNamespace(write=rows.append), lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    yield rows.pop()
    for run in runs:
        for cell in run.cells:
            figures = [getattr(cell.report, name, None) for name in COLUMNS]
            if cell.report is None:
                figures[COLUMNS.index("source")] = first_line(cell)
                figures[COLUMNS.index("schema")] = None
            writer.writerow(
                [run.notebook, run.state, cell.cell_index, cell.state, *figures]
            )
        yield "".join(rows)
        rows.clear()


# ---- back again ----


def load(path: str | os.PathLike[str]) -> list[NotebookRun]:
    """The runs that write_json() wrote to the file `path`.

    InputError, one clear line, for any other file. What a newer memwatch adds to a
    cell's fields is passed over.
    """
    told = os.fspath(path)
    data = read_whole(told, _MAX_BYTES)
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{told}: invalid JSON ({error}); expected a file written by `memwatch"
            " run --json`"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("notebooks"), list):
        other = ""
        if isinstance(found, dict) and "reports" in found:
            other = "; it is the history of a session"
        if isinstance(found, dict) and "nbformat" in found:
            other = "; it is a notebook"
        raise InputError(f"{told}: not written by `memwatch run --json`{other}")
    if found.get("schema") == 1:
        found = _from_schema_1(found)
    if found.get("schema") != SCHEMA:
        raise InputError(
            f"{told}: schema {found.get('schema')} of memwatch"
            f" {found.get('memwatch')}: expected {SCHEMA} or 1; run the notebooks again"
        )
    try:
        return [run_from_dict(each) for each in found["notebooks"]]
    except _UnfitError as error:
        raise InputError(
            f"{told}: not written by `memwatch run --json`: {error}"
        ) from None


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


class _UnfitError(ValueError):
    pass


def run_from_dict(values: Any) -> NotebookRun:
    """What NotebookRun.to_dict() was made of; ValueError, saying what does not fit."""
    given = _fitting(NotebookRun, values, {"cells"})
    cells = values.get("cells")
    if not isinstance(cells, list):
        raise _UnfitError("cells is not a list")
    return NotebookRun(**given, cells=[_cell(each) for each in cells])


def _cell(values: Any) -> CellRun:
    given = _fitting(CellRun, values, {"report"})
    report = values.get("report")
    return CellRun(**given, report=None if report is None else _report(report))


def _report(values: Any) -> CellReport:
    given = _fitting(CellReport, values, {"timeline"})
    timeline = values.get("timeline")
    if timeline is not None and not (
        isinstance(timeline, dict)
        and all(_integers(timeline.get(name)) for name in ("t_ns", "rss_bytes"))
    ):
        raise _UnfitError("timeline is not a pair of series")
    return CellReport(**given, timeline=cast("Timeline | None", timeline))


def _integers(series: Any) -> bool:
    return isinstance(series, list) and all(type(each) is int for each in series)


def _fitting(kind: type, values: Any, apart: set[str]) -> dict[str, Any]:
    """Those of `values` that `kind` has, each of the type that it is to have."""
    if not isinstance(values, dict):
        raise _UnfitError(f"a {kind.__name__} is not an object")
    hints = _hints(kind)
    given = {}
    for each in fields(kind):
        name = each.name
        if name in apart:
            continue
        if name not in values:
            if name in _NEEDED:
                raise _UnfitError(f"{name} is missing")
            continue
        value = values[name]
        if not _fits(value, hints[name]):
            raise _UnfitError(f"{name} is {str(value)[:40]!r}")
        given[name] = value
    return given


_NEEDED = {"notebook", "cell_index", "state"}


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _fits(value: Any, hint: Any) -> bool:
    if hint is type(None):
        return value is None
    if isinstance(hint, type):
        return type(value) is hint
    # A union's parts are types, a Literal's the values themselves.
    return any(
        _fits(value, each) if not isinstance(each, str) else value == each
        for each in get_args(hint)
    )
