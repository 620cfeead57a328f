"""Run one notebook on a Dask worker, and send events meanwhile."""

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
from ...report import iso_8601, telling_line
from ..execution import Options
from ..kernels import KernelMemory
from ..progress import Listener
from ..results import NotebookRun
from ..runner import Runner

TOPIC = "memwatch"
"""The topic of the events: ``Client.get_events("memwatch")``."""
METRIC = "memwatch_rss_bytes"
"""A metric of each worker: RSS of its kernels."""
METADATA = "memwatch"
"""The scheduler's metadata key for the number of attempts of each notebook."""

_INTERVAL_S = 1.0


class VersionError(Exception):
    """The worker and the client have different versions of memwatch; one line."""


@dataclass(frozen=True)
class Task:
    """One notebook and its options; needs no files."""

    batch: str
    job: int
    path: str
    text: str
    """The notebook, JSON."""
    options: Options
    attempts: int
    """Maximum number of attempts."""
    version: str = __version__


@dataclass(frozen=True)
class Outcome:
    """The result of a task."""

    run: NotebookRun | None
    """None: no attempt was left."""
    text: str = ""
    """The executed notebook, JSON."""


def without_outputs(notebook: Any) -> dict[str, Any]:
    """The notebook without outputs, which a worker does not need."""
    bare: dict[str, Any] = {"outputs": [], "execution_count": None}
    cells = [
        {**each, **bare} if each.cell_type == "code" else each
        for each in notebook.cells
    ]
    return {**notebook, "cells": cells}


def execute(task: Task) -> Outcome:
    """Run the task in this worker, in a temporary folder."""
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
    reporter = _Reporter(worker, task, attempt)
    key = worker.get_current_task()
    with tempfile.TemporaryDirectory(
        prefix="memwatch-", dir=worker.local_directory, ignore_cleanup_errors=True
    ) as folder:
        options = replace(task.options, cwd=folder)
        reporter.runner = Runner(notebook, task.path, options, reporter)
        try:
            run = asyncio.run(_run(reporter, lambda: _is_wanted(worker, key)))
        finally:
            _kernels.pop(reporter, None)
    reporter.ended(run)
    return Outcome(replace(run, attempts=attempt), json.dumps(notebook))


def notebook_of(text: str) -> NotebookNode:
    """The notebook in `text`."""
    read: Any = nbformat.from_dict  # without types
    notebook: NotebookNode = read(json.loads(text))
    return notebook


def _begin(worker: Any, task: Task) -> int:
    """The number of this attempt; counted by the scheduler, which survives workers."""
    keys = [METADATA, task.batch, str(task.job)]
    before: int = sync(worker.loop, worker.scheduler.get_metadata, keys=keys, default=0)
    sync(worker.loop, worker.scheduler.set_metadata, keys=keys, value=before + 1)
    return before + 1


def _is_wanted(worker: Any, key: Any) -> bool:
    """Whether the task was not cancelled: Dask cannot stop its thread."""
    if worker.status.name in ("closing", "closed", "failed"):
        return False
    task = worker.state.tasks.get(key)
    return task is not None and task.state not in ("cancelled", "released", "forgotten")


async def _run(reporter: _Reporter, is_wanted: Callable[[], bool]) -> NotebookRun:
    runner = reporter.runner
    assert runner is not None
    running = asyncio.ensure_future(runner.run())
    while True:
        done, _ = await asyncio.wait({running}, timeout=_INTERVAL_S)
        if done:
            return running.result()
        reporter.sample()
        if not runner.stop.requested and not is_wanted():
            runner.stop.requested = True
            running.cancel()


_kernels: dict[_Reporter, KernelMemory] = {}
"""The running kernels of this process."""


def _rss_bytes(worker: Any) -> int:
    return sum(each.rss_bytes() or 0 for each in list(_kernels.values()))


class _Reporter(Listener):
    """Sends the events of a runner to the scheduler."""

    def __init__(self, worker: Any, task: Task, attempt: int) -> None:
        self.runner: Runner | None = None
        self._worker = worker
        self._memory: KernelMemory | None = None
        self._reported: set[int] = set()
        self._title = {
            "batch": task.batch,
            "job": task.job,
            "notebook": task.path,
            "attempt": attempt,
            "worker": worker.address,
            "host": socket.gethostname(),
        }
        # A column in the dashboard's table of workers.
        worker.metrics[METRIC] = _rss_bytes

    def _send(self, kind: str, **more: Any) -> None:
        cells = 0 if self.runner is None else len(self.runner.progress.cells)
        title = {
            **self._title,
            "kind": kind,
            "cells": cells,
            "reported_at": iso_8601(time.time_ns()),
        }
        self._worker.log_event(TOPIC, {**title, **more})

    def begun(self, notebook: str, cells: int) -> None:
        """Report that the kernel is being started."""
        self._send("begun")

    def cell(
        self, notebook: str, place: int, source: str, memory: KernelMemory | None
    ) -> None:
        """Report the cell, and the end of the previous one."""
        self._send_done()
        assert self.runner is not None
        self._memory = memory
        if memory is not None:
            _kernels[self] = memory
        index = self.runner.progress.running
        assert index is not None
        self._send(
            "cell",
            cell_index=index,
            source=telling_line(source),
            cell_id=self.runner.notebook.cells[index].get("id"),
            kernel_pid=self.runner.progress.pid,
            rss_bytes=None if memory is None else memory.rss_bytes(),
        )

    def sample(self) -> None:
        """Report the kernel's RSS."""
        self._send_done()
        if self._memory is not None:
            self._send("sample", rss_bytes=self._memory.rss_bytes())

    def ended(self, run: NotebookRun) -> None:
        """Report the end."""
        self._send_done()
        self._send("ended", state=run.state, rss_peak_bytes=run.rss_peak_bytes)

    def _send_done(self) -> None:
        assert self.runner is not None
        for index in sorted(set(self.runner.progress.done) - self._reported):
            self._reported.add(index)
            cell = self.runner.cell_run(index)
            # Without the timeline, which the result has: messages stay small.
            report = cell.report and replace(cell.report, timeline=None).to_dict()
            self._send("closed", cell_index=index, state=cell.state, report=report)
