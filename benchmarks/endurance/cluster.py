"""200 small notebooks on two Dask workers, one of which is killed every ten seconds.

Another worker takes the dead one's place. Each notebook has to be in the results once,
run or reported; none twice, none lost. What ran has to be what was sent: each says its
own number. Exits with 1 where that is not so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from nbformat.v4 import new_code_cell, new_notebook

from memwatch.run.batch import Job
from memwatch.run.dask.cluster import run_on_cluster
from memwatch.run.execution import Options

sys.path.append(str(Path(__file__).parents[2] / "tests/helpers"))
from clusters import Cluster

MIB = 2**20


def notebook(number: int) -> Job:
    cells = [
        f"held = bytearray({number % 20 + 1} << 20)",
        "import time; time.sleep(0.5)",
        f"print({number})",
    ]
    cells = [new_code_cell(each) for each in cells]
    return Job(f"nb/{number}.ipynb", new_notebook(cells=cells), Options(timeout=120))


class Killer(threading.Thread):
    """Kills the worker that has lived the longest, and starts another."""

    def __init__(self, cluster: Cluster, every_s: float) -> None:
        super().__init__()
        self.kills = 0
        self.over = threading.Event()
        self._cluster = cluster
        self._every_s = every_s

    def run(self) -> None:
        while not self.over.wait(self._every_s):
            self._cluster.kill(self._cluster.alive()[0].pid)
            self._cluster.add_worker()
            self.kills += 1


def wrong(job: Job, run: object) -> str | None:
    """What is not as it should be in one that ran."""
    printed = [each.get("text") for each in job.notebook.cells[2].outputs]
    number = Path(job.path).stem
    if printed != [f"{number}\n"]:
        return f"{job.path} printed {printed}"
    kept = run.cells[0].report.used_bytes / MIB
    held = int(number) % 20 + 1
    if abs(kept - held) > 1:
        return f"{job.path} kept {kept:.2f} MiB, not {held}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--notebooks", type=int, default=200)
    parser.add_argument("--every-s", type=float, default=10)
    parser.add_argument("--retries", type=int, default=2)
    given = parser.parse_args()
    jobs = [notebook(number) for number in range(given.notebooks)]
    told = Counter()
    began = time.monotonic()

    def on_run(job: Job, run: object) -> None:
        told[run.notebook] += 1
        if run.state != "ok" or run.message:
            print(f"{run.notebook}: {run.state}: {run.message}", flush=True)

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Cluster(Path(folder), 2) as cluster,
    ):
        killer = Killer(cluster, given.every_s)
        killer.start()
        try:
            runs = run_on_cluster(jobs, cluster.address, given.retries, on_run)
        finally:
            killer.over.set()
            killer.join()

    expected = Counter(each.path for each in jobs)
    found = Counter(each.notebook for each in runs)
    twice = sum(1 for each in (told, found) for count in each.values() if count > 1)
    lost = sum((expected - found).values()) + sum((expected - told).values())
    states = Counter(each.state for each in runs)
    attempts = Counter(each.attempts for each in runs)
    pairs = zip(jobs, runs, strict=True)
    bad = [wrong(job, run) for job, run in pairs if run.state == "ok"]
    bad = [each for each in bad if each]
    unreported = [
        each.notebook
        for each in runs
        if each.state != "ok"
        and (each.state != "died" or "last sample" not in (each.message or ""))
    ]
    print(
        f"{len(jobs)} notebooks, 2 workers, one killed every {given.every_s:g} s:"
        f" {killer.kills} kills in {time.monotonic() - began:.0f} s"
    )
    print("states:", dict(states), " attempts:", dict(sorted(attempts.items())))
    print(f"twice in the results: {twice}, lost: {lost}, wrong: {len(bad)}")
    for each in [*bad, *unreported]:
        print("  ", each)
    return 1 if twice or lost or bad or set(states) - {"ok", "died"} else 0


if __name__ == "__main__":
    sys.exit(main())
