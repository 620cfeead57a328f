"""Run several notebooks concurrently in one event loop."""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nbformat import NotebookNode

from .budgets.budgets import Budgets
from .execution import Options, Stop, not_begun
from .progress import Listener
from .results import NotebookRun
from .runner import run_notebook

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
) -> list[NotebookRun]:
    """Run the jobs, `at_once` at a time; the results in the same order.

    `on_run` is called when a notebook has ended. SIGINT, SIGTERM and SIGHUP (unless it
    is ignored) interrupt all notebooks that have not ended.
    """
    return asyncio.run(_run_all(jobs, at_once, on_run, listener or Listener()))


async def _run_all(
    jobs: Sequence[Job], at_once: int, on_run: OnRun, listener: Listener
) -> list[NotebookRun]:
    room = asyncio.Semaphore(at_once)
    tasks: list[asyncio.Task[NotebookRun]] = []
    loop = asyncio.get_running_loop()
    caught = [signals.SIGINT, signals.SIGTERM]
    # nohup ignores SIGHUP: keep that.
    if signals.getsignal(signals.SIGHUP) is not signals.SIG_IGN:
        caught.append(signals.SIGHUP)

    def listen_to_signals() -> None:
        for signal in caught:
            loop.add_signal_handler(signal, interrupt)

    # nbclient replaces the handlers when it starts a kernel, and removes them when the
    # notebook ends.
    stop = Stop(listen_to_signals)

    def interrupt() -> None:
        # Once: a second SIGHUP, from the shell, would cancel the kernels' shutdown.
        if stop.requested:
            return
        stop.requested = True
        for task in tasks:
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

    listen_to_signals()
    tasks += [asyncio.ensure_future(run(job)) for job in jobs]
    return [await task for task in tasks]
