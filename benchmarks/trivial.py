"""How long a trivial cell takes, from inside the kernel: no messages, no client.

The cells run from the kernel's event loop when the cell that asks has ended, so that
each is a cell of its own and none runs inside another. Standard library only.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

spent: list[float] = []
"""Seconds a cell of the last measure()."""

floors: dict[str, float] = {}
"""Microseconds, of the last measure_in_floors()."""

_ROUNDS = 40
_CELLS = 25


def measure(shell: Any, cell: str, times: int) -> None:
    """Have `cell` run `times` times soon."""
    spent.clear()
    asyncio.get_event_loop().call_later(0.2, _run, shell, cell, times)


def _run(shell: Any, cell: str, times: int) -> None:
    for _ in range(times):
        start = time.perf_counter()
        shell.run_cell(cell, store_history=True)
        spent.append(time.perf_counter() - start)


def measure_in_floors(
    shell: Any, start: Callable[[], None], stop: Callable[[], None]
) -> None:
    """Have trivial cells run soon, in turn with memwatch and without.

    The floor is what no tool can do without: one write to clear_refs, one read of
    statm, one of status. It is measured twice: in a loop, and in place, by a hook of a
    cell, where the processor's caches hold IPython's code and not this.
    """
    floors.clear()
    asyncio.get_event_loop().call_later(0.2, _run_in_floors, shell, start, stop)


def _run_in_floors(
    shell: Any, start: Callable[[], None], stop: Callable[[], None]
) -> None:
    status = os.open("/proc/self/status", os.O_RDONLY)
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    clear_refs = os.open("/proc/self/clear_refs", os.O_WRONLY)
    in_place: list[float] = []

    def floor() -> None:
        os.pwrite(clear_refs, b"5", 0)
        os.pread(statm, 256, 0)
        os.pread(status, 4096, 0)

    def hook(_: object) -> None:
        in_place.append(timed(floor))

    def timed(work: Callable[[], object]) -> float:
        begun = time.perf_counter_ns()
        work()
        return (time.perf_counter_ns() - begun) / 1000

    def cell() -> None:
        shell.run_cell("x = 1", store_history=True)

    # Each round's own median: what slows the machine down slows all three.
    rounds: dict[str, list[float]] = {"floor": [], "in place": [], "adds": []}
    for _ in range(_ROUNDS):
        rounds["floor"].append(statistics.median(timed(floor) for _ in range(_CELLS)))
        in_place.clear()
        shell.events.register("pre_run_cell", hook)
        for _ in range(_CELLS):
            cell()
        shell.events.unregister("pre_run_cell", hook)
        rounds["in place"].append(statistics.median(in_place))
        without = statistics.median(timed(cell) for _ in range(_CELLS))
        start()
        cell()
        under_watch = statistics.median(timed(cell) for _ in range(_CELLS))
        stop()
        rounds["adds"].append(under_watch - without)
    for descriptor in (status, statm, clear_refs):
        os.close(descriptor)
    floors.update({name: statistics.median(values) for name, values in rounds.items()})
