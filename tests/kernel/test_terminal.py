"""Terminal IPython in a pseudo-terminal; embedded shells; scripts."""

import os
import re
import subprocess
import sys

import pexpect
import pytest

from support import CLASSIC, lines_in

PROMPT = re.compile(r"In \[(\d+)\]: $")
CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[()][A-Z0-9]|\r")


class Terminal:
    def __init__(self, *arguments, prompt="In \\[\\d+\\]: "):
        self.prompt = prompt
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "IPython", "--simple-prompt", "--no-banner", *arguments],
            encoding="utf-8",
            timeout=60,
            dimensions=(50, 200),
            env={**os.environ, "TERM": "dumb"},
        )
        self.child.expect(self.prompt)

    def type(self, text):
        """Type a line; the output up to the next prompt."""
        self.child.sendline(text)
        return self.read()

    def read(self):
        self.child.expect(self.prompt)
        return CODES.sub("", self.child.before)


@pytest.fixture
def terminal():
    started = []

    def start(*arguments):
        started.append(Terminal(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.child.close(force=True)


def test_session(terminal):
    ipython = terminal()
    (line,) = lines_in(ipython.type("%load_ext memwatch"))
    assert line.n == 1
    (line,) = lines_in(ipython.type("x = b'x' * (400 * 2**20); del x"))
    assert line.n == 2
    assert abs(line.peaked - 400) <= 4
    assert lines_in(ipython.type("")) == []
    text = ipython.type("1/0")
    assert "ZeroDivisionError" in text
    (line,) = lines_in(text)
    assert line.n == 3
    text = ipython.type("%memwatch status")
    assert "watching every cell" in text
    assert "[cancelled]" not in text


def test_plot_in_blocks(terminal):
    ipython = terminal("--ext=memwatch")
    ipython.type("x = b'x' * (400 * 2**20); del x")
    for _ in range(3):
        ipython.type("pass")
    text = ipython.type("%memwatch plot")
    head, *rows = [
        row for row in text.splitlines() if "┤" in row or "RSS in MiB" in row
    ]
    assert head.startswith("4 cells, RSS in MiB, peak ")
    assert len(rows) == 8
    top = rows[0].partition("┤")[2]
    bottom = rows[-1].partition("┤")[2]
    assert len(bottom.split()) == 4  # a bar for each cell
    # Only the first bar reaches the top.
    assert "█" in top
    assert len(top.rstrip()) <= len(bottom.split()[0])
    assert re.search(r"^ +1 +2 +3 +4$", text, re.M)
    assert lines_in(text) == []


def test_history_plot_shows_blocks(terminal):
    pytest.importorskip("matplotlib")
    ipython = terminal("--ext=memwatch")
    ipython.type("x = b'x' * (64 * 2**20)")
    text = ipython.type("import memwatch; memwatch.history.plot()")
    assert "1 cell, RSS in MiB, peak " in text
    assert text.count("┤") == 8


def test_sparkline_in_a_terminal_is_blocks(terminal):
    ipython = terminal("--ext=memwatch", "--MemWatch.display=sparkline")
    text = ipython.type("x = b'x' * (64 * 2**20); del x")
    assert len(lines_in(text)) == 1
    blocks = text[text.index("total RAM usage") :].splitlines()[1]
    assert re.fullmatch(
        r"[▁▂▃▄▅▆▇█]{40} peak \d+\.\d\d MiB; lowest .* s", blocks.strip()
    )


def test_interrupt(terminal):
    ipython = terminal("--ext=memwatch")
    # One long sleep() would miss a signal that comes just before it begins.
    forever = "[time.sleep(0.01) for _ in iter(int, 1)]"
    ipython.child.sendline(f"import time; print('running'); {forever}")
    ipython.child.expect("running\r\n")
    ipython.child.sendintr()
    text = ipython.read()
    assert "KeyboardInterrupt" in text
    assert len(lines_in(text)) == 1
    assert "'interrupted'" in ipython.type(
        "import memwatch; memwatch.history[-1].status"
    )


def test_embedded_shell(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import IPython\n"
        "def work():\n"
        "    inside = 'a local'\n"
        "    IPython.embed(simple_prompt=True, banner1='')\n"
        "work()\n"
        "print('the program continues')\n"
    )
    child = pexpect.spawn(
        sys.executable, [str(program)], encoding="utf-8", timeout=60,
        dimensions=(50, 200),
    )  # fmt: skip
    try:
        child.expect("In \\[\\d+\\]: ")
        for typed in "%load_ext memwatch", "len(inside)":
            child.sendline(typed)
            child.expect(CLASSIC.pattern)
            child.expect("In \\[\\d+\\]: ")
        child.sendline("exit")
        child.expect("the program continues")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)


# IPython 8.0 writes its window's title to stdout, before all else.
IPYTHON = [
    sys.executable, "-m", "IPython", "--no-banner", "--no-term-title", "--ext=memwatch",
]  # fmt: skip


@pytest.mark.parametrize("ending", [".ipy", ".py"])
def test_script_is_measured_by_the_run_magic(tmp_path, ending):
    """As the README says."""
    script = tmp_path / f"script{ending}"
    script.write_text("x = b'x' * (32 << 20)\n")
    done = subprocess.run(
        [*IPYTHON, "-c", f"%run {script}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    (line,) = lines_in(done.stdout)
    assert abs(line.used - 32) < 2


@pytest.mark.parametrize("code", ["pass", "print('y' * 9000)"])
def test_full_stdout_is_one_warning(tmp_path, code):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*IPYTHON, "-c", code], stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=120, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
    assert "cannot print the line of In [1] to stdout: OSError" in done.stderr
    assert "unmeasured" not in done.stderr


def test_unloading_in_an_embedded_shell_keeps_the_outer_one(terminal):
    ipython = terminal("--ext=memwatch")
    ipython.type("from memwatch.blackbox import recording; box = recording.box_path()")
    ipython.child.sendline("from IPython import embed; embed(banner1='')")
    ipython.read()
    ipython.type("%load_ext memwatch")
    assert len(lines_in(ipython.type("y = 1"))) == 1
    ipython.type("%unload_ext memwatch")
    assert lines_in(ipython.type("y = 2")) == []
    ipython.child.sendline("exit")
    ipython.read()
    text = ipython.type("print(box.exists(), recording.box_path() == box)")
    assert "True True" in text
    assert len(lines_in(text)) == 1
