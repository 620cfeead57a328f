"""What `memwatch run` shows: the output of kernels, a summary, one line at Ctrl-C."""

from __future__ import annotations

import asyncio
import fcntl
import io
import json
import os
import re
import signal
import sys
import termios

import click
import pexpect
import pytest
from rich.console import Console

from command import MEMWATCH, run, start, write
from memwatch.cli import main
from memwatch.run.kernels import KernelOutput
from memwatch.run.output.terminal import over_budget, tables, written
from runs import cell, not_run
from runs import run as run_of
from support import MIB, UNTIL_INTERRUPTED, wait_for

STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

WRITE = """import os, sys
def write(text, stream=sys.stderr):
    number = 1 if stream is sys.stdout else 2
    # ipykernel copies what is written to descriptors 1 and 2 to these, but not in tests
    # with pytest.
    number = getattr(stream, '_original_stdstream_copy', number)
    os.write(number, text.encode())
"""

WRITING = [f"{WRITE}write('to' 'rn')", "write('ap' 'art', sys.stdout)"]
"""Cells that write `torn` to stderr and `apart` to stdout."""


def in_terminal(folder, *arguments, columns=100):
    """The command in a pseudo-terminal."""
    env = os.environ | {"TERM": "xterm"}
    env.pop("COLUMNS", None)
    return pexpect.spawn(
        MEMWATCH, ["run", *arguments], cwd=str(folder), encoding="utf-8", timeout=120,
        dimensions=(24, columns), env=env,
    )  # fmt: skip


def all_of(shown, code=0):
    """All that it showed, as text; it exits with `code`."""
    text = shown.read()
    shown.close()
    assert shown.exitstatus == code, text
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text).replace("\r", "")


def install_kernel(folder, monkeypatch, code):
    """A kernel `mine` that runs `code`."""
    place = folder / "jupyter/kernels/mine"
    place.mkdir(parents=True)
    argv = [sys.executable, "-c", code, "{connection_file}"]
    spec = {"argv": argv, "display_name": "mine", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(folder / "jupyter"))


# ---- what kernels write ----


def test_kernels_do_not_write_to_the_terminal(tmp_path):
    write(
        tmp_path, "a.ipynb", f"{WRITE}write('to' 'rn')", "write('ap' 'art', sys.stdout)"
    )
    text = all_of(in_terminal(tmp_path, "a.ipynb"))
    assert "a.ipynb: ok: 2 cells" in text
    assert "torn" not in text
    assert "apart" not in text


def test_kernels_do_not_write_to_a_log(tmp_path):
    write(
        tmp_path, "a.ipynb", f"{WRITE}write('to' 'rn')", "write('ap' 'art', sys.stdout)"
    )
    done = run("a.ipynb", "--json", "-", cwd=tmp_path)
    # Nothing else is on stdout.
    assert json.loads(done.stdout)["notebooks"][0]["state"] == "ok"
    assert [line.partition(" in ")[0] for line in done.stderr.splitlines()] == [
        "a.ipynb: ok: 2 cells"
    ]


@pytest.mark.parametrize("place", ["terminal", "log"])
def test_verbose_shows_all_of_it_when_the_notebook_ends(tmp_path, place):
    lines = "".join(f"\\x1b[31mline {i}\\x1b[0m\\n" for i in range(30))
    write(tmp_path, "a.ipynb", f"{WRITE}write('{lines}')")
    write(tmp_path, "b.ipynb", "1")
    given = ["a.ipynb", "b.ipynb", "--no-output", "-v"]
    if place == "terminal":
        text = all_of(in_terminal(tmp_path, *given))
    else:
        text = run(*given, cwd=tmp_path).stderr
    places = [text.index(f"a.ipynb: kernel: line {i}\n") for i in range(30)]
    assert places == sorted(places)
    assert text.index("a.ipynb: ok: ") < places[0]
    assert places[-1] < text.index("b.ipynb: ok: ")


def test_kernel_that_dies_shows_its_last_lines(tmp_path):
    last = "".join(f"last {i}\\n" for i in range(12))
    write(tmp_path, "a.ipynb", f"{WRITE}write('{last}')\nos.kill(os.getpid(), 9)")
    told = run("a.ipynb", cwd=tmp_path, code=137).stderr.splitlines()
    assert told[0].startswith("a.ipynb: died: the kernel was killed by signal 9")
    assert re.fullmatch(
        r"a\.ipynb: kernel: \(\d+ earlier lines; -v shows them\)", told[1]
    )
    assert told[2:] == [f"a.ipynb: kernel: last {i}" for i in range(2, 12)]


def test_kernel_that_does_not_start_shows_why(tmp_path, monkeypatch):
    install_kernel(tmp_path, monkeypatch, "import nonesuch")
    write(tmp_path, "a.ipynb", "1")
    told = run("a.ipynb", "--kernel", "mine", cwd=tmp_path, code=2).stderr
    assert told.startswith("a.ipynb: no kernel: the kernel does not start: ")
    assert "a.ipynb: kernel: ModuleNotFoundError: No module named 'nonesuch'" in told


def test_cell_that_raises_shows_nothing_of_the_kernel(tmp_path):
    write(tmp_path, "a.ipynb", f"{WRITE}write('noise')\n1/0")
    assert "noise" not in run("a.ipynb", cwd=tmp_path, code=1).stderr


def test_output_of_a_kernel_is_bounded():
    async def write_much():
        output = KernelOutput()
        line = b"x" * 1023 + b"\n"
        for _ in range(5):
            for _ in range(MIB // len(line) + 1):
                os.write(output.fd, line)
            output._bound()
            assert os.fstat(output.fd).st_size < MIB
        os.write(output.fd, b"the \xff end\n")
        return output.close()

    text = asyncio.run(write_much())
    assert text.startswith("(earlier lines were not kept)\n")
    assert text.endswith("x\nthe \N{REPLACEMENT CHARACTER} end\n")
    assert len(text) < MIB


def test_output_of_a_kernel_is_kept_without_a_file_in_memory(monkeypatch):
    def refuse(*_):
        raise OSError

    async def write_little():
        monkeypatch.setattr(os, "memfd_create", refuse)
        output = KernelOutput()
        os.write(output.fd, b"one\n")
        return output.close()

    assert asyncio.run(write_little()) == "one\n"


# ---- signals ----


def lines_of_interrupt(told):
    assert "Traceback" not in told
    return [each for each in told.splitlines() if each.startswith("interrupted")]


@pytest.mark.parametrize("stop", STOPS)
def test_signal_before_the_first_notebook(tmp_path, stop):
    """While Python imports: nothing is run, nothing is written."""
    folder = tmp_path / "slow"
    folder.mkdir()
    mark = tmp_path / "mark"
    slow = f"open({str(mark)!r}, 'w').close()\n{UNTIL_INTERRUPTED}"
    (folder / "nbclient.py").write_text(slow)
    write(tmp_path, "a.ipynb", "1")
    env = os.environ | {"PYTHONPATH": str(folder)}
    started = start("a.ipynb", "--json", "r.json", cwd=tmp_path, env=env)
    wait_for(mark.exists)
    started.send_signal(stop)
    _, told = started.communicate(timeout=60)
    assert (started.returncode, told) == (130, "interrupted: no notebook was run\n")
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("stop", STOPS)
def test_signal_prints_one_line(tmp_path, stop):
    cell = "open('mark', 'w').close()\n" + UNTIL_INTERRUPTED
    write(tmp_path, "a.ipynb", cell)
    write(tmp_path, "b.ipynb", "1")
    started = start("a.ipynb", "b.ipynb", "--output-dir", "out", cwd=tmp_path)
    wait_for((tmp_path / "mark").exists)
    started.send_signal(stop)
    started.send_signal(stop)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130
    [line] = lines_of_interrupt(told)
    assert line == "interrupted: the running kernels are shut down"
    assert told.endswith("wrote out/a.ipynb\n")


def test_ctrl_c_in_a_terminal(tmp_path):
    write(tmp_path, "a.ipynb", "x = 1", UNTIL_INTERRUPTED)
    shown = in_terminal(tmp_path, "a.ipynb", "-o", "out.ipynb")
    shown.expect("a.ipynb +2/2 .*while True")
    shown.sendintr()
    text = all_of(shown, 130)
    assert text.count("interrupted: the running kernels are shut down") == 1
    assert "Traceback" not in text
    assert "a.ipynb: interrupted: interrupted in code cell 2 of 2" in text
    assert "1 notebook: 1 interrupted" in text
    assert "\nwrote out.ipynb\n" in text


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_signal_while_reports_are_written(tmp_path, monkeypatch, unbuffered):
    """It is ignored: the report is complete."""
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    write(tmp_path, "a.ipynb", f"x = 1  # {'long ' * 20_000}")
    reading, writing = os.pipe()

    def is_written():
        # The report is larger than a pipe: its writer waits for the reader.
        return fcntl.ioctl(reading, termios.FIONREAD, b"\0" * 4) != b"\0" * 4

    started = start("a.ipynb", "--json", "-", cwd=tmp_path, stdout=writing)
    os.close(writing)
    wait_for(is_written)
    for stop in STOPS:
        started.send_signal(stop)
    with open(reading) as stream:
        assert json.load(stream)["notebooks"][0]["state"] == "ok"
    _, told = started.communicate(timeout=60)
    assert started.returncode == 0
    assert lines_of_interrupt(told) == []


# ---- the summary ----

RUNS = [
    run_of(
        cell(
            0, f"import numpy\nheld = numpy.ones(10**8)  # {'long' * 50}", end=150,
            peak=900,
        ),
        cell(1, "held *= 2", start=150, end=160, peak=161),
        notebook="nb/a.ipynb", output="out/a.ipynb",
    ),
    run_of(
        cell(0, "x = 1"), cell(1, "1/0" + " " * 300 + "#", state="error"), not_run(2),
        notebook=f"a/{'long/' * 20}b.ipynb", state="error",
    ),
    run_of(
        *[cell(i, f"y{i}", peak=51 + i) for i in range(12)], notebook="c\x1b[2J.ipynb"
    ),
]  # fmt: skip


@pytest.mark.parametrize("width", [80, 200])
def test_tables_fit_the_terminal(width):
    file = io.StringIO()
    console = Console(file=file, width=width)
    for table in tables(RUNS, [], width):
        console.print(table)
    shown = file.getvalue()
    lines = [line.rstrip() for line in shown.splitlines()]
    assert max(map(len, lines)) <= width
    assert "\x1b" not in shown
    # Failed ones first.
    assert lines[0] == "3 notebooks: 2 ok, 1 error"
    assert re.match(r"notebook +state +cells +seconds +peak MiB +kept MiB$", lines[1])
    assert re.search(r" error +2/3 +3\.00 +50\.00 +0\.00$", lines[2])
    [first] = [line for line in lines if re.match(r"nb/a\.ipynb +ok", line)]
    assert re.search(r" 2/2 +3\.00 +900\.00 +110\.00$", first)
    head = lines.index("10 dearest cells, by rise: from its start to its peak, MiB")
    assert re.match(r"notebook +cell +rise +kept +peak +source", lines[head + 1])
    assert re.search(
        r"a\.ipynb +In \[1\] +850\.00 +100\.00 +900\.00 +held = numpy\.ones",
        lines[head + 2],
    )
    assert len(lines[head + 2 :]) == 10


def test_files_that_were_written():
    runs = [run_of(notebook=f"{i}", output=f"out/{i}") for i in range(7)]
    assert written(runs, ["r.json", "r.html"]) == [
        *(f"wrote out/{i}" for i in range(5)),
        "wrote 2 more notebooks",
        "wrote r.json",
        "wrote r.html",
    ]
    assert written([run_of(output=None)], []) == []
    assert over_budget([]) == []


def test_summary_in_a_terminal(tmp_path):
    write(tmp_path, "a.ipynb", "x = b'x' * (64 << 20)", "y = 1", "z = 2")
    given = ["a.ipynb", "out.ipynb", "--csv", "r.csv", "--max-peak", "64MiB"]
    text = all_of(in_terminal(tmp_path, *given, columns=300), 3)
    end = text.partition("1 notebook: 1 ok; 1 over budget")[2]
    assert re.search(r"a\.ipynb +ok +3/3 ", end)
    assert "3 dearest cells, by rise" in end
    assert re.search(r"In \[1\] +6\d\.\d\d +6\d\.\d\d +\d+\.\d\d +x = b'x'", end)
    assert end.count("over budget: ") == 1
    assert "; 2 later cells still held more" in end
    assert end.endswith("wrote out.ipynb\nwrote r.csv\n")


def test_summary_in_a_log(tmp_path):
    write(tmp_path, "a.ipynb", "x = b'x' * (64 << 20)", "y = 1")
    given = ["a.ipynb", "out.ipynb", "--csv", "r.csv", "--max-peak", "64MiB"]
    told = run(*given, cwd=tmp_path, code=3).stderr.splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        "a.ipynb", "over budget", "wrote out.ipynb", "wrote r.csv",
    ]  # fmt: skip


def test_hostile_names_of_notebooks(tmp_path):
    name = "\x1b]0;title\x07.ipynb"
    write(tmp_path, name, "1/0")
    (tmp_path / f"bad{name}").write_text("no JSON")
    done = run(name, f"bad{name}", "--output-dir", "out", cwd=tmp_path, code=2)
    assert "\x1b" not in done.stderr
    assert done.stderr.count("]0;title .ipynb") == 3


# ---- help ----


def test_help_has_each_option_below_one_heading():
    command = main.get_command(None, "run")
    context = click.Context(command, info_name="run", help_option_names=["--help"])
    shown = command.get_help(context)
    headings = re.findall(r"^(\w+):$", shown, re.M)
    assert headings == [
        "Output", "Execution", "Parameters", "Reports", "Budgets", "Cluster", "Other",
    ]  # fmt: skip
    listed = re.findall(r"^  (?:-\w, )?(--[\w-]+)", shown, re.M)
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert listed == [*(each.opts[-1] for each in options), "--help"]
