"""Notebooks on a Dask cluster: real schedulers, workers and kernels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path

import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import memwatch
from memwatch import CellReport
from memwatch.optional import MissingLibraryError
from memwatch.run.batch import Job
from memwatch.run.dask.run_log import Attempts
from memwatch.run.execution import Options
from memwatch.run.progress import Listener
from memwatch.run.results import CellRun, NotebookRun
from support import HELPERS, MIB

pytest.importorskip("distributed")

from clusters import DEADLINE_S, Cluster, wait_until
from memwatch.run.dask.cluster import ClusterError, run_on_cluster


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


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """The cluster that tests share, when there is one."""
    clusters = []
    yield clusters
    for each in clusters:
        each.close()


@pytest.fixture
def two_workers(started, tmp_path_factory):
    """A cluster with two workers; what an earlier test killed is started again."""
    if not started or not started[-1].is_alive():
        started.append(Cluster(tmp_path_factory.mktemp("cluster")))
    cluster = started[-1]
    while len(cluster.alive()) < 2:
        cluster.add_worker()
    cluster.wait_for_workers()
    return cluster


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
    assert "in code cell 2 of 2 (import os" in runs[0].message
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


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(two_workers, tmp_path, stop):
    text = CLIENT.format(
        paths=[str(HELPERS), str(Path(__file__).parent)],
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


# ---- what hangs ----

STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("stop", STOPS)
def test_interrupted_while_the_scheduler_hangs(tmp_path, stop):
    """It ends without an answer, and what was heard is written."""
    nbformat = pytest.importorskip("nbformat")
    cells = [new_code_cell("1"), new_code_cell(hanging(tmp_path, "a", times=9))]
    nbformat.write(new_notebook(cells=cells), tmp_path / "a.ipynb")
    words = ["a.ipynb", "-o", "out.ipynb", "--json", "r.json"]
    with Cluster(tmp_path, 1) as cluster:
        client = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words, "--dask", cluster.address],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
        )
        scheduler = cluster.started[0]
        try:
            # What it has heard of: the second cell, and so how the first one ended.
            assert client.stdout.readline() == "2\n"
            scheduler.send_signal(signal.SIGSTOP)
            client.send_signal(stop)
            client.communicate(timeout=DEADLINE_S)
        finally:
            client.kill()
            client.wait()
            scheduler.send_signal(signal.SIGCONT)
    assert client.returncode == 130
    (found,) = json.loads((tmp_path / "r.json").read_text())["notebooks"]
    assert [each["state"] for each in found["cells"]] == ["ok", "interrupted"]
    assert found["cells"][0]["report"]["rss_end_bytes"] > 0
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells[1].metadata.memwatch.state == "interrupted"


COMMAND = """from memwatch.cli import main
from memwatch.run.progress import Lines
def cell(self, notebook, place, source, memory):
    if place == 2: print(place, flush=True)
Lines.cell = cell
main(["run", *__import__("sys").argv[1:]])
"""
"""The command, which prints when it has heard of a second cell."""


@pytest.mark.parametrize("stop", STOPS)
def test_interrupted_while_it_connects(tmp_path, stop):
    """The scheduler takes the connection, and says nothing. No output is lost."""

    def beside(listener):
        wait_until(lambda: signal.getsignal(stop) is not before, "a handler")
        os.kill(os.getpid(), stop)

    before = signal.getsignal(stop)
    one = job("a.ipynb", "1")
    one.notebook.cells[0].outputs = earlier = [
        {"output_type": "stream", "name": "stdout", "text": "x"}
    ]
    with Cluster(tmp_path) as cluster:
        scheduler = cluster.started[0]
        scheduler.send_signal(signal.SIGSTOP)
        try:
            (found,) = run([one], cluster, 2, beside)
        finally:
            scheduler.send_signal(signal.SIGCONT)
    assert signal.getsignal(stop) is before
    assert (found.state, found.exit_code) == ("interrupted", 130)
    assert [each.state for each in found.cells] == ["not run"]
    assert one.notebook.cells[0].outputs == earlier


def tasks_of(cluster):
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        return client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.tasks])


def test_a_worker_that_hangs_at_first(tmp_path, monkeypatch):
    """It does not name its version; the notebooks are sent all the same."""
    from memwatch.run.dask import cluster as module

    monkeypatch.setattr(module, "CHECK_S", 0.1)
    with Cluster(tmp_path, 1) as cluster:
        (worker,) = cluster.workers
        worker.send_signal(signal.SIGSTOP)

        def beside(listener):
            try:
                wait_until(lambda: tasks_of(cluster), "a task")
            finally:
                worker.send_signal(signal.SIGCONT)

        (found,) = run([job("a", "1")], cluster, 2, beside)
    assert found.state == "ok"


def test_interrupted_while_a_worker_hangs(tmp_path):
    with Cluster(tmp_path, 1) as cluster:
        (worker,) = cluster.workers

        def beside(listener):
            wait_until(lambda: listener.heard("a", 1, 64 * MIB), "a sample")
            worker.send_signal(signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGINT)

        try:
            (found,) = run([job("a", hanging(tmp_path, "a"))], cluster, 2, beside)
        finally:
            worker.send_signal(signal.SIGCONT)
    assert found.state == "interrupted"
    assert found.cells[0].report.rss_end_bytes > 64 * MIB


def test_a_client_that_is_killed(two_workers, tmp_path):
    """Nobody waits for its notebooks any more: their kernels end."""
    text = CLIENT.format(
        paths=[str(HELPERS), str(Path(__file__).parent)],
        folder=str(tmp_path),
        address=two_workers.address,
    )
    client = subprocess.Popen([sys.executable, "-c", text])
    try:
        ((_, kernel),) = wait_until(lambda: who_runs(tmp_path, "a"), "a")
    finally:
        client.kill()
        client.wait()
    wait_until(lambda: not psutil.pid_exists(kernel), "the kernel's end")


def bare_python(folder, version=None):
    """A Python with all that this one has, but memwatch; or with that version of it."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder],
        check=True,
        timeout=DEADLINE_S,
    )
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    target = folder / "lib" / name / "site-packages"
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith("memwatch"):
            (target / each.name).symlink_to(each)
        elif version is not None:
            shutil.copytree(each, target / each.name)
            for file in (target / each.name).glob("METADATA"):
                text = file.read_text()
                told = f"\nVersion: {memwatch.__version__}\n"
                file.write_text(text.replace(told, f"\nVersion: {version}\n"))
            for file in (target / each.name).glob("__init__.py"):
                text = file.read_text()
                file.write_text(
                    text.replace(f'"{memwatch.__version__}"', f'"{version}"')
                )
    # The coverage build is on PYTHONPATH; this Python must not find it there.
    script = folder / "bin/bare"
    script.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec "{folder}/bin/python" "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_a_worker_without_memwatch(tmp_path):
    python = bare_python(tmp_path / "bare")
    with Cluster(tmp_path) as cluster:
        cluster.add_worker(python)
        cluster.wait_for_workers()
        with pytest.raises(ClusterError) as caught:
            run_on_cluster([job("a", "1")], cluster.address, 2, lambda *_: None)
    wanted = (
        f"has no memwatch: install memwatch {memwatch.__version__} there, and"
        " pip install jinja2 msgspec nbclient nbformat rich distributed"
    )
    assert str(caught.value).endswith(wanted)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [None, "0.0.9"])
def test_worker_that_starts_later(tmp_path, version):
    """Those that were there were asked; of this one the task tells."""
    python = bare_python(tmp_path / "bare", version)
    with Cluster(tmp_path) as cluster:
        cluster.add_worker(python, (), "--death-timeout", "300")
        cluster.wait_for_workers()
        from memwatch.run.dask import cluster as running

        asked, running.check = running.check, lambda client, address: None
        try:
            (found,) = run([job("a", "1")], cluster)
        finally:
            running.check = asked
    assert found.state == "no kernel"
    assert [each.state for each in found.cells] == ["not run"]
    told = "has no memwatch" if version is None else "has memwatch 0.0.9, not"
    assert told in found.message
    assert "\n" not in found.message


def test_a_worker_with_another_version(tmp_path):
    python = bare_python(tmp_path / "other", "0.0.9")
    with Cluster(tmp_path) as cluster:
        cluster.add_worker(python)
        cluster.wait_for_workers()
        with pytest.raises(ClusterError, match=r"has memwatch 0\.0\.9, not"):
            run_on_cluster([job("a", "1")], cluster.address, 2, lambda *_: None)


def test_no_worker_yet(tmp_path, capfd):
    """It waits for one."""
    with Cluster(tmp_path) as cluster:

        def beside(listener):
            wait_until(lambda: "has no worker yet" in capfd.readouterr().err, "a line")
            cluster.add_worker()

        (found,) = run([job("a", "1")], cluster, 2, beside)
    assert found.state == "ok"


def test_the_scheduler_goes_away(two_workers, tmp_path):
    def beside(listener):
        wait_until(lambda: listener.heard("a", 1, 64 * MIB), "a sample")
        two_workers.started[0].kill()

    (found,) = run([job("a", hanging(tmp_path, "a"))], two_workers, 2, beside)
    assert found.state in ("died", "interrupted")
    assert "scheduler" in found.message
    assert found.cells[0].report.rss_end_bytes > 64 * MIB


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:9", "nosuch://x", "tls://[::1]:9"]
)
def test_no_scheduler(address):
    with pytest.raises(ClusterError) as caught:
        run_on_cluster([job("a", "1")], address, 2, lambda *_: None)
    assert str(caught.value).startswith(f"no Dask scheduler responds at {address} (")
    assert "\n" not in str(caught.value)


def test_without_distributed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingLibraryError, match="rich distributed"):
        run_on_cluster([job("a", "1")], "tcp://127.0.0.1:9", 2, lambda *_: None)


def test_by_tls(tmp_path):
    """By Dask's own configuration, here and there."""
    import dask

    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    make += ["-subj", "/CN=memwatch-test", "-keyout", key, "-out", cert]
    subprocess.run(make, check=True, capture_output=True, timeout=DEADLINE_S)
    names = {"ca-file": cert, "client.cert": cert, "client.key": key}
    for who in ("scheduler", "worker"):
        names |= {f"{who}.cert": cert, f"{who}.key": key}
    settings = {
        f"COMM__TLS__{name.upper().replace('.', '__').replace('-', '_')}": each
        for name, each in names.items()
    }
    config = {f"distributed.comm.tls.{name}": each for name, each in names.items()}
    with (
        dask.config.set(config),
        Cluster(tmp_path, 1, protocol="tls", **settings) as cluster,
    ):
        (found,) = run([job("a", "1")], cluster)
        assert cluster.address.startswith("tls://")
    assert found.state == "ok"
    with pytest.raises(ClusterError, match="no Dask scheduler responds at tls://"):
        run_on_cluster([job("a", "1")], "tls://127.0.0.1:9", 2, lambda *_: None)


# ---- the command ----


def command(folder, *words):
    return subprocess.run(
        [sys.executable, "-m", "memwatch", "run", "--startup-timeout", "300", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_the_command(two_workers, tmp_path):
    nbformat = pytest.importorskip("nbformat")
    (tmp_path / "nb").mkdir()
    for name in "ab":
        cells = [
            new_code_cell("n = 1", metadata={"tags": ["parameters"]}),
            new_code_cell("held = bytearray(n << 20); print('n is', n)"),
        ]
        notebook = new_notebook(cells=cells)
        kernel = {"name": "python3", "display_name": "Python", "language": "python"}
        notebook.metadata.kernelspec = kernel
        nbformat.write(notebook, tmp_path / "nb" / f"{name}.ipynb")
    words = ["--dask", two_workers.address, "--output-dir", "out", "--json", "r.json"]
    done = command(tmp_path, "nb/*.ipynb", *words, "-p", "n", "40", "--html", "r.html")
    assert done.returncode == 0, done.stderr
    for name in "ab":
        out = nbformat.read(tmp_path / "out" / f"{name}.ipynb", as_version=4)
        assert out.cells[2].outputs[0].text == "n is 40\n"
        assert out.cells[2].metadata.memwatch.used_bytes == pytest.approx(
            40 * MIB, abs=MIB
        )
        assert out.metadata.memwatch.attempts == 1
        assert f"nb/{name}.ipynb: ok: 3 cells" in done.stderr
    assert '"nb/a.ipynb"' in (tmp_path / "r.json").read_text()


def test_command_reports_dead_kernels(tmp_path):
    """The last worker is killed: what is known of its notebook is written."""
    nbformat = pytest.importorskip("nbformat")
    notebook = new_notebook(
        cells=[new_code_cell("1"), new_code_cell(hanging(tmp_path, "dies"))]
    )
    nbformat.write(notebook, tmp_path / "dies.ipynb")
    with Cluster(tmp_path, 1) as cluster:

        def kill():
            ((worker, _),) = wait_until(lambda: who_runs(tmp_path, "dies"), "it runs")
            from distributed import Client

            with Client(cluster.address, set_as_default=False) as client:
                wait_until(
                    lambda: any(
                        (each.get("rss_bytes") or 0) > 64 * MIB
                        for _, each in client.get_events("memwatch")
                    ),
                    "a sample",
                )
            cluster.kill(worker)

        thread = threading.Thread(target=kill)
        thread.start()
        words = ["--dask", cluster.address, "--retries", "0", "-o", "out.ipynb"]
        words += ["--json", "r.json", "--csv", "r.csv", "--html", "r.html"]
        done = command(tmp_path, "dies.ipynb", *words, "--markdown", "-")
        thread.join(DEADLINE_S)
    assert done.returncode == 137, done.stderr
    assert "Traceback" not in done.stderr
    assert "attempt 1 of 1 was lost with the worker" in done.stderr
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells[0].metadata.memwatch.state == "ok"
    assert out.cells[1].metadata.memwatch.state == "died"
    assert out.cells[1].metadata.memwatch.rss_end_bytes > 64 * MIB


def test_the_command_without_a_cluster(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tmp_path / "a.ipynb")
    done = command(tmp_path, "a.ipynb", "--dask", "nosuch://x")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "Error: no Dask scheduler responds at nosuch://x"
    )


# ---- what was heard ----


def message(kind, attempt=1, **more):
    title = {"kind": kind, "attempt": attempt, "worker": "tcp://w:1", "host": "h"}
    return {**title, "reported_at": "2026-11-22T12:00:00.000+00:00", "cells": 2, **more}


def sent(index, attempt=1, rss_bytes=50 * MIB):
    figures = {"rss_bytes": rss_bytes, "kernel_pid": 7, "cell_id": None}
    text = {"source": f"cell {index}"}
    return message("cell", attempt, cell_index=index, **figures, **text)


def empty_run():
    cells = [
        CellRun(cell_index=n, state="not run", source=f"cell {n}") for n in range(2)
    ]
    return NotebookRun(notebook="a", cells=cells)


def test_events_of_a_notebook_that_died():
    attempts = Attempts()
    report = CellReport(label="In [1]", rss_peak_bytes=90 * MIB).to_dict()
    for each in (
        message("begun"),
        sent(0),
        message("closed", cell_index=0, state="ok", report=report),
        sent(1, rss_bytes=60 * MIB),
        message("sample", rss_bytes=80 * MIB),
        message("sample", rss_bytes=70 * MIB),
        message("sample", rss_bytes=None),
    ):
        assert attempts.receive(each)
    assert attempts.current == (1, "tcp://w:1")
    died = attempts.lost(empty_run(), "died", 1, lambda where: f"gone {where}")
    assert died.message == (
        "gone in code cell 2 of 2 (cell 1) at 70.00 MiB, its last sample"
    )
    assert [each.state for each in died.cells] == ["ok", "died"]
    cell = died.cells[1].report
    figures = (cell.rss_start_bytes, cell.rss_peak_bytes, cell.rss_end_bytes)
    assert figures == (60 * MIB, 80 * MIB, 70 * MIB)
    assert (cell.used_bytes, cell.peaked_bytes) == (10 * MIB, 10 * MIB)
    assert (cell.peak_method, cell.status) == ("sampled", "died")
    assert died.rss_peak_bytes == 90 * MIB
    assert (died.host, died.kernel_pid) == ("h", 7)


def test_late_event_is_of_the_old_attempt():
    attempts = Attempts()
    assert attempts.receive(message("begun"))
    assert attempts.receive(message("begun", attempt=3))
    assert not attempts.receive(message("sample", rss_bytes=1))
    found = attempts.with_losses(NotebookRun(notebook="a", attempts=3))
    assert found.message == (
        "attempt 1 was lost with the worker tcp://w:1 before its first cell;"
        " attempt 2 was lost with its worker before its first event"
    )


def test_of_one_that_was_never_heard_of():
    found = Attempts().lost(
        empty_run(), "interrupted", 1, lambda where: f"over {where}"
    )
    assert (found.message, found.attempts) == ("over before its first cell", 1)
    assert [each.state for each in found.cells] == ["not run"] * 2


# ---- two hosts ----


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def another_host():
    """A network namespace with an address of its own; its name and ours."""
    name, near, far = f"mw{os.getpid()}", f"mwa{os.getpid()}", f"mwb{os.getpid()}"
    try:
        ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError) as error:
        told = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"no network namespaces here: {told.strip()}")
    try:
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("link", "set", far, "netns", name)
        ip("address", "add", "10.213.7.1/30", "dev", near)
        ip("link", "set", near, "up")
        ip("-n", name, "address", "add", "10.213.7.2/30", "dev", far)
        ip("-n", name, "link", "set", far, "up")
        ip("-n", name, "link", "set", "lo", "up")
        yield name, "10.213.7.1"
    finally:
        subprocess.run(["ip", "link", "del", near], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def test_on_two_hosts(another_host, tmp_path):
    """The worker sees nothing of the folder that the notebooks are in."""
    name, near = another_host
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (here / "secret.txt").write_text("not shared")
    hidden = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
    host = ["ip", "netns", "exec", name, "unshare", "--mount", "--uts"]
    host += ["sh", "-c", f"hostname other-host; {hidden}", str(here)]
    look = f"""import os, socket
print(socket.gethostname(), os.path.exists({str(here / "secret.txt")!r}))
a = bytearray(50 << 20)"""
    jobs = [job(str(here / f"{n}.ipynb"), look) for n in range(3)]
    with Cluster(here, host=near) as cluster:
        cluster.folder = there
        cluster.add_worker(sys.executable, host)
        cluster.wait_for_workers()
        runs = run(jobs, cluster)
        ran_at = {each.host for each in runs}
    assert [each.state for each in runs] == ["ok"] * 3
    assert ran_at == {"other-host"}
    for each, found in zip(jobs, runs, strict=True):
        assert each.notebook.cells[0].outputs[0].text == "other-host False\n"
        assert found.cells[0].report.used_bytes == pytest.approx(50 * MIB, abs=MIB)
