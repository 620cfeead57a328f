"""Notebooks run with nobody looking: real kernels, of several languages."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path

import IPython
import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from memwatch.run import runner
from memwatch.run.batch import Job, run_all
from memwatch.run.execution import Options
from memwatch.run.output.page import summarize
from memwatch.run.progress import Listener, line_of
from runners import (
    BOUND,
    LIMIT_S,
    PAGES,
    install_kernel,
    needs_mark,
    notebook_of,
    run,
    states,
    text_of,
)
from support import MIB, UNTIL_INTERRUPTED, UNTIL_SAMPLED, wait_for


@needs_mark
def test_cells_in_the_page():
    notebook = notebook_of(PAGES, "a = pages(64)", "pages(32); None", "del a", "", "1")
    notebook.cells.insert(1, new_markdown_cell("# text"))
    found = run(notebook)
    assert (found.state, found.exit_code, found.language) == ("ok", 0, "python")
    assert [cell.cell_index for cell in found.cells] == [0, 2, 3, 4, 6]
    kept, peaked, freed = (cell.report for cell in found.cells[1:4])
    assert kept.used_bytes == pytest.approx(64 * MIB, abs=MIB)
    assert kept.label == "In [2]"
    assert kept.execution_count == 2
    assert kept.source == "a = pages(64)"
    assert kept.cell_id == notebook.cells[2].id
    assert kept.peak_method == "kernel"
    assert peaked.used_bytes == pytest.approx(0, abs=MIB)
    assert peaked.peaked_bytes == pytest.approx(32 * MIB, abs=BOUND + MIB)
    assert freed.used_bytes == pytest.approx(-64 * MIB, abs=MIB)
    assert found.rss_peak_bytes == peaked.rss_peak_bytes
    assert found.duration_ns > 0
    assert text_of(notebook.cells[6]) == "1"
    assert json.loads(json.dumps(found.to_dict()))["cells"][1]["state"] == "ok"


@needs_mark
def test_from_inside_and_from_outside():
    """The same notebook, in one run: what both say of its cells."""
    notebook = notebook_of(
        "%load_ext memwatch\n" + PAGES,
        "a = pages(100)",
        "b = pages(300); del b",
        "c = b'x' * (50 << 20)",
        "import numpy as np; d = np.ones(2 ** 22); e = (d * 2 + 1).sum()",
        "del a, c",
        "import memwatch, json\n"
        "seen = [[r.used_bytes, r.rss_peak_bytes] for r in memwatch.history]\n"
        "print(json.dumps(seen))",
    )
    found = run(notebook)
    printed = text_of(notebook.cells[6]).splitlines()[0]
    inside = json.loads(printed)[1:]
    outside = [cell.report for cell in found.cells[1:6]]
    assert len(inside) == len(outside) == 5
    for (used, peak), report in zip(inside, outside, strict=True):
        assert report.used_bytes == pytest.approx(used, abs=MIB, rel=0.02)
        assert report.rss_peak_bytes == pytest.approx(peak, abs=MIB, rel=0.02)


# ---- how else notebooks end ----


def test_a_cell_that_raises():
    found = run(notebook_of("1", "1/0", "2"))
    assert (found.state, found.exit_code) == ("error", 1)
    assert states(found) == ["ok", "error", "not run"]
    assert found.cells[1].report.status == "error"
    assert found.message == (
        "code cell 2 of 3 (1/0) raised ZeroDivisionError: division by zero"
    )
    found = run(notebook_of("1", "1/0", "2"), allow_errors=True)
    assert (found.state, found.exit_code) == ("ok", 0)
    assert states(found) == ["ok", "error", "ok"]


@pytest.mark.skipif(
    IPython.version_info < (9,),
    reason="IPython 8 shows the error of a repr itself, and the cell succeeds",
)
def test_a_repr_that_raises():
    """The kernel's reply has no name for it, the output has."""
    source = "class A:\n    def __repr__(self): return 1/0\nA()"
    found = run(notebook_of(source))
    assert (found.state, states(found)) == ("error", ["error"])
    assert found.message == (
        "code cell 1 of 1 (class A:) raised ZeroDivisionError: division by zero"
    )


def test_result_of_a_notebook_in_one_line():
    found = run(notebook_of("1", "1/0", "2/0"), allow_errors=True)
    assert (found.executed, found.raised) == (3, 2)
    assert re.fullmatch(
        r"x.ipynb: ok: 3 cells, 2 raised in \d+\.\d\d s, peak \d+\.\d\d MiB",
        line_of(found),
    )
    stopped = replace(found, state="error", cells=found.cells[:2])
    assert (
        summarize([found, stopped], []) == "2 notebooks: 1 ok, 1 error; 2 cells raised"
    )
    assert summarize([stopped], []) == "1 notebook: 1 error"
    nothing = replace(found, cells=[], rss_peak_bytes=None)
    assert re.fullmatch(r"x.ipynb: ok: 0 cells in \d+\.\d\d s", line_of(nothing))


def test_a_killed_kernel():
    notebook = notebook_of(
        "1",
        f"import os, time\n{UNTIL_SAMPLED}\nkept = b'x' * (80 << 20)\n"
        "until_sampled()\nos.kill(os.getpid(), 9)",
        "2",
    )
    found = run(notebook)
    assert (found.state, found.exit_code) == ("died", 137)
    assert states(found) == ["ok", "died", "not run"]
    report = found.cells[1].report
    assert report.status == "died"
    assert report.peak_method == "sampled"
    assert report.used_bytes == pytest.approx(80 * MIB, abs=2 * MIB)
    assert re.fullmatch(
        r"the kernel was killed by signal 9 \(SIGKILL\) in code cell 2 of 3"
        r" \(def until_sampled.*\) at \d+\.\d\d MiB, its last sample",
        found.message,
    )


def test_a_kernel_that_exits():
    found = run(notebook_of("import os; os._exit(3)"))
    assert found.state == "died"
    assert "exited with status 3 in code cell 1 of 1" in found.message


def test_a_cell_that_takes_too_long():
    found = run(notebook_of("1", "import time; time.sleep(600)", "2"), timeout=5.5)
    assert (found.state, found.exit_code) == ("timeout", 1)
    assert states(found) == ["ok", "timeout", "not run"]
    assert found.cells[1].report.status == "interrupted"
    assert abs(found.cells[1].report.used_bytes) < MIB
    assert found.message.endswith(
        "(import time; time.sleep(600)) took longer than 5.5 s"
    )


def test_no_such_kernel(caplog):
    found = run(notebook_of("1"), kernel_name="nonesuch")
    assert (found.state, found.exit_code) == ("no kernel", 2)
    assert states(found) == ["not run"]
    assert found.message.startswith("no kernel 'nonesuch' on this machine; ")


def test_a_kernel_that_does_not_start(tmp_path, monkeypatch):
    install_kernel(
        tmp_path, monkeypatch, "broken",
        sys.executable, "-c", "raise SystemExit(1)", "{connection_file}",
    )  # fmt: skip
    found = run(notebook_of("1"), kernel_name="broken")
    assert (found.state, found.exit_code) == ("no kernel", 2)
    assert found.message.startswith("the kernel does not start: ")


def test_no_cells_and_skipped_cells():
    found = run(new_notebook())
    assert (found.state, found.cells, found.rss_peak_bytes) == ("ok", [], None)
    notebook = notebook_of("1", "1/0")
    notebook.cells[1].metadata["tags"] = ["skip-execution"]
    found = run(notebook)
    assert found.state == "ok"
    assert states(found) == ["ok", "not run"]


def test_earlier_outputs_of_executed_cells_are_removed():
    notebook = notebook_of("1/0", "1")
    for cell in notebook.cells:
        cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "x"}]
        cell.execution_count = 7
    run(notebook)
    assert [each.output_type for each in notebook.cells[0].outputs] == ["error"]
    assert notebook.cells[0].execution_count == 1
    # Not reached: as with nbconvert and `jupyter execute`.
    assert text_of(notebook.cells[1]) == "x"
    assert notebook.cells[1].execution_count == 7


def test_unmeasurable_kernel_runs(monkeypatch):
    """Another user's, or one on another machine."""

    def refuse(pid, *, with_children):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(runner, "KernelMemory", refuse)
    notebook = notebook_of("print(6 * 7)", "1/0")
    found = run(notebook, allow_errors=True)
    assert found.state == "ok"
    assert found.message == "not everything was measured: Permission denied"
    assert [(cell.state, cell.report) for cell in found.cells] == [
        ("ok", None), ("error", None)
    ]  # fmt: skip
    assert text_of(notebook.cells[0]) == "42\n"


# ---- several ----


def jobs_of(*notebooks):
    return [
        Job(f"{number}.ipynb", each, Options(timeout=LIMIT_S, startup_timeout=LIMIT_S))
        for number, each in enumerate(notebooks)
    ]


def test_several_at_a_time():
    """Each waits for the other: so they run at the same time."""
    meet = (
        "import os, time\n"
        "os.mkdir(mine)\n"
        "while not os.path.exists(other): time.sleep(0.01)\n"
    )
    folder = Path(os.environ["JUPYTER_RUNTIME_DIR"])
    a, b = str(folder / "a"), str(folder / "b")
    try:
        seen = []
        found = run_all(
            jobs_of(
                notebook_of(f"mine, other = {a!r}, {b!r}\n" + meet),
                notebook_of(f"mine, other = {b!r}, {a!r}\n" + meet),
                notebook_of("1/0"),
            ),
            2,
            lambda job, result: seen.append((job.path, result.state)),
        )
    finally:
        for each in (a, b):
            shutil.rmtree(each, ignore_errors=True)
    assert [each.state for each in found] == ["ok", "ok", "error"]
    assert [each.notebook for each in found] == ["0.ipynb", "1.ipynb", "2.ipynb"]
    assert sorted(seen) == [("0.ipynb", "ok"), ("1.ipynb", "ok"), ("2.ipynb", "error")]


def test_interrupt(tmp_path):
    """Ctrl-C: what runs is interrupted, what was not begun is not."""
    mark = tmp_path / "mark"

    def interrupt():
        wait_for(mark.exists)
        os.kill(os.getpid(), signal.SIGINT)

    class Interrupter(Listener):
        def cell(self, notebook, place, source, memory):
            if place == 2:
                # When the cell runs: from another thread, as a terminal would.
                threading.Thread(target=interrupt).start()

    found = run_all(
        jobs_of(
            notebook_of(
                "1",
                f"open({str(mark)!r}, 'w').close()\n{UNTIL_INTERRUPTED}",
                "2",
            ),
            notebook_of("1"),
        ),
        1,
        lambda job, result: None,
        Interrupter(),
    )
    assert [each.state for each in found] == ["interrupted"] * 2
    assert states(found[0]) == ["ok", "interrupted", "not run"]
    assert found[0].cells[1].report.status == "interrupted"
    assert states(found[1]) == ["not run"]
    assert found[0].exit_code == 130
