"""Reports of many shapes, for charts."""

import random
from array import array
from dataclasses import replace

import pytest

from memwatch import CellReport
from support import MIB


def report(sizes, t_ns=None, **fields):
    """A report of samples that are 1 ms apart unless `t_ns` says otherwise."""
    sizes = [int(size) for size in sizes]
    t_ns = list(t_ns or range(0, len(sizes) * 10**6, 10**6))
    figures = {
        "label": "In [3]",
        "execution_count": 3,
        "duration_ns": t_ns[-1],
        "rss_start_bytes": sizes[0],
        "rss_end_bytes": sizes[-1],
        "rss_peak_bytes": max(sizes),
        "used_bytes": sizes[-1] - sizes[0],
        "peaked_bytes": max(sizes) - sizes[-1],
        "peak_method": "kernel",
        "timeline": {"t_ns": array("q", t_ns), "rss_bytes": array("q", sizes)},
    }
    return CellReport(**{**figures, **fields})


def noise(seed):
    dice = random.Random(seed)
    t_ns = sorted(dice.randrange(3600 * 10**9) for _ in range(512))
    return report([dice.randrange(2**40) for _ in range(512)], t_ns)


SHAPES = {
    "flat": report([50 * MIB] * 300),
    "jitter": report([50 * MIB + 4096 * (i % 3) for i in range(300)]),
    "ramp": report([50 * MIB + i * MIB for i in range(512)]),
    "spike": report([50 * MIB] * 200 + [900 * MIB] + [50 * MIB] * 200),
    "comb": report([(50 + 800 * (i % 2)) * MIB for i in range(512)]),
    "gave back": report([(600 - i) * MIB for i in range(512)]),
    "single point": report([50 * MIB]),
    "two points": report([50 * MIB, 70 * MIB], [0, 10**9]),
    "all at once": report([50 * MIB, 70 * MIB, 60 * MIB], [0, 0, 0]),
    "peak between samples": report([50 * MIB] * 300, rss_peak_bytes=450 * MIB),
    "sampled": report([50 * MIB, 90 * MIB], peak_method="sampled"),
    "long label": report([1, 2], label='"><script>alert(1)</script>&\x07\ud800' * 99),
    "wide label": report([1, 2], label="\U0001f9e0" * 99),
    "ancient": report([2**61, 2**62, 3], [0, 2**61, 2**62]),
    "no clock": report([50 * MIB, 70 * MIB], duration_ns=None, timeline=None),
    "no samples": report([50 * MIB, 70 * MIB], timeline=None),
    "nothing": CellReport(),
    **{f"noise {seed}": noise(seed) for seed in range(20)},
}


every_shape = pytest.mark.parametrize("name", SHAPES)


def session(*peaks):
    cells = []
    for number, peak in enumerate(peaks, 1):
        sizes = [50 * MIB, peak * MIB, 60 * MIB]
        cells.append(
            replace(report(sizes), label=f"In [{number}]", execution_count=number)
        )
    return cells
