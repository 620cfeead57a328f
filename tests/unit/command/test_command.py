"""Commands that are run and measured: what the reports say of known programs."""

import os
import signal
import sys

import pytest

from memwatch import _core
from memwatch.command import command
from memwatch.command.group import CommandGroup
from support import MIB

HOLDS = "x = bytearray({} << 20); del x"
CHILD = (
    "import subprocess, sys\n"
    "subprocess.run([sys.executable, '-c', 'x = bytearray(64 << 20)'], check=True)"
)


def run(code, **options):
    options = {"own_group": False, **options}
    return command.run([sys.executable, "-c", code], **options)


@pytest.fixture(scope="module", autouse=True)
def traced():
    found = _core.Command(["true"])
    if found.trace_error is not None:
        pytest.skip(f"ptrace is not permitted: {found.trace_error}")


@pytest.mark.parametrize("mib", [64, 512])
def test_peak_of_memory_that_is_freed(mib):
    empty = run("pass")
    report = run(HOLDS.format(mib))
    assert report.peak_method == "kernel"
    risen = report.rss_peak_bytes - empty.rss_peak_bytes
    assert abs(risen - mib * MIB) < 0.01 * mib * MIB + 2 * MIB
    assert report.rss_end_bytes < report.rss_peak_bytes - (mib - 2) * MIB


def test_peak_of_a_child():
    report = run(CHILD)
    assert report.largest_peak_bytes - report.rss_peak_bytes > 60 * MIB
    assert report.largest_pid != 0
    assert report.processes == 2
    assert report.processes_left == 0
    assert report.tree_peak_bytes >= report.largest_peak_bytes
    assert report.tree_peak_method == "sampled"


def test_one_process_is_the_whole_tree():
    report = run("pass")
    assert (report.tree_peak_method, report.processes) == ("kernel", 1)
    assert report.tree_peak_bytes == report.rss_peak_bytes


@pytest.mark.parametrize(
    ("code", "exit_code", "name"),
    [
        ("raise SystemExit(7)", 7, None),
        ("import os; os.kill(os.getpid(), 9)", 137, "SIGKILL"),
        ("import os; os.abort()", 134, "SIGABRT"),
    ],
)
@pytest.mark.parametrize("trace", [True, False])
def test_exit_codes(code, exit_code, name, trace):
    report = run(code, trace=trace, streams=(0, 1, os.open(os.devnull, os.O_WRONLY)))
    assert (report.exit_code, report.signal) == (exit_code, name)


def test_commands_that_cannot_be_executed(tmp_path):
    (tmp_path / "data").write_text("no program")
    for name, code in [("nonesuch-command", 127), (str(tmp_path / "data"), 126)]:
        with pytest.raises(command.NotExecutedError) as caught:
            command.run([name], own_group=False)
        assert caught.value.exit_code == code
        assert name in str(caught.value)


def test_without_tracing():
    report = run("x = bytearray(64 << 20)\nimport time; time.sleep(0.2)", trace=False)
    assert report.peak_method == report.tree_peak_method == "sampled"
    assert report.rss_peak_bytes > 64 * MIB
    assert (report.processes, report.peak_error_bytes) == (None, None)


def test_streams(tmp_path):
    (tmp_path / "in").write_text("hello\n")
    with open(tmp_path / "in") as given, open(tmp_path / "out", "w") as said:
        streams = (given.fileno(), said.fileno(), 2)
        report = command.run(["cat"], own_group=False, streams=streams)
    assert (tmp_path / "out").read_text() == "hello\n"
    assert report.exit_code == 0


def test_timeline_is_of_the_command():
    report = run(
        "import time\nx = bytearray(128 << 20)\ntime.sleep(0.1)", with_timeline=True
    )
    times, sizes = report.timeline["t_ns"], report.timeline["rss_bytes"]
    assert len(times) == len(sizes) > 2
    assert max(sizes) > 128 * MIB
    assert report.to_dict()["timeline"]["rss_bytes"] == list(sizes)


def test_signals_of_a_command_are_default():
    """Python ignores SIGPIPE: what it starts must not."""
    code = "import signal, sys; sys.exit(signal.getsignal(signal.SIGXFSZ) == 1)"
    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    # Python ignores it again at its start: ask the kernel, in a shell.
    assert run(code).exit_code in (0, 1)
    report = command.run(["sh", "-c", "kill -PIPE $$"], own_group=False)
    assert report.signal == "SIGPIPE"


def test_command_that_never_runs_leaves_nothing():
    before = os.listdir("/proc/self/fd")
    waiting = _core.Command(["sleep", "60"])
    pid = waiting.pid
    assert os.path.exists(f"/proc/{pid}")
    del waiting
    assert not os.path.exists(f"/proc/{pid}")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_bad_arguments():
    with pytest.raises(ValueError, match="expected a command"):
        _core.Command([])
    with pytest.raises(TypeError):
        _core.Command([1])
    with pytest.raises(ValueError, match="null"):
        _core.Command(["a\0b"])
    once = _core.Command(["true"])
    once.run()
    with pytest.raises(OSError, match="cannot run the command"):
        once.run()


def test_peak_of_the_tree_by_its_own_group():
    try:
        group = CommandGroup()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    group.remove()
    report = run(CHILD, own_group=True)
    assert report.tree_peak_method == "cgroup"
    assert report.tree_peak_bytes >= report.largest_peak_bytes > 64 * MIB


def test_group_is_removed_with_processes_in_it():
    try:
        group = CommandGroup()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    waiting = _core.Command(["true"])
    group.add(waiting.pid)
    folder = group._folder
    assert folder.exists()
    group.remove()
    assert not folder.exists()
    group.remove()
