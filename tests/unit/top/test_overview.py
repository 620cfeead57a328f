"""All watched processes together: which are shown, and for how long."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from memwatch.blackbox.reader import mark_reported
from memwatch.top import overview as overview_module
from memwatch.top.overview import Overview
from memwatch.top.processes import Process
from messages import SECOND
from support import wait_for

RECORDS = """
import sys
from memwatch import _core
from memwatch.blackbox.reader import name_of
from memwatch.blackbox.folders import make_runtime_folder
import os
path = make_runtime_folder() / name_of(os.getpid(), "box")
_core.start_recording(path, kernel_id=sys.argv[1])
window = _core.Window("In [1]", 1, None, "x = 1")
if sys.argv[2] == "idle":
    window.close("ok", None)
print(path, flush=True)
input()
"""


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    """No other watched processes."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))


@contextmanager
def watched(kernel_id="k", state="running"):
    """A process with a black box."""
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDS, kernel_id, state],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


MINUTE = 60 * SECOND


class Clock:
    """CLOCK_MONOTONIC, which a test sets forward."""

    ahead_ns = 0

    def __call__(self):
        return time.monotonic_ns() + self.ahead_ns


def kill(process):
    process.kill()
    process.wait(60)


def test_process_that_was_silent_is_shown_again():
    with watched() as process:
        clock = Clock()
        view = Overview(clock=clock)
        (seen,) = view.refresh()
        assert seen.pid == process.pid
        # As if it had been stopped: its samples are old.
        clock.ahead_ns = 11 * MINUTE
        assert view.refresh() == view.refresh() == []
        clock.ahead_ns = 0
        # The same object, with its history.
        assert view.refresh() == [seen]


@pytest.mark.parametrize("state", ["running", "idle"])
def test_process_of_another_machine_is_shown_again(monkeypatch, state):
    monkeypatch.setattr(
        overview_module, "is_alive", lambda box: None
    )  # unknown: another machine's
    with watched(state=state):
        view = Overview()
        wait_for(lambda: [each for each in view.refresh() if each.seen_ns])
        with monkeypatch.context() as later:
            later.setattr(overview_module, "DEAD_SHOWN_NS", -1)
            assert view.refresh() == []
        assert len(view.refresh()) == 1


def test_killed_process_is_kept_for_ten_minutes():
    with watched() as process:
        clock = Clock()
        view = Overview(clock=clock)
        assert len(view.refresh()) == 1
        kill(process)
        (seen,) = view.refresh()
        assert seen.state(clock()) == "died"
        clock.ahead_ns = 9 * MINUTE
        assert view.refresh() == [seen]
        assert seen.state(clock()) == "died"
        clock.ahead_ns = 11 * MINUTE
        assert view.refresh() == []
        clock.ahead_ns = 0
        assert view.refresh() == []  # its black box still exists


def test_dismissed_process_stays_away():
    with watched() as process:
        view = Overview()
        (seen,) = view.refresh()
        assert not seen.dismiss(time.monotonic_ns())  # it is alive
        kill(process)
        assert view.refresh() == [seen]
        assert seen.dismiss(time.monotonic_ns())
        assert view.refresh() == view.refresh() == []
        # The black box is for `memwatch postmortem`, too.
        assert view.read_box(seen)["pid"] == process.pid


def test_clean_end_is_shown_for_ten_seconds():
    with watched():
        clock = Clock()
        view = Overview(clock=clock)
        (seen,) = view.refresh()
        Path(seen.box_path).unlink()  # as at a clean exit
        assert view.refresh() == [seen]
        assert seen.state(clock()) == "gone"
        clock.ahead_ns = 11 * SECOND
        assert view.refresh() == []


def test_killed_process_that_a_restarted_kernel_reported_has_died():
    """Even if that happened between two refreshes."""
    with watched() as process:
        view = Overview()
        (seen,) = view.refresh()
        kill(process)
        mark_reported(seen.box_path)
        assert view.refresh() == [seen]
        assert seen.state(time.monotonic_ns()) == "died"
        assert view.read_box(seen)["pid"] == process.pid


def test_process_that_ended_while_its_black_box_was_read_has_not_died(monkeypatch):
    with watched():
        view = Overview()
        (seen,) = view.refresh()

        def ends_cleanly(box):
            Path(seen.box_path).unlink(missing_ok=True)
            return False

        monkeypatch.setattr(overview_module, "is_alive", ends_cleanly)
        assert view.refresh() == [seen]
        assert seen.state(time.monotonic_ns()) == "gone"


def test_whole_black_box_is_read_for_the_details():
    with watched(state="idle"):
        view = Overview()
        (seen,) = view.refresh()
        (cell,) = view.read_box(seen)["cells"]
        assert cell.report.label == "In [1]"
        Path(seen.box_path).write_bytes(b"no box")
        assert view.read_box(seen) is None
    assert view.read_box(Process("stream", "k", 1)) is None


def test_control_characters_in_a_kernel_id_are_removed():
    with watched("\x1b[2J\x07" + "x" * 50):
        (seen,) = Overview().refresh()
    assert seen.kernel_id.isprintable()
    assert seen.kernel_id.endswith("x" * 50)
