"""A Dask cluster of real processes: `dask scheduler` and `dask worker`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

DEADLINE_S = 300
"""Only a limit: on a busy machine Python alone may take half a minute to start."""


def wait_until(
    condition: Callable[[], Any], what: str, seconds: float = DEADLINE_S
) -> Any:
    """What `condition` gives as soon as it is true; AssertionError when it is late."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Cluster:
    """A scheduler, and workers that come and go; each worker runs one task at a time.

    Without nannies: who is killed stays dead. `prefix` is what a command starts with,
    to run it elsewhere.
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
        """One more; it is there when wait_for_workers() says so."""
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
        """All that were added and not ended, and no other ones, are connected."""
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
        """The workers that run."""
        return [each for each in self.workers if each.poll() is None]

    def kill(self, pid: int) -> None:
        """A worker, as the kernel does it when memory is short."""
        (worker,) = (each for each in self.workers if each.pid == pid)
        worker.kill()
        worker.wait(DEADLINE_S)

    def close(self) -> None:
        """End all of it."""
        # A worker that outlives its scheduler tries for long to reach it.
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
