"""Schedulers, workers and clients that hang or end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

import memwatch
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
from memwatch.optional import MissingLibraryError
from memwatch.run.dask.cluster import ClusterError, run_on_cluster
from support import HELPERS, MIB

pytest.importorskip("distributed")


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
        paths=[str(HELPERS)],
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
