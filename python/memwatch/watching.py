"""Windows on this process, from opening to report; works with and without IPython."""

from __future__ import annotations

import time
from array import array
from asyncio import CancelledError
from datetime import datetime, timezone
from types import TracebackType

from . import _core
from .report import CellReport, History, Status, Timeline
from .trouble import Trouble

__all__ = ["OpenWindow", "history", "status_of", "watch"]

history = History()
"""The reports of all cells and blocks of this process, oldest first."""

_trouble = Trouble()


def status_of(error: BaseException | None) -> Status:
    """How code ended that raised `error`, or None."""
    if error is None:
        return "ok"
    # Top-level await: the kernel turns Ctrl-C into a cancellation.
    if isinstance(error, (KeyboardInterrupt, CancelledError)):
        return "interrupted"
    return "error"


class OpenWindow:
    """A window that is open from now on. OSError where /proc cannot be read."""

    __slots__ = ("_opened_at_ns", "_window")

    def __init__(self) -> None:
        self._opened_at_ns = time.time_ns()
        self._window = _core.Window()

    def close(
        self,
        *,
        label: str | None,
        status: Status,
        execution_count: int | None = None,
        cell_id: str | None = None,
        source: str | None = None,
        previous: CellReport | None = None,
    ) -> CellReport | None:
        """End the window and report; `previous` is the report that drift counts from.

        None where there is nothing to tell: the window was opened by the process that
        this one was forked from. OSError where /proc cannot be read.
        """
        closed = self._window.close()
        if closed is None:
            return None
        figures, t_ns, rss_bytes = closed
        drift = None
        if previous is not None and previous.rss_end_bytes is not None:
            drift = figures["rss_start_bytes"] - previous.rss_end_bytes
        return CellReport(
            label=label,
            execution_count=execution_count,
            cell_id=cell_id,
            source=source,
            started_at=_iso_8601(self._opened_at_ns),
            drift_bytes=drift,
            status=status,
            timeline=Timeline(t_ns=array("q", t_ns), rss_bytes=array("q", rss_bytes)),
            **figures,
        )


def _iso_8601(t_ns: int) -> str:
    moment = datetime.fromtimestamp(t_ns // 1000 / 1e6, timezone.utc)
    return moment.isoformat(timespec="milliseconds")


class watch:
    """Measure a block of code.

    >>> with memwatch.watch("load") as w:
    ...     table = load()
    >>> w.report.used_bytes, w.report.peaked_bytes

    The report is there when the block has ended, however it ended, and is the newest of
    ``memwatch.history``. It is None while the block runs, and where measuring failed:
    that is warned of once (MemwatchWarning) and never disturbs the block. Blocks nest,
    and overlap in threads; each has its own peak of the whole process.
    """

    def __init__(self, label: str | None = None) -> None:
        self.label = label
        self.report: CellReport | None = None
        self._window: OpenWindow | None = None

    def __enter__(self) -> watch:
        self.report = None
        try:
            self._window = OpenWindow()
        except OSError as error:
            _trouble.tell(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        window, self._window = self._window, None
        if window is None:
            return
        try:
            self.report = window.close(label=self.label, status=status_of(error))
        except OSError as failure:
            _trouble.tell(failure)
        if self.report is not None:
            history.append(self.report)
