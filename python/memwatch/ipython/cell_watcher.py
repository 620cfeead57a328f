"""The small shim: IPython's events open and close windows."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from threading import get_ident
from typing import Any
from weakref import ref

from .. import _core
from ..blackbox import recording
from ..measure.window import OpenWindow, history, status_of
from ..report import CellReport, Status, first_line
from ..warn import FailureWarning, cause_of, warn_once

__all__ = ["CellWatcher", "inside_a_cell"]

_QUIET_TAG = "memwatch-quiet"

OnReport = Callable[[int, CellReport], None]
ShouldPrint = Callable[[CellReport], bool]


class _Cell:
    """A cell that is running."""

    __slots__ = (
        "cell_id", "info", "key", "number", "report", "source", "store_history",
        "thread", "told", "window",
    )  # fmt: skip

    def __init__(self, info: Any, number: int) -> None:
        self.key = id(info)
        self.info: ref[Any] | None = None
        self.number = number
        self.thread = get_ident()
        self.told: bool | None = None
        """Whether its line is printed; None: as is configured."""
        self.report: CellReport | None = None
        """There before the cell's end where its code has raised."""
        self.store_history: bool = info.store_history
        # IPython 8.0 has no cell ids.
        self.cell_id: str | None = getattr(info, "cell_id", None)
        self.source = first_line(info.raw_cell)
        self.window = OpenWindow(
            f"In [{number}]",
            number if self.store_history else None,
            self.cell_id,
            self.source,
        )


class CellWatcher:
    """Opens a window for each cell of one shell and reports when the cell has ended.

    Cells are known by IPython's own record of them (ExecutionInfo). They may run in
    several threads, or await each other in one; each has a report. A cell that runs
    inside another one, as the body of %%capture does, is part of that one.
    """

    def __init__(
        self, shell: Any, on_report: OnReport, should_print: ShouldPrint
    ) -> None:
        self._shell = shell
        self._on_report = on_report
        self._should_print = should_print
        self._trouble = FailureWarning()
        self._previous: CellReport | None = None
        # By the id of their ExecutionInfo, oldest first. Who runs a cell by
        # run_cell_async() need not say when it ends: it goes when IPython forgets it.
        self._cells: dict[int, _Cell] = {}
        self._only: _Cell | None = None
        self._stdout = _Stdout()
        self._tracebacks = _Tracebacks(shell, self._code_has_ended)
        # Kept: a reload of this module gives the class other functions, and IPython
        # finds by equality what is to be unregistered.
        self._events = {
            "pre_run_cell": self._pre_run_cell,
            "post_run_cell": self._post_run_cell,
        }
        self.watching = False

    def start(self) -> None:
        """Watch from now on; if a cell is running, this cell too. Twice is once."""
        self._only = None
        if self.watching:
            return
        for event, function in self._events.items():
            self._shell.events.register(event, function)
        self._tracebacks.wrap()
        self.watching = True
        running = _results_around(self._shell)
        if running:
            try:
                result = running[-1]
                self._add(result.info, self._number(result))
            except Exception as error:
                self._trouble.tell(error)

    def stop(self) -> None:
        """Watch no longer; the running cell is not reported. Without start: nothing."""
        if not self.watching:
            return
        for event, function in self._events.items():
            self._shell.events.unregister(event, function)
        self._tracebacks.unwrap()
        self._stdout.leave()
        self.watching = False
        self._cells.clear()
        self._only = None

    def forget_cells(self) -> None:
        """In a forked child: the cells that run are the parent's."""
        self._cells.clear()
        self._only = None

    def watch_this_cell(self) -> None:
        """Watch the running cell to its end, and print its line in any case."""
        if not self.watching:
            self.start()
            self._only = self._cell_of_this_thread()
            if self._only is None:  # silent: IPython would not tell its end
                self.stop()
        self.print_this_cell(True)

    def print_this_cell(self, told: bool) -> None:
        """Print the running cell's line (True) or none (False), whatever is configured.

        Not watched: nothing.
        """
        cell = self._cell_of_this_thread()
        if cell is not None:
            cell.told = told

    # What goes wrong below is ours, never the cell's: one warning, then silence.

    def _pre_run_cell(self, info: Any) -> None:
        try:
            if _core.has_lost_recording():
                recording.renew()
            if self._cells and self._is_nested():
                return
            # By the inputs that there are: some IPythons have counted it already.
            self._add(info, len(self._shell.history_manager.input_hist_parsed))
        except Exception as error:
            self._trouble.tell(error)

    def _post_run_cell(self, result: Any) -> None:
        try:
            cell = self._find(result)
            if cell is None:
                return
            del self._cells[cell.key]
            if cell.report is None:
                self._close(cell, result, status_of(_error_of(result)))
            if cell.report is not None:
                self._tell(cell, cell.report, result)
            if not self._cells:
                self._stdout.leave()
            if cell is self._only:
                self.stop()
        except Exception as error:
            self._trouble.tell(error)

    def _code_has_ended(self, result: Any, error: BaseException | None) -> None:
        """A cell has raised `error`, None where that is not known: close its window.

        What IPython does to show the error is not the cell's: the traceback of a
        KeyError in pandas takes 11 MiB and 0.7 s.
        """
        try:
            cell = self._find(result)
            if cell is not None and cell.report is None:
                self._close(
                    cell, result, "error" if error is None else status_of(error)
                )
        except Exception as failure:
            self._trouble.tell(failure)

    def _add(self, info: Any, number: int) -> None:
        cells = self._cells
        cell = _Cell(info, number)
        key = cell.key
        cell.info = ref(info, lambda _: cells.pop(key, None))
        if self._is_tagged_quiet(info):
            cell.told = False
        cells[key] = cell
        self._stdout.enter()

    def _is_tagged_quiet(self, info: Any) -> bool:
        """Whether the front end says so, which few do: JupyterLab and Notebook 7."""
        if hasattr(info, "cell_meta"):
            metadata = info.cell_meta
        elif hasattr(self._shell, "get_parent"):
            # Older IPythons do not have it: the message that ipykernel is answering.
            metadata = self._shell.get_parent().get("metadata")
        else:
            return False
        if not isinstance(metadata, dict):
            return False
        tags = metadata.get("tags")
        return isinstance(tags, (list, tuple)) and _QUIET_TAG in tags

    def _is_nested(self) -> bool:
        """Whether a cell begins inside one that has a window."""
        return any(
            id(each.info) in self._cells for each in _results_around(self._shell)
        )

    def _find(self, result: Any) -> _Cell | None:
        """The cell that has ended so; None: an empty one, or part of another one.

        An interrupt can end a cell with a new record, or with None for a result: then
        it is the youngest of this thread.
        """
        cells = self._cells
        info = getattr(result, "info", None)
        cell = cells.get(id(info))
        if cell is not None or not cells:
            return cell
        # IPython tells the end of an empty cell, but not its beginning.
        if info is not None and (not info.raw_cell or info.raw_cell.isspace()):
            return None
        return None if _results_around(self._shell) else self._cell_of_this_thread()

    def _cell_of_this_thread(self) -> _Cell | None:
        thread = get_ident()
        for cell in reversed(self._cells.values()):
            if cell.thread == thread:
                return cell
        return None

    def _close(self, cell: _Cell, result: Any, status: Status) -> None:
        number = self._number(result, cell.number)
        cell.report = cell.window.close(
            label=f"In [{number}]",
            execution_count=number if cell.store_history else None,
            cell_id=cell.cell_id,
            source=cell.source,
            status=status,
            previous=self._previous,
        )

    def _tell(self, cell: _Cell, report: CellReport, result: Any) -> None:
        history.append(report)
        self._previous = report
        if not (self._should_print(report) if cell.told is None else cell.told):
            return
        try:
            if self._stdout.is_inside_a_line and not self._is_apart(result):
                print()
            self._on_report(self._number(result, cell.number), report)
        except Exception as error:
            warn_once(
                "line",
                f"the line of {report.label} could not be printed to stdout:"
                f" {type(error).__name__}: {cause_of(error)}; cells are measured all"
                " the same, and memwatch.history has their reports",
            )

    def _is_apart(self, result: Any) -> bool:
        """Whether a front end shows something else between stdout and the line.

        A kernel sends values and errors beside stdout, a terminal has them in it.
        """
        return hasattr(self._shell, "kernel") and (
            getattr(result, "result", None) is not None or _error_of(result) is not None
        )

    def _number(self, result: Any, otherwise: int | None = None) -> int:
        """The cell's own number; else `otherwise`, or the one that the prompt shows."""
        number = getattr(result, "execution_count", None)
        if number is None:
            number = otherwise
        return int(self._shell.execution_count if number is None else number)


class _Stdout:
    """Whether what cells print ends inside a line: a kernel's front end shows it so.

    No stream tells. So while a cell runs, ``sys.stdout`` has a `write` of its own,
    as IPython gives it one since version 9.
    """

    def __init__(self) -> None:
        self.is_inside_a_line = False
        self._stream: Any = None
        self._write: Any = None
        self._own: Any = None

    def enter(self) -> None:
        """A cell begins, at the beginning of a line."""
        self.is_inside_a_line = False
        stream: Any = sys.stdout
        if stream is self._stream:
            return
        self.leave()
        try:
            own = vars(stream).get("write")
            write = stream.write

            def seen(text: Any) -> Any:
                written = write(text)
                if text:
                    self.is_inside_a_line = text[-1] != "\n"
                return written

            stream.write = seen
        except Exception:
            return  # None, or nothing that can be changed: it is not known then
        self._stream, self._write, self._own = stream, seen, own

    def leave(self) -> None:
        """No cell runs: `sys.stdout` is as it was, unless another changed it, too."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        if vars(stream).get("write") is self._write:
            if self._own is None:
                del stream.write
            else:
                stream.write = self._own
        self._write = self._own = None


class _Tracebacks:
    """Tells that a cell has raised, before its shell shows the error."""

    _SHOW = ("showtraceback", "showsyntaxerror", "showindentationerror")

    def __init__(
        self, shell: Any, has_ended: Callable[[Any, BaseException | None], None]
    ) -> None:
        self._shell = shell
        self._has_ended = has_ended
        # By name: ours, and what the shell itself had there, None where its class has.
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    def wrap(self) -> None:
        for name in self._SHOW:
            if name not in self._wrapped:
                own = vars(self._shell).get(name)
                ours = self._wrapper(getattr(self._shell, name))
                setattr(self._shell, name, ours)
                self._wrapped[name] = (ours, own)

    def unwrap(self) -> None:
        """Undo it; what another has wrapped once more stays, and does nothing."""
        for name, (ours, own) in list(self._wrapped.items()):
            if vars(self._shell).get(name) is not ours:
                continue
            if own is None:
                delattr(self._shell, name)
            else:
                setattr(self._shell, name, own)
            del self._wrapped[name]

    def _wrapper(self, show: Any) -> Any:
        @wraps(show)
        def shows(*args: Any, **kwargs: Any) -> Any:
            result = _result_of_ended_code()
            if result is not None:
                self._has_ended(result, sys.exc_info()[1])
            return show(*args, **kwargs)

        return shows


def _result_of_ended_code() -> Any:
    """IPython's result of the cell whose error is about to be shown by this thread.

    None where no cell has ended: code may show a traceback and go on.
    """
    frame = sys._getframe(2)
    while frame is not None:
        code = frame.f_code
        if "IPython" in code.co_filename:
            match code.co_name:
                case "run_code":  # sets the error when the code has ended
                    result = frame.f_locals.get("result")
                    return (
                        None
                        if getattr(result, "error_in_exec", None) is None
                        else result
                    )
                case "run_ast_nodes" | "run_cell_async" | "_run_cell":
                    return frame.f_locals.get("result")
                case "trigger":  # another's callback failed, before or after the cell
                    return None
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _error_of(result: Any) -> BaseException | None:
    if result is None:
        return KeyboardInterrupt()
    error: BaseException | None = result.error_before_exec or result.error_in_exec
    return error


def inside_a_cell(shell: Any) -> bool:
    """Whether this thread is running a cell of `shell`; not in a startup file."""
    return bool(_results_around(shell))


def _results_around(shell: Any) -> list[Any]:
    """IPython's results of the cells of `shell` that this thread is running.

    The innermost first. Silent ones are not there: IPython tells neither their
    beginning nor their end.
    """
    results = []
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "run_cell_async" and "IPython" in code.co_filename:
            variables = frame.f_locals
            if variables.get("self") is shell and not variables.get("silent"):
                result = variables.get("result")
                if result is not None:
                    results.append(result)
        frame = frame.f_back  # type: ignore[assignment]
    return results
