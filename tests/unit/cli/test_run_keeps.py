"""`memwatch run` loses nothing: outputs that are in a notebook, reports, exit codes."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios

import nbformat
import pytest
from nbformat.v4 import (
    new_markdown_cell,
    new_raw_cell,
)

from command import MEMWATCH, NONESUCH, OLD, old, run, save, start
from support import UNTIL_INTERRUPTED, wait_for


def kept(cell):
    return (cell.execution_count, [each.get("text") for each in cell.outputs]) == (
        7, [OLD],
    )  # fmt: skip


def install_kernel(folder, name, code):
    """A kernel that runs `code`; the environment that has it."""
    place = folder / "jupyter/kernels" / name
    place.mkdir(parents=True)
    argv = [sys.executable, "-c", code, "{connection_file}"]
    spec = {"argv": argv, "display_name": name, "language": name}
    (place / "kernel.json").write_text(json.dumps(spec))
    return os.environ | {"JUPYTER_PATH": str(folder / "jupyter")}


# ---- outputs of what was not executed ----


WAYS = {
    "in place": (["a.ipynb", "--in-place"], "a.ipynb"),
    "OUT": (["a.ipynb", "-o", "out.ipynb"], "out.ipynb"),
    "folder": (["a.ipynb", "--output-dir", "out"], "out/a.ipynb"),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_kernel_leaves_the_file_unchanged(tmp_path, way):
    arguments, written = WAYS[way]
    save(tmp_path, "a.ipynb", "1", kernelspec=NONESUCH)
    target = tmp_path / written
    target.parent.mkdir(exist_ok=True)
    if way != "in place":
        target.write_text("of yesterday")
    before = target.read_bytes()
    run(*arguments, "--json", "r.json", cwd=tmp_path, code=2)
    assert target.read_bytes() == before
    (told,) = json.loads((tmp_path / "r.json").read_text())["notebooks"]
    assert (told["state"], told["output"]) == ("no kernel", None)


@pytest.mark.parametrize(
    ("code", "options"),
    [
        ("raise SystemExit(1)", []),
        ("import time; time.sleep(600)", ["--startup-timeout", "0.5"]),
    ],
)
def test_a_kernel_that_does_not_start_leaves_it_too(tmp_path, code, options):
    path = save(tmp_path, "a.ipynb", "1")
    before = path.read_bytes()
    env = install_kernel(tmp_path, "slow", code)
    started = start("a.ipynb", "--in-place", "--kernel", "slow", *options,
                    cwd=tmp_path, env=env)  # fmt: skip
    _, told = started.communicate(timeout=60)
    assert started.returncode == 2, told
    assert "a.ipynb: no kernel: the kernel does not start: " in told
    assert path.read_bytes() == before


def test_ctrl_c_while_the_kernel_starts_leaves_it_too(tmp_path):
    path = save(tmp_path, "a.ipynb", "1")
    before = path.read_bytes()
    code = (
        "import os, time; open('pid.tmp', 'w').write(str(os.getpid()))\n"
        "os.rename('pid.tmp', 'pid'); time.sleep(600)"
    )
    env = install_kernel(tmp_path, "slow", code)
    started = start("a.ipynb", "--in-place", "--kernel", "slow", cwd=tmp_path, env=env)
    wait_for(lambda: (tmp_path / "pid").exists())
    started.send_signal(signal.SIGINT)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert path.read_bytes() == before
    # The kernel has gone with it.
    pid = int((tmp_path / "pid").read_text())
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"))


@pytest.mark.parametrize(
    ("second", "code"),
    [
        ("1/0", 1),
        ("import os; os.kill(os.getpid(), 9)", 137),
        ("import time; time.sleep(600)", 1),
    ],
)
def test_cells_that_are_not_reached_keep_theirs(tmp_path, second, code):
    path = save(
        tmp_path, "a.ipynb", "print('new')", second, "3", new_raw_cell("r"),
        new_markdown_cell("# m"), "", "4",
    )  # fmt: skip
    before = nbformat.read(path, as_version=4)
    run("a.ipynb", "--in-place", "--timeout", "2.5", "--no-metadata", cwd=tmp_path,
        code=code)  # fmt: skip
    out = nbformat.read(path, as_version=4)
    assert out.cells[0].outputs[0].text == "new\n"
    assert out.cells[0].execution_count == 1
    # Executed, if not to its end: nothing of the earlier session is left in it.
    assert OLD not in json.dumps(out.cells[1])
    assert out.cells[1].execution_count != 7
    assert out.cells[2:] == before.cells[2:]


def test_skipped_cell_keeps_its_output(tmp_path):
    cells = [
        old("1", tags=["skip-execution"]), "print('new')", "", "# a comment",
        new_markdown_cell("# m"),
    ]  # fmt: skip
    path = save(tmp_path, "a.ipynb", *cells)
    run("a.ipynb", "--in-place", cwd=tmp_path)
    out = nbformat.read(path, as_version=4)
    assert kept(out.cells[0])
    assert out.cells[0].metadata["memwatch"] == {"state": "not run"}
    assert out.cells[1].outputs[0].text == "new\n"
    assert kept(out.cells[2])
    # A comment is sent to the kernel, which has no output for it.
    assert (out.cells[3].outputs, out.cells[3].execution_count) == ([], 2)


def test_a_file_is_rewritten_only_if_something_ran(tmp_path):
    path = save(
        tmp_path, "a.ipynb", old("1", tags=["skip-execution"]), new_markdown_cell("m")
    )
    before = path.read_bytes()
    run("a.ipynb", "--in-place", cwd=tmp_path)
    assert path.read_bytes() == before
    # OUT is what was asked for, and has what the notebook has.
    run("a.ipynb", "out.ipynb", "--no-metadata", cwd=tmp_path)
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells == nbformat.read(path, as_version=4).cells


def test_those_that_were_not_begun_are_left_as_they_are(tmp_path):
    save(tmp_path, "a.ipynb", f"open('mark', 'w')\n{UNTIL_INTERRUPTED}", "2")
    save(tmp_path, "b.ipynb", "1")
    before = (tmp_path / "b.ipynb").read_bytes()
    started = start("a.ipynb", "b.ipynb", "--in-place", cwd=tmp_path)
    wait_for(lambda: (tmp_path / "mark").exists())
    started.send_signal(signal.SIGTERM)
    started.communicate(timeout=60)
    assert started.returncode == 130
    assert (tmp_path / "b.ipynb").read_bytes() == before
    out = nbformat.read(tmp_path / "a.ipynb", as_version=4)
    assert not kept(out.cells[0])
    assert kept(out.cells[1])


# ---- progress that cannot be shown ----


@pytest.mark.parametrize("streams", ["2>/dev/full", "<&- >&- 2>&-"])
def test_progress_that_cannot_be_shown(tmp_path, streams):
    """All is run and written, with the right exit code."""
    save(tmp_path, "a.ipynb", "1")
    save(tmp_path, "b.ipynb", "1/0")
    typed = f"{MEMWATCH} run a.ipynb b.ipynb -j 2 --output-dir out --json r.json"
    done = subprocess.run(
        ["sh", "-c", f"{typed} {streams}"], cwd=tmp_path, timeout=120,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    found = json.loads((tmp_path / "r.json").read_text())["notebooks"]
    assert [each["state"] for each in found] == ["ok", "error"]
    for name in "ab":
        out = nbformat.read(tmp_path / f"out/{name}.ipynb", as_version=4)
        assert out.cells[0].execution_count == 1


def test_a_reader_that_has_enough(tmp_path):
    """As `2>&1 | head -1`. What was to go to stdout is lost, and that is an error."""
    save(tmp_path, "a.ipynb", "1")
    save(tmp_path, "b.ipynb", "1")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        arguments = ["a.ipynb", "b.ipynb", "-j", "2", "--output-dir", "out", "--csv"]
        arguments += ["r.csv", "--html", "r/r.html"]
        started = start(*arguments, cwd=tmp_path, stdout=writing, stderr=writing)
        assert started.wait(120) == 0
        started = start(*arguments, "--json", "-", cwd=tmp_path, stdout=writing)
        _, told = started.communicate(timeout=120)
    finally:
        os.close(writing)
    assert started.returncode == 2
    assert "memwatch run: - is not written: Broken pipe" in told
    assert sorted(os.listdir(tmp_path / "out")) == ["a.ipynb", "b.ipynb"]
    assert "a.ipynb" in (tmp_path / "r.csv").read_text()
    assert (tmp_path / "r/r.html").exists()


@pytest.mark.parametrize("ignored", [True, False])
def test_a_terminal_that_hangs_up(tmp_path, ignored):
    """Where SIGHUP is ignored the run goes on; else it ends as with Ctrl-C."""
    until = "open('mark', 'w')\nimport os, time\n"
    until += "while not os.path.exists('go'): time.sleep(0.01)"
    save(tmp_path, "a.ipynb", "print('first')", until)
    ours, theirs = pty.openpty()

    def begin():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if ignored:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    started = start(
        "a.ipynb", "-o", "out.ipynb", "--json", "r.json", cwd=tmp_path,
        stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=begin,
    )  # fmt: skip
    os.close(theirs)
    try:
        wait_for(lambda: (tmp_path / "mark").exists())
    finally:
        os.close(ours)
    if ignored:
        (tmp_path / "go").touch()
    assert started.wait(60) == (0 if ignored else 130)
    (found,) = json.loads((tmp_path / "r.json").read_text())["notebooks"]
    assert found["state"] == ("ok" if ignored else "interrupted")
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert out.cells[0].outputs[0].text == "first\n"


def test_sighup_writes_everything(tmp_path):
    save(tmp_path, "a.ipynb", "print('first')",
         f"open('mark', 'w')\n{UNTIL_INTERRUPTED}", "2")  # fmt: skip
    started = start("a.ipynb", "--in-place", "--json", "r.json", "--html", "r.html",
                    cwd=tmp_path)  # fmt: skip
    wait_for(lambda: (tmp_path / "mark").exists())
    started.send_signal(signal.SIGHUP)
    started.send_signal(signal.SIGHUP)  # the shell sends it, too
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert "a.ipynb: interrupted: interrupted in code cell 2 of 3" in told
    (found,) = json.loads((tmp_path / "r.json").read_text())["notebooks"]
    assert [each["state"] for each in found["cells"]] == [
        "ok", "interrupted", "not run"
    ]  # fmt: skip
    assert (tmp_path / "r.html").exists()
    out = nbformat.read(tmp_path / "a.ipynb", as_version=4)
    assert out.cells[0].outputs[0].text == "first\n"
    assert kept(out.cells[2])
