"""Medians, ratios and their intervals, by the bootstrap; growth per run."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """A value, and the interval that has it in 95 of 100 repetitions."""

    value: float
    low: float
    high: float


middle = statistics.median
"""The median alone, where its interval is not needed."""


def median(values: Sequence[float]) -> Estimate:
    """The median; the same interval each time for the same values.

    >>> median([3.0, 1.0, 2.0]).value
    2.0
    """
    return _bootstrap(middle, values)


def ratio(these: Sequence[float], those: Sequence[float]) -> Estimate | None:
    """The ratio of the medians of two samples; None if one is not above 0.

    >>> ratio([2.0, 2.0], [4.0, 4.0])
    Estimate(value=0.5, low=0.5, high=0.5)
    """
    if min(*these, *those) <= 0:
        return None
    return _of_two(lambda a, b: a / b, these, those)


def difference(these: Sequence[float], those: Sequence[float]) -> Estimate:
    """The difference of the medians of two samples."""
    return _of_two(lambda a, b: a - b, these, those)


def outliers(values: Sequence[float]) -> list[int]:
    """The places of values that are far from the others.

    By the modified z-score of Iglewicz and Hoaglin, as in hyperfine, whose limit of
    14.8 spares the usual noise: more than ten times the median deviation.
    """
    center = middle(values)
    deviations = [abs(each - center) for each in values]
    spread = middle(deviations)
    if spread == 0:
        return []
    return [i for i, each in enumerate(deviations) if 0.6745 * each / spread > 14.826]


def _bootstrap(
    of: Callable[[Sequence[float]], float], values: Sequence[float]
) -> Estimate:
    drawn = random.Random(0)
    found = [of(drawn.choices(values, k=len(values))) for _ in range(_RESAMPLES)]
    return _estimate(of(values), found)


def _of_two(
    of: Callable[[float, float], float], these: Sequence[float], those: Sequence[float]
) -> Estimate:
    drawn = random.Random(0)
    found = [
        of(
            middle(drawn.choices(these, k=len(these))),
            middle(drawn.choices(those, k=len(those))),
        )
        for _ in range(_RESAMPLES)
    ]
    return _estimate(of(middle(these), middle(those)), found)


def _estimate(value: float, found: list[float]) -> Estimate:
    found.sort()
    edge = round(0.025 * len(found))
    return Estimate(value, found[edge], found[-1 - edge])
