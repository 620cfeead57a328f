"""The line and the report of a cell, however it starts and ends."""

import gc
import inspect
import os
import threading
import warnings

import pytest

import memwatch
from memwatch import _core
from memwatch.ipython import cell_watcher
from shells import needs_hwm_reset, open_windows, run_cell
from support import MIB, pages


def test_loading_cell_has_a_line(shell, capsys):
    code = "%load_ext memwatch\nkept = pages(32)"
    (line,) = run_cell(shell, code, capsys)
    assert line.n == 1
    assert abs(line.used - 32) < 1
    (second,) = run_cell(shell, "pass", capsys)
    assert second.n == 2
    assert abs(second.used) < 0.5
    del shell.user_ns["kept"]


def test_start_watching_memory_equals_load_ext(shell, capsys):
    (line,) = run_cell(
        shell, "import memwatch; memwatch.start_watching_memory()", capsys
    )
    assert line.n == 1
    assert len(run_cell(shell, "pass", capsys)) == 1


def test_loading_outside_of_a_cell_opens_no_window(ip):
    assert open_windows() == 0


def test_loading_in_a_silent_cell_opens_no_window(shell, capsys):
    """As in a startup .ipy file: IPython does not announce the end of silent cells."""
    shell.run_cell("%load_ext memwatch", silent=True)
    assert open_windows() == 0
    for _ in range(2):
        assert len(run_cell(shell, "pass", capsys)) == 1
    assert memwatch.history[-1].drift_bytes is not None
    assert open_windows() == 0


def test_used_peaked_and_risen_memory(ip, capsys):
    (line,) = run_cell(ip, "kept = pages(64)", capsys)
    assert abs(line.used - 64) < 1
    assert abs(memwatch.history[-1].risen_bytes / MIB - 64) < 1
    (line,) = run_cell(ip, "del kept", capsys)
    assert abs(line.used + 64) < 1
    assert abs(line.peaked - 64) < 1
    assert memwatch.history[-1].risen_bytes < MIB
    run_cell(ip, "kept = pages(32); more = pages(32); del more", capsys)
    assert abs(memwatch.history[-1].risen_bytes / MIB - 64) < 1


@needs_hwm_reset
@pytest.mark.parametrize("size_mib", [1, 16, 400])
def test_short_peak_is_within_the_error_bound(ip, capsys, size_mib):
    (line,) = run_cell(ip, f"x = pages({size_mib}); del x", capsys)
    bound = _core.accuracy()["bound_bytes"] / MIB
    assert abs(line.peaked - size_mib) <= max(size_mib / 100, bound)


def test_line_and_report_agree(ip, capsys):
    takes_id = "cell_id" in inspect.signature(ip.run_cell).parameters
    options = {"cell_id": "abc"} if takes_id else {}
    (line,) = run_cell(ip, "  \nkept = 1\nmore = 2", capsys, **options)
    report = memwatch.history[-1]
    assert report.label == f"In [{line.n}]"
    assert report.execution_count == line.n
    assert report.cell_id == options.get("cell_id")
    assert report.source == "kept = 1"
    assert report.status == "ok"
    assert round(report.rss_end_bytes / MIB, 2) == line.total


def test_source_is_cut_at_120_characters(ip, capsys):
    run_cell(ip, "x = '" + "y" * 500 + "'", capsys)
    assert len(memwatch.history[-1].source) == 120


def test_drift_is_measured_from_the_previous_cell(ip, capsys):
    run_cell(ip, "pass", capsys)
    kept = pages(32)
    run_cell(ip, "pass", capsys)
    assert 24 * MIB < memwatch.history[-1].drift_bytes < 33 * MIB
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
def test_status_of_cells_that_raise(ip, capsys, code, status):
    (line,) = run_cell(ip, code, capsys)
    assert memwatch.history[-1].status == status
    assert memwatch.history[-1].execution_count == line.n
    assert open_windows() == 0


@pytest.mark.parametrize("code", ["", "   \n\t\n"])
def test_empty_cell_has_no_line(ip, capsys, code):
    run_cell(ip, "pass", capsys)
    before = len(memwatch.history)
    assert run_cell(ip, code, capsys) == []
    assert len(memwatch.history) == before


def test_empty_cell_does_not_close_the_window_around_it(ip, capsys):
    code = "get_ipython().run_cell(''); kept = pages(16)"
    (line,) = run_cell(ip, code, capsys)
    assert abs(line.used - 16) < 1


def test_top_level_await(ip, capsys):
    code = "import asyncio\nawait asyncio.sleep(0)\nx = pages(64)\ndel x"
    (line,) = run_cell(ip, code, capsys)
    assert line.peaked > 60 or not _core.accuracy()["hwm_resets"]


def test_cell_without_history_shows_the_prompts_number(ip, capsys):
    (line,) = run_cell(ip, "pass", capsys, store_history=False)
    assert line.n == ip.execution_count
    assert memwatch.history[-1].execution_count is None


def test_silent_cell_has_no_line(ip, capsys):
    before = len(memwatch.history)
    assert run_cell(ip, "x = 1", capsys, silent=True) == []
    assert len(memwatch.history) == before


def test_run_magic_is_measured(ip, capsys, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("kept = pages(32)\n")
    (line,) = run_cell(ip, f"%run -i {script}", capsys)
    assert abs(line.used - 32) < 1


def test_many_cells_leak_no_descriptors_and_threads(ip, capsys):
    def count():
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    run_cell(ip, "pass", capsys)
    before = count()
    tasks = len(os.listdir("/proc/self/task"))
    for _ in range(200):
        run_cell(ip, "pass", capsys)
    assert count() == before
    assert len(os.listdir("/proc/self/task")) == tasks
    assert open_windows() == 0


def test_failure_to_measure_is_one_warning(shell, capsys, monkeypatch):
    def fail(*title):
        raise OSError(24, "cannot open a window on /proc/self: Too many open files")

    monkeypatch.setattr(cell_watcher, "OpenWindow", fail)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(3):
            assert run_cell(shell, "%load_ext memwatch", capsys) == []
            assert run_cell(shell, f"x = {number}", capsys) == []
    assert shell.user_ns["x"] == 2
    messages = [str(each.message) for each in caught if "memwatch" in str(each.message)]
    assert len(messages) == 1
    assert "Too many open files" in messages[0]
