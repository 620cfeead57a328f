"""The small shim: IPython's events open and close windows."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any
from weakref import ref

from . import recording
from .report import CellReport, first_line
from .trouble import Trouble
from .watching import OpenWindow, history, status_of

__all__ = ["CellWatcher", "inside_a_cell"]

_QUIET_TAG = "memwatch-quiet"

OnReport = Callable[[int, CellReport], None]
IsWorthTelling = Callable[[CellReport], bool]


class _Cell:
    """A cell that is running."""

    __slots__ = (
        "info", "nested", "raw_cell", "source", "store_history", "thread", "told",
        "window",
    )  # fmt: skip

    def __init__(
        self,
        raw_cell: str | None,
        source: str | None,
        number: int,
        cell_id: str | None = None,
        *,
        store_history: bool,
        nested: bool,
    ) -> None:
        self.raw_cell = raw_cell
        """None: the cell that started the watching, before we could see it."""
        self.source = source
        self.store_history = store_history
        self.nested = nested
        self.info: ref[Any] | None = None
        self.thread = threading.get_ident()
        self.told: bool | None = None
        """Whether its line is printed; None: as is configured."""
        self.window = OpenWindow(
            f"In [{number}]", number if store_history else None, cell_id, source
        )


class CellWatcher:
    """Opens a window for each cell of one shell and reports when the cell has ended.

    Cells are told apart by IPython's own record of them (ExecutionInfo), so that they
    may nest, run in several threads, or await each other in one.
    """

    def __init__(
        self, shell: Any, on_report: OnReport, is_worth_telling: IsWorthTelling
    ) -> None:
        self._shell = shell
        self._on_report = on_report
        self._is_worth_telling = is_worth_telling
        self._trouble = Trouble()
        self._previous: CellReport | None = None
        # By the id of their ExecutionInfo, oldest first. Who runs a cell by
        # run_cell_async() need not say when it ends: it goes when IPython forgets it.
        self._cells: dict[int, _Cell] = {}
        self._starting: _Cell | None = None
        self._only: _Cell | None = None
        self.watching = False

    def start(self) -> None:
        """Watch from now on; if a cell is running, this cell too. Twice is once."""
        self._only = None
        if self.watching:
            return
        self._shell.events.register("pre_run_cell", self._pre_run_cell)
        self._shell.events.register("post_run_cell", self._post_run_cell)
        self.watching = True
        around = _cell_around()
        if around is not None:
            try:
                self._starting = _Cell(
                    None,
                    first_line(around),
                    self._next_number() - 1,
                    store_history=True,
                    nested=False,
                )
            except Exception as error:
                self._trouble.tell(error)

    def stop(self) -> None:
        """Watch no longer; the running cell is not reported. Without start: nothing."""
        if not self.watching:
            return
        self._shell.events.unregister("pre_run_cell", self._pre_run_cell)
        self._shell.events.unregister("post_run_cell", self._post_run_cell)
        self.watching = False
        self._cells.clear()
        self._starting = self._only = None

    def watch_this_cell(self) -> None:
        """Watch the running cell to its end, and print its line in any case."""
        if not self.watching:
            self.start()
            self._only = self._starting
            if self._only is None:  # silent: IPython would not tell its end
                self.stop()
        self.tell_of_this_cell(True)

    def tell_of_this_cell(self, told: bool) -> None:
        """Print the running cell's line (True) or none (False), whatever is configured.

        Not watched: nothing.
        """
        thread = threading.get_ident()
        for cell in (*reversed(self._cells.values()), self._starting):
            if cell is not None and cell.thread == thread:
                cell.told = told
                return

    # What goes wrong below is ours, never the cell's: one warning, then silence.

    def _pre_run_cell(self, info: Any) -> None:
        recording.renew_if_lost()
        try:
            key = id(info)
            cell = _Cell(
                info.raw_cell,
                first_line(info.raw_cell),
                self._next_number(),
                getattr(info, "cell_id", None),
                store_history=info.store_history,
                nested=self._is_nested(),
            )
            cell.info = ref(info, lambda _: self._cells.pop(key, None))
            if self._is_tagged_quiet(info):
                cell.told = False
            self._cells[key] = cell
        except Exception as error:
            self._trouble.tell(error)

    def _post_run_cell(self, result: Any) -> None:
        try:
            cell = self._take(result)
            if cell is not None:
                if cell is self._only:
                    self.stop()
                self._report(cell, result)
        except Exception as error:
            self._trouble.tell(error)

    def _is_tagged_quiet(self, info: Any) -> bool:
        """Whether the front end says so, which few do: JupyterLab and Notebook 7."""
        metadata = getattr(info, "cell_meta", None)
        if metadata is None and hasattr(self._shell, "get_parent"):
            # Before IPython knew of it: the message that ipykernel is answering.
            metadata = self._shell.get_parent().get("metadata")
        if not isinstance(metadata, dict):
            return False
        tags = metadata.get("tags")
        return isinstance(tags, (list, tuple)) and _QUIET_TAG in tags

    def _is_nested(self) -> bool:
        if not self._cells and self._starting is None:
            return False
        thread = threading.get_ident()
        return any(
            cell is not None and cell.thread == thread
            for cell in (self._starting, *self._cells.values())
        )

    def _take(self, result: Any) -> _Cell | None:
        """The cell that has ended; None where we did not see it begin.

        IPython tells the end of an empty cell, but not its beginning.
        """
        info = getattr(result, "info", None)
        if info is not None:
            cell = self._cells.pop(id(info), None)
            if cell is not None:
                return cell
            if not info.raw_cell or info.raw_cell.isspace():
                return None
        elif inside_a_cell():
            # Interrupted before it began; those that run around us go on.
            return None
        return self._take_by_likeness(None if info is None else info.raw_cell)

    def _take_by_likeness(self, raw_cell: str | None) -> _Cell | None:
        """The youngest cell of this thread with that text; None: with any text.

        An interrupt can end a cell with a new record, or with none at all.
        """
        thread = threading.get_ident()
        for key, cell in reversed(list(self._cells.items())):
            if cell.thread == thread and raw_cell in (None, cell.raw_cell):
                return self._cells.pop(key)
        starting = self._starting
        if starting is not None and starting.thread == thread:
            self._starting = None
            return starting
        return None

    def _report(self, cell: _Cell, result: Any) -> None:
        info = getattr(result, "info", None)
        source = cell.source
        if info is not None and info.raw_cell != cell.raw_cell:
            source = first_line(info.raw_cell)
        store_history = cell.store_history if info is None else info.store_history
        number = self._number(result)
        report = cell.window.close(
            label=None if number is None else f"In [{number}]",
            execution_count=number if store_history else None,
            cell_id=getattr(info, "cell_id", None),
            source=source,
            status=status_of(_error_of(result)),
            previous=self._previous,
        )
        if report is None:
            return
        history.append(report)
        if not cell.nested:
            self._previous = report
        # A nested cell without a number of its own would print its outer cell's.
        if number is None or (cell.nested and not store_history):
            return
        if self._is_worth_telling(report) if cell.told is None else cell.told:
            self._on_report(number, report)

    def _next_number(self) -> int:
        """That of the cell which is about to run.

        By the inputs that there are: some IPythons have counted it already.
        """
        return len(self._shell.history_manager.input_hist_parsed)

    def _number(self, result: Any) -> int | None:
        """The cell's own number; the one that the prompt shows if it has none."""
        if result is None:
            # Cancelled before IPython could say anything. Its text is the newest of In.
            return len(self._shell.user_ns.get("In", ())) - 1
        if result.execution_count is not None:
            return int(result.execution_count)
        return int(self._shell.execution_count)


def _error_of(result: Any) -> BaseException | None:
    if result is None:
        return KeyboardInterrupt()
    error: BaseException | None = result.error_before_exec or result.error_in_exec
    return error


def inside_a_cell() -> bool:
    """Whether this thread is running a cell, and not, say, a configuration file."""
    return _cell_around() is not None


def _cell_around() -> str | None:
    """The text of the cell that this thread is running; None: it runs none."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "run_cell_async" and "IPython" in code.co_filename:
            variables = frame.f_locals
            # Of a silent cell IPython tells neither beginning nor end.
            if not variables.get("silent", False):
                return str(variables.get("raw_cell", ""))
        frame = frame.f_back  # type: ignore[assignment]
    return None
