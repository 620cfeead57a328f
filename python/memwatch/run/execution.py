"""How one notebook is run: its options, a wish to stop, and how far it is."""

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

__all__ = [
    "Options",
    "Progress",
    "Stop",
    "code_cells",
    "interrupting",
    "is_interrupt",
    "not_begun",
    "one_line",
    "oom_kills",
]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How notebooks are run."""

    kernel_name: str | None = None
    """Instead of the one that the notebook names."""
    timeout: float | None = None
    """Seconds for each cell; None: no limit."""
    startup_timeout: float = 60
    """Seconds for the kernel to be ready."""
    allow_errors: bool = False
    """Whether the cells after one that raises are run, too."""
    cwd: str | None = None
    """The folder to run in; None: the notebook's own."""


class Stop:
    """Somebody's wish that notebooks end now.

    `listen` is called when nbclient has taken the signal handlers for itself.
    """

    def __init__(self, listen: Callable[[], None] = lambda: None) -> None:
        self.requested = False
        self.listen = listen


@dataclass
class Progress:
    """What is known so far."""

    cells: list[int]
    """The indices of the code cells that have text."""
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
    """The result of one that was to be run, and was interrupted before."""
    return NotebookRun(
        notebook=path,
        state="interrupted",
        message="interrupted before it was begun",
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
    """The count of the cgroup that the kernel shares with us."""
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
    """Ctrl-C, SIGTERM and SIGHUP call `interrupt`, where this is the main thread.

    But SIGHUP stays ignored where it is, by nohup.
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
