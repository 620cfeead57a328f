"""The reports of all cells so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from . import machine
from .report import CellReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["History"]


class History(Sequence[CellReport]):
    """The reports of this session, oldest first.

    Bounded: when it is full the oldest report goes.
    """

    def __init__(self, max_reports: int = 10_000) -> None:
        self._reports: deque[CellReport] = deque(maxlen=max_reports)

    @property
    def max_reports(self) -> int:
        """How many reports are kept at most."""
        maxlen = self._reports.maxlen
        assert maxlen is not None
        return maxlen

    @max_reports.setter
    def max_reports(self, value: int) -> None:
        if value != self.max_reports:
            self._reports = deque(self._reports, maxlen=value)

    def append(self, report: CellReport) -> None:
        """Add a report; a full history loses its oldest."""
        self._reports.append(report)

    def clear(self) -> None:
        """Forget all reports."""
        self._reports.clear()

    def to_dicts(self) -> list[dict[str, Any]]:
        """``CellReport.to_dict()`` of each."""
        return [report.to_dict() for report in self]

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the session with matplotlib, into `ax` if one is given.

        Each cell is a span of the time axis (seconds, the pauses between cells left
        out), with its RSS in MiB, what it kept and its peak; the control group's limit
        is drawn where it is within sight, at most twice the highest peak.

        Without `ax` the figure is a new one, unknown to pyplot: it shows itself where
        the Axes are what a notebook's cell evaluates to, once; in a terminal as blocks.
        ``.plot().figure.savefig(path)`` keeps it. ImportError without matplotlib.
        """
        try:
            from .plotting import plot
        except ImportError as error:
            raise ImportError(
                f"plotting needs matplotlib: pip install 'memwatch[plot]' ({error})"
            ) from error
        return plot(self, ax, machine.find_group({})["limit_bytes"])

    @overload
    def __getitem__(self, index: int) -> CellReport: ...
    @overload
    def __getitem__(self, index: slice) -> list[CellReport]: ...
    def __getitem__(self, index: int | slice) -> CellReport | list[CellReport]:
        if isinstance(index, slice):
            return list(self._reports)[index]
        return self._reports[index]

    def __len__(self) -> int:
        return len(self._reports)

    def __iter__(self) -> Iterator[CellReport]:
        return iter(list(self._reports))  # others may report meanwhile

    def __repr__(self) -> str:
        return f"<memwatch history: {len(self)} of at most {self.max_reports} reports>"
