"""What a full history keeps, and how long looking at it takes.

10,000 reports with full timelines, in a process that has nothing else to do. Prints
MiB of RSS, and milliseconds: the middle and the worst of several.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import memwatch
from benchmarks.helpers import process

MIB = 2**20
REPORTS = 10_000
POINTS = 512


def rss() -> int:
    gc.collect()
    return process.rss_bytes(os.getpid())


def report(number: int) -> memwatch.CellReport:
    used = number * 7919 % 10_007 * 4096
    return memwatch.CellReport(
        label=f"In [{number}]",
        execution_count=number,
        cell_id=f"{number:036d}",
        source=f"frame_{number} = load(path_{number}, columns=['a', 'b'])",
        started_at=f"2026-11-22T10:00:00.{number % 1000:03d}+00:00",
        duration_ns=10**9 + number,
        rss_start_bytes=100 * MIB,
        rss_end_bytes=100 * MIB + used,
        rss_peak_bytes=200 * MIB + number,
        used_bytes=used,
        peaked_bytes=100 * MIB + number - used,
        drift_bytes=4096 + number,
        peak_method="kernel",
        peak_error_bytes=765_952 + number % 2,
        anon_bytes=60 * MIB + used,
        file_bytes=30 * MIB + number,
        shmem_bytes=10 * MIB - number,
        swap_bytes=0,
        timeline={
            "t_ns": array("q", range(number, number + POINTS)),
            "rss_bytes": array("q", range(number, number + POINTS)),
        },
    )


def milliseconds(action: Callable[[], object], times: int) -> str:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            action()
        taken.append((time.perf_counter() - start) * 1e3)
    return f"{statistics.median(taken):8.1f} ms (worst of {times}: {max(taken):.1f})"


def main() -> None:
    shell = InteractiveShell.instance(config=Config({"HistoryManager.enabled": False}))
    shell.run_line_magic("load_ext", "memwatch")
    shell.run_line_magic("memwatch", "off")
    report(0)
    before = rss()
    for number in range(REPORTS):
        memwatch.history.append(report(number))
    kept = rss() - before
    shaped = sum(each.timeline is not None for each in memwatch.history)
    print(f"{REPORTS:,} reports of {POINTS} points, {sys.version.split()[0]}")
    print(f"kept               {kept / MIB:8.1f} MiB; {shaped:,} still have a timeline")
    memwatch_magic = partial(shell.run_line_magic, "memwatch")
    for typed in "top", "top 100", "history", "last":
        taken = milliseconds(partial(memwatch_magic, typed), 31)
        print(f"%memwatch {typed:<11}{taken}")
    with tempfile.TemporaryDirectory() as folder:
        for ending in "csv", "json":
            path = Path(folder, f"kept.{ending}")
            taken = milliseconds(partial(memwatch_magic, f"save {path}"), 3)
            size = path.stat().st_size / MIB
            print(f"%memwatch save .{ending:<5}{taken}, {size:.1f} MiB")


if __name__ == "__main__":
    main()
