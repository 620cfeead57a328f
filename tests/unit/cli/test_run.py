"""`memwatch run`, typed as a person does."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import nbformat
import pytest

from command import MEMWATCH, NONESUCH, run, write
from support import MIB, UNTIL_INTERRUPTED, UNTIL_SAMPLED, wait_for


def test_in_and_out(tmp_path):
    write(tmp_path, "in.ipynb", "x = b'x' * (64 << 20)", "print(len(x))")
    before = (tmp_path / "in.ipynb").read_bytes()
    done = run("in.ipynb", "out.ipynb", "--json", "r.json", cwd=tmp_path)
    assert done.stdout == ""
    assert done.stderr.startswith("in.ipynb: ok: 2 cells in ")
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    nbformat.validate(out)
    assert out.cells[1].outputs[0].text == f"{64 * MIB}\n"
    told = out.cells[0].metadata["memwatch"]
    assert told["used_bytes"] == pytest.approx(64 * MIB, abs=MIB)
    assert told["state"] == "ok"
    assert out.metadata["memwatch"]["state"] == "ok"
    assert (tmp_path / "in.ipynb").read_bytes() == before
    (found,) = json.loads((tmp_path / "r.json").read_text())["notebooks"]
    assert found["output"] == "out.ipynb"
    assert found["cells"][0]["report"]["used_bytes"] == told["used_bytes"]
    run("in.ipynb", "out.ipynb", "--no-metadata", cwd=tmp_path)
    assert "memwatch" not in (tmp_path / "out.ipynb").read_text()


def test_raising_cell_keeps_executed_cells(tmp_path):
    write(tmp_path, "a.ipynb", "print('first')", "1/0", "2")
    done = run("a.ipynb", "-o", "out.ipynb", cwd=tmp_path, code=1)
    assert "code cell 2 of 3 (1/0) raised ZeroDivisionError" in done.stderr
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    states = [cell.metadata["memwatch"]["state"] for cell in out.cells]
    assert states == ["ok", "error", "not run"]
    assert out.cells[1].outputs[0].ename == "ZeroDivisionError"


def test_killed_kernel_keeps_executed_cells(tmp_path):
    write(
        tmp_path, "a.ipynb", "print('first')",
        f"{UNTIL_SAMPLED}\nimport os; x = b'x' * (50 << 20)\n"
        "until_sampled(); os.kill(os.getpid(), 9)",
        "2",
    )  # fmt: skip
    done = run("a.ipynb", "-o", "out.ipynb", "--json", "-", cwd=tmp_path, code=137)
    assert "a.ipynb: died: the kernel was killed by signal 9 (SIGKILL)" in done.stderr
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells[0].outputs[0].text == "first\n"
    told = out.cells[1].metadata["memwatch"]
    assert (told["state"], told["status"]) == ("died", "died")
    assert told["used_bytes"] == pytest.approx(50 * MIB, abs=2 * MIB)
    assert out.cells[2].metadata["memwatch"]["state"] == "not run"
    assert json.loads(done.stdout)["notebooks"][0]["state"] == "died"


def test_children_count_for_budgets(tmp_path):
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    write(
        tmp_path, "a.ipynb",
        "import subprocess, sys\n"
        "code = 'x = b\"x\" * (200 << 20); print(1, flush=True); input()'\n"
        "child = subprocess.Popen([sys.executable, '-c', code], text=True,\n"
        "    stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "assert child.stdout.read(1) == '1'",
        "child.communicate('\\n')",
    )  # fmt: skip
    command = ["a.ipynb", "--max-peak", "200MiB", "--json", "-"]
    alone = json.loads(run(*command, cwd=tmp_path).stdout)
    assert alone["notebooks"][0]["cells"][0]["report"]["children_count"] is None
    done = run(*command, "--children", cwd=tmp_path, code=3)
    (found,) = json.loads(done.stdout)["notebooks"]
    first, second = (each["report"] for each in found["cells"])
    assert (first["children_count"], second["children_count"]) == (1, 0)
    assert first["children_pss_peak_bytes"] == pytest.approx(205 * MIB, abs=12 * MIB)
    assert first["tree_pss_peak_bytes"] > 200 * MIB > first["rss_peak_bytes"]
    assert "over budget: a.ipynb: In [1] " in done.stderr


def test_a_kernel_that_the_control_group_kills(tmp_path, group):
    """A real OOM kill: of the kernel, which holds the most."""
    write(
        tmp_path, "a.ipynb", "1",
        "import time\nheld = []\n"
        "while True: held.append(b'x' * (1 << 20)); time.sleep(0.002)",
    )  # fmt: skip
    enter = f"echo $$ > {group}/cgroup.procs; exec {MEMWATCH} run a.ipynb -o out.ipynb"
    done = subprocess.run(
        ["sh", "-c", enter],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 137, done.stderr
    assert "a.ipynb: died: the kernel was OOM-killed in code cell 2 of 2" in done.stderr
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    told = out.cells[1].metadata["memwatch"]
    assert told["state"] == "died"
    assert 100 * MIB < told["rss_end_bytes"] < 300 * MIB


def test_interrupt_writes_executed_cells(tmp_path):
    write(
        tmp_path, "a.ipynb", "print('first')",
        f"open('mark', 'w').close()\n{UNTIL_INTERRUPTED}", "2",
    )  # fmt: skip
    write(tmp_path, "b.ipynb", "1")
    started = subprocess.Popen(
        [MEMWATCH, "run", "a.ipynb", "b.ipynb", "--output-dir", "out"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_for((tmp_path / "mark").exists)
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130
    assert "a.ipynb: interrupted: interrupted in code cell 2 of 3" in told
    assert "b.ipynb: interrupted: interrupted before it was started" in told
    assert not re.search(r"memwatch/\S+\.py", told), told
    out = nbformat.read(tmp_path / "out/a.ipynb", as_version=4)
    states = [cell.metadata["memwatch"]["state"] for cell in out.cells]
    assert states == ["ok", "interrupted", "not run"]


def test_malformed_notebooks_do_not_stop_the_others(tmp_path):
    (tmp_path / "text.ipynb").write_text("no JSON")
    (tmp_path / "schema.ipynb").write_text('{"nbformat": 4, "cells": 1}')
    (tmp_path / "v3.ipynb").write_text(
        '{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}'
    )
    with open(tmp_path / "huge.ipynb", "wb") as huge:
        huge.truncate(500 * MIB)
    write(tmp_path, "empty.ipynb")
    write(tmp_path, "kernel.ipynb", "1", kernelspec=NONESUCH)
    write(tmp_path, "good.ipynb", "print('fine')")
    names = ["text", "schema", "v3", "huge", "empty", "kernel", "good"]
    paths = [f"{name}.ipynb" for name in names]
    done = run(*paths, "--output-dir", "out", cwd=tmp_path, code=2)
    assert "\nwrote out/good.ipynb\n" in done.stderr
    lines = done.stderr.replace("wrote out/good.ipynb\n", "").splitlines()
    told = {name: [line for line in lines if f"{name}.ipynb" in line] for name in names}
    assert all(len(each) == 1 for each in told.values()), done.stderr
    assert "invalid JSON" in told["text"][0]
    assert "v3.ipynb: the notebook has no cells" in told["v3"][0]
    assert "no kernel 'nonesuch' on this machine" in told["kernel"][0]
    assert "empty.ipynb: the notebook has no cells" in told["empty"][0]
    assert "good.ipynb: ok: 1 cell" in told["good"][0]
    assert sum(".ipynb" in line for line in lines) == len(names)
    assert "fine" in (tmp_path / "out/good.ipynb").read_text()


@pytest.mark.parametrize("name", ["text", "v3", "kernel", "empty"])
def test_each_alone_is_2(tmp_path, name):
    (tmp_path / "text.ipynb").write_text("no JSON")
    (tmp_path / "v3.ipynb").write_text('{"nbformat": 3, "worksheets": []}')
    write(tmp_path, "kernel.ipynb", "1", kernelspec=NONESUCH)
    write(tmp_path, "empty.ipynb")
    done = run(f"{name}.ipynb", cwd=tmp_path, code=2)
    assert len(done.stderr.splitlines()) == 1


def test_budgets(tmp_path):
    path = write(tmp_path, "a.ipynb", "x = b'x' * (64 << 20)", "y = b'y' * (8 << 20)")
    done = run(path, "--max-peak", "10MiB", cwd=tmp_path, code=3)
    assert "over budget: " in done.stderr
    assert "held at most" in done.stderr
    run(path, "--max-peak", "1GiB", "--max-used", "100MiB", cwd=tmp_path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["memwatch"] = {"max_used": "4MiB"}
    nbformat.write(notebook, path)
    done = run(path, cwd=tmp_path, code=3)
    assert "In [2]" in done.stderr
    assert "In [1]" not in done.stderr.partition("over budget")[2]


def test_baseline(tmp_path):
    path = write(tmp_path, "a.ipynb", "n = 32", "x = b'x' * (n << 20)")
    run(path, "--json", "before.json", cwd=tmp_path)
    run(path, "--baseline", "before.json", cwd=tmp_path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "n = 64"
    nbformat.write(notebook, path)
    done = run(path, "--baseline", "before.json", cwd=tmp_path, code=3)
    assert "In [2]" in done.stderr
    run(path, "--baseline", "before.json", "--tolerance", "200MiB", cwd=tmp_path)


def test_parameters(tmp_path):
    path = write(tmp_path, "a.ipynb", "n = 1", "print(n * 2)")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    run(path, "-o", "out.ipynb", "-p", "n", "21", cwd=tmp_path)
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells[2].outputs[0].text == "42\n"
    assert out.cells[2].metadata["memwatch"]["label"] == "In [3]"


def test_it_runs_in_the_notebooks_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    write(
        tmp_path / "sub", "a.ipynb", "import os; print(os.path.basename(os.getcwd()))"
    )
    run("sub/a.ipynb", "-o", "out.ipynb", cwd=tmp_path)
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells[0].outputs[0].text == "sub\n"


def test_unwritable_file_is_reported(tmp_path):
    write(tmp_path, "a.ipynb", "1")
    (tmp_path / "file").write_text("")
    done = run("a.ipynb", "-o", "file/out.ipynb", "--csv", "no/r.csv", cwd=tmp_path,
               code=2)  # fmt: skip
    assert "a.ipynb is not run: cannot write file/out.ipynb: " in done.stderr
    # Its folder is made.
    assert (tmp_path / "no/r.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no notebook given"),
        (["x.ipynb", "--max-peak", "much"], "--max-peak: "),
        (["x.ipynb", "--baseline", "none.json"], "none.json"),
        (["x.ipynb", "--dask", "tcp://127.0.0.1:1"], "no Dask scheduler responds"),
    ],
)
def test_wrong_usage(tmp_path, arguments, told):
    write(tmp_path, "x.ipynb", "1")
    assert told in run(*arguments, cwd=tmp_path, code=2).stderr


def test_a_terminal_shows_the_running_cell(tmp_path):
    """In a pseudo-terminal: the live table, and the line that stays."""
    import pexpect

    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"
    write(tmp_path, "a.ipynb", wait)
    shown = pexpect.spawn(
        MEMWATCH, ["run", "a.ipynb"], cwd=str(tmp_path), encoding="utf-8", timeout=60,
        dimensions=(24, 100), env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    shown.expect("a.ipynb +1/1 .*while not os.path")
    (tmp_path / "go").touch()
    shown.expect("a.ipynb: ok: 1 cell in")
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 0
