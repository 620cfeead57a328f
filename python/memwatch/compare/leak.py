"""Whether code that runs again and again takes more memory each time."""

from __future__ import annotations

import random
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

from ..display.units import in_mib, printable
from .statistics import Estimate

RUNS = 20
"""Of a leak test, if their number is not given."""

FEWEST_RUNS = 8

_LEAST: dict[str, int] = {"python_bytes": 256, "malloc_bytes": 256, "rss_bytes": 4096}
"""The growth per run that can be shown in each figure.

Python's free lists grow by an object a run until they are full; RSS counts pages.
"""

NO_CACHE = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
"""The environment of a process in which malloc's figure has no caches of threads."""

_CACHED_BYTES = 4096
"""With caches: they fill in the first dozens of runs, by a KiB a run."""

_WHERE = {
    "python_bytes": "in Python objects",
    "malloc_bytes": "in C, by malloc()",
    "rss_bytes": "in mapped memory",
}
_STEADY = 0.8
"""A leak grows in so many of the runs; caches and arenas grow in a few."""
_STEP_BYTES = 256 * 1024
_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class LeakVerdict:
    """What a leak test has shown."""

    state: Literal["leaks", "settles", "none"]
    runs: int
    growth: Estimate | None = None
    """Bytes per run, of a leak."""
    where: str | None = None
    settled_after: int | None = None
    """The last run that took more memory."""
    bound_bytes: int | None = None
    """Without a leak: a larger one would have been seen."""
    types: tuple[tuple[str, int], ...] = ()
    """Types with more objects than before, and how many more."""

    def __str__(self) -> str:
        if self.state == "leaks":
            assert self.growth is not None
            low, high = (_plain(each) for each in (self.growth.low, self.growth.high))
            text = (
                f"leaks {_plain(self.growth.value)} a run, {self.where}"
                f" (95 % interval {low} to {high}; {self.runs} runs)"
            )
        elif self.state == "settles":
            plural = "" if self.settled_after == 1 else "s"
            text = (
                f"settles after {self.settled_after} run{plural}:"
                f" no leak above {_plain(self.bound_bytes or 0)} a run can be shown"
                f" in {self.runs} runs"
            )
        else:
            text = (
                f"no leak above {_plain(self.bound_bytes or 0)} a run can be shown"
                f" in {self.runs} runs"
            )
        grown = [f"  {count:+,} {printable(name)}" for name, count in self.types]
        return "\n".join([text, *grown])

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON; bytes."""
        growth = None if self.growth is None else vars(self.growth)
        return {**vars(self), "growth": growth, "types": dict(self.types)}


def warm_up(runs: int) -> int:
    """How many of the first runs do not count: they fill caches."""
    return max(2, runs // 4)


def judge(
    readings: Sequence[Mapping[str, int | None]],
    types: Mapping[str, int],
    *,
    has_cache: bool = False,
) -> LeakVerdict:
    """The verdict on the readings after each run, of the figures in `_LEAST`.

    A figure that is unknown is None in all readings. `types`: how many more objects of
    each type there were at the end than after the warm-up. `has_cache`: the process
    did not have NO_CACHE.

    >>> steady = [{"rss_bytes": 2**20 * n, "python_bytes": None, "malloc_bytes": None}
    ...           for n in range(20)]
    >>> str(judge(steady, {}))
    'leaks 1 MiB a run, in mapped memory (95 % interval 1 MiB to 1 MiB; 20 runs)'
    """
    runs = len(readings)
    skipped = warm_up(runs)
    found: dict[str, tuple[Estimate, bool]] = {}
    for name, least in _LEAST.items():
        if name == "malloc_bytes" and has_cache:
            least = _CACHED_BYTES
        values = (each.get(name) for each in readings)
        known = [each for each in values if each is not None]
        if len(known) == runs:
            found[name] = _growth(_steps(known)[skipped:], least)
    leaking = [name for name, (_, is_leak) in found.items() if is_leak]
    if leaking:
        # What Python allocates is part of malloc's figure, or of RSS.
        most = max(leaking, key=lambda name: found[name][0].value)
        least_count = _STEADY * (runs - skipped - 1)
        grown = [each for each in types.items() if each[1] >= least_count]
        grown.sort(key=lambda each: -each[1])
        return LeakVerdict(
            state="leaks",
            runs=runs,
            growth=found[most][0],
            where=_WHERE[leaking[0]],
            types=tuple(grown[:5]),
        )
    fine = [name for name in found if name != "rss_bytes"] or list(found)
    highest = max((found[name][0].high for name in fine), default=0.0)
    bound = max(4096, 1024 * -(-int(highest) // 1024))
    resident = [each.get("rss_bytes") or 0 for each in readings]
    grew = [i for i, step in enumerate(_steps(resident), 2) if step > _STEP_BYTES]
    if grew and grew[-1] <= runs // 2:
        return LeakVerdict(
            state="settles", runs=runs, settled_after=grew[-1], bound_bytes=bound
        )
    return LeakVerdict(state="none", runs=runs, bound_bytes=bound)


def _steps(values: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise(values)]


def _growth(steps: Sequence[int], least: int) -> tuple[Estimate, bool]:
    """The mean step with its interval, and whether it is a leak."""
    drawn = random.Random(0)
    means = sorted(fmean(drawn.choices(steps, k=len(steps))) for _ in range(_RESAMPLES))
    edge = round(0.025 * _RESAMPLES)
    found = Estimate(fmean(steps), means[edge], means[-1 - edge])
    grown = sum(step >= least for step in steps)
    return found, found.low >= least and grown >= _STEADY * len(steps)


def _plain(size_bytes: float) -> str:
    if abs(size_bytes) < 2**20:
        return f"{size_bytes / 1024:.3g} KiB"
    return f"{in_mib(round(size_bytes)):.3g} MiB"


# ---- what is read after each run ----


class HeapReader:
    """Reads what this process has allocated, after each of `runs` runs.

    Python objects are counted by tracemalloc, which slows code down to a half or less
    while the reader is open. Keeps nothing that grows from run to run.
    """

    def __init__(self, runs: int) -> None:
        import tracemalloc

        self._tracemalloc = tracemalloc
        self._has_started = not tracemalloc.is_tracing()
        if self._has_started:
            tracemalloc.start(1)
        self._until_warm = warm_up(runs)
        # The first use allocates, too.
        self._types = _count_types()

    def read(self) -> dict[str, int | None]:
        """``python_bytes`` and ``malloc_bytes``; None: unknown.

        Without garbage: cycles are collected before.
        """
        import gc

        from .. import _core

        gc.collect()
        self._until_warm -= 1
        if self._until_warm == 0:
            self._types = _count_types()
        stats = _core.malloc_stats()
        return {
            "python_bytes": self._tracemalloc.get_traced_memory()[0],
            "malloc_bytes": None if stats is None else stats["in_use_bytes"],
        }

    def grown_types(self) -> dict[str, int]:
        """How many more objects of each type there are than after the warm-up."""
        return {
            name: count - self._types.get(name, 0)
            for name, count in _count_types().items()
            if count > self._types.get(name, 0)
        }

    def close(self) -> None:
        """Stop tracemalloc, unless somebody else had started it."""
        if self._has_started:
            self._tracemalloc.stop()


def _count_types() -> dict[str, int]:
    """How many objects of each type the garbage collector tracks."""
    import gc
    from collections import Counter

    names = Counter(
        f"{type(each).__module__}.{type(each).__qualname__}".removeprefix("builtins.")
        for each in gc.get_objects()
    )
    return dict(names)


class LeakTest:
    """A leak test in this process: after_run() after each of `runs` runs.

    Keeps nothing that grows from run to run.
    """

    def __init__(self, runs: int) -> None:
        self._done = 0
        self._figures = {name: array("q", bytes(8 * runs)) for name in _LEAST}
        self._unknown: set[str] = set()
        self._reader = HeapReader(runs)

    def after_run(self, rss_bytes: int | None) -> None:
        """Read what is allocated; `rss_bytes` is RSS at the end of the run."""
        self._keep("rss_bytes", rss_bytes)
        for name, value in self._reader.read().items():
            self._keep(name, value)
        self._done += 1

    def _keep(self, name: str, value: int | None) -> None:
        if value is None:
            self._unknown.add(name)
        else:
            self._figures[name][self._done] = value

    def verdict(self) -> LeakVerdict:
        """After the last run."""
        known = self._figures.keys() - self._unknown
        readings = [
            {name: self._figures[name][i] for name in known} for i in range(self._done)
        ]
        return judge(readings, self._reader.grown_types(), has_cache=True)

    def close(self) -> None:
        """Stop tracemalloc; call it in any case."""
        self._reader.close()
