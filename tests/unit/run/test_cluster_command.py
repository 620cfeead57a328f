"""`memwatch run --dask`, also on two hosts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from clusters import (
    DEADLINE_S,
    Cluster,
    command,
    hanging,
    job,
    run,
    wait_until,
    who_runs,
)
from support import MIB

pytest.importorskip("distributed")


# ---- the command ----


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
