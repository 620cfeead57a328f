"""The details of one process, as text."""

import os
import signal
import subprocess
import sys
import time

import pytest

from memwatch.blackbox.postmortem import examine
from memwatch.blackbox.postmortem_text import describe
from memwatch.display.units import printable
from memwatch.top.details import details
from memwatch.top.overview import Overview
from messages import SECOND, message, process, read
from support import MIB

WATCHES = """
import os
from memwatch import _core
from memwatch.blackbox.reader import name_of
from memwatch.blackbox.folders import make_runtime_folder
path = make_runtime_folder() / name_of(os.getpid(), "box")
_core.start_recording(path, kernel_id="k", notebook="/home/me/train.ipynb")
for number in range(1, 4):
    window = _core.Window(f"In [{number}]", number, None, f"x = {number}")
    held = b"x" * (20 << 20)
    window.close("ok", None)
window = _core.Window("In [4]", 4, None, "y = 2")
print(path, flush=True)
input()
"""


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A process with a black box; a cell of it is running."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", WATCHES],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        try:
            assert running.stdout.readline()
            yield running
        finally:
            running.kill()


def text_of(view, process, width=80):
    found = details(process, view.read_box(process), time.monotonic_ns(), width)
    assert all(len(line) <= width for line in found.splitlines()), found
    return found


def test_living_process_has_its_cells(watched):
    view = Overview()
    (seen,) = view.refresh()
    text = text_of(view, seen)
    assert text.startswith(f"process    {watched.pid}, kernel k")
    assert "notebook   /home/me/train.ipynb\nstate      running" in text
    assert "cell       In [4], running for" in text
    assert "source     y = 2" in text
    assert "recent RSS in MiB, from 0 to" in text
    _, cells = text.split("last cells that ended (3), the newest first\n")
    titles, *rows = cells.splitlines()
    assert titles.split()[:4] == ["used", "MiB", "rise", "MiB"]
    assert [row.split("  ")[-1] for row in rows] == [
        "In [3] x = 3", "In [2] x = 2", "In [1] x = 1",
    ]  # fmt: skip
    assert float(rows[-1].split()[1]) > 19
    assert "?" not in cells


def test_dead_process_has_its_post_mortem(watched):
    view = Overview()
    view.refresh()
    os.kill(watched.pid, signal.SIGKILL)
    watched.wait(60)
    (seen,) = view.refresh()
    text = text_of(view, seen, 200)
    box = view.read_box(seen)
    for subject, what in describe(examine(seen.box_path, box)):
        if subject != "sampled":  # its age changes
            assert f"{subject:<10} {what}" in text
    assert f"black box  {seen.box_path}" in text
    assert "last cells that ended (3)" in text
    text_of(view, seen, 60)


def test_dead_process_of_another_machine_has_what_its_messages_said():
    seen = process(now_ns=SECOND)
    value = message("close", message=2, report={"status": "ok", "used_bytes": 5 * MIB})
    seen.update_from_message(read(value), 2 * SECOND)
    seen.end(3 * SECOND, died=True)
    seen.received, seen.lost = 1234, 5
    text = details(seen, None, 60 * SECOND, 100)
    assert "state      died without a clean end; its black box is not here" in text
    assert "user somebody, host box" in text
    assert "messages   1,234 received, 5 lost" in text
    assert "5.0000" in text.splitlines()[-1]
    assert text.splitlines()[-1].endswith("In [4] x = 1")


def test_states_are_explained():
    def state(seen, now_ns):
        text = details(seen, None, now_ns, 200)
        return next(line[11:] for line in text.splitlines() if line[:5] == "state")

    seen = process(now_ns=SECOND)
    assert state(seen, SECOND) == "running"
    assert state(seen, 61 * SECOND).startswith("silent for 60.0 s: it died")
    assert "was running at the last sample" in details(seen, None, 61 * SECOND, 80)
    seen.source = "box"
    assert "idle on another machine" in state(seen, 61 * SECOND)
    seen.end(SECOND, died=False)
    assert state(seen, SECOND) == "ended, or stopped being watched"


def test_curve_names_its_scale():
    seen = process(limit_bytes=1000 * MIB)
    seen.history.extend([100 * MIB, 50 * MIB])
    text = details(seen, None, SECOND, 80)
    assert "from 0 to its maximum\n100.00 ┤" in text
    seen.history.append(500 * MIB)
    assert "from 0 to the limit\n1000.00 ┤" in details(seen, None, SECOND, 80)
    assert "     0 ┤" in text


def test_hostile_values_are_printable():
    for width in (1, 10, 80):
        seen = process(
            kernel_id="數" * 40, notebook="\x1b[2J\u202e" * 50, limit_bytes=0,
            rss_bytes=2**62, cell={"source": "\x07數" * 100, "label": "\x1b[2J" * 20},
        )  # fmt: skip
        seen.record_history()
        for line in details(seen, None, SECOND, width).split("\n"):
            assert printable(line) == line
