"""Notebooks on a Dask cluster: one task each, by value, and none lost with a worker."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import pickle
import queue
import signal as signals
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any

from .. import __version__
from ..optional import install_command
from .attempts import Attempts, Message
from .batch import Job, OnRun
from .extras import need
from .results import NotebookRun, NotebookState
from .runner import Listener, Silent, not_begun

__all__ = ["ClusterError", "run_on_cluster"]

_LOOK_S = 1.0
_CONNECT_S = 10
_GONE_LOOKS = 2
"""How often in a row a worker is to be missing: its result may be on its way."""
_UNREACHABLE_LOOKS = 5


class ClusterError(Exception):
    """The cluster cannot run notebooks; one line, which says what to do."""


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
    was heard. `on_run` is called with each as soon as it is through. Ctrl-C and SIGTERM
    end those that are not, as ``interrupted``. ClusterError, MissingExtraError.
    """
    distributed = need("distributed", "dask", "running notebooks on a cluster")
    client = _connect(distributed, address)
    try:
        _check(client, address)
        batch = _Batch(client, address, jobs, retries, on_run, listener or Silent())
        return batch.run()
    finally:
        client.close()


def _connect(distributed: Any, address: str) -> Any:
    try:
        # A client that could not even begin would take 20 s to end, so try first.
        asyncio.run(_knock(address))
        return distributed.Client(
            address, timeout=_CONNECT_S, set_as_default=False, name="memwatch"
        )
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(
            f"no Dask scheduler answers at {address} ({reason}):"
            " `dask scheduler` prints the address to give"
        ) from None


async def _knock(address: str) -> None:
    comm: Any = importlib.import_module("distributed.comm")
    security: Any = importlib.import_module("distributed.security")
    options = security.Security().get_connection_args("client")
    opened = await comm.connect(address, timeout=_CONNECT_S, **options)
    await opened.close()


def _check(client: Any, address: str) -> None:
    """Every worker that is there is to have this memwatch. What comes later is told
    apart by its task.
    """
    found = client.run(importlib.metadata.version, "memwatch", on_error="return")
    for worker, version in sorted(found.items()):
        if isinstance(version, importlib.metadata.PackageNotFoundError):
            raise ClusterError(_no_memwatch(worker))
        if isinstance(version, str) and version != __version__:
            raise ClusterError(
                f"the worker {worker} has memwatch {version}, not {__version__}:"
                " install the same on both"
            )
    if not found:
        print(
            f"memwatch: {address} has no worker yet; waiting for one (Ctrl-C ends it)",
            file=sys.stderr,
        )


def _no_memwatch(where: str) -> str:
    return (
        f"the worker {where} has no memwatch: install memwatch {__version__} there,"
        f" and {install_command('dask')}"
    )


class _Remote:
    """A running kernel's memory, as far as it was heard."""

    def __init__(self, rss_bytes: int | None) -> None:
        self.newest_bytes = rss_bytes

    def rss_bytes(self) -> int | None:
        """The newest sample."""
        return self.newest_bytes


class _Call:
    """What its pickle becomes, where it is read, is the result of execute(task).

    So that the task itself is read by every worker: one that cannot read what it is
    given, for want of memwatch, would not fail the task, but hang.
    """

    def __init__(self, task: Any) -> None:
        self._task = task

    def __reduce__(self) -> tuple[Any, ...]:
        from .remote import execute

        return execute, (self._task,)


class _Batch:
    def __init__(
        self,
        client: Any,
        address: str,
        jobs: Sequence[Job],
        retries: int,
        on_run: OnRun,
        listener: Listener,
    ) -> None:
        self._client = client
        self._address = address
        self._jobs = jobs
        self._allowed = retries + 1
        self._on_run = on_run
        self._listener = listener
        self._id = uuid.uuid4().hex
        self._attempts = [Attempts() for _ in jobs]
        self._remotes: dict[int, _Remote] = {}
        self._futures: dict[int, Any] = {}
        self._submitted = [0] * len(jobs)
        self._runs: dict[int, NotebookRun] = {}
        self._missing: dict[int, int] = {}
        self._unreachable = 0
        # What the client's thread and signal handlers have for the one that waits.
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self) -> list[NotebookRun]:
        from .remote import METADATA, TOPIC

        self._client.subscribe_topic(TOPIC, self._on_event)
        try:
            with _interrupting(lambda: self._inbox.put(self._interrupt)):
                for number in range(len(self._jobs)):
                    self._submit(number)
                self._wait()
        finally:
            self._client.unsubscribe_topic(TOPIC)
            try:
                self._client.set_metadata([METADATA, self._id], None)
            except Exception:
                pass  # the scheduler is gone, and that with it
        return [self._runs[number] for number in range(len(self._jobs))]

    def _submit(self, number: int) -> None:
        from .remote import Task

        job = self._jobs[number]
        text = json.dumps(_without_outputs(job.notebook))
        options = job.options
        task = Task(self._id, number, job.path, text, options, self._allowed)
        self._submitted[number] += 1
        future = self._client.submit(
            pickle.loads,
            pickle.dumps(_Call(task)),
            key=f"memwatch-{self._id}-{number}-{self._submitted[number]}",
            priority=-number,
            pure=False,
        )
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

    def _wait(self) -> None:
        look_at = time.monotonic() + _LOOK_S
        while len(self._runs) < len(self._jobs):
            try:
                self._inbox.get(timeout=max(0.0, look_at - time.monotonic()))()
            except queue.Empty:
                self._look()
                look_at = time.monotonic() + _LOOK_S

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
            self._listener.cell(path, message["place"], message["source"], memory)
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
        ran = {each.index for each in outcome.run.cells if each.state != "not run"}
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
            begun = self._begun(number)
            if begun < self._allowed:
                self._submit(number)
            else:
                self._died(number, begun)
            return
        if isinstance(error, (CancelledError, asyncio.CancelledError)):
            why = "given up: cancelled on the cluster, or its scheduler is gone,"
            self._lost(number, "interrupted", lambda where: f"{why} {where}")
            return
        if isinstance(error, ModuleNotFoundError) and "memwatch" in str(error):
            told = _no_memwatch("that it came to")
        else:
            told = " ".join(f"{type(error).__name__}: {error}".split())
        self._lost(number, "no kernel", lambda where: told)

    def _begun(self, number: int) -> int:
        from .remote import METADATA

        keys = [METADATA, self._id, str(number)]
        begun: int = self._client.get_metadata(keys, 0)
        return begun

    def _interrupt(self) -> None:
        left = [
            each for number, each in self._futures.items() if number not in self._runs
        ]
        try:
            # Those that run there see it within a second, and end their kernels.
            self._client.cancel(left, force=True)
        except Exception:
            pass  # the scheduler is gone
        for number in range(len(self._jobs)):
            if number not in self._runs:
                self._lost(number, "interrupted", lambda where: f"interrupted {where}")

    # ---- what does not ----

    def _look(self) -> None:
        """Nobody tells that a worker with no other one to take its task has died."""
        try:
            there = self._client.nthreads()
            self._unreachable = 0
        except Exception:
            self._unreachable += 1
            if self._unreachable >= _UNREACHABLE_LOOKS:
                self._give_up()
            return
        for number in range(len(self._jobs)):
            current = self._attempts[number].current
            if number in self._runs or current is None:
                continue
            attempt, worker = current
            missing = 0 if worker in there else self._missing.get(number, 0) + 1
            self._missing[number] = missing
            if missing >= _GONE_LOOKS and attempt >= self._allowed:
                self._client.cancel([self._futures[number]], force=True)
                self._died(number, attempt)

    def _give_up(self) -> None:
        why = f"the scheduler {self._address} is gone,"
        for number in range(len(self._jobs)):
            if number not in self._runs:
                self._lost(number, "died", lambda where: f"{why} {where}")

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
        self._end(number, lost)

    def _end(self, number: int, run: NotebookRun) -> None:
        self._runs[number] = run
        self._futures.pop(number, None)
        self._listener.ended(run)
        self._on_run(self._jobs[number], run)


def _without_outputs(notebook: Any) -> dict[str, Any]:
    """What a worker needs of it. The outputs stay here, for cells that are not run."""
    bare: dict[str, Any] = {"outputs": [], "execution_count": None}
    cells = [
        {**each, **bare} if each.cell_type == "code" else each
        for each in notebook.cells
    ]
    return {**notebook, "cells": cells}


@contextmanager
def _interrupting(interrupt: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `interrupt` instead, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    both = (signals.SIGINT, signals.SIGTERM)
    before = [signals.signal(each, lambda *_: interrupt()) for each in both]
    try:
        yield
    finally:
        for signal, handler in zip(both, before, strict=True):
            signals.signal(signal, handler)
