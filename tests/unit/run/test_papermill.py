"""`papermill --engine memwatch`: papermill's own command, real kernels."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from memwatch import _core
from memwatch.run.execution import Options
from support import MIB

pytest.importorskip("papermill")

BIN = Path(sys.executable).parent
PAGES = """import mmap
def pages(mib):
    m = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    m[::4096] = b'x' * (mib << 8)
    return m
"""
KILL = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def papermill(folder, cells, *options, engine="memwatch"):
    notebook = new_notebook(
        cells=[
            each if not isinstance(each, str) else new_code_cell(each) for each in cells
        ]
    )
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python"}
    notebook.metadata.kernelspec.language = "python"
    nbformat.write(notebook, folder / "in.ipynb")
    done = subprocess.run(
        [
            *(BIN / "papermill", "in.ipynb", "out.ipynb", "--engine", engine),
            *("--start-timeout", "300"),
            *options,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done, nbformat.read(folder / "out.ipynb", as_version=4)


def statuses(notebook):
    return [each.metadata.papermill.status for each in notebook.cells]


def states(notebook):
    ours = [each.metadata.get("memwatch") for each in notebook.cells]
    return [each and each["state"] for each in ours]


def test_cells_in_the_page(tmp_path):
    cells = [PAGES, new_markdown_cell("# text"), "a = pages(64)", "pages(32); None", ""]
    done, out = papermill(tmp_path, cells)
    assert done.returncode == 0, done.stderr
    assert statuses(out) == ["completed"] * 5
    assert states(out) == ["ok", None, "ok", "ok", None]
    kept = out.cells[2].metadata.memwatch
    assert kept.used_bytes == pytest.approx(64 * MIB, abs=MIB)
    assert kept.label == "In [2]"
    assert kept.execution_count == out.cells[2].execution_count == 2
    assert kept.timeline.rss_bytes
    if _core.accuracy()["hwm_resets"]:
        assert out.cells[3].metadata.memwatch.peaked_bytes > 31 * MIB
    whole = out.metadata.memwatch
    assert (whole.state, whole.notebook, whole.output) == (
        "ok",
        "in.ipynb",
        "out.ipynb",
    )
    assert whole.rss_peak_bytes >= kept.rss_peak_bytes
    assert whole.language == "python"
    assert re.search(r"Executing: 100%.*5/5", done.stderr)


def test_the_same_as_memwatch_run(tmp_path):
    """The keys of papermill's notebook are those that `memwatch run` writes."""
    import asyncio

    from memwatch.run.output import metadata
    from memwatch.run.runner import run_notebook

    _, out = papermill(tmp_path, ["1"])
    notebook = nbformat.read(tmp_path / "in.ipynb", as_version=4)
    run = asyncio.run(run_notebook(notebook, "in.ipynb", Options()))
    metadata.apply(notebook, run)
    for theirs, ours in ((out, notebook), (out.cells[0], notebook.cells[0])):
        assert set(theirs.metadata.memwatch) == set(ours.metadata.memwatch)


def test_parameters_and_log_output(tmp_path):
    parameters = new_code_cell("n = 1", metadata={"tags": ["parameters"]})
    options = ["-p", "n", "7", "--log-output", "--no-progress-bar"]
    done, out = papermill(tmp_path, [parameters, "print('n is', n)"], *options)
    assert done.returncode == 0
    assert "n is 7" in done.stderr
    assert states(out) == ["ok", "ok", "ok"]
    assert out.metadata.papermill.parameters == {"n": 7}


def test_a_cell_that_raises(tmp_path):
    done, out = papermill(tmp_path, ["1", "1 / 0", "2"])
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    # papermill puts marks before the cell and on top.
    code = [each for each in out.cells if each.cell_type == "code"]
    assert [each.metadata.memwatch.state for each in code] == ["ok", "error", "not run"]
    assert code[1].metadata.papermill.status == "failed"
    assert code[2].metadata.papermill.status == "pending"
    assert out.metadata.memwatch.state == "error"
    assert "code cell 2 of 3 (1 / 0) raised" in out.metadata.memwatch.message


def test_a_killed_kernel(tmp_path):
    cells = [PAGES, f"a = pages(32)\n{KILL}", "2"]
    done, out = papermill(tmp_path, cells)
    assert done.returncode == 138  # papermill's own
    assert "DeadKernelError" in done.stderr
    assert statuses(out) == ["completed", "failed", "pending"]
    assert states(out) == ["ok", "died", "not run"]
    died = out.cells[1].metadata.memwatch
    assert died.status == "died"
    assert died.rss_end_bytes > 0
    assert out.metadata.papermill.exception is True
    assert out.metadata.memwatch.state == "died"
    assert "killed by signal 9 (SIGKILL)" in out.metadata.memwatch.message


def test_a_timeout(tmp_path):
    cells = ["1", "import time; time.sleep(600)"]
    done, out = papermill(tmp_path, cells, "--execution-timeout", "5")
    assert done.returncode != 0
    assert "CellTimeoutError" in done.stderr
    assert statuses(out) == ["completed", "failed"]
    assert states(out) == ["ok", "timeout"]


def test_written_after_each_cell(tmp_path):
    """What a cell cost is in the file when the next one runs."""
    look = """import json
with open("out.ipynb") as file:
    first = json.load(file)["cells"][0]
print(first["metadata"]["memwatch"]["state"], first["metadata"]["papermill"]["status"])
"""
    _, out = papermill(tmp_path, ["1", look])
    assert out.cells[1].outputs[0].text == "ok completed\n"


def test_earlier_figures_are_removed(tmp_path):
    stale = new_markdown_cell("x", metadata={"memwatch": {"state": "died"}})
    cell = new_code_cell("1", metadata={"memwatch": {"max_peak": "2GiB", "label": "z"}})
    _, out = papermill(tmp_path, [stale, cell])
    assert "memwatch" not in out.cells[0].metadata
    assert out.cells[1].metadata.memwatch.max_peak == "2GiB"
    assert out.cells[1].metadata.memwatch.label == "In [1]"


def test_a_kernel_that_is_not_there(tmp_path):
    done, out = papermill(tmp_path, ["1"], "-k", "nosuch")
    assert done.returncode != 0
    assert "No such kernel named nosuch" in done.stderr
    assert out.metadata.memwatch.state == "no kernel"


def test_hooks_of_others_are_kept(tmp_path):
    import papermill as pm

    nbformat.write(new_notebook(cells=[new_code_cell("1")]), tmp_path / "in.ipynb")
    seen = []
    out = pm.execute_notebook(
        tmp_path / "in.ipynb",
        None,
        engine_name="memwatch",
        kernel_name="python3",
        progress_bar=False,
        on_cell_executed=lambda cell, cell_index, execute_reply: seen.append(
            cell_index
        ),
    )
    assert seen == [0]
    assert out.cells[0].metadata.memwatch.state == "ok"
    assert out.metadata.memwatch.output is None


def test_sockets_and_another_try(tmp_path, monkeypatch):
    """As `memwatch run` does: no ports, no folder left, another try for a kernel."""
    runtime = tmp_path / "r"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    folder = tmp_path / "kernels" / "once"
    folder.mkdir(parents=True)
    script = """import os, sys
try:
    os.mkdir(sys.argv[2])
except FileExistsError:
    os.execv(sys.executable,
             [sys.executable, "-m", "ipykernel_launcher", "-f", sys.argv[1]])
raise SystemExit(1)
"""
    started = str(tmp_path / "started")
    argv = [sys.executable, "-c", script, "{connection_file}", started]
    spec = {"argv": argv, "display_name": "once", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    look = (
        "import json\nfrom ipykernel import get_connection_info\n"
        "print(json.loads(get_connection_info())['transport'])"
    )
    for name, transport in (("python3", "ipc"), ("once", "tcp")):
        done, out = papermill(tmp_path, [look], "-k", name)
        assert done.returncode == 0, done.stderr
        assert out.cells[0].outputs[0].text == f"{transport}\n"
        assert states(out) == ["ok"]
        assert list(runtime.iterdir()) == []
