"""Time and memory of loading."""

from __future__ import annotations

import statistics

from benchmarks.helpers import process
from benchmarks.helpers.bootstrap import quotient
from benchmarks.helpers.kernels import kernel, seconds_in
from benchmarks.helpers.peers import IMU, Tool

MIB = 2**20


def loading(tools: list[Tool]) -> dict[str, dict[str, float]]:
    """Milliseconds and MiB that switching the tool on adds to a fresh kernel, and its
    time as a share of that of ipython_memory_usage in the same turn. Tools take turns.
    """
    times: dict[str, list[float]] = {tool.name: [] for tool in tools}
    sizes: dict[str, list[float]] = {tool.name: [] for tool in tools}
    for _ in range(7):
        for tool in tools:
            with kernel(tool.environment.python) as running:
                running.run("import time; None")
                before = process.rss_bytes(running.pid)
                printed = running.run(
                    f"begun = time.perf_counter()\n{tool.load}\n"
                    "print('seconds', time.perf_counter() - begun)"
                )
                grown = process.rss_bytes(running.pid) - before
                sizes[tool.name].append(grown / MIB)
                times[tool.name].append(seconds_in(printed) * 1e3)
    return {
        name: {
            "ms": statistics.median(spent),
            "MiB": statistics.median(sizes[name]),
            "share": quotient(spent, times[IMU.name]).value,
        }
        for name, spent in times.items()
    }
