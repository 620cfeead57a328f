"""Real children, and what the tree that they make with us holds."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

import memwatch
from memwatch.measure import children
from support import (
    BECOME_NOBODY,
    HELPERS,
    MIB,
    check_python,
    hold,
    pages,
    readable_copy,
)

pytest.importorskip("memwatch._procps", reason="built without libproc2")


FIELDS = [
    "children_count",
    "children_pss_bytes",
    "children_rss_bytes",
    "children_count_peak",
    "children_rss_peak_bytes",
    "children_pss_peak_bytes",
    "tree_pss_peak_bytes",
    "children_missed",
    "own_pss_bytes",
]


pytestmark = pytest.mark.usefixtures("watched")


@pytest.fixture
def watched():
    children.watch_children(True)
    yield
    children.watch_children(False)


def measure():
    with memwatch.watch() as w:
        pass
    return w.report


def tree_of(report):
    return report.own_pss_bytes + report.children_pss_bytes


def pss_of(pid):
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss: +(\d+) kB$", text, re.M)[1]) * 1024


@contextmanager
def workers(method, count, mib=0):
    """That many processes that hold so much each; their pipes."""
    context = multiprocessing.get_context(method)
    pipes, processes = [], []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=hold, args=(theirs, mib))
            process.start()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            assert pipe.recv() == "ready"
        yield pipes
    finally:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join(60)
        if method == "spawn":
            resource_tracker._resource_tracker._stop()


@contextmanager
def cat(*path):
    """A child that is there: cat, which has echoed a byte."""
    command = [*(path or ["cat"])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as child:
        child.stdin.write(b"x")
        assert child.stdout.read(1) == b"x"
        yield child
        child.stdin.close()


def test_off_tells_nothing():
    children.watch_children(False)
    with cat():
        report = measure()
    assert [getattr(report, name) for name in FIELDS] == [None] * 9


def test_without_children():
    report = measure()
    figures = [getattr(report, name) for name in FIELDS]
    assert figures == [0, 0, 0, 0, 0, 0, None, 0, None]


def test_four_spawned_workers_with_200_mib_each():
    with workers("spawn", 4) as pipes:
        before = measure()
        with memwatch.watch() as w:
            for pipe in pipes:
                pipe.send(200)
            for pipe in pipes:
                assert pipe.recv() == "ready"
    grown = tree_of(w.report) - tree_of(before)
    # The fifth is multiprocessing's resource tracker.
    assert w.report.children_count == before.children_count == 5
    assert grown == pytest.approx(800 * MIB, rel=0.05)
    assert w.report.children_pss_bytes == pytest.approx(
        before.children_pss_bytes + 800 * MIB, rel=0.05
    )
    assert w.report.children_rss_peak_bytes >= w.report.children_rss_bytes > 800 * MIB


def test_four_forked_workers_that_share_200_mib():
    # What four workers cost that share nothing large: some 2 MiB each.
    with workers("fork", 4):
        before = measure()
    shared = pages(200)
    with workers("fork", 4):
        report = measure()
    del shared
    assert report.children_count == before.children_count == 4
    assert tree_of(report) - tree_of(before) == pytest.approx(200 * MIB, rel=0.05)
    # Each of the five has a fifth of it; who adds up RSS counts it whole for each.
    children_part = report.children_pss_bytes - before.children_pss_bytes
    own_part = report.own_pss_bytes - before.own_pss_bytes
    assert children_part == pytest.approx(160 * MIB, rel=0.05)
    assert own_part == pytest.approx(40 * MIB, rel=0.05)
    assert report.children_rss_bytes > 800 * MIB


def test_peak_agrees_with_the_kernel():
    with workers("fork", 2, mib=50), cat() as child:
        report = measure()
        pids = [each.pid for each in multiprocessing.active_children()]
        truth = sum(pss_of(pid) for pid in [*pids, child.pid])
    assert report.children_count == 3
    assert report.children_pss_bytes == pytest.approx(truth, rel=0.02)


def test_peak_of_children_that_ended():
    """It is there for as long as it takes until a sample has seen it."""
    from memwatch import _procps

    with memwatch.watch() as w, workers("fork", 1, mib=100):
        # A window that closes has had a sample taken, for all that are open.
        _procps.ChildrenWindow().close()
    assert w.report.children_count == 0
    assert w.report.children_pss_bytes == 0
    assert w.report.children_rss_bytes == 0
    assert w.report.children_rss_peak_bytes > 100 * MIB
    assert w.report.children_count_peak == 1
    # The window in between has read PSS at the highest RSS.
    peak = w.report.children_pss_peak_bytes
    assert 100 * MIB < peak <= w.report.children_rss_peak_bytes
    assert w.report.tree_pss_peak_bytes > peak


def test_peak_counts_shared_pages_once():
    from memwatch import _procps

    def measure_workers():
        with memwatch.watch() as w, workers("fork", 4):
            _procps.ChildrenWindow().close()
        return w.report

    before = measure_workers()
    shared = pages(200)
    report = measure_workers()
    del shared
    rss = report.children_rss_peak_bytes - before.children_rss_peak_bytes
    tree = report.tree_pss_peak_bytes - before.tree_pss_peak_bytes
    children_part = report.children_pss_peak_bytes - before.children_pss_peak_bytes
    assert rss == pytest.approx(800 * MIB, rel=0.05)
    assert tree == pytest.approx(200 * MIB, rel=0.05)
    # Each of the five has a fifth of it.
    assert children_part == pytest.approx(160 * MIB, rel=0.05)


def test_children_of_other_processes():
    """Without those processes themselves, though one descends from the other."""
    from memwatch import _procps

    _procps.start_children()
    with cat("sh", "-c", "cat") as shell:
        (inner,) = map(
            int,
            Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split(),
        )
        for pids, count in ([shell.pid], 1), ([shell.pid, inner], 0), ([inner], 0):
            figures = children.open_window(pids).close()
            assert figures["children_count"] == count
            assert figures["children_missed"] is None
    with pytest.raises(TypeError):
        _procps.ChildrenWindow(3)
    with pytest.raises(TypeError):
        _procps.ChildrenWindow(["x"])


def test_grandchildren_count_and_orphans_do_not():
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['cat'], stdin=0)\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline() if sys.argv[1] == 'stay' else None\n"
    )
    for what, count in ("stay", 2), ("go", 0):
        with subprocess.Popen(
            [sys.executable, "-c", code, what],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child:
            assert child.stdout.readline() == b"ready\n"
            if what == "go":
                child.wait(60)
            assert measure().children_count == count
            child.stdin.close()


def test_zombie_is_not_a_child():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        report = measure()
        assert report.children_count == 0
        assert report.children_pss_bytes == 0
    finally:
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.run(["true"], check=True),
        lambda: subprocess.run(["true"], check=True, close_fds=False),
        lambda: subprocess.run(["true"], check=True, preexec_fn=int),
        lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
        lambda: os.system("true"),
        lambda: os.waitpid(os.fork() or os._exit(0), 0),
    ],
    ids=["vfork", "posix_spawn", "preexec", "spawn", "system", "fork"],
)
def test_children_that_were_never_seen_are_missed(start):
    """Each is counted once, however it is started; those that a sample saw are not."""
    with memwatch.watch() as w:
        for _ in range(40):
            start()
    assert 1 <= w.report.children_missed <= 40
    assert w.report.children_count == 0


def test_known_processes_are_not_missed():
    with memwatch.watch() as w, cat(), workers("fork", 2):
        inner = measure()
    assert inner.children_count == 3
    assert inner.children_missed == 0
    assert w.report.children_missed == 0
    # Not even where they were started before.
    with cat():
        measure()
        assert measure().children_missed == 0


def test_missed_is_unknown_if_more_were_seen_than_announced():
    with memwatch.watch() as w, workers("spawn", 1):
        measure()
    assert w.report.children_missed is None


def test_setuid_child_is_counted_and_its_pss_is_absent(open_folder):
    """Its RSS everybody may read, its PSS its owner alone."""
    if os.getuid() != 0:
        pytest.skip("only root can make a setuid program")
    setuid_cat = open_folder / "cat"
    shutil.copyfile(shutil.which("cat"), setuid_cat)
    setuid_cat.chmod(0o4755)
    if os.statvfs(open_folder).f_flag & os.ST_NOSUID:
        pytest.skip("setuid programs are not to be had here")
    folder = readable_copy(open_folder)
    check_python(
        BECOME_NOBODY
        + "import subprocess, memwatch\nfrom memwatch.display import lines\n"
        + "from memwatch.measure import children\n"
        + "forget_memwatch()\nbecome_nobody(1)\n"
        + f"sys.path.insert(0, {str(folder)!r})\n"
        + f"""
import memwatch
from memwatch.measure import children; from memwatch.display import lines

children.watch_children(True)
with subprocess.Popen(
    [{str(setuid_cat)!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
) as child:
    child.stdin.write(b"x")
    assert child.stdout.read(1) == b"x"
    with memwatch.watch() as w:
        pass
    child.stdin.close()
report = w.report
assert report.children_count == 1, report
assert report.children_rss_bytes > 0, report
assert report.children_pss_bytes is None, report
assert report.own_pss_bytes > 0, report
text = lines.children(report)
assert text.startswith("1 child, up to ") and " RSS, now " in text, text
assert text.endswith(" RSS"), text
"""
    )


def test_forked_child_has_children_of_its_own():
    """And the window of its parent is not its."""
    with memwatch.watch() as w, cat():
        pid = os.fork()
        if pid == 0:
            try:
                assert w.__exit__(None, None, None) is None
                assert w.report is None
                assert measure().children_count == 0
                with cat():
                    assert measure().children_count == 1
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert measure().children_count == 1
    assert w.report.children_count == 0


def test_joblib():
    pytest.importorskip("joblib")
    check_python(
        """
import joblib
import memwatch
from memwatch.measure import children
from support import MIB, pages

children.watch_children(True)
held = []

def work(_):
    held.append(pages(50))
    return len(held)

with memwatch.watch() as w:
    joblib.Parallel(n_jobs=2)(joblib.delayed(work)(i) for i in range(4))
# Loky's workers stay, and so does its tracker.
assert w.report.children_count >= 2, w.report
assert w.report.children_pss_bytes > 50 * MIB, w.report
""",
        env={**os.environ, "PYTHONPATH": str(HELPERS)},
    )


def test_children_that_come_and_go_meanwhile():
    """Whoever ends while it is read is left out; who is there never has 0."""
    with memwatch.watch() as outer, cat():
        for _ in range(50):
            child = subprocess.Popen(["true"])
            report = measure()
            child.wait(60)
            assert report.children_count in (1, 2)
            # None where it ended between its RSS and its PSS.
            assert report.children_pss_bytes is None or report.children_pss_bytes > 0
    assert outer.report.children_count == 0
