"""Notebooks run with nobody looking: real kernels, of several languages."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import IPython
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from memwatch import _core
from memwatch.run import runner
from memwatch.run.batch import Job, run_all
from memwatch.run.budgets.budgets import check, parse_size, read_budgets
from memwatch.run.execution import Options
from memwatch.run.kernels import KernelMemory, SocketFolder, use_sockets
from memwatch.run.output.page import summarize
from memwatch.run.progress import line_of
from memwatch.run.runner import run_notebook
from support import BECOME_NOBODY, MIB, UNTIL_SAMPLED, wait_for

ACCURACY = _core.accuracy()
BOUND = ACCURACY["bound_bytes"]

needs_mark = pytest.mark.skipif(
    not ACCURACY["hwm_resets"], reason="no high-water mark to reset"
)

LIMIT_S = 300
"""Of what does not hang; a busy machine is slow."""

PAGES = """import mmap
def pages(mib):
    m = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    m[::4096] = b'x' * (mib << 8)
    return m
"""


def notebook_of(*cells):
    return new_notebook(cells=[new_code_cell(each) for each in cells])


def run(notebook, **options):
    options.setdefault("timeout", LIMIT_S)
    options.setdefault("startup_timeout", LIMIT_S)
    return asyncio.run(run_notebook(notebook, "x.ipynb", Options(**options)))


def text_of(cell):
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


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


# ---- kernels of other languages ----


def install_kernel(tmp_path, monkeypatch, name, *argv):
    folder = tmp_path / "kernels" / name
    folder.mkdir(parents=True)
    spec = {"argv": argv, "display_name": name, "language": name}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))


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


# ---- how kernels are reached ----

CONNECTION = (
    "import json, os\nfrom ipykernel import get_connection_info\n"
    "info = json.loads(get_connection_info())\nfolder = os.path.dirname(info['ip'])\n"
    "print(info['transport'], folder, oct(os.stat(folder).st_mode)[-4:])"
)


@pytest.mark.parametrize("length", [1, 120])
def test_a_kernel_uses_no_ports(tmp_path, monkeypatch, capfd, length):
    """But sockets in a private folder, in /tmp where the path would be too long."""
    base = tmp_path / ("x" * length)
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    notebook = notebook_of(CONNECTION)
    assert run(notebook).state == "ok"
    transport, folder, mode = text_of(notebook.cells[0]).split()
    assert (transport, mode) == ("ipc", "0700")
    assert Path(folder).parent == (base if length == 1 else Path("/tmp"))
    assert len(f"{folder}/k-99") <= 107  # sun_path of unix(7)
    assert not Path(folder).exists()
    assert list(base.iterdir()) == []
    assert "encryption" not in capfd.readouterr().err


def test_no_socket_is_left(tmp_path, monkeypatch):
    """Not where a kernel is killed, or does not start, or there is none."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert run(notebook_of("import os; os.kill(os.getpid(), 9)")).state == "died"
    install_kernel(
        tmp_path, monkeypatch, "broken",
        sys.executable, "-c", "raise SystemExit(1)", "ipykernel", "{connection_file}",
    )  # fmt: skip
    for name in ("broken", "nonesuch"):
        assert run(notebook_of("1"), kernel_name=name).state == "no kernel"
    assert list(tmp_path.glob("memwatch*")) == []


def test_folders_of_killed_owners_are_removed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    other = tmp_path / "memwatch-sockets-file"
    other.touch()
    used = SocketFolder.make()
    (Path(used.path) / "k-1").touch()
    code = (
        "import os\nfrom memwatch.run.kernels import SocketFolder\n"
        "folder = SocketFolder.make()\nopen(folder.prefix + '-1', 'w').close()\n"
        "print(folder.path, flush=True)\nos.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_S
    )
    abandoned = Path(killed.stdout.strip())
    assert abandoned.parent == tmp_path
    assert abandoned.exists()
    SocketFolder.make().remove()
    assert not abandoned.exists()
    assert sorted(tmp_path.iterdir()) == sorted([other, Path(used.path)])
    used.remove()
    used.remove()
    assert list(tmp_path.iterdir()) == [other]


REFUSES = """import json, os, sys
with open(sys.argv[2], "a") as starts:
    print(json.load(open(sys.argv[1]))["transport"], file=starts)
if {condition}:
    raise SystemExit(1)
os.execv(sys.executable,
         [sys.executable, "-m", "ipykernel_launcher", "-f", sys.argv[1]])
"""
NO_SOCKETS = "json.load(open(sys.argv[1]))['transport'] != 'tcp'"
TAKEN_PORT = "len(open(sys.argv[2]).readlines()) == 1"


def install_refusing(tmp_path, monkeypatch, condition, *more):
    """A kernel that ends before it is ready; the file that says how often."""
    starts = tmp_path / "starts"
    install_kernel(
        tmp_path, monkeypatch, "refusing",
        sys.executable, "-c", REFUSES.format(condition=condition),
        "{connection_file}", str(starts), *more,
    )  # fmt: skip
    return starts


@pytest.mark.parametrize(
    ("condition", "word", "transports"),
    [
        (NO_SOCKETS, "ipykernel", "ipc tcp"),
        (TAKEN_PORT, "other", "tcp tcp"),
        ("True", "other", "tcp tcp"),
    ],
    ids=["no-sockets", "taken-port", "never"],
)
def test_a_kernel_that_dies_at_its_start_gets_another_try(
    tmp_path, monkeypatch, condition, word, transports
):
    """Where a kernel cannot use sockets, or a port was taken; once."""
    starts = install_refusing(tmp_path, monkeypatch, condition, word)
    notebook = notebook_of("print(6 * 7)")
    found = run(notebook, kernel_name="refusing")
    assert starts.read_text().split() == transports.split()
    if condition == "True":
        assert found.state == "no kernel"
        assert found.message.startswith("the kernel does not start: ")
    else:
        assert (found.state, found.message) == ("ok", None)
        assert text_of(notebook.cells[0]) == "42\n"
        assert found.cells[0].report is not None


@pytest.mark.parametrize(
    ("metadata", "argv0", "default", "is_used"),
    [
        ({}, "/usr/bin/python3", None, True),
        ({}, "docker", None, False),
        ({"kernel_provisioner": {"provisioner_name": "k8s"}}, "python", None, False),
        (
            {"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
            "python",
            "k8s",
            True,
        ),
        ({}, "python", "k8s", False),
    ],
)
def test_which_kernels_use_sockets(monkeypatch, metadata, argv0, default, is_used):
    """Those that this machine runs, without a wrapper."""
    from jupyter_client import KernelManager
    from jupyter_client.kernelspec import KernelSpec

    if default is not None:
        monkeypatch.setenv("JUPYTER_DEFAULT_PROVISIONER_NAME", default)
    manager = KernelManager()
    argv = [argv0, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager._kernel_spec = KernelSpec(argv=argv, metadata=metadata)
    folder = use_sockets(manager)
    assert (folder is not None) == is_used
    assert manager.transport == ("ipc" if is_used else "tcp")
    if folder is not None:
        folder.remove()


# ---- how else notebooks end ----


def states(found):
    return [cell.state for cell in found.cells]


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
        r" \(import os, time\) at \d+\.\d\d MiB, its last sample",
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

    def refuse(pid):
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

    class Interrupter:
        def begun(self, notebook, cells):
            pass

        def ended(self, run):
            pass

        def cell(self, notebook, place, source, memory):
            if place == 2:
                # When the cell runs: from another thread, as a terminal would.
                threading.Thread(target=interrupt).start()

    found = run_all(
        jobs_of(
            notebook_of(
                "1",
                f"import time; open({str(mark)!r}, 'w').close(); time.sleep(600)",
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
