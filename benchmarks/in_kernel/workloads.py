"""Work that tools may slow down: run in kernels, or as a script with a name.

Each takes about a quarter of a second here. A script prints how long it took, in
seconds, start-up apart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any


def loop() -> None:
    """Pure Python: adds up."""
    total = 0
    for number in range(6_000_000):
        total += number


def objects() -> None:
    """A million small objects, made and dropped."""
    kept = [str(number) for number in range(1_000_000)]
    del kept


@cache
def _array() -> Any:
    import numpy

    return numpy.arange(5_000_000, dtype=float)


def numpy_() -> None:
    """Temporaries of 40 MiB, mapped and unmapped by each operation."""
    array = _array()
    for _ in range(12):
        (array * 2 + 1).sum()


@cache
def _frame() -> Any:
    import numpy
    import pandas

    numbers = numpy.arange(1_000_000)
    return pandas.DataFrame({"key": numbers % 1000, "value": numbers * 0.5})


def pandas_() -> None:
    """Group-bys over a million rows."""
    frame = _frame()
    for _ in range(6):
        frame.groupby("key")["value"].agg(["sum", "mean", "max"])


WORKLOADS: dict[str, tuple[str, Callable[[], None]]] = {
    "loop": ("pure-Python loop", loop),
    "objects": ("a million small objects", objects),
    "numpy": ("NumPy temporaries", numpy_),
    "pandas": ("pandas group-by", pandas_),
}


def timed(name: str) -> float:
    """Run it; how long it took, in seconds."""
    work = WORKLOADS[name][1]
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    timed(sys.argv[1])  # imports, and what the first run makes
    print("seconds", timed(sys.argv[1]))
