"""The reports of all cells so far, within bounds; and all of them as data."""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ..files import csv_pieces, json_pieces, write_whole
from ..report import CellReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCHEMA = 1
"""The version of the envelope that to_json() puts around the reports."""

_MIB = 2**20


class History(Sequence[CellReport]):
    """The reports of this session, oldest first.

    Bounded twice. With more than `max_reports` the oldest report goes. If all timelines
    together hold more than `max_timelines_bytes`, the oldest timelines go: their
    reports stay, with ``timeline`` None. A report that other code holds keeps its own.

    >>> history = History(max_reports=2)
    >>> for label in ("a", "b", "c"):
    ...     history.append(CellReport(label=label))
    >>> [report.label for report in history]
    ['b', 'c']
    >>> history[-1].label
    'c'
    """

    def __init__(
        self, max_reports: int = 10_000, max_timelines_bytes: int = 40 * _MIB
    ) -> None:
        self._max_reports = max_reports
        self._max_timelines_bytes = max_timelines_bytes
        # The older ones, whose timelines have gone, and the younger ones.
        self._bare: deque[CellReport] = deque()
        self._shaped: deque[CellReport] = deque()
        self._timelines_bytes = 0
        self.renew_lock()

    def renew_lock(self) -> None:
        """Make a new lock, in a forked child: the old one's owner is not in it."""
        # Reentrant: a finalizer may report while its thread is in here.
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickle and copy: copied lists, without the lock."""
        with self._lock:
            state = dict(self.__dict__)
            state.update(_bare=self._bare.copy(), _shaped=self._shaped.copy())
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._timelines_bytes = sum(map(_timeline_bytes, self._shaped))
        self.renew_lock()

    @property
    def max_reports(self) -> int:
        """Maximum number of reports."""
        return self._max_reports

    @max_reports.setter
    def max_reports(self, value: int) -> None:
        with self._lock:
            self._max_reports = value
            self._keep_the_bounds()

    @property
    def max_timelines_bytes(self) -> int:
        """Maximum bytes of all timelines together."""
        return self._max_timelines_bytes

    @max_timelines_bytes.setter
    def max_timelines_bytes(self, value: int) -> None:
        with self._lock:
            self._max_timelines_bytes = value
            self._keep_the_bounds()

    @property
    def timelines_bytes(self) -> int:
        """Bytes of all timelines together; source: sys.getsizeof."""
        return self._timelines_bytes

    def append(self, report: CellReport) -> None:
        """Add a report; beyond the bounds the oldest ones go.

        >>> history = History()
        >>> history.append(CellReport(label="load"))
        """
        with self._lock:
            self._shaped.append(report)
            self._timelines_bytes += _timeline_bytes(report)
            self._keep_the_bounds()

    def clear(self) -> None:
        """Forget all reports.

        >>> History().clear()
        """
        with self._lock:
            self._bare.clear()
            self._shaped.clear()
            self._timelines_bytes = 0

    def _keep_the_bounds(self) -> None:
        bare, shaped = self._bare, self._shaped
        while len(bare) + len(shaped) > self._max_reports:
            if bare:
                bare.popleft()
            else:
                self._take_oldest_shaped()
        while self._timelines_bytes > self._max_timelines_bytes:
            self._bare.append(replace(self._take_oldest_shaped(), timeline=None))

    def _take_oldest_shaped(self) -> CellReport:
        report = self._shaped.popleft()
        self._timelines_bytes -= _timeline_bytes(report)
        return report

    def to_dicts(self) -> list[dict[str, Any]]:
        """All reports as dictionaries: CellReport.to_dict().

        >>> History().to_dicts()
        []
        """
        return [report.to_dict() for report in self]

    def to_frame(self, *, raw: bool = False) -> Any:
        """A DataFrame with one row per report: of pandas, or of polars without pandas.

        The first columns are in MiB and seconds: ``used_mib``, ``peaked_mib``,
        ``risen_mib``, ``rss_end_mib``, ``duration_s``. CellReport's fields that any
        report has follow, in bytes and nanoseconds; ``started_at`` is a time in UTC.
        The label is the index (polars: the first column). With `raw` the columns are
        CellReport's fields except ``timeline``, all of them. Unknown values are
        missing, never 0 or NaN (pandas: ``Int64``, ``Float64``, ``string``).
        ImportError, which names what to install, without both libraries.

        >>> memwatch.history.to_frame()["used_mib"].max()  # doctest: +SKIP
        """
        from .frames import frame

        return frame(list(self), raw=raw)

    def to_json(self, path: str | os.PathLike[str]) -> Path:
        """Write all reports to the file `path` as JSON; return the path.

        ``{"schema": 1, "memwatch": VERSION, "reports": [...]}`` in UTF-8; each report
        is CellReport.to_dict(), with its timeline, on its own line. The file is written
        whole or not at all: OSError names `path`, and an existing file stays as it was.

        >>> memwatch.history.to_json("session.json")  # doctest: +SKIP
        PosixPath('session.json')
        """
        from .. import __version__

        head = {"schema": SCHEMA, "memwatch": __version__}
        return write_whole(path, json_pieces(head, {"reports": list(self)}))

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write all reports to the file `path` as CSV; return the path.

        RFC 4180 in UTF-8: a line with the names, then one line per report, with all
        fields except ``timeline``; unknown values are empty. OSError like to_json().

        >>> memwatch.history.to_csv("session.csv")  # doctest: +SKIP
        PosixPath('session.csv')
        """
        from .frames import COLUMNS

        rows = ([getattr(report, name) for name in COLUMNS] for report in self)
        return write_whole(path, csv_pieces(chain([COLUMNS], rows)))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the session with matplotlib, into `ax` if given; return the Axes.

        Each cell is a span of the time axis (seconds, without the pauses between cells)
        with its RSS in MiB, what it kept and its peak. The memory limit is drawn if it
        is at most twice the highest peak. Without `ax` the figure is new and unknown to
        pyplot; the Axes display themselves in a notebook. ImportError without
        matplotlib.

        >>> memwatch.history.plot().figure.savefig("session.png")  # doctest: +SKIP
        """
        try:
            from ..display.figures import plot
        except ImportError as error:
            from ..optional import install_command

            raise ImportError(
                f"plotting requires matplotlib: {install_command('plot')} ({error})"
            ) from error
        from . import capabilities

        return plot(self, ax, capabilities.find_limit({})[0]["limit_bytes"])

    def cell(self, execution_count: int) -> CellReport:
        """The newest report of the cell with this number. KeyError.

        >>> history = History()
        >>> history.append(CellReport(label="In [3]", execution_count=3))
        >>> history.cell(3) is history["In [3]"]
        True
        """
        report = self._newest("execution_count", execution_count)
        if report is None:
            raise KeyError(f"no report of cell {execution_count} in memwatch.history")
        return report

    def _newest(self, field: str, value: object) -> CellReport | None:
        return next(
            (each for each in reversed(self) if getattr(each, field) == value), None
        )

    @overload
    def __getitem__(self, index: int | str) -> CellReport: ...
    @overload
    def __getitem__(self, index: slice) -> list[CellReport]: ...
    def __getitem__(self, index: int | str | slice) -> CellReport | list[CellReport]:
        """By position, or by label: then the newest one. IndexError, KeyError."""
        if isinstance(index, str):
            report = self._newest("label", index)
            if report is None:
                raise KeyError(f"no report '{index}' in memwatch.history")
            return report
        with self._lock:
            if isinstance(index, slice):
                return [*self._bare, *self._shaped][index]
            length = len(self)
            place = range(length)[index]  # IndexError, and negative ones
            bare = len(self._bare)
            if place < bare:
                return self._bare[place]
            return self._shaped[place - bare]

    def __len__(self) -> int:
        return len(self._bare) + len(self._shaped)

    def __iter__(self) -> Iterator[CellReport]:
        with self._lock:  # other threads may append while the caller iterates
            return iter([*self._bare, *self._shaped])

    def __reversed__(self) -> Iterator[CellReport]:
        with self._lock:
            return reversed([*self._bare, *self._shaped])

    def __repr__(self) -> str:
        from ..display.tables import history_text

        return history_text(self, "memwatch.history")

    def _repr_html_(self) -> str:
        from ..display.tables import history_html

        return history_html(self, "memwatch.history")


def _timeline_bytes(report: CellReport) -> int:
    timeline = report.timeline
    if timeline is None:
        return 0
    size = sys.getsizeof
    return size(timeline) + size(timeline["t_ns"]) + size(timeline["rss_bytes"])
