"""Cells of several threads, coroutines and processes; cells without a regular end."""

import asyncio
import os
import sys
import threading

import pytest

import memwatch
from memwatch import _core
from shells import needs_hwm_reset, open_windows, run_cell
from support import MIB, lines_in


@needs_hwm_reset
def test_two_threads_run_cells_at_the_same_time(ip):
    """As ipykernel's subshells do: each cell has its own window."""
    together = threading.Barrier(2)

    def cells(name):
        ip.user_ns[f"wait_{name}"] = together.wait
        ip.run_cell(f"wait_{name}(); {name} = pages(8); wait_{name}(); del {name}")

    memwatch.history.clear()
    threads = [threading.Thread(target=cells, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(memwatch.history) == 2
    assert {report.source[:6] for report in memwatch.history} == {"wait_a", "wait_b"}
    # Each window includes the other cell's 8 MiB: it is the same process.
    assert all(report.peaked_bytes > 7 * MIB for report in memwatch.history)
    assert open_windows() == 0


def test_interleaved_cells_of_one_thread(ip):
    """Two coroutines: the first to start ends first."""

    async def both():
        steps = [asyncio.Event() for _ in range(2)]
        ip.user_ns["steps"] = steps

        async def cell(code):
            transformed = ip.transform_cell(code)
            result = await ip.run_cell_async(code, transformed_cell=transformed)
            ip.events.trigger("post_run_cell", result)

        first = asyncio.create_task(cell("await steps[0].wait()  # first"))
        second = asyncio.create_task(cell("await steps[1].wait()  # second"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        steps[0].set()
        await first
        steps[1].set()
        await second

    memwatch.history.clear()
    asyncio.run(both())
    ends = [report.source.split()[-1] for report in memwatch.history]
    assert ends == ["first", "second"]


def test_cell_whose_end_is_not_announced_leaves_no_window(ip, capsys):
    async def cell():
        await ip.run_cell_async("x = 1", transformed_cell="x = 1")

    asyncio.run(cell())
    run_cell(ip, "pass", capsys)
    assert open_windows() == 0


def test_cancelled_cell_without_a_result(ip, capsys):
    """ipykernel calls post_run_cell(None) if an awaiting cell was cancelled."""
    from types import SimpleNamespace

    info = type("Info", (), {"raw_cell": "await x", "store_history": True})()
    ip.events.trigger("pre_run_cell", info)
    ip.user_ns["In"].append("await x")
    capsys.readouterr()
    ip.events.trigger("post_run_cell", None)
    (line,) = lines_in(capsys.readouterr().out)
    assert line.n == len(ip.user_ns["In"]) - 1
    assert memwatch.history[-1].status == "interrupted"
    assert memwatch.history[-1].source == "await x"
    ip.events.trigger("post_run_cell", SimpleNamespace(info=None))
    assert lines_in(capsys.readouterr().out) == []


def test_interrupt_that_ends_a_cell_with_a_new_info(ip, capsys, monkeypatch):
    """IPython creates another ExecutionInfo if the runner itself was interrupted."""
    import IPython.core.interactiveshell as interactiveshell

    def interrupted(coroutine):
        with pytest.raises(StopIteration):
            coroutine.send(None)
        raise KeyboardInterrupt

    monkeypatch.setattr(interactiveshell, "_pseudo_sync_runner", interrupted)
    assert len(run_cell(ip, "x = 5", capsys)) == 1
    assert memwatch.history[-1].status == "interrupted"
    assert memwatch.history[-1].source == "x = 5"
    assert open_windows() == 0


def test_cell_that_forks(ip, capfd):
    """The child ends the cell too, but does not print the parent's line."""
    code = "import os\nx = pages(64); del x\npid = os.fork()"
    ip.run_cell(code, store_history=True)
    if ip.user_ns["pid"] == 0:
        lines = len(memwatch.history)
        ip.run_cell("y = pages(16); del y", store_history=True)
        own = memwatch.history[-1]
        good = len(memwatch.history) == lines + 1 and own.peaked_bytes < 32 * MIB
        sys.stdout.flush()
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(ip.user_ns["pid"], 0)[1]) == 0
    parent, child = sorted(lines_in(capfd.readouterr().out), key=lambda line: line.n)
    assert parent.n == 1
    assert child.n == 2
    if _core.accuracy()["hwm_resets"]:
        assert abs(parent.peaked - 64) < 1
        assert abs(child.peaked - 16) < 1


@needs_hwm_reset
def test_cell_in_a_forked_child_has_its_own_report(ip, capsys):
    """The cell that forked is the parent's: in the child it has no window."""
    code = """
import io, os, sys
ours, theirs = os.pipe()
pid = os.fork()
if pid == 0:
    sys.stdout = io.StringIO()
    get_ipython().run_cell("pages(64); None", store_history=True)
    os.write(theirs, sys.stdout.getvalue().encode())
    os._exit(0)
os.close(theirs)
with open(ours) as file:
    print("child:", file.read().strip())
os.waitpid(pid, 0)
"""
    ip.user_ns["get_ipython"] = lambda: ip
    ip.run_cell(code, store_history=True)
    printed = capsys.readouterr().out
    child, *_, parent = printed.partition("child: ")[2].splitlines()
    (in_child,), (in_parent,) = lines_in(child), lines_in(parent)
    assert abs(in_child.peaked - 64) < 1
    assert in_parent.peaked < 1
