"""Kernels of other languages and of several processes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from memwatch.run.budgets.budgets import check, parse_size, read_budgets
from memwatch.run.kernels import KernelMemory
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
from support import BECOME_NOBODY, MIB, wait_for

# ---- kernels of other languages ----


@needs_mark
def test_bash(tmp_path, monkeypatch):
    """Two processes: a Python, and the bash that it talks to, which does the work."""
    if importlib.util.find_spec("bash_kernel") is None:
        pytest.skip("bash_kernel is not installed")
    install_kernel(
        tmp_path, monkeypatch, "bash",
        sys.executable, "-m", "bash_kernel", "-f", "{connection_file}",
    )  # fmt: skip
    notebook = notebook_of(
        "true",
        "echo 5 > /proc/$$/clear_refs\n"
        "x=$(head -c 100000000 /dev/zero | tr '\\0' x)\n"
        "grep -h -E 'VmHWM|VmRSS' /proc/$$/status /proc/$PPID/status",
    )
    found = run(notebook, kernel_name="bash")
    assert found.state == "ok", found.message
    report = found.cells[1].report
    bash_peak, _, _, python = (
        int(size) * 1024 for size in re.findall(r"(\d+) kB", text_of(notebook.cells[1]))
    )
    assert report.rss_peak_bytes == pytest.approx(bash_peak + python, rel=0.02)
    assert report.used_bytes == pytest.approx(100e6, rel=0.02)


@needs_mark
def test_typescript(tmp_path, monkeypatch):
    """A kernel with no Python in it: deno."""
    deno = shutil.which("deno", path=str(Path(sys.executable).parent))
    if deno is None:
        pytest.skip("deno is not installed")
    monkeypatch.setenv("DENO_DIR", str(tmp_path / "deno"))
    install_kernel(
        tmp_path, monkeypatch, "deno",
        deno, "jupyter", "--kernel", "--conn", "{connection_file}",
    )  # fmt: skip
    # To files: deno may send its outputs after the cell has ended.
    cells = [
        f"let a{mib} = new Uint8Array({mib} * 2**20).fill(1);"
        f" Deno.copyFileSync('/proc/self/status', '{tmp_path}/{mib}')"
        for mib in (100, 200)
    ]
    found = run(notebook_of("1", *cells), kernel_name="deno")
    assert found.state == "ok", found.message
    for cell, mib in zip(found.cells[1:], (100, 200), strict=True):
        status = (tmp_path / str(mib)).read_text()
        shown = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024
        assert cell.report.rss_peak_bytes == pytest.approx(shown, rel=0.02)
        assert cell.report.used_bytes == pytest.approx(mib * MIB, rel=0.05)


# ---- kernels of several processes ----


HELPED = """import os, subprocess, sys
reading, writing = os.pipe()
os.set_inheritable(writing, True)
helper = subprocess.Popen([sys.executable, "-c", sys.argv[2]], stdin=reading,
                          stdout=subprocess.PIPE)
helper.stdout.readline()
os.environ["HELPER"] = str(helper.pid)
os.execv(sys.executable,
         [sys.executable, "-m", "ipykernel_launcher", "-f", sys.argv[1]])
"""
"""A kernel with a child that was there before it; it ends with the kernel."""


HOLDS_64_MIB = "held = b'x' * (64 << 20); print(flush=True); input()"


def install_helped(tmp_path, monkeypatch, helper):
    install_kernel(
        tmp_path, monkeypatch, "helped",
        sys.executable, "-c", HELPED, "{connection_file}", helper,
    )  # fmt: skip


@needs_mark
@pytest.mark.parametrize("flags", ["os.WEXITED", "os.WEXITED | os.WNOWAIT"])
def test_a_helper_that_ends(tmp_path, monkeypatch, flags):
    """It may stay behind as a zombie. The figures of the kernel are still there."""
    install_helped(tmp_path, monkeypatch, HOLDS_64_MIB)
    notebook = notebook_of(
        PAGES,
        "import os\nhelper = int(os.environ['HELPER'])\npages(400)\n"
        f"os.kill(helper, 9)\nos.waitid(os.P_PID, helper, {flags})",
        "pages(500); None",
        "a = pages(32)",
    )
    found = run(notebook, kernel_name="helped")
    assert (found.state, found.message) == ("ok", None)
    before, ends, peaks, keeps = (cell.report for cell in found.cells)
    assert before.rss_end_bytes > 64 * MIB + BOUND
    assert ends.used_bytes == pytest.approx(-64 * MIB, abs=12 * MIB)
    assert ends.rss_peak_bytes > 400 * MIB
    assert peaks.rss_start_bytes == pytest.approx(ends.rss_end_bytes, abs=MIB)
    assert peaks.peak_method == "kernel"
    assert peaks.peaked_bytes == pytest.approx(500 * MIB, abs=BOUND + MIB)
    assert found.rss_peak_bytes == peaks.rss_peak_bytes
    assert keeps.used_bytes == pytest.approx(32 * MIB, abs=MIB)
    assert check(found, read_budgets(notebook, parse_size("2GiB"))) == []


@needs_mark
def test_a_helper_that_ended_before_the_first_cell(tmp_path, monkeypatch):
    """The kernel has not waited for it: a zombie is still among its children."""
    install_helped(tmp_path, monkeypatch, "")
    found = run(notebook_of(PAGES, "pages(100); None"), kernel_name="helped")
    assert (found.state, found.message) == ("ok", None)
    report = found.cells[1].report
    assert report.peaked_bytes == pytest.approx(100 * MIB, abs=BOUND + MIB)
    assert report.peak_method == "kernel"


def test_the_inner_process_of_a_wrapper_is_killed(tmp_path, monkeypatch):
    """Its last sample is kept, though the wrapper ended first or by itself."""
    install_kernel(
        tmp_path, monkeypatch, "wrapped",
        "sh", "-c", f'"{sys.executable}" -m ipykernel_launcher -f "$0"; exit $?',
        "{connection_file}",
    )  # fmt: skip
    kill = (
        "import os, time\nkept = b'x' * (80 << 20)\ntime.sleep(1)\n"
        "os.kill(os.getpid(), 9)"
    )
    found = run(notebook_of("1", kill), kernel_name="wrapped")
    assert (found.state, states(found)) == ("died", ["ok", "died"])
    report = found.cells[1].report
    assert report.used_bytes == pytest.approx(80 * MIB, abs=2 * MIB)
    assert found.message.endswith("MiB, its last sample")


DRIVEN = """import os, subprocess, sys
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""


class Driven:
    """A process that runs the lines that it is sent; its `child` runs some of them."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVEN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        start = "[sys.executable, '-c', sys.argv[1]], stdin=-1, stdout=-1, text=True"
        self.run(f"exec({PAGES!r}); DRIVEN = {DRIVEN!r}; sys.argv.append(DRIVEN)")
        self.run(f"child = subprocess.Popen({start})")
        self.in_child(f"exec({PAGES!r})")
        self.child = int(self.run("print(child.pid, end=' ')"))

    def run(self, line):
        """What the line prints."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().removesuffix("done\n")

    def in_child(self, line):
        self.run(
            f"child.stdin.write({line!r} + chr(10)), child.stdin.flush(),"
            " child.stdout.readline()"
        )

    def end_child(self, wait="child.wait()"):
        self.run(f"child.kill(); {wait}")

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@needs_mark
def test_the_peak_of_two_processes():
    """Their sum is between what is told and that with `peak_error_bytes`."""
    with Driven() as driven:
        memory = KernelMemory(driven.pid)
        memory.open()
        driven.run("pages(100)")
        driven.in_child("pages(60)")
        one_by_one = memory.close("ok")
        memory.open()
        driven.in_child("a = pages(60)")
        driven.run("pages(100)")
        driven.in_child("del a")
        at_once = memory.close("ok")
    for report, most in ((one_by_one, 100 * MIB), (at_once, 160 * MIB)):
        told = report.rss_peak_bytes - report.rss_start_bytes
        assert told <= most + MIB
        assert told + report.peak_error_bytes >= most
        assert told == pytest.approx(100 * MIB, abs=BOUND * 2 + MIB)
        assert report.peak_method == "kernel"


@needs_mark
def test_a_process_that_works_and_ends():
    """Its memory is in the peak, and is gone at the end."""
    with Driven() as driven:
        memory = KernelMemory(driven.pid)
        memory.open()
        driven.in_child("a = pages(200)")
        whole = memory.rss_bytes()
        before = memory.close("ok")
        memory.open()
        driven.end_child()
        report = memory.close("error")
        after = memory.rss_bytes()
        memory.open()
        last = memory.close("ok")
    assert whole == before.rss_end_bytes
    assert report.rss_start_bytes == before.rss_end_bytes
    assert report.rss_peak_bytes >= report.rss_start_bytes
    assert report.rss_end_bytes == pytest.approx(after, abs=MIB)
    assert report.used_bytes < -200 * MIB
    assert report.peak_method == "sampled"
    assert last.peak_method == "kernel"
    assert last.drift_bytes == 0


@pytest.mark.parametrize("status", ["interrupted", "died"])
def test_the_last_sample_of_a_process_is_kept_where_no_reply_came(status):
    with Driven() as driven:
        driven.in_child("a = pages(100)")
        memory = KernelMemory(driven.pid)
        memory.open()
        driven.end_child("None")  # a zombie
        report = memory.close(status)
    assert report.rss_end_bytes > 100 * MIB
    assert report.rss_end_bytes == pytest.approx(report.rss_start_bytes, abs=MIB)


def test_the_wrapper_ends_and_the_kernel_lives_on():
    with Driven() as driven:
        child = driven.child
        driven.in_child("a = pages(100)")
        memory = KernelMemory(driven.pid)
        memory.open()
        # The child reads from a pipe of its parent's, so have it wait for a signal.
        driven.run("child.stdin.write('import signal; signal.pause()' + chr(10))")
        driven.run("child.stdin.flush()")
        try:
            driven.process.kill()
            driven.process.wait()
            died = memory.close("died")
            memory.open()
            later = memory.close("ok")
        finally:
            os.kill(child, signal.SIGKILL)
    assert died.rss_end_bytes > later.rss_end_bytes > 100 * MIB


def test_a_process_that_becomes_another_program():
    """exec keeps the pid; what is told from then on is that of the new program."""
    with Driven() as driven:
        driven.in_child("a = pages(100)")
        memory = KernelMemory(driven.pid)
        memory.open()
        driven.run('child.stdin.write(\'os.execvp("sleep", ["sleep", "600"])\')')
        driven.run("child.stdin.write(chr(10)), child.stdin.flush()")
        stat = Path(f"/proc/{driven.child}/stat")
        wait_for(lambda: "(sleep) S " in stat.read_text())
        report = memory.close("ok")
        memory.open()
        later = memory.close("ok")
        driven.end_child()
    assert report.used_bytes < -90 * MIB
    assert report.rss_peak_bytes > 100 * MIB
    assert later.used_bytes == 0
    assert later.rss_start_bytes == report.rss_end_bytes


def test_a_process_that_came_later_is_not_measured():
    with Driven() as driven:
        memory = KernelMemory(driven.pid)
        memory.open()
        driven.run(
            "later = subprocess.Popen([sys.executable, '-c', "
            "'a = bytearray(100 << 20); print(flush=True); input()'],"
            " stdin=-1, stdout=-1); later.stdout.readline()"
        )
        report = memory.close("ok")
        driven.run("later.kill()")
    assert report.used_bytes < 50 * MIB


def test_all_processes_have_ended():
    with Driven() as driven:
        memory = KernelMemory(driven.pid)
        driven.end_child()
        driven.process.kill()
        driven.process.wait()
        with pytest.raises(ProcessLookupError):
            memory.open()
        assert memory.close("died") is None
        assert memory.rss_bytes() is None
        with pytest.raises(FileNotFoundError):
            KernelMemory(driven.pid)


HIDDEN = """
import os
from memwatch.run.kernels import KernelMemory, SocketFolder, use_sockets
pid = {pid}
become_nobody(1)
memory = KernelMemory(pid)
memory.open()
report = memory.close("ok")
print(report.rss_end_bytes, memory.rss_bytes(), memory.why_not)
"""


def test_a_process_that_may_not_be_read(tmp_path):
    """/proc is mounted with hidepid=2, and the child is another user's."""
    if os.getuid() != 0:
        pytest.skip("only root can start the process of another user")
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    kernel = subprocess.Popen(["sh", "-c", f"sleep 600 & exec {nobody} sleep 600"])
    try:
        wait_for(lambda: "sleep" in Path(f"/proc/{kernel.pid}/comm").read_text())
        children = Path(f"/proc/{kernel.pid}/task/{kernel.pid}/children")
        helper = int(children.read_text())
        code = BECOME_NOBODY + HIDDEN.format(pid=kernel.pid)
        mount = "mount -t proc -o hidepid=2 proc /proc || exit 77"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f'{mount}; exec "$@"', "sh",
             sys.executable, "-c", code],
            capture_output=True, text=True, timeout=LIMIT_S,
        )  # fmt: skip
    finally:
        for pid in (helper, kernel.pid):
            os.kill(pid, signal.SIGKILL)
        kernel.wait()
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"/proc cannot be mounted here: {done.stderr.strip()}")
    end, now, why_not = done.stdout.strip().split(" ", 2)
    assert int(end) == int(now) > 0
    assert why_not.startswith(f"process {helper}: ")
    assert why_not.endswith("No such file or directory")
