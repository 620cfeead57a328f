"""IPython's events open and close the window of each cell."""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from types import CodeType
from typing import Any
from weakref import ref

from .. import _core
from ..blackbox import recording
from ..measure.window import OpenWindow, history, status_of
from ..report import CellReport, Status, telling_line
from ..statements.current_line import CurrentLine
from ..warn import FailureWarning, cause_of, warn_once
from .running_cells import error_of, results_around
from .stdout_position import StdoutPosition
from .traceback_hooks import TracebackHooks

_QUIET_TAG = "memwatch-quiet"

OnReport = Callable[[int, CellReport], None]
ShouldPrint = Callable[[CellReport], bool]


class _Cell:
    """A running cell."""

    __slots__ = (
        "cell_id", "file", "info", "is_ignored", "key", "lines", "number", "report",
        "should_print", "source", "store_history", "thread", "window",
    )  # fmt: skip

    def __init__(self, info: Any, number: int) -> None:
        self.key = id(info)
        # Of its code; None: no statement has run yet.
        self.file: str | None = None
        self.info: ref[Any] | None = None
        self.number = number
        self.thread = get_ident()
        # Whether it has no report.
        self.is_ignored = False
        # None: as configured.
        self.should_print: bool | None = None
        # Set before the cell's end if its code has raised.
        self.report: CellReport | None = None
        self.lines: Any = None
        self.store_history: bool = info.store_history
        # IPython 8.0 has no cell ids.
        self.cell_id: str | None = getattr(info, "cell_id", None)
        self.source = telling_line(info.raw_cell)
        self.window = OpenWindow(
            f"In [{number}]",
            number if self.store_history else None,
            self.cell_id,
            self.source,
        )


def _is_only_memwatch(text: str) -> bool:
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    if lines and lines[0].split()[0] == "%%memwatch_compare":
        return True
    # Without "%" as well: IPython's %automagic.
    return all(
        line.startswith("#") or line.split()[0] in ("%memwatch", "memwatch")
        for line in lines
    )


class CellWatcher:
    """Opens a window for each cell of one shell and reports it when the cell ends.

    Cells are identified by IPython's ExecutionInfo. They may run in several threads or
    await each other in one; each has a report. A cell that runs inside another cell,
    such as the body of %%capture, is part of that cell.
    """

    def __init__(
        self,
        shell: Any,
        on_report: OnReport,
        should_print: ShouldPrint,
        on_lines: Callable[[Any], None],
    ) -> None:
        self._shell = shell
        self._on_report = on_report
        self._should_print = should_print
        self._on_lines = on_lines
        self._failure = FailureWarning()
        self._previous: CellReport | None = None
        # By the id of their ExecutionInfo, oldest first. run_cell_async() need not
        # announce the end: such a cell leaves when IPython drops its ExecutionInfo.
        self._cells: dict[int, _Cell] = {}
        self._only: _Cell | None = None
        self._stdout = StdoutPosition()
        self._tracebacks = TracebackHooks(shell, self._code_failed)
        self._current_line = CurrentLine(shell, self._window_of)
        self._recorder: Any = None  # of lines
        # Kept: after a reload of this module the class has other functions, and IPython
        # unregisters by equality.
        self._events = {
            "pre_run_cell": self._pre_run_cell,
            "post_run_cell": self._post_run_cell,
        }
        self.watching = False

    def start(self) -> None:
        """Watch every cell from now on, the running one included. Idempotent."""
        self._only = None
        if self.watching:
            return
        for event, function in self._events.items():
            self._shell.events.register(event, function)
        self._tracebacks.install()
        self._current_line.install()
        self.watching = True
        running = results_around(self._shell)
        if running:
            try:
                result = running[-1]
                self._add(result.info, self._number(result))
            except Exception as error:
                self._failure.warn(error)

    def stop(self) -> None:
        """Stop watching; the running cell gets no report. Idempotent."""
        if not self.watching:
            return
        for event, function in self._events.items():
            self._shell.events.unregister(event, function)
        self._tracebacks.remove()
        self._current_line.remove()
        self.record_lines(False)
        self._stdout.leave()
        self.watching = False
        self._cells.clear()
        self._only = None

    def forget_cells(self) -> None:
        """In a forked child: the running cells are the parent's."""
        self._cells.clear()
        self._only = None

    def record_lines(self, wanted: bool) -> None:
        """Show what each statement of the next cells costs, or no longer."""
        if self._recorder is not None:
            self._recorder.remove()
            self._recorder = None
        if wanted:
            from ..statements.recorder import Recorder

            self._recorder = Recorder(self._shell)
            self._recorder.install()

    def watch_this_cell(self) -> None:
        """Watch the running cell to its end and print its line in any case."""
        if not self.watching:
            self.start()
            self._only = self._cell_of_this_thread()
            if self._only is None:  # silent: IPython would not announce its end
                self.stop()
        self.print_this_cell(True)

    def print_this_cell(self, should_print: bool) -> None:
        """Print the running cell's line or not, whatever is configured.

        Does nothing if the cell is not watched.
        """
        cell = self._cell_of_this_thread()
        if cell is not None:
            cell.should_print = should_print
            cell.is_ignored = False

    def ignore_this_cell(self) -> None:
        """Make no report of the running cell if it has only lines of %memwatch.

        None either of %%memwatch_compare, whose code runs elsewhere. But one of a cell
        in which a line has watched code: watch_this_cell().
        """
        cell = self._cell_of_this_thread()
        if cell is None or cell.info is None or cell.should_print:
            return
        info = cell.info()
        if info is not None:
            cell.is_ignored = _is_only_memwatch(info.raw_cell)

    # A failure below is memwatch's, never the cell's: one warning, then silence.

    def _pre_run_cell(self, info: Any) -> None:
        try:
            if _core.has_lost_recording():
                recording.renew()
            if self._cells and self._is_nested():
                return
            # By the number of inputs: some IPythons have already counted this cell.
            self._add(info, len(self._shell.history_manager.input_hist_parsed))
        except Exception as error:
            self._failure.warn(error)

    def _post_run_cell(self, result: Any) -> None:
        try:
            cell = self._find(result)
            if cell is None:
                return
            del self._cells[cell.key]
            if cell.is_ignored:
                cell.window.cancel()
            elif cell.report is None:
                self._close(cell, result, status_of(error_of(result)))
            if cell.report is not None:
                self._deliver(cell, cell.report, result)
            if not self._cells:
                self._stdout.leave()
            if cell is self._only:
                self.stop()
        except Exception as error:
            self._failure.warn(error)

    def _code_failed(self, result: Any, error: BaseException | None) -> None:
        """Close the window before IPython shows the error, None if it is unknown."""
        try:
            cell = self._find(result)
            if cell is not None and cell.report is None and not cell.is_ignored:
                self._close(
                    cell, result, "error" if error is None else status_of(error)
                )
        except Exception as failure:
            self._failure.warn(failure)

    def _add(self, info: Any, number: int) -> None:
        cells = self._cells
        cell = _Cell(info, number)
        key = cell.key
        cell.info = ref(info, lambda _: cells.pop(key, None))
        if self._is_tagged_quiet(info):
            cell.should_print = False
        cells[key] = cell
        self._stdout.enter()

    def _is_tagged_quiet(self, info: Any) -> bool:
        """Whether the cell has the tag; only JupyterLab and Notebook 7 send tags."""
        if hasattr(info, "cell_meta"):
            metadata = info.cell_meta
        elif hasattr(self._shell, "get_parent"):
            # Older IPythons: the request that ipykernel is answering.
            metadata = self._shell.get_parent().get("metadata")
        else:
            return False
        if not isinstance(metadata, dict):
            return False
        tags = metadata.get("tags")
        return isinstance(tags, (list, tuple)) and _QUIET_TAG in tags

    def _is_nested(self) -> bool:
        return any(id(each.info) in self._cells for each in results_around(self._shell))

    def _find(self, result: Any) -> _Cell | None:
        """The cell that ended with `result`; None for an empty or a nested cell.

        An interrupt can end a cell with a new ExecutionInfo or without a result: then
        it is the youngest cell of this thread.
        """
        cells = self._cells
        info = getattr(result, "info", None)
        cell = cells.get(id(info))
        if cell is not None or not cells:
            return cell
        # IPython announces the end of an empty cell, but not its start.
        if info is not None and (not info.raw_cell or info.raw_cell.isspace()):
            return None
        return None if results_around(self._shell) else self._cell_of_this_thread()

    def _cell_of_this_thread(self) -> _Cell | None:
        thread = get_ident()
        for cell in reversed(self._cells.values()):
            if cell.thread == thread:
                return cell
        return None

    def _window_of(self, code: CodeType) -> Any:
        """The window of the cell that `code` is a statement of; None: of no cell."""
        file, thread = code.co_filename, get_ident()
        for cell in reversed(self._cells.values()):
            if cell.thread == thread and cell.report is None:
                if cell.file is None:
                    cell.file = file  # its first statement
                # One that runs inside it has another file; cells may take turns.
                if cell.file == file:
                    break
        else:
            return None
        if self._recorder is not None:
            info = None if cell.info is None else cell.info()
            source = "" if info is None else info.raw_cell
            label = f"In [{cell.number}]"
            self._recorder.enter(cell, label, source, code)
        return cell.window.window

    def _close(self, cell: _Cell, result: Any, status: Status) -> None:
        number = self._number(result, cell.number)
        if self._recorder is not None:
            cell.lines = self._recorder.finish(cell)
        cell.report = cell.window.close(
            label=f"In [{number}]",
            execution_count=number if cell.store_history else None,
            cell_id=cell.cell_id,
            source=cell.source,
            status=status,
            previous=self._previous,
        )

    def _deliver(self, cell: _Cell, report: CellReport, result: Any) -> None:
        history.append(report)
        self._previous = report
        should_print = cell.should_print
        if not (self._should_print(report) if should_print is None else should_print):
            return
        try:
            if self._stdout.is_inside_line and not self._is_separated(result):
                print()
            self._on_report(self._number(result, cell.number), report)
            if cell.lines is not None:
                self._on_lines(cell.lines)
        except Exception as error:
            warn_once(
                "line",
                f"cannot print the line of {report.label} to stdout:"
                f" {type(error).__name__}: {cause_of(error)}; cells are still measured,"
                " their reports are in memwatch.history (import memwatch)",
            )

    def _is_separated(self, result: Any) -> bool:
        """Whether the front end shows a value or an error between stdout and the line.

        A kernel sends them as messages of their own; a terminal prints them.
        """
        return hasattr(self._shell, "kernel") and (
            getattr(result, "result", None) is not None or error_of(result) is not None
        )

    def _number(self, result: Any, default: int | None = None) -> int:
        """The cell's own number, else `default`, else the number in the prompt."""
        number = getattr(result, "execution_count", None)
        if number is None:
            number = default
        return int(self._shell.execution_count if number is None else number)
