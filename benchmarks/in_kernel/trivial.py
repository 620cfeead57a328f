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
    """Have trivial cells run soon: as they are, with the floor, with memwatch; in turn.

    The floor is what no tool can do without: one write to clear_refs, one read of
    statm, one of status. "by hand": what these add to a cell when its hooks make them;
    "memwatch": what memwatch adds, its line included; "floor": the three in a loop,
    where the processor's caches hold nothing else and no call finds them cold.
    """
    floors.clear()
    asyncio.get_event_loop().call_later(0.2, _run_in_floors, shell, start, stop)


def _run_in_floors(
    shell: Any, start: Callable[[], None], stop: Callable[[], None]
) -> None:
    status = os.open("/proc/self/status", os.O_RDONLY)
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    clear_refs = os.open("/proc/self/clear_refs", os.O_WRONLY)

    def before(_: object = None) -> None:
        os.pwrite(clear_refs, b"5", 0)
        os.pread(statm, 256, 0)

    def after(_: object = None) -> None:
        os.pread(status, 4096, 0)

    def floor() -> None:
        before()
        after()

    def start_by_hand() -> None:
        shell.events.register("pre_run_cell", before)
        shell.events.register("post_run_cell", after)

    def stop_by_hand() -> None:
        shell.events.unregister("pre_run_cell", before)
        shell.events.unregister("post_run_cell", after)

    def cell() -> None:
        shell.run_cell("x = 1", store_history=True)

    def median_us(work: Callable[[], object]) -> float:
        times = []
        for _ in range(_CELLS):
            begun = time.perf_counter_ns()
            work()
            times.append(time.perf_counter_ns() - begun)
        return statistics.median(times) / 1000

    ways = {"by hand": (start_by_hand, stop_by_hand), "memwatch": (start, stop)}
    rounds: dict[str, list[float]] = {"floor": [], **{name: [] for name in ways}}
    for _ in range(_ROUNDS):
        rounds["floor"].append(median_us(floor))
        # Without on both sides, lest a machine that slows down count for one of them.
        without = median_us(cell)
        for name, (begin, end) in ways.items():
            begin()
            cell()
            under = median_us(cell)
            end()
            again = median_us(cell)
            rounds[name].append(under - (without + again) / 2)
            without = again
    for descriptor in (status, statm, clear_refs):
        os.close(descriptor)
    floors.update({name: statistics.median(values) for name, values in rounds.items()})
