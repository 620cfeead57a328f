"""The events of a notebook on a worker, for a result if the worker dies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...display.units import mib
from ...report import CellReport
from ..results import CellRun, CellState, NotebookRun, NotebookState

Message = dict[str, Any]
"""An event of remote.py: ``kind``, ``attempt``, ``worker`` and further fields."""


@dataclass
class _Attempt:
    number: int
    worker: str
    host: str
    started_at: str
    cells: int
    kernel_pid: int | None = None
    done: dict[int, CellRun] = field(default_factory=dict)
    running: Message | None = None
    samples: list[int] = field(default_factory=list)
    """RSS of the running cell, oldest first."""

    def receive(self, message: Message) -> None:
        """Process the next event."""
        kind = message["kind"]
        if kind == "cell":
            self.running = message
            self.kernel_pid = message["kernel_pid"]
            self.samples = []
        if kind in ("cell", "sample") and message["rss_bytes"] is not None:
            self.samples.append(message["rss_bytes"])
        if kind == "closed":
            report = message["report"]
            self.done[message["cell_index"]] = CellRun(
                cell_index=message["cell_index"],
                state=message["state"],
                report=None if report is None else CellReport(**report),
            )
            if self.running and self.running["cell_index"] == message["cell_index"]:
                self.running = None

    def where(self) -> str:
        """The position, and RSS there, in words."""
        if self.running is None and not self.done:
            return "before its first cell"
        if self.running is None:
            return f"after {len(self.done)} of {self.cells} code cells"
        first_line = self.running["source"]
        held = ""
        if self.samples:
            held = f" at {mib(self.samples[-1])} MiB, its last sample"
        place = f"code cell {len(self.done) + 1} of {self.cells}"
        return f"in {place} ({first_line}){held}"

    def report(self, state: CellState) -> CellReport | None:
        """The running cell's report from its samples: a lower bound."""
        if self.running is None or not self.samples:
            return None
        first, last, highest = self.samples[0], self.samples[-1], max(self.samples)
        count = len(self.done) + 1
        return CellReport(
            label=f"In [{count}]",
            execution_count=count,
            cell_id=self.running["cell_id"],
            source=self.running["source"],
            started_at=self.running["reported_at"],
            rss_start_bytes=first,
            rss_end_bytes=last,
            rss_peak_bytes=highest,
            used_bytes=last - first,
            peaked_bytes=highest - last,
            risen_bytes=highest - first,
            peak_method="sampled",
            status="died" if state == "died" else "interrupted",
        )


class Attempts:
    """The attempts of one notebook."""

    def __init__(self) -> None:
        self._known: list[_Attempt] = []

    @property
    def current(self) -> tuple[int, str] | None:
        """The newest attempt's number and worker; None: no event yet."""
        newest = self._known[-1] if self._known else None
        return None if newest is None else (newest.number, newest.worker)

    def receive(self, message: Message) -> bool:
        """Process an event; False: it is of an earlier attempt."""
        number = message["attempt"]
        if self._known and number < self._known[-1].number:
            return False
        if not self._known or number > self._known[-1].number:
            self._known.append(
                _Attempt(
                    number,
                    message["worker"],
                    message["host"],
                    message["reported_at"],
                    message["cells"],
                )
            )
        self._known[-1].receive(message)
        return True

    def with_losses(self, run: NotebookRun) -> NotebookRun:
        """`run`, the result of an attempt, with the ends of the earlier attempts."""
        lines = [run.message] if run.message else []
        lines += self._losses_before(run.attempts)
        return replace(run, message="; ".join(lines) or None)

    def _losses_before(self, attempt: int) -> list[str]:
        known = {each.number: each for each in self._known}
        lines = []
        for number in range(1, attempt):
            how = "its worker before its first event"
            if number in known:
                how = f"the worker {known[number].worker} {known[number].where()}"
            lines.append(f"attempt {number} was lost with {how}")
        return lines

    def lost(
        self,
        empty: NotebookRun,
        state: NotebookState,
        attempts: int,
        why: Callable[[str], str],
    ) -> NotebookRun:
        """The result of a notebook whose attempts are lost.

        `empty` is its result without any cell; `why` makes the message from the
        position.
        """
        if not self._known:
            message, attempts = why("before its first cell"), max(1, attempts)
            return replace(empty, state=state, message=message, attempts=attempts)
        newest = self._known[-1]
        before = self._losses_before(newest.number)
        message = "; ".join([why(newest.where()), *before])
        cells = _cells(
            newest, empty.cells, "died" if state == "died" else "interrupted"
        )
        reports = [each.report for each in cells if each.report is not None]
        peaks = [each.rss_peak_bytes for each in reports if each.rss_peak_bytes]
        return replace(
            empty,
            state=state,
            message=message,
            host=newest.host,
            kernel_pid=newest.kernel_pid,
            started_at=newest.started_at,
            rss_peak_bytes=max(peaks, default=None),
            attempts=max(attempts, newest.number),
            cells=cells,
        )


def _cells(
    attempt: _Attempt, not_run: Sequence[CellRun], state: CellState
) -> list[CellRun]:
    cells = []
    running = None if attempt.running is None else attempt.running["cell_index"]
    for each in not_run:
        if each.cell_index in attempt.done:
            each = replace(attempt.done[each.cell_index], source=each.source)
        elif each.cell_index == running:
            each = replace(each, state=state, report=attempt.report(state))
        cells.append(each)
    return cells
