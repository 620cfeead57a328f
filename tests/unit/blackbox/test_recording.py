"""The life of a black box's file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import memwatch
from boxes import new_kernel, report, run, seconds_since
from memwatch import _core
from memwatch.blackbox import postmortem, reader
from memwatch.blackbox.folders import runtime_folder
from memwatch.top.overview import Overview
from support import (
    BECOME_NOBODY,
    Kernel,
    lines_in,
    run_python,
)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))


# ---- the file's life ----


def test_removed_at_a_clean_exit_and_at_unload():
    code = (
        "import os\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from memwatch.blackbox import reader\n"
        "ip = InteractiveShell.instance()\n"
        "count = lambda: len(reader.find_boxes())\n"
        "def run(magic, line): ip.run_line_magic(magic, line); print(count())\n"
        "run('load_ext', 'memwatch')\n"
        "run('unload_ext', 'memwatch')\n"
        "run('load_ext', 'memwatch')\n"
        "run('config', 'MemWatch.record = False')\n"
        "run('config', 'MemWatch.record = True')\n"
    )
    assert run_python(code).split() == list("10101")
    assert reader.find_boxes() == []


def test_a_kernel_that_is_shut_down_leaves_nothing():
    kernel = Kernel()
    kernel.run("%load_ext memwatch")
    (box,) = reader.find_boxes()
    assert f"black box: {box}\n" in kernel.run("%memwatch status")
    kernel.run("%config MemWatch.record = False")
    assert "black box: none\n" in kernel.run("%memwatch status")
    kernel.run("%config MemWatch.record = True")
    assert len(reader.find_boxes()) == 1
    kernel.manager.shutdown_kernel()
    kernel.client.stop_channels()
    assert reader.find_boxes() == []


def test_a_forked_child_leaves_its_parents_box():
    code = (
        "import multiprocessing, os, sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from memwatch.blackbox import reader, recording; from memwatch import watch\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
        "if (pid := os.fork()) == 0:\n"
        "    with watch('child'): pass\n"
        "    assert recording.box_path() is None\n"
        "    sys.exit(0)\n"  # a clean exit, with all its handlers
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "(path,) = reader.find_boxes()\n"
        "box = reader.read_box(path)\n"
        "assert box['opened'] == 0 and reader.is_alive(box), box\n"
        "print('fine')\n"
    )
    assert run_python(code).endswith("fine\n")


def make_box(name, age_days=0.0):
    runtime_folder().mkdir(exist_ok=True)
    path = runtime_folder() / name
    path.write_bytes(b"")
    when = time.time() - age_days * 24 * 3600
    os.utime(path, (when, when))
    return path


def test_stale_boxes_are_pruned():
    old = make_box("999999999-1.box", 8)
    told = make_box("999999999-2.reported.box", 8)
    young = make_box("999999999-3.box", 6)
    own = make_box(reader.name_of(os.getpid(), "box"), 30)  # of the living
    other = make_box("notes.txt", 30)
    reader.prune_boxes()
    assert [each.exists() for each in (old, told, young, own, other)] == [
        False, False, True, True, True
    ]  # fmt: skip


def test_at_most_a_hundred_boxes_are_kept():
    for number in range(105):
        make_box(f"999999999-{number}.box", number / 100)
    reader.prune_boxes()
    left = reader.find_boxes()
    assert len(left) == 100
    assert left[0].name == "999999999-0.box"


def test_box_is_private(tmp_path):
    """The folder is 0700, made so where it was not; the file 0600."""
    runtime_folder().mkdir(mode=0o755)
    kernel = Kernel()
    try:
        kernel.run("%load_ext memwatch")
        (box,) = reader.find_boxes()
        assert runtime_folder().stat().st_mode & 0o777 == 0o700
        assert box.stat().st_mode & 0o777 == 0o600
        if os.getuid() == 0:
            tmp_path.chmod(0o755)
            for folder in tmp_path.parents:
                if folder.stat().st_mode & 0o005 != 0o005 and folder != Path("/"):
                    folder.chmod(0o755)
            shown = run_python(
                BECOME_NOBODY + "become_nobody(1)\n"
                f"for path in {os.fspath(box)!r}, {os.fspath(box.parent)!r}:\n"
                "    try:\n"
                "        os.open(path, os.O_RDONLY)\n"
                "        print('opened', path)\n"
                "    except PermissionError as error:\n"
                "        print(error.strerror)\n"
            )
            assert shown == "Permission denied\n" * 2
    finally:
        kernel.close()


# ---- an end that leaves the box ----


def test_a_clean_exit_that_could_not_remove_the_box():
    """After setuid(): the box says that it ended, and nobody is told of a kill."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    code = (
        "import os\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "ip = InteractiveShell.instance()\n"
        "ip.run_line_magic('load_ext', 'memwatch')\n"
    )
    assert run_python(code + "os.setuid(65534)\n") == ""
    (box,) = reader.find_boxes()
    assert reader.read_box(box)["t_ended_ns"] is not None
    assert run_python(code) == ""  # no line at the next load
    assert "no black box of a killed process" in run()
    pid = reader.read_box(box)["pid"]
    assert report(pid)["verdict"].startswith("clean exit")
    assert seconds_since(report(pid)["ended_at"]) < 60
    assert re.search(r"^ended +clean exit, which could not", run(box), re.M)
    assert Overview().refresh() == []


@pytest.mark.parametrize("how", ["os.chroot('/proc')", "os.kill(os.getpid(), 9)"])
def test_chroot_and_kill_are_distinguished(how):
    if os.geteuid() != 0:
        pytest.skip("only root can call chroot()")
    code = (
        "import os, sys\nfrom memwatch.blackbox import recording\n"
        f"recording.start()\n{how}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    (box,) = reader.find_boxes()
    assert (reader.read_box(box)["t_ended_ns"] is not None) == ("chroot" in how)
    assert len(postmortem.find_dead()) == ("kill" in how)


# ---- a box that somebody removes, or that is made twice ----


def test_a_box_at_the_path_of_the_one_before(tmp_path):
    path = tmp_path / "some.box"
    _core.start_recording(path, kernel_id="first")
    _core.start_recording(path, kernel_id="second")
    assert reader.read_box(path)["kernel_id"] == "second"
    with memwatch.watch("after"):
        assert reader.read_box(path)["cells"][0].report.label == "after"
    _core.stop_recording()
    assert not path.exists()


def test_file_of_another_program_stays(tmp_path):
    path = tmp_path / "some.box"
    _core.start_recording(path)
    path.unlink()
    path.write_text("not ours")
    _core.stop_recording()
    assert path.read_text() == "not ours"


@pytest.mark.parametrize("what", ["the folder", "the file"])
def test_a_box_that_was_removed_is_made_again(what):
    """At the next cell, with one warning; publishing goes on from the new one."""
    zmq = pytest.importorskip("zmq")
    with new_kernel() as kernel:
        kernel.run("%load_ext memwatch")
        kernel.run("%memwatch publish on")
        for number in range(2):
            (box,) = reader.find_boxes()
            if what == "the folder":
                shutil.rmtree(runtime_folder())
            else:
                box.unlink()
            shown = kernel.run(f"x = {number}")
            told = f"another program removed the black box {box}"
            assert shown.count(told) == (number == 0), shown
            assert reader.find_boxes() == [box]
            assert reader.read_box(box)["cells"][-1].report.source == f"x = {number}"
            status = kernel.run("%memwatch status")
            assert f"black box: {box}\n" in status
            socket = box.with_suffix(".ipc")
            assert f"published: @ipc://{socket}: " in status
            with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
                subscriber.linger = 0
                subscriber.subscribe(b"")
                subscriber.connect(f"ipc://{socket}")
                assert subscriber.poll(60_000)
        kernel.run("%unload_ext memwatch")
        assert list(runtime_folder().iterdir()) == []


def test_a_box_that_cannot_be_made_again(tmp_path):
    """One warning, and the session goes on without a box."""
    with new_kernel() as kernel:
        kernel.run("%load_ext memwatch")
        shutil.rmtree(runtime_folder())
        runtime_folder().write_text("in the way")
        shown = kernel.run("x = 1")
        assert "cannot create the black box" in shown
        assert len(lines_in(shown)) == 1
        shown = kernel.run("x = 1")
        assert "black box" not in shown
        assert "black box: none\n" in kernel.run("%memwatch status")
