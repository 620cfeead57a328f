"""All watched processes together: who is shown, who no longer, who again."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from memwatch.top import overview as room
from memwatch.top.overview import Overview
from messages import until

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
    """Nobody else is watched."""
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


def test_who_was_silent_for_long_is_shown_again(monkeypatch):
    with watched() as process:
        view = Overview()
        (seen,) = view.refresh()
        assert seen.pid == process.pid
        # Stopped, that is to say: its samples are old.
        with monkeypatch.context() as later:
            later.setattr(room, "_SILENT_SHOWN_NS", -1)
            assert view.refresh() == view.refresh() == []
        # The same row, with its history.
        assert view.refresh() == [seen]


@pytest.mark.parametrize("state", ["running", "idle"])
def test_of_whom_nobody_can_tell_is_shown_again(monkeypatch, state):
    monkeypatch.setattr(room, "is_alive", lambda box: None)  # another machine's
    with watched(state=state):
        view = Overview()
        until(lambda: [each for each in view.refresh() if each.seen_ns])
        with monkeypatch.context() as later:
            later.setattr(room, "_SILENT_SHOWN_NS", -1)
            assert view.refresh() == []
        assert len(view.refresh()) == 1


def test_who_is_gone_is_not_shown_again(monkeypatch):
    with watched() as process:
        view = Overview()
        assert len(view.refresh()) == 1
        process.kill()
        process.wait(60)
        (seen,) = view.refresh()
        assert seen.went_ns is not None
        with monkeypatch.context() as later:
            later.setattr(room, "_GONE_SHOWN_NS", -1)
            assert view.refresh() == []
        assert view.refresh() == []  # its box is still there


def test_a_kernels_id_cannot_command_a_terminal():
    with watched("\x1b[2J\x07" + "x" * 50):
        (seen,) = Overview().refresh()
    assert seen.kernel_id.isprintable()
    assert seen.kernel_id.endswith("x" * 50)
