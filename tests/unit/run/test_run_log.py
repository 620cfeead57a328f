"""Results from the events of a notebook whose worker died."""

from __future__ import annotations

import pytest

from memwatch import CellReport
from memwatch.run.dask.run_log import Attempts
from memwatch.run.results import CellRun, NotebookRun
from support import MIB

pytest.importorskip("distributed")


def message(kind, attempt=1, **more):
    title = {"kind": kind, "attempt": attempt, "worker": "tcp://w:1", "host": "h"}
    return {**title, "reported_at": "2026-11-22T12:00:00.000+00:00", "cells": 2, **more}


def sent(index, attempt=1, rss_bytes=50 * MIB):
    figures = {"rss_bytes": rss_bytes, "kernel_pid": 7, "cell_id": None}
    text = {"source": f"cell {index}"}
    return message("cell", attempt, cell_index=index, **figures, **text)


def empty_run():
    cells = [
        CellRun(cell_index=n, state="not run", source=f"cell {n}") for n in range(2)
    ]
    return NotebookRun(notebook="a", cells=cells)


def test_events_of_a_notebook_that_died():
    attempts = Attempts()
    report = CellReport(label="In [1]", rss_peak_bytes=90 * MIB).to_dict()
    for each in (
        message("begun"),
        sent(0),
        message("closed", cell_index=0, state="ok", report=report),
        sent(1, rss_bytes=60 * MIB),
        message("sample", rss_bytes=80 * MIB),
        message("sample", rss_bytes=70 * MIB),
        message("sample", rss_bytes=None),
    ):
        assert attempts.receive(each)
    assert attempts.current == (1, "tcp://w:1")
    died = attempts.lost(empty_run(), "died", 1, lambda where: f"gone {where}")
    assert died.message == (
        "gone in code cell 2 of 2 (cell 1) at 70.00 MiB, its last sample"
    )
    assert [each.state for each in died.cells] == ["ok", "died"]
    cell = died.cells[1].report
    figures = (cell.rss_start_bytes, cell.rss_peak_bytes, cell.rss_end_bytes)
    assert figures == (60 * MIB, 80 * MIB, 70 * MIB)
    assert (cell.used_bytes, cell.peaked_bytes) == (10 * MIB, 10 * MIB)
    assert (cell.peak_method, cell.status) == ("sampled", "died")
    assert died.rss_peak_bytes == 90 * MIB
    assert (died.host, died.kernel_pid) == ("h", 7)


def test_late_event_is_of_the_old_attempt():
    attempts = Attempts()
    assert attempts.receive(message("begun"))
    assert attempts.receive(message("begun", attempt=3))
    assert not attempts.receive(message("sample", rss_bytes=1))
    found = attempts.with_losses(NotebookRun(notebook="a", attempts=3))
    assert found.message == (
        "attempt 1 was lost with the worker tcp://w:1 before its first cell;"
        " attempt 2 was lost with its worker before its first event"
    )


def test_of_one_that_was_never_heard_of():
    found = Attempts().lost(
        empty_run(), "interrupted", 1, lambda where: f"over {where}"
    )
    assert (found.message, found.attempts) == ("over before its first cell", 1)
    assert [each.state for each in found.cells] == ["not run"] * 2
