"""Runs of notebooks made by hand, for tests of their outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from memwatch import CellReport
from memwatch.run.results import CellRun, NotebookRun
from support import MIB


def cell(
    index: int,
    source: str = "",
    *,
    state: str = "ok",
    start: float = 50,
    end: float | None = None,
    peak: float | None = None,
    number: int | None = None,
    cell_id: str | None = None,
    seconds: float = 1.0,
    **fields: Any,
) -> CellRun:
    """A cell that ran; sizes in MiB, its timeline rises to the peak and falls."""
    end = start if end is None else end
    peak = max(start, end) if peak is None else peak
    number = index + 1 if number is None else number
    start_bytes, end_bytes, peak_bytes = (
        round(each * MIB) for each in (start, end, peak)
    )
    duration_ns = round(seconds * 1e9)
    report = CellReport(
        label=f"In [{number}]",
        execution_count=number,
        cell_id=cell_id,
        source=source.partition("\n")[0][:120],
        started_at="2026-11-22T12:00:00.000Z",
        duration_ns=duration_ns,
        rss_start_bytes=start_bytes,
        rss_end_bytes=end_bytes,
        rss_peak_bytes=peak_bytes,
        used_bytes=end_bytes - start_bytes,
        peaked_bytes=peak_bytes - end_bytes,
        risen_bytes=peak_bytes - start_bytes,
        peak_method="kernel",
        peak_error_bytes=0,
        status=state if state in ("error", "interrupted", "died") else "ok",
        timeline={
            "t_ns": [0, duration_ns // 2, duration_ns],
            "rss_bytes": [start_bytes, peak_bytes, end_bytes],
        },
    )
    changed = replace(report, **fields)
    return CellRun(cell_index=index, state=state, source=source, report=changed)


def not_run(index: int, source: str = "never()") -> CellRun:
    return CellRun(cell_index=index, state="not run", source=source)


def run(*cells: CellRun, notebook: str = "nb/a.ipynb", **fields: Any) -> NotebookRun:
    peaks = [c.report.rss_peak_bytes for c in cells if c.report is not None]
    known = [each for each in peaks if each is not None]
    values = {
        "rss_peak_bytes": max(known, default=None),
        "kernel_name": "python3",
        "language": "python",
        "started_at": "2026-11-22T12:00:00.000Z",
        "duration_ns": 3 * 10**9,
    }
    return NotebookRun(notebook=notebook, cells=list(cells), **{**values, **fields})
