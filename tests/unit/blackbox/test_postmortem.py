"""Kernels that are killed, and what their black boxes tell."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

import memwatch
from memwatch import _core
from memwatch.blackbox import postmortem, reader
from memwatch.blackbox.folders import runtime_folder
from memwatch.blackbox.postmortem_text import in_one_line
from memwatch.cli import main
from memwatch.top.overview import Overview
from memwatch.top.processes import Process
from support import (
    BECOME_NOBODY,
    MIB,
    Kernel,
    check_python,
    lines_in,
    run_python,
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


@contextlib.contextmanager
def new_kernel():
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.close()


def box_of(pid):
    (found,) = (path for path in reader.find_boxes() if path.name.startswith(f"{pid}-"))
    return found


def run(*arguments, code=0):
    result = CliRunner().invoke(main, ["postmortem", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result.output


def report(*arguments):
    return json.loads(run("--json", *arguments))


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


def gone(pid):
    found = report(pid)
    return found if found["alive"] is False else None


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
            rf"memwatch: process {pid} ended without a clean exit in In \[2\]"
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
    assert "in In [1] (import os, signal; os.kill(os.getpid(), 9))" in line
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


# ---- the file's life ----


def test_removed_at_a_clean_exit_and_at_unload():
    code = (
        "import os\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from memwatch.blackbox import reader\n"
        "ip = InteractiveShell.instance()\n"
        "count = lambda: len(reader.find_boxes())\n"
        "def run(magic, line): ip.run_line_magic(magic, line); print(count())\n"
        "run('load_ext', 'memwatch')\n"
        "run('unload_ext', 'memwatch')\n"
        "run('load_ext', 'memwatch')\n"
        "run('config', 'MemWatch.record = False')\n"
        "run('config', 'MemWatch.record = True')\n"
    )
    assert run_python(code).split() == list("10101")
    assert reader.find_boxes() == []


def test_a_kernel_that_is_shut_down_leaves_nothing():
    kernel = Kernel()
    kernel.run("%load_ext memwatch")
    (box,) = reader.find_boxes()
    assert f"black box: {box}\n" in kernel.run("%memwatch status")
    kernel.run("%config MemWatch.record = False")
    assert "black box: none\n" in kernel.run("%memwatch status")
    kernel.run("%config MemWatch.record = True")
    assert len(reader.find_boxes()) == 1
    kernel.manager.shutdown_kernel()
    kernel.client.stop_channels()
    assert reader.find_boxes() == []


def test_a_forked_child_leaves_its_parents_box():
    code = (
        "import multiprocessing, os, sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from memwatch.blackbox import reader, recording; from memwatch import watch\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "if (pid := os.fork()) == 0:\n"
        "    with watch('child'): pass\n"
        "    assert recording.box_path() is None\n"
        "    sys.exit(0)\n"  # a clean exit, with all its handlers
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "(path,) = reader.find_boxes()\n"
        "box = reader.read_box(path)\n"
        "assert box['opened'] == 0 and reader.is_alive(box), box\n"
        "print('fine')\n"
    )
    assert run_python(code).endswith("fine\n")


def make_box(name, age_days=0.0):
    runtime_folder().mkdir(exist_ok=True)
    path = runtime_folder() / name
    path.write_bytes(b"")
    when = time.time() - age_days * 24 * 3600
    os.utime(path, (when, when))
    return path


def test_stale_boxes_are_pruned():
    old = make_box("999999999-1.box", 8)
    told = make_box("999999999-2.reported.box", 8)
    young = make_box("999999999-3.box", 6)
    own = make_box(reader.name_of(os.getpid(), "box"), 30)  # of the living
    other = make_box("notes.txt", 30)
    reader.prune_boxes()
    assert [each.exists() for each in (old, told, young, own, other)] == [
        False, False, True, True, True
    ]  # fmt: skip


def test_at_most_a_hundred_boxes_are_kept():
    for number in range(105):
        make_box(f"999999999-{number}.box", number / 100)
    reader.prune_boxes()
    left = reader.find_boxes()
    assert len(left) == 100
    assert left[0].name == "999999999-0.box"


def test_box_is_private(tmp_path):
    """The folder is 0700, made so where it was not; the file 0600."""
    runtime_folder().mkdir(mode=0o755)
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch")
        (box,) = reader.find_boxes()
        assert runtime_folder().stat().st_mode & 0o777 == 0o700
        assert box.stat().st_mode & 0o777 == 0o600
        if os.getuid() == 0:
            tmp_path.chmod(0o755)
            for folder in tmp_path.parents:
                if folder.stat().st_mode & 0o005 != 0o005 and folder != Path("/"):
                    folder.chmod(0o755)
            shown = run_python(
                BECOME_NOBODY + "become_nobody(1)\n"
                f"for path in {os.fspath(box)!r}, {os.fspath(box.parent)!r}:\n"
                "    try:\n"
                "        os.open(path, os.O_RDONLY)\n"
                "        print('opened', path)\n"
                "    except PermissionError as error:\n"
                "        print(error.strerror)\n"
            )
            assert shown == "Permission denied\n" * 2
    finally:
        kernel.close()


# ---- what else a person may type ----


def test_no_black_boxes():
    assert "no black box of a killed process in " in run()
    assert run("--json") == "null\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is truncated"),
        (b"\0" * 65536, "it begins with zeroes only"),
        (b"# a notebook\n" * 100, "it is not a black box of memwatch"),
        (b"memwatch" + b"\x04\0\0\0\4\3\2\1" + b"\0" * 65536, "by a newer memwatch"),
    ],
)
def test_file_that_is_not_a_box(tmp_path, content, told):
    path = tmp_path / "some.box"
    path.write_bytes(content)
    shown = run(path, code=2)
    assert told in shown.replace("\n", " ")


def test_a_file_that_is_not_there(tmp_path):
    assert "No such file or directory" in run(tmp_path / "x.box", code=2)
    assert "no black box of process 999999999" in run("999999999", code=2)
    assert "invalid signal 'no'" in run("--signal", "no", code=2)


def test_strange_texts_do_not_reach_the_terminal(tmp_path):
    path = tmp_path / "some.box"
    _core.start_recording(path, kernel_id="\x1b[2Jbad", notebook="\x07")
    copy = tmp_path / "copy.box"
    copy.write_bytes(path.read_bytes())
    _core.stop_recording()
    shown = run(copy)
    assert "\x1b" not in shown
    assert " [2Jbad" in shown


# ---- what somebody may have put where we look ----


@pytest.mark.parametrize(
    "label", [42, Path("x"), "a\0b", "caf\udce9", None, "x" * 9999]
)
def test_any_label_will_do(tmp_path, label):
    _core.start_recording(tmp_path / "some.box")
    try:
        with memwatch.watch(label) as w:
            (cell,) = reader.read_box(tmp_path / "some.box")["cells"]
        assert w.report.used_bytes is not None
        assert (cell.report.label is None) == (label is None)
    finally:
        _core.stop_recording()


def test_any_environment_will_do(tmp_path):
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from memwatch.blackbox import reader\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "print(ascii(reader.read_box(reader.find_boxes()[0])['user']))\n"
    )
    environment = os.environ | {"USER": "caf\udce9", "JPY_SESSION_NAME": "\udce9"}
    assert run_python(code, env=environment) == "'caf?'\n"


def test_a_relative_runtime_folder(tmp_path):
    code = (
        "import os\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "os.chdir('/')\n"
    )
    environment = os.environ | {"JUPYTER_RUNTIME_DIR": "runtime"}
    box = f"{tmp_path}/runtime/memwatch/*.box"
    check_python(
        f"{code}import glob; assert len(glob.glob({box!r})) == 1\n",
        env=environment,
        cwd=tmp_path,
    )
    assert list((tmp_path / "runtime/memwatch").iterdir()) == []


def dead_box(tmp_path, **patched):
    """A box whose process is gone, with some of its head's figures overwritten."""
    path = tmp_path / "live.box"
    _core.start_recording(path, kernel_id="a-kernel")
    content = bytearray(path.read_bytes())
    _core.stop_recording()
    return put_dead_box(content, **patched)


def put_dead_box(content, name="999999999-1.box", **patched):
    # struct mw_box_head: its figures of 8 bytes; the identity begins with the pid.
    names = ["boot_ahead_ns", "real_ahead_ns", "t_ended_ns", "pid", "start_ticks",
             "pid_namespace", "time_namespace", "parent_pid", "session_id", "uid",
             "t_mono_ns", "t_real_ns"]  # fmt: skip
    start = content.index(os.getpid().to_bytes(8, "little"), 40)
    for field, value in patched.items():
        place = start + 8 * (names.index(field) - names.index("pid"))
        content[place : place + 8] = value.to_bytes(8, "little", signed=True)
    runtime_folder().mkdir(exist_ok=True)
    gone = runtime_folder() / name
    gone.write_bytes(content)
    return gone


@pytest.mark.parametrize("name", ["pid", "t_mono_ns", "t_real_ns"])
def test_damaged_box_is_an_error_of_one_line(tmp_path, name):
    path = dead_box(tmp_path, **{name: -(2**63)})
    assert "it is damaged" in run(path, code=2).replace("\n", " ")
    run()
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
    )
    assert run_python(code) == ""


def test_a_box_of_another_container_is_offered_last(tmp_path):
    elsewhere = dead_box(tmp_path, pid_namespace=1)
    found = report()
    assert found["path"] == str(elsewhere)
    assert found["alive"] is None
    assert found["verdict"].startswith("unknown: the process ran on another machine")
    reader.prune_boxes()
    assert elsewhere.exists()


def test_an_old_file_with_young_samples_is_kept(tmp_path):
    """Where files lie in memory their time is that of their making."""
    path = dead_box(tmp_path, start_ticks=1)
    long_ago = time.time() - 20 * 24 * 3600
    os.utime(path, (long_ago, long_ago))
    reader.prune_boxes()
    assert path.exists()


def test_control_characters_of_a_cell_are_not_printed(tmp_path):
    _core.start_recording(tmp_path / "some.box", kernel_id="k")
    window = _core.Window("In [1]", 1, None, "x # \x1b]0;owned\x07\x1b[2J")
    box = reader.read_box(tmp_path / "some.box")
    window.cancel()
    _core.stop_recording()
    told = in_one_line(postmortem.examine("some.box", box))
    assert "owned" in told
    assert told.isprintable()


# ---- clocks ----


DAY_NS = 24 * 3600 * 10**9


def shift_clocks(monkeypatch, boot_ns=0, real_ns=0):
    """As if the machine had been suspended, or its clock had been set."""
    boot, real = time.clock_gettime_ns, time.time_ns
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: boot(clock) + boot_ns)
    monkeypatch.setattr(time, "time_ns", lambda: real() + real_ns)


def dead_box_with_a_cell(tmp_path, name="999999999-1.box", **patched):
    _core.start_recording(tmp_path / "live.box", kernel_id="a-kernel")
    window = _core.Window("In [1]", 1, None, "x = 1")
    content = bytearray((tmp_path / "live.box").read_bytes())
    window.cancel()
    _core.stop_recording()
    return put_dead_box(content, name, **{"start_ticks": 1} | patched)


def seconds_since(date):
    moment = datetime.fromisoformat(date.replace("Z", "+00:00"))
    return time.time_ns() / 1e9 - moment.timestamp()


@pytest.mark.parametrize("suspended_ns", [0, DAY_NS])
@pytest.mark.parametrize("set_ns", [-5 * DAY_NS, 0, 5 * DAY_NS])
def test_dates_after_suspend_and_a_clock_that_was_set(
    tmp_path, monkeypatch, suspended_ns, set_ns
):
    """A suspend counts for the age; the date is that of now less the age."""
    path = dead_box_with_a_cell(tmp_path)
    shift_clocks(monkeypatch, suspended_ns, suspended_ns + set_ns)
    found = postmortem.examine(path, reader.read_box(path))
    age_s = suspended_ns / 1e9
    assert found.sample_age_ns / 1e9 == pytest.approx(age_s, abs=60)
    assert seconds_since(found.sampled_at) == pytest.approx(age_s, abs=60)
    assert seconds_since(found.cells[0].started_at) == pytest.approx(age_s, abs=60)
    assert len(postmortem.find_dead()) == 1
    reader.prune_boxes()
    assert path.exists()


def test_the_newest_is_the_one_that_was_seen_last(tmp_path):
    """Not the one whose clock was ahead when it wrote."""
    early = dead_box_with_a_cell(tmp_path, "999999999-1.box", real_ahead_ns=2**61)
    late = dead_box_with_a_cell(tmp_path, "999999999-2.box")
    assert [path for path, _ in postmortem.find_dead()] == [late, early]
    assert report()["path"] == str(late)


def test_the_line_at_the_load_is_about_the_newest(tmp_path):
    early = dead_box_with_a_cell(tmp_path, "999999999-1.box", real_ahead_ns=2**61)
    late = dead_box_with_a_cell(tmp_path, "999999999-2.box", pid=999999998)
    os.utime(late, (1, 1))
    _core.start_recording(tmp_path / "own.box", kernel_id="a-kernel")
    try:
        found = postmortem.find_predecessor(tmp_path / "own.box")
    finally:
        _core.stop_recording()
    assert found.pid == 999999998
    assert early.exists()


def test_clocks_of_another_time_namespace(tmp_path, monkeypatch):
    """Its ages come from the dates; nothing is negative."""
    path = dead_box_with_a_cell(tmp_path, time_namespace=1)
    shift_clocks(monkeypatch, boot_ns=-(2**60))
    box = reader.read_box(path)
    found = postmortem.examine(path, box)
    assert 0 <= found.sample_age_ns < 60e9
    assert found.alive is None
    gone = dead_box_with_a_cell(tmp_path, time_namespace=1, pid=2**31 - 1)
    assert reader.is_alive(reader.read_box(gone)) is False


def test_a_process_in_a_time_namespace(tmp_path):
    """Written there, read here: never "-49999.4 s ago"."""
    path = runtime_folder() / "1-1.box"
    runtime_folder().mkdir()
    code = (
        "import os\n"
        "from memwatch import _core, watch\n"
        f"_core.start_recording({str(path)!r})\n"
        "with watch('x'): pass\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        ["unshare", "--time", "--monotonic", "50000", "--boottime", "50000", "--fork",
         sys.executable, "-c", code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not path.exists():
        pytest.skip(f"no time namespace can be made: {done.stderr.strip()}")
    found = report(path)
    assert 0 <= found["sample_age_ns"] < 60e9
    assert seconds_since(found["sampled_at"]) == pytest.approx(0, abs=60)
    box = reader.read_box(path)
    seen = Process("box", "k", box["pid"])
    seen.update_from_box(
        box, reader.is_alive(box), None, time.monotonic_ns(), time.time_ns()
    )
    assert seen.age_ns(time.monotonic_ns()) < 60e9


# ---- an end that leaves the box ----


def test_a_clean_exit_that_could_not_remove_the_box():
    """After setuid(): the box says that it ended, and nobody is told of a kill."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    code = (
        "import os\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
    )
    assert run_python(code + "os.setuid(65534)\n") == ""
    (box,) = reader.find_boxes()
    assert reader.read_box(box)["t_ended_ns"] is not None
    assert run_python(code) == ""  # no line at the next load
    assert "no black box of a killed process" in run()
    pid = reader.read_box(box)["pid"]
    assert report(pid)["verdict"].startswith("clean exit")
    assert seconds_since(report(pid)["ended_at"]) < 60
    assert re.search(r"^ended +clean exit, which could not", run(box), re.M)
    assert Overview().refresh() == []


@pytest.mark.parametrize("how", ["os.chroot('/proc')", "os.kill(os.getpid(), 9)"])
def test_chroot_and_kill_are_distinguished(how):
    if os.geteuid() != 0:
        pytest.skip("only root can call chroot()")
    code = (
        "import os, sys\nfrom memwatch.blackbox import recording\n"
        f"recording.start()\n{how}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    (box,) = reader.find_boxes()
    assert (reader.read_box(box)["t_ended_ns"] is not None) == ("chroot" in how)
    assert len(postmortem.find_dead()) == ("kill" in how)


# ---- a box that somebody removes, or that is made twice ----


def test_a_box_at_the_path_of_the_one_before(tmp_path):
    path = tmp_path / "some.box"
    _core.start_recording(path, kernel_id="first")
    _core.start_recording(path, kernel_id="second")
    assert reader.read_box(path)["kernel_id"] == "second"
    with memwatch.watch("after"):
        assert reader.read_box(path)["cells"][0].report.label == "after"
    _core.stop_recording()
    assert not path.exists()


def test_file_of_another_program_stays(tmp_path):
    path = tmp_path / "some.box"
    _core.start_recording(path)
    path.unlink()
    path.write_text("not ours")
    _core.stop_recording()
    assert path.read_text() == "not ours"


@pytest.mark.parametrize("what", ["the folder", "the file"])
def test_a_box_that_was_removed_is_made_again(what):
    """At the next cell, with one warning; publishing goes on from the new one."""
    zmq = pytest.importorskip("zmq")
    with new_kernel() as kernel:
        kernel.run("%load_ext memwatch")
        kernel.run("%memwatch publish on")
        for number in range(2):
            (box,) = reader.find_boxes()
            if what == "the folder":
                shutil.rmtree(runtime_folder())
            else:
                box.unlink()
            shown = kernel.run(f"x = {number}")
            told = f"another program removed the black box {box}"
            assert shown.count(told) == (number == 0), shown
            assert reader.find_boxes() == [box]
            assert reader.read_box(box)["cells"][-1].report.source == f"x = {number}"
            status = kernel.run("%memwatch status")
            assert f"black box: {box}\n" in status
            socket = box.with_suffix(".ipc")
            assert f"published: @ipc://{socket}: " in status
            with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
                subscriber.linger = 0
                subscriber.subscribe(b"")
                subscriber.connect(f"ipc://{socket}")
                assert subscriber.poll(60_000)
        kernel.run("%unload_ext memwatch")
        assert list(runtime_folder().iterdir()) == []


def test_a_box_that_cannot_be_made_again(tmp_path):
    """One warning, and the session goes on without a box."""
    with new_kernel() as kernel:
        kernel.run("%load_ext memwatch")
        shutil.rmtree(runtime_folder())
        runtime_folder().write_text("in the way")
        shown = kernel.run("x = 1")
        assert "cannot create the black box" in shown
        assert len(lines_in(shown)) == 1
        shown = kernel.run("x = 1")
        assert "black box" not in shown
        assert "black box: none\n" in kernel.run("%memwatch status")
