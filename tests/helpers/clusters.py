"""A Dask cluster of real processes, and jobs on it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nbformat.v4 import new_code_cell, new_notebook

from memwatch.run.batch import Job
from memwatch.run.dask.cluster import run_on_cluster
from memwatch.run.execution import Options
from memwatch.run.progress import Listener
from support import wait_for

DEADLINE_S = 300
"""Generous: on a busy machine Python alone may take half a minute to start."""


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S
) -> Any:
    """As support.wait_for(), with the deadline of a cluster."""
    return wait_for(condition, seconds, what)


class Cluster:
    """`dask scheduler` and `dask worker`s, each of which runs one task at a time.

    Without nannies: a killed worker is not restarted. `prefix` starts each command, to
    run it elsewhere.
    """

    def __init__(
        self,
        folder: Path,
        workers: int = 0,
        host: str = "127.0.0.1",
        prefix: Sequence[str] = (),
        protocol: str = "tcp",
        **settings: object,
    ) -> None:
        self.folder = folder
        self.host = host
        self.started: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **os.environ,
            **{f"DASK_DISTRIBUTED__{key}": str(each) for key, each in settings.items()},
        }
        command = ["scheduler", "--host", host, "--port", "0", "--no-dashboard"]
        command += ["--protocol", protocol]
        log = self._start([*prefix, sys.executable], command, "scheduler")
        pattern = re.compile(r"Scheduler at:\s+(\S+)")
        found = wait_until(lambda: pattern.search(log.read_text()), "a scheduler")
        self.address = found[1]
        for _ in range(workers):
            self.add_worker()
        self.wait_for_workers()

    def add_worker(
        self, python: str = sys.executable, prefix: Sequence[str] = (), *options: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker; wait_for_workers() waits until it is connected."""
        number = len(self.started)
        command = ["worker", self.address, "--nthreads", "1", "--no-nanny"]
        command += ["--no-dashboard", "--memory-limit", "0", *options]
        local = self.folder / f"worker-{number}"
        self._start(
            [*prefix, python], [*command, "--local-directory", str(local)], "worker"
        )
        self.workers.append(self.started[-1])
        return self.started[-1]

    def wait_for_workers(self) -> None:
        """Wait until exactly the living workers are connected."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            wait_until(
                lambda: len(client.nthreads()) == len(self.alive()),
                f"{len(self.alive())} workers",
            )

    def is_alive(self) -> bool:
        """Whether its scheduler runs."""
        return self.started[0].poll() is None

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """The running workers."""
        return [each for each in self.workers if each.poll() is None]

    def kill(self, pid: int) -> None:
        """Kill a worker, as the OOM killer does."""
        (worker,) = (each for each in self.workers if each.pid == pid)
        worker.kill()
        worker.wait(DEADLINE_S)

    def close(self) -> None:
        """End all processes."""
        # Workers first: without a scheduler they would try to reconnect for long.
        for some in (self.workers, self.started):
            for each in some:
                each.terminate()
            for each in some:
                try:
                    each.wait(5)
                except subprocess.TimeoutExpired:
                    each.kill()
                    each.wait()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _start(self, python: list[str], command: list[str], name: str) -> Path:
        log = self.folder / f"{name}-{len(self.started)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [*python, "-m", "distributed.cli.dask_" + command[0], *command[1:]],
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=file,
            )
        self.started.append(process)
        return log


# ---- jobs ----


def job(name, *cells, **options):
    notebook = new_notebook(cells=[new_code_cell(each) for each in cells])
    return Job(name, notebook, Options(startup_timeout=DEADLINE_S, **options))


def hanging(folder, name, held_mib=64, times=1):
    """A cell that hangs in its first attempts, and says in a file who runs it."""
    return f"""import os, pathlib, time
path = pathlib.Path({str(folder)!r}, {name!r} + ".runs")
with path.open("a") as file: print(os.getppid(), os.getpid(), file=file)
held = bytearray({held_mib} << 20)
if len(path.read_text().splitlines()) <= {times}: time.sleep(600)
print("through")
"""


def who_runs(folder, name):
    """For each attempt the worker's and the kernel's pid."""
    path = folder / f"{name}.runs"
    lines = path.read_text().splitlines() if path.exists() else []
    return [tuple(map(int, each.split())) for each in lines if each.count(" ") == 1]


class Watching(Listener):
    """Keeps what the listener was told, and does something beside it."""

    def __init__(self, beside=None):
        self.memory = {}
        self.ends = []
        self.failure = None
        self._thread = threading.Thread(target=self._run, args=(beside,))
        if beside is not None:
            self._thread.start()

    def _run(self, beside):
        try:
            beside(self)
        except BaseException as error:
            self.failure = error

    def cell(self, notebook, place, source, memory):
        self.memory[notebook, place] = memory

    def ended(self, run):
        self.ends.append(run.notebook)

    def heard(self, notebook, place, at_least_bytes):
        memory = self.memory.get((notebook, place))
        return memory is not None and (memory.rss_bytes() or 0) >= at_least_bytes

    def done(self):
        if self._thread.ident is not None:
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()
        assert self.failure is None, self.failure


def run(jobs, cluster, retries=2, beside=None):
    listener, told = Watching(beside), []
    try:
        runs = run_on_cluster(
            jobs, cluster.address, retries, lambda *each: told.append(each), listener
        )
    finally:
        listener.done()
    # Each once, to the caller, to the listener and in what is returned.
    names = sorted(each.path for each in jobs)
    assert [each.notebook for each in runs] == [each.path for each in jobs]
    assert sorted(each.notebook for _, each in told) == names
    assert sorted(listener.ends) == names
    assert all(each.path == found.notebook for each, found in told)
    return runs


CLIENT = """import sys, json
sys.path[:0] = {paths!r}
from clusters import job, hanging
from memwatch.run.dask.cluster import run_on_cluster
from pathlib import Path
folder = Path({folder!r})
jobs = [job(n, "1", hanging(folder, n, times=9)) for n in ("a", "b", "c")]
runs = run_on_cluster(jobs, {address!r}, 2, lambda *each: None)
print(json.dumps([each.to_dict() for each in runs]))
"""


def command(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "memwatch", "run", "--startup-timeout", "300", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
