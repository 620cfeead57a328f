"""Runs as one self-contained HTML page: ``--html REPORT``."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from ...display import lines
from ...display.units import mib, seconds
from ...files import deliver
from ...measure import capabilities
from ...measure.capability_text import SET_BY
from ...optional import need
from ...report import CellReport, telling_line
from ..budgets.violations import (
    Violation,
    describe_figure,
    label_of,
    once,
    used_by,
)
from ..results import CellRun, CellState, NotebookRun
from .curve import curve

_UNKNOWN = "\N{EN DASH}"
_LONGEST_SOURCE = 20_000
"""Characters of a cell's text: a longer one is data."""


def write_page(
    path: str | os.PathLike[str],
    runs: Sequence[NotebookRun],
    violations: Sequence[Violation] = (),
) -> None:
    """Write render() to the file `path`. OSError, MissingLibraryError."""
    deliver(path, [render(runs, violations)])


_STATES: dict[str, CellState] = {
    "ok": "ok",
    "interrupted": "interrupted",
    "died": "died",
}


def write_session(
    path: str | os.PathLike[str], reports: Sequence[CellReport], name: str
) -> None:
    """Write the page of a session: its reports as the cells of one notebook.

    OSError, MissingLibraryError.
    """
    cells = [
        CellRun(
            cell_index=index,
            state=_STATES.get(each.status, "error"),
            report=each,
            source=each.source or "",
        )
        for index, each in enumerate(reports)
    ]
    limit = capabilities.find_limit({})[0]
    run = NotebookRun(
        notebook=name,
        host=socket.gethostname(),
        started_at=reports[0].started_at if reports else None,
        limit_bytes=limit["limit_bytes"],
        limit_set_by=limit["set_by"],
        duration_ns=sum(each.duration_ns or 0 for each in reports),
        rss_peak_bytes=max((each.peak_bytes or 0 for each in cells), default=None),
        cells=cells,
    )
    count = "1 report" if len(cells) == 1 else f"{len(cells):,} reports"
    deliver(path, [render([run], title=f"{name}: {count}")])


def render(
    runs: Sequence[NotebookRun],
    violations: Sequence[Violation] = (),
    title: str | None = None,
) -> str:
    """The page, as text; without `title` it is titled by what ended how.

    It loads nothing and runs only its own script: texts of notebooks are escaped, and a
    content security policy forbids the rest. Tables can be sorted by any column.
    MissingLibraryError without jinja2.
    """
    what = "--html" if title is None else "%memwatch report"
    jinja2 = need("jinja2", "run", what)
    from ... import __version__

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = _part("page.css"), _part("page.js")
    text: str = environment.from_string(_part("page.html")).render(
        version=__version__,
        style=jinja2.utils.markupsafe.Markup(style),
        script=jinja2.utils.markupsafe.Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        markup=jinja2.utils.markupsafe.Markup,
        summary=title or summarize(runs, violations),
        notebooks=[_notebook(i, run, violations) for i, run in enumerate(runs)],
        violations=[_violation(*each, runs) for each in once(violations)],
    )
    return text


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def summarize(runs: Sequence[NotebookRun], violations: Sequence[Violation]) -> str:
    """``3 notebooks: 2 ok, 1 died; 4 over budget``."""
    states: dict[str, int] = {}
    for run in runs:
        states[run.state] = states.get(run.state, 0) + 1
    count = "1 notebook" if len(runs) == 1 else f"{len(runs)} notebooks"
    ended = ", ".join(f"{number} {state}" for state, number in states.items())
    raised = sum(run.raised for run in runs)
    # Without those that failed their notebook.
    raised -= sum(run.state == "error" and run.raised > 0 for run in runs)
    if raised:
        ended += f"; {raised} cell{'' if raised == 1 else 's'} raised"
    over = f"; {len(once(violations))} over budget" if violations else ""
    return f"{count}: {ended}{over}" if runs else f"no notebooks{over}"


def _notebook(
    number: int, run: NotebookRun, violations: Sequence[Violation]
) -> dict[str, Any]:
    own = [each for each in violations if each.notebook == run.notebook]
    row = f"n{number}c"
    used = used_by(run)
    return {
        "id": f"n{number}",
        "name": run.notebook,
        "state": run.state,
        "message": run.message,
        "facts": _facts(run),
        "ran": run.executed,
        "count": len(run.cells),
        "used": _size(used),
        "peak": _size(run.peak_bytes),
        "time": _time(run.duration_ns),
        "is_over": bool(own),
        "violations": [
            describe_figure(each) for each in own if each.cell_index is None
        ],
        "curve": curve(run, own, row),
        "cells": [_cell(f"{row}{cell.cell_index}", cell, own) for cell in run.cells],
    }


def _facts(run: NotebookRun) -> list[tuple[str, str]]:
    limit = None
    if run.limit_bytes is not None:
        by = SET_BY.get(run.limit_set_by or "", run.limit_set_by)
        limit = f"{mib(run.limit_bytes)} MiB{f', {by}' if by else ''}"
    facts = {
        "kernel": run.kernel_name,
        "started": run.started_at,
        "host": run.host,
        "memory limit": limit,
        "written to": run.output,
        "attempts": str(run.attempts) if run.attempts > 1 else None,
    }
    return [(name, value) for name, value in facts.items() if value]


def _cell(row: str, cell: CellRun, violations: Sequence[Violation]) -> dict[str, Any]:
    report = cell.report or CellReport()
    source = cell.source.strip("\n")
    more = len(source) - _LONGEST_SOURCE
    if more > 0:
        source = f"{source[:_LONGEST_SOURCE]}\n… {more:,} more characters"
    at_least = "≥ " if report.peak_method == "sampled" else ""
    return {
        "id": row,
        "cell_index": cell.cell_index,
        "label": label_of(cell),
        "state": cell.state,
        "first": telling_line(cell.source),
        "source": source,
        "used": _size(report.used_bytes),
        "peak": _size(cell.peak_bytes, at_least),
        "rise": _size(report.risen_bytes, at_least),
        "peaked": _size(report.peaked_bytes),
        "total": _size(report.rss_end_bytes),
        "time": _time(report.duration_ns),
        "children": lines.children(report),
        "violations": [
            describe_figure(each)
            for each in violations
            if each.cell_index == cell.cell_index
        ],
    }


def _violation(
    violation: Violation, later: Sequence[Violation], runs: Sequence[NotebookRun]
) -> dict[str, Any]:
    names = [run.notebook for run in runs]
    number = names.index(violation.notebook) if violation.notebook in names else 0
    place = "" if violation.cell_index is None else f"c{violation.cell_index}"
    return {
        "href": f"#n{number}{place}",
        "notebook": violation.notebook if len(runs) > 1 else None,
        "label": violation.label,
        "source": violation.source,
        "text": describe_figure(violation, later),
    }


def _size(size_bytes: int | None, before: str = "") -> dict[str, Any]:
    """The text, and the value to sort by."""
    if size_bytes is None:
        return {"text": _UNKNOWN, "value": ""}
    return {"text": before + mib(size_bytes), "value": size_bytes}


def _time(duration_ns: int | None) -> dict[str, Any]:
    if duration_ns is None:
        return {"text": _UNKNOWN, "value": ""}
    return {"text": seconds(duration_ns), "value": duration_ns}
