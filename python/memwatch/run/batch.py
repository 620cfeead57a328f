"""Run several notebooks concurrently in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from .budgets.budgets import Budgets
from .execution import Options, not_begun
from .progress import Listener
from .results import NotebookRun
from .runner import run_notebook
from .signals import Stop, interrupting

OnRun = Callable[["Job", NotebookRun], None]


@dataclass
class Job:
    """One notebook of a batch."""

    path: str
    """As it was given; its result has it too."""
    notebook: NotebookNode
    options: Options
    output: str | None = None
    """The file for the executed notebook; None: it is not written."""
    budgets: Budgets = field(default_factory=Budgets)
    run: NotebookRun | None = None
    """The result; None: it has not ended."""


def run_all(
    jobs: Sequence[Job],
    at_once: int,
    on_run: OnRun,
    listener: Listener | None = None,
    stop: Stop | None = None,
) -> list[NotebookRun]:
    """Run the jobs, `at_once` at a time; the results in the same order.

    `on_run` is called when a notebook has ended. `stop`, SIGINT, SIGTERM and SIGHUP
    (unless it is ignored) interrupt all notebooks that have not ended.
    """
    stop = stop or Stop()
    with interrupting(stop.request):
        try:
            return asyncio.run(
                _run_all(jobs, at_once, on_run, listener or Listener(), stop)
            )
        finally:
            stop.at_request(None)


async def _run_all(
    jobs: Sequence[Job], at_once: int, on_run: OnRun, listener: Listener, stop: Stop
) -> list[NotebookRun]:
    room = asyncio.Semaphore(at_once)
    loop: Any = asyncio.get_running_loop()
    # nbclient would replace our signal handlers when it starts a kernel, and remove
    # them when the notebook ends.
    loop.add_signal_handler = _refuse

    def interrupt() -> None:
        running = [task for task in tasks if not task.done()]
        if running:
            listener.interrupted()
        for task in running:
            task.cancel()

    async def run(job: Job) -> NotebookRun:
        try:
            async with room:
                result = await run_notebook(
                    job.notebook, job.path, job.options, listener, stop
                )
        except asyncio.CancelledError:
            result = not_begun(job.notebook, job.path)
            listener.ended(result)
        on_run(job, result)
        return result

    tasks = [asyncio.ensure_future(run(job)) for job in jobs]
    stop.at_request(lambda: loop.call_soon_threadsafe(interrupt))
    return [await task for task in tasks]


def _refuse(*_: Any) -> None:
    # As asyncio does in other threads than the main one.
    raise RuntimeError("signals are handled by memwatch")
