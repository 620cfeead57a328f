"""The line below a cell's line that says that the memory limit is near."""

from __future__ import annotations

from time import monotonic

from ..display.units import short
from ..report import CellReport
from . import capabilities

_LOOK_EVERY_S = 30.0


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
