"""All watched processes together: which are shown, and for how long."""

import subprocess
import sys
from contextlib import contextmanager

import pytest

from memwatch.top import overview as overview_module
from memwatch.top.overview import Overview
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


def test_process_that_was_silent_is_shown_again(monkeypatch):
    with watched() as process:
        view = Overview()
        (seen,) = view.refresh()
        assert seen.pid == process.pid
        # As if it had been stopped: its samples are old.
        with monkeypatch.context() as later:
            later.setattr(overview_module, "_SILENT_SHOWN_NS", -1)
            assert view.refresh() == view.refresh() == []
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
            later.setattr(overview_module, "_SILENT_SHOWN_NS", -1)
            assert view.refresh() == []
        assert len(view.refresh()) == 1


def test_gone_process_is_not_shown_again(monkeypatch):
    with watched() as process:
        view = Overview()
        assert len(view.refresh()) == 1
        process.kill()
        process.wait(60)
        (seen,) = view.refresh()
        assert seen.gone_ns is not None
        with monkeypatch.context() as later:
            later.setattr(overview_module, "_GONE_SHOWN_NS", -1)
            assert view.refresh() == []
        assert view.refresh() == []  # its black box still exists


def test_control_characters_in_a_kernel_id_are_removed():
    with watched("\x1b[2J\x07" + "x" * 50):
        (seen,) = Overview().refresh()
    assert seen.kernel_id.isprintable()
    assert seen.kernel_id.endswith("x" * 50)
