"""Time added to a trivial cell."""

from __future__ import annotations

import ast
import re
import statistics
import time

from benchmarks.cost.loaded_kernels import RESULTS, bare_name, loaded_kernels
from benchmarks.helpers.kernels import Kernel, kernel
from benchmarks.helpers.peers import MEMWATCH, Tool

FLOOR_KERNELS = 5


def trivial_cell(tools: list[Tool]) -> dict[str, float]:
    """Seconds added to ``x = 1``."""
    times = {tool.name: 3 if tool.slow else 100 for tool in tools}
    spent: dict[str, list[float]] = {}
    with loaded_kernels(tools) as kernels:
        cells = {tool.name: tool.cell("x = 1") for tool in tools}
        for running in kernels.values():
            running.run(f"import os, trivial\nos.chdir({str(RESULTS)!r})")
        for _ in range(7):
            for name, running in kernels.items():
                cell = cells.get(name, "x = 1")
                values = run_trivial(running, cell, times.get(name, 100))
                spent.setdefault(name, []).append(statistics.median(values))
    medians = {name: statistics.median(values) for name, values in spent.items()}
    return {tool.name: medians[tool.name] - medians[bare_name(tool)] for tool in tools}


def run_trivial(running: Kernel, cell: str, times: int) -> list[float]:
    running.run(f"trivial.measure(get_ipython(), {cell!r}, {times})")
    while True:
        # They run between this cell and one of the next.
        printed = running.run("print('spent', trivial.spent)")
        values = re.search(r"^spent \[(.*)\]", printed, re.M)[1].split(", ")
        if len(values) == times:
            return [float(value) for value in values]


def in_floors() -> dict[str, float]:
    """Microseconds that memwatch, its line included, and three system calls by hand
    add to a trivial cell, and what these take in a loop: medians of several kernels,
    because where a kernel's memory happens to lie changes its figure by a tenth.
    """
    runs = [in_floors_of_one_kernel() for _ in range(FLOOR_KERNELS)]
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def in_floors_of_one_kernel() -> dict[str, float]:
    """The same in one kernel, in turn."""
    with kernel(MEMWATCH.environment.python) as running:
        running.run("import memwatch, os, trivial")
        running.run(f"os.chdir({str(RESULTS)!r})\n%load_ext memwatch")
        running.run(
            "trivial.measure_in_floors(get_ipython(), memwatch.start_watching_memory,"
            " memwatch.stop_watching_memory)"
        )
        while "}" not in (printed := running.run("print(trivial.floors or '')")):
            time.sleep(0.1)
    return ast.literal_eval(printed[: printed.index("}") + 1])
