"""What is typed after %memwatch: sub-commands, cells, help, Tab, mistakes."""

import io
import json
import os
import re
import subprocess
import sys

import pytest
from traitlets import TraitError

import memwatch
from memwatch import CellReport, _core
from memwatch.ipython.completion import complete
from support import MIB, lines_in, run_python


@pytest.fixture
def ip(shell):
    """A shell that has memwatch loaded."""
    shell.run_line_magic("load_ext", "memwatch")
    return shell


@pytest.fixture
def show(ip, capsys):
    """What a cell prints, but for its line."""

    def show(code):
        capsys.readouterr()
        ip.run_cell(code, store_history=True)
        captured = capsys.readouterr()
        told = captured.out + captured.err
        assert not re.search(r"memwatch/\w+\.py", told)  # no frame of ours
        shown = told.splitlines()
        return "\n".join(each for each in shown if not lines_in(each))

    return show


@pytest.fixture
def lines(ip, capsys):
    """The lines that a cell leaves."""

    def lines(code):
        capsys.readouterr()
        ip.run_cell(code, store_history=True)
        return lines_in(capsys.readouterr().out)

    return lines


pytestmark = pytest.mark.filterwarnings(
    "ignore:`Completer.complete` is pending:PendingDeprecationWarning"
)


def add(number, used=0, peaked=0, **more):
    risen = max(0, used + peaked)
    memwatch.history.append(
        CellReport(
            label=f"In [{number}]", used_bytes=used * MIB, peaked_bytes=peaked * MIB,
            risen_bytes=risen * MIB,
            rss_end_bytes=100 * MIB, duration_ns=number * 10**9, **more,
        )
    )  # fmt: skip


# ---- top, history ----


def cells_in(table):
    return [int(number) for number in re.findall(r"In \[(\d+)\]", table)]


def test_top_ranks_by_use_and_by_rise(show):
    memwatch.history.clear()
    # The second only gave memory back: the peak is high above its end alone.
    for number, (used, peaked) in enumerate([(1, 9), (-50, 50), (7, 1), (2, 4)], 1):
        add(number, used, peaked, source=f"cell_{number}()")
    memwatch.history.append(CellReport(label="In [9]"))  # nothing is known of it
    kept, rose = show("%memwatch top 2").split("\n\n")
    assert kept.splitlines() == [
        "Kept the most, of 5 reports",
        "   used MiB   rise MiB  peaked MiB   total MiB      time  cell",
        "     7.0000       8.00        1.00      100.00    3.00 s  In [3] cell_3()",
        "     2.0000       6.00        4.00      100.00    4.00 s  In [4] cell_4()",
    ]
    assert rose.splitlines()[0] == "Rose the highest, of 5 reports"
    assert cells_in(rose) == [1, 3]
    _, rose = show("%memwatch top").split("\n\n")
    assert cells_in(rose)[:3] == [1, 3, 4]
    kept, _ = show("%memwatch top").split("\n\n")
    assert cells_in(kept)[:3] == [3, 4, 1]
    assert len(cells_in(kept)) == 5


def test_rows_are_one_line_of_88_characters_and_obey_no_escapes(show):
    add(1, source="print('\x1b[31m\x07" + "x" * 200)
    add(2, source="first\rsecond", status="error")
    for typed in "%memwatch top", "%memwatch history":
        text = show(typed)
        assert max(map(len, text.splitlines())) <= 88
        assert "\x1b" not in text
        assert "\r" not in text
        assert "(error) first second" in text


def test_history_shows_the_newest(show):
    memwatch.history.clear()
    for number in range(1, 31):
        add(number)
    text = show("%memwatch history 3")
    assert cells_in(text) == [28, 29, 30]
    assert text.endswith("27 older: %memwatch history 30, or memwatch.history")
    assert len(cells_in(show("%memwatch history"))) == 20
    assert "older" not in show("%memwatch history 100")


@pytest.mark.parametrize("typed", ["top", "history", "last"])
def test_no_reports_yet(show, typed):
    memwatch.history.clear()
    assert show(f"%memwatch {typed}") == "no reports yet: they come with the next cell"


# ---- last ----


def test_last_tells_the_whole_story(show):
    show("kept = pages(48); more = pages(16); del more")
    text = show("%memwatch last")
    first, *rest = text.splitlines()
    assert first.startswith("In [1] kept = pages(48); more")
    told = dict(re.findall(r"^ *(\w+) +(-?[\d.]+) MiB", "\n".join(rest), re.M))
    assert abs(float(told["used"]) - 48) < 1
    parts = float(told["anon"]) + float(told["file"]) + float(told["shared"])
    assert abs(parts - float(told["total"])) < 0.001
    assert float(told["swapped"]) >= 0
    assert "drift" in text
    assert re.search(r"^accuracy the peak is the (kernel's|highest)", text, re.M)
    assert re.search(r"^timeline [▁▂▃▄▅▆▇█]+$", text, re.M)
    assert re.search(r"^retained ", text, re.M)
    assert max(map(len, text.splitlines())) <= 88


def test_last_is_not_the_looking(show):
    show("interesting = 1")
    for _ in range(2):
        show("%memwatch")
        show("%memwatch top")
        show("memwatch history")
        assert show("%memwatch last").startswith("In [1] interesting = 1")
    show("%memwatch style classic")
    assert "style classic" in show("%memwatch last").splitlines()[0]


def test_last_where_timelines_or_figures_are_gone(show):
    memwatch.history.clear()
    memwatch.history.append(CellReport(label="load", peak_method="sampled"))
    text = show("%memwatch last")
    assert text.startswith("load\nran      n/a, from an unknown time")
    assert re.search(r"^used +unknown ", text, re.M)
    assert "a lower bound" in text
    assert "timeline not kept" in text


def test_what_malloc_retains_explains_used_0(show):
    """Freed between what is in use: malloc keeps it, and the next cell re-uses it."""
    if _core.malloc_stats() is None:
        pytest.skip("this process's malloc does not tell what it retains")
    told = run_python(
        "import memwatch; from memwatch import _core; size = 60_000\n"
        "blocks = [b'x' * size for _ in range(1_000)]\n"
        "before = _core.malloc_stats()['retained_bytes']\n"
        "blocks[::2] = [None] * 500\n"
        "after = _core.malloc_stats()['retained_bytes']\n"
        "with memwatch.watch() as w: again = [b'x' * size for _ in range(450)]\n"
        "print((after - before) >> 20, w.report.used_bytes >> 20)\n"
        "print(_core.malloc_stats()['duration_ns'] > 0)\n"
    )
    assert told == "28 0\nTrue\n"


def test_another_malloc_is_not_asked(tmp_path):
    """mallinfo2() of a malloc that nobody uses would say: nothing is retained."""
    import shutil
    import subprocess

    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here to build another malloc with")
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
        pytest.skip("no such library can be built here (another libc)")
    told = run_python(
        "from memwatch import _core; print(_core.malloc_stats())",
        env={"LD_PRELOAD": str(library)},
    )
    assert told == "None\n"


# ---- save ----


def test_save(show, tmp_path):
    show("x = 1")
    path = tmp_path / "my cells.JSON"
    assert show(f"%memwatch save '{path}'") == f"1 report in {path}"
    assert json.loads(path.read_text())["reports"][0]["source"] == "x = 1"
    assert show(f"%memwatch save {tmp_path}/kept.csv").startswith("2 reports in ")
    assert (tmp_path / "kept.csv").read_text().count("\n") == 3


def test_save_at_home(show, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    show("%memwatch save ~/kept.csv")
    assert (tmp_path / "kept.csv").exists()


# ---- mistakes ----


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("%memwatch tpo", "%memwatch: no sub-command 'tpo': did you mean 'top'?"),
        ("%memwatch -x", "%memwatch: no option '-x'"),
        ("%memwatch top 0", "%memwatch top: '0' is no whole number of 1 or more"),
        ("%memwatch top -1", "%memwatch top: '-1' is no whole number of 1 or more"),
        ("%memwatch top nan", "%memwatch top: 'nan' is no whole number of 1 or more"),
        ("%memwatch top x", "%memwatch top: 'x' is no whole number of 1 or more"),
        ("%memwatch top 1.5", "%memwatch top: '1.5' is no whole number of 1 or more"),
        ("%memwatch top 1 2", "%memwatch top 1: '2' is too much"),
        ("%memwatch last 3", "%memwatch last: '3' is too much"),
        ("%memwatch history 0", "%memwatch history: '0' is no whole number"),
        (
            "%memwatch save",
            "%memwatch save: the following arguments are required: PATH",
        ),
        ("%memwatch save ''", "%memwatch save: '' ends in neither .json nor .csv"),
        ("%memwatch save a.txt", "save: 'a.txt' ends in neither .json nor .csv"),
        (
            "%memwatch save /nowhere/a.csv",
            "save: '/nowhere/a.csv' is not written: no such directory",
        ),
        ("%memwatch save 'a.csv", "%memwatch save 'a.csv: no closing quotation"),
        ("%memwatch style 'ab c'", "%memwatch: no style 'ab c': there are classic"),
        ("%%memwatch -r 0\n1", "%%memwatch: '0' is no whole number of 1 or more"),
        ("%%memwatch -r -1\n1", "%%memwatch: '-1' is no whole number of 1 or more"),
        ("%%memwatch -r nan\n1", "%%memwatch: 'nan' is no whole number of 1 or more"),
        ("%%memwatch -r\n1", "%%memwatch: argument -r/--repeat: expected one argument"),
        (
            "%%memwatch top\n1",
            "'top' is too much, and a cell magic has no sub-commands",
        ),
        ("%%memwatch_quiet x\n1", "%%memwatch_quiet: 'x' is too much"),
    ],
)
def test_mistakes_are_one_clear_line(show, typed, told):
    text = show(typed)
    assert text.startswith("UsageError: ")
    assert told in text
    assert len(text.splitlines()) == 1


def test_help(show, ip):
    text = show("%memwatch --help")
    assert (
        text
        == show("%memwatch -h")
        == ip.magics_manager.registry["MemWatch"].memwatch.__doc__.rstrip()
    )
    for word in ("on", "off", "status", "last", "top", "history", "save", "style"):
        assert f"%memwatch {word}" in text
        usage = show(f"%memwatch {word} --help")
        assert usage.startswith(f"usage: %memwatch {word} [-h]")
        assert max(map(len, usage.splitlines())) <= 88
    assert show("%%memwatch --help\nprint('not run')") == text
    assert "how many reports" in show("%memwatch top --help")


# ---- cells ----


def test_cell_magic_watches_one_cell_while_watching_is_off(ip, lines):
    lines("%memwatch off")
    assert lines("pass") == []
    (line,) = lines("%%memwatch\nkept = pages(32)")
    assert line.n == 3
    assert abs(line.used - 32) < 1
    report = memwatch.history[-1]
    assert report.label == "In [3]"
    assert report.source == "%%memwatch"
    assert lines("pass") == []
    assert _core.sampler()["open_windows"] == 0
    (line,) = lines("%%memwatch\n1/0")
    assert memwatch.history[-1].status == "error"
    assert lines("pass") == []
    assert len(lines("%memwatch on")) == 1


def test_cell_magic_while_watching_is_on_is_one_line(ip, lines):
    ip.run_line_magic("config", "MemWatch.min_used_mib = 1e6")
    assert lines("pass") == []
    assert len(lines("%%memwatch\npass")) == 1  # asked for
    assert lines("pass") == []
    ip.run_line_magic("config", "MemWatch.min_used_mib = None")
    assert len(lines("pass")) == 1


def test_cell_magic_that_turns_watching_on_leaves_it_on(lines):
    lines("%memwatch off")
    assert len(lines("%%memwatch\n%memwatch on")) == 1
    assert len(lines("pass")) == 1
    lines("%memwatch off")
    assert lines("%%memwatch\n%memwatch off") == []
    assert lines("pass") == []


def test_cell_magic_in_a_silent_cell_leaves_watching_off(ip, lines):
    lines("%memwatch off")
    ip.run_cell("%%memwatch\nran = True", silent=True)
    assert ip.user_ns["ran"]
    assert lines("pass") == []
    assert _core.sampler()["open_windows"] == 0


@pytest.mark.parametrize("magic", ["%%memwatch", "%%memwatch_quiet"])
def test_body_runs_as_a_cell_does(ip, show, magic):
    code = f"{magic}\nimport math\ndef root(x): return math.sqrt(x)\n%pwd\nroot(y)"
    ip.user_ns["y"] = 9
    assert "3.0" in show(code)
    assert ip.user_ns["_"] == 3.0
    assert ip.user_ns["root"](4) == 2
    assert "3.0" not in show(f"{magic}\nroot(y);  # silent")
    assert "äö" in show(f"{magic}\n'äö'; 'äö'")
    assert "äö" not in show(f"{magic}\n'äö';")
    text = show(f"{magic}\nx = 1\nroot(-1)")
    assert "ValueError" in text
    assert "----> 2 root(-1)" in text or "2\x1b" in text
    result = ip.run_cell(f"{magic}\n1 +", store_history=True)
    assert isinstance(result.error_in_exec, SyntaxError)
    assert result.error_in_exec.text.strip() == "1 +"
    assert show(f"{magic}\n# nothing") == ""


def test_repeat_gives_median_and_range(ip, show):
    ip.user_ns["runs"] = []
    show("%memwatch off")
    before = len(memwatch.history)
    text = show("%%memwatch -r 5\nruns.append(pages(8 if len(runs) == 2 else 4))")
    assert len(ip.user_ns["runs"]) == 5
    head, used, peaked, taken = text.splitlines()
    assert head == "5 runs"
    middle, low, high = map(float, re.findall(r"-?[\d.]+(?= MiB)", used))
    assert abs(low - 4) < 0.5
    assert abs(middle - 4) < 0.5
    assert abs(high - 8) < 0.5
    assert peaked.startswith("peaked ")
    assert re.fullmatch(r"time +[\d.]+ m?s  \([\d.]+ m?s to [\d.]+ m?s\)", taken)
    labels = [report.label for report in memwatch.history[before:]]
    assert labels == [f"In [2] run {run} of 5" for run in range(1, 6)]


def test_error_stops_the_repeating(ip, show):
    ip.user_ns["runs"] = []
    code = "%%memwatch --repeat 5\nruns.append(1)\nif len(runs) == 2: 1/0"
    result = ip.run_cell(code, store_history=True)
    assert isinstance(result.error_in_exec, ZeroDivisionError)
    assert ip.user_ns["runs"] == [1, 1]
    assert [each.status for each in memwatch.history[-3:]] == ["ok", "error", "error"]
    assert _core.sampler()["open_windows"] == 0


def test_unloading_takes_cells_and_tab_away(ip, show):
    show("%unload_ext memwatch")
    assert "memwatch" not in ip.magics_manager.magics["cell"]
    assert "memwatch_quiet" not in ip.magics_manager.magics["cell"]
    assert ip.complete(None, "%memwatch to", 12)[1] != ["top"]


# ---- Tab ----


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("%memwatch to", ["top"]),
        ("%memwatch s", ["status", "save", "style"]),
        ("%memwatch style ", ["classic", "cpu"]),
        ("%memwatch style cl", ["classic"]),
        ("%memwatch top --", ["--help"]),
        ("%memwatch --h", ["--help"]),
        ("%%memwatch --r", ["--repeat"]),
        ("memwatch hist", ["history"]),
    ],
)
def test_tab(ip, typed, offered):
    assert sorted(ip.complete(None, typed, len(typed))[1]) == sorted(offered)


def test_tab_offers_all_sub_commands(ip):
    offered = ip.complete(None, "%memwatch ", 10)[1]
    assert set(offered) >= {
        "on", "off", "status", "last", "top", "history", "save", "style"
    }  # fmt: skip


def test_tab_offers_files(ip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / ".hidden.csv").touch()
    for name in "kept.csv", "kept.json", "kept.txt", "folder/other.csv":
        (tmp_path / name).touch()

    def offered(typed):
        return sorted(ip.complete(None, typed, len(typed))[1])

    assert offered("%memwatch save ") == ["folder/", "kept.csv", "kept.json"]
    assert offered("%memwatch save folder/o") == ["folder/other.csv"]
    assert offered(f"%memwatch save {tmp_path}/k") == [
        f"{tmp_path}/kept.csv", f"{tmp_path}/kept.json"
    ]  # fmt: skip
    assert complete("%memwatch save nowhere/", "nowhere/") == []


def test_completion_of_the_end_of_a_word():
    """A shell may take but the end of a word for what is completed."""
    assert complete("%memwatch --help", "help") == ["help"]
    assert complete("%memwatch top 5 ", "") == []
    assert complete("%memwatch nothing ", "") == []
    assert complete("", "") == []
    assert complete("%%memwatch -r ", "") == []


# ---- quiet ----


def config(ip, **traits):
    magics = ip.magics_manager.registry["MemWatch"]
    for name, value in traits.items():
        setattr(magics, name, value)


@pytest.mark.parametrize(
    ("traits", "code", "told"),
    [
        ({}, "pass", True),
        ({"min_used_mib": 8}, "pass", False),
        ({"min_used_mib": 8}, "kept = pages(16)", True),
        ({"min_used_mib": 8}, "x = pages(16); del x", False),
        ({"min_peak_mib": 8}, "x = pages(16); del x", True),
        ({"min_peak_mib": 8}, "kept = pages(16)", False),
        ({"min_used_mib": 8, "min_peak_mib": 8}, "kept = pages(16)", True),
        ({"min_used_mib": 8, "min_peak_mib": 8}, "x = pages(16); del x", True),
        ({"min_used_mib": 8, "min_peak_mib": 8}, "pass", False),
        ({"min_seconds": 3600}, "kept = pages(16)", False),
        ({"min_seconds": 0}, "pass", True),
        ({"min_seconds": 3600, "min_used_mib": 8}, "kept = pages(16)", True),
    ],
)
def test_cheap_cells_have_no_line_but_a_report(ip, lines, traits, code, told):
    if "min_peak_mib" in traits and not _core.accuracy()["hwm_resets"]:
        pytest.skip("no high-water mark to reset")
    config(ip, **traits)
    before = len(memwatch.history)
    assert len(lines(code)) == told
    assert len(memwatch.history) == before + 1


@pytest.mark.parametrize(
    "name", ["min_used_mib", "min_peak_mib", "min_seconds", "max_timelines_mib"]
)
@pytest.mark.parametrize("value", ["nan", "-1", "inf"])
def test_impossible_bounds_are_refused(ip, name, value):
    told = f"MemWatch.{name} is a number of 0 or more, not {float(value)}"
    with pytest.raises(TraitError, match=re.escape(told)):
        config(ip, **{name: float(value)})


def test_max_timelines_mib(ip, lines):
    config(ip, max_timelines_mib=0)
    lines("pass")
    assert memwatch.history[-1].timeline is None
    config(ip, max_timelines_mib=40)
    lines("pass")
    assert memwatch.history[-1].timeline is not None
    assert memwatch.history.max_timelines_bytes == 40 * MIB


def test_quiet_cell_magic(ip, lines):
    before = len(memwatch.history)
    assert lines("%%memwatch_quiet\nkept = pages(16)") == []
    assert len(memwatch.history) == before + 1
    assert abs(memwatch.history[-1].used_bytes / MIB - 16) < 1
    assert len(lines("pass")) == 1
    lines("%memwatch off")
    assert lines("%%memwatch_quiet\nran = True") == []
    assert ip.user_ns["ran"]
    assert len(memwatch.history) == before + 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_encoding_that_lacks_characters(ip, monkeypatch, encoding):
    """A "?" stands for each; nothing raises, in IPython or at the command line."""
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
