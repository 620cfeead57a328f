"""Lines below a cell's line: the limit is near, or memory grows with each run."""

from __future__ import annotations

from time import monotonic

from ..display.units import short
from ..measure import capabilities
from ..report import CellReport

_LOOK_EVERY_S = 30.0

_GROWTH_BYTES = 16 * 2**20
_RUNS = 3
_MOST_CELLS = 1000


class LimitWarning:
    """Knows the limit in effect; it may change, so it is looked up twice a minute."""

    def __init__(self, percent: float | None = None) -> None:
        self.percent = percent
        """The share of the limit from which to warn; None: never."""
        self._limit_bytes: int | None = None
        self._looked_at = -_LOOK_EVERY_S

    def text(self, report: CellReport) -> str | None:
        """The line if the cell reached `percent` of the limit; None: it did not.

        Also None without `percent`, or if figures or limit are unknown.
        """
        percent = self.percent
        peak = report.rss_peak_bytes
        if percent is None or peak is None:
            return None
        now = monotonic()
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._limit_bytes = capabilities.find_limit({})[0]["limit_bytes"]
        limit = self._limit_bytes
        if not limit or peak * 100 < percent * limit:
            return None
        end = report.rss_end_bytes
        if end is not None and end * 100 >= percent * limit:
            share, how = end, ""
        else:
            share, how = peak, "peaked at "
        return f"memwatch: {how}{share * 100 // limit} % of the {short(limit)} limit"


class GrowthHint:
    """Says once that a cell keeps more memory each time it runs.

    The usual cause: Out keeps the value of every cell that displays one.
    """

    def __init__(self) -> None:
        self._is_done = False
        # By cell: what each of its runs in a row has kept, in bytes.
        self._kept: dict[tuple[str | None, str | None], list[int]] = {}

    def text(self, report: CellReport) -> str | None:
        """Two lines for the third run in a row that kept 16 MiB or more, else None."""
        used = report.used_bytes
        # Most cells.
        if used is None or (used < _GROWTH_BYTES and not self._kept) or self._is_done:
            return None
        cell = (report.cell_id, report.source)
        kept = self._kept.pop(cell, [])
        if used < _GROWTH_BYTES:
            return None
        kept.append(used)
        if len(kept) < _RUNS:
            self._kept[cell] = kept
            if len(self._kept) > _MOST_CELLS:
                del self._kept[next(iter(self._kept))]
            return None
        self._is_done = True
        self._kept.clear()
        return (
            f"memwatch: each of the last {_RUNS} runs of this cell kept"
            f" {short(min(kept))} or more.\n"
            "Values that cells display stay in Out; to drop them: %reset -f out"
        )
