"""Medians, and how far they can be trusted."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Median:
    """A median and the interval that holds it in 95 of 100 resamplings."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        values = (self.value, self.low, self.high)
        value, low, high = (format(each, spec) for each in values)
        return f"{value} ({low} to {high})"


def median(values: list[float]) -> Median:
    """By the percentile bootstrap; the same each time for the same values."""
    resample = random.Random(0)
    medians = sorted(
        statistics.median(resample.choices(values, k=len(values))) for _ in range(1000)
    )
    return Median(statistics.median(values), medians[25], medians[974])


def quotient(these: list[float], those: list[float]) -> Median:
    """The median of the ratios, turn by turn."""
    return median([a / b for a, b in zip(these, those, strict=True)])
