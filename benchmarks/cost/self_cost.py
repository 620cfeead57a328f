"""What memwatch costs in its own process: the pair of hooks, the memory it keeps."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import memwatch
from memwatch import _core
from memwatch.blackbox import recording


def median_us(work: Callable[[], object], times: int) -> float:
    """Median of single runs, in microseconds."""
    spent = []
    for _ in range(times):
        start = time.perf_counter_ns()
        work()
        spent.append(time.perf_counter_ns() - start)
    return statistics.median(spent) / 1000


@contextlib.contextmanager
def quiet_shell() -> Iterator[InteractiveShell]:
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell.instance(config=config)
    yield shell
    InteractiveShell.clear_instance()


def wait_until_parked() -> None:
    while not _core.sampler()["parked"]:
        time.sleep(0.0002)


def hooks() -> dict[str, tuple[float, float]]:
    """Microseconds of the floor, of a window, and of the pair of hooks as IPython calls
    it, without and with a black box: in quick succession, and after a pause.
    """
    status = os.open("/proc/self/status", os.O_RDONLY)
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    clear_refs = os.open("/proc/self/clear_refs", os.O_WRONLY)

    def floor() -> None:
        os.pwrite(clear_refs, b"5", 0)
        os.pread(statm, 256, 0)
        os.pread(status, 4096, 0)

    with quiet_shell() as shell:
        memwatch.load_ipython_extension(shell)
        (magics,) = (
            each for each in shell.configurables if type(each).__name__ == "MemWatch"
        )
        watcher = magics.watcher
        watcher._on_report = lambda number, report: None  # printing apart
        result = shell.run_cell("x = 1", store_history=True)

        def pair() -> None:
            watcher._pre_run_cell(result.info)
            watcher._post_run_cell(result)

        def window() -> None:
            _core.Window().close()

        # The last with a black box, which is what is loaded; the others without.
        works = {"floor": floor, "window": window, "pair": pair, "recorded": pair}
        in_turn: dict[str, list[float]] = {name: [] for name in works}
        paused: dict[str, list[float]] = {name: [] for name in works}
        for _ in range(60):
            for name, work in works.items():
                recording.start() if name == "recorded" else recording.stop()
                in_turn[name].append(median_us(work, 50))
            for name, work in works.items():
                recording.start() if name == "recorded" else recording.stop()
                for _ in range(3):
                    wait_until_parked()
                    time.sleep(0.001)
                    paused[name].append(median_us(work, 1))
        memwatch.unload_ipython_extension(shell)
    for descriptor in (status, statm, clear_refs):
        os.close(descriptor)
    return {
        name: (statistics.median(in_turn[name]), statistics.median(paused[name]))
        for name in works
    }


def _size_of(report: memwatch.CellReport) -> int:
    """Everything that is kept for it, as Python counts."""
    values = [getattr(report, name) for name in report.__slots__]
    size = sys.getsizeof(report) + sum(map(sys.getsizeof, values))
    return size + sum(map(sys.getsizeof, report.timeline.values()))


def report_bytes() -> tuple[int, int]:
    """Bytes kept of a cell with a full timeline, and the points in it."""
    with memwatch.watch() as w:
        time.sleep(2.8)  # until the timeline is full, and before it thins itself
    return _size_of(w.report), len(w.report.timeline["t_ns"])


def rss_a_cell() -> float:
    """Bytes of RSS that a trivial cell leaves, IPython's part included."""
    cells = 3000
    with quiet_shell() as shell, contextlib.redirect_stdout(io.StringIO()):
        memwatch.load_ipython_extension(shell)
        for _ in range(200):
            shell.run_cell("x = 1", store_history=True)
        gc.collect()
        before = _core.memory()["rss_bytes"]
        for _ in range(cells):
            shell.run_cell("x = 1", store_history=True)
        gc.collect()
        grown = _core.memory()["rss_bytes"] - before
        memwatch.unload_ipython_extension(shell)
    return grown / cells
