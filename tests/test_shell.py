"""The shim in a real InteractiveShell: every way that a cell can begin and end."""

import asyncio
import gc
import inspect
import os
import sys
import threading
import warnings

import pytest

import memwatch
from memwatch import _core, extension
from support import CPU, MIB, lines_in, pages

needs_mark = pytest.mark.skipif(
    not _core.accuracy()["mark_resets"], reason="no high-water mark to reset"
)


@pytest.fixture
def ip(shell):
    """A shell that has memwatch loaded."""
    shell.run_line_magic("load_ext", "memwatch")
    return shell


def run(ip, code, capsys, **options):
    """The lines that the cell leaves."""
    options.setdefault("store_history", True)
    capsys.readouterr()
    ip.run_cell(code, **options)
    return lines_in(capsys.readouterr().out)


def open_windows():
    gc.collect()
    return _core.sampler()["open_windows"]


def test_cell_that_loads_gets_a_line_too(shell, capsys):
    code = "%load_ext memwatch\nkept = pages(32)"
    (line,) = run(shell, code, capsys)
    assert line.n == 1
    assert abs(line.used - 32) < 1
    (second,) = run(shell, "pass", capsys)
    assert second.n == 2
    assert abs(second.used) < 0.5
    del shell.user_ns["kept"]


def test_start_watching_memory_is_the_same(shell, capsys):
    (line,) = run(shell, "import memwatch; memwatch.start_watching_memory()", capsys)
    assert line.n == 1
    assert len(run(shell, "pass", capsys)) == 1


def test_loading_outside_of_a_cell_opens_nothing(ip):
    assert open_windows() == 0


def test_use_and_peak(ip, capsys):
    (line,) = run(ip, "kept = pages(64)", capsys)
    assert abs(line.used - 64) < 1
    (line,) = run(ip, "del kept", capsys)
    assert abs(line.used + 64) < 1
    assert abs(line.peaked - 64) < 1


@needs_mark
@pytest.mark.parametrize("size_mib", [1, 16, 400])
def test_transient(ip, capsys, size_mib):
    (line,) = run(ip, f"x = pages({size_mib}); del x", capsys)
    bound = _core.accuracy()["bound_bytes"] / MIB
    assert abs(line.peaked - size_mib) <= max(size_mib / 100, bound)


def test_line_and_report_agree(ip, capsys):
    takes_id = "cell_id" in inspect.signature(ip.run_cell).parameters
    options = {"cell_id": "abc"} if takes_id else {}
    (line,) = run(ip, "  \nkept = 1\nmore = 2", capsys, **options)
    report = memwatch.history[-1]
    assert report.label == f"In [{line.n}]"
    assert report.execution_count == line.n
    assert report.cell_id == options.get("cell_id")
    assert report.source == "kept = 1"
    assert report.status == "ok"
    assert round(report.rss_end_bytes / MIB, 2) == line.total


def test_long_first_line_is_cut(ip, capsys):
    run(ip, "x = '" + "y" * 500 + "'", capsys)
    assert len(memwatch.history[-1].source) == 120


def test_drift_counts_from_the_previous_cell(ip, capsys):
    run(ip, "pass", capsys)
    kept = pages(32)
    run(ip, "pass", capsys)
    assert abs(memwatch.history[-1].drift_bytes - 32 * MIB) < MIB
    del kept


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("1 / 0", "error"),
        ("def f(:", "error"),
        ("%no_such_magic", "error"),
        ("raise KeyboardInterrupt", "interrupted"),
        ("raise SystemExit", "error"),
    ],
)
@pytest.mark.filterwarnings("ignore:To exit")
def test_cells_that_fail(ip, capsys, code, status):
    (line,) = run(ip, code, capsys)
    assert memwatch.history[-1].status == status
    assert memwatch.history[-1].execution_count == line.n
    assert open_windows() == 0


@pytest.mark.parametrize("code", ["", "   \n\t\n"])
def test_empty_cell_has_no_line(ip, capsys, code):
    run(ip, "pass", capsys)
    before = len(memwatch.history)
    assert run(ip, code, capsys) == []
    assert len(memwatch.history) == before


def test_empty_cell_does_not_take_the_window_of_another(ip, capsys):
    code = "get_ipython().run_cell(''); kept = pages(16)"
    (line,) = run(ip, code, capsys)
    assert abs(line.used - 16) < 1


def test_top_level_await(ip, capsys):
    code = "import asyncio\nawait asyncio.sleep(0)\nx = pages(64)\ndel x"
    (line,) = run(ip, code, capsys)
    assert line.peaked > 60 or not _core.accuracy()["mark_resets"]


@needs_mark
def test_nested_cell_does_not_take_the_outer_peak(ip, capsys):
    code = "x = pages(100); del x\nget_ipython().run_cell('y = pages(20); del y')"
    (line,) = run(ip, code, capsys)
    assert abs(line.peaked - 100) < 1
    inner, outer = memwatch.history[-2:]
    assert abs(inner.peaked_bytes / MIB - 20) < 1
    assert inner.execution_count is None
    assert outer.execution_count == line.n


def test_nested_cell_with_a_number_of_its_own_has_a_line(ip, capsys):
    code = "get_ipython().run_cell('pass', store_history=True)"
    found = run(ip, code, capsys)
    # Before IPython 9.16 it is the outer one's number too: IPython counted at the end.
    assert len(found) == 2
    counts = [report.execution_count for report in memwatch.history[-2:]]
    assert [line.n for line in found] == counts


def test_cell_without_history_shows_the_number_of_the_prompt(ip, capsys):
    (line,) = run(ip, "pass", capsys, store_history=False)
    assert line.n == ip.execution_count
    assert memwatch.history[-1].execution_count is None


def test_silent_cell_has_no_line(ip, capsys):
    before = len(memwatch.history)
    assert run(ip, "x = 1", capsys, silent=True) == []
    assert len(memwatch.history) == before


def test_run_magic(ip, capsys, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("kept = pages(32)\n")
    (line,) = run(ip, f"%run -i {script}", capsys)
    assert abs(line.used - 32) < 1


def test_load_twice_start_twice(ip, capsys):
    ip.run_line_magic("load_ext", "memwatch")
    memwatch.load_ipython_extension(ip)
    memwatch.start_watching_memory()
    ip.run_line_magic("memwatch", "on")
    assert len(run(ip, "pass", capsys)) == 1


def test_reload(ip, capsys):
    (line,) = run(ip, "%reload_ext memwatch", capsys)
    assert line.n == 1
    assert len(run(ip, "pass", capsys)) == 1


def test_stop_without_start(shell, capsys):
    memwatch.stop_watching_memory()
    memwatch.unload_ipython_extension(shell)
    assert run(shell, "pass", capsys) == []


def test_stop_and_start(ip, capsys):
    assert run(ip, "memwatch = __import__('memwatch')", capsys)
    assert run(ip, "memwatch.stop_watching_memory()", capsys) == []
    assert run(ip, "pass", capsys) == []
    assert open_windows() == 0
    assert len(run(ip, "memwatch.start_watching_memory()", capsys)) == 1


def test_unload_takes_everything_away(ip, capsys):
    assert run(ip, "%unload_ext memwatch", capsys) == []
    assert run(ip, "pass", capsys) == []
    assert open_windows() == 0
    assert "memwatch" not in ip.magics_manager.magics["line"]
    assert "MemWatch" not in [type(each).__name__ for each in ip.configurables]
    assert len(run(ip, "%load_ext memwatch", capsys)) == 1


def test_off_and_on(ip, capsys):
    assert run(ip, "%memwatch off", capsys) == []
    assert run(ip, "pass", capsys) == []
    assert len(run(ip, "%memwatch on", capsys)) == 1


def test_status(ip, capsys):
    ip.run_cell("%memwatch status")
    first, peak, rss, process, limit, history, *_ = capsys.readouterr().out.splitlines()
    assert (
        first == f"memwatch {memwatch.__version__}: watching every cell, style classic"
    )
    assert peak.startswith("peak: ")
    assert rss.startswith("RSS: ")
    assert process.startswith("this process: ")
    assert limit.startswith("limit: ")
    assert history.startswith("history: ")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("stauts", "no sub-command 'stauts': did you mean 'status'?"),
        ("xyzzy", "no sub-command 'xyzzy': there are on, off, status, last, top,"),
        ("style clasic", "no style 'clasic': did you mean 'classic'?"),
        ("plot now", "%memwatch plot: 'now' is too much"),
        ("on now", "%memwatch on: 'now' is too much"),
    ],
)
def test_mistyped_magic_names_the_right_word(ip, capsys, typed, told):
    ip.run_cell(f"%memwatch {typed}")
    captured = capsys.readouterr()
    assert told in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err


def test_style_cpu(ip, capsys):
    pytest.importorskip("memwatch._host", reason="built without libproc2")
    ip.run_line_magic("memwatch", "style cpu")
    capsys.readouterr()
    code = "import time\nt = time.time()\nwhile time.time() < t + 0.3: pass"
    ip.run_cell(code, store_history=True)
    match = CPU.fullmatch(capsys.readouterr().out.strip())
    assert int(match["mean"][:-1]) > 0
    assert int(match["max"][:-1]) >= int(match["mean"][:-1])
    assert memwatch.history[-1].single_max_cpu_percent == int(match["max"][:-1])
    ip.run_cell("%memwatch style")
    assert "style cpu; others: classic" in capsys.readouterr().out
    ip.run_line_magic("memwatch", "style classic")
    assert len(run(ip, "pass", capsys)) == 1
    assert memwatch.history[-1].system_mean_cpu_percent is None


def test_style_cpu_without_libproc2_is_one_clear_line(ip, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "memwatch._host", None)
    monkeypatch.delattr(memwatch, "_host", raising=False)
    ip.run_cell("%memwatch style cpu")
    captured = capsys.readouterr()
    assert "Install libproc2" in captured.out + captured.err
    assert len(run(ip, "pass", capsys)) == 1


def test_configuration(shell, capsys):
    shell.config.MemWatch.max_history_reports = 2
    shell.run_line_magic("load_ext", "memwatch")
    for _ in range(4):
        run(shell, "pass", capsys)
    assert len(memwatch.history) == 2
    shell.run_cell("%config MemWatch.max_history_reports = 10000")
    assert memwatch.history.max_reports == 10_000


@needs_mark
def test_two_threads_run_cells(ip):
    """As ipykernel's subshells do: each keeps its own windows."""
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
    # Each saw the other's 8 MiB too: the process has both.
    assert all(report.peaked_bytes > 7 * MIB for report in memwatch.history)
    assert open_windows() == 0


def test_interleaved_cells_of_one_thread(ip):
    """Two coroutines, the first to begin ends first."""

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


def test_cell_whose_end_nobody_tells_leaves_nothing(ip, capsys):
    async def cell():
        await ip.run_cell_async("x = 1", transformed_cell="x = 1")

    asyncio.run(cell())
    run(ip, "pass", capsys)
    assert open_windows() == 0


def test_cancelled_cell_whose_result_is_none(ip, capsys):
    """ipykernel tells post_run_cell None when an awaiting cell was cancelled."""
    from types import SimpleNamespace

    info = type("Info", (), {"raw_cell": "await x", "store_history": True})()
    ip.user_ns["In"].append("await x")
    ip.events.trigger("pre_run_cell", info)
    capsys.readouterr()
    ip.events.trigger("post_run_cell", None)
    (line,) = lines_in(capsys.readouterr().out)
    assert line.n == len(ip.user_ns["In"]) - 1
    assert memwatch.history[-1].status == "interrupted"
    assert memwatch.history[-1].source == "await x"
    ip.events.trigger("post_run_cell", SimpleNamespace(info=None))
    assert lines_in(capsys.readouterr().out) == []


def test_interrupt_that_ends_a_cell_with_a_new_record(ip, capsys, monkeypatch):
    """IPython makes a new ExecutionInfo where the runner itself was interrupted."""
    import IPython.core.interactiveshell as interactiveshell

    def interrupted(coroutine):
        with pytest.raises(StopIteration):
            coroutine.send(None)
        raise KeyboardInterrupt

    monkeypatch.setattr(interactiveshell, "_pseudo_sync_runner", interrupted)
    assert len(run(ip, "x = 5", capsys)) == 1
    assert memwatch.history[-1].status == "interrupted"
    assert memwatch.history[-1].source == "x = 5"
    assert open_windows() == 0


def test_failure_to_measure_is_one_warning_and_cells_run(shell, capsys, monkeypatch):
    def fail(*title):
        raise OSError(24, "cannot open a window on /proc/self: Too many open files")

    monkeypatch.setattr(extension, "OpenWindow", fail)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for number in range(3):
            assert run(shell, "%load_ext memwatch", capsys) == []
            assert run(shell, f"x = {number}", capsys) == []
    assert shell.user_ns["x"] == 2
    messages = [str(each.message) for each in told if "memwatch" in str(each.message)]
    assert len(messages) == 1
    assert "Too many open files" in messages[0]


def test_closed_stdout_does_not_break_a_cell(ip, monkeypatch):
    with warnings.catch_warnings(record=True) as told, open(os.devnull, "w") as gone:
        warnings.simplefilter("always")
        gone.close()
        monkeypatch.setattr(sys, "stdout", gone)
        result = ip.run_cell("x = 7")
    assert result.success
    assert [each.category for each in told] == [memwatch.MemwatchWarning]


def test_fork_in_a_cell(ip, capfd):
    """The child ends the cell too, and says nothing of what its parent measured."""
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
    if _core.accuracy()["mark_resets"]:
        assert abs(parent.peaked - 64) < 1
        assert abs(child.peaked - 16) < 1


def test_many_cells_leave_nothing_behind(ip, capsys):
    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    run(ip, "pass", capsys)
    before = count()
    tasks = len(os.listdir("/proc/self/task"))
    for _ in range(200):
        run(ip, "pass", capsys)
    assert count() == before
    assert len(os.listdir("/proc/self/task")) == tasks
    assert open_windows() == 0


def test_loading_in_a_silent_cell_leaves_no_window_open(shell, capsys):
    """As a startup .ipy file does: IPython tells no end of such a cell."""
    shell.run_cell("%load_ext memwatch", silent=True)
    assert open_windows() == 0
    for _ in range(2):
        assert len(run(shell, "pass", capsys)) == 1
    assert memwatch.history[-1].drift_bytes is not None
    assert open_windows() == 0


def test_interrupted_before_it_began_does_not_end_the_cell_around(ip, capsys):
    """post_run_cell(None), no pre_run_cell: Ctrl-C while the text is transformed."""
    code = "get_ipython().events.trigger('post_run_cell', None)\nkept = pages(32)"
    (line,) = run(ip, code, capsys)
    assert abs(line.used - 32) < 1
    assert memwatch.history[-1].status == "ok"


def test_impossible_configuration_is_one_clear_line(shell, capsys):
    shell.config.MemWatch.max_history_reports = 0
    shell.run_cell("%load_ext memwatch")
    captured = capsys.readouterr()
    assert "memwatch is not loaded" in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err
    assert "MemWatch" not in [type(each).__name__ for each in shell.configurables]
    shell.config.MemWatch.max_history_reports = 5
    shell.run_line_magic("load_ext", "memwatch")
    assert memwatch.history.max_reports == 5
    memwatch.history.max_reports = 10_000
