"""Child processes without descriptors or libproc2, and in a kernel."""

from __future__ import annotations

import re
import sys

import pytest

import memwatch
from support import (
    Kernel,
    check_python,
)

pytest.importorskip("memwatch._procps", reason="built without libproc2")


def test_no_descriptors_is_one_warning_and_no_figures():
    check_python("""
import resource, warnings
import memwatch
from memwatch.measure import children

children.watch_children(True)
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
with memwatch.watch():
    pass
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(2):
        with memwatch.watch() as w:
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, limit[1]))
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        assert w.report.rss_end_bytes > 0
        assert w.report.children_count is None, w.report
assert len(told) == 1, told
assert "cannot measure child processes: libproc2 cannot read" in str(told[0].message)
with memwatch.watch() as w:
    pass
assert w.report.children_count == 0
""")


def test_one_thread_and_none_before():
    check_python("""
import os
import memwatch
from memwatch.measure import children

def threads():
    return len(os.listdir("/proc/self/task"))

with memwatch.watch():
    pass
assert threads() == 2
children.watch_children(True)
for on in (True, False) * 3:
    children.watch_children(on)
    with memwatch.watch() as w:
        assert threads() == 3
    assert (w.report.children_count is None) == (not on)
""")


def test_in_a_kernel():
    kernel = Kernel(
        "--InteractiveShellApp.extensions=memwatch", "--MemWatch.children=True"
    )
    try:
        total = r"total RAM usage \d+\.\d\d MiB"
        assert re.search(rf"{total}$", kernel.run("import subprocess").strip())
        text = kernel.run("p = subprocess.Popen(['cat'], stdin=subprocess.PIPE)")
        assert re.search(
            rf"{total} \(\+1 child, peak .*, now \S+ MiB PSS\)$", text.strip()
        )
        text = kernel.run("q = subprocess.Popen(['cat'], stdin=subprocess.PIPE)")
        assert re.search(r" \(\+2 children, peak .*, now \S+ MiB PSS\)$", text.strip())
        kernel.run("%config MemWatch.children = False")
        assert re.search(rf"{total}$", kernel.run("pass").strip())
        kernel.run("for each in (p, q): each.communicate(timeout=60)")
    finally:
        kernel.close()


def test_without_libproc2_is_one_clear_line(shell, capsys, caplog, monkeypatch):
    shell.run_line_magic("load_ext", "memwatch")
    monkeypatch.setitem(sys.modules, "memwatch._procps", None)
    monkeypatch.delattr(memwatch, "_procps", raising=False)
    shell.run_cell("%config MemWatch.children = True")
    captured = capsys.readouterr()
    told = captured.out + captured.err + caplog.text
    wanted = (
        "children: memwatch was built without libproc2: apt-get install libproc2-dev"
    )
    assert wanted in told
    assert "Traceback" not in told


def test_children_of_others_were_measured_before():
    """Windows on other processes start the thread, but count no starts of ours."""
    check_python("""
import subprocess, memwatch
from memwatch.measure import children
children.start()
children.watch_children(True)
with memwatch.watch() as w:
    for _ in range(40):
        subprocess.run(["true"])
assert 1 <= w.report.children_missed <= 40, w.report.children_missed
""")
