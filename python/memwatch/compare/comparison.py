"""Run variants in turn, and decide which takes less."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from ..display.units import MIB, duration, mib, signed
from . import statistics, trials
from .statistics import Estimate
from .trials import Trial, TrialError
from .variants import Variant

Metric = Literal["memory", "peak", "time"]

METRICS: dict[Metric, str] = {
    "memory": "kept_bytes",
    "peak": "peak_bytes",
    "time": "duration_ns",
}
"""The figures that are compared, and the fields of Trial."""

TOLERANCES: dict[Metric, float] = {"memory": 0.01, "peak": 0.01, "time": 0.05}
"""Smaller differences are none, in shares; as in Julia's `judge`."""

MEMORY: tuple[Metric, ...] = ("memory", "peak")

FEWEST, MOST = 10, 30
"""Runs of each variant, if their number is not given."""

_DIFFERENT = "the results differ, so these are not two ways to do the same:"

_NARROW = 0.02
"""Enough runs: the intervals of both ratios of memory are narrower than that."""
_SHORT_NS = 5_000_000
_SMALL_BYTES = 256 * 1024


class CompareWarning(str):
    """A doubt about the result, and what to do about it."""


@dataclass(frozen=True)
class Verdict:
    """How a variant compares with the first one, in one metric."""

    change: Estimate
    """The ratio to the first variant; or the difference, bytes or nanoseconds."""
    is_ratio: bool
    """False: a value is not above 0, so there is no ratio."""
    is_more: bool
    """Whether it is certain that it takes more, beyond the tolerance."""
    is_less: bool
    """Whether it is certain that it takes less, beyond the tolerance."""

    @classmethod
    def on(cls, these: list[float], those: list[float], tolerance: float) -> Verdict:
        """On the figures of the variant and of the first one."""
        ratio = statistics.ratio(these, those)
        if ratio is None:
            change = statistics.difference(these, those)
            least, most = float(-_SMALL_BYTES), float(_SMALL_BYTES)
        else:
            change = ratio
            least, most = 1 - tolerance, 1 + tolerance
        return cls(change, ratio is not None, change.low > most, change.high < least)

    @property
    def ratio(self) -> Estimate | None:
        """The change if it is a ratio."""
        return self.change if self.is_ratio else None


@dataclass
class Comparison:
    """Runs of several variants, in turn."""

    variants: list[Variant]
    setup: str = ""
    gross: bool = False
    same_result: bool = False
    tolerances: dict[Metric, float] = field(default_factory=lambda: dict(TOLERANCES))
    trials: list[list[Trial]] = field(default_factory=list)
    """Of each variant, in the order of the runs."""
    failure: str | None = None
    """Why it ended early; None: it is complete."""
    exit_code: int = 0

    def run(
        self,
        runs: int | None = None,
        warmup: int = 1,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Run all variants `runs` times each; None: 10 to 30, until it is certain.

        A failure ends it: `failure` says why, and the trials so far stay. `tell` gets
        the progress, a line for each run.
        """
        self.trials = [[] for _ in self.variants]
        try:
            for number in range(1, warmup + 1):
                self._round(number, f"warm-up {number} of {warmup}", tell, keep=False)
            most = MOST if runs is None else runs
            for number in range(1, most + 1):
                self._round(number, f"run {number} of {_shown(runs)}", tell, keep=True)
                if runs is None and number >= FEWEST and self._is_certain():
                    break
        except TrialError as error:
            self.failure, self.exit_code = str(error), error.exit_code
        except KeyboardInterrupt:
            self.failure, self.exit_code = "interrupted", 130

    def _round(
        self, number: int, title: str, tell: Callable[[str], None], keep: bool
    ) -> None:
        """One run of each variant; every other round in the reverse order."""
        order = range(len(self.variants))
        found: list[tuple[int, Trial]] = []
        for i in order if number % 2 else reversed(order):
            variant = self.variants[i]
            tell(f"{title}: {variant.label}")
            trial = trials.run(
                variant,
                setup=self.setup,
                gross=self.gross,
                with_result=self.same_result,
            )
            found.append((i, trial))
            if keep:
                self.trials[i].append(trial)
        if self.same_result:
            self._check_results(dict(found))

    def _check_results(self, found: dict[int, Trial]) -> None:
        for i in range(1, len(self.variants)):
            if found[i].result != found[0].result:
                raise TrialError(_differ(self.variants, found, i))

    def _is_certain(self) -> bool:
        for i in range(1, len(self.variants)):
            for metric in MEMORY:
                found = statistics.ratio(self.values(i, metric), self.values(0, metric))
                if found is None or found.high - found.low > _NARROW * found.value:
                    return False
        return True

    @property
    def runs(self) -> int:
        """How many runs every variant has."""
        return min(map(len, self.trials), default=0)

    def values(self, place: int, metric: Metric) -> list[float]:
        """The figures of a variant, one for each run."""
        return [float(getattr(each, METRICS[metric])) for each in self.trials[place]]

    def verdict(self, place: int, metric: Metric) -> Verdict:
        """How the variant compares with the first one."""
        return Verdict.on(
            self.values(place, metric), self.values(0, metric), self.tolerances[metric]
        )

    def has_more(self, metrics: Iterable[Metric]) -> bool:
        """Whether a variant takes more than the first in one of `metrics`."""
        places = range(1, len(self.variants)) if self.runs else ()
        return any(
            self.verdict(place, metric).is_more
            for metric in metrics
            for place in places
        )

    def sentences(self) -> list[str]:
        """One for each variant but the first: what it keeps, beside the first."""
        if not self.runs:
            return []
        return [self._sentence(place) for place in range(1, len(self.variants))]

    def _sentence(self, place: int) -> str:
        this, first = self.variants[place].name, self.variants[0].name
        found = self.verdict(place, "memory")
        both = [statistics.middle(self.values(i, "memory")) for i in (place, 0)]
        sizes = " against ".join(_plain(each) for each in both)
        if not (found.is_more or found.is_less):
            return (
                f"no difference can be shown between what {this} and {first} keep"
                f" ({sizes} MiB{_interval(found)})"
            )
        word = "less" if found.is_less else "more"
        if not found.is_ratio:
            amount = signed(round(abs(found.change.value)))[1:]
        elif found.change.value >= 3:
            return (
                f"{this} keeps {found.change.value:.1f} times as much as {first}"
                f" ({sizes} MiB{_interval(found)})"
            )
        else:
            amount = f"{abs(found.change.value - 1) * 100:.0f} %"
        return (
            f"{this} keeps {amount} {word} than {first} ({sizes} MiB{_interval(found)})"
        )

    def warnings(self) -> list[CompareWarning]:
        """What makes the result doubtful."""
        found: list[CompareWarning] = []
        if not self.runs:
            return found
        for i, variant in enumerate(self.variants):
            for metric in MEMORY:
                places = statistics.outliers(self.values(i, metric))
                if places:
                    found.append(
                        CompareWarning(
                            f"{variant.label}: the {metric} of {len(places)} of"
                            f" {len(self.trials[i])} runs is far from the others; is it"
                            " the same work in each run? --warmup N drops first runs"
                        )
                    )
            if not all(each.is_exact for each in self.trials[i]):
                found.append(
                    CompareWarning(
                        f"{variant.label}: peaks are sampled and may be too low;"
                        " `memwatch doctor` says why"
                    )
                )
        found += self._small()
        return found

    def _small(self) -> list[CompareWarning]:
        found = []
        if self._highest("memory") < _SMALL_BYTES:
            found.append(
                CompareWarning(
                    "no variant keeps 0.25 MiB, so page and arena sizes decide: repeat"
                    " the work, for example on 100 times as much data"
                )
            )
        if self._highest("time") < _SHORT_NS:
            found.append(
                CompareWarning(
                    f"all variants end within {duration(_SHORT_NS)}: their times are"
                    " mostly noise"
                )
            )
        return found

    def _highest(self, metric: Metric) -> float:
        """The highest of the variants' medians."""
        return max(
            statistics.middle(self.values(i, metric)) for i in range(len(self.variants))
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON: all runs, medians, ratios; sizes in bytes, times in nanoseconds."""
        return {
            "schema": 1,
            "complete": self.failure is None,
            "failure": self.failure,
            "gross": self.gross,
            "variants": [self._to_dict(i) for i in range(len(self.variants))],
            "sentences": self.sentences(),
            "warnings": [str(each) for each in self.warnings()],
        }

    def _to_dict(self, place: int) -> dict[str, Any]:
        variant = self.variants[place]
        values: dict[str, Any] = {
            "label": variant.label,
            "kind": variant.kind,
            "interpreter": variant.interpreter,
        }
        for metric, name in METRICS.items():
            runs = self.values(place, metric)
            one: dict[str, Any] = {"runs": [round(each) for each in runs]}
            if runs:
                one["median"] = _as_dict(statistics.median(runs))
            if self.runs and place:
                one["ratio"] = _as_dict(self.verdict(place, metric).ratio)
            values[name] = one
        return values


def _as_dict(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else vars(found)


def _shown(runs: int | None) -> str:
    return f"{FEWEST} to {MOST}" if runs is None else str(runs)


def _differ(variants: list[Variant], found: dict[int, Trial], place: int) -> str:
    one, other = (
        f"    {variants[i].label}: {_start_of(found[i].result)}" for i in (0, place)
    )
    return f"{_DIFFERENT}\n{one}\n{other}"


def _start_of(result: str | None) -> str:
    text = " ".join((result or "no value").split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def _plain(value: float) -> str:
    return mib(round(value), 2 if abs(value) < 10 * MIB else 1)


def _interval(found: Verdict) -> str:
    low, high = found.change.low, found.change.high
    if not found.is_ratio:
        return f"; 95 % interval of the difference {_plain(low)} to {_plain(high)} MiB"
    digits = 2 if high < 10 else 1
    return f"; 95 % interval of the ratio {low:.{digits}f} to {high:.{digits}f}"
