"""Medians, and how far they can be trusted."""

from __future__ import annotations

from memwatch.compare import statistics


class Median(statistics.Estimate):
    """A median and the interval that holds it in 95 of 100 resamplings."""

    def __format__(self, spec: str) -> str:
        values = (self.value, self.low, self.high)
        value, low, high = (format(each, spec) for each in values)
        return f"{value} ({low} to {high})"


def median(values: list[float]) -> Median:
    """By the percentile bootstrap; the same each time for the same values."""
    return Median(**vars(statistics.median(values)))


def quotient(these: list[float], those: list[float]) -> Median:
    """The median of the ratios, turn by turn."""
    return median([a / b for a, b in zip(these, those, strict=True)])
