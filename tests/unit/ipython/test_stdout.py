"""Printing: the line starts on a line of its own, and stdout is restored."""

import io
import os
import sys
import threading
import warnings

import pytest

import memwatch
from memwatch import warn
from shells import run_cell
from support import CLASSIC, lines_in

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
def test_line_starts_on_a_new_line(ip, capsys, code, shown):
    ip.run_cell(code, store_history=True)
    text = capsys.readouterr().out
    assert CLASSIC.sub("LINE", text) in (f"{shown}LINE\n", f"{shown}LINE\n\n")
    assert len(lines_in(text)) == 1


def test_stdout_is_restored_after_the_cell(ip, capsys):
    before = vars(sys.stdout).get("write")
    run_cell(ip, "print('x', end='')", capsys)
    run_cell(ip, "1/0", capsys)
    now = vars(sys.stdout).get("write")
    # IPython 9 leaves the stream's own method as an attribute.
    assert now is before or now.__self__ is sys.stdout
    run_cell(ip, "print('x', end='')\n%unload_ext memwatch", capsys)
    now = vars(sys.stdout).get("write")
    assert now is before or now.__self__ is sys.stdout


def test_cells_of_threads_do_not_wrap_stdout_repeatedly(ip, capsys):

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
def test_line_that_cannot_be_printed_is_one_warning(ip, monkeypatch, error):
    class Full:
        def write(self, text):
            raise error

        def flush(self):
            pass

    warn._warned.discard("line")
    before = len(memwatch.history)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        monkeypatch.setattr(sys, "stdout", Full())
        for _ in range(3):
            assert ip.run_cell("x = 7", store_history=True).success
        monkeypatch.undo()
    (message,) = [str(each.message) for each in caught]
    assert "cannot print the line of In [1] to stdout" in message
    assert "cells are still measured" in message
    assert "unmeasured" not in message
    assert len(memwatch.history) == before + 3


def test_closed_stdout_does_not_break_a_cell(ip, monkeypatch):
    warn._warned.discard("line")
    with warnings.catch_warnings(record=True) as caught, open(os.devnull, "w") as gone:
        warnings.simplefilter("always")
        gone.close()
        monkeypatch.setattr(sys, "stdout", gone)
        result = ip.run_cell("x = 7")
    assert result.success
    assert [each.category for each in caught] == [memwatch.MemwatchWarning]
