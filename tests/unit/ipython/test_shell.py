"""The shim in a real InteractiveShell: every way that a cell can begin and end."""

import asyncio
import gc
import inspect
import os
import re
import sys
import threading
import warnings

import IPython
import pytest
from IPython.core.interactiveshell import InteractiveShell

import memwatch
from memwatch import _core, warn
from memwatch.blackbox import reader, recording
from memwatch.ipython import cell_watcher
from memwatch.stream import publishing
from support import (
    CLASSIC,
    CPU,
    MIB,
    check_python,
    lines_in,
    pages,
    readable_copy,
    run_python_told,
)

needs_mark = pytest.mark.skipif(
    not _core.accuracy()["hwm_resets"], reason="no high-water mark to reset"
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
    assert abs(memwatch.history[-1].risen_bytes / MIB - 64) < 1
    (line,) = run(ip, "del kept", capsys)
    assert abs(line.used + 64) < 1
    assert abs(line.peaked - 64) < 1
    assert memwatch.history[-1].risen_bytes < MIB
    run(ip, "kept = pages(32); more = pages(32); del more", capsys)
    assert abs(memwatch.history[-1].risen_bytes / MIB - 64) < 1


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
    assert line.peaked > 60 or not _core.accuracy()["hwm_resets"]


@needs_mark
def test_nested_cell_does_not_take_the_outer_peak(ip, capsys):
    code = "x = pages(100); del x\nget_ipython().run_cell('y = pages(20); del y')"
    (line,) = run(ip, code, capsys)
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
def test_cell_inside_another_one_is_part_of_it(ip, capsys, code):
    ip.register_magic_function(
        lambda line, cell: ip.run_cell(cell, store_history=True) and None,
        "cell", "runs_a_cell",
    )  # fmt: skip
    run(ip, "pass", capsys)
    memwatch.history.clear()
    (line,) = run(ip, code, capsys)
    assert line.n == 2
    assert 30 < line.used < 48  # some show an error: that takes some MiB the first time
    (report,) = memwatch.history
    assert report.label == "In [2]"
    assert report.execution_count == 2
    assert report.status == "ok"
    assert report.source == code.partition("\n")[0][:120]
    assert open_windows() == 0
    run(ip, "pass", capsys)
    assert abs(memwatch.history[-1].drift_bytes) < MIB


def test_rerun_and_a_script_of_cells_are_part_of_their_cell(ip, capsys, tmp_path):
    script = tmp_path / "script.ipy"
    script.write_text("%time kept = pages(32)\n")
    (line,) = run(ip, f"%run {script}", capsys)
    assert abs(line.used - 32) < 1
    run(ip, "%rerun 1", capsys)
    ip.define_macro("again", "kept = pages(16)\nmore = pages(16)")
    run(ip, "again", capsys)
    sources = [each.source for each in memwatch.history]
    assert sources == [f"%run {script}", "%rerun 1", "again"]


def test_cell_of_a_thread_that_a_cell_starts_has_its_own_report(ip, capsys):
    code = (
        "import threading\n"
        "inner = threading.Thread(target=get_ipython().run_cell, args=('y = 1',))\n"
        "inner.start(); inner.join()"
    )
    run(ip, code, capsys)
    sources = [report.source for report in memwatch.history]
    assert sources == ["y = 1", "import threading"]


def test_quiet_magic_inside_another_one(ip, capsys):
    assert run(ip, "%%capture\n%%memwatch_quiet\nkept = pages(32)", capsys) == []
    assert run(ip, "%%memwatch_quiet\n%%capture\nkept = pages(32)", capsys) == []
    code = "get_ipython().run_cell('%%memwatch_quiet\\npass', store_history=True)"
    assert run(ip, code, capsys) == []
    assert len(memwatch.history) == 3
    assert len(run(ip, "pass", capsys)) == 1


def test_loading_inside_another_cell_watches_the_outer_one(shell, capsys):
    inner = "'%load_ext memwatch\\nkept = pages(8)'"
    code = f"get_ipython().run_cell({inner})\nmore = pages(24)"
    (line,) = run(shell, code, capsys)
    assert line.n == 1
    assert abs(line.used - 32) < 1
    assert len(memwatch.history) == 1


def test_black_box_names_the_outer_cell(ip, capsys):
    code = "%%capture\nkept = pages(32)\nseen = cells()"
    ip.user_ns["cells"] = lambda: reader.read_box(recording.box_path())
    run(ip, "pass", capsys)
    run(ip, code, capsys)
    assert [each["label"] for each in ip.user_ns["seen"]["cells"]][-1] == "In [2]"


# ---- errors: what shows them is not the cell's ----


@pytest.fixture
def formatting(ip, monkeypatch):
    """Every traceback keeps 64 MiB, as that of a KeyError in pandas keeps 11."""
    kept = []

    def keeps(show):
        def shown(*arguments, **options):
            kept.append(pages(64))
            return show(*arguments, **options)

        return shown

    for name in "InteractiveTB", "SyntaxTB":
        handler = getattr(ip, name)
        shown = keeps(handler.structured_traceback)
        monkeypatch.setattr(handler, "structured_traceback", shown)
    return kept


def reject(lines):
    if lines == ["rejected\n"]:
        raise ValueError("rejected")
    return lines


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("x = pages(16); del x; 1/0", "error"),
        ("import asyncio\nawait asyncio.sleep(0)\n1/0", "error"),
        ("raise KeyboardInterrupt", "interrupted"),
        ("def f():\n    raise KeyError(1)\ntry: f()\nexcept KeyError: g", "error"),
        ("1 +", "error"),
        ("  x = 1\n y = 2", "error"),
        ("return", "error"),
        pytest.param(
            "%%time\n1/0",
            "error",
            marks=pytest.mark.skipif(
                IPython.version_info < (9,),
                reason="%%time of IPython 8 shows the error itself, and succeeds",
            ),
        ),
        ("rejected", "error"),
    ],
)
def test_showing_an_error_is_not_charged_to_the_cell(
    ip, capsys, formatting, code, status
):
    ip.input_transformers_post.append(reject)
    (line,) = run(ip, code, capsys)
    assert formatting
    assert abs(line.used) < 2
    assert line.peaked < 18
    report = memwatch.history[-1]
    assert report.status == status
    assert report.execution_count == line.n == 1
    assert len(memwatch.history) == 1
    assert open_windows() == 0
    formatting.clear()
    assert abs(run(ip, "pass", capsys)[0].used) < 2


@pytest.mark.parametrize(
    "code",
    [
        "try: 1/0\nexcept Exception: get_ipython().showtraceback()",
        "get_ipython().run_cell('1/0')",
        "%%capture\n1/0",
        "%run nowhere.py",
        "class Bad:\n    def __repr__(self): 1/0\ndisplay(Bad())",
    ],
)
def test_cell_that_shows_an_error_and_goes_on_is_measured_to_its_end(ip, capsys, code):
    (line,) = run(ip, f"{code}\nkept = pages(32)", capsys)
    if not code.startswith(("%%", "%run")):
        # The traceback is the cell's own here: it takes some MiB the first time.
        assert 30 < line.used < 48
    status = "error" if code.startswith("%run") else "ok"
    assert memwatch.history[-1].status == status


def test_failing_callback_of_another_extension_does_not_end_the_cell(ip, capsys):
    def fails(info):
        raise ValueError("not ours")

    ip.events.register("pre_run_cell", fails)
    (line,) = run(ip, "kept = pages(32)", capsys)
    ip.events.unregister("pre_run_cell", fails)
    assert abs(line.used - 32) < 1
    assert memwatch.history[-1].status == "ok"


def test_custom_exception_handler_that_shows_a_traceback(ip, capsys, formatting):
    def handler(self, kind, value, traceback, tb_offset=None):
        self.showtraceback((kind, value, traceback), tb_offset=tb_offset)

    ip.set_custom_exc((ZeroDivisionError,), handler)
    (line,) = run(ip, "1/0", capsys)
    assert formatting
    assert abs(line.used) < 2
    assert memwatch.history[-1].status == "error"


def test_interrupt_while_an_error_is_shown(ip, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ip.InteractiveTB, "structured_traceback", interrupted)
    (line,) = run(ip, "1/0", capsys)
    assert line.n == 1
    assert memwatch.history[-1].status == "error"


SHOWS = ("showtraceback", "showsyntaxerror", "showindentationerror")


def test_unloading_gives_the_shell_its_own_methods_back(ip):
    assert set(SHOWS) <= set(vars(ip))
    ip.run_line_magic("unload_ext", "memwatch")
    assert not set(SHOWS) & set(vars(ip))


def test_another_extension_that_wraps_the_same_methods(shell, capsys):
    """As rich.traceback.install() does, before us and after us."""
    calls = []

    def wrap(name):
        inner = shell.showtraceback

        def shows(*arguments, **options):
            calls.append(name)
            return inner(*arguments, **options)

        shell.showtraceback = shows
        return shows

    before = wrap("before")
    shell.run_line_magic("load_ext", "memwatch")
    shell.run_line_magic("unload_ext", "memwatch")
    assert shell.showtraceback is before
    shell.run_line_magic("load_ext", "memwatch")
    after = wrap("after")
    shell.user_ns["kept"] = kept = []

    class BigError(Exception):
        def _render_traceback_(self):
            kept.append(pages(32))
            return ["shown"]

    shell.user_ns["BigError"] = BigError
    for _ in range(2):
        (line,) = run(shell, "raise BigError", capsys)
        assert abs(line.used) < 2
        assert calls == ["after", "before"]
        calls.clear()
        run(shell, "%memwatch off", capsys)
        run(shell, "%memwatch on", capsys)
    shell.run_line_magic("unload_ext", "memwatch")
    assert shell.showtraceback is after
    assert run(shell, "raise BigError", capsys) == []
    assert calls == ["after", "before"]


# ---- the line stands on a line of its own ----

ELSEWHERE = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("print('x', end='')", "x\n"),
        ("print('x', end='', flush=True)", "x\n"),
        ("import sys; _ = sys.stdout.write('x\\ny')", "x\ny\n"),
        ("import sys; sys.stdout.writelines(['x\\n', 'y'])", "x\ny\n"),
        ("print('x')", "x\n"),
        ("print('x', end=''); print()", "x\n"),
        ("print('x', end=''); print('', end='')", "x\n"),
        ("print('x', end=''); y = 5; y", "xOut[1]: 5\n"),
        ("pass", ""),
        ("%%capture\nprint('x', end='')", ""),
        ("%%capture out\nprint('x', end='')\nprint('y')", ""),
        (f"{ELSEWHERE}    print('x', end='')", ""),
        (f"{ELSEWHERE}    print('y')\nprint('x', end='')", "x\n"),
        ("_ = get_ipython().run_cell('print(1, end=\"\")')", "1\n"),
        ("import asyncio\nawait asyncio.sleep(0)\nprint('x', end='')", "x\n"),
        ("import sys; sys.stderr.write('x'); None", ""),
    ],
)  # fmt: skip
def test_line_stands_on_a_line_of_its_own(ip, capsys, code, shown):
    ip.run_cell(code, store_history=True)
    text = capsys.readouterr().out
    assert CLASSIC.sub("LINE", text) in (f"{shown}LINE\n", f"{shown}LINE\n\n")
    assert len(lines_in(text)) == 1


def test_stdout_is_as_it_was_when_no_cell_runs(ip, capsys):
    before = vars(sys.stdout).get("write")
    run(ip, "print('x', end='')", capsys)
    run(ip, "1/0", capsys)
    now = vars(sys.stdout).get("write")
    # IPython 9 leaves the stream's own method there.
    assert now is before or now.__self__ is sys.stdout
    run(ip, "print('x', end='')\n%unload_ext memwatch", capsys)
    now = vars(sys.stdout).get("write")
    assert now is before or now.__self__ is sys.stdout


def test_cells_of_threads_leave_stdout_as_it_was(ip, capsys):
    import io

    stream = io.StringIO()
    together = threading.Barrier(2)
    ip.user_ns["wait"] = together.wait
    old, sys.stdout = sys.stdout, stream
    try:
        codes = ("wait(); print(1); wait()", "wait(); print(2); wait()")
        threads = [threading.Thread(target=ip.run_cell, args=(each,)) for each in codes]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        for _ in range(50):
            ip.run_cell("print('x', end='')", store_history=True)
    finally:
        sys.stdout = old
    # No wrapper around a wrapper around a wrapper.
    write, depth = stream.write, 0
    while (closure := getattr(write, "__closure__", None)) is not None:
        write = next(
            each.cell_contents for each in closure if callable(each.cell_contents)
        )
        depth += 1
    assert depth <= 3
    assert len(lines_in(stream.getvalue())) == 52


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), ValueError()]
)
def test_line_that_cannot_be_printed_is_one_warning_and_cells_are_measured(
    ip, monkeypatch, error
):
    class Full:
        def write(self, text):
            raise error

        def flush(self):
            pass

    warn._told.discard("line")
    before = len(memwatch.history)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        monkeypatch.setattr(sys, "stdout", Full())
        for _ in range(3):
            assert ip.run_cell("x = 7", store_history=True).success
        monkeypatch.undo()
    (message,) = [str(each.message) for each in told]
    assert "In [1] could not be printed to stdout" in message
    assert "cells are measured all the same" in message
    assert "unmeasured" not in message
    assert len(memwatch.history) == before + 3


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
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
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
    # Cells without a tick of the kernel's clock have numbers, too.
    for _ in range(20):
        ip.run_cell("x = 1", store_history=True)
        assert CPU.fullmatch(capsys.readouterr().out.strip())
    ip.run_line_magic("memwatch", "style classic")
    assert len(run(ip, "pass", capsys)) == 1
    assert memwatch.history[-1].system_mean_cpu_percent is None


def test_style_cpu_without_libproc2_is_one_clear_line(ip, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "memwatch._procps", None)
    monkeypatch.delattr(memwatch, "_procps", raising=False)
    ip.run_cell("%memwatch style cpu")
    captured = capsys.readouterr()
    told = (
        "cpu style: memwatch was built without libproc2: apt-get install libproc2-dev"
    )
    assert told in captured.out + captured.err
    assert len(run(ip, "pass", capsys)) == 1


def test_style_cpu_without_descriptors_keeps_the_style(ip, capsys, caplog):
    _procps = pytest.importorskip("memwatch._procps", reason="built without libproc2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_procps, "cpu_reader", lambda: os.listdir("/proc/self/nothing"))
        for typed in ("%memwatch style cpu", "%config MemWatch.style = 'cpu'"):
            ip.run_cell(typed)
            captured = capsys.readouterr()
            told = captured.out + captured.err + caplog.text
            assert "cpu style: " in told
            assert "Traceback" not in told
            ip.run_cell("%memwatch style")
            assert "style classic; others: cpu" in capsys.readouterr().out


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

    monkeypatch.setattr(cell_watcher, "OpenWindow", fail)
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
    warn._told.discard("line")
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
    if _core.accuracy()["hwm_resets"]:
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


@pytest.mark.parametrize(
    ("name", "value", "default", "told"),
    [
        ("style", "fancy", "classic", r"expected any of .*'classic', 'cpu'.* 'fancy'"),
        ("max_history_reports", 0, 10_000, "should not be less than 1, but .* 0 "),
        ("min_used_mib", "x", None, "expected a float.*, not the str 'x'"),
        ("min_peak_mib", float("nan"), None, "is a number of 0 or more, not nan"),
        ("children", "no", False, "expected a boolean, not the str 'no'"),
        ("publish_hz", 0, 10.0, "should not be less than 0.01, but .* 0.0 "),
    ],
)
def test_impossible_configuration_is_one_warning_and_the_default(
    shell, capsys, name, value, default, told
):
    warn._told.discard(f"c.MemWatch.{name}")
    shell.config.MemWatch[name] = value
    shell.config.MemWatch.display = "line"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert len(run(shell, "%load_ext memwatch", capsys)) == 1
            magics = shell.magics_manager.registry["MemWatch"]
            assert getattr(magics, name) == default
            assert magics.display == "line"
            run(shell, "%unload_ext memwatch", capsys)
    (message,) = [str(each.message) for each in caught]
    assert f"invalid c.MemWatch.{name}, the default {default!r} is used" in message
    assert re.search(told, message)


def test_impossible_value_at_a_running_session_changes_nothing(ip, capsys):
    ip.run_cell("%config MemWatch.style = 'fancy'")
    ip.run_cell("%config MemWatch.display = 'line'")
    magics = ip.magics_manager.registry["MemWatch"]
    assert (magics.style, magics.display) == ("classic", "line")
    run(ip, "%reload_ext memwatch", capsys)
    assert len(run(ip, "pass", capsys)) == 1


@needs_mark
def test_cell_in_a_forked_child_is_a_cell_of_its_own(ip, capsys):
    """The cell that forked runs in the parent: in the child it has no window."""
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


# ---- reloads, and two shells in one process ----


def test_reloaded_modules_go_on():
    # In a process of its own: other tests keep the classes that they have imported.
    check_python("""
import importlib, sys
from importlib.machinery import SourceFileLoader
from IPython.core.interactiveshell import InteractiveShell
import memwatch
from memwatch.stream import publishing; from memwatch.blackbox import recording
ip = InteractiveShell.instance()
def run(code):
    assert ip.run_cell(code, store_history=True).success, code
run("%load_ext memwatch")
run("%memwatch publish on")
run("pass")
kept, box = memwatch.history, recording.box_path()
count = len(kept)
names = [name for name in sys.modules if name.startswith("memwatch.")]
for name in sorted(names, key=lambda name: not name.startswith("memwatch._")):
    if isinstance(sys.modules[name].__spec__.loader, SourceFileLoader):
        importlib.reload(sys.modules[name])
importlib.reload(memwatch)
assert memwatch.history is kept
assert recording.box_path() == box
run("pass")
assert len(kept) == count + 1
assert "messages" in publishing.describe()
run("%unload_ext memwatch")
assert recording.box_path() is None
assert not box.exists()
assert publishing.status() is None
run("pass")
assert len(kept) == count + 1
""")


@pytest.mark.parametrize("mode", ["2", "3"])
def test_autoreload_of_changed_files(tmp_path, mode):
    folder = readable_copy(tmp_path)
    script = """
import os, sys, glob
from IPython.core.interactiveshell import InteractiveShell
ip = InteractiveShell.instance()
def run(code):
    assert ip.run_cell(code, store_history=True).success, code
run("%load_ext autoreload")
run("%autoreload 2")
run("%load_ext memwatch")
run("import memwatch")
from memwatch.blackbox import recording
box = recording.box_path()
assert box.exists()
package = os.path.dirname(sys.modules["memwatch"].__file__)
for path in glob.glob(package + "/**/*.py", recursive=True):
    with open(path, "a") as file:
        file.write("\\nchanged = {1: 2}\\n")
    os.utime(path, (2e9, 2e9))
before = len(sys.modules["memwatch"].history)
run("pass")
run("pass")
assert sys.modules["memwatch.measure.window"].changed
assert len(sys.modules["memwatch"].history) == before + 2, "lost"
assert sys.modules["memwatch.blackbox.recording"].box_path() == box
run("%unload_ext memwatch")
assert not box.exists()
run("%load_ext memwatch")
run("%reload_ext memwatch")
assert len(sys.modules["memwatch"].history) > before
run("%unload_ext memwatch")
"""
    out, err = run_python_told(
        script,
        env={**os.environ, "PYTHONPATH": str(folder), "IPYTHONDIR": str(tmp_path)},
    )
    assert "Traceback" not in out + err
    assert "reload" not in err


def test_shell_inside_another_one_loads_and_unloads(ip, capsys):
    """As embed() makes it: what belongs to the process goes with the last of them."""
    pytest.importorskip("memwatch._procps", reason="built without libproc2")
    ip.magics_manager.registry["MemWatch"].children = True
    ip.run_line_magic("memwatch", "style cpu")
    run(ip, "%memwatch publish on", capsys)
    box = recording.box_path()
    inner = InteractiveShell(config=ip.config)
    run(inner, "%load_ext memwatch", capsys)
    run(inner, "%memwatch style cpu", capsys)
    run(inner, "%memwatch style classic", capsys)
    assert len(run(inner, "pass", capsys)) == 1
    run(inner, "%unload_ext memwatch", capsys)
    assert run(inner, "pass", capsys) == []
    assert recording.box_path() == box
    assert box.exists()
    assert publishing.status()["alive"]
    ip.run_cell("import time; time.sleep(0.2)", store_history=True)
    report = memwatch.history[-1]
    assert report.system_mean_cpu_percent is not None
    assert report.children_count is not None
    run(ip, "%unload_ext memwatch", capsys)
    assert recording.box_path() is None
    assert not box.exists()
    assert publishing.status() is None
    memwatch.load_ipython_extension(ip)
    run(ip, "pass", capsys)
    assert memwatch.history[-1].children_count is None


def test_cell_of_an_inner_shell_has_its_own_report(ip, capsys):
    inner = InteractiveShell(config=ip.config)
    memwatch.load_ipython_extension(inner)
    ip.user_ns["inner"] = inner
    lines = run(ip, "_ = inner.run_cell('y = 1', store_history=True)", capsys)
    memwatch.unload_ipython_extension(inner)
    assert [line.n for line in lines] == [1, 1]
    assert [report.source for report in memwatch.history][-2] == "y = 1"
