"""Options, progress and interruption of one notebook's execution."""

from __future__ import annotations

import asyncio
import signal as signals
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
    children: bool = False
    """Whether to measure the kernel's child processes too."""


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


def how_it_ended(progress: Progress) -> str:
    """How the kernel ended by itself: ``exited with status 1``."""
    code = None if progress.process is None else progress.process.poll()
    before, now = progress.kills_before, oom_kills()
    if code is None:
        return "died"
    if code >= 0:
        return f"exited with status {code}"
    if code == -signals.SIGKILL and None not in (before, now) and now != before:
        return "was OOM-killed"
    try:
        name = f" ({signals.Signals(-code).name})"
    except ValueError:
        name = ""
    return f"was killed by signal {-code}{name}"


def is_interrupt(error: BaseException) -> bool:
    return isinstance(error, (asyncio.CancelledError, KeyboardInterrupt))


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
