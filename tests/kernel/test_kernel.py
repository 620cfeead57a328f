"""Real Jupyter kernels, driven as a front end drives them."""

import os
import signal
from pathlib import Path

import pytest

from memwatch import _core
from shells import needs_hwm_reset
from support import CLASSIC, MIB, Kernel, lines_in, wait_for

BOUND_MIB = _core.accuracy()["bound_bytes"] / MIB


def test_loading_cell_is_measured_from_the_load(bare_kernel):
    line = bare_kernel.line("kept = b'x' * (32 << 20)\n%load_ext memwatch")
    assert line.n == 1
    assert abs(line.used) < 1  # not from the cell's start
    assert bare_kernel.line("pass").n == 2


@needs_hwm_reset
@pytest.mark.parametrize("mib", [1, 16, 400])
def test_peak_of_a_known_number_of_pages(kernel, mib):
    """Mapped, written once and unmapped at once."""
    kernel.run("import mmap")
    line = kernel.line(
        f"m = mmap.mmap(-1, {mib} << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        f"m[::4096] = b'x' * {mib * MIB // 4096}\n"
        "m.close()"
    )
    assert abs(line.peaked - mib) <= max(mib / 100, BOUND_MIB)


@needs_hwm_reset
@pytest.mark.parametrize("mib", [400, 16, 1])
def test_peak_of_bytes_made_with_the_gil_held(mib):
    """In a fresh kernel, because malloc may keep freed memory."""
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch")
        line = kernel.line(f"b'x' * ({mib} * 2**20); None")
    finally:
        kernel.close()
    assert abs(line.peaked - mib) <= max(mib / 100, BOUND_MIB)


@needs_hwm_reset
def test_peak_of_a_numpy_temporary(kernel):
    kernel.run("import numpy as np; a = np.ones(2**23); r = 0.0")
    line = kernel.line("r = (a * 2 + 1).sum()")  # 64 MiB; the sum is computed in place
    assert abs(line.peaked - 64) <= max(0.64, BOUND_MIB)


def test_cells_that_allocate_nothing(kernel):
    kernel.run("x = 1")
    found = [kernel.line("x = 1") for _ in range(50)]
    assert [line.peaked for line in found] == [0.0] * 50
    assert max(line.used for line in found) < 0.05


@needs_hwm_reset
def test_cells_that_allocate_nothing_after_small_frees(kernel):
    """The reset sets the high-water mark from approximate counters: too high."""
    kernel.run(
        "import mmap\n"
        "m = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "m[::4096] = b'x' * 2048"
    )
    found = []
    for page in range(0, 280, 7):
        kernel.run(f"m.madvise(mmap.MADV_DONTNEED, {page} * 4096, 7 * 4096)")
        found.append(kernel.line("x = 1"))
    assert [line.peaked for line in found] == [0.0] * len(found)


def test_errors_have_one_line(kernel):
    text = kernel.run("1 / 0")
    assert "ZeroDivisionError" in text
    assert len(lines_in(text)) == 1
    text = kernel.run("def f(:")
    assert "SyntaxError" in text
    assert len(lines_in(text)) == 1


KEEPS = """
class BigError(Exception):
    def _render_traceback_(self):
        m = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        m[::4096] = b'x' * (64 << 8)
        shown.append(m)
        return ["shown"]
import mmap, asyncio; shown = []
"""


@pytest.mark.parametrize(
    "code", ["raise BigError", "await asyncio.sleep(0)\nraise BigError"]
)
def test_formatting_an_error_is_not_charged_to_the_cell(kernel, code):
    kernel.run(KEEPS)
    text = kernel.run(code)
    assert "BigError" in text
    (line,) = lines_in(text)
    assert abs(line.used) < 2
    assert line.peaked < 2
    assert int(kernel.run("print(len(shown))")[0]) >= 1


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print('x', end='')", "x\n"),
        ("print('x', end='', flush=True)", "x\n"),
        ("import time; print('x', end=''); time.sleep(0.5)", "x\n"),
        ("await __import__('asyncio').sleep(0)\nprint('x', end='')", "x\n"),
        ("!printf x", "x\n"),
        ("print('x')", "x\n"),
        ("pass", ""),
        ("%%capture\nprint('x', end='')", ""),
        ("print('x', end=''); 5", "x5\n"),
        ("print('x', end=''); 1/0", "xZeroDivisionError: division by zero\n"),
    ],
)
def test_line_starts_on_a_new_line(kernel, code, shown):
    text = CLASSIC.sub("LINE", kernel.run(code))
    assert text == f"{shown}LINE\n"


def test_body_of_a_cell_magic_is_part_of_its_cell(kernel):
    kernel.run("import memwatch; memwatch.history.clear()")
    line = kernel.line("%%capture\nx = b'x' * (32 << 20)")
    assert abs(line.used - 32) < 1
    text = kernel.run("print([each.label for each in memwatch.history[1:]])")
    assert text.startswith(f"['In [{line.n}]']\n")


def test_empty_and_silent_cells_have_no_line(kernel):
    assert kernel.run("") == ""
    assert kernel.run("  \n") == ""
    assert kernel.run("x = 1", silent=True) == ""


def test_result_comes_before_the_line(kernel):
    text = kernel.run("print('first'); 6 * 7")
    assert text.splitlines()[0] == "first"
    assert "42" in text.splitlines()
    assert len(lines_in(text)) == 1


def test_execution_count_is_the_cells_own(kernel):
    request = kernel.send("x = 1")
    (line,) = lines_in(kernel.output_of(request))
    assert kernel.reply_to(request)["content"]["execution_count"] == line.n


def test_interrupt(kernel):
    """Ctrl-C in a loop and in an await, after the cell has started."""
    for code in (
        "import os\nopen(started, 'w').close()\nwhile True: pass",
        "import asyncio\nopen(started, 'w').close()\nawait asyncio.sleep(600)",
    ):
        started = Path(kernel.manager.connection_file + ".started")
        kernel.run(f"started = {str(started)!r}")
        message_id = kernel.send(code)
        wait_for(started.exists)
        started.unlink()
        os.kill(kernel.manager.provisioner.pid, signal.SIGINT)
        # A kernel that awaits handles the signal at its next message.
        kernel.client.kernel_info()
        text = kernel.output_of(message_id)
        assert "KeyboardInterrupt" in text or "CancelledError" in text
        (line,) = lines_in(text)
        text = kernel.run(
            "import memwatch\n"
            "print(memwatch.history[-1].status, memwatch.history[-1].execution_count)"
        )
        assert text.splitlines()[0] == f"interrupted {line.n}"


def test_top_level_await(kernel):
    line = kernel.line("import asyncio\nawait asyncio.sleep(0.01)\nx = 1")
    assert line.peaked < 1


@needs_hwm_reset
def test_fork_and_multiprocessing(kernel):
    """Peaks of child processes do not change the parent's."""
    code = (
        "import multiprocessing, os\n"
        "m = mmap.mmap(-1, 100 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "m[::4096] = b'x' * (100 << 8); m.close()\n"
        "def child(size):\n"
        "    import memwatch\n"
        "    with memwatch.watch('child') as w:\n"
        "        b'x' * size\n"
        "    return w.report.peaked_bytes >> 20\n"
        "if (pid := os.fork()) == 0:\n"
        "    os._exit(0 if child(32 << 20) in (31, 32) else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "    print(pool.map(child, [32 << 20] * 2))\n"
    )
    kernel.run("import mmap")
    text = kernel.run(code)
    # From 3.12 on Python warns of forks in processes with threads.
    status, peaks = (
        each for each in text.splitlines() if each == "0" or each[0] == "["
    )
    assert status == "0"
    assert all(int(peak) in (31, 32) for peak in peaks.strip("[]").split(","))
    (line,) = lines_in(text)
    assert abs(line.peaked - 100) <= max(1, BOUND_MIB + 1)


def test_subshell_runs_cells_at_the_same_time(kernel):
    """ipykernel 7: a cell of the main shell waits for a cell of a subshell."""
    info = kernel.reply_to(kernel.client.kernel_info())
    if "kernel subshells" not in info["content"].get("supported_features", []):
        pytest.skip("subshells need ipykernel 7")

    session = kernel.client.session
    control = kernel.client.control_channel
    control.send(session.msg("create_subshell_request"))
    reply = kernel.client.get_control_msg(timeout=60)
    while reply["msg_type"] != "create_subshell_reply":
        reply = kernel.client.get_control_msg(timeout=60)
    subshell = reply["content"]["subshell_id"]

    kernel.run("import threading\ngo = threading.Event()")
    waiting = kernel.client.execute("assert go.wait(60)  # in the main shell")
    sent = kernel.send_request("go.set()  # in a subshell", {}, subshell_id=subshell)

    shown = {waiting: "", sent: ""}
    idle = set()
    while idle != set(shown):
        answer = kernel.client.get_iopub_msg(timeout=60)
        parent = answer["parent_header"].get("msg_id")
        if parent in shown:
            content = answer["content"]
            if answer["msg_type"] == "stream":
                shown[parent] += content["text"]
            elif content.get("execution_state") == "idle":
                idle.add(parent)
    assert [len(lines_in(text)) for text in shown.values()] == [1, 1]
    text = kernel.run("print([report.source for report in memwatch.history][-2:])")
    assert "in the main shell" in text
    assert "in a subshell" in text


def test_auto_load_by_configuration(tmp_path):
    kernel = Kernel("--InteractiveShellApp.extensions=memwatch")
    try:
        assert kernel.line("x = 1").n == 1
        text = kernel.run("import memwatch\nprint(memwatch._core.sampler())")
        assert "'open_windows': 1" in text  # this cell's own: the load opened none
    finally:
        kernel.close()


def test_cpu_style_by_configuration():
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    kernel = Kernel("--InteractiveShellApp.extensions=memwatch", "--MemWatch.style=cpu")
    try:
        assert "(system mean cpu " in kernel.run("x = 1")
    finally:
        kernel.close()


def test_sampler_sleeps_between_cells(kernel):
    """Between cells its thread does not wake, by the kernel's count of switches."""
    text = kernel.run(
        "import os\n"
        "tasks = '/proc/self/task'\n"
        "name = lambda task: open(f'{tasks}/{task}/comm').read().strip()\n"
        "(own,) = [task for task in os.listdir(tasks) if name(task) == 'memwatch']\n"
        "print(os.getpid(), own)"
    )
    pid, task = text.split()[:2]
    folder = Path(f"/proc/{pid}/task/{task}")

    def wakes():
        (line,) = [
            each
            for each in (folder / "status").read_text().splitlines()
            if each.startswith("voluntary_ctxt_switches")
        ]
        return int(line.split()[1])

    def is_parked():
        """Whether it waits in futex() without a timeout (the fourth argument)."""
        call = (folder / "syscall").read_text().split()
        return len(call) == 9 and call[4] == "0x0"

    if not (folder / "syscall").exists():
        pytest.skip("/proc has no syscall file here")
    # It wakes once more after the window has closed, then parks without a timeout. A
    # silent cell opens no window, so nothing wakes it.
    wait_for(is_parked)
    before = wakes()
    kernel.run("sum(range(10**6))", silent=True)
    assert is_parked()
    assert wakes() == before
