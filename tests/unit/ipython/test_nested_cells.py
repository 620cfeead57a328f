"""Cells inside cells: part of the outer cell, unless another thread runs them."""

import pytest

import memwatch
from memwatch.blackbox import reader, recording
from memwatch.report import telling_line
from shells import needs_hwm_reset, open_windows, run_cell
from support import MIB


@needs_hwm_reset
def test_nested_cell_keeps_the_outer_peak(ip, capsys):
    code = "x = pages(100); del x\nget_ipython().run_cell('y = pages(20); del y')"
    (line,) = run_cell(ip, code, capsys)
    assert abs(line.peaked - 100) < 1
    assert memwatch.history[-1].execution_count == line.n


NESTED = {
    "capture": "%%capture\nkept = pages(32)",
    "time": "%%time\nkept = pages(32)",
    "run_cell": "get_ipython().run_cell('kept = pages(32)')",
    "with history": "get_ipython().run_cell('kept = pages(32)', store_history=True)",
    "twice": "for n in 1, 2: get_ipython().run_cell(f'kept{n} = pages(16)')",
    "two deep": "%%capture\nget_ipython().run_cell('%%capture\\nkept = pages(32)')",
    "silent between": "get_ipython().run_cell("
    "\"get_ipython().run_cell('kept = pages(32)')\", silent=True)",
    "a magic": "%%runs_a_cell\nkept = pages(32)",
    "in an async cell": "import asyncio\nawait asyncio.sleep(0)\n"
    "get_ipython().run_cell('kept = pages(32)')",
    "awaited": "await get_ipython().run_cell_async("
    "'kept = pages(32)', transformed_cell='kept = pages(32)')",
    "error inside": "get_ipython().run_cell('1/0')\nkept = pages(32)",
    "syntax error inside": "get_ipython().run_cell('1 +')\nkept = pages(32)",
    "empty inside": "get_ipython().run_cell(' ')\nkept = pages(32)",
}


@pytest.mark.parametrize("code", NESTED.values(), ids=NESTED)
def test_nested_cell_is_part_of_the_outer_cell(ip, capsys, code):
    ip.register_magic_function(
        lambda line, cell: ip.run_cell(cell, store_history=True) and None,
        "cell", "runs_a_cell",
    )  # fmt: skip
    run_cell(ip, "1/0", capsys)  # IPython 8.0 keeps 7 MiB for its first traceback
    memwatch.history.clear()
    (line,) = run_cell(ip, code, capsys)
    assert line.n == 2
    assert abs(line.used - 32) < 2  # some cells show an error
    (report,) = memwatch.history
    assert report.label == "In [2]"
    assert report.execution_count == 2
    assert report.status == "ok"
    assert report.source == telling_line(code)
    assert open_windows() == 0
    run_cell(ip, "pass", capsys)
    # Nothing of the 32 MiB; what earlier tests left may go now.
    assert -8 * MIB < memwatch.history[-1].drift_bytes < MIB


def test_rerun_macros_and_scripts_are_part_of_their_cell(ip, capsys, tmp_path):
    script = tmp_path / "script.ipy"
    script.write_text("%time kept = pages(32)\n")
    (line,) = run_cell(ip, f"%run {script}", capsys)
    assert abs(line.used - 32) < 1
    run_cell(ip, "%rerun 1", capsys)
    ip.define_macro("again", "kept = pages(16)\nmore = pages(16)")
    run_cell(ip, "again", capsys)
    sources = [each.source for each in memwatch.history]
    assert sources == [f"%run {script}", "%rerun 1", "again"]


def test_cell_in_another_thread_has_its_own_report(ip, capsys):
    code = (
        "import threading\n"
        "inner = threading.Thread(target=get_ipython().run_cell, args=('y = 1',))\n"
        "inner.start(); inner.join()"
    )
    run_cell(ip, code, capsys)
    sources = [report.source for report in memwatch.history]
    assert sources == ["y = 1", telling_line(code)]


def test_quiet_magic_in_nested_cells(ip, capsys):
    assert run_cell(ip, "%%capture\n%%memwatch_quiet\nkept = pages(32)", capsys) == []
    assert run_cell(ip, "%%memwatch_quiet\n%%capture\nkept = pages(32)", capsys) == []
    code = "get_ipython().run_cell('%%memwatch_quiet\\npass', store_history=True)"
    assert run_cell(ip, code, capsys) == []
    assert len(memwatch.history) == 3
    assert len(run_cell(ip, "pass", capsys)) == 1


def test_loading_in_a_nested_cell_watches_the_outer_cell(shell, capsys):
    inner = "'%load_ext memwatch\\nkept = pages(8)'"
    code = f"get_ipython().run_cell({inner})\nmore = pages(24)"
    (line,) = run_cell(shell, code, capsys)
    assert line.n == 1
    assert abs(line.used - 32) < 1
    assert len(memwatch.history) == 1


def test_black_box_names_the_outer_cell(ip, capsys):
    code = "%%capture\nkept = pages(32)\nseen = cells()"
    ip.user_ns["cells"] = lambda: reader.read_box(recording.box_path())
    run_cell(ip, "pass", capsys)
    run_cell(ip, code, capsys)
    assert [each.report.label for each in ip.user_ns["seen"]["cells"]][-1] == "In [2]"


def test_cell_interrupted_before_its_start_does_not_end_the_outer_cell(ip, capsys):
    """post_run_cell(None) without pre_run_cell: Ctrl-C while IPython transforms it."""
    code = "get_ipython().events.trigger('post_run_cell', None)\nkept = pages(32)"
    (line,) = run_cell(ip, code, capsys)
    assert abs(line.used - 32) < 1
    assert memwatch.history[-1].status == "ok"
