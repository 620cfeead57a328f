"""Notebooks on a Dask cluster: one task each, by value, and none lost with a worker."""

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
from ..execution import code_cells, interrupting, not_begun
from ..progress import Listener
from ..results import NotebookRun, NotebookState
from .connection import CHECK_S, Call, ClusterError, check, connect, no_memwatch
from .run_log import Attempts, Message

__all__ = ["ClusterError", "run_on_cluster"]

_LOOK_S = 1.0
_END_S = 5
"""How long the scheduler is waited for at the end; it may hang."""
_GONE_LOOKS = 2
"""How often in a row a worker is to be missing: its result may be on its way."""
_UNREACHABLE_LOOKS = 5


def run_on_cluster(
    jobs: Sequence[Job],
    address: str,
    retries: int,
    on_run: OnRun,
    listener: Listener | None = None,
) -> list[NotebookRun]:
    """Run them on the workers of the scheduler at `address`; results in their order.

    Each job's notebook becomes the executed one. One whose worker dies is begun again
    on another, at most `retries` times; then it is ``died``, with the last sample that
    was heard. `on_run` is called with each as soon as it is through. Ctrl-C, SIGTERM
    and SIGHUP end those that are not, as ``interrupted``, whether or not the scheduler
    answers. ClusterError, MissingLibraryError.
    """
    batch = _Batch(address, jobs, retries, on_run, listener or Listener())
    with interrupting(batch.interrupt):
        return batch.run(need("distributed", "dask", "running notebooks on a cluster"))


class _Remote:
    """A running kernel's memory, as far as it was heard."""

    def __init__(self, rss_bytes: int | None) -> None:
        self.newest_bytes = rss_bytes

    def rss_bytes(self) -> int | None:
        """The newest sample."""
        return self.newest_bytes


class _Batch:
    """The jobs on their way: one thread decides, and never waits for the scheduler.

    Whatever may hang with the scheduler is called in a thread of its own. What comes of
    it, like what the client hears and what signals ask for, is put into the inbox.
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
        """Futures of notebooks that were interrupted."""
        self._submitted = [0] * len(jobs)
        self._runs: dict[int, NotebookRun] = {}
        self._missing: dict[int, int] = {}
        self._failure: ClusterError | None = None
        self._submit_at: float | None = None
        """When the workers have to have answered; None: the jobs are submitted, or the
        client is not connected."""
        self._is_looking = False
        self._unreachable = 0
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self, distributed: Any) -> list[NotebookRun]:
        self._aside(lambda: connect(distributed, self._address), self._connected)
        try:
            self._wait()
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure
        return [self._runs[number] for number in range(len(self._jobs))]

    def interrupt(self) -> None:
        """End what is not through. Any thread, and signal handlers."""
        self._inbox.put(self._interrupt)

    def _aside(
        self, call: Callable[[], Any], then: Callable[[Any, BaseException | None], None]
    ) -> threading.Thread:
        """Call it in another thread; `then` gets its result or error in this one."""

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

    # ---- how it begins and ends ----

    def _connected(self, client: Any, failure: BaseException | None) -> None:
        if failure is not None:
            self._fail(failure)
            return
        self._client = client
        self._submit_at = time.monotonic() + CHECK_S
        self._aside(lambda: check(client, self._address), self._checked)

    def _checked(self, _: None, failure: BaseException | None) -> None:
        if self._submit_at is None:
            return  # too late: each task checks its worker
        if failure is None:
            self._submit_all()
        else:
            self._fail(failure)

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, ClusterError):
            told = " ".join(str(error).split()) or type(error).__name__
            error = ClusterError(
                f"the workers of {self._address} do not respond: {told}"
            )
        self._failure = error

    def _submit_all(self) -> None:
        from .remote import TOPIC

        self._submit_at = None
        self._client.subscribe_topic(TOPIC, self._on_event)
        for number in range(len(self._jobs)):
            self._submit(number)

    def _close(self) -> None:
        """Take back what is on the scheduler, if it answers in time."""
        if self._client is not None:
            self._aside(self._disconnect, lambda *_: None).join(_END_S)

    def _disconnect(self) -> None:
        from .remote import METADATA, TOPIC

        client = self._client
        with suppress(Exception):  # the scheduler may be gone, and all that with it
            if self._unwanted:
                # Their workers see it within a second, and end their kernels.
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
        except Exception:  # the client has lost its scheduler
            self._lost(number, "died", self._why_gone)
            return
        self._futures[number] = future
        self._client.loop.add_callback(self._gather, number, future)

    async def _gather(self, number: int, future: Any) -> None:
        """In the client's thread. What a worker took with it is run again by Dask."""
        try:
            outcome = await future
        except BaseException as error:
            failure = error
            self._inbox.put(lambda: self._failed(number, future, failure))
        else:
            self._inbox.put(lambda: self._came(number, outcome))

    # ---- what comes in ----

    def _on_event(self, event: tuple[float, Message]) -> None:
        message = event[1]
        if message.get("batch") == self._id:
            self._inbox.put(lambda: self._hear(message))

    def _hear(self, message: Message) -> None:
        number, kind = message["job"], message["kind"]
        if number in self._runs or not self._attempts[number].hear(message):
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

    def _came(self, number: int, outcome: Any) -> None:
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
            # The scheduler counts all workers that died with the task assigned, begun
            # or not, and has a limit of its own.
            self._aside(
                lambda: self._begun(number),
                lambda begun, _: self._begin_again(number, future, begun),
            )
            return
        if isinstance(error, (CancelledError, asyncio.CancelledError)):
            why = "given up: cancelled on the cluster, or its scheduler is gone,"
            self._lost(number, "interrupted", lambda where: f"{why} {where}")
            return
        if isinstance(error, ModuleNotFoundError) and "memwatch" in str(error):
            told = no_memwatch("that it came to")
        else:
            told = " ".join(f"{type(error).__name__}: {error}".split())
        self._lost(number, "no kernel", lambda where: told)

    def _begun(self, number: int) -> int:
        from .remote import METADATA

        keys = [METADATA, self._id, str(number)]
        begun: int = self._client.get_metadata(keys, 0)
        return begun

    def _begin_again(self, number: int, future: Any, begun: int | None) -> None:
        if number in self._runs or self._futures[number] is not future:
            return
        if begun is None:  # the scheduler is gone: as far as was heard
            current = self._attempts[number].current
            self._died(number, 1 if current is None else current[0])
        elif begun < self._allowed:
            self._submit(number)
        else:
            self._died(number, begun)

    def _interrupt(self) -> None:
        self._unwanted += self._futures.values()
        for number in range(len(self._jobs)):
            if number not in self._runs:
                self._lost(number, "interrupted", lambda where: f"interrupted {where}")

    # ---- what does not ----

    def _look(self) -> None:
        """Nobody tells that a worker with no other one to take its task has died.

        A scheduler that does not answer is waited for: it may be busy.
        """
        if self._client is None or self._is_looking:
            return
        if self._submit_at is not None:
            # One worker that hangs keeps all answers back. Each task checks, too.
            if time.monotonic() >= self._submit_at:
                self._submit_all()
            return
        self._is_looking = True
        self._aside(self._client.nthreads, self._looked)

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
        self._aside(lambda: self._client.cancel([future], force=True), lambda *_: None)

    def _give_up(self) -> None:
        for number in range(len(self._jobs)):
            if number not in self._runs:
                self._lost(number, "died", self._why_gone)

    def _why_gone(self, where: str) -> str:
        return f"the scheduler {self._address} is gone, {where}"

    # ---- how one ends ----

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
        # The outputs of what ran there are gone; those of an earlier run are not its.
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
