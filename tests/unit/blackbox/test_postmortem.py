"""Kernels that are killed, and what their black boxes tell."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from boxes import gone, new_kernel, report, run
from memwatch.blackbox import postmortem, reader
from support import (
    MIB,
    lines_in,
    wait_for,
)

GROW = """import mmap, time
held = []
while True:
    m = mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    m[::4096] = b'x' * 256; held.append(m); time.sleep(0.002)
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))


def box_of(pid):
    (found,) = (path for path in reader.find_boxes() if path.name.startswith(f"{pid}-"))
    return found


def grows(box, mib):
    """Whether the running cell has got that far."""
    cells = reader.read_box(box)["cells"]
    cell = cells[-1] if cells else None
    if cell is None or cell.status != "running":
        return False
    return cell.report.rss_peak_bytes - cell.report.rss_start_bytes > mib * MIB


def rss_bytes(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def kill(pid):
    """Stop it, look, kill it: when it was stopped, what it held, how long it waited."""
    os.kill(pid, signal.SIGSTOP)
    stopped_ns = time.monotonic_ns()
    # Its threads stop one after the other, within microseconds; then nothing moves.
    wait_for(lambda: state_of(pid) in "TZ")
    held, waited_ns = rss_bytes(pid), waited_for_processors_ns(pid)
    os.kill(pid, signal.SIGKILL)
    return stopped_ns, held, waited_ns


def waited_for_processors_ns(pid):
    """How long its sampler could have run in all, while other programs did."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text() == "memwatch\n":
            return int((task / "schedstat").read_text().split()[1])
    raise AssertionError("no sampler")


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("after_mib", [16, 40, 64, 100])
def test_a_kernel_killed_in_a_growing_cell(after_mib):
    """Two kernels each, killed at different times of the cell."""
    for number in range(2):
        with new_kernel() as kernel:
            pid = kernel.manager.provisioner.pid
            kernel.run("%load_ext memwatch")
            box = box_of(pid)
            source = f"# attempt {number} of {after_mib}"
            before_ns = waited_for_processors_ns(pid)
            kernel.send(f"{source}\n{GROW}")
            wait_for(lambda box=box: grows(box, after_mib))
            stopped_ns, held, waited_ns = kill(pid)
            found = wait_for(lambda pid=pid: gone(pid))
            (cell,) = found["cells"]
            assert (cell["label"], cell["source"]) == ("In [2]", source)
            assert cell["execution_count"] == 2
            last = reader.read_box(found["path"])["timeline"]["t_mono_ns"][-1]
            assert stopped_ns - last < 20e6 + waited_ns - before_ns
            assert found["rss_bytes"] == pytest.approx(held, rel=0.05)
            assert found["growth_bytes_per_s"] > MIB
            assert found["verdict"].startswith("ended without a clean exit")
            assert found["signal"] is None


def test_killed_while_an_error_is_shown():
    """The cell has ended then, with an error."""
    code = (
        "class BigError(Exception):\n"
        "    def _render_traceback_(self):\n"
        "        open(mark, 'w').close()\n"
        "        while True: pass\n"
        "raise BigError"
    )
    with new_kernel() as kernel:
        pid = kernel.manager.provisioner.pid
        kernel.run("%load_ext memwatch")
        mark = Path(kernel.manager.connection_file + ".mark")
        kernel.run(f"mark = {str(mark)!r}")
        kernel.send(code)
        wait_for(mark.exists)
        mark.unlink()
        os.kill(pid, signal.SIGKILL)
        found = wait_for(lambda: gone(pid))
    assert found["cells"] == []
    assert found["previous_cell"] == "In [3]"
    assert reader.read_box(found["path"])["cells"][-1].report.status == "error"


def test_killed_from_outside_is_not_oom():
    with new_kernel() as kernel:
        pid = kernel.manager.provisioner.pid
        kernel.run("%load_ext memwatch")
        kernel.send("while True: pass")
        wait_for(lambda: grows(box_of(pid), -1))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: gone(pid))
    found = report("--signal", "KILL", pid)
    assert found["verdict"] == "killed by signal 9 (SIGKILL)"
    assert found["signal_told_by"] == "you"
    assert "OOM-killed" not in run("--signal", "9", pid)
    assert "while True: pass" in run(pid)


def test_next_load_reports_it_once():
    with new_kernel() as kernel:
        kernel.run("%load_ext memwatch")
        pid = kernel.manager.provisioner.pid
        kernel.send(f"# the cell\n{GROW}")
        wait_for(lambda: grows(box_of(pid), 40))
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: gone(pid))
        # As a server does when it notices: the same kernel, another process.
        kernel.manager.restart_kernel(now=True)
        kernel.client.stop_channels()
        kernel.client = kernel.manager.blocking_client()
        kernel.client.start_channels()
        kernel.client.wait_for_ready(timeout=60)
        told = kernel.run("%load_ext memwatch")
        (line,) = (each for each in told.splitlines() if each.startswith("memwatch: "))
        assert re.fullmatch(
            rf"memwatch: process {pid} ended without a clean exit in In \[2\] line \d+"
            r" \(# the cell\): RSS \d+\.\d\d MiB at the last sample, growing by"
            rf" \d+\.\d\d MiB/s, limit .*; see `memwatch postmortem {pid}`",
            line,
        )
        assert len(lines_in(told)) == 1
        told = kernel.run("%unload_ext memwatch\n%load_ext memwatch")
        assert "postmortem" not in told
        assert "# the cell" in run(pid)


def test_next_shell_in_a_terminal_reports_it(tmp_path):
    """What is started in one terminal shares its session; others do not hear of it."""
    code = (
        "import os, signal\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "print('loaded')\n"
    )
    killed = "ip.run_cell('import os, signal; os.kill(os.getpid(), 9)', True)\n"
    first = subprocess.run(
        [sys.executable, "-c", code + killed], capture_output=True, check=False
    )
    assert first.returncode == -9
    stranger = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, check=True, text=True, start_new_session=True,
    )  # fmt: skip
    assert stranger.stdout == "loaded\n"
    next_one = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    line, loaded = next_one.stdout.splitlines()
    assert "in In [1] line 1 (import os, signal; os.kill(os.getpid(), 9))" in line
    assert loaded == "loaded"


# ---- a real OOM kill ----


def test_oom_in_a_control_group(group):
    with new_kernel() as kernel:
        pid = kernel.manager.provisioner.pid
        before = rss_bytes(pid)
        (group / "cgroup.procs").write_text(str(pid))
        kernel.run("%load_ext memwatch")
        kernel.send(f"# too much\n{GROW}")
        wait_for(lambda: state_of_gone(pid))
        found = report("--signal", "9", pid)
        assert found["verdict"] == "OOM-killed"
        assert found["oom_kills_now"] > found["oom_kills_before"]
        assert found["limit_bytes"] == 300 * MIB
        assert found["limit_set_by"] == "cgroup"
        assert found["limit_group"].endswith(group.name)
        assert found["cells"][0]["source"] == "# too much"
        # What it held before it came into the group counts elsewhere.
        assert 200 * MIB < found["rss_bytes"] - before < 300 * MIB
        told = run("--signal", "9", pid)
        assert "OOM-killed, by the signal you gave" in told
        assert re.search(r"limit +300.00 MiB, set by the cgroup ", told)
        # Without the signal no more is said than is known.
        found = report(pid)
        if found["signal_told_by"] is None:
            assert found["verdict"].startswith("ended without a clean exit")
        else:
            assert found["signal_told_by"] == "the kernel's log"
            assert found["verdict"] == "OOM-killed"


def state_of_gone(pid):
    try:
        return state_of(pid) == "Z"
    except FileNotFoundError:
        return True


def test_the_verdict_needs_both():
    verdict = postmortem._verdict
    assert verdict(False, 9, 0, 1) == "OOM-killed"
    assert verdict(False, 9, 1, 1) == "killed by signal 9 (SIGKILL)"
    assert verdict(False, 9, None, 1) == "killed by signal 9 (SIGKILL)"
    assert verdict(False, 9, 2, 1) == "killed by signal 9 (SIGKILL)"  # another group
    assert verdict(False, 11, 0, 1) == "killed by signal 11 (SIGSEGV)"
    assert verdict(False, None, 0, 1).startswith("ended without a clean exit")
    assert verdict(None, None, 0, 1).startswith("unknown")
    assert verdict(True, None, 0, 1) == "still running"
