"""A Dask cluster of real processes: `dask scheduler` and `dask worker`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support import wait_for

DEADLINE_S = 300
"""Generous: on a busy machine Python alone may take half a minute to start."""


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S
) -> Any:
    """As support.wait_for(), with the deadline of a cluster."""
    return wait_for(condition, seconds, what)


class Cluster:
    """A scheduler and workers, each of which runs one task at a time.

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
