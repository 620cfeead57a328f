"""Run notebooks on a Dask cluster: one task each, started again if a worker dies."""

from __future__ import annotations

import asyncio
import json
import pickle
import queue
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any

from ...optional import need
from ..batch import Job, OnRun
from ..execution import code_cells, not_begun
from ..progress import Listener
from ..results import NotebookRun, NotebookState
from ..signals import Stop, interrupting
from .connection import CHECK_S, Call, ClusterError, check, connect, no_memwatch
from .run_log import Attempts, Message

_LOOK_S = 1.0
_END_S = 5
"""Maximum time for the scheduler at the end; it may hang."""
_GONE_LOOKS = 2
"""Checks in a row that must miss a worker: its result may be on its way."""
_UNREACHABLE_LOOKS = 5


def run_on_cluster(
    jobs: Sequence[Job],
    address: str,
    retries: int,
    on_run: OnRun,
    listener: Listener | None = None,
    stop: Stop | None = None,
) -> list[NotebookRun]:
    """Run the jobs with the scheduler at `address`; the results in the same order.

    Each job's notebook becomes the executed one. If its worker dies, it starts again on
    another, at most `retries` times; then it is ``died``, with the last sample we got.
    `on_run` is called at a notebook's end. `stop`, Ctrl-C, SIGTERM, SIGHUP interrupt
    the others, even if the scheduler hangs. ClusterError, MissingLibraryError.
    """
    batch = _Batch(address, jobs, retries, on_run, listener or Listener())
    stop = stop or Stop()
    with interrupting(stop.request):
        stop.at_request(batch.interrupt)
        return batch.run(need("distributed", "dask", "running notebooks on a cluster"))


class _Remote:
    """A running kernel's memory, from messages."""

    def __init__(self, rss_bytes: int | None) -> None:
        self.newest_bytes = rss_bytes

    def rss_bytes(self) -> int | None:
        """The newest sample."""
        return self.newest_bytes


class _Batch:
    """The state of all jobs; used by one thread, which never waits for the scheduler.

    Calls that may hang run in other threads. Their results, the client's events and
    signals arrive in the inbox, as functions to call.
    """

    def __init__(
        self,
        address: str,
        jobs: Sequence[Job],
        retries: int,
        on_run: OnRun,
        listener: Listener,
    ) -> None:
        self._client: Any = None
        self._address = address
        self._jobs = jobs
        self._allowed = retries + 1
        self._on_run = on_run
        self._listener = listener
        self._id = uuid.uuid4().hex
        self._attempts = [Attempts() for _ in jobs]
        self._remotes: dict[int, _Remote] = {}
        self._futures: dict[int, Any] = {}
        self._unwanted: list[Any] = []
        """Futures of interrupted notebooks."""
        self._submitted = [0] * len(jobs)
        self._runs: dict[int, NotebookRun] = {}
        self._missing: dict[int, int] = {}
        self._failure: ClusterError | None = None
        self._submit_at: float | None = None
        """The time limit of the workers' check; None: submitted, or not connected."""
        self._is_looking = False
        self._unreachable = 0
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self, distributed: Any) -> list[NotebookRun]:
        self._in_thread(lambda: connect(distributed, self._address), self._connected)
        try:
            self._wait()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        return [self._runs[number] for number in range(len(self._jobs))]

    def interrupt(self) -> None:
        """Interrupt all running notebooks. Any thread, and signal handlers."""
        self._inbox.put(self._interrupt)

    def _in_thread(
        self,
        call: Callable[[], Any],
        then: Callable[[Any, BaseException | None], None] = lambda *_: None,
    ) -> threading.Thread:
        """Call it in another thread; `then` gets its result or error here."""

        def run() -> None:
            result, failure = None, None
            try:
                result = call()
            except BaseException as error:
                failure = error
            self._inbox.put(lambda: then(result, failure))

        thread = threading.Thread(target=run, name="memwatch-dask", daemon=True)
        thread.start()
        return thread

    def _wait(self) -> None:
        look_at = time.monotonic() + _LOOK_S
        while len(self._runs) < len(self._jobs) and self._failure is None:
            try:
                self._inbox.get(timeout=max(0.0, look_at - time.monotonic()))()
            except queue.Empty:
                self._look()
                look_at = time.monotonic() + _LOOK_S

    # ---- start and end ----

    def _connected(self, client: Any, failure: BaseException | None) -> None:
        if failure is not None:
            self._fail(failure)
            return
        self._client = client
        self._submit_at = time.monotonic() + CHECK_S
        self._in_thread(lambda: check(client, self._address), self._checked)

    def _checked(self, _: None, failure: BaseException | None) -> None:
        if self._submit_at is None:
            return  # too late: each task checks its worker
        if failure is None:
            self._submit_all()
        else:
            self._fail(failure)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, ClusterError):
            reason = " ".join(str(error).split()) or type(error).__name__
            error = ClusterError(
                f"the workers of {self._address} do not respond: {reason}"
            )
        self._failure = error

    def _submit_all(self) -> None:
        from .remote import TOPIC

        self._submit_at = None
        self._client.subscribe_topic(TOPIC, self._on_event)
        for number in range(len(self._jobs)):
            self._submit(number)

    def _close(self) -> None:
        """Clean up on the scheduler, if it responds in time."""
        if self._client is not None:
            self._in_thread(self._disconnect).join(_END_S)

    def _disconnect(self) -> None:
        from .remote import METADATA, TOPIC

        client = self._client
        with suppress(Exception):  # the scheduler may have ended
            if self._unwanted:
                # Their workers notice within a second, and end their kernels.
                client.cancel(self._unwanted, force=True)
            client.unsubscribe_topic(TOPIC)
            client.set_metadata([METADATA, self._id], None)
        client.close()

    def _submit(self, number: int) -> None:
        from .remote import Task, without_outputs

        job = self._jobs[number]
        text = json.dumps(without_outputs(job.notebook))
        options = job.options
        task = Task(self._id, number, job.path, text, options, self._allowed)
        self._submitted[number] += 1
        try:
            future = self._client.submit(
                pickle.loads,
                pickle.dumps(Call(task)),
                key=f"memwatch-{self._id}-{number}-{self._submitted[number]}",
                priority=-number,
                pure=False,
            )
        except Exception:  # the scheduler has ended
            self._lost(number, "died", self._why_gone)
            return
        self._futures[number] = future
        self._client.loop.add_callback(self._gather, number, future)

    async def _gather(self, number: int, future: Any) -> None:
        """In the client's thread. Dask repeats the task of a worker that died."""
        try:
            outcome = await future
        except BaseException as error:
            failure = error
            self._inbox.put(lambda: self._failed(number, future, failure))
        else:
            self._inbox.put(lambda: self._completed(number, outcome))

    # ---- events and results ----

    def _on_event(self, event: tuple[float, Message]) -> None:
        message = event[1]
        if message.get("batch") == self._id:
            self._inbox.put(lambda: self._receive(message))

    def _receive(self, message: Message) -> None:
        number, kind = message["job"], message["kind"]
        if number in self._runs or not self._attempts[number].receive(message):
            return
        path = self._jobs[number].path
        if kind == "begun":
            self._listener.begun(path, message["cells"])
        elif kind == "cell":
            remote = self._remotes[number] = _Remote(message["rss_bytes"])
            memory: Any = remote
            cells = code_cells(self._jobs[number].notebook)
            place = cells.index(message["cell_index"]) + 1
            self._listener.cell(path, place, message["source"], memory)
        elif kind == "sample" and number in self._remotes:
            self._remotes[number].newest_bytes = message["rss_bytes"]

    def _completed(self, number: int, outcome: Any) -> None:
        from .remote import notebook_of

        if number in self._runs:
            return
        if outcome.run is None:
            self._died(number, self._allowed)
            return
        notebook: Any = self._jobs[number].notebook
        executed = notebook_of(outcome.text)
        ran = {each.cell_index for each in outcome.run.cells if each.state != "not run"}
        for index, cell in enumerate(executed.cells):
            if cell.cell_type == "code" and index not in ran:
                here = notebook.cells[index]
                cell.outputs, cell.execution_count = here.outputs, here.execution_count
        notebook.clear()
        notebook.update(executed)
        self._end(number, self._attempts[number].with_losses(outcome.run))

    def _failed(self, number: int, future: Any, error: BaseException) -> None:
        from distributed.scheduler import KilledWorker

        if number in self._runs or self._futures[number] is not future:
            return
        if isinstance(error, KilledWorker):
            # The scheduler's own limit; it also counts workers that died before they
            # started the task.
            self._in_thread(
                lambda: self._begun(number),
                lambda begun, _: self._begin_again(number, future, begun),
            )
            return
        if isinstance(error, (CancelledError, asyncio.CancelledError)):
            why = "given up: cancelled on the cluster, or its scheduler is gone,"
            self._lost(number, "interrupted", lambda where: f"{why} {where}")
            return
        if isinstance(error, ModuleNotFoundError) and "memwatch" in str(error):
            reason = no_memwatch("of this notebook")
        else:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
        self._lost(number, "no kernel", lambda where: reason)

    def _begun(self, number: int) -> int:
        from .remote import METADATA

        keys = [METADATA, self._id, str(number)]
        begun: int = self._client.get_metadata(keys, 0)
        return begun

    def _begin_again(self, number: int, future: Any, begun: int | None) -> None:
        if number in self._runs or self._futures[number] is not future:
            return
        if begun is None:  # the scheduler has ended
            current = self._attempts[number].current
            self._died(number, 1 if current is None else current[0])
        elif begun < self._allowed:
            self._submit(number)
        else:
            self._died(number, begun)

    def _interrupt(self) -> None:
        self._listener.interrupted()
        self._unwanted += self._futures.values()
        for number in range(len(self._jobs)):
            if number not in self._runs:
                self._lost(number, "interrupted", lambda where: f"interrupted {where}")

    # ---- missing workers ----

    def _look(self) -> None:
        """Check the workers: Dask does not report that the last worker has died.

        A scheduler that does not respond may be busy: check again.
        """
        if self._client is None or self._is_looking:
            return
        if self._submit_at is not None:
            # One hanging worker delays the check of all. Each task checks, too.
            if time.monotonic() >= self._submit_at:
                self._submit_all()
            return
        self._is_looking = True
        self._in_thread(self._client.nthreads, self._looked)

    def _looked(self, there: Any, failure: BaseException | None) -> None:
        self._is_looking = False
        if failure is not None:
            self._unreachable += 1
            if self._unreachable >= _UNREACHABLE_LOOKS:
                self._give_up()
            return
        self._unreachable = 0
        for number in range(len(self._jobs)):
            current = self._attempts[number].current
            if number in self._runs or current is None:
                continue
            attempt, worker = current
            missing = 0 if worker in there else self._missing.get(number, 0) + 1
            self._missing[number] = missing
            if missing >= _GONE_LOOKS and attempt >= self._allowed:
                self._cancel(self._futures[number])
                self._died(number, attempt)

    def _cancel(self, future: Any) -> None:
        self._in_thread(lambda: self._client.cancel([future], force=True))

    def _give_up(self) -> None:
        for number in range(len(self._jobs)):
            if number not in self._runs:
                self._lost(number, "died", self._why_gone)

    def _why_gone(self, where: str) -> str:
        return f"the scheduler {self._address} is gone, {where}"

    # ---- the end of a notebook ----

    def _died(self, number: int, attempts: int) -> None:
        current = self._attempts[number].current
        worker = "" if current is None else f" {current[1]}"
        times = f"attempt {attempts} of {self._allowed}"
        self._lost(
            number,
            "died",
            lambda where: f"{times} was lost with the worker{worker} {where}",
            attempts,
        )

    def _lost(
        self,
        number: int,
        state: NotebookState,
        why: Callable[[str], str],
        attempts: int = 1,
    ) -> None:
        job = self._jobs[number]
        empty = not_begun(job.notebook, job.path)
        lost = self._attempts[number].lost(empty, state, attempts, why)
        # The outputs of executed cells are lost; remove those of an earlier run.
        for cell in lost.cells:
            if cell.state != "not run":
                at = job.notebook.cells[cell.cell_index]
                at.outputs, at.execution_count = [], None
        self._end(number, lost)

    def _end(self, number: int, run: NotebookRun) -> None:
        self._runs[number] = run
        self._futures.pop(number, None)
        self._listener.ended(run)
        self._on_run(self._jobs[number], run)
