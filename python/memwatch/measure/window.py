"""Windows on this process, from opening to report; works with and without IPython."""

from __future__ import annotations

import os
import sys
from array import array
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

from .. import _core
from ..report import DEFAULTS, CellReport, Status
from ..state import keep
from ..warn import FailureWarning, warn_once
from .children import close_window, open_window
from .history import History

F = TypeVar("F", bound=Callable[..., Any])

history = keep("history", History)
"""The reports of all cells and blocks of this process, oldest first."""
os.register_at_fork(after_in_child=history.renew_lock)

_failure = FailureWarning()


def status_of(error: BaseException | None) -> Status:
    """The status of code that raised `error`; None: it did not raise."""
    if error is None:
        return "ok"
    # Top-level await: the kernel turns Ctrl-C into a cancellation.
    if isinstance(error, KeyboardInterrupt) or _is_cancellation(error):
        return "interrupted"
    return "error"


def _is_cancellation(error: BaseException) -> bool:
    # Importing asyncio takes long. If it is not imported, nothing is cancelled.
    asyncio = sys.modules.get("asyncio.exceptions")
    return asyncio is not None and isinstance(error, asyncio.CancelledError)


def warn_if_peaks_are_sampled() -> None:
    """Warn once if peaks are sampled."""
    try:
        accuracy = _core.accuracy()
    except OSError:
        return  # the first window will report it
    if not accuracy["hwm_resets"]:
        from . import capabilities, capability_text

        why: dict[str, str] = {}
        _, peak = capabilities.find_accuracy(why)
        text = capability_text.describe_peak(peak, why)
        warn_once("peaks", f"peaks are {text}; see `memwatch doctor`")


def _warn_of_absent_figures(peak_method: str, duration_ns: int | None) -> None:
    if peak_method == "sampled":
        warn_if_peaks_are_sampled()
        warn_once(
            "peaks",
            "this peak is sampled and may be too low: the kernel's high-water mark"
            " could not be read or reset this time",
        )
    if duration_ns is None:
        warn_once(
            "duration",
            "the monotonic clock does not advance, so reports have no duration and no"
            " timeline",
        )


class OpenWindow:
    """An open window; the arguments are for the black box. OSError."""

    __slots__ = ("_children", "window")

    def __init__(
        self,
        label: str | None,
        execution_count: int | None = None,
        cell_id: str | None = None,
        source: str | None = None,
    ) -> None:
        self._children = open_window()
        self.window = _core.Window(label, execution_count, cell_id, source)
        no_thread = self.window.thread_error
        if no_thread is not None:
            warn_once(
                "thread",
                f"cannot create the sampler's thread ({no_thread}); peaks are still"
                " measured, but timelines have only a start and an end; the next cell"
                " tries again",
            )

    def cancel(self) -> None:
        """Close the window without a report."""
        self.window.cancel()
        close_window(self._children)

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
        """Close the window; `previous` is the report before it, for the drift.

        None: the parent process opened it before a fork(). OSError: /proc cannot be
        read.
        """
        previous_end = None if previous is None else previous.rss_end_bytes
        closed = self.window.close(status, previous_end)
        if closed is None:
            return None
        figures, t_ns, rss_bytes = closed
        if figures["peak_method"] == "sampled" or figures["duration_ns"] is None:
            _warn_of_absent_figures(figures["peak_method"], figures["duration_ns"])
        # A copy has all names: nothing below makes it grow.
        values: dict[str, object] = DEFAULTS.copy()
        values.update(figures)
        values["label"] = label
        values["execution_count"] = execution_count
        values["cell_id"] = cell_id
        values["source"] = source
        values["status"] = status
        values["timeline"] = {
            "t_ns": array("q", t_ns),
            "rss_bytes": array("q", rss_bytes),
        }
        if self._children is not None:
            values.update(close_window(self._children))
        # The same as CellReport(**values), but several times as fast.
        report = CellReport.__new__(CellReport)
        _core.set_attributes(report, values)
        return report


class watch:
    """Measure a block of code, or each call of a function.

    >>> with watch("load") as w:
    ...     table = bytearray(2**26)
    >>> w.report.label, w.report.status
    ('load', 'ok')
    >>> w.report.used_bytes > 2**25
    True

    The report exists when the block has ended, however it ended, and is the newest of
    ``memwatch.history``. It is None while the block runs, and if measuring failed: then
    one MemwatchWarning says why, and the block is not disturbed. Blocks may nest and
    overlap in threads; each has its own peak of the whole process. RuntimeError if the
    same watch is entered again before it has ended. In a coroutine ``async with`` works
    as well.

    As a decorator it measures each call, of a coroutine function until it returns:

    >>> @watch("parse")
    ... def parse(text):
    ...     return text.split()
    >>> parse("a b")
    ['a', 'b']
    """

    def __init__(self, label: str | None = None) -> None:
        if callable(label):
            raise TypeError("expected a label; as a decorator: @memwatch.watch('name')")
        self.label = label
        self.report: CellReport | None = None
        self._window: OpenWindow | None = None

    def __enter__(self) -> watch:
        if self._window is not None:
            raise RuntimeError(
                f"watch({self.label!r}) is already open; use another watch() for the"
                " inner block"
            )
        self.report = None
        warn_if_peaks_are_sampled()
        try:
            self._window = OpenWindow(self.label)
        except OSError as error:
            _failure.warn(error)
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
            _failure.warn(failure)
        if self.report is not None:
            history.append(self.report)

    def __repr__(self) -> str:
        if self.report is None:
            state = "has not ended" if self._window is not None else "has no report"
            return f"watch({self.label!r}): {state}"
        return f"watch({self.label!r})\n{self.report!r}"

    def _repr_html_(self) -> str | None:
        return None if self.report is None else self.report._repr_html_()

    async def __aenter__(self) -> watch:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: F) -> F:
        """`function`, measured in each call; without a label under its own name.

        TypeError for a generator function, whose call runs none of its code.
        """
        from functools import wraps
        from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, iscoroutinefunction

        label = self.label or function.__qualname__
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & (CO_GENERATOR | CO_ASYNC_GENERATOR):
            raise TypeError(
                f"cannot measure the generator function {label}; use memwatch.watch()"
                " around the loop"
            )
        if iscoroutinefunction(function):

            @wraps(function)
            async def run_async(*args: Any, **named: Any) -> Any:
                with watch(label):
                    return await function(*args, **named)

            return cast("F", run_async)

        @wraps(function)
        def run(*args: Any, **named: Any) -> Any:
            with watch(label):
                return function(*args, **named)

        return cast("F", run)
