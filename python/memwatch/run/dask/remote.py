"""One notebook on a Dask worker: what is sent there, and what it tells meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import nbformat
from distributed import get_worker
from distributed.utils import sync
from nbformat import NotebookNode

from ... import __version__
from ...report import first_line, iso_8601
from ..execution import Options
from ..kernels import KernelMemory
from ..progress import Listener
from ..results import NotebookRun
from ..runner import Runner

__all__ = [
    "METADATA",
    "METRIC",
    "TOPIC",
    "Outcome",
    "Task",
    "VersionError",
    "execute",
    "notebook_of",
    "without_outputs",
]

TOPIC = "memwatch"
"""Of the events: ``Client.get_events("memwatch")``."""
METRIC = "memwatch_rss_bytes"
"""Of each worker: what the kernels that it runs hold now."""
METADATA = "memwatch"
"""Where the scheduler keeps how often each notebook was begun."""

_INTERVAL_S = 1.0


class VersionError(Exception):
    """The worker's memwatch is another than the client's; one line."""


@dataclass(frozen=True)
class Task:
    """What one notebook needs to be run elsewhere: no file but what is in here."""

    batch: str
    job: int
    path: str
    text: str
    """The notebook, JSON."""
    options: Options
    attempts: int
    """How often it may be begun."""
    version: str = __version__


@dataclass(frozen=True)
class Outcome:
    """What comes back."""

    run: NotebookRun | None
    """None: it was begun as often as it may be already, and not once more."""
    text: str = ""
    """The executed notebook, JSON."""


def without_outputs(notebook: Any) -> dict[str, Any]:
    """What a worker needs of it. The outputs stay here, for cells that are not run."""
    bare: dict[str, Any] = {"outputs": [], "execution_count": None}
    cells = [
        {**each, **bare} if each.cell_type == "code" else each
        for each in notebook.cells
    ]
    return {**notebook, "cells": cells}


def execute(task: Task) -> Outcome:
    """Run it in this worker, in a folder of its own that goes away with it."""
    worker = get_worker()
    if task.version != __version__:
        raise VersionError(
            f"the worker {worker.address} has memwatch {__version__}, not"
            f" {task.version}; install the same version on both"
        )
    attempt = _begin(worker, task)
    if attempt > task.attempts:
        return Outcome(None)
    notebook = notebook_of(task.text)
    teller = _Teller(worker, task, attempt)
    key = worker.get_current_task()
    with tempfile.TemporaryDirectory(
        prefix="memwatch-", dir=worker.local_directory, ignore_cleanup_errors=True
    ) as folder:
        options = replace(task.options, cwd=folder)
        teller.runner = Runner(notebook, task.path, options, teller)
        try:
            run = asyncio.run(_run(teller, lambda: _is_wanted(worker, key)))
        finally:
            _kernels.pop(teller, None)
    teller.ended(run)
    return Outcome(replace(run, attempts=attempt), json.dumps(notebook))


def notebook_of(text: str) -> NotebookNode:
    """The notebook that was sent as `text`."""
    read: Any = nbformat.from_dict  # without types
    notebook: NotebookNode = read(json.loads(text))
    return notebook


def _begin(worker: Any, task: Task) -> int:
    """How often it has been begun now: the scheduler counts, and survives workers."""
    keys = [METADATA, task.batch, str(task.job)]
    before: int = sync(worker.loop, worker.scheduler.get_metadata, keys=keys, default=0)
    sync(worker.loop, worker.scheduler.set_metadata, keys=keys, value=before + 1)
    return before + 1


def _is_wanted(worker: Any, key: Any) -> bool:
    """Whether anybody still waits for it: a thread cannot be cancelled."""
    if worker.status.name in ("closing", "closed", "failed"):
        return False
    task = worker.state.tasks.get(key)
    return task is not None and task.state not in ("cancelled", "released", "forgotten")


async def _run(teller: _Teller, is_wanted: Callable[[], bool]) -> NotebookRun:
    runner = teller.runner
    assert runner is not None
    running = asyncio.ensure_future(runner.run())
    while True:
        done, _ = await asyncio.wait({running}, timeout=_INTERVAL_S)
        if done:
            return running.result()
        teller.sample()
        if not runner.stop.requested and not is_wanted():
            runner.stop.requested = True
            running.cancel()


_kernels: dict[_Teller, KernelMemory] = {}
"""Those that run in this process."""


def _rss_bytes(worker: Any) -> int:
    return sum(each.rss_bytes() or 0 for each in list(_kernels.values()))


class _Teller(Listener):
    """Listens to a runner, and tells the scheduler."""

    def __init__(self, worker: Any, task: Task, attempt: int) -> None:
        self.runner: Runner | None = None
        self._worker = worker
        self._memory: KernelMemory | None = None
        self._told: set[int] = set()
        self._title = {
            "batch": task.batch,
            "job": task.job,
            "notebook": task.path,
            "attempt": attempt,
            "worker": worker.address,
            "host": socket.gethostname(),
        }
        # The dashboard's table of workers shows it as a column.
        worker.metrics[METRIC] = _rss_bytes

    def _tell(self, kind: str, **more: Any) -> None:
        cells = 0 if self.runner is None else len(self.runner.progress.cells)
        title = {
            **self._title,
            "kind": kind,
            "cells": cells,
            "reported_at": iso_8601(time.time_ns()),
        }
        self._worker.log_event(TOPIC, {**title, **more})

    def begun(self, notebook: str, cells: int) -> None:
        """Its kernel is being started."""
        self._tell("begun")

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """That cell is sent, so the one before it is done."""
        self._tell_done()
        assert self.runner is not None
        self._memory = memory
        if memory is not None:
            _kernels[self] = memory
        index = self.runner.progress.running
        assert index is not None
        self._tell(
            "cell",
            cell_index=index,
            source=first_line(source),
            cell_id=self.runner.notebook.cells[index].get("id"),
            kernel_pid=self.runner.progress.pid,
            rss_bytes=None if memory is None else memory.rss_bytes(),
        )

    def sample(self) -> None:
        """What it holds now."""
        self._tell_done()
        if self._memory is not None:
            self._tell("sample", rss_bytes=self._memory.rss_bytes())

    def ended(self, run: NotebookRun) -> None:
        """It is through."""
        self._tell_done()
        self._tell("ended", state=run.state, rss_peak_bytes=run.rss_peak_bytes)

    def _tell_done(self) -> None:
        assert self.runner is not None
        for index in sorted(set(self.runner.progress.done) - self._told):
            self._told.add(index)
            cell = self.runner.cell_run(index)
            # Without the curve: a message stays small, the result brings it.
            report = cell.report and replace(cell.report, timeline=None).to_dict()
            self._tell("closed", cell_index=index, state=cell.state, report=report)
