"""The subcommands of %memwatch: what they show, their help, wrong arguments."""

import io
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import memwatch
from memwatch import CellReport, _core
from shells import open_windows
from support import MIB, run_python


def add(number, used=0, peaked=0, **more):
    """A report to the history; sizes in MiB."""
    risen = max(0, used + peaked)
    memwatch.history.append(
        CellReport(
            label=f"In [{number}]", used_bytes=used * MIB, peaked_bytes=peaked * MIB,
            risen_bytes=risen * MIB,
            rss_end_bytes=100 * MIB, duration_ns=number * 10**9, **more,
        )
    )  # fmt: skip


def cells_in(table):
    return [int(number) for number in re.findall(r"In \[(\d+)\]", table)]


def test_top_ranks_by_use_and_by_rise(show):
    memwatch.history.clear()
    # The second cell only gave memory back: its peak is high above its end.
    for number, (used, peaked) in enumerate([(1, 9), (-50, 50), (7, 1), (2, 4)], 1):
        add(number, used, peaked, source=f"cell_{number}()")
    memwatch.history.append(CellReport(label="In [9]"))  # without figures
    kept, rose = show("%memwatch top 2").split("\n\n")
    assert kept.splitlines() == [
        "Kept the most, of 5 reports",
        "  used MiB  rise MiB peaked MiB  total MiB     time  cell",
        "    7.0000      8.00       1.00     100.00   3.00 s  In [3] cell_3()",
        "    2.0000      6.00       4.00     100.00   4.00 s  In [4] cell_4()",
    ]
    assert rose.splitlines()[0] == "Rose the highest, of 5 reports"
    assert cells_in(rose) == [1, 3]
    kept, rose = show("%memwatch top").split("\n\n")
    assert cells_in(kept) == [3, 4, 1, 2]
    assert cells_in(rose) == [1, 3, 4, 2]


def test_children_are_in_last_top_history_and_status(ip, show):
    memwatch.history.clear()
    add(1, 1, source="alone()")
    ran = {
        "children_count": 0, "children_count_peak": 3, "children_missed": 2,
        "children_pss_peak_bytes": 461 * MIB, "children_rss_peak_bytes": 700 * MIB,
        "tree_pss_peak_bytes": 530 * MIB,
    }  # fmt: skip
    add(2, 2, source="pool.map(work, range(3))", **ran)
    last = show("%memwatch last").splitlines()
    assert "children 3 at a time, peak 461 MiB PSS (sampled: at least)" in last
    assert "         and 2 too short to measure" in last
    assert any(line.startswith("tree       530.0000 MiB  ") for line in last)
    children = show("%memwatch top").split("\n\n")[2]
    assert children.splitlines() == [
        "Had the largest child processes, of 2 reports",
        "      peak MiB  number      time  cell",
        "    461.00 PSS       3    2.00 s  In [2] pool.map(work, range(3))",
    ]
    alone, pool = show("%memwatch history").splitlines()[1:]
    assert alone.endswith("  In [1] alone()")
    assert pool.endswith("  In [2] pool.… (+3, 461 MiB)")
    assert len(pool) == 80
    assert "\nchildren: not measured; to measure them: " in show("%memwatch status")


def test_rows_have_80_characters_and_no_escape_sequences(show):
    add(1, source="print('\x1b[31m\x07" + "x" * 200)
    add(2, source="first\rsecond", status="error")
    for typed in "%memwatch last", "%memwatch top", "%memwatch history":
        assert max(map(len, show(typed).splitlines())) <= 80
    for typed in "%memwatch top", "%memwatch history":
        text = show(typed)
        assert "\x1b" not in text
        assert "\r" not in text
        assert "(error) first second" in text


def test_history_shows_the_newest(show):
    memwatch.history.clear()
    for number in range(1, 31):
        add(number)
    text = show("%memwatch history 3")
    assert cells_in(text) == [28, 29, 30]
    assert text.endswith("27 older; to show them: %memwatch history 30")
    assert len(cells_in(show("%memwatch history"))) == 20
    assert "older" not in show("%memwatch history 100")


@pytest.mark.parametrize("typed", ["top", "history", "last"])
def test_no_reports_yet(show, typed):
    memwatch.history.clear()
    assert show(f"%memwatch {typed}") == "no reports yet: they come with the next cell"


def test_last_shows_all_figures(show):
    show("kept = pages(48); more = pages(16); del more")
    text = show("%memwatch last")
    first, *rest = text.splitlines()
    assert first.startswith("In [1] kept = pages(48); more")
    figures = dict(re.findall(r"^ *(\w+) +(-?[\d.]+) MiB", "\n".join(rest), re.M))
    assert abs(float(figures["used"]) - 48) < 1
    parts = float(figures["anon"]) + float(figures["file"]) + float(figures["shared"])
    assert abs(parts - float(figures["total"])) < 0.001
    assert float(figures["swapped"]) >= 0
    assert "drift" in text
    assert re.search(r"^accuracy the peak is the (kernel's|highest)", text, re.M)
    assert re.search(r"^timeline [▁▂▃▄▅▆▇█]+$", text, re.M)
    assert re.search(r"^retained ", text, re.M)
    assert max(map(len, text.splitlines())) <= 88


@pytest.mark.parametrize(
    "typed",
    [
        "%memwatch", "memwatch", "%memwatch top", "memwatch history",
        "%memwatch style classic", "%memwatch tpo", "%memwatch --help",
        "%memwatch on", "%memwatch help",
        "# which?\n%memwatch top\n\n%memwatch history 3\n",
    ],
)  # fmt: skip
def test_subcommands_have_no_line_and_no_report(ip, lines, show, typed):
    lines("interesting = 1")
    before = list(memwatch.history)
    assert lines(typed) == []
    assert list(memwatch.history) == before
    assert open_windows() == 0
    assert show("%memwatch last").startswith("In [1] interesting = 1")
    (line,) = lines("x = 1")
    assert line.n == 4
    assert memwatch.history[-1].drift_bytes is not None


@pytest.mark.parametrize(
    "code",
    [
        "kept = 1\n%memwatch top", "%memwatch top\n1 / 0",
        "%memwatch kept = 1\n%memwatch top", "%memwatch top\n%memwatch kept = 1",
    ],
)  # fmt: skip
def test_cells_with_code_beside_subcommands_are_reported(lines, code):
    before = len(memwatch.history)
    assert len(lines(code)) == 1
    assert len(memwatch.history) == before + 1


def test_names_are_expanded_in_subcommands(ip, show, tmp_path):
    ip.user_ns["path"] = tmp_path / "kept.json"
    show("x = 1")
    show("%memwatch save $path")
    assert ip.user_ns["path"].exists()
    assert show("%memwatch history {1}").count("\n") == 1


def test_tables_are_as_wide_as_the_terminal(show, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    show(f"kept = {'1' * 200}")
    for typed in "%memwatch top", "%memwatch history":
        assert max(map(len, show(typed).splitlines())) == 120


def test_version(show):
    assert show("%memwatch --version") == f"memwatch {memwatch.__version__}"


def test_postmortem(ip, show):
    assert show("%memwatch postmortem 1").startswith("no black box of process 1 in ")
    program = (
        "import os, signal, memwatch; from memwatch.blackbox import recording;"
        "recording.start(None, ''); w = memwatch.watch('grow');"
        "w.__enter__(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.Popen([sys.executable, "-c", program])
    assert done.wait(timeout=60) == -9
    text = show(f"%memwatch postmortem {done.pid}")
    assert text.startswith(f"process    {done.pid}")
    assert "\ncell       grow, began " in text


def test_last_without_timeline_and_figures(show):
    memwatch.history.clear()
    memwatch.history.append(CellReport(label="load", peak_method="sampled"))
    text = show("%memwatch last")
    assert text.startswith("load\nran      n/a, from an unknown time")
    assert re.search(r"^used +unknown ", text, re.M)
    assert "a lower bound" in text
    assert "timeline dropped" in text


def test_retained_memory_explains_used_0(show):
    """malloc keeps freed blocks between used ones; the next cell reuses them."""
    if _core.malloc_stats() is None:
        pytest.skip("this process's malloc does not report what it retains")
    shown = run_python(
        "import memwatch; from memwatch import _core; size = 60_000\n"
        "blocks = [b'x' * size for _ in range(1_000)]\n"
        "before = _core.malloc_stats()['retained_bytes']\n"
        "blocks[::2] = [None] * 500\n"
        "after = _core.malloc_stats()['retained_bytes']\n"
        "with memwatch.watch() as w: again = [b'x' * size for _ in range(450)]\n"
        "print((after - before) >> 20, w.report.used_bytes >> 20)\n"
        "print(_core.malloc_stats()['duration_ns'] > 0)\n"
    )
    assert shown == "28 0\nTrue\n"


def test_statistics_of_an_unused_malloc_are_not_read(tmp_path):
    """mallinfo2() of glibc would report 0 while another malloc is in use."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    source = tmp_path / "other.c"
    source.write_text(
        "#include <stddef.h>\n"
        "extern void *__libc_malloc(size_t);\n"
        "void *malloc(size_t size) { return __libc_malloc(size); }\n"
    )
    library = tmp_path / "other.so"
    done = subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(source)],
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        pytest.skip("cannot build such a library with this libc")
    shown = run_python(
        "from memwatch import _core; print(_core.malloc_stats())",
        env={"LD_PRELOAD": str(library)},
    )
    assert shown == "None\n"


def test_save(show, tmp_path):
    show("x = 1")
    path = tmp_path / "my cells.JSON"
    assert show(f"%memwatch save '{path}'") == f"1 report in {path}"
    assert json.loads(path.read_text())["reports"][0]["source"] == "x = 1"
    show("y = 2")
    assert show(f"%memwatch save {tmp_path}/kept.csv").startswith("2 reports in ")
    assert (tmp_path / "kept.csv").read_text().count("\n") == 3


def test_report_is_a_page(ip, show, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    show("x = pages(16)")
    show("1 / 0")
    path = tmp_path / "my session.html"
    assert show(f"%memwatch report '{path}'") == f"2 reports in {path}"
    text = path.read_text()
    assert "<h1>session: 2 reports</h1>" in text
    assert "x = pages(16)" in text
    assert '<span class="state error">error</span>' in text
    assert "<svg" in text
    monkeypatch.setitem(sys.modules, "jinja2", None)
    message = show(f"%memwatch report '{path}'")
    assert "%memwatch report requires jinja2: pip install " in message
    assert path.read_text() == text


def test_save_expands_the_home_directory(show, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    show("%memwatch save ~/kept.csv")
    assert (tmp_path / "kept.csv").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("%memwatch top5 now", "%memwatch: unknown subcommand: 'top5'; did you mean"),
        ("%memwatch -r x f()", "%memwatch -r: expected a positive integer, got 'x'"),
        ("%memwatch -r 3", "%memwatch -r: expected code after the number of runs"),
        ("%memwatch report x.txt", "'x.txt': expected a name that ends in .html"),
        ("%memwatch postmortem x", "postmortem: expected a positive integer, got 'x'"),
        ("%memwatch tpo", "%memwatch: unknown subcommand: 'tpo'; did you mean 'top'?"),
        ("%memwatch stauts", "unknown subcommand: 'stauts'; did you mean 'status'?"),
        (
            "%memwatch xyzzy",
            "unknown subcommand: 'xyzzy'; expected on, off, status, last, top,",
        ),
        ("%memwatch style clasic", "unknown style: 'clasic'; did you mean 'classic'?"),
        ("%memwatch -x", "%memwatch: unknown option: '-x'; see %memwatch --help"),
        ("%memwatch top 0", "%memwatch top: expected a positive integer, got '0'"),
        ("%memwatch top -1", "%memwatch top: expected a positive integer, got '-1'"),
        ("%memwatch top nan", "%memwatch top: expected a positive integer, got 'nan'"),
        ("%memwatch top x", "%memwatch top: expected a positive integer, got 'x'"),
        ("%memwatch top 1.5", "%memwatch top: expected a positive integer, got '1.5'"),
        ("%memwatch top 1 2", "%memwatch top: unexpected argument: '2'"),
        ("%memwatch on now", "%memwatch on: unexpected argument: 'now'"),
        ("%memwatch plot now", "%memwatch plot: unexpected argument: 'now'"),
        ("%memwatch last 3", "%memwatch last: unexpected argument: '3'"),
        (
            "%memwatch history 0",
            "%memwatch history: expected a positive integer, got '0'",
        ),
        (
            "%memwatch save",
            "%memwatch save: missing argument: PATH",
        ),
        ("%memwatch save ''", "%memwatch save: invalid path '': expected a name that"),
        (
            "%memwatch save a.txt",
            "invalid path 'a.txt': expected a name that ends in .json",
        ),
        (
            "%memwatch save /nowhere/a.csv",
            "save: cannot write '/nowhere/a.csv': no such directory",
        ),
        ("%memwatch save 'a.csv", "%memwatch save 'a.csv: no closing quotation"),
        (
            "%memwatch style 'ab c'",
            "%memwatch style: unknown style: 'ab c'; expected classic",
        ),
        ("%%memwatch -r 0\n1", "%%memwatch: expected a positive integer, got '0'"),
        ("%%memwatch -r -1\n1", "%%memwatch: expected a positive integer, got '-1'"),
        ("%%memwatch -r nan\n1", "%%memwatch: expected a positive integer, got 'nan'"),
        ("%%memwatch -r\n1", "%%memwatch: option -r requires argument"),
        (
            "%%memwatch top\n1",
            "unexpected argument: 'top'; a cell magic takes no subcommand",
        ),
        ("%%memwatch_quiet x\n1", "%%memwatch_quiet: unexpected argument: 'x'"),
    ],
)
def test_wrong_arguments_are_one_line(show, typed, message):
    text = show(typed)
    assert text.startswith("UsageError: ")
    assert message in text
    assert len(text.splitlines()) == 1


def test_help(show, ip):
    text = show("%memwatch --help")
    assert (
        text
        == show("%memwatch -h")
        == ip.magics_manager.registry["MemWatch"].memwatch.__doc__.rstrip()
    )
    assert max(map(len, text.splitlines())) <= 80
    for word in ("on", "off", "status", "last", "top", "history", "save", "style"):
        assert f"%memwatch {word}" in text
        usage = show(f"%memwatch {word} --help")
        assert usage.startswith(f"usage: %memwatch {word}")
        assert max(map(len, usage.splitlines())) <= 80
    assert show("%%memwatch --help\nprint('not run')") == text
    assert "Number of reports" in show("%memwatch top --help")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_the_encoding_lacks(ip, monkeypatch, encoding):
    """Each is replaced by "?", in IPython and at the command line."""
    ip.run_cell("held = b'x' * (30 << 20)  # \u2026\nimport time; time.sleep(0.2)")
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    for words in ("last", "plot", "history", "top", "status", ""):
        ip.run_line_magic("memwatch", words)
    monkeypatch.undo()
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    assert "# ?" in shown
    done = subprocess.run(
        [sys.executable, "-m", "memwatch", "top", "--once"],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?" in done.stdout


def test_status(show):
    first, peak, rss, children, process, limit, history, *_ = show(
        "%memwatch"
    ).splitlines()
    version = memwatch.__version__
    assert first == f"memwatch {version}: watching every cell, style classic"
    assert peak.startswith("peak: ")
    assert rss.startswith("RSS: ")
    assert children.startswith("children: not measured; to measure them: ")
    assert process.startswith("this process: ")
    assert limit.startswith("limit: ")
    assert history.startswith("history: ")
    assert show("%memwatch status").splitlines()[0] == first
