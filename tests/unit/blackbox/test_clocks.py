"""Dates and ages of black boxes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from boxes import put_dead_box, report, seconds_since
from memwatch import _core
from memwatch.blackbox import postmortem, reader
from memwatch.blackbox.folders import runtime_folder
from memwatch.top.processes import Process


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))


DAY_NS = 24 * 3600 * 10**9


def shift_clocks(monkeypatch, boot_ns=0, real_ns=0):
    """As if the machine had been suspended, or its clock had been set."""
    boot, real = time.clock_gettime_ns, time.time_ns
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: boot(clock) + boot_ns)
    monkeypatch.setattr(time, "time_ns", lambda: real() + real_ns)


def dead_box_with_a_cell(tmp_path, name="999999999-1.box", **patched):
    _core.start_recording(tmp_path / "live.box", kernel_id="a-kernel")
    window = _core.Window("In [1]", 1, None, "x = 1")
    content = bytearray((tmp_path / "live.box").read_bytes())
    window.cancel()
    _core.stop_recording()
    return put_dead_box(content, name, **{"start_ticks": 1} | patched)


@pytest.mark.parametrize("suspended_ns", [0, DAY_NS])
@pytest.mark.parametrize("set_ns", [-5 * DAY_NS, 0, 5 * DAY_NS])
def test_dates_after_suspend_and_a_clock_that_was_set(
    tmp_path, monkeypatch, suspended_ns, set_ns
):
    """A suspend counts for the age; the date is that of now less the age."""
    path = dead_box_with_a_cell(tmp_path)
    shift_clocks(monkeypatch, suspended_ns, suspended_ns + set_ns)
    found = postmortem.examine(path, reader.read_box(path))
    age_s = suspended_ns / 1e9
    assert found.sample_age_ns / 1e9 == pytest.approx(age_s, abs=60)
    assert seconds_since(found.sampled_at) == pytest.approx(age_s, abs=60)
    assert seconds_since(found.cells[0].started_at) == pytest.approx(age_s, abs=60)
    assert len(postmortem.find_dead()) == 1
    reader.prune_boxes()
    assert path.exists()


def test_the_newest_is_the_one_that_was_seen_last(tmp_path):
    """Not the one whose clock was ahead when it wrote."""
    early = dead_box_with_a_cell(tmp_path, "999999999-1.box", real_ahead_ns=2**61)
    late = dead_box_with_a_cell(tmp_path, "999999999-2.box")
    assert [path for path, _ in postmortem.find_dead()] == [late, early]
    assert report()["path"] == str(late)


def test_the_line_at_the_load_is_about_the_newest(tmp_path):
    early = dead_box_with_a_cell(tmp_path, "999999999-1.box", real_ahead_ns=2**61)
    late = dead_box_with_a_cell(tmp_path, "999999999-2.box", pid=999999998)
    os.utime(late, (1, 1))
    _core.start_recording(tmp_path / "own.box", kernel_id="a-kernel")
    try:
        found = postmortem.find_predecessor(tmp_path / "own.box")
    finally:
        _core.stop_recording()
    assert found.pid == 999999998
    assert early.exists()


def test_clocks_of_another_time_namespace(tmp_path, monkeypatch):
    """Its ages come from the dates; nothing is negative."""
    path = dead_box_with_a_cell(tmp_path, time_namespace=1)
    shift_clocks(monkeypatch, boot_ns=-(2**60))
    box = reader.read_box(path)
    found = postmortem.examine(path, box)
    assert 0 <= found.sample_age_ns < 60e9
    assert found.alive is None
    gone = dead_box_with_a_cell(tmp_path, time_namespace=1, pid=2**31 - 1)
    assert reader.is_alive(reader.read_box(gone)) is False


def test_a_process_in_a_time_namespace(tmp_path):
    """Written there, read here: never "-49999.4 s ago"."""
    path = runtime_folder() / "1-1.box"
    runtime_folder().mkdir()
    code = (
        "import os\n"
        "from memwatch import _core, watch\n"
        f"_core.start_recording({str(path)!r})\n"
        "with watch('x'): pass\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        ["unshare", "--time", "--monotonic", "50000", "--boottime", "50000", "--fork",
         sys.executable, "-c", code],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not path.exists():
        pytest.skip(f"no time namespace can be made: {done.stderr.strip()}")
    found = report(path)
    assert 0 <= found["sample_age_ns"] < 60e9
    assert seconds_since(found["sampled_at"]) == pytest.approx(0, abs=60)
    box = reader.read_box(path)
    seen = Process("box", "k", box["pid"])
    seen.update_from_box(
        box, reader.is_alive(box), None, time.monotonic_ns(), time.time_ns()
    )
    assert seen.age_ns(time.monotonic_ns()) < 60e9
