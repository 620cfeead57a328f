"""Jobs on a Dask cluster."""

from __future__ import annotations

import subprocess
import sys
import threading

from nbformat.v4 import new_code_cell, new_notebook

from clusters import DEADLINE_S
from memwatch.run.batch import Job
from memwatch.run.dask.cluster import run_on_cluster
from memwatch.run.execution import Options
from memwatch.run.progress import Listener


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
from test_cluster import job, hanging
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
