"""Notebooks on a Dask cluster: real schedulers, workers and kernels."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from clusters import (
    CLIENT,
    DEADLINE_S,
    Cluster,
    hanging,
    job,
    run,
    wait_until,
    who_runs,
)
from support import HELPERS, MIB

pytest.importorskip("distributed")


def kill_when_heard(cluster, folder, name, place=1, times=1):
    """Kill the worker of each attempt once its cell's memory was heard of."""

    def beside(listener):
        for attempt in range(times):
            worker, _ = wait_until(
                lambda n=attempt: dict(enumerate(who_runs(folder, name))).get(n), name
            )
            wait_until(lambda: listener.heard(name, place, 64 * MIB), "a sample")
            listener.memory.clear()
            cluster.kill(worker)

    return beside


def test_on_a_local_cluster(tmp_path):
    """What distributed itself starts: processes, each with a nanny."""
    from distributed import Client, LocalCluster

    jobs = [job(f"{n}.ipynb", f"a = bytearray({n} << 20)", "1 / 0") for n in (40, 80)]
    jobs.append(job("ok.ipynb", "print('here')", "1"))
    left = {"output_type": "stream", "name": "stdout", "text": "of yesterday"}
    skipped = jobs[2].notebook.cells[1]
    skipped.update(outputs=[left], execution_count=7)
    skipped.metadata["tags"] = ["skip-execution"]
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=":0",
        local_directory=str(tmp_path),
    ) as local:
        local.address = local.scheduler_address
        runs = run(jobs, local)
        with Client(local.address, set_as_default=False) as client:
            events = [each for _, each in client.get_events("memwatch")]
            workers = client.scheduler_info()["workers"].values()
    assert [each.state for each in runs] == ["error", "error", "ok"]
    for found, size in zip(runs, (40, 80), strict=False):
        assert found.cells[0].report.used_bytes == pytest.approx(size * MIB, abs=MIB)
        assert found.cells[0].report.timeline is not None
        assert "code cell 2 of 2 (1 / 0) raised" in found.message
    assert jobs[0].notebook.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert jobs[2].notebook.cells[0].outputs[0].text == "here\n"
    assert jobs[2].notebook.cells[0].execution_count == 1
    # What is not executed keeps its outputs, which stayed here.
    assert jobs[2].notebook.cells[1].outputs == [left]
    assert jobs[2].notebook.cells[1].execution_count == 7
    assert {each.attempts for each in runs} == {1}
    ended = {each["notebook"]: each for each in events if each["kind"] == "ended"}
    assert {name: each["rss_peak_bytes"] for name, each in ended.items()} == {
        each.notebook: each.rss_peak_bytes for each in runs
    }
    assert any("memwatch_rss_bytes" in each["metrics"] for each in workers)


def test_nothing_is_left_on_a_worker(two_workers):
    folder = "import os; open('left', 'w').close(); print(os.getcwd())"
    one = job("a.ipynb", folder)
    (found,) = run([one], two_workers)
    ran_in = Path(one.notebook.cells[0].outputs[0].text.strip())
    assert found.state == "ok"
    assert ran_in.is_relative_to(two_workers.folder)
    assert not ran_in.exists()


def test_a_worker_that_is_killed(two_workers, tmp_path):
    jobs = [job("dies", "1", hanging(tmp_path, "dies"))]
    jobs += [job(f"n{each}", "1") for each in range(4)]
    runs = run(jobs, two_workers, 2, kill_when_heard(two_workers, tmp_path, "dies", 2))
    assert [each.state for each in runs] == ["ok"] * 5
    assert runs[0].attempts == 2
    assert "attempt 1 was lost with the worker tcp://" in runs[0].message
    assert "in code cell 2 of 2 (path = pathlib." in runs[0].message
    assert runs[0].message.endswith("MiB, its last sample")
    assert jobs[0].notebook.cells[1].outputs[0].text == "through\n"
    # A kernel sees that who started it is gone.
    _, kernel = who_runs(tmp_path, "dies")[0]
    wait_until(lambda: not psutil.pid_exists(kernel), "the orphan's end")


def test_attempts_that_are_used_up(tmp_path):
    with Cluster(tmp_path, 3) as cluster:
        beside = kill_when_heard(cluster, tmp_path, "dies", 2, times=2)
        jobs = [
            job("dies", "1", hanging(tmp_path, "dies", times=9), "2"),
            job("b", "1"),
        ]
        left = {"output_type": "stream", "name": "stdout", "text": "of yesterday"}
        jobs[0].notebook.cells[2].outputs = [left]
        runs = run(jobs, cluster, 1, beside)
    assert jobs[0].notebook.cells[2].outputs == [left]
    died = runs[0]
    assert [each.state for each in runs] == ["died", "ok"]
    assert died.attempts == 2
    assert died.exit_code == 137
    assert [each.state for each in died.cells] == ["ok", "died", "not run"]
    assert died.cells[0].report.rss_end_bytes > 0
    assert died.cells[1].report.status == "died"
    assert died.cells[1].report.rss_end_bytes > 64 * MIB
    assert died.cells[1].source.startswith("import os")
    assert died.message.startswith("attempt 2 of 2 was lost with the worker tcp://")
    assert "; attempt 1 was lost with" in died.message
    assert len(who_runs(tmp_path, "dies")) == 2


def test_the_last_worker_dies(tmp_path):
    """There is no other one to learn it from."""
    with Cluster(tmp_path, 1) as cluster:
        beside = kill_when_heard(cluster, tmp_path, "dies")
        (died,) = run([job("dies", hanging(tmp_path, "dies"))], cluster, 0, beside)
    assert (died.state, died.attempts) == ("died", 1)


def test_a_scheduler_that_allows_no_failures(tmp_path):
    """Ours is the number of attempts, not that of the cluster."""
    setting = {"SCHEDULER__ALLOWED_FAILURES": 0}
    with Cluster(tmp_path, 3, **setting) as cluster:
        beside = kill_when_heard(cluster, tmp_path, "dies", times=2)
        jobs = [job("dies", hanging(tmp_path, "dies", times=2))]
        (found,) = run(jobs, cluster, 2, beside)
    assert (found.state, found.attempts) == ("ok", 3)


def test_a_kernel_that_dies_is_not_run_again(two_workers):
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    (died,) = run([job("a", "1", kill)], two_workers)
    assert (died.state, died.attempts) == ("died", 1)
    assert "killed by signal 9" in died.message


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(two_workers, tmp_path, stop):
    text = CLIENT.format(
        paths=[str(HELPERS)],
        folder=str(tmp_path),
        address=two_workers.address,
    )
    command = [sys.executable, "-c", text]
    client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        running = [wait_until(lambda n=n: who_runs(tmp_path, n), n) for n in "ab"]
        client.send_signal(stop)
        told, _ = client.communicate(timeout=DEADLINE_S)
    finally:
        client.kill()
        client.wait()
    runs = json.loads(told)
    assert [each["state"] for each in runs] == ["interrupted"] * 3
    assert [each["state"] for each in runs[2]["cells"]] == ["not run", "not run"]
    # The workers end the kernels, and live on.
    for ((_, kernel),) in running:
        wait_until(lambda pid=kernel: not psutil.pid_exists(pid), "the kernel's end")
    assert len(two_workers.alive()) == 2
    (after,) = run([job("after", "1")], two_workers)
    assert after.state == "ok"
