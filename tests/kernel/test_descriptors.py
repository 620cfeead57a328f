"""Without file descriptors: one warning with the cause, and running code."""

import os

import pytest

from faults import SHELL, SPIKE, TAKE_DESCRIPTORS, WATCH, warnings_in
from shells import needs_hwm_reset
from support import HELPERS, lines_in, run_python, run_python_streams

pytestmark = needs_hwm_reset


@pytest.mark.parametrize("free", [1, 2])
def test_loading_without_descriptors(free):
    """Importing needs one, measuring three. Once they are free, cells are measured."""
    out, err = run_python_streams(
        SHELL + TAKE_DESCRIPTORS + SPIKE +
        f"take_descriptors(but={free})\n"
        "cell('%load_ext memwatch')\n"
        "cell('x = 1')\n"
        "cell('free_descriptors()')\n"
        "cell('spike(64)')\n"
        "import memwatch\n"
        "show(memwatch.history[-1])\n"
    )  # fmt: skip
    assert [line.n for line in lines_in(out)] == [4]
    assert out.splitlines()[-1] in (
        "kernel False 63 False",
        "kernel False 64 False",
    )
    box, measuring = warnings_in(err)
    assert box.startswith("cannot create the black box")
    assert "Too many open files" in box
    assert "Too many open files" in measuring
    assert measuring.startswith(
        "memwatch stopped measuring: OSError: cannot read this process"
    )


def test_descriptors_that_run_out_after_loading():
    out, err = run_python_streams(
        SHELL + TAKE_DESCRIPTORS + WATCH +
        "cell('%load_ext memwatch')\n"
        "cell('take_descriptors()')\n"
        "cell('spike(16)')\n"
        "cell('%memwatch status')\n"
        "cell('spike(16); free_descriptors()')\n"
    )  # fmt: skip
    assert err == ""
    found = lines_in(out)
    assert [line.n for line in found] == [1, 2, 3, 5]
    assert all(15 <= line.peaked <= 17 for line in (found[2], found[3]))
    assert "limit: unknown: " in out
    assert "Too many open files" in out


def test_forked_child_measures_once_it_has_descriptors():
    out, err = run_python_streams(
        TAKE_DESCRIPTORS + WATCH +
        "with memwatch.watch(): pass\n"
        "if (pid := os.fork()) == 0:\n"
        # It opens its own files; it closes the parent's, which frees three.
        "    take_descriptors()\n"
        "    for _ in range(2):\n"
        "        with memwatch.watch() as w: ran = True\n"
        "        show(w.report)\n"
        "    free_descriptors(2)\n"  # one less than needed
        "    with memwatch.watch() as w: spike(16)\n"
        "    show(w.report)\n"
        "    free_descriptors()\n"
        "    with memwatch.watch() as w: spike(16)\n"
        "    show(w.report)\n"
        "    os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
    )  # fmt: skip
    *none, last = out.splitlines()
    assert none == ["None"] * 3
    assert last in ("kernel False 15 False", "kernel False 16 False")
    (warning,) = warnings_in(err)
    assert "Too many open files" in warning


def test_descriptors_that_were_closed_and_reused(tmp_path):
    """A program that becomes a daemon closes all descriptors."""
    shown = run_python(
        "import os, memwatch\n"
        "from support import pages\n"
        "with memwatch.watch(): pass\n"
        "ours = [fd for fd in map(int, os.listdir('/proc/self/fd')) if fd > 2]\n"
        "os.closerange(3, max(ours) + 1)\n"
        f"theirs = [os.open({str(tmp_path)!r} + f'/{{n}}', os.O_RDWR | os.O_CREAT)\n"
        "          for n in range(8)]\n"
        "for fd in theirs: os.write(fd, b'theirs')\n"
        "with memwatch.watch() as w: pages(64)\n"
        "print({os.pread(fd, 10, 0) for fd in theirs},\n"
        "      w.report.peak_method, round(w.report.peaked_bytes / 2**20),\n"
        "      memwatch._core.memory()['lifetime_peak_bytes'] >= 64 * 2**20)",
        env=os.environ | {"PYTHONPATH": str(HELPERS)},
    )
    assert shown == "{b'theirs'} kernel 64 True\n"
