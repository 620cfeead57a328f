"""Processor time, wake-ups, threads and descriptors, at rest and at work."""

from __future__ import annotations

import time

from benchmarks.cost.loaded_kernels import bare_name, loaded_kernels
from benchmarks.helpers import process
from benchmarks.helpers.kernels import Kernel
from benchmarks.helpers.peers import Tool

SPAN_S = 10


def at_rest_and_at_work(tools: list[Tool]) -> dict[str, dict[str, float]]:
    """Of each tool beyond a kernel without: shares of a processor over ten seconds at
    rest and over a cell of ten seconds that sleeps; threads and descriptors after
    twenty cells. And of memwatch's thread by itself.
    """
    found: dict[str, dict[str, float]] = {}
    with loaded_kernels(tools) as kernels:
        for name, running in kernels.items():
            running.run("import time")
            for _ in range(20):
                running.run("x = 1")
            found[name] = {
                "threads": process.threads(running.pid),
                "descriptors": process.descriptors(running.pid),
            }
        time.sleep(1)
        before = {name: reading(running) for name, running in kernels.items()}
        time.sleep(SPAN_S)
        for name, running in kernels.items():
            after = reading(running)
            for what, value in after.items():
                found[name][f"rest: {what}"] = value - before[name][what]
        for name, running in kernels.items():
            before[name] = reading(running)
            running.run(f"time.sleep({SPAN_S})")
            for what, value in reading(running).items():
                found[name][f"work: {what}"] = value - before[name][what]
    for tool in tools:
        bare = found[bare_name(tool)]
        found[tool.name] = {
            what: value if "sampler" in what else value - bare[what]
            for what, value in found[tool.name].items()
        }
    return found


def reading(running: Kernel) -> dict[str, float]:
    return {
        "cpu": process.cpu_ns(running.pid) / 1e9 / SPAN_S,
        "wake-ups": process.wake_ups(running.pid),
        "sampler cpu": process.cpu_ns(running.pid, "memwatch") / 1e9 / SPAN_S,
        "sampler wake-ups": process.wake_ups(running.pid, "memwatch"),
    }
