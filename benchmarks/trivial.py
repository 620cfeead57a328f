"""How long a trivial cell takes, from inside the kernel: no messages, no client.

The cells run from the kernel's event loop when the cell that asks has ended, so that
each is a cell of its own and none runs inside another. Standard library only.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

spent: list[float] = []
"""Seconds a cell of the last measure()."""


def measure(shell: Any, cell: str, times: int) -> None:
    """Have `cell` run `times` times soon."""
    spent.clear()
    asyncio.get_event_loop().call_later(0.2, _run, shell, cell, times)


def _run(shell: Any, cell: str, times: int) -> None:
    for _ in range(times):
        start = time.perf_counter()
        shell.run_cell(cell, store_history=True)
        spent.append(time.perf_counter() - start)
