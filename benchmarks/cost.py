"""What memwatch costs: a cell, a loop, the loading, the memory it keeps.

Times on a shared machine say little by themselves. So each is the median of many
short runs, what is compared runs in turn, and the limits are printed beside.
Exits with 1 where a limit is not kept.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from IPython.core.interactiveshell import InteractiveShell
from jupyter_client import KernelManager
from traitlets.config import Config

import memwatch
from memwatch import _core

rows: list[tuple[str, str, str, bool]] = []


def row(what: str, figure: float, unit: str, limit: float) -> None:
    kept = figure <= limit
    rows.append((what, f"{figure:.4g} {unit}", f"{limit:g} {unit}", kept))
    mark = "" if kept else "  <- not kept"
    print(f"{what:58}{figure:10.4g} {unit:4} at most {limit:g}{mark}", flush=True)


def note(what: str, figure: float, unit: str) -> None:
    print(f"{what:58}{figure:10.4g} {unit}", flush=True)


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


def hooks() -> None:
    """The pair of hooks as IPython calls it, in a shell where cells come and go."""
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

        in_turn = {floor: [], window: [], pair: []}
        paused = {floor: [], window: [], pair: []}
        for _ in range(60):
            for work in in_turn:
                in_turn[work].append(median_us(work, 50))
            for work in paused:
                for _ in range(3):
                    wait_until_parked()
                    time.sleep(0.001)
                    paused[work].append(median_us(work, 1))
        memwatch.unload_ipython_extension(shell)

    note(
        "floor: one write, one statm, one status, from Python",
        med(in_turn[floor]),
        "us",
    )
    note("the window alone, from Python", med(in_turn[window]), "us")
    row("the pair of hooks", med(in_turn[pair]), "us", 30)
    print("the same after a pause, with caches gone cold and the thread to be woken:")
    note("  floor", med(paused[floor]), "us")
    note("  window", med(paused[window]), "us")
    note("  pair of hooks", med(paused[pair]), "us")


def med(values: list[float]) -> float:
    return statistics.median(values)


LOADING = """
import os, time
def rss():
    return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGESIZE')
extensions = get_ipython().extension_manager
before, start = rss(), time.perf_counter()
extensions.load_extension('memwatch')
spent, grown = time.perf_counter() - start, rss() - before
print('figures', spent * 1e3, grown / 2**20)
"""


def loading() -> None:
    """In a fresh kernel each time: what the cell with %load_ext adds."""
    spent, grown = [], []
    for _ in range(11):
        manager = KernelManager()
        manager.start_kernel(extra_arguments=["--log-level=ERROR"])
        client = manager.blocking_client()
        client.start_channels()
        client.wait_for_ready(timeout=60)
        shown = io.StringIO()

        def keep(message: dict, shown: io.StringIO = shown) -> None:
            shown.write(message["content"].get("text", ""))

        client.execute_interactive("x = 1", output_hook=keep)
        client.execute_interactive(LOADING, output_hook=keep)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        (figures,) = (
            line for line in shown.getvalue().splitlines() if line.startswith("figures")
        )
        _, milliseconds, mib = figures.split()
        spent.append(float(milliseconds))
        grown.append(float(mib))
    row("loading the extension in a running kernel", med(spent), "ms", 15)
    row("loading it: RSS added", med(grown), "MiB", 1.5)


def loop() -> None:
    total = 0
    for number in range(6_000_000):
        total += number


def slow_down() -> None:
    """A loop under watch and without, in turn; and without against itself."""

    def watched() -> float:
        with memwatch.watch():
            return median_us(loop, 1)

    def bare() -> float:
        return median_us(loop, 1)

    pairs, noise = [], []
    loop()
    for turn in range(40):
        # Who goes first changes, lest a drifting machine favour one of them.
        if turn % 2:
            without, under = bare(), watched()
        else:
            under, without = watched(), bare()
        pairs.append(under / without)
        noise.append(bare() / bare())
    note("a pure-Python loop without, against itself", med(noise), "x")
    row("a pure-Python loop under watch, against without", med(pairs), "x", 1.005)


def size_of(report: memwatch.CellReport) -> int:
    """Everything that is kept for it, as Python counts."""
    values = [getattr(report, name) for name in report.__slots__]
    size = sys.getsizeof(report) + sum(map(sys.getsizeof, values))
    return size + sum(map(sys.getsizeof, report.timeline.values()))


def memory() -> None:
    with memwatch.watch() as w:
        time.sleep(2.8)  # until the timeline is full, and before it thins itself
    note(
        "points in the timeline of a cell of 2.8 s", len(w.report.timeline["t_ns"]), ""
    )
    row("memory kept of it", size_of(w.report) / 1024, "KiB", 16)
    with quiet_shell() as shell, contextlib.redirect_stdout(io.StringIO()):
        memwatch.load_ipython_extension(shell)
        for _ in range(200):
            shell.run_cell("x = 1", store_history=True)
        gc.collect()
        before = _core.memory()["rss_bytes"]
        for _ in range(3000):
            shell.run_cell("x = 1", store_history=True)
        gc.collect()
        grown = _core.memory()["rss_bytes"] - before
        memwatch.unload_ipython_extension(shell)
    row(
        "RSS kept of a trivial cell, IPython's part and all",
        grown / 3000 / 1024,
        "KiB",
        16,
    )


def main() -> int:
    print(
        f"memwatch {memwatch.__version__}, CPython {platform.python_version()},"
        f" Linux {platform.release()}, {os.cpu_count()} processors,"
        f" {time.strftime('%Y-%m-%d')}"
    )
    print(f"counters: {_core.accuracy()}\n")
    for benchmark in (hooks, loading, slow_down, memory):
        benchmark()
    return 0 if all(kept for *_, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
