"""Options, progress and interruption of one notebook's execution."""

from __future__ import annotations

import asyncio
import signal as signals
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import _core
from ..report import CellReport
from .results import CellRun, CellState, NotebookRun, NotebookState

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from .kernels import KernelMemory


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of an execution."""

    kernel_name: str | None = None
    """The kernel to use instead of the notebook's own."""
    timeout: float | None = None
    """Maximum seconds per cell; None: no limit."""
    startup_timeout: float = 60
    """Maximum seconds for the kernel to start."""
    allow_errors: bool = False
    """Whether to continue after a cell that raises."""
    cwd: str | None = None
    """The working directory; None: the notebook's own."""


class Stop:
    """A request to interrupt notebooks.

    `listen` is called when nbclient has replaced the signal handlers.
    """

    def __init__(self, listen: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self.listen = listen


@dataclass
class Progress:
    """The state of one notebook's execution."""

    cells: list[int]
    """The indices of the code cells that are not empty."""
    memory: KernelMemory | None = None
    process: Any = None
    pid: int | None = None
    running: int | None = None
    done: dict[int, tuple[CellState, CellReport | None]] = field(default_factory=dict)
    kills_before: int | None = None
    failure: tuple[NotebookState, str] | None = None
    is_started: bool = False
    why_not: str | None = None
    """Why a cell, or all of them, were not measured."""


def not_begun(notebook: NotebookNode, path: str) -> NotebookRun:
    """The result of a notebook that was interrupted before its start."""
    return NotebookRun(
        notebook=path,
        state="interrupted",
        message="interrupted before it was started",
        cells=[
            CellRun(
                cell_index=index, state="not run", source=notebook.cells[index].source
            )
            for index in code_cells(notebook)
        ],
    )


def code_cells(notebook: NotebookNode) -> list[int]:
    return [
        index
        for index, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and cell.source.strip()
    ]


def oom_kills() -> int | None:
    """OOM kills in our cgroup, which is the kernel's too."""
    try:
        return _core.cgroup()["oom_kills"]
    except OSError:
        return None


def is_interrupt(error: BaseException) -> bool:
    return isinstance(error, (asyncio.CancelledError, KeyboardInterrupt))


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def interrupting(interrupt: Callable[[], None]) -> Iterator[None]:
    """In the main thread: Ctrl-C, SIGTERM and SIGHUP call `interrupt`.

    SIGHUP stays ignored under nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signals.SIGINT, signals.SIGTERM]
    if signals.getsignal(signals.SIGHUP) is not signals.SIG_IGN:
        caught.append(signals.SIGHUP)
    before = [signals.signal(each, lambda *_: interrupt()) for each in caught]
    try:
        yield
    finally:
        for signal, handler in zip(caught, before, strict=True):
            signals.signal(signal, handler)
