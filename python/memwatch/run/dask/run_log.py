"""What was heard of a notebook that runs elsewhere, in case that is all there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...display.units import mib
from ...report import CellReport
from ..results import CellRun, CellState, NotebookRun, NotebookState

__all__ = ["Attempts", "Message"]

Message = dict[str, Any]
"""What remote.py tells: ``kind``, ``attempt``, ``worker`` and what belongs to it."""


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
    """Of the running cell, while it runs; the last one is the newest."""

    def hear(self, message: Message) -> None:
        """The next thing it tells."""
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
        """The cell it was in, and what was held there."""
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
        """What the running cell cost as far as was heard: sampled, a lower bound."""
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
    """One notebook's attempts, as far as they were heard of."""

    def __init__(self) -> None:
        self._heard: list[_Attempt] = []

    @property
    def current(self) -> tuple[int, str] | None:
        """The newest attempt's number and worker; None where none was heard of."""
        newest = self._heard[-1] if self._heard else None
        return None if newest is None else (newest.number, newest.worker)

    def hear(self, message: Message) -> bool:
        """One message; False where it is of an attempt that is over."""
        number = message["attempt"]
        if self._heard and number < self._heard[-1].number:
            return False
        if not self._heard or number > self._heard[-1].number:
            self._heard.append(
                _Attempt(
                    number,
                    message["worker"],
                    message["host"],
                    message["reported_at"],
                    message["cells"],
                )
            )
        self._heard[-1].hear(message)
        return True

    def with_losses(self, run: NotebookRun) -> NotebookRun:
        """`run`, which an attempt brought back, and how those before it ended."""
        told = [run.message] if run.message else []
        lines = told + self._losses_before(run.attempts)
        return replace(run, message="; ".join(lines) or None)

    def _losses_before(self, attempt: int) -> list[str]:
        heard = {each.number: each for each in self._heard}
        lines = []
        for number in range(1, attempt):
            how = "its worker before it was heard of"
            if number in heard:
                how = f"the worker {heard[number].worker} {heard[number].where()}"
            lines.append(f"attempt {number} was lost with {how}")
        return lines

    def lost(
        self,
        empty: NotebookRun,
        state: NotebookState,
        attempts: int,
        why: Callable[[str], str],
    ) -> NotebookRun:
        """The result of one that nothing more will come of.

        `empty` is that of the same notebook with no cell run; `why` makes the message
        of where it was.
        """
        if not self._heard:
            message, attempts = why("before its first cell"), max(1, attempts)
            return replace(empty, state=state, message=message, attempts=attempts)
        newest = self._heard[-1]
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
